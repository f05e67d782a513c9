//! Errors of a keyring; they never quote the file.

use std::{io, path::PathBuf};

use event::EventTime;

/// Why a keyring cannot be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file does not exist.
    #[error("the keyring {} does not exist; correct its path, or create it with `aqueduct keys new`", .0.display())]
    Missing(PathBuf),
    /// The path is that of a directory.
    #[error("the keyring {} is a directory; name the file in it", .0.display())]
    Directory(PathBuf),
    /// A keyring cannot be created in a directory that does not exist.
    #[error("cannot create the keyring {}: its directory does not exist; create the directory, or correct the path", .0.display())]
    NoDirectory(PathBuf),
    /// The file exists already.
    #[error("a keyring exists at {} and is not overwritten; add a key with `aqueduct keys rotate --at TIME`", .0.display())]
    Exists(PathBuf),
    /// The operating system refused to read the file.
    #[error("cannot read the keyring {}; check that the current user owns it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The operating system refused to write the file.
    #[error("cannot write the keyring {}; check the directory's permissions and the free space", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Others than the owner may use the file.
    #[error("keyring {path} is readable by other users (mode {mode:04o}); run `chmod 600 {path}` (for a mounted secret: defaultMode 0440, and fsGroup equal to runAsGroup)", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not TOML, or has other keys or types than a keyring.
    #[error("invalid line {line} in keyring {}; restore it from the backup", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// The file contains no key.
    #[error("keyring {} is empty; move it away and create one with `aqueduct keys new`", .0.display())]
    Empty(PathBuf),
    /// The configuration names a key that is not in the file.
    #[error("keyring {} does not contain the key {id:?} of anonymise.newest_key; copy the current keyring to this replica (compare with `aqueduct keys list`)", path.display())]
    Lacks {
        /// The file.
        path: PathBuf,
        /// The ID of the key.
        id: String,
    },
    /// An ID that cannot be an attribute.
    #[error("invalid ID of key {number} in keyring {}; expected 1 to 64 letters, digits, \"-\" or \"_\"; restore it from the backup", path.display())]
    Id {
        /// The file.
        path: PathBuf,
        /// The number of the key, counted from 1.
        number: usize,
    },
    /// Two keys have the same ID.
    #[error("two keys in keyring {} have the same ID; restore it from the backup", .0.display())]
    SameId(PathBuf),
    /// A secret that is too short, too long or not base64.
    #[error("invalid secret of key {number} in keyring {}; expected 32 bytes in base64; restore it from the backup", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// The number of the key, counted from 1.
        number: usize,
    },
    /// The first key must be valid for the oldest events.
    #[error("key 1 in keyring {} must be valid from the beginning; remove its `from`", .0.display())]
    First(PathBuf),
    /// A later key without a time, or not in order.
    #[error("key {number} in keyring {} needs a `from` in RFC 3339 that is later than that of the previous key", path.display())]
    From {
        /// The file.
        path: PathBuf,
        /// The number of the key, counted from 1.
        number: usize,
    },
    /// A rotation into the past would change pseudonyms that were published.
    #[error(
        "{at} is in the past, and events since then were pseudonymised with another key; choose a time after {now}"
    )]
    Past {
        /// The requested time.
        at: EventTime,
        /// The current time.
        now: EventTime,
    },
    /// A rotation before one that is already planned.
    #[error("the keyring has a key that is valid from {last}; choose a later time")]
    Planned {
        /// When the last key becomes valid.
        last: EventTime,
    },
    /// Another rotation is running, or was killed.
    #[error("{} exists: another rotation is in progress; if not, remove that file", .0.display())]
    Busy(PathBuf),
    /// The operating system gave no random bytes.
    #[error("the operating system returned no random bytes for a secret; try again")]
    Random(#[source] getrandom::Error),
}
