//! Checks that the state is still where it was written.
//!
//! If a folder is deleted while a processor runs, the next write creates it again with a checkpoint whose predecessors
//! are gone, which the next start could not read. The newest checkpoint is therefore checked before each write, after
//! it, and in between by [`Store::check_present`]. Only folders are checked: a check costs nothing there, and they are
//! deleted by a person or a script on the same machine.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    Store, StoreError,
    format::NONE,
    objects::{name_of, number_of},
};

/// The number of a checkpoint, shared by the clones of a store.
#[derive(Clone, Debug)]
pub(super) struct Newest(Arc<AtomicU64>);

impl Default for Newest {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(NONE)))
    }
}

impl Newest {
    pub(super) fn set(&self, number: u64) {
        self.0.store(number, Ordering::Release);
    }

    fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Acquire)).filter(|number| *number != NONE)
    }
}

impl Store {
    /// Checks that the newest checkpoint of this writer still exists. `Ok` before the first one, for a bucket, and if a
    /// newer checkpoint shows that another processor took over, which the next append reports.
    ///
    /// # Errors
    /// [`StoreError::Gone`] if it does not exist.
    pub fn check_present(&self) -> Result<(), StoreError> {
        match self.newest.get() {
            Some(number) => self.check_number(number, number),
            None => Ok(()),
        }
    }

    /// As [`check_present`](Self::check_present), right after the checkpoint that follows `previous` was written.
    pub(super) fn check_previous(&self, previous: u64) -> Result<(), StoreError> {
        if previous == NONE { Ok(()) } else { self.check_number(previous, previous.saturating_add(1)) }
    }

    /// Checks that `number` exists, or that a checkpoint above `own` shows that another processor took over.
    fn check_number(&self, number: u64, own: u64) -> Result<(), StoreError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        match folder.join(name_of(number)).metadata() {
            Err(error) if is_absent(&error) && !is_superseded(folder, own) => {
                Err(StoreError::Gone { place: self.place.to_string(), number })
            }
            // If the file system does not answer, the next write reports it.
            _ => Ok(()),
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Whether another processor took over: it prunes old checkpoints, too.
fn is_superseded(folder: &Path, number: u64) -> bool {
    let Ok(entries) = folder.read_dir() else { return false };
    entries
        .flatten()
        .any(|entry| entry.file_name().to_str().and_then(number_of).is_some_and(|found| found > number))
}
