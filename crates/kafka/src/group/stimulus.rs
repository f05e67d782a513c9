//! Everything that reaches the driver from the two Kafka threads, in one closed enum.

use std::{collections::BTreeSet, sync::mpsc::SyncSender};

use event::{EventTime, Partition, mark::TopicMark};
use tokio::sync::{OwnedSemaphorePermit, mpsc::Receiver};

use crate::{
    Error,
    group::{
        slot::{Commit, Slot},
        start::Start,
    },
};

/// Where a driver receives them, in order.
pub type Stimuli<B> = Receiver<Stimulus<B>>;

/// What happened in the group or at the brokers.
#[derive(Debug)]
pub enum Stimulus<B> {
    /// Partitions were assigned.
    Assigned(Vec<(Slot, Start)>),
    /// Records were read. The permit is for their bytes and must be held until they are published; a batch of a drain has
    /// none.
    Read(Box<B>, Option<OwnedSemaphorePermit>),
    /// The position of a partition moved here over control records or compacted offsets.
    Passed(Slot, u64),
    /// Retention took every offset below this one before it was read.
    Overtaken(Slot, u64),
    /// The coordinator has these offsets.
    Committed(Vec<Commit>),
    /// Finish what was read of these partitions, and answer with the offsets to commit. The reader waits for the answer.
    Drain(BTreeSet<Slot>, SyncSender<Vec<(Commit, Partition)>>),
    /// The partitions were given up.
    Gone(BTreeSet<Slot>),
    /// The ends of logs, from their leaders.
    Ends {
        /// The time before the question.
        asked_at: EventTime,
        /// High watermarks.
        ends: Vec<(Slot, u64)>,
    },
    /// The configured topics that exist.
    Topics(Vec<TopicMark>),
    /// Whether the brokers answer.
    Brokers(Result<(), String>),
    /// The consumer has left its group. This is the last stimulus.
    Closed(Result<(), Error>),
}
