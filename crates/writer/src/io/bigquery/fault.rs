//! What BigQuery's errors mean to whoever runs the pipeline.

use google_cloud_bigquery::{
    Error,
    error::{QueryError, RowError},
};
use google_cloud_gax::{client_builder::Error as BuilderError, error::rpc::Code};

use crate::WriterError;

/// A client could not be made: there are no credentials.
pub(crate) fn credentials(source: BuilderError) -> WriterError {
    WriterError::Denied { doing: "connect".to_owned(), source: source.into() }
}

/// An answer, or none, to a call.
pub(crate) fn error(doing: impl Into<String>, source: Error) -> WriterError {
    let doing = doing.into();
    if is_absent(&source) {
        return WriterError::Absent { what: format!("the table or dataset that it takes to {doing}") };
    }
    if source.is_authentication() || matches!(source.http_status_code(), Some(401 | 403)) && !is_busy(&source)
    {
        return WriterError::Denied { doing, source: source.into() };
    }
    if is_busy(&source) {
        return WriterError::Unavailable { doing, source: Some(source.into()) };
    }
    match code(&source) {
        Some(Code::PermissionDenied | Code::Unauthenticated) => {
            WriterError::Denied { doing, source: source.into() }
        }
        _ => WriterError::BigQuery { doing, source: source.into() },
    }
}

/// An answer to a query.
pub(crate) fn query(doing: String, error_: QueryError) -> WriterError {
    match error_ {
        QueryError::Rpc { source, .. } => error(doing, source),
        other => WriterError::BigQuery { doing, source: other.into() },
    }
}

/// A row of an answer.
pub(crate) fn row(doing: String, error_: RowError) -> WriterError {
    match error_ {
        RowError::Rpc { source, .. } => error(doing, source),
        other => WriterError::BigQuery { doing, source: other.into() },
    }
}

/// Whether the dataset, table or view is not there.
pub(crate) fn is_absent(error: &Error) -> bool {
    error.http_status_code() == Some(404) || code(error) == Some(Code::NotFound)
}

/// Whether another made it a moment before.
pub(crate) fn exists_already(error: &Error) -> bool {
    error.http_status_code() == Some(409) || code(error) == Some(Code::AlreadyExists)
}

fn is_busy(error: &Error) -> bool {
    if error.is_timeout() || error.is_io() || error.is_connect() || error.is_exhausted() {
        return true;
    }
    if let Some(status) = error.http_status_code() {
        return status == 429 || status >= 500;
    }
    match code(error) {
        Some(
            Code::Unavailable
            | Code::Aborted
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::ResourceExhausted
            | Code::Unknown,
        ) => true,
        Some(_) => false,
        None => error.is_transport(),
    }
}

fn code(error: &Error) -> Option<Code> {
    error.status().map(|status| status.code)
}
