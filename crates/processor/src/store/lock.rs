//! The lock file of a folder that holds the state.
//!
//! The operating system releases a lock when its holder ends. A holder that is merely frozen keeps its lock: a
//! processor that takes over from it replaces the lock file, so that later ones see the new holder's lock. A lock
//! therefore counts only while its file is still at the path. [`super::hold`] decides when to take over.

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

/// The result of an attempt to lock.
#[derive(Debug)]
pub(super) enum Attempt {
    /// This processor has the lock.
    Taken(Lock),
    /// Another process has the lock.
    Busy,
    /// This file system has no locks.
    Unsupported,
}

/// Tries to lock `folder`, which is created if it does not exist.
pub(super) fn attempt(folder: &Path) -> io::Result<Attempt> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let path = folder.join(NAME);
    take(options().open(&path)?, &path)
}

/// Replaces the lock file by a new one that is already locked.
pub(super) fn replace(folder: &Path, writer: &str) -> io::Result<Lock> {
    let own = folder.join(format!("{NAME}.{writer}"));
    let file = options().open(&own)?;
    file.lock()?;
    fs::rename(&own, folder.join(NAME))?;
    Ok(Lock { _file: file })
}

/// Removes temporary files that killed writers left for checkpoints below `below`. Errors are ignored.
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
            // A file that cannot be removed now is tried again next time.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Another process may have replaced the file between opening and locking it; such a lock is worthless.
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
