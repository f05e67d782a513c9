//! Errors of a configuration, for the person who wrote it.

use std::{io, path::PathBuf};

/// Every error of one section or of the whole file, in the order in which they were found. Empty for a section that
/// cannot be used because of errors that [`open_partial`](super::Settings::open_partial) has returned.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct SettingsErrors(pub Vec<SettingsError>);

/// Why settings could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The named file does not exist.
    #[error("{path}: no such file (named by {by})", path = .path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
        /// `--config` or the name of the variable.
        by: String,
    },
    /// The file exists but cannot be read as text.
    #[error("{path}: cannot read the file; it must be a UTF-8 text file that this user can read", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The message of the operating system.
        source: io::Error,
    },
    /// A section that the command requires is missing.
    #[error("{place}: missing section {section}; the minimum is\n\n{example}\n")]
    MissingSection {
        /// The file.
        place: String,
        /// The name of the section.
        section: &'static str,
        /// The minimum to add.
        example: String,
    },
    /// Something in the file or the environment is wrong.
    #[error("{place}: {problem}")]
    At {
        /// `file:line`, the file, or the variable.
        place: String,
        /// The key and the problem.
        problem: String,
    },
}

impl From<SettingsError> for SettingsErrors {
    fn from(error: SettingsError) -> Self {
        Self(vec![error])
    }
}
