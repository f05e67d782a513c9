//! The tables of keys in docs/configuration.md, generated from the settings structs.
//!
//! They are generated from the sources, so that they are complete: each field that serde reads has a row. Its doc
//! comment is the meaning; the paragraphs `Default: ...` and `Example: ...` fill these columns. A default of serde is
//! read from the code.

use std::{collections::BTreeMap, fs, path::Path};

use syn::{
    Attribute, Expr, Field, Fields, GenericArgument, Item, ItemEnum, ItemStruct, Lit, Meta, PathArguments,
    Stmt, Type, punctuated::Punctuated, token::Comma,
};

/// Each section and its struct.
const SECTIONS: [(&str, &str, &str); 9] = [
    ("kafka", "kafka/src/settings.rs", "KafkaSettings"),
    ("schema_registry", "codec/src/registry/settings.rs", "RegistrySettings"),
    ("pubsub", "pubsub/src/settings.rs", "PubSubSettings"),
    ("anonymise", "connector/src/anonymise/settings.rs", "AnonymiseSettings"),
    ("events", "event/src/events.rs", "EventsSettings"),
    ("flows", "flow/src/settings.rs", "FlowSettings"),
    ("writer", "writer/src/settings.rs", "WriterSettings"),
    ("state", "processor/src/store/settings.rs", "StateSettings"),
    ("service", "service/src/admin.rs", "ServiceSettings"),
];

/// Other files with types of their fields.
const ELSEWHERE: [&str; 6] = [
    "aqueduct/src/config/mod.rs",
    "flow/src/lib.rs",
    "flow/src/settings/measures.rs",
    "flow/src/settings/window.rs",
    "kafka/src/format.rs",
    "kafka/src/group/start.rs",
];

/// Types that are a single value in the file, and their names in the document.
const VALUES: [(&str, &str); 23] = [
    ("String", "string"),
    ("Secret", "string"),
    ("Urls", "string or list of strings"),
    ("bool", "boolean"),
    ("usize", "number"),
    ("u32", "number"),
    ("Factor", "number"),
    ("Quotient", "list of two strings"),
    ("PathBuf", "path"),
    ("Millis", "duration"),
    ("ByteSize", "size"),
    ("Share", "share"),
    ("Pointer", "pointer"),
    ("Pattern", "pattern"),
    ("Targets", "list of patterns and tags"),
    ("MatchSettings", "condition"),
    ("Columns", "table: column = pointer"),
    ("Properties", "table"),
    ("JoinOn", "pointer, or `{ view, click }`"),
    ("Forward", "`\"all\"`, or list of patterns"),
    ("Size", "duration, `\"1w\"` or `\"1mo\"`"),
    ("Unwrap", "`\"hermes\"`, `\"debezium\"`, `\"cloudevents\"`, or pointer"),
    ("MeasuresSettings", "table: name = measure"),
];

const COMMAND: &str = "UPDATE_DOCS=1 cargo test -p aqueduct --test keys";
const COLUMNS: &str = "| key | type | default | meaning | example |\n|---|---|---|---|---|\n";
const END: &str = "<!-- end of the keys -->";

#[test]
fn every_key_is_in_its_table() {
    let crates = Crates::read();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let before = fs::read_to_string(&path).expect("docs/configuration.md");
    let mut document = before.clone();
    for (section, file, name) in SECTIONS {
        let start = format!("<!-- keys of [{section}], from the code: {COMMAND} -->");
        let (head, rest) = document.split_once(&start).unwrap_or_else(|| panic!("no line {start:?}"));
        let (_, tail) = rest.split_once(END).unwrap_or_else(|| panic!("no line {END:?} after {start:?}"));
        let rows = crates.rows(file, crates.settings(file, name), "");
        document = format!("{head}{start}\n\n{COLUMNS}{}\n{END}{tail}", rows.concat());
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, document).expect("docs/configuration.md can be written");
        return;
    }
    assert!(before == document, "docs/configuration.md differs from the code; run {COMMAND}");
}

#[test]
fn every_section_has_a_table() {
    let crates = Crates::read();
    let sections = crates.find(ELSEWHERE[0], |item| match item {
        Item::Const(constant) if constant.ident == "SECTIONS" => Some(literals(&constant.expr)),
        _ => None,
    });
    let mut sections = sections.expect("the sections of a file");
    // Its keys are those of `[writer]`.
    sections.retain(|section| section != "writers");
    assert_eq!(sections, SECTIONS.map(|(section, ..)| section.to_owned()));
}

/// The files by their path below `crates`.
struct Crates(BTreeMap<&'static str, syn::File>);

/// The doc comment of a field.
struct Comment {
    meaning: String,
    default: Option<String>,
    example: Option<String>,
}

impl Crates {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let read = |file| {
            let text = fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            (file, syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}")))
        };
        Self(SECTIONS.iter().map(|(_, file, _)| *file).chain(ELSEWHERE).map(read).collect())
    }

    /// The first item that `select` accepts, in a file or else in any file.
    fn find<'a, T>(&'a self, file: &str, select: impl Fn(&'a Item) -> Option<T>) -> Option<T> {
        let first = self.0.get(file).into_iter();
        first.chain(self.0.values()).flat_map(|file| &file.items).find_map(select)
    }

    fn structure(&self, file: &str, name: &str) -> Option<&ItemStruct> {
        self.find(file, |item| match item {
            Item::Struct(found) if found.ident == name && is_derived(&found.attrs, "Deserialize") => {
                Some(found)
            }
            _ => None,
        })
    }

    fn settings(&self, file: &str, name: &str) -> &ItemStruct {
        self.structure(file, name).unwrap_or_else(|| panic!("{file} has no settings {name}"))
    }

    fn enumeration(&self, file: &str, name: &str) -> Option<&ItemEnum> {
        self.find(file, |item| match item {
            Item::Enum(found) if found.ident == name && is_derived(&found.attrs, "Deserialize") => {
                Some(found)
            }
            _ => None,
        })
    }

    /// The rows of a struct's fields, each followed by those of the tables inside it.
    fn rows(&self, file: &str, of: &ItemStruct, prefix: &str) -> Vec<String> {
        let mut rows = Vec::new();
        for field in &of.fields {
            let name = renamed(field);
            let key = format!("{prefix}{name}");
            let Comment { meaning, default, example } = comment(field, &key);
            let known = self.default(file, of, field);
            let default = match (default, known) {
                (Some(written), Some(known)) => {
                    assert_eq!(
                        known, "none",
                        "{key} has a default in the code; its comment must not name one"
                    );
                    written
                }
                (Some(_), None) => panic!("{key} is required; its comment must not name a default"),
                (None, Some(known)) => known,
                (None, None) => "required".to_owned(),
            };
            let example = example.unwrap_or_default();
            let inner = example.trim_matches('`');
            assert!(
                inner.is_empty()
                    || inner.starts_with(&format!("{name} = "))
                    || inner.starts_with(&format!("{name}.")),
                "the example of {key} is another key's: {example}"
            );
            let kind = self.kind(file, &field.ty);
            let cells = [format!("`{key}`"), kind, default, meaning, example];
            assert!(
                cells.iter().all(|cell| !cell.contains('|')),
                "{key}: a cell contains the border of a table"
            );
            rows.push(format!("| {} |\n", cells.join(" | ")));
            if let Some((inner, below)) = self.table(file, &field.ty) {
                rows.extend(self.rows(file, inner, &format!("{key}.{below}")));
            }
        }
        rows
    }

    /// The struct inside a field, and the key segment between both: `NAME.` in a table with user-defined names.
    fn table(&self, file: &str, of: &Type) -> Option<(&ItemStruct, &'static str)> {
        let (name, arguments) = path(of);
        match name.as_str() {
            "Option" => self.table(file, arguments[0]),
            "BTreeMap" => Some((self.table(file, arguments[1])?.0, "NAME.")),
            // Deserialized by hand, because the order of the file matters.
            "MeasuresSettings" => Some((self.settings(file, "MeasureSettings"), "NAME.")),
            name if VALUES.iter().any(|(value, _)| *value == name) => None,
            name => Some((self.structure(file, name)?, "")),
        }
    }

    fn kind(&self, file: &str, of: &Type) -> String {
        if let Type::Array(array) = of {
            return format!("list of two {}s", self.kind(file, &array.elem));
        }
        let (name, arguments) = path(of);
        match name.as_str() {
            "Option" => self.kind(file, arguments[0]),
            "Vec" => format!("list of {}s", self.kind(file, arguments[0])),
            "BTreeMap" => "table: name = table".to_owned(),
            name => match VALUES.iter().find(|(value, _)| *value == name) {
                Some((_, kind)) => (*kind).to_owned(),
                None => match self.enumeration(file, name) {
                    Some(found) => alternatives(&words(found)),
                    None => {
                        assert!(
                            self.structure(file, name).is_some(),
                            "the type {name} has no name in the document"
                        );
                        "table".to_owned()
                    }
                },
            },
        }
    }

    /// The default of serde; `None` for a required key.
    fn default(&self, file: &str, of: &ItemStruct, field: &Field) -> Option<String> {
        let function = match serde(&field.attrs, "default") {
            Some(Some(function)) => function,
            Some(None) => return Some(self.default_of(file, &field.ty)),
            None => {
                serde(&of.attrs, "default")?;
                if is_derived(&of.attrs, "Default") {
                    return Some(self.default_of(file, &field.ty));
                }
                let value = self.default_impl(file, &of.ident.to_string());
                let Some(Expr::Struct(value)) = value else { panic!("{} has no literal default", of.ident) };
                let named = |member: &syn::Member| matches!(member, syn::Member::Named(name) if Some(name) == field.ident.as_ref());
                let value = value.fields.iter().find(|value| named(&value.member));
                let value = &value.expect("a value for each field").expr;
                return Some(self.literal(file, value, &path(&field.ty).0));
            }
        };
        let body = self.find(file, |item| match item {
            Item::Fn(found) if found.sig.ident == function => last(&found.block.stmts),
            _ => None,
        });
        let body = body.unwrap_or_else(|| panic!("{file} has no function {function}"));
        Some(self.literal(file, body, &path(&field.ty).0))
    }

    /// The default of a type.
    fn default_of(&self, file: &str, of: &Type) -> String {
        let (name, _) = path(of);
        match name.as_str() {
            "Option" => "none".to_owned(),
            "Vec" | "Targets" => "`[]`".to_owned(),
            "bool" => "`false`".to_owned(),
            "BTreeMap" | "Properties" | "MeasuresSettings" => "empty".to_owned(),
            name => match self.enumeration(file, name) {
                Some(found) => {
                    let number = found.variants.iter().position(|variant| {
                        variant.attrs.iter().any(|attribute| attribute.path().is_ident("default"))
                    });
                    format!("`{}`", words(found)[number.expect("a default variant")])
                }
                None => {
                    let value =
                        self.default_impl(file, name).unwrap_or_else(|| panic!("{name} has no default"));
                    self.literal(file, value, name)
                }
            },
        }
    }

    /// The value of `impl Default`.
    fn default_impl(&self, file: &str, name: &str) -> Option<&Expr> {
        self.find(file, |item| match item {
            Item::Impl(found) if found.trait_.as_ref().is_some_and(|(of, _)| of.is_ident("Default")) => {
                if path(&found.self_ty).0 != name {
                    return None;
                }
                found.items.iter().find_map(|item| match item {
                    syn::ImplItem::Fn(default) => last(&default.block.stmts),
                    _ => None,
                })
            }
            _ => None,
        })
    }

    /// A value in the format of the file.
    fn literal(&self, file: &str, value: &Expr, kind: &str) -> String {
        if let Some(text) = text(value) {
            return format!("`\"{text}\"`");
        }
        let number = self.number(file, value);
        let units: &[(u128, &str)] = match kind {
            "Millis" => &[(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")],
            "ByteSize" => &[(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")],
            // Hundredths of a percent.
            "Share" => &[(100, "%")],
            _ => return format!("`{number}`"),
        };
        let (factor, unit) =
            units.iter().find(|(factor, _)| number.is_multiple_of(*factor)).expect("a unit that fits");
        format!("`\"{}{unit}\"`", number / factor)
    }

    /// The number in an expression such as `ByteSize(32 << 20)`.
    fn number(&self, file: &str, value: &Expr) -> u128 {
        match value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Int(number) => number.base10_parse().expect("a number"),
                _ => panic!("{file}: a default that is no number"),
            },
            Expr::Binary(binary) => {
                let (left, right) = (self.number(file, &binary.left), self.number(file, &binary.right));
                match binary.op {
                    syn::BinOp::Mul(_) => left * right,
                    syn::BinOp::Shl(_) => left << right,
                    _ => panic!("{file}: an operator in a default"),
                }
            }
            Expr::Call(call) => self.number(file, &call.args[0]),
            Expr::MethodCall(call) => self.number(file, &call.receiver),
            Expr::Const(constant) => self.number(file, last(&constant.block.stmts).expect("a value")),
            Expr::Path(path) => {
                let name = path.path.get_ident().expect("a constant of the file");
                let found = self.find(file, |item| match item {
                    Item::Const(constant) if constant.ident == *name => Some(&*constant.expr),
                    _ => None,
                });
                self.number(file, found.unwrap_or_else(|| panic!("{file} has no constant {name}")))
            }
            _ => panic!("{file}: a default that this test cannot compute"),
        }
    }
}

/// The name of a type, and its generic arguments.
fn path(of: &Type) -> (String, Vec<&Type>) {
    let Type::Path(of) = of else { return Default::default() };
    let last = of.path.segments.last().expect("a path has a last segment");
    let arguments = match &last.arguments {
        PathArguments::AngleBracketed(list) => list.args.iter().collect(),
        _ => Vec::new(),
    };
    let types = arguments.into_iter().filter_map(|argument| match argument {
        GenericArgument::Type(of) => Some(of),
        _ => None,
    });
    (last.ident.to_string(), types.collect())
}

/// The text of a literal, also with `.into()` or `.to_owned()` after it.
fn text(value: &Expr) -> Option<String> {
    match value {
        Expr::MethodCall(call) => text(&call.receiver),
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

/// The texts of a list.
fn literals(value: &Expr) -> Vec<String> {
    match value {
        Expr::Reference(reference) => literals(&reference.expr),
        Expr::Array(array) => array.elems.iter().filter_map(text).collect(),
        _ => Vec::new(),
    }
}

fn last(statements: &[Stmt]) -> Option<&Expr> {
    match statements.last()? {
        Stmt::Expr(value, None) => Some(value),
        _ => None,
    }
}

/// The variants of an enum in the format of the file.
fn words(of: &ItemEnum) -> Vec<String> {
    let rule = serde(&of.attrs, "rename_all").flatten();
    let gap = match rule.as_deref() {
        Some("lowercase") => "",
        Some("kebab-case") => "-",
        _ => panic!("{} has another rule for its words", of.ident),
    };
    of.variants
        .iter()
        .map(|variant| {
            assert!(matches!(variant.fields, Fields::Unit), "{} is no list of words", of.ident);
            format!("\"{}\"", lowercase(&variant.ident.to_string(), gap))
        })
        .collect()
}

/// The words of a name such as `JsonSchema`, with `gap` between them.
fn lowercase(name: &str, gap: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push_str(gap);
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// `"a"`, `"b"` or `"c"`.
fn alternatives(words: &[String]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

fn renamed(field: &Field) -> String {
    let name = || field.ident.as_ref().expect("settings have named fields").to_string();
    serde(&field.attrs, "rename").flatten().unwrap_or_else(name)
}

/// The value of an option of `#[serde(...)]`: `Some(None)` for one without a value.
fn serde(attributes: &[Attribute], option: &str) -> Option<Option<String>> {
    let serde = attributes.iter().filter(|attribute| attribute.path().is_ident("serde"));
    let lists = serde.map(|attribute| {
        attribute.parse_args_with(Punctuated::<Meta, Comma>::parse_terminated).expect("a list of options")
    });
    let mut options = lists.flatten().filter(|meta| meta.path().is_ident(option));
    options.next().map(|meta| match meta {
        Meta::NameValue(pair) => text(&pair.value),
        _ => None,
    })
}

fn is_derived(attributes: &[Attribute], of: &str) -> bool {
    let mut derives = attributes.iter().filter(|attribute| attribute.path().is_ident("derive"));
    derives.any(|derive| {
        let paths = derive.parse_args_with(Punctuated::<syn::Path, Comma>::parse_terminated);
        let is_of = |path: &syn::Path| path.segments.last().is_some_and(|last| last.ident == of);
        paths.expect("a list of traits").iter().any(is_of)
    })
}

fn comment(field: &Field, key: &str) -> Comment {
    let lines = field.attrs.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => text(&pair.value),
        _ => None,
    });
    let text = lines.map(|line| line.trim().to_owned()).collect::<Vec<_>>().join("\n");
    let mut comment = Comment { meaning: String::new(), default: None, example: None };
    for (number, paragraph) in text.split("\n\n").enumerate() {
        let paragraph = paragraph.replace('\n', " ");
        if let Some(default) = paragraph.strip_prefix("Default: ") {
            comment.default = Some(default.to_owned());
        } else if let Some(example) = paragraph.strip_prefix("Example: ") {
            comment.example = Some(example.to_owned());
        } else {
            assert_eq!(number, 0, "{key}: the meaning is one paragraph");
            comment.meaning = paragraph;
        }
    }
    assert!(comment.meaning.ends_with('.'), "{key}: the meaning is a sentence: {:?}", comment.meaning);
    comment
}
