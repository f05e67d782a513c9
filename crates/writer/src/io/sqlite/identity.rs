//! Whether the file at a path is still the one that was opened.
//!
//! A file that is deleted or replaced under an open connection takes rows as before, and they go with it. The path is only
//! looked up, never opened: closing a second descriptor of the file would free SQLite's locks on it.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use crate::WriterError;

/// A file's device and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity(u64, u64);

impl Identity {
    /// Of the file that is at `path` now.
    ///
    /// # Errors
    /// [`WriterError::Gone`] where there is none, and [`WriterError::Open`] where the file system does not answer.
    pub(crate) fn of(path: &Path) -> Result<Self, WriterError> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Self(metadata.dev(), metadata.ino())),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Err(WriterError::Gone { path: path.to_path_buf() })
            }
            Err(error) => Err(WriterError::Open { path: path.to_path_buf(), source: error.into() }),
        }
    }

    /// Whether `path` still leads to this file.
    ///
    /// # Errors
    /// [`WriterError::Gone`] where it leads to another file or to none.
    pub(crate) fn expect_at(self, path: &Path) -> Result<(), WriterError> {
        match Self::of(path)? {
            found if found == self => Ok(()),
            _ => Err(WriterError::Gone { path: path.to_path_buf() }),
        }
    }
}
