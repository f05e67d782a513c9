//! Where a partition is read from when it is assigned, and under which incarnation.
//!
//! Pure: the committed offset, the ends of the log and the topic's ID in, the decision out. See `lookup` for the questions.

use std::ops::Range;

use event::{Incarnation, mark::Reason};

/// Where a group without a committed offset starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartRule {
    /// At the log's start.
    #[default]
    Earliest,
    /// After the newest record.
    Latest,
}

/// The brokers' answers about one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The topic's ID, base64.
    pub topic_id: String,
    /// The committed offset with its metadata.
    pub committed: Option<Committed>,
    /// Whether the group has committed no offset of any partition of its topics.
    pub group_is_new: bool,
    /// The log's first offset.
    pub low: u64,
    /// One past the last readable offset (the last stable offset).
    pub stable: u64,
    /// The high watermark.
    pub high: u64,
}

/// A committed offset as the group's coordinator keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next record to read.
    pub offset: u64,
    /// The incarnation under which it was committed, if its metadata contains one.
    pub incarnation: Option<Incarnation>,
    /// It was committed before anything was read, and perhaps no mark covers the offsets before it yet.
    pub is_unannounced: bool,
}

/// Where reading starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The incarnation that is read.
    pub incarnation: Incarnation,
    /// The offset that is committed for this incarnation.
    pub committed: Option<u64>,
    /// The first offset to read.
    pub offset: u64,
    /// The offsets before it that a mark must account for, and their reason.
    pub skipped: Option<(Range<u64>, Reason)>,
    /// Whether this start must be committed before anything is read.
    pub commit_first: bool,
    /// What an operator should know about this start.
    pub notice: Option<Notice>,
}

/// An unusual start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The committed offset has no incarnation: another program set it.
    Reset,
    /// The topic was deleted and recreated.
    NewTopic,
    /// Retention took records that were never read.
    Lost {
        /// How many.
        records: u64,
    },
    /// The log ends before the committed offset: an unclean election cut it.
    Cut {
        /// How many offsets are gone.
        records: u64,
    },
}

/// Length of a topic ID: 16 bytes as base64 without padding.
const TOPIC_ID_LENGTH: usize = 22;

/// The ID of topics whose broker gives none (Kafka before 2.8): all zeros.
pub const NO_TOPIC_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// Follows the incarnation in the metadata of a start that no mark has announced yet.
const UNANNOUNCED: &str = " before";

impl Committed {
    /// Parses the metadata of a committed offset: an incarnation that this program wrote, or anything else.
    pub fn parse(offset: u64, metadata: &[u8]) -> Self {
        let text = std::str::from_utf8(metadata).unwrap_or_default();
        let (text, is_unannounced) = match text.strip_suffix(UNANNOUNCED) {
            Some(text) => (text, true),
            None => (text, false),
        };
        let incarnation = parse_incarnation(text);
        Self { offset, is_unannounced: is_unannounced && incarnation.is_some(), incarnation }
    }
}

/// The metadata of a start that is committed before anything is read.
pub fn unannounced(incarnation: &Incarnation) -> String {
    format!("{incarnation}{UNANNOUNCED}")
}

fn parse_incarnation(text: &str) -> Option<Incarnation> {
    let (id, suffix) = text.split_at_checked(TOPIC_ID_LENGTH)?;
    let is_base64 = id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_'));
    let cuts = suffix.strip_prefix('+').map(str::parse::<u32>);
    (is_base64 && (suffix.is_empty() || matches!(cuts, Some(Ok(_))))).then(|| Incarnation::from(text))
}

/// The topic ID of an incarnation.
pub fn topic_id(incarnation: &Incarnation) -> &str {
    parts(incarnation).0
}

/// The topic ID of an incarnation, and how often the log was cut under it.
fn parts(incarnation: &Incarnation) -> (&str, u32) {
    let (id, suffix) = incarnation.0.split_at_checked(TOPIC_ID_LENGTH).unwrap_or((&incarnation.0, ""));
    (id, suffix.strip_prefix('+').and_then(|n| n.parse().ok()).unwrap_or(0))
}

/// Decides where a partition is read from.
pub fn decide(facts: &Facts, rule: StartRule) -> Start {
    let Some(committed) = &facts.committed else {
        return first(facts, rule);
    };
    let incarnation =
        committed.incarnation.clone().unwrap_or_else(|| Incarnation::from(facts.topic_id.as_str()));
    let (id, cuts) = parts(&incarnation);
    if id != facts.topic_id {
        return Start { notice: Some(Notice::NewTopic), ..beginning(facts) };
    }
    let offset = committed.offset;
    if offset > facts.high {
        let records = offset - facts.high;
        let incarnation = Incarnation::from(format!("{id}+{}", cuts + 1).as_str());
        let notice = Some(Notice::Cut { records });
        return Start { incarnation, notice, ..from(facts, facts.high, true) };
    }
    if committed.is_unannounced {
        return Start { incarnation, ..from(facts, offset.max(facts.low), false) };
    }
    let start = offset.max(facts.low);
    let lost = start - offset;
    let notice = match (lost, &committed.incarnation) {
        (1.., _) => Some(Notice::Lost { records: lost }),
        (0, None) => Some(Notice::Reset),
        (0, Some(_)) => None,
    };
    Start {
        incarnation,
        committed: Some(offset),
        offset: start,
        skipped: (lost > 0).then_some((offset..start, Reason::Lost)),
        commit_first: false,
        notice,
    }
}

fn first(facts: &Facts, rule: StartRule) -> Start {
    match rule {
        StartRule::Latest if facts.group_is_new => from(facts, facts.stable.max(facts.low), true),
        _ => beginning(facts),
    }
}

fn beginning(facts: &Facts) -> Start {
    from(facts, facts.low, false)
}

fn from(facts: &Facts, offset: u64, commit_first: bool) -> Start {
    Start {
        incarnation: Incarnation::from(facts.topic_id.as_str()),
        committed: None,
        offset,
        skipped: (offset > 0).then_some((0..offset, Reason::Before)),
        commit_first,
        notice: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "abcdefghijklmnopqrst+/";
    const OTHER: &str = "zzzzzzzzzzzzzzzzzzzzzz";

    fn facts(committed: Option<(u64, &str)>) -> Facts {
        Facts {
            topic_id: ID.to_owned(),
            committed: committed.map(|(offset, text)| Committed::parse(offset, text.as_bytes())),
            group_is_new: committed.is_none(),
            low: 10,
            stable: 18,
            high: 20,
        }
    }

    type Expected<'a> = (&'a str, u64, Option<(Range<u64>, Reason)>, bool);

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "expectations are written in place")]
    fn check(facts: &Facts, rule: StartRule, expected: Expected<'_>) -> Start {
        let start = decide(facts, rule);
        let found = (&*start.incarnation.0, start.offset, start.skipped.clone(), start.commit_first);
        assert_eq!(found, expected);
        start
    }

    #[test]
    fn a_new_group_begins_by_its_start_rule() {
        let before = |end| Some((0..end, Reason::Before));
        check(&facts(None), StartRule::Earliest, (ID, 10, before(10), false));
        check(&facts(None), StartRule::Latest, (ID, 18, before(18), true));
        let added = Facts { group_is_new: false, ..facts(None) };
        check(&added, StartRule::Latest, (ID, 10, before(10), false));
        let empty = Facts { low: 0, stable: 0, high: 0, ..facts(None) };
        check(&empty, StartRule::Earliest, (ID, 0, None, false));
    }

    #[test]
    fn a_committed_offset_is_continued() {
        let start = check(&facts(Some((15, ID))), StartRule::Earliest, (ID, 15, None, false));
        assert_eq!((start.committed, start.notice), (Some(15), None));
        let start = check(&facts(Some((15, ""))), StartRule::Earliest, (ID, 15, None, false));
        assert_eq!(start.notice, Some(Notice::Reset));
        let start = check(&facts(Some((15, "node-7 at noon"))), StartRule::Latest, (ID, 15, None, false));
        assert_eq!(start.notice, Some(Notice::Reset));
        check(&facts(Some((20, ID))), StartRule::Earliest, (ID, 20, None, false));
    }

    #[test]
    fn an_unannounced_start_is_announced_again() {
        let metadata = unannounced(&ID.into());
        let facts = facts(Some((15, &metadata)));
        let start = check(&facts, StartRule::Latest, (ID, 15, Some((0..15, Reason::Before)), false));
        assert_eq!((start.committed, start.notice), (None, None));
    }

    #[test]
    fn records_deleted_by_retention_are_lost() {
        let start =
            check(&facts(Some((4, ID))), StartRule::Latest, (ID, 10, Some((4..10, Reason::Lost)), false));
        assert_eq!((start.committed, start.notice), (Some(4), Some(Notice::Lost { records: 6 })));
    }

    #[test]
    fn a_recreated_topic_is_read_from_its_beginning() {
        let start = check(
            &facts(Some((15, OTHER))),
            StartRule::Latest,
            (ID, 10, Some((0..10, Reason::Before)), false),
        );
        assert_eq!((start.committed, start.notice), (None, Some(Notice::NewTopic)));
    }

    #[test]
    fn a_truncated_log_is_a_new_incarnation() {
        let before = Some((0..20, Reason::Before));
        let start = check(
            &facts(Some((25, ID))),
            StartRule::Earliest,
            (&format!("{ID}+1"), 20, before.clone(), true),
        );
        assert_eq!((start.committed, start.notice), (None, Some(Notice::Cut { records: 5 })));
        let again = format!("{ID}+1");
        check(&facts(Some((25, &again))), StartRule::Earliest, (&format!("{ID}+2"), 20, before, true));
        check(&facts(Some((12, &again))), StartRule::Earliest, (&again, 12, None, false));
    }

    #[test]
    fn foreign_metadata_is_ignored() {
        for text in
            ["", "x", &format!("{ID}x"), &format!("{ID}+"), &format!("{ID}+x"), "überraschung überraschung"]
        {
            assert_eq!(Committed::parse(1, text.as_bytes()).incarnation, None, "{text}");
        }
        assert_eq!(Committed::parse(1, &[0xff; 22]).incarnation, None);
        let zero = Committed::parse(1, NO_TOPIC_ID.as_bytes());
        assert_eq!((zero.incarnation, zero.is_unannounced), (Some(Incarnation::from(NO_TOPIC_ID)), false));
    }
}
