//! What SQLite's errors mean to an operator.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::WriterError;

/// What a job on a connection can end with.
pub(crate) enum Fault {
    /// SQLite said no.
    Sqlite(rusqlite::Error),
    /// Something was found that is not SQLite's.
    Writer(WriterError),
}

impl Fault {
    pub(crate) fn at(self, path: &Path, doing: &'static str) -> WriterError {
        match self {
            Self::Sqlite(source) => error(path, doing, source),
            Self::Writer(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<WriterError> for Fault {
    fn from(error: WriterError) -> Self {
        Self::Writer(error)
    }
}

pub(crate) fn error(path: &Path, doing: &'static str, error: rusqlite::Error) -> WriterError {
    let code = error.sqlite_error_code();
    let (path, source) = (path.to_path_buf(), error.into());
    match code {
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => WriterError::Disk { path, source },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => WriterError::Busy { path, source },
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            WriterError::Open { path, source }
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => WriterError::Damaged { path, source },
        _ => WriterError::Sqlite { doing, path, source },
    }
}
