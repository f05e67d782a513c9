//! The errors of the state's store. Each one reports whether waiting can help; the callers wait.

use std::{error::Error, fmt, io};

use super::FORMAT;

type Source = Box<dyn Error + Send + Sync>;

/// Why the state could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names neither a folder nor a bucket.
    #[error("invalid [state] checkpoints = {url:?}; expected \"file://DIRECTORY\" or \"gs://BUCKET/PATH\"")]
    Url {
        /// The URL as configured.
        url: String,
    },
    /// No state can be stored in this place.
    #[error(
        "cannot store the state in {place}; [state] checkpoints must name a folder or a path in a bucket, not a file"
    )]
    Unusable {
        /// The configured place.
        place: String,
        /// The cause.
        source: Source,
    },
    /// The bucket does not exist.
    #[error(
        "the location of the state, {place}, does not exist; create the bucket, or correct [state] checkpoints"
    )]
    Missing {
        /// The configured place.
        place: String,
        /// The object store's error.
        source: Source,
    },
    /// Missing permissions or credentials.
    #[error(
        "permission denied for the state in {place}; allow this user to list, read, create and delete objects there"
    )]
    Denied {
        /// The configured place.
        place: String,
        /// The object store's error.
        source: Source,
    },
    /// The disk is full. Waiting helps once an operator frees space.
    #[error(
        "no space left for the state in {place}; free some space, and the processor continues automatically"
    )]
    Full {
        /// The configured place.
        place: String,
        /// The operating system's error.
        source: Source,
    },
    /// A transient error. Waiting helps.
    #[error("the state in {place} cannot be {action} at the moment; retrying")]
    Unavailable {
        /// The configured place.
        place: String,
        /// The action that failed.
        action: &'static str,
        /// The cause.
        source: Source,
    },
    /// Another processor writes to the same state.
    #[error(
        "another processor took over the state in {place} (its checkpoint is {newest}, ours would have been {number}); stopping; no data is lost"
    )]
    Fenced {
        /// The configured place.
        place: String,
        /// The number that this processor was about to write, or had just written.
        number: u64,
        /// The newest number in the store.
        newest: u64,
    },
    /// The state was deleted, moved or replaced while a processor used it.
    #[error(
        "checkpoint {number} is no longer in {place}: the state was deleted, moved or replaced while in use; restore it and restart; without it, the next start processes only what Pub/Sub still has"
    )]
    Gone {
        /// The place where it was.
        place: String,
        /// The newest checkpoint that was there.
        number: u64,
    },
    /// An append was repeated with another payload.
    #[error(
        "checkpoint {number} already exists in {place} with an earlier content of this processor; restart it to recover from there"
    )]
    Changed {
        /// The configured place.
        place: String,
        /// The checkpoint's number.
        number: u64,
    },
    /// A newer program wrote the state.
    #[error(
        "checkpoint {number} in {place} has format {version}, but this version reads formats up to {FORMAT}; run the newer version that wrote it"
    )]
    Newer {
        /// The configured place.
        place: String,
        /// The checkpoint's number.
        number: u64,
        /// The version of its format.
        version: u16,
    },
    /// A checkpoint is missing or damaged below the newest one.
    #[error(
        "checkpoint {number} in {place} is {damage}, and checkpoint {needed_by} depends on it; restore it from a backup, or set [state] checkpoints to an empty location and seek both subscriptions back to before the state began"
    )]
    Broken {
        /// The configured place.
        place: String,
        /// The number of that checkpoint.
        number: u64,
        /// The kind of damage.
        damage: Damage,
        /// The number of the checkpoint that cannot be read without it.
        needed_by: u64,
    },
    /// There are checkpoints, but all are damaged.
    #[error(
        "cannot read any of the {count} checkpoints in {place}; restore them from a backup, or set [state] checkpoints to an empty location and seek both subscriptions back to before the state began"
    )]
    Unreadable {
        /// The configured place.
        place: String,
        /// The number of checkpoints.
        count: usize,
    },
}

/// The damage to a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The object does not exist.
    Missing,
    /// The object is truncated or altered.
    Torn,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Torn => "damaged",
        })
    }
}

impl StoreError {
    /// Whether the same call may succeed later, perhaps once an operator has acted.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Unavailable { .. })
    }

    /// Whether another processor has taken over.
    pub fn is_fenced(&self) -> bool {
        matches!(self, Self::Fenced { .. })
    }

    pub(super) fn unusable(place: &str, source: impl Into<Source>) -> Self {
        Self::Unusable { place: place.to_owned(), source: source.into() }
    }

    /// `action` completes "cannot be ...".
    pub(super) fn of(place: &str, action: &'static str, error: object_store::Error) -> Self {
        use object_store::Error as Cause;
        let place = place.to_owned();
        match &error {
            Cause::NotFound { .. } => Self::Missing { place, source: error.into() },
            Cause::PermissionDenied { .. } | Cause::Unauthenticated { .. } => {
                Self::Denied { place, source: error.into() }
            }
            Cause::InvalidPath { .. }
            | Cause::NotSupported { .. }
            | Cause::NotImplemented { .. }
            | Cause::UnknownConfigurationKey { .. } => Self::Unusable { place, source: error.into() },
            _ => match status(&error) {
                Some(404) => Self::Missing { place, source: error.into() },
                Some(401 | 403) => Self::Denied { place, source: error.into() },
                Some(400..=499) => Self::Unusable { place, source: error.into() },
                _ => Self::of_kind(place, action, io_kind(&error), error.into()),
            },
        }
    }

    pub(super) fn of_io(place: &str, action: &'static str, error: io::Error) -> Self {
        let kind = error.kind();
        Self::of_kind(place.to_owned(), action, Some(kind), error.into())
    }

    fn of_kind(place: String, action: &'static str, kind: Option<io::ErrorKind>, source: Source) -> Self {
        use io::ErrorKind as Io;
        match kind {
            Some(Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge) => Self::Full { place, source },
            Some(Io::PermissionDenied | Io::ReadOnlyFilesystem) => Self::Denied { place, source },
            Some(Io::NotADirectory | Io::IsADirectory | Io::AlreadyExists | Io::InvalidFilename) => {
                Self::Unusable { place, source }
            }
            _ => Self::Unavailable { place, action, source },
        }
    }
}

/// The operating system's error, at any depth: `object_store` wraps it twice.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    None
}

/// The HTTP status of an answer that will not change, parsed from the text. `object_store` 0.14 has variants for errors
/// about objects, but for listings and bad requests the type that holds the status is private.
fn status(error: &object_store::Error) -> Option<u16> {
    let text = error.to_string();
    let (_, rest) = text.split_once("non-2xx status code: ")?;
    let code = rest.get(..3)?.parse().ok()?;
    // "Request timeout" and "too many requests" are transient.
    (!matches!(code, 408 | 429)).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(kind: io::ErrorKind) -> object_store::Error {
        let source = object_store::Error::Generic { store: "inner", source: io::Error::from(kind).into() };
        object_store::Error::Generic { store: "outer", source: source.into() }
    }

    #[test]
    fn a_full_disk_is_recognised_however_deep_it_lies() {
        let full = StoreError::of("file:///state", "written", generic(io::ErrorKind::StorageFull));
        assert!(matches!(full, StoreError::Full { .. }) && full.is_transient(), "{full:?}");
        assert_eq!(
            full.to_string(),
            "no space left for the state in file:///state; free some space, and the processor continues automatically"
        );
    }

    #[test]
    fn only_passing_trouble_is_transient() {
        for (kind, transient) in [
            (io::ErrorKind::TimedOut, true),
            (io::ErrorKind::ConnectionRefused, true),
            (io::ErrorKind::PermissionDenied, false),
            (io::ErrorKind::ReadOnlyFilesystem, false),
            (io::ErrorKind::NotADirectory, false),
        ] {
            assert_eq!(StoreError::of("x", "read", generic(kind)).is_transient(), transient, "{kind}");
            assert_eq!(StoreError::of_io("x", "locked", kind.into()).is_transient(), transient, "{kind}");
        }
        let missing = object_store::Error::NotFound { path: "x".to_owned(), source: "404".into() };
        assert!(matches!(StoreError::of("gs://b/", "listed", missing), StoreError::Missing { .. }));
    }
}
