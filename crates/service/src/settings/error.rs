//! What is wrong with a configuration, for the person who wrote it.

use std::{io, path::PathBuf};

/// Why settings could not be read. One a call; a caller that wants all of them reads every section and collects.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file that was asked for does not exist.
    #[error("{path}: no such file (named by {by})", path = .path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
        /// `--config` or the name of the variable.
        by: String,
    },
    /// The file exists and cannot be read as text.
    #[error("{path}: cannot be read; it must be text that this user may read", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A section that the command needs is not there.
    #[error("{place}: the section {section} is missing; the least to add is\n\n{example}\n")]
    MissingSection {
        /// The file.
        place: String,
        /// The name of the section.
        section: &'static str,
        /// What to add.
        example: String,
    },
    /// Something in the file or the environment is wrong.
    #[error("{place}: {problem}")]
    At {
        /// `file:line`, the file, or the variable.
        place: String,
        /// The key and what is wrong with it.
        problem: String,
    },
}
