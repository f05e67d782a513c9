//! The keyring: the secrets that make pseudonyms, and when each becomes valid.
//!
//! A pseudonym is HMAC-SHA256 with a secret of 32 bytes, truncated to 128 bits, as 22 characters of URL-safe base64.
//! Among 10^9 IDs two collide with a probability of 1.5 x 10^-21 (n^2 / 2^129).
//!
//! The key is selected by the event's own time, so that a replay or a late event gets the same pseudonym as before.
//! Secrets are wiped from memory as far as this program holds them, and never printed.
//!
//! See [`crate::anonymise`] for the fields that are hashed.

mod error;
mod file;
mod key;

use std::path::Path;

use event::EventTime;

pub use error::KeyringError;
pub use key::{Key, PSEUDONYM_LENGTH};

/// One or more keys, each with the time from which it is valid.
#[derive(Clone, Debug)]
pub struct Keyring {
    /// Oldest first, never empty; only the first has no start.
    keys: Vec<Key>,
}

impl Keyring {
    /// Reads a keyring file.
    ///
    /// # Errors
    /// If there is none, if others than its owner may read it, or if it is damaged.
    pub fn load(path: &Path) -> Result<Self, KeyringError> {
        file::read(path).map(|(_, keys)| Self { keys })
    }

    /// Creates a keyring file with one key, which is valid for all times.
    ///
    /// # Errors
    /// If the file exists, or cannot be written.
    pub fn create(path: &Path, now: EventTime) -> Result<Self, KeyringError> {
        file::create(path, now)?;
        Self::load(path)
    }

    /// Adds a key that is valid from `at` on; the others are kept.
    ///
    /// # Errors
    /// If `at` is not later than `now` and than every key, or if the file cannot be read or replaced.
    pub fn rotate(path: &Path, at: EventTime, now: EventTime) -> Result<Self, KeyringError> {
        file::rotate(path, at, now)?;
        Self::load(path)
    }

    /// As [`Self::load`], and requires a key with this ID.
    ///
    /// # Errors
    /// As [`Self::load`], and if the key is missing.
    pub fn load_with(path: &Path, id: Option<&str>) -> Result<Self, KeyringError> {
        let keyring = Self::load(path)?;
        match id.filter(|id| keyring.keys.iter().all(|key| **key.id() != **id)) {
            None => Ok(keyring),
            Some(id) => Err(KeyringError::Lacks { path: path.to_owned(), id: id.to_owned() }),
        }
    }

    /// The keys, oldest first; at least one.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The key that is valid at a time.
    pub fn key_at(&self, time: EventTime) -> &Key {
        let later = self.keys.partition_point(|key| key.from().is_none_or(|from| from <= time));
        &self.keys[later.max(1) - 1]
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
        path::PathBuf,
    };

    use super::*;

    const NOW: EventTime = EventTime(1_700_000_000_000);
    /// The base64 of 32 bytes of 0x0b.
    const SECRET: &str = "CwsLCwsLCwsLCwsLCwsLCwsLCwsLCwsLCwsLCwsLCws=";

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a folder"))
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("keys.toml")
        }

        /// A file with this text that only its owner may read.
        fn with(text: &str) -> Self {
            let folder = Self::new();
            fs::write(folder.path(), text).expect("a file");
            folder.mode(0o600);
            folder
        }

        fn mode(&self, mode: u32) {
            fs::set_permissions(self.path(), fs::Permissions::from_mode(mode)).expect("a mode");
        }

        /// The error of loading.
        fn error(&self) -> KeyringError {
            Keyring::load(&self.path()).expect_err("an error")
        }
    }

    fn later(milliseconds: i64) -> EventTime {
        EventTime(NOW.0 + milliseconds)
    }

    #[test]
    fn a_new_keyring_is_private_and_never_overwritten() {
        let folder = Folder::new();
        let keyring = Keyring::create(&folder.path(), NOW).expect("a keyring");
        assert_eq!(fs::metadata(folder.path()).expect("a file").permissions().mode() & 0o777, 0o600);
        assert_eq!(
            (keyring.keys().len(), keyring.keys()[0].from(), keyring.keys()[0].created()),
            (1, None, Some(NOW))
        );
        let before = fs::read(folder.path()).expect("a file");
        let error = Keyring::create(&folder.path(), NOW).expect_err("an error");
        assert!(matches!(error, KeyringError::Exists(_)), "{error}");
        assert_eq!(fs::read(folder.path()).expect("a file"), before);
        let other = Keyring::create(&folder.path().with_extension("other"), NOW).expect("a keyring");
        assert_ne!(other.keys()[0].pseudonym("123"), keyring.keys()[0].pseudonym("123"));
    }

    #[test]
    fn the_key_is_chosen_by_the_events_time() {
        let folder = Folder::new();
        let first = Keyring::create(&folder.path(), NOW).expect("a keyring");
        Keyring::rotate(&folder.path(), later(10), NOW).expect("a key");
        let keyring = Keyring::rotate(&folder.path(), later(20), NOW).expect("a key");
        let place = |time| keyring.keys().iter().position(|key| key.id() == keyring.key_at(time).id());
        for (time, expect) in [
            (EventTime::MIN, 0),
            (NOW, 0),
            (later(9), 0),
            (later(10), 1),
            (later(19), 1),
            (later(20), 2),
            (EventTime::MAX, 2),
        ] {
            assert_eq!(place(time), Some(expect), "{time}");
        }
        assert_eq!(keyring.key_at(NOW).pseudonym("u1"), first.key_at(NOW).pseudonym("u1"));
        assert_ne!(keyring.key_at(later(10)).pseudonym("u1"), first.key_at(NOW).pseudonym("u1"));
        assert_eq!(fs::metadata(folder.path()).expect("a file").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn rotations_need_a_future_time() {
        let folder = Folder::new();
        Keyring::create(&folder.path(), NOW).expect("a keyring");
        Keyring::rotate(&folder.path(), later(10), NOW).expect("a key");
        let before = fs::read(folder.path()).expect("a file");
        for at in [later(-1), NOW, later(5), later(10)] {
            let error = Keyring::rotate(&folder.path(), at, NOW).expect_err("an error");
            assert!(matches!(error, KeyringError::Past { .. } | KeyringError::Planned { .. }), "{error}");
        }
        assert_eq!(fs::read(folder.path()).expect("a file"), before);
    }

    #[test]
    fn a_rotation_follows_links_and_waits_for_another() {
        let folder = Folder::new();
        Keyring::create(&folder.path(), NOW).expect("a keyring");
        let link = folder.0.path().join("link.toml");
        symlink(folder.path(), &link).expect("a link");
        Keyring::rotate(&link, later(10), NOW).expect("a key");
        assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
        assert_eq!(Keyring::load(&folder.path()).expect("a keyring").keys().len(), 2);
        fs::write(folder.0.path().join("keys.toml.new"), "").expect("a file");
        let error = Keyring::rotate(&link, later(20), NOW).expect_err("an error");
        assert!(matches!(error, KeyringError::Busy(_)), "{error}");
    }

    #[test]
    fn only_the_owner_may_read() {
        let folder = Folder::new();
        Keyring::create(&folder.path(), NOW).expect("a keyring");
        for mode in [0o640, 0o604, 0o660, 0o610] {
            folder.mode(mode);
            assert!(matches!(folder.error(), KeyringError::Open { mode: found, .. } if found == mode));
        }
        folder.mode(0o400);
        Keyring::load(&folder.path()).expect("a keyring that its owner may only read");
    }

    #[test]
    fn invalid_keyrings_are_rejected_without_quoting_them() {
        use KeyringError as Error;
        type Check = fn(&Error) -> bool;
        let key = |rest: &str| format!("[[keys]]\nid = \"k1\"\nsecret = \"{SECRET}\"\n{rest}\n");
        let second = |rest: &str| format!("{}{}", key(""), key(rest).replace("k1", "k2"));
        let from = |time: &str| format!("from = \"{time}\"");
        let cases: [(String, Check); 10] = [
            (String::new(), |error| matches!(error, Error::Empty(_))),
            (key("oops = 1"), |error| matches!(error, Error::Syntax { line: 4, .. })),
            (format!("keys = {SECRET}"), |error| matches!(error, Error::Syntax { line: 1, .. })),
            (key("").replace("CwsL", "Cws*"), |error| matches!(error, Error::Secret { number: 1, .. })),
            (key("").replace("CwsL", ""), |error| matches!(error, Error::Secret { number: 1, .. })),
            (key("").replace("k1", "k/1"), |error| matches!(error, Error::Id { number: 1, .. })),
            (key("").repeat(2), |error| matches!(error, Error::SameId(_))),
            (key(&from("2026-01-01T00:00:00Z")), |error| matches!(error, Error::First(_))),
            (second(""), |error| matches!(error, Error::From { number: 2, .. })),
            (second(&from("soon")), |error| matches!(error, Error::From { number: 2, .. })),
        ];
        for (text, is_expected) in cases {
            let error = Folder::with(&text).error();
            assert!(is_expected(&error), "{text}: {error:?}");
            assert!(!format!("{error} {error:?}").contains("Cws"), "{error:?}");
        }
        assert!(matches!(Folder::new().error(), Error::Missing(_)));
        let folder = Folder::new();
        let (itself, nowhere) = (folder.0.path(), folder.0.path().join("nowhere/keys.toml"));
        assert!(matches!(Keyring::load(itself), Err(Error::Directory(_))));
        assert!(matches!(Keyring::create(itself, NOW), Err(Error::Directory(_))));
        assert!(matches!(Keyring::create(&nowhere, NOW), Err(Error::NoDirectory(_))));
    }

    #[test]
    fn debug_output_has_no_secret() {
        let folder = Folder::with(&format!("[[keys]]\nid = \"k1\"\nsecret = \"{SECRET}\"\n"));
        let keyring = Keyring::load(&folder.path()).expect("a keyring");
        assert_eq!(format!("{keyring:?}"), "Keyring { keys: [Key(k1)] }");
    }
}
