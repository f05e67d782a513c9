//! Detects the beginning and the end of an outage of Pub/Sub, so that each is logged once, however many attempts fail
//! in between.

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
    /// An attempt failed. Returns whether it is the first one.
    pub(crate) fn failed(&self) -> bool {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = since.is_none();
        since.get_or_insert_with(Instant::now);
        is_first
    }

    /// An attempt succeeded. Returns the length of the outage that it ends.
    pub(crate) fn worked(&self) -> Option<Duration> {
        let since = self.since.lock().unwrap_or_else(PoisonError::into_inner).take();
        since.map(|since| since.elapsed())
    }

    /// The length of the current outage; `None` if the last attempt succeeded.
    pub(crate) fn length(&self) -> Option<Duration> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).map(|since| since.elapsed())
    }

    /// Whether the last attempt failed.
    pub(crate) fn is_on(&self) -> bool {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}
