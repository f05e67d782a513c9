//! Errors while a process sets up its shell. See [`crate::settings::SettingsError`] for those of the configuration.

use std::io;

/// Why the shell of a process could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Invalid log level.
    #[error(
        "invalid log level {part:?}; expected off, error, warn, info, debug or trace, or target=level, for example \"debug,rdkafka=info\""
    )]
    Levels {
        /// The part that is invalid.
        part: String,
    },
    /// The debug output of a library was requested while the process runs.
    #[error(
        "{target} is a third-party library whose debug output may quote records, so its level can be raised only at the start; to accept that, restart with AQUEDUCT_LOG={target}=debug"
    )]
    LevelsOfOthers {
        /// The named target.
        target: String,
    },
    /// Another subscriber was installed before.
    #[error("logging is already initialised in this process")]
    TelemetryInstalled,
    /// Another program listens on the address.
    #[error(
        "cannot listen on {address}: address in use; stop the other process, or change service.listen (or AQUEDUCT__SERVICE__LISTEN)"
    )]
    AddressInUse {
        /// The address.
        address: String,
    },
    /// The operating system refuses the address.
    #[error("cannot listen on {address}; correct service.listen (or AQUEDUCT__SERVICE__LISTEN)")]
    Listen {
        /// The address.
        address: String,
        /// The message of the operating system.
        source: io::Error,
    },
}
