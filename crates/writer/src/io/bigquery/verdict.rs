//! What an error of an append says about its rows.

use event::append::Appended;
use google_cloud_bigquery::{Error, error::AppendError};
use google_cloud_gax::error::rpc::Code;

use super::fault;
use crate::WriterError;

/// Rows that stand already are done; an error that says nothing about them is an error.
pub(crate) fn of(error: AppendError, doing: impl Fn() -> String) -> Result<Appended, WriterError> {
    match error {
        AppendError::RowErrors { row_errors, .. } => {
            // The service's text may quote a value; its code does not.
            let refused = row_errors.iter().map(|row| {
                let index = u32::try_from(row.index).unwrap_or(u32::MAX);
                (index, row.code.name().unwrap_or("ROW_ERROR").to_ascii_lowercase())
            });
            Ok(Appended::Refused(refused.collect()))
        }
        AppendError::Rpc { source, .. } => {
            judged(&source).map_or_else(|| Err(fault::error(doing(), source)), Ok)
        }
        other => Err(WriterError::Unavailable { doing: doing(), source: Some(other.into()) }),
    }
}

fn judged(error: &Error) -> Option<Appended> {
    let status = error.status()?;
    match status.code {
        Code::AlreadyExists => Some(Appended::Done),
        Code::OutOfRange => Some(Appended::Gap),
        // A table that is gone too is found out when the next stream is opened.
        Code::NotFound => Some(Appended::StreamGone),
        // The Storage Write API says it by a code of its own, which Google's client does not pass on.
        Code::InvalidArgument | Code::FailedPrecondition
            if status.message.to_ascii_lowercase().contains("finalized") =>
        {
            Some(Appended::StreamGone)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use google_cloud_bigquery::model::{RowError, row_error::RowErrorCode};
    use google_cloud_gax::error::rpc::Status;

    use super::*;

    fn check(code: Code, message: &str) -> Option<Appended> {
        judged(&Error::service(Status::default().set_code(code).set_message(message)))
    }

    #[test]
    fn codes_are_judged() {
        assert_eq!(check(Code::AlreadyExists, "offset"), Some(Appended::Done));
        assert_eq!(check(Code::OutOfRange, "offset"), Some(Appended::Gap));
        assert_eq!(check(Code::NotFound, "stream"), Some(Appended::StreamGone));
        assert_eq!(check(Code::FailedPrecondition, "Stream is FINALIZED"), Some(Appended::StreamGone));
        assert_eq!(check(Code::InvalidArgument, "Stream has been finalized"), Some(Appended::StreamGone));
        assert_eq!(check(Code::FailedPrecondition, "other"), None);
        assert_eq!(check(Code::InvalidArgument, "other"), None);
        assert_eq!(check(Code::Unavailable, "later"), None);
    }

    #[test]
    fn errors_of_the_way_are_retryable_and_others_not() {
        let sent = |code| {
            let error = Error::service(Status::default().set_code(code));
            of(error.into(), || "append".to_owned()).expect_err("the error says nothing about rows")
        };
        assert!(sent(Code::Unavailable).is_retryable());
        assert!(sent(Code::Internal).is_retryable());
        assert!(!sent(Code::InvalidArgument).is_retryable());
        assert!(!sent(Code::PermissionDenied).is_retryable());
        let ended = of(AppendError::UnexpectedEndOfStream, || "append".to_owned());
        assert!(ended.expect_err("the connection ended").is_retryable());
    }

    #[test]
    fn refused_rows_keep_their_values_to_themselves() {
        let row = RowError::new().set_index(3).set_code(RowErrorCode::FieldsError).set_message("secret");
        assert_eq!(row.code.name(), Some("FIELDS_ERROR"));
    }
}
