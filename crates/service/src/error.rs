//! What can go wrong while a program sets up its shell.
//!
//! Not here: errors of the configuration ([`crate::settings::SettingsError`]), which have a place in a file.

use std::io;

/// Why the shell of a program could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A text that should say which log lines are wanted does not.
    #[error(
        "invalid log level {part:?} (expected off, error, warn, info, debug or trace, or target=level, such as \"debug,rdkafka=info\")"
    )]
    Levels {
        /// The part that was not understood.
        part: String,
    },
    /// The debug output of a library is asked for while the program runs.
    #[error(
        "{target} is another project's library, whose debug output may quote records: it is let through only where AQUEDUCT_LOG named it at the start; restart with AQUEDUCT_LOG={target}=debug if you accept that"
    )]
    LevelsOfOthers {
        /// The target that was named.
        target: String,
    },
    /// Somebody else installed a subscriber first.
    #[error("logging was already set up in this process")]
    TelemetryInstalled,
    /// Somebody else listens there.
    #[error(
        "cannot listen on {address}: the address is in use; stop what listens there, or set another address in [service] listen (or AQUEDUCT__SERVICE__LISTEN)"
    )]
    AddressInUse {
        /// Where the program wanted to listen.
        address: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}; correct [service] listen (or AQUEDUCT__SERVICE__LISTEN)")]
    Listen {
        /// Where the program wanted to listen.
        address: String,
        /// What the operating system says.
        source: io::Error,
    },
}
