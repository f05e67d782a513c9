//! The tests of the repository by name, and whether one provokes an error: its file must speak of it.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Result;
use syn::{Attribute, ImplItemFn, ItemFn, visit, visit::Visit};

use crate::said;

/// The files that hold a test, by the test's name.
pub(crate) struct Proofs {
    files: BTreeMap<String, Vec<String>>,
}

/// Words in a row that tell one error from the others.
const WORDS: usize = 3;

impl Proofs {
    pub(crate) fn read() -> Result<Self> {
        let mut proofs = Self { files: BTreeMap::new() };
        for folder in ["crates", "tests", "simulation"] {
            for path in all_sources(&Path::new(said::ROOT).join(folder))? {
                let text = fs::read_to_string(&path)?;
                let mut names = Names::default();
                names.visit_file(&syn::parse_file(&text)?);
                // Beside the code that tells the error only what stands below it as tests counts; and what a message
                // says must not depend on how its literal is broken into lines.
                let within = path.strip_prefix(said::ROOT).unwrap_or(&path);
                let has = |name: &str| within.components().any(|part| part.as_os_str() == name);
                let is_code = has("src") && !has("tests") && !path.ends_with("tests.rs");
                let tests = if is_code {
                    text.split_once("#[cfg(test)]").map_or("", |(_, tests)| tests)
                } else {
                    &text
                };
                let flat = tests.replace("\\\n", "").split_whitespace().collect::<Vec<_>>().join(" ");
                for name in names.0 {
                    proofs.files.entry(name).or_default().push(flat.clone());
                }
            }
        }
        Ok(proofs)
    }

    /// Whether the test exists, and its file names the error or has some of its words.
    pub(crate) fn check(&self, test: &str, text: &str, name: Option<&str>) -> Result<(), String> {
        if test.is_empty() {
            return Err(format!("no test is named; perhaps one of {:?}", self.suggestions(text, name)));
        }
        let Some(files) = self.files.get(test) else { return Err(format!("there is no test {test}")) };
        if files.iter().any(|file| speaks_of(file, text, name)) {
            return Ok(());
        }
        Err(format!(
            "the file of {test} does not speak of it; perhaps one of {:?}",
            self.suggestions(text, name)
        ))
    }

    fn suggestions(&self, text: &str, name: Option<&str>) -> Vec<&str> {
        let speaking =
            self.files.iter().filter(|(_, files)| files.iter().any(|file| speaks_of(file, text, name)));
        speaking.map(|(name, _)| name.as_str()).take(6).collect()
    }
}

/// By the name of its variant, or by words of its text, as many as tell it from the others.
fn speaks_of(file: &str, text: &str, name: Option<&str>) -> bool {
    if name.is_some_and(|name| file.contains(name)) {
        return true;
    }
    let escaped = text.replace('"', "\\\"");
    let pieces = escaped.split(['…', ';']);
    let pieces: Vec<Vec<&str>> = pieces
        .map(|piece| piece.trim_matches([' ', '"', '\\', ':', ',', '.', '(', ')']).split(' ').collect())
        .collect();
    let words = pieces.iter().map(Vec::len).max().unwrap_or(0).min(WORDS);
    pieces.iter().flat_map(|piece| piece.windows(words)).any(|some| file.contains(&some.join(" ")))
}

fn all_sources(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(all_sources(&path)?);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

#[derive(Default)]
struct Names(Vec<String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if is_test(&item.attrs) {
            self.0.push(item.sig.ident.to_string());
        }
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        visit::visit_impl_item_fn(self, item);
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .any(|attribute| attribute.path().segments.last().is_some_and(|segment| segment.ident == "test"))
}
