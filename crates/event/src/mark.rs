//! Marks: small JSON messages on the marks topic. They account for the offsets that carry no event, and report the
//! progress of the connector and the ends of the logs.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    position::{Incarnation, Partition},
    time::EventTime,
};

/// What one replica reports about its assignment at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Format version: [`Mark::VERSION`], or [`Mark::ROUTED`] if there are outputs.
    pub version: u32,
    /// The replica that wrote the mark; for humans.
    pub replica: String,
    /// Numbers the replica's marks from 1; for humans.
    pub sequence: u64,
    /// One entry for each partition, or several if its ranges were split over marks.
    pub partitions: Vec<PartitionMark>,
    /// Every configured topic; empty in all but one part of a split mark.
    pub topics: Vec<TopicMark>,
    /// The Pub/Sub topics among which a field of the event selects one; empty if there is one topic only. A reader that
    /// does not read all of them must not use the mark: what it does not receive would count as lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Arc<str>>,
}

/// What a mark reports about one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionMark {
    /// The partition, with the incarnation of its topic.
    #[serde(flatten)]
    pub partition: Partition,
    /// Offsets without an event, as disjoint ranges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<MarkRange>,
    /// The next offset to be read.
    pub position: u64,
    /// The committed offset, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<u64>,
    /// The end of the log as its leader reported it, and when it was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<LogEnd>,
}

/// A half-open range of offsets that carry no event, with one reason for all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkRange {
    /// First offset.
    pub from: u64,
    /// One past the last offset.
    pub to: u64,
    /// The reason.
    pub reason: Reason,
    /// The declared pointer that a reject is about; never a name or a value from the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
}

/// The end of a partition's log (its high watermark) at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEnd {
    /// High watermark: one past the last record, open transactions included.
    pub offset: u64,
    /// When the end was requested from the leader: the connector's clock, read before the request.
    pub asked_at: EventTime,
}

/// A configured topic and its number of partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicMark {
    /// The topic's name.
    pub topic: Arc<str>,
    /// Its current incarnation.
    pub incarnation: Incarnation,
    /// The number of partitions.
    pub partitions: i32,
    /// When this was requested; the clock is read before the request.
    pub asked_at: EventTime,
}

/// Why an offset carries no event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Reason {
    /// The record was rejected, with a code (`not-an-object`, `tombstone`, ...). A reason that only a newer version
    /// knows counts as rejected too, with its whole text as the code, because its offsets carry no event either.
    Rejected(String),
    /// The filter of the connector excludes the record.
    Filtered,
    /// Control records and compacted gaps: there was never an event, or there no longer is one.
    Empty,
    /// Kafka's retention deleted the records before they were read.
    Lost,
    /// Before the start of the group.
    Before,
}

/// Why bytes are not a mark that this program can use.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// A later version wrote it, and its ranges may mean something else.
    #[error(
        "the mark has version {version}, but this processor reads versions up to {}; upgrade the processor",
        Mark::ROUTED
    )]
    Newer {
        /// Of the mark.
        version: u32,
    },
    /// It is not a mark, or it is truncated.
    #[error("malformed mark; check what else publishes to the marks topic")]
    Malformed {
        /// The message of the JSON parser.
        source: serde_json::Error,
    },
}

/// The fields that every version of a mark has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Rejected(code) => format!("rejected:{code}"),
            Reason::Filtered => "filtered".to_owned(),
            Reason::Empty => "empty".to_owned(),
            Reason::Lost => "lost".to_owned(),
            Reason::Before => "before".to_owned(),
        }
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        match text.as_str() {
            "filtered" => Self::Filtered,
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
    /// The format without outputs, which all releases read.
    pub const VERSION: u32 = 1;
    /// The format with outputs, which releases before 0.2 do not read: they know of one topic for events only.
    pub const ROUTED: u32 = 2;
    /// Maximum number of ranges in one message. Each takes about 100 bytes, so a mark stays well below Pub/Sub's 10 MB.
    pub const MAX_RANGES: usize = 10_000;

    /// The JSON text that is published.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a mark has no maps with non-text keys and no failing fields")
    }

    /// Reads a mark of this version or an earlier one. Unknown fields are ignored.
    ///
    /// # Errors
    /// [`MarkError::Newer`] must not be acknowledged: the offsets that the mark accounts for would count as lost.
    /// [`MarkError::Malformed`] was not written by a connector, because Pub/Sub does not truncate messages.
    pub fn from_json(bytes: &[u8]) -> Result<Self, MarkError> {
        // The version is read first, because a newer mark need not have the other fields.
        let malformed = |source| MarkError::Malformed { source };
        let Version { version } = serde_json::from_slice(bytes).map_err(malformed)?;
        if version > Self::ROUTED {
            return Err(MarkError::Newer { version });
        }
        serde_json::from_slice(bytes).map_err(malformed)
    }

    /// Splits a mark with very many ranges or partitions into several with the same meaning.
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

    /// Number of offsets for each reason, for logs and tests.
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
        for (text, expected) in [("evaporated", "evaporated"), ("rejected:filtered", "filtered")] {
            assert_eq!(Reason::from(text.to_owned()), Reason::Rejected(expected.to_owned()));
        }
        let text = String::from_utf8(mark(1).to_json()).expect("JSON is UTF-8");
        let text =
            text.replace("rejected:tombstone", "evaporated").replace("\"from\"", "\"why\":{},\"from\"");
        let read = Mark::from_json(text.as_bytes()).expect("a mark of this version");
        assert_eq!(read.counts(), BTreeMap::from([(Reason::Rejected("evaporated".to_owned()), 1)]));
    }

    #[test]
    fn a_mark_of_a_later_version_is_not_read() {
        let newer = br#"{"version":3,"packs":[{"from":7}]}"#;
        assert!(matches!(Mark::from_json(newer), Err(MarkError::Newer { version: 3 })));
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
            outputs: Vec::new(),
        }
    }

    #[test]
    fn a_mark_names_its_outputs() {
        let outputs = vec!["events-PL".into(), "events-CZ".into()];
        let sent = Mark { version: Mark::ROUTED, outputs: outputs.clone(), ..mark(25_000) };
        let parts = sent.split();
        assert!(parts.len() > 2);
        for part in parts {
            let read = Mark::from_json(&part.to_json()).expect("what was written is read");
            assert_eq!((read.version, read.outputs), (Mark::ROUTED, outputs.clone()));
        }
    }

    #[test]
    fn a_mark_round_trips() {
        let sent = mark(2);
        let text = String::from_utf8(sent.to_json()).expect("JSON is UTF-8");
        assert!(text.contains(r#""reason":"rejected:tombstone""#) && !text.contains("outputs"), "{text}");
        assert_eq!(Mark::from_json(text.as_bytes()).expect("what was written is read"), sent);
    }

    #[test]
    fn a_long_mark_is_split_without_loss() {
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
