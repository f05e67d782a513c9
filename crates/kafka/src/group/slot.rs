//! One partition in one assignment.
//!
//! A replica that loses a partition and regains it knows nothing about the time between. Anything that arrives for an
//! older generation (an acknowledgement, a log end, a commit) is recognised by its generation and dropped.

use std::{fmt, sync::Arc};

/// A partition of a topic in one assignment of this replica.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
    /// Counts this replica's assignments; unique within a process.
    pub generation: u64,
}

/// A committed offset, or one to be committed: the next record to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The partition.
    pub slot: Slot,
    /// One past the last offset that is accounted for.
    pub offset: u64,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}
