//! What can go wrong, what it is about, and whether trying again helps.
//!
//! A text of Pub/Sub about a publish request is left out: it could quote what was published.

use std::{error::Error as _, fmt};

use google_cloud_gax::error::{Error as SdkError, rpc::Code};
use tonic::Status;

/// Why a call to Pub/Sub failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The emulator's address cannot be used.
    #[error("emulator host {host:?} is no address; write host:port, such as \"localhost:8085\"")]
    EmulatorHost {
        /// What was configured.
        host: String,
    },
    /// Google Cloud does not know who we are.
    #[error(
        "no usable Google Cloud credentials; run `gcloud auth application-default login`, or set \
         GOOGLE_APPLICATION_CREDENTIALS to the key file of a service account"
    )]
    Credentials {
        /// What the library said.
        source: Cause,
    },
    /// The topic or subscription does not exist.
    #[error("{path} does not exist; run `aqueduct setup`")]
    NotFound {
        /// The resource.
        path: String,
    },
    /// The credentials are good but may not do this.
    #[error("no permission for {path}; grant this account a Pub/Sub role on it")]
    Denied {
        /// The resource.
        path: String,
        /// What the service said.
        source: Cause,
    },
    /// Pub/Sub did not answer, or answered that it cannot just now. Trying again helps.
    #[error("Pub/Sub does not answer for {path}; check the network, or that the emulator runs")]
    Unavailable {
        /// The resource.
        path: String,
        /// What the service or the network said.
        source: Cause,
    },
    /// Pub/Sub will never accept this request.
    #[error("Pub/Sub refused the request for {path}")]
    Refused {
        /// The resource.
        path: String,
        /// What the service said.
        source: Cause,
    },
    /// The batch is beyond the limits of one request; nothing was sent.
    #[error("{messages} messages of {bytes} bytes are too much for one publish request")]
    TooLarge {
        /// How many messages.
        messages: usize,
        /// Their encoded size.
        bytes: usize,
    },
}

/// What a library or a service said, as text: its types stay in this crate.
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
        matches!(self, Self::Unavailable { .. })
    }

    /// A call about a topic or a subscription failed.
    pub(crate) fn of_call(path: &str, error: &SdkError) -> Self {
        Self::classify(path, error, Cause(chain(error)))
    }

    /// A publish failed. The service's own words stay out.
    pub(crate) fn of_publish(path: &str, status: &Status) -> Self {
        let code = Code::from(status.code() as i32);
        // A source is what went wrong on the way: no connection, a deadline of ours.
        match status.source() {
            Some(source) => Self::unavailable(path, &chain(source)),
            None => Self::of_code(path, code, Cause(code.name().to_owned())),
        }
    }

    /// A stream broke, or a call about leases failed.
    pub(crate) fn of_pull(path: &str, status: &Status) -> Self {
        let code = Code::from(status.code() as i32);
        match status.source() {
            Some(source) => Self::unavailable(path, &chain(source)),
            None => Self::of_code(path, code, Cause(format!("{}: {}", code.name(), status.message()))),
        }
    }

    /// An answer that no version of Pub/Sub gives.
    pub(crate) fn unreadable(path: &str) -> Self {
        Self::Refused { path: path.to_owned(), source: Cause("the answer is no protobuf".to_owned()) }
    }

    /// The library could not be set up, or has no token.
    pub(crate) fn credentials(error: &dyn std::error::Error) -> Self {
        Self::Credentials { source: Cause(chain(error)) }
    }

    pub(crate) fn unavailable(path: &str, reason: &str) -> Self {
        Self::Unavailable { path: path.to_owned(), source: Cause(reason.to_owned()) }
    }

    fn classify(path: &str, error: &SdkError, source: Cause) -> Self {
        if error.is_authentication() && !error.is_transient_and_before_rpc() {
            return Self::Credentials { source };
        }
        match error.status().map(|status| status.code) {
            Some(code) => Self::of_code(path, code, source),
            None if !reaches_nobody(error) => Self::Refused { path: path.to_owned(), source },
            None => Self::Unavailable { path: path.to_owned(), source },
        }
    }

    fn of_code(path: &str, code: Code, source: Cause) -> Self {
        let path = path.to_owned();
        match code {
            Code::NotFound => Self::NotFound { path },
            Code::PermissionDenied => Self::Denied { path, source },
            Code::Unauthenticated => Self::Credentials { source },
            code if passes(code) => Self::Unavailable { path, source },
            _ => Self::Refused { path, source },
        }
    }
}

/// Codes of conditions that pass.
fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Internal
            | Code::Unknown
            | Code::Cancelled
    )
}

/// No answer came from Pub/Sub itself. A proxy's HTTP answer counts as none, unless it blames the request.
fn reaches_nobody(error: &SdkError) -> bool {
    let blamed = matches!(error.http_status_code(), Some(400..=428 | 430..=499));
    let lost = error.is_io()
        || error.is_timeout()
        || error.is_connect()
        || error.is_transport()
        || error.is_exhausted();
    error.is_transient_and_before_rpc() || (lost && !blamed)
}

/// The texts of an error and its sources, outermost first, each once.
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
    use google_cloud_gax::error::rpc;

    use super::*;

    fn answered(code: Code) -> SdkError {
        SdkError::service(rpc::Status::default().set_code(code).set_message("about user u-17"))
    }

    fn published(code: Code) -> Error {
        Error::of_publish("projects/p/topics/t", &Status::new((code as i32).into(), "about user u-17"))
    }

    fn pulled(code: Code) -> Error {
        Error::of_pull("projects/p/subscriptions/s", &Status::new((code as i32).into(), "not now"))
    }

    #[test]
    fn what_passes_is_retried() {
        for code in [
            Code::Unavailable,
            Code::ResourceExhausted,
            Code::Internal,
            Code::Unknown,
            Code::DeadlineExceeded,
        ] {
            assert!(published(code).is_retryable(), "{code:?}");
            assert!(pulled(code).is_retryable(), "{code:?}");
            assert!(Error::of_call("t", &answered(code)).is_retryable(), "{code:?}");
        }
        for code in [Code::NotFound, Code::PermissionDenied, Code::Unauthenticated, Code::InvalidArgument] {
            assert!(!published(code).is_retryable(), "{code:?}");
            assert!(!pulled(code).is_retryable(), "{code:?}");
            assert!(!Error::of_call("t", &answered(code)).is_retryable(), "{code:?}");
        }
        let lost = Status::from_error(Box::new(std::io::Error::other("connection refused")));
        assert!(Error::of_publish("t", &lost).is_retryable());
        assert!(Error::of_pull("t", &lost).is_retryable());
        assert!(!Error::of_call("t", &SdkError::deser("garbage")).is_retryable());
    }

    #[test]
    fn the_words_of_the_service_about_a_publish_stay_out() {
        let error = published(Code::InvalidArgument);
        assert_eq!(chain(&error), "Pub/Sub refused the request for projects/p/topics/t: INVALID_ARGUMENT");
        assert!(chain(&Error::of_call("t", &answered(Code::InvalidArgument))).contains("u-17"));
    }

    #[test]
    fn the_words_of_the_service_about_a_pull_are_kept() {
        let text = "Pub/Sub refused the request for projects/p/subscriptions/s: INVALID_ARGUMENT: not now";
        assert_eq!(chain(&pulled(Code::InvalidArgument)), text);
    }

    #[test]
    fn a_missing_resource_names_the_next_step() {
        let error = Error::of_call("projects/p/topics/t", &answered(Code::NotFound));
        assert_eq!(error.to_string(), "projects/p/topics/t does not exist; run `aqueduct setup`");
    }
}
