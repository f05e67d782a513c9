//! A snapshot of a running connector, once a second, for the live page and metrics.

use std::{sync::Arc, time::Duration};

use event::mark::LogEnd;

use crate::summary::Summary;

/// The state of the connector; empty during the first second.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The totals so far.
    pub summary: Summary,
    /// The partitions that this replica reads.
    pub partitions: Vec<PartitionView>,
    /// Bytes that were read and are not yet acknowledged by Pub/Sub.
    pub in_flight_bytes: u64,
    /// How long the oldest batch has waited for Pub/Sub.
    pub oldest_in_flight: Option<Duration>,
    /// The length of the current outage of Pub/Sub.
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
    /// The end of the log at the last request.
    pub end: Option<LogEnd>,
}
