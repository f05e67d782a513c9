//! Errors of calls to Pub/Sub, and whether a retry can help.
//!
//! The service's message about a publish request is left out, because it could quote the published data.

use std::{error::Error as _, fmt};

use google::{CallError, TokenError, status};
use tonic::{Code, Status};

/// Why a call to Pub/Sub failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address of the emulator is invalid.
    #[error("invalid emulator host {host:?}; expected host:port, for example \"localhost:8085\"")]
    EmulatorHost {
        /// The configured address.
        host: String,
    },
    /// The credentials are missing, invalid or expired.
    #[error(
        "no usable Google Cloud credentials; run `gcloud auth application-default login`, or set \
         GOOGLE_APPLICATION_CREDENTIALS to the key file of a service account"
    )]
    Credentials {
        /// The message of the library.
        source: Cause,
    },
    /// The source of access tokens is unavailable. A retry can help.
    #[error(
        "no access token for Google Cloud; outside Google Cloud, run `gcloud auth application-default login`, or set \
         GOOGLE_APPLICATION_CREDENTIALS to the key file of a service account"
    )]
    NoToken {
        /// The innermost cause, such as that of the network.
        source: Cause,
    },
    /// The topic or subscription does not exist.
    #[error("{path} does not exist; run `aqueduct setup`")]
    NotFound {
        /// Path of the resource.
        path: String,
    },
    /// The account lacks a permission.
    #[error("permission denied for {path}; grant this account a Pub/Sub role on it")]
    Denied {
        /// Path of the resource.
        path: String,
        /// The message of the service.
        source: Cause,
    },
    /// Pub/Sub did not answer, or reported a temporary condition. A retry can help.
    #[error("no response from Pub/Sub for {path}; check the network, or that the emulator is running")]
    Unavailable {
        /// Path of the resource.
        path: String,
        /// The message of the service or of the network.
        source: Cause,
    },
    /// Pub/Sub will never accept this request.
    #[error("Pub/Sub rejected the request for {path}")]
    Refused {
        /// Path of the resource.
        path: String,
        /// The message of the service.
        source: Cause,
    },
    /// The batch exceeds the limits of one request. Nothing was sent.
    #[error("{messages} messages with {bytes} bytes exceed the limits of a publish request")]
    TooLarge {
        /// Number of messages.
        messages: usize,
        /// Their encoded size in bytes.
        bytes: usize,
    },
}

/// The message of a library or a service, as text, so that their types do not leave this crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause(String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::NoToken { .. })
    }

    /// Whether a publish failed because of its messages. Otherwise no message can be published, whatever it is.
    pub fn is_about_messages(&self) -> bool {
        match self {
            Self::TooLarge { .. } => true,
            Self::Refused { source, .. } => source.0 == status::name(Code::InvalidArgument),
            _ => false,
        }
    }

    /// From a failed call about a topic or a subscription, other than a publish.
    pub(crate) fn of_call(path: &str, error: CallError) -> Self {
        match error {
            CallError::Status(status) => Self::of_pull(path, &status),
            CallError::Token(error) => Self::of_token(&error),
        }
    }

    /// There is no access token.
    pub(crate) fn of_token(error: &TokenError) -> Self {
        // The library's own texts between the two repeat the advice at length.
        if error.is_temporary() {
            Self::NoToken { source: innermost(error) }
        } else {
            Self::credentials(error)
        }
    }

    /// From a failed publish. The message of the service is left out.
    pub(crate) fn of_publish(path: &str, status: &Status) -> Self {
        let code = status.code();
        // A status with a source is a local failure: no connection, or an expired deadline.
        match status.source() {
            Some(source) => Self::unavailable(path, &chain(source)),
            None => Self::of_code(path, code, Cause(status::name(code).to_owned())),
        }
    }

    /// From a broken stream, or a failed call about leases.
    pub(crate) fn of_pull(path: &str, status: &Status) -> Self {
        let code = status.code();
        match status.source() {
            Some(source) => Self::unavailable(path, &chain(source)),
            None => Self::of_code(path, code, Cause(format!("{}: {}", status::name(code), status.message()))),
        }
    }

    /// The response could not be decoded.
    pub(crate) fn unreadable(path: &str) -> Self {
        Self::Refused {
            path: path.to_owned(),
            source: Cause("the response is not valid protobuf".to_owned()),
        }
    }

    /// The client could not be created, or has no token.
    pub(crate) fn credentials(error: &dyn std::error::Error) -> Self {
        Self::Credentials { source: Cause(chain(error)) }
    }

    pub(crate) fn unavailable(path: &str, reason: &str) -> Self {
        Self::Unavailable { path: path.to_owned(), source: Cause(reason.to_owned()) }
    }

    fn of_code(path: &str, code: Code, source: Cause) -> Self {
        let path = path.to_owned();
        match code {
            Code::NotFound => Self::NotFound { path },
            Code::PermissionDenied => Self::Denied { path, source },
            Code::Unauthenticated => Self::Credentials { source },
            code if status::is_temporary(code) => Self::Unavailable { path, source },
            _ => Self::Refused { path, source },
        }
    }
}

/// The messages of an error and its sources, outermost first, without repetitions.
/// The most specific cause, such as that of the network.
pub(crate) fn innermost(error: &dyn std::error::Error) -> Cause {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Cause(cause.to_string())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let part = source.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: Code) -> CallError {
        Status::new(code, "about user u-17").into()
    }

    fn published(code: Code) -> Error {
        Error::of_publish("projects/p/topics/t", &Status::new(code, "about user u-17"))
    }

    fn pulled(code: Code) -> Error {
        Error::of_pull("projects/p/subscriptions/s", &Status::new(code, "not now"))
    }

    #[test]
    fn transient_errors_are_retried() {
        for code in [
            Code::Unavailable,
            Code::ResourceExhausted,
            Code::Internal,
            Code::Unknown,
            Code::DeadlineExceeded,
        ] {
            assert!(published(code).is_retryable(), "{code:?}");
            assert!(pulled(code).is_retryable(), "{code:?}");
            assert!(Error::of_call("t", answered(code)).is_retryable(), "{code:?}");
        }
        for code in [Code::NotFound, Code::PermissionDenied, Code::Unauthenticated, Code::InvalidArgument] {
            assert!(!published(code).is_retryable(), "{code:?}");
            assert!(!pulled(code).is_retryable(), "{code:?}");
            assert!(!Error::of_call("t", answered(code)).is_retryable(), "{code:?}");
        }
        let lost = Status::from_error(Box::new(std::io::Error::other("connection refused")));
        assert!(Error::of_publish("t", &lost).is_retryable());
        assert!(Error::of_pull("t", &lost).is_retryable());
        let cause = || "no route to host".into();
        let error = Error::of_call("t", TokenError::Temporary(cause()).into());
        assert!(error.is_retryable() && matches!(error, Error::NoToken { .. }));
        assert!(matches!(
            Error::of_call("t", TokenError::Refused(cause()).into()),
            Error::Credentials { .. }
        ));
    }

    #[test]
    fn publish_errors_omit_the_services_message() {
        let error = published(Code::InvalidArgument);
        assert_eq!(chain(&error), "Pub/Sub rejected the request for projects/p/topics/t: INVALID_ARGUMENT");
        assert!(chain(&Error::of_call("t", answered(Code::InvalidArgument))).contains("u-17"));
    }

    #[test]
    fn pull_errors_keep_the_services_message() {
        let text = "Pub/Sub rejected the request for projects/p/subscriptions/s: INVALID_ARGUMENT: not now";
        assert_eq!(chain(&pulled(Code::InvalidArgument)), text);
    }

    #[test]
    fn a_missing_resource_names_the_next_step() {
        let error = Error::of_call("projects/p/topics/t", answered(Code::NotFound));
        assert_eq!(error.to_string(), "projects/p/topics/t does not exist; run `aqueduct setup`");
    }
}
