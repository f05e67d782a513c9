//! Where a record stands in Kafka.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// Which life of a Kafka topic: its topic id (base64, ASCII), followed by `+n` after an unclean
/// election cut the log. Offsets mean nothing across incarnations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub Arc<str>);

/// One partition of one life of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The topic's life.
    pub incarnation: Incarnation,
    /// The partition's number.
    pub partition: i32,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Where the log is.
    pub partition: Partition,
    /// The record's offset in it.
    pub offset: u64,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Incarnation {
    fn from(id: &str) -> Self {
        Self(Arc::from(id))
    }
}
