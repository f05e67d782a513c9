//! The mailbox between driver, reader and facts. Each order holds only the newest value, never a queue.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use event::Partition;

use super::{
    fit::Mismatch,
    slot::{Commit, Slot},
};
use crate::TopicPartition;

/// The mailbox that the threads and the driver share.
#[derive(Debug, Default)]
pub struct Orders {
    /// Driver to both threads: drain, commit, leave the group. Never reset.
    stop: AtomicBool,
    /// Driver to reader: stop reading for now.
    hold: AtomicBool,
    /// Driver to reader: offsets to commit.
    commits: Mutex<Vec<(Commit, Partition)>>,
    /// Reader to facts: the assignment.
    slots: Mutex<Arc<Vec<Slot>>>,
    /// Facts to reader: the IDs of the topics that exist.
    topic_ids: Mutex<BTreeMap<String, String>>,
    /// Reader to facts.
    membership: Mutex<Membership>,
    /// Facts to reader: join the group again.
    rejoin: Mutex<Option<Mismatch>>,
}

/// The state of this replica in its group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Membership {
    /// Counts the clients with which this replica has joined. Observations of an earlier one do not hold for this one.
    pub(crate) client: u64,
    /// Whether the group knew this static member before it joined.
    pub(crate) is_returning: bool,
    /// How many assignments it has received since.
    pub(crate) assignments: u64,
    /// Partitions that are assigned to it and that it cannot read.
    pub(crate) strays: BTreeSet<TopicPartition>,
}

impl Orders {
    /// The driver: drain, commit, leave the group.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Whether [`Self::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// The driver: read nothing while this is `true`.
    pub fn hold(&self, hold: bool) {
        self.hold.store(hold, Ordering::Release);
    }

    pub(crate) fn is_held(&self) -> bool {
        self.hold.load(Ordering::Acquire)
    }

    /// The driver: commit these offsets, instead of those that were not committed yet.
    pub fn commit(&self, commits: Vec<(Commit, Partition)>) {
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

    /// The reader: it joins with a new client; the group may know this static member already.
    pub(crate) fn joins(&self, is_returning: bool) {
        let mut membership = lock(&self.membership);
        let client = membership.client + 1;
        *membership = Membership { client, is_returning, ..Membership::default() };
    }

    /// The reader: one more assignment arrived, with these partitions that cannot be read.
    pub(crate) fn assigned(&self, strays: Vec<TopicPartition>) {
        let mut membership = lock(&self.membership);
        membership.assignments += 1;
        membership.strays.extend(strays);
    }

    /// The reader: these partitions of its assignment cannot be read any more.
    pub(crate) fn strayed(&self, strays: Vec<TopicPartition>) {
        lock(&self.membership).strays.extend(strays);
    }

    /// The reader: these partitions were revoked.
    pub(crate) fn revoked(&self, partitions: &[TopicPartition]) {
        let mut membership = lock(&self.membership);
        partitions.iter().for_each(|partition| {
            membership.strays.remove(partition);
        });
    }

    pub(crate) fn membership(&self) -> Membership {
        lock(&self.membership).clone()
    }

    /// The facts: join the group again, for this reason.
    pub(crate) fn rejoin(&self, mismatch: Mismatch) {
        *lock(&self.rejoin) = Some(mismatch);
    }

    pub(crate) fn take_rejoin(&self) -> Option<Mismatch> {
        lock(&self.rejoin).take()
    }

    /// The facts: these are the IDs of the topics.
    pub(crate) fn set_topic_ids(&self, ids: BTreeMap<String, String>) {
        *lock(&self.topic_ids) = ids;
    }

    pub(crate) fn topic_id(&self, topic: &str) -> Option<String> {
        lock(&self.topic_ids).get(topic).cloned()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one assignment, so a panic leaves nothing half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
