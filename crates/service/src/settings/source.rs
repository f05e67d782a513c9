//! Chooses the configuration file that a command reads. See [`Settings::open`](super::Settings::open) for reading it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The file that is read if none is named.
pub const DEFAULT_FILE: &str = "aqueduct.toml";

/// The variable that names the file.
pub const CONFIG_VARIABLE: &str = "AQUEDUCT_CONFIG";

/// The file, and where it was named. A named file must exist, the default need not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `--config` or the variable.
    Named {
        /// The file.
        path: PathBuf,
        /// Where it was named, for the error if it does not exist.
        by: String,
    },
    /// [`DEFAULT_FILE`] in the current folder, if there is one.
    Default,
}

impl Source {
    /// The argument of `--config` has precedence over the value of [`CONFIG_VARIABLE`] (empty counts as unset), and
    /// that over the default.
    pub fn choose(argument: Option<PathBuf>, variable: Option<OsString>) -> Self {
        if let Some(path) = argument {
            return Self::Named { path, by: "--config".to_owned() };
        }
        match variable {
            Some(path) if !path.is_empty() => {
                Self::Named { path: path.into(), by: CONFIG_VARIABLE.to_owned() }
            }
            _ => Self::Default,
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Named { path, .. } => path,
            Self::Default => Path::new(DEFAULT_FILE),
        }
    }
}
