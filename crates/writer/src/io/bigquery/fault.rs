//! What BigQuery's errors mean to an operator.

use google::{CallError, status};
use tonic::Code;

use super::rest::RestError;
use crate::WriterError;

/// There are no credentials, or no way to use them.
pub(super) fn connect(source: impl std::error::Error + Send + Sync + 'static) -> WriterError {
    WriterError::Denied { doing: "connect".to_owned(), source: Box::new(source) }
}

/// A gRPC call that failed.
pub(super) fn call(doing: impl Into<String>, error: CallError) -> WriterError {
    let doing = doing.into();
    let code = match &error {
        // As a call that the service answered.
        CallError::Token(token) if token.is_temporary() => Code::Unavailable,
        CallError::Token(_) => Code::Unauthenticated,
        CallError::Status(status) => status.code(),
    };
    match code {
        Code::NotFound => absent(&doing),
        Code::PermissionDenied | Code::Unauthenticated => WriterError::Denied { doing, source: error.into() },
        code if status::is_temporary(code) => WriterError::Unavailable { doing, source: Some(error.into()) },
        _ => WriterError::BigQuery { doing, source: error.into() },
    }
}

/// A REST call that failed.
pub(super) fn rest(doing: impl Into<String>, error: RestError) -> WriterError {
    let doing = doing.into();
    if is_absent(&error) {
        return absent(&doing);
    }
    if error.is_temporary() {
        return WriterError::Unavailable { doing, source: Some(error.into()) };
    }
    match &error {
        RestError::Token(_) | RestError::Answer { status: 401 | 403, .. } => {
            WriterError::Denied { doing, source: error.into() }
        }
        _ => WriterError::BigQuery { doing, source: error.into() },
    }
}

/// Whether the dataset, table or view does not exist.
pub(super) fn is_absent(error: &RestError) -> bool {
    matches!(error, RestError::Answer { status: 404, .. })
}

/// Whether another process has created it in the meantime.
pub(super) fn exists_already(error: &RestError) -> bool {
    matches!(error, RestError::Answer { status: 409, .. })
}

fn absent(doing: &str) -> WriterError {
    WriterError::Absent { what: format!("the table or dataset to {doing}") }
}
