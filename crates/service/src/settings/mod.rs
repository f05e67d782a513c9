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
use tree::{Origin, Table};

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
    /// As [`load`](Self::load).
    pub fn open(source: &Source, known_sections: &[&str]) -> Result<Self, SettingsError> {
        match source {
            Source::Named { path, by } if !path.exists() => {
                Err(SettingsError::NotFound { path: path.clone(), by: by.clone() })
            }
            Source::Default if !Path::new(DEFAULT_FILE).exists() => {
                Self::empty(Path::new(DEFAULT_FILE), expand::process_variables()?, known_sections)
            }
            _ => Self::load(source.path(), known_sections),
        }
    }

    /// Reads a file, and the environment of the process.
    ///
    /// # Errors
    /// The file cannot be read or is not TOML, a section is unknown, or a variable `AQUEDUCT__...` does not name a key.
    pub fn load(path: &Path, known_sections: &[&str]) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SettingsError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path, expand::process_variables()?, known_sections)
    }

    /// As [`load`](Self::load), with the text and the environment as arguments.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(
        text: &str,
        path: &Path,
        variables: impl IntoIterator<Item = (String, String)>,
        known_sections: &[&str],
    ) -> Result<Self, SettingsError> {
        let root = tree::parse(text)
            .map_err(|(origin, problem)| SettingsError::At { place: place(path, true, &origin), problem })?;
        Self::assemble(path, true, root, variables, known_sections)
    }

    /// Settings without a file; the environment may contain overrides. `path` is where the file would be.
    ///
    /// # Errors
    /// As [`load`](Self::load), for the environment.
    pub fn empty(
        path: &Path,
        variables: impl IntoIterator<Item = (String, String)>,
        known_sections: &[&str],
    ) -> Result<Self, SettingsError> {
        Self::assemble(path, false, Table::default(), variables, known_sections)
    }

    fn assemble(
        path: &Path,
        is_file: bool,
        root: Table,
        variables: impl IntoIterator<Item = (String, String)>,
        known_sections: &[&str],
    ) -> Result<Self, SettingsError> {
        let context = Context::new(variables, folder(path));
        let mut settings = Self { path: path.to_owned(), is_file, root, context };
        overrides::apply(&mut settings.root, settings.context.variables())
            .map_err(|(variable, problem)| SettingsError::At { place: variable, problem })?;
        settings.check_sections(known_sections)?;
        Ok(settings)
    }

    fn check_sections(&self, known: &[&str]) -> Result<(), SettingsError> {
        let Some(entry) = self.root.entries.iter().find(|entry| !known.contains(&entry.key.as_str())) else {
            return Ok(());
        };
        let hint = fault::hint(&entry.key, known, "sections");
        let problem = format!("unknown section {}; {hint}", Segment::Key(entry.key.clone()));
        Err(self.at(&entry.origin, problem))
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
        read::read(&entry.node, &self.context).map(Some).map_err(|faults| SettingsErrors(located(faults)))
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
