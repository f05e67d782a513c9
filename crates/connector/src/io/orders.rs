//! What driver, reader and facts leave for each other: each is the newest value, never a queue.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use event::Partition;

use crate::slot::{Commit, Slot};

/// The mailbox that the threads share.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    stop: AtomicBool,
    hold: AtomicBool,
    commits: Mutex<Vec<(Commit, Partition)>>,
    slots: Mutex<Arc<Vec<Slot>>>,
    topic_ids: Mutex<BTreeMap<String, String>>,
}

impl Orders {
    /// The driver: drain, commit, leave the group.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// The driver: read nothing for now.
    pub(crate) fn hold(&self, hold: bool) {
        self.hold.store(hold, Ordering::Release);
    }

    pub(crate) fn is_held(&self) -> bool {
        self.hold.load(Ordering::Acquire)
    }

    /// The driver: commit all these.
    pub(crate) fn commit(&self, commits: Vec<(Commit, Partition)>) {
        *lock(&self.commits) = commits;
    }

    pub(crate) fn take_commits(&self) -> Vec<(Commit, Partition)> {
        std::mem::take(&mut lock(&self.commits))
    }

    /// The reader: this is the assignment.
    pub(crate) fn set_slots(&self, slots: Vec<Slot>) {
        *lock(&self.slots) = Arc::new(slots);
    }

    pub(crate) fn slots(&self) -> Arc<Vec<Slot>> {
        lock(&self.slots).clone()
    }

    /// The facts: these are the topics' ids.
    pub(crate) fn set_topic_ids(&self, ids: BTreeMap<String, String>) {
        *lock(&self.topic_ids) = ids;
    }

    pub(crate) fn topic_id(&self, topic: &str) -> Option<String> {
        lock(&self.topic_ids).get(topic).cloned()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one assignment: nothing is left half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
