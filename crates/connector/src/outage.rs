//! One WARN when Pub/Sub stops answering, one INFO when it answers again, however many attempts fail between.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Whether Pub/Sub answers.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    since: Mutex<Option<Instant>>,
}

impl Outage {
    /// An attempt failed. Whether it is the first one.
    pub(crate) fn failed(&self) -> bool {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = since.is_none();
        since.get_or_insert_with(Instant::now);
        is_first
    }

    /// An attempt worked. How long none did, if it is the first one.
    pub(crate) fn worked(&self) -> Option<Duration> {
        let since = self.since.lock().unwrap_or_else(PoisonError::into_inner).take();
        since.map(|since| since.elapsed())
    }

    /// How long no attempt has worked, where the last one failed.
    pub(crate) fn length(&self) -> Option<Duration> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).map(|since| since.elapsed())
    }

    /// Whether the last attempt failed.
    pub(crate) fn is_on(&self) -> bool {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}
