//! Permits for the bytes in flight, which were read and are not published yet. They bound memory during an outage of
//! Pub/Sub.

use std::{sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Permits for bytes in flight.
#[derive(Clone, Debug)]
pub struct Permits {
    runtime: Handle,
    bytes: Arc<Semaphore>,
    /// The number of permits in total.
    total: usize,
}

/// The least that a batch takes of the permits, however few bytes its messages have, so that permits bound the number of
/// batches too: 1,024 of them at the default of 32 MiB.
///
/// A batch that is not full is closed after some milliseconds, so that records which trickle in during an outage of
/// Pub/Sub form one batch each. Counted by their bytes alone, 314,631 of them fitted (measured with 106 bytes each).
const LEAST_PERMIT: usize = 32 << 10;
/// With few bytes in flight a small batch takes a share of them, not all.
const SMALL_BATCHES: usize = 16;

impl Permits {
    /// Permits for this many bytes, at least one. Must be called within a Tokio runtime, whose timers the polling thread
    /// uses while it waits.
    pub fn new(bytes: u64) -> Self {
        let total = usize::try_from(bytes).unwrap_or(usize::MAX).clamp(1, u32::MAX as usize);
        Self { runtime: Handle::current(), bytes: Arc::new(Semaphore::new(total)), total }
    }

    /// The total number of bytes.
    pub fn total(&self) -> usize {
        self.total
    }

    /// The number of bytes that no batch holds.
    pub fn available(&self) -> usize {
        self.bytes.available_permits()
    }

    /// The permit for a batch of this many bytes; `None` if too few are available. A batch that is larger than all permits
    /// takes all of them.
    pub fn try_acquire(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.bytes.clone().try_acquire_many_owned(self.wanted(bytes)).ok()
    }

    /// As [`Self::try_acquire`], and waits for it. Blocks.
    pub(super) fn acquire(&self, bytes: usize, patience: Duration) -> Option<OwnedSemaphorePermit> {
        let waiting = self.bytes.clone().acquire_many_owned(self.wanted(bytes));
        self.runtime.block_on(async { timeout(patience, waiting).await }).ok()?.ok()
    }

    fn wanted(&self, bytes: usize) -> u32 {
        let least = LEAST_PERMIT.min(self.total / SMALL_BATCHES);
        u32::try_from(bytes.max(least).min(self.total)).unwrap_or(u32::MAX)
    }
}
