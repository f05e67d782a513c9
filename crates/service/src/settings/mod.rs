//! One TOML file, overridden by the environment, and errors with their place and a remedy.
//!
//! A command reads the sections that it uses into its own serde structs (with `deny_unknown_fields`):
//! `settings.required::<KafkaSettings>("kafka", HINT)?`. Other sections are not read, so a missing secret of another
//! command is not an error.
//!
//! - `AQUEDUCT__KAFKA__GROUP_ID=x` overrides `kafka.group_id`: see [`overrides`].
//! - `${env:NAME}` and `${file:PATH}` work in any string value: see [`expand`]. Errors never contain the expanded
//!   text.
//! - Errors name file and line (or the variable) and the key: `aqueduct.toml:12: unknown key kafka.bootstrap_server; did
//!   you mean bootstrap_servers?`
//!
//! A check across keys is up to the caller; [`Settings::error_at`] finds its line.

mod source;

mod error;

mod key;

mod tree;

mod repair;

pub mod overrides;

pub mod expand;

mod read;

mod shown;

mod fault;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

pub use error::{SettingsError, SettingsErrors};
pub use fault::hint;
pub use shown::{HIDDEN, Shown};
pub use source::{CONFIG_VARIABLE, DEFAULT_FILE, Source};

use expand::Context;
use fault::Fault;
use key::{Key, Segment};
use tree::{Entry, Failure, Origin, Table};

/// The configuration of a command, from the file and the environment, read section by section.
pub struct Settings {
    path: PathBuf,
    is_file: bool,
    root: Table,
    context: Context,
}

impl Settings {
    /// Reads the file of `source`, and the environment of the process. Without a default file there are only overrides.
    ///
    /// # Errors
    /// The file cannot be read; or every syntax error in it, every unknown section, and every variable `AQUEDUCT__...`
    /// that does not name a key.
    pub fn open(source: &Source, known_sections: &[&str]) -> Result<Self, SettingsErrors> {
        strict(Self::open_partial(source, known_sections)?)
    }

    /// As [`open`](Self::open), but returns what can be read beside the errors, so that those of the sections can be
    /// reported with them. A section that contains an error has no value.
    ///
    /// # Errors
    /// The file cannot be read at all.
    pub fn open_partial(
        source: &Source,
        known_sections: &[&str],
    ) -> Result<(Self, Vec<SettingsError>), SettingsError> {
        let path = source.path();
        let text = match (source, path.exists()) {
            (Source::Default, false) => None,
            (Source::Named { by, .. }, false) => {
                return Err(SettingsError::NotFound { path: path.to_owned(), by: by.clone() });
            }
            (_, true) => Some(
                std::fs::read_to_string(path)
                    .map_err(|source| SettingsError::Unreadable { path: path.to_owned(), source })?,
            ),
        };
        let (variables, mut errors) = match expand::process_variables() {
            Ok(variables) => (variables, Vec::new()),
            Err(error) => (Vec::new(), vec![error]),
        };
        let (settings, found) = Self::assemble(text.as_deref(), path, variables, known_sections);
        errors.extend(found);
        Ok((settings, errors))
    }

    /// As [`open`](Self::open), with the text and the environment as arguments. Paths are relative to the folder of `path`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn parse(
        text: &str,
        path: &Path,
        variables: impl IntoIterator<Item = (String, String)>,
        known_sections: &[&str],
    ) -> Result<Self, SettingsErrors> {
        strict(Self::assemble(Some(text), path, variables, known_sections))
    }

    /// Without a text there are only the overrides among the variables.
    fn assemble(
        text: Option<&str>,
        path: &Path,
        variables: impl IntoIterator<Item = (String, String)>,
        known_sections: &[&str],
    ) -> (Self, Vec<SettingsError>) {
        let (root, failures) = text.map(tree::parse).unwrap_or_default();
        let context = Context::new(variables, folder(path));
        let mut settings = Self { path: path.to_owned(), is_file: text.is_some(), root, context };
        let mut errors: Vec<SettingsError> =
            failures.into_iter().map(|failure| settings.failed(failure)).collect();
        let overridden = overrides::apply(&mut settings.root, settings.context.variables());
        errors.extend(overridden.into_iter().map(|(place, problem)| SettingsError::At { place, problem }));
        errors.extend(settings.check_sections(known_sections));
        (settings, errors)
    }

    fn failed(&self, Failure { origin, key, problem }: Failure) -> SettingsError {
        let key = key.map(|key| format!("{key}: ")).unwrap_or_default();
        self.at(&origin, key + &problem)
    }

    /// The unknown sections. One that looks like a misspelled name is read under the right one, so that the section is not
    /// missing as well, and its errors are found.
    fn check_sections(&mut self, known: &[&str]) -> Vec<SettingsError> {
        let mut errors = Vec::new();
        for index in 0..self.root.entries.len() {
            let Entry { key, origin, .. } = &self.root.entries[index];
            if known.contains(&key.as_str()) {
                continue;
            }
            let hint = fault::hint(key, known, "sections");
            let problem = format!("unknown section {}; {hint}", Segment::Key(key.clone()));
            errors.push(self.at(origin, problem));
            let meant = fault::nearest(key, known).filter(|name| self.root.get(name).is_none());
            if let Some(name) = meant {
                self.root.entries[index].key = name.to_owned();
            }
        }
        errors
    }

    /// Reads a section: a table into a struct, an array of tables into a `Vec`. `None` if neither the file nor the
    /// environment mentions it.
    ///
    /// # Errors
    /// All unknown keys, missing keys and invalid values, each with its place.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, SettingsErrors> {
        let Some(entry) = self.root.get(name) else {
            return Ok(None);
        };
        let located = |faults: Vec<Fault>| faults.into_iter().map(|fault| self.locate(name, fault)).collect();
        match read::read(&entry.node, &self.context) {
            // Its errors were reported when the file was read; others may follow from them.
            Ok(_) if entry.node.has_omitted() => Err(SettingsErrors(Vec::new())),
            Ok(section) => Ok(Some(section)),
            Err(faults) => Err(SettingsErrors(located(faults))),
        }
    }

    /// Reads a section that the command requires. `example` is the minimum to add to the file if the section is
    /// missing.
    ///
    /// # Errors
    /// The section is missing; or as [`section`](Self::section).
    pub fn required<T: DeserializeOwned>(
        &self,
        name: &'static str,
        example: &str,
    ) -> Result<T, SettingsErrors> {
        self.section(name)?.ok_or_else(|| {
            let place = place(&self.path, self.is_file, &Origin::File);
            let example = example.trim_end().to_owned();
            SettingsError::MissingSection { place, section: name, example }.into()
        })
    }

    /// Reads a section whose keys all have defaults.
    ///
    /// # Errors
    /// As [`section`](Self::section).
    pub fn section_or_default<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T, SettingsErrors> {
        Ok(self.section(name)?.unwrap_or_default())
    }

    /// Whether the file or the environment mentions this section.
    pub fn has(&self, section: &str) -> bool {
        self.root.get(section).is_some()
    }

    /// Whether the file or the environment sets a key such as `events.id_within`.
    pub fn sets(&self, key: &str) -> bool {
        self.root.has(&Key::parse(key))
    }

    /// An error at a key such as `flows[0].window.period` or `kafka.properties."sasl.password"`. If the key is not in
    /// the file, the place is the nearest enclosing key that is. The message must not quote a secret.
    pub fn error_at(&self, key: &str, message: impl fmt::Display) -> SettingsError {
        let origin = self.root.origin_of(&Key::parse(key));
        self.at(&origin, format!("{key}: {message}"))
    }

    /// Every value as it is written, for display. Of keys that are not `public`, only whether they are set.
    pub fn shown(&self, public: &dyn Fn(&str) -> bool) -> Vec<Shown> {
        shown::all(&self.root, public)
    }

    /// The folder of the file; paths in it are relative to this folder.
    pub fn dir(&self) -> &Path {
        self.context.dir()
    }

    /// A path, relative to the folder of the file.
    pub fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir().join(path)
    }

    /// The file, or where it would be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn locate(&self, section: &str, fault: Fault) -> SettingsError {
        let (origin, problem) = fault.explain(section);
        self.at(&origin, problem)
    }

    fn at(&self, origin: &Origin, problem: String) -> SettingsError {
        SettingsError::At { place: place(&self.path, self.is_file, origin), problem }
    }
}

fn strict((settings, errors): (Settings, Vec<SettingsError>)) -> Result<Settings, SettingsErrors> {
    if errors.is_empty() { Ok(settings) } else { Err(SettingsErrors(errors)) }
}

/// The start of an error.
fn place(path: &Path, is_file: bool, origin: &Origin) -> String {
    let file = path.display();
    match origin {
        Origin::Line(line) => format!("{file}:{line}"),
        Origin::Variable(name) => name.to_string(),
        Origin::File if is_file => file.to_string(),
        Origin::File => format!("{file} (no such file)"),
    }
}

/// The folder to which the paths of a file are relative.
fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

impl fmt::Debug for Settings {
    /// Without any values, because they may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
