//! What a spectator sees of a running connector, once a second.
//!
//! Not here: how it is shown, and what is good or bad about it.

use std::{sync::Arc, time::Duration};

use event::mark::LogEnd;

use crate::summary::Summary;

/// The connector as it stands; nothing in it before the first second is over.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The totals so far.
    pub summary: Summary,
    /// The partitions that this replica reads.
    pub partitions: Vec<PartitionView>,
    /// Bytes read and not yet acknowledged by Pub/Sub.
    pub in_flight_bytes: u64,
    /// How long the oldest batch has waited for Pub/Sub.
    pub oldest_in_flight: Option<Duration>,
    /// How long Pub/Sub has not answered.
    pub outage: Option<Duration>,
}

/// One partition of this replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionView {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
    /// The next offset to be read.
    pub position: u64,
    /// Everything below is in Pub/Sub, as data or in a mark.
    pub accounted: u64,
    /// Where the log ended when its leader was last asked.
    pub end: Option<LogEnd>,
}
