//! The lock file of a folder that holds the state.
//!
//! The operating system frees a lock when its holder ends. A holder that is merely stopped keeps it: a process that takes
//! over from it puts another lock file in place of the first, so that the next to come sees the new holder's lock.
//! A lock counts only while its file still stands at the path.
//!
//! Not here: the decision to take over, and what makes it harmless ([`super::append`]).

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

const NAME: &str = "lock";

/// The lock, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// What became of an attempt.
#[derive(Debug)]
pub(super) enum Attempt {
    /// It is ours.
    Taken(Lock),
    /// Somebody has it.
    Busy,
    /// This file system has no locks.
    Unsupported,
}

/// Tries to take the lock of `folder`, which is made if it is not there.
pub(super) fn attempt(folder: &Path) -> io::Result<Attempt> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let path = folder.join(NAME);
    take(options().open(&path)?, &path)
}

/// Puts a lock file of our own, locked already, in place of the one that is there.
pub(super) fn replace(folder: &Path, writer: &str) -> io::Result<Lock> {
    let own = folder.join(format!("{NAME}.{writer}"));
    let file = options().open(&own)?;
    file.lock()?;
    fs::rename(&own, folder.join(NAME))?;
    Ok(Lock { _file: file })
}

/// Removes what writers that were killed half way left of checkpoints below `below`. Best effort.
///
/// `object_store` writes to `<name>#<count>` first and does not list such files.
pub(super) fn sweep(folder: &Path, below: u64) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.split_once('#'))
            .and_then(|(number, _)| number.parse::<u64>().ok());
        if number.is_some_and(|number| number < below) {
            // Left for the next time, if it cannot be removed.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Between opening a file and locking it, somebody may have put another in its place: then it is worth nothing.
fn take(file: File, path: &Path) -> io::Result<Attempt> {
    match file.try_lock() {
        Ok(()) if stands_at(&file, path)? => Ok(Attempt::Taken(Lock { _file: file })),
        Ok(()) | Err(TryLockError::WouldBlock) => Ok(Attempt::Busy),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            Ok(Attempt::Unsupported)
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options
}

fn stands_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(theirs) => Ok((ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(folder: &Path) -> Option<Lock> {
        match attempt(folder).expect("the folder is ours") {
            Attempt::Taken(lock) => Some(lock),
            Attempt::Busy | Attempt::Unsupported => None,
        }
    }

    #[test]
    fn one_at_a_time() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("deep/state");
        let first = taken(&folder).expect("it is free");
        assert!(taken(&folder).is_none());
        drop(first);
        assert!(taken(&folder).is_some());
        let mode = fs::metadata(&folder).expect("it was made").mode() & 0o777;
        assert_eq!(mode, 0o700);
    }

    #[test]
    fn a_replaced_lock_holds_against_all_and_the_old_one_is_worth_nothing() {
        let home = tempfile::tempdir().expect("a folder");
        let stopped = taken(home.path()).expect("it is free");
        let second = replace(home.path(), "w").expect("a rename");
        assert!(taken(home.path()).is_none());
        drop(stopped);
        assert!(taken(home.path()).is_none(), "freeing the old file frees nothing");
        drop(second);
        assert!(taken(home.path()).is_some());
    }

    #[test]
    fn a_file_that_was_replaced_before_it_was_locked_is_no_lock() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join(NAME);
        let opened = options().open(&path).expect("writable");
        let _second = replace(home.path(), "w").expect("a rename");
        assert!(matches!(take(opened, &path).expect("no trouble"), Attempt::Busy));
    }

    #[test]
    fn leftovers_are_swept_below_the_bound_only() {
        let home = tempfile::tempdir().expect("a folder");
        let names =
            ["00000000000000000003#1", "00000000000000000004#1", "00000000000000000003", "lock", "x#1"];
        for name in names {
            fs::write(home.path().join(name), "x").expect("writable");
        }
        sweep(home.path(), 4);
        for name in names {
            assert_eq!(home.path().join(name).exists(), name != names[0], "{name}");
        }
    }
}
