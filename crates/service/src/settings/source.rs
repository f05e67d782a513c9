//! Which configuration file a command reads.
//!
//! Not here: reading it ([`Settings::open`](super::Settings::open)), and the command line.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "aqueduct.toml";

/// The variable that names the file.
pub const CONFIG_VARIABLE: &str = "AQUEDUCT_CONFIG";

/// Which file, and who named it: a named one must exist, the default need not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `--config` or the variable.
    Named {
        /// The file.
        path: PathBuf,
        /// Who named it, for the error when it is not there.
        by: String,
    },
    /// [`DEFAULT_FILE`] in the current folder, if there is one.
    Default,
}

impl Source {
    /// The argument of `--config` before the value of [`CONFIG_VARIABLE`] (an empty one counts as unset) before the
    /// default.
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
