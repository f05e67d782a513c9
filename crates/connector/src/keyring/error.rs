//! Errors of a keyring; they never quote the file.

use std::{io, path::PathBuf};

use event::EventTime;

/// Why a keyring cannot be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file does not exist.
    #[error("no keyring at {}; make one with `aqueduct keys new`", .0.display())]
    Missing(PathBuf),
    /// The file exists already.
    #[error("there is a keyring at {} already, and it is never overwritten; `aqueduct keys rotate --at TIME` adds a key", .0.display())]
    Exists(PathBuf),
    /// The operating system refused to read the file.
    #[error("cannot read the keyring {}; check that the user who runs this owns it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The operating system refused to write the file.
    #[error("cannot write the keyring {}; check the folder's permissions and free space", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Others than the owner may use the file.
    #[error("keyring {path} can be read by others (mode {mode:04o}); type `chmod 600 {path}` (for a mounted secret: defaultMode 0440, and fsGroup equal to runAsGroup)", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not TOML, or has other keys or types than a keyring.
    #[error("line {line} of keyring {} is not what a keyring holds; put it back from its copy", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// The file contains no key.
    #[error("keyring {} holds no key; move it away and make one with `aqueduct keys new`", .0.display())]
    Empty(PathBuf),
    /// The configuration names a key that is not in the file.
    #[error("keyring {} lacks the key {id:?} that anonymise.newest_key names; bring this replica the keyring that has it, as `aqueduct keys list` shows", path.display())]
    Lacks {
        /// The file.
        path: PathBuf,
        /// The ID of the key.
        id: String,
    },
    /// An ID that cannot be an attribute.
    #[error("the id of key {number} in keyring {} must be 1 to 64 letters, digits, \"-\" or \"_\"; put it back from its copy", path.display())]
    Id {
        /// The file.
        path: PathBuf,
        /// The number of the key, counted from 1.
        number: usize,
    },
    /// Two keys have the same ID.
    #[error("two keys in keyring {} have the same id; put it back from its copy", .0.display())]
    SameId(PathBuf),
    /// A secret that is too short, too long or not base64.
    #[error("the secret of key {number} in keyring {} is not the base64 of 32 bytes; put it back from its copy", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// The number of the key, counted from 1.
        number: usize,
    },
    /// The first key must be valid for the oldest events.
    #[error("key 1 in keyring {} must hold since always; take its `from` out", .0.display())]
    First(PathBuf),
    /// A later key without a time, or not in order.
    #[error("key {number} in keyring {} needs a `from` later than those of the keys before it, in RFC 3339", path.display())]
    From {
        /// The file.
        path: PathBuf,
        /// The number of the key, counted from 1.
        number: usize,
    },
    /// A rotation into the past would change pseudonyms that were published.
    #[error("{at} has passed: events since then have their pseudonyms; choose a later time than {now}")]
    Past {
        /// The time that was asked for.
        at: EventTime,
        /// The current time.
        now: EventTime,
    },
    /// A rotation before one that is already planned.
    #[error("a key that holds from {last} is in the keyring; choose a later time than that")]
    Planned {
        /// When the last key becomes valid.
        last: EventTime,
    },
    /// Another rotation is running, or was killed.
    #[error("{} exists: another rotation is under way; if none is, remove that file", .0.display())]
    Busy(PathBuf),
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes for a secret; try again")]
    Random(#[source] getrandom::Error),
}
