//! Errors while a process sets up its shell. See [`crate::settings::SettingsError`] for those of the configuration.

use std::io;

/// Why the shell of a process could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Invalid log level.
    #[error(
        "invalid log level {part:?} (expected off, error, warn, info, debug or trace, or target=level, such as \"debug,rdkafka=info\")"
    )]
    Levels {
        /// The part that is invalid.
        part: String,
    },
    /// The debug output of a library was requested while the process runs.
    #[error(
        "{target} is another project's library, whose debug output may quote records: it is let through only where AQUEDUCT_LOG named it at the start; restart with AQUEDUCT_LOG={target}=debug if you accept that"
    )]
    LevelsOfOthers {
        /// The named target.
        target: String,
    },
    /// Another subscriber was installed before.
    #[error("logging was already set up in this process")]
    TelemetryInstalled,
    /// Another program listens on the address.
    #[error(
        "cannot listen on {address}: the address is in use; stop what listens there, or set another address in [service] listen (or AQUEDUCT__SERVICE__LISTEN)"
    )]
    AddressInUse {
        /// The address.
        address: String,
    },
    /// The operating system refuses the address.
    #[error("cannot listen on {address}; correct [service] listen (or AQUEDUCT__SERVICE__LISTEN)")]
    Listen {
        /// The address.
        address: String,
        /// The message of the operating system.
        source: io::Error,
    },
}
