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
    /// The record was refused; the code says why (`not-an-object`, `tombstone`, ...).
    Rejected(String),
    /// Control records and compacted gaps: there never was an event, or there is none any more.
    Empty,
    /// Kafka's retention took the records before they were read.
    Lost,
    /// Before the group's start.
    Before,
    /// A reason of a newer connector, as it is on the wire. Its offsets count as rejected.
    Unknown(String),
}

/// Why bytes are not read as a mark.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// A newer connector wrote it. What it accounts for is not known, so it must not be acknowledged.
    #[error("mark of version {version}; this program reads marks up to version {}", Mark::VERSION)]
    Newer {
        /// Its version.
        version: u32,
    },
    /// No connector wrote it.
    #[error("not a mark")]
    NotAMark(#[source] serde_json::Error),
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Rejected(code) => format!("rejected:{code}"),
            Reason::Empty => "empty".to_owned(),
            Reason::Lost => "lost".to_owned(),
            Reason::Before => "before".to_owned(),
            Reason::Unknown(text) => text,
        }
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        match text.as_str() {
            "empty" => Self::Empty,
            "lost" => Self::Lost,
            "before" => Self::Before,
            other => match other.strip_prefix("rejected:") {
                Some(code) => Self::Rejected(code.to_owned()),
                None => Self::Unknown(text),
            },
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

    /// Reads a mark.
    ///
    /// # Errors
    /// [`MarkError::Newer`] for a mark of a version above [`Self::VERSION`], whatever else it holds;
    /// [`MarkError::NotAMark`] for anything that no connector wrote.
    pub fn from_json(bytes: &[u8]) -> Result<Self, MarkError> {
        /// All that every version of the format has.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        // Read alone and first: a newer version may have changed everything else.
        let Versioned { version } = serde_json::from_slice(bytes).map_err(MarkError::NotAMark)?;
        if version > Self::VERSION {
            return Err(MarkError::Newer { version });
        }
        serde_json::from_slice(bytes).map_err(MarkError::NotAMark)
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
    fn unknown_reasons_are_kept_as_text() {
        let reason: Reason = serde_json::from_str("\"evaporated\"").expect("a reason is text");
        assert_eq!(reason, Reason::Unknown("evaporated".to_owned()));
        assert_eq!(serde_json::to_string(&reason).expect("text"), "\"evaporated\"");
    }

    #[test]
    fn newer_marks_are_told_from_other_messages() {
        for newer in [r#"{"version":2}"#, r#"{"version":7,"partitions":{"packed":"AAE="},"topics":3}"#] {
            assert!(matches!(Mark::from_json(newer.as_bytes()), Err(MarkError::Newer { .. })), "{newer}");
        }
        for other in ["", "[]", "{}", r#"{"version":"two"}"#, r#"{"version":1,"partitions":{}}"#, "hello"] {
            assert!(matches!(Mark::from_json(other.as_bytes()), Err(MarkError::NotAMark(_))), "{other}");
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
