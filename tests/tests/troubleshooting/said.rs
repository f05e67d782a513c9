//! What the program can say when something is wrong, read from its own code: the texts of error types, the contexts that
//! the binary adds, and the sentences about a configuration.
//!
//! Not here: lines of the log, and rejects, which are counted values with codes of their own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use syn::{
    Attribute, Expr, ExprCall, ExprMacro, ExprMethodCall, ImplItemFn, ItemConst, ItemEnum, ItemFn, ItemMod,
    ItemStatic, ItemStruct, Lit, LitStr, Macro, StmtMacro, visit, visit::Visit,
};

/// Everything in the repository.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// One text, with dots where a value stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// Which part of the program says it.
    pub(crate) part: String,
    /// What the code says about it.
    pub(crate) meaning: String,
    /// `Type::Variant`, where it is one.
    pub(crate) name: Option<String>,
}

/// All texts, each once.
pub(crate) type Texts = BTreeMap<String, Said>;

/// The parts whose errors a user meets; `standin` is for tests, `report` says nothing of its own.
const PARTS: [&str; 7] = ["aqueduct", "service", "connector", "processor", "writer", "pubsub", "event"];

/// Where sentences about the configuration are made, of which any text with a blank in it is one.
const SETTINGS: [&str; 9] = [
    "connector/src/settings.rs",
    "pubsub/src/settings.rs",
    "processor/src/flow/settings.rs",
    "writer/src/settings.rs",
    "writer/src/names.rs",
    "service/src/settings/",
    "aqueduct/src/config/mod.rs",
    "aqueduct/src/config/across.rs",
    "event/src/settings.rs",
];

/// Functions whose texts stand within the sentences of others.
const PARTS_OF_SENTENCES: [&str; 4] = ["expecting", "kind_of", "wanted", "hint"];

/// Reads the code of the whole program.
pub(crate) fn texts() -> Result<Texts> {
    let mut texts = Texts::new();
    for part in PARTS {
        let folder = Path::new(ROOT).join("crates").join(part).join("src");
        let mut reader = Reader { part, ..Reader::default() };
        for path in sources(&folder)? {
            let file = syn::parse_file(&fs::read_to_string(&path)?)
                .with_context(|| format!("{} is no Rust", path.display()))?;
            let name = path.to_string_lossy();
            reader.is_settings = SETTINGS.iter().any(|place| name.contains(place));
            reader.visit_file(&file);
        }
        reader.resolve();
        for (text, said) in reader.found {
            texts.entry(text).or_insert(said);
        }
    }
    Ok(texts)
}

/// The Rust files below a folder, without those of tests.
pub(crate) fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Walks through the files of one part.
#[derive(Default)]
struct Reader<'a> {
    part: &'a str,
    is_settings: bool,
    found: Texts,
    /// Texts by the function that they stand in; errors are told by some of these.
    by_function: BTreeMap<String, BTreeSet<String>>,
    function: Option<String>,
    /// Functions that make the text of an error.
    makers: BTreeSet<String>,
}

impl Reader<'_> {
    fn say(&mut self, text: &str, meaning: String, name: Option<String>) {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        // A text that is nothing but its parts says nothing of its own.
        if text.split(['…', ' ', ':', '"', '.']).filter(|word| !word.is_empty()).count() < 2 {
            return;
        }
        let said = Said { part: self.part.to_owned(), meaning, name };
        self.found.entry(text).or_insert(said);
    }

    fn error_texts(&mut self, attributes: &[Attribute], name: &str) {
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("error")) {
            let Ok(list) = attribute.meta.require_list() else { continue };
            if let Some(text) = first_text(list.tokens.clone()) {
                self.say(&with_dots(&text), documentation(attributes), Some(name.to_owned()));
            }
        }
    }

    /// The texts in an expression that is told as an error, and the functions that it asks for one.
    fn told(&mut self, expression: &Expr) {
        let mut inside = Inside::default();
        inside.visit_expr(expression);
        inside.texts.iter().for_each(|text| self.say(text, String::new(), None));
        self.makers.extend(inside.calls);
    }

    fn macro_told(&mut self, called: &Macro) {
        let name = called.path.segments.last().map(|segment| segment.ident.to_string());
        let Some(name) = name else { return };
        if matches!(name.as_str(), "bail" | "anyhow") {
            match first_text(called.tokens.clone()) {
                Some(text) => self.say(&with_dots(&text), String::new(), None),
                None => {
                    if let Ok(expression) = called.parse_body::<Expr>() {
                        self.told(&expression);
                    }
                }
            }
        } else if let Some(text) = first_text(called.tokens.clone()) {
            self.literal(&with_dots(&text));
        }
    }

    fn literal(&mut self, text: &str) {
        if let Some(function) = &self.function {
            self.by_function.entry(function.clone()).or_default().insert(text.to_owned());
        }
        let is_part = self.function.as_deref().is_some_and(|name| PARTS_OF_SENTENCES.contains(&name));
        if self.is_settings && !is_part && text.trim().contains(' ') {
            self.say(text, String::new(), None);
        }
    }

    fn resolve(&mut self) {
        for maker in std::mem::take(&mut self.makers) {
            let texts = self.by_function.get(&maker).cloned().unwrap_or_default();
            // What says what to do is an error; a name that stands in one is not.
            for text in texts.iter().filter(|text| text.contains("; ")) {
                self.say(text, String::new(), None);
            }
        }
    }

    fn within(&mut self, function: String, visit: impl FnOnce(&mut Self)) {
        let outer = self.function.replace(function);
        visit(self);
        self.function = outer;
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_enum(&mut self, item: &'ast ItemEnum) {
        for variant in &item.variants {
            self.error_texts(&variant.attrs, &format!("{}::{}", item.ident, variant.ident));
        }
    }

    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        self.error_texts(&item.attrs, &item.ident.to_string());
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if !is_test(&item.attrs) {
            self.within(item.sig.ident.to_string(), |this| visit::visit_item_fn(this, item));
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.within(item.sig.ident.to_string(), |this| visit::visit_impl_item_fn(this, item));
    }

    fn visit_item_const(&mut self, _: &'ast ItemConst) {}

    fn visit_item_static(&mut self, _: &'ast ItemStatic) {}

    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        let is_context = call.method == "context" || call.method == "with_context";
        // An expectation is a defect where it fails, which says where by itself.
        if call.method == "expect" {
            return self.visit_expr(&call.receiver);
        }
        if let (true, Some(argument)) = (is_context, call.args.first()) {
            self.told(argument);
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        if let Expr::Path(path) = &*call.func
            && path.path.segments.last().is_some_and(|segment| segment.ident == "WrongUsage")
        {
            call.args.iter().for_each(|argument| self.told(argument));
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_macro(&mut self, expression: &'ast ExprMacro) {
        self.macro_told(&expression.mac);
    }

    fn visit_stmt_macro(&mut self, statement: &'ast StmtMacro) {
        self.macro_told(&statement.mac);
    }

    fn visit_lit_str(&mut self, literal: &'ast LitStr) {
        self.literal(&literal.value());
    }
}

/// What stands in an expression: texts, and calls of functions of the same part.
#[derive(Default)]
struct Inside {
    texts: Vec<String>,
    calls: BTreeSet<String>,
}

impl<'ast> Visit<'ast> for Inside {
    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        if let Expr::Path(path) = &*call.func {
            self.calls.extend(path.path.segments.last().map(|segment| segment.ident.to_string()));
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        self.calls.insert(call.method.to_string());
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        // A closure that was made before: `with_context(failed)`.
        self.calls.extend(path.path.get_ident().map(ToString::to_string));
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        self.texts.extend(first_text(called.tokens.clone()).map(|text| with_dots(&text)));
    }

    fn visit_lit_str(&mut self, literal: &'ast LitStr) {
        self.texts.push(literal.value());
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
    })
}

/// The first text among tokens, where nothing stands before it.
fn first_text(tokens: proc_macro2::TokenStream) -> Option<String> {
    let first = tokens.into_iter().next()?;
    syn::parse2::<LitStr>(first.into()).ok().map(|literal| literal.value())
}

fn documentation(attributes: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        if let Ok(value) = attribute.meta.require_name_value()
            && let Expr::Lit(literal) = &value.value
            && let Lit::Str(text) = &literal.lit
        {
            lines.push(text.value().trim().to_owned());
        }
    }
    lines.join(" ").trim().to_owned()
}

/// A format's text with dots in place of its values, on one line.
fn with_dots(text: &str) -> String {
    let mut dotted = String::new();
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '{' | '}' if rest.peek() == Some(&next) => {
                dotted.push(next);
                rest.next();
            }
            '{' => {
                let inside: String = rest.by_ref().take_while(|inside| *inside != '}').collect();
                dotted.push_str(if inside.ends_with(":?") { "\"…\"" } else { "…" });
            }
            other => dotted.push(other),
        }
    }
    dotted
}
