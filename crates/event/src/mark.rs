//! Marks: small JSON messages on the marks topic that account for offsets which carry no event,
//! and say how far the connector and the log are.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    position::{Incarnation, Partition},
    time::EventTime,
};

/// What one replica says about its assignment at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Format version: 1.
    pub version: u32,
    /// Which replica speaks; for people.
    pub replica: String,
    /// Counts the replica's marks from 1; for people.
    pub sequence: u64,
    /// One entry a partition, or several where its ranges were split over marks.
    pub partitions: Vec<PartitionMark>,
    /// Every configured topic; empty in all but one part of a mark that was split.
    pub topics: Vec<TopicMark>,
}

/// What a mark says about one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionMark {
    /// Which partition of which life of which topic.
    #[serde(flatten)]
    pub partition: Partition,
    /// Offsets without an event, disjoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<MarkRange>,
    /// The next offset to be read.
    pub position: u64,
    /// The committed offset, if any was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<u64>,
    /// The log's end as its leader answered, and when it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<LogEnd>,
}

/// A half-open range of offsets that carry no event, with the one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkRange {
    /// First offset.
    pub from: u64,
    /// One past the last offset.
    pub to: u64,
    /// Why.
    pub reason: Reason,
    /// The declared pointer that a reject is about; never a name or a value from the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
}

/// The end of a partition's log (its high watermark), asked at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEnd {
    /// High watermark: one past the last record, open transactions included.
    pub offset: u64,
    /// When the leader was asked, by the connector's clock, taken before asking.
    pub asked_at: EventTime,
}

/// A configured topic and how many partitions it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicMark {
    /// The topic's name.
    pub topic: Arc<str>,
    /// Its present life.
    pub incarnation: Incarnation,
    /// How many partitions it has.
    pub partitions: i32,
    /// When that was asked, taken before asking.
    pub asked_at: EventTime,
}

/// Why an offset carries no event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Reason {
    /// The record was refused; the code says why (`not-an-object`, `tombstone`, ...). A reason that only a later version
    /// knows counts as refused too, with its whole text as the code: its offsets carry no event either.
    Rejected(String),
    /// Control records and compacted gaps: there never was an event, or there is none any more.
    Empty,
    /// Kafka's retention took the records before they were read.
    Lost,
    /// Before the group's start.
    Before,
}

/// Why bytes are no mark that this program can use.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// A later version wrote it, and its ranges may mean something else.
    #[error(
        "the mark has version {version} and this processor reads versions up to {}; upgrade the processor",
        Mark::VERSION
    )]
    Newer {
        /// Of the mark.
        version: u32,
    },
    /// It is no mark at all, or one that was cut short.
    #[error("malformed mark; find out what else publishes to the marks topic")]
    Malformed {
        /// What the JSON reader says.
        source: serde_json::Error,
    },
}

/// What every version of a mark has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Rejected(code) => format!("rejected:{code}"),
            Reason::Empty => "empty".to_owned(),
            Reason::Lost => "lost".to_owned(),
            Reason::Before => "before".to_owned(),
        }
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        match text.as_str() {
            "empty" => Self::Empty,
            "lost" => Self::Lost,
            "before" => Self::Before,
            other => Self::Rejected(other.strip_prefix("rejected:").unwrap_or(other).to_owned()),
        }
    }
}

impl MarkRange {
    /// The offsets.
    pub fn offsets(&self) -> Range<u64> {
        self.from..self.to
    }
}

impl Mark {
    /// The format that this program writes.
    pub const VERSION: u32 = 1;
    /// Ranges in one message: about 100 bytes each, so a mark stays well below Pub/Sub's 10 MB.
    pub const MAX_RANGES: usize = 10_000;

    /// The JSON text that goes on the wire.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a mark has no maps with non-text keys and no failing fields")
    }

    /// Reads a mark of this version or an earlier one. Fields that this version does not know are passed over.
    ///
    /// # Errors
    /// [`MarkError::Newer`] must not be acknowledged: the offsets that the mark accounts for would count as lost.
    /// [`MarkError::Malformed`] is a message that no connector wrote, as Pub/Sub cuts nothing short.
    pub fn from_json(bytes: &[u8]) -> Result<Self, MarkError> {
        // The version first: the rest of a later one need not have these fields.
        let malformed = |source| MarkError::Malformed { source };
        let Version { version } = serde_json::from_slice(bytes).map_err(malformed)?;
        if version > Self::VERSION {
            return Err(MarkError::Newer { version });
        }
        serde_json::from_slice(bytes).map_err(malformed)
    }

    /// Splits a mark with very many ranges or partitions into several that mean the same.
    pub fn split(self) -> Vec<Self> {
        let total: usize = self.partitions.iter().map(|p| p.ranges.len() + 1).sum();
        if total <= Self::MAX_RANGES {
            return vec![self];
        }
        let mut marks = vec![Self { partitions: Vec::new(), ..self.clone() }];
        let mut room = Self::MAX_RANGES;
        for mut entry in self.partitions {
            loop {
                if room < 2 {
                    marks.push(Self { partitions: Vec::new(), topics: Vec::new(), ..marks[0].clone() });
                    room = Self::MAX_RANGES;
                }
                let rest = entry.ranges.split_off(entry.ranges.len().min(room - 1));
                room -= entry.ranges.len() + 1;
                let next = PartitionMark { ranges: rest, ..entry.clone() };
                if let Some(mark) = marks.last_mut() {
                    mark.partitions.push(entry);
                }
                if next.ranges.is_empty() {
                    break;
                }
                entry = next;
            }
        }
        marks
    }

    /// How many offsets each reason covers, for logs and tests.
    pub fn counts(&self) -> BTreeMap<Reason, u64> {
        let mut counts = BTreeMap::new();
        for range in self.partitions.iter().flat_map(|p| &p.ranges) {
            *counts.entry(range.reason.clone()).or_default() += range.to.saturating_sub(range.from);
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_of_a_later_version_counts_as_rejected() {
        for (text, expected) in [("evaporated", "evaporated"), ("rejected:not-json", "not-json")] {
            assert_eq!(Reason::from(text.to_owned()), Reason::Rejected(expected.to_owned()));
        }
        let text = String::from_utf8(mark(1).to_json()).expect("JSON is UTF-8");
        let text = text.replace("rejected:tombstone", "filtered").replace("\"from\"", "\"why\":{},\"from\"");
        let read = Mark::from_json(text.as_bytes()).expect("a mark of this version");
        assert_eq!(read.counts(), BTreeMap::from([(Reason::Rejected("filtered".to_owned()), 1)]));
    }

    #[test]
    fn a_mark_of_a_later_version_is_not_read() {
        let newer = br#"{"version":2,"packs":[{"from":7}]}"#;
        assert!(matches!(Mark::from_json(newer), Err(MarkError::Newer { version: 2 })));
        for bytes in [&b""[..], b"{}", b"[]", br#"{"version":1}"#, br#"{"version":"1"}"#] {
            assert!(matches!(Mark::from_json(bytes), Err(MarkError::Malformed { .. })), "{bytes:?}");
        }
    }

    fn mark(ranges: u64) -> Mark {
        let partition = Partition { topic: "events".into(), incarnation: "id".into(), partition: 3 };
        let ranges = (0..ranges)
            .map(|n| MarkRange {
                from: 2 * n,
                to: 2 * n + 1,
                reason: Reason::Rejected("tombstone".into()),
                pointer: None,
            })
            .collect();
        let end = Some(LogEnd { offset: 9, asked_at: EventTime(5) });
        Mark {
            version: 1,
            replica: "a".into(),
            sequence: 1,
            partitions: vec![PartitionMark { partition, ranges, position: 9, committed: None, end }],
            topics: vec![TopicMark {
                topic: "events".into(),
                incarnation: "id".into(),
                partitions: 4,
                asked_at: EventTime(5),
            }],
        }
    }

    #[test]
    fn a_mark_survives_the_wire() {
        let sent = mark(2);
        let text = String::from_utf8(sent.to_json()).expect("JSON is UTF-8");
        assert!(text.contains(r#""reason":"rejected:tombstone""#), "{text}");
        assert_eq!(Mark::from_json(text.as_bytes()).expect("what was written is read"), sent);
    }

    #[test]
    fn a_long_mark_is_split_and_means_the_same() {
        let whole = mark(25_000);
        let parts = whole.clone().split();
        assert!(parts.len() > 2);
        assert!(parts.iter().all(|part| part.to_json().len() < 5_000_000));
        let ranges: Vec<_> =
            parts.iter().flat_map(|m| &m.partitions).flat_map(|p| p.ranges.clone()).collect();
        assert_eq!(ranges, whole.partitions[0].ranges);
        assert_eq!(parts.iter().map(|m| m.topics.len()).sum::<usize>(), 1);
    }
}
