//! Everything that reaches the driver from the two Kafka threads, in one closed enum.

use std::{collections::BTreeSet, sync::mpsc::SyncSender};

use event::{EventTime, Partition, mark::TopicMark};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    batch::Batch,
    error::ConnectorError,
    slot::{Commit, Slot},
    start::Start,
};

/// What happened.
#[derive(Debug)]
pub(crate) enum Stimulus {
    /// Partitions were assigned.
    Assigned(Vec<(Slot, Start)>),
    /// Records were read. The permit stands for their bytes until Pub/Sub has them; none at a drain.
    Read(Box<Batch>, Option<OwnedSemaphorePermit>),
    /// The reader of a partition stands here, behind control records or compacted ones.
    Passed(Slot, u64),
    /// Retention took everything below before it was read.
    Overtaken(Slot, u64),
    /// The coordinator has these offsets.
    Committed(Vec<Commit>),
    /// Bring to an end what was read of these partitions, and answer what may be committed.
    Drain(BTreeSet<Slot>, SyncSender<Vec<(Commit, Partition)>>),
    /// The partitions are given away.
    Gone(BTreeSet<Slot>),
    /// The ends of logs, as their leaders answered.
    Ends {
        /// Taken before asking.
        asked_at: EventTime,
        /// High watermarks.
        ends: Vec<(Slot, u64)>,
    },
    /// The configured topics.
    Topics(Vec<TopicMark>),
    /// Whether the brokers answer.
    Brokers(Result<(), String>),
    /// The consumer has left its group; nothing comes after it.
    Closed(Result<(), ConnectorError>),
}
