//! The outcome of the rows of an append, from its answer.

use flow::append::Appended;
use google::CallError;
use prost::Message as _;
use tonic::{Code, Status};

use super::{
    fault,
    wire::{AppendRowsResponse, FIELDS_ERROR, RpcStatus, STORAGE_ERROR, StorageError, storage_code},
};
use crate::WriterError;

/// An answer on a connection that remains open.
pub(super) fn of_answer(
    answer: AppendRowsResponse,
    doing: impl Fn() -> String,
) -> Result<Appended, WriterError> {
    if !answer.row_errors.is_empty() {
        // The service's text may quote a value; its code does not.
        let refused = answer.row_errors.iter().map(|row| {
            let reason = if row.code == FIELDS_ERROR { "fields_error" } else { "row_error" };
            (u32::try_from(row.index).unwrap_or(u32::MAX), reason.to_owned())
        });
        return Ok(Appended::Refused(refused.collect()));
    }
    match answer.error {
        None => Ok(Appended::Done),
        Some(error) => of_error(&error, doing),
    }
}

/// The end of a connection.
pub(super) fn of_end(status: Status, doing: impl Fn() -> String) -> Result<Appended, WriterError> {
    let details = RpcStatus::decode(status.details()).map(|own| own.details).unwrap_or_default();
    let error = RpcStatus { code: status.code() as i32, message: status.message().to_owned(), details };
    judged(&error).map_or_else(|| Err(unsaid(&error, status, doing)), Ok)
}

fn of_error(error: &RpcStatus, doing: impl Fn() -> String) -> Result<Appended, WriterError> {
    let status = || Status::new(Code::from(error.code), error.message.clone());
    judged(error).map_or_else(|| Err(unsaid(error, status(), doing)), Ok)
}

/// The error of an answer that leaves the outcome of its rows open.
fn unsaid(error: &RpcStatus, status: Status, doing: impl Fn() -> String) -> WriterError {
    if own_code(error) == Some(storage_code::SCHEMA_MISMATCH_EXTRA_FIELDS) {
        // `setup` has added the column; the Storage Write API sees it only minutes later.
        let doing = format!("{}; this can take minutes after a column was added", doing());
        return WriterError::Unavailable { doing, source: Some(status.into()) };
    }
    fault::call(doing(), CallError::Status(status))
}

/// The Storage Write API's own code.
fn own_code(error: &RpcStatus) -> Option<i32> {
    let own = error.details.iter().find(|any| any.type_url.ends_with(STORAGE_ERROR));
    own.and_then(|any| StorageError::decode(any.value.as_slice()).ok()).map(|own| own.code)
}

/// The outcome of rows that an error implies; `None` if it implies none. The Storage Write API's own code has priority, because the
/// general code can also come from something between here and the service.
fn judged(error: &RpcStatus) -> Option<Appended> {
    match own_code(error) {
        Some(storage_code::OFFSET_ALREADY_EXISTS) => return Some(Appended::Done),
        Some(storage_code::OFFSET_OUT_OF_RANGE) => return Some(Appended::Gap),
        Some(storage_code::STREAM_FINALIZED | storage_code::STREAM_NOT_FOUND) => {
            return Some(Appended::StreamGone);
        }
        _ => {}
    }
    match Code::from(error.code) {
        Code::AlreadyExists => Some(Appended::Done),
        Code::OutOfRange => Some(Appended::Gap),
        // If the table is missing too, opening the next stream will show it.
        Code::NotFound => Some(Appended::StreamGone),
        Code::InvalidArgument | Code::FailedPrecondition
            if error.message.to_ascii_lowercase().contains("finalized") =>
        {
            Some(Appended::StreamGone)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use google::status;

    use super::*;
    use crate::io::bigquery::wire::RowError;

    fn check(code: Code, message: &str, own: Option<i32>) -> Option<Appended> {
        let detail = own.map(|code| prost_types::Any {
            type_url: format!("type.googleapis.com/{STORAGE_ERROR}"),
            value: StorageError { code }.encode_to_vec(),
        });
        let details = detail.into_iter().collect();
        judged(&RpcStatus { code: code as i32, message: message.to_owned(), details })
    }

    fn append() -> String {
        "append".to_owned()
    }

    #[test]
    fn codes_are_classified() {
        assert_eq!(check(Code::AlreadyExists, "offset", None), Some(Appended::Done));
        assert_eq!(check(Code::OutOfRange, "offset", None), Some(Appended::Gap));
        assert_eq!(check(Code::NotFound, "stream", None), Some(Appended::StreamGone));
        assert_eq!(check(Code::FailedPrecondition, "Stream is FINALIZED", None), Some(Appended::StreamGone));
        assert_eq!(
            check(Code::InvalidArgument, "Stream has been finalized", None),
            Some(Appended::StreamGone)
        );
        assert_eq!(check(Code::FailedPrecondition, "other", None), None);
        assert_eq!(check(Code::InvalidArgument, "other", None), None);
        assert_eq!(check(Code::Unavailable, "later", None), None);
    }

    #[test]
    fn the_storage_error_code_has_priority() {
        for (own, expected) in [
            (3, Some(Appended::StreamGone)),
            (6, Some(Appended::StreamGone)),
            (8, Some(Appended::Done)),
            (9, Some(Appended::Gap)),
            (7, None),
        ] {
            assert_eq!(check(Code::InvalidArgument, "", Some(own)), expected, "{own}");
        }
    }

    #[test]
    fn error_details_are_read() {
        let value = StorageError { code: storage_code::STREAM_FINALIZED }.encode_to_vec();
        let type_url = format!("type.googleapis.com/{STORAGE_ERROR}");
        let own = RpcStatus { details: vec![prost_types::Any { type_url, value }], ..RpcStatus::default() };
        let status = Status::with_details(Code::InvalidArgument, "over", own.encode_to_vec().into());
        assert_eq!(of_end(status, append).expect("the stream is gone"), Appended::StreamGone);
    }

    #[test]
    fn temporary_errors_are_retryable() {
        let sent = |code| of_end(Status::new(code, ""), append).expect_err("the outcome of the rows is open");
        for code in [Code::Unavailable, Code::Internal, Code::PermissionDenied, Code::InvalidArgument] {
            assert_eq!(sent(code).is_retryable(), status::is_temporary(code), "{code:?}");
        }
    }

    #[test]
    fn an_unknown_column_is_retried() {
        let value = StorageError { code: storage_code::SCHEMA_MISMATCH_EXTRA_FIELDS }.encode_to_vec();
        let type_url = format!("type.googleapis.com/{STORAGE_ERROR}");
        let own = RpcStatus {
            code: Code::InvalidArgument as i32,
            details: vec![prost_types::Any { type_url, value }],
            ..RpcStatus::default()
        };
        let status = Status::with_details(Code::InvalidArgument, "extra", own.encode_to_vec().into());
        assert!(of_end(status, append).expect_err("no column").is_retryable());
        let answer = AppendRowsResponse { error: Some(own), row_errors: Vec::new() };
        assert!(of_answer(answer, append).expect_err("no column").is_retryable());
    }

    #[test]
    fn rejected_rows_have_a_reason_without_content() {
        let row_errors = vec![RowError { index: 3, code: FIELDS_ERROR }, RowError { index: 5, code: 9 }];
        let answer = AppendRowsResponse { error: None, row_errors };
        let expected = vec![(3, "fields_error".to_owned()), (5, "row_error".to_owned())];
        assert_eq!(of_answer(answer, append).expect("rows"), Appended::Refused(expected));
    }
}
