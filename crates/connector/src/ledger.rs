//! The state of the offsets of one partition in one assignment: read, accounted for by data or a mark, acknowledged.
//!
//! Every offset from the first one on is accounted for by exactly one data message or one range of a mark. The commit
//! point is the end of the prefix in which all of them are acknowledged. Pure. See [`crate::core`] for several
//! partitions, and [`crate::marks`] for writing marks.

use std::{ops::Range, sync::Arc};

use event::{
    Partition, Ranges,
    mark::{MarkRange, Reason},
};
use kafka::start::Start;

/// The ledger of one partition, from the start of its assignment.
#[derive(Clone, Debug)]
pub struct Ledger {
    partition: Partition,
    /// The next offset to be read.
    next: u64,
    /// The acknowledged offsets; everything that was committed before counts as acknowledged.
    acknowledged: Ranges,
    /// The offset that the coordinator has confirmed.
    committed: Option<u64>,
    /// Ranges without an event that are not in any mark yet.
    unmarked: Vec<MarkRange>,
}

impl Ledger {
    /// Opens the ledger at the start of an assignment.
    pub fn open(partition: Partition, start: &Start) -> Self {
        let accounted = start.skipped.as_ref().map_or(start.offset, |(range, _)| range.start);
        let mut ledger = Self {
            partition,
            next: start.offset,
            acknowledged: Ranges::default(),
            committed: start.committed,
            unmarked: Vec::new(),
        };
        ledger.acknowledged.insert(0..accounted);
        if let Some((range, reason)) = &start.skipped {
            ledger.unmark(range.clone(), reason.clone(), None);
        }
        ledger
    }

    /// Records data at these offsets. The offsets between the last one read and them were empty.
    pub fn read(&mut self, run: &Range<u64>) {
        self.pass(run.start);
        self.next = self.next.max(run.end);
    }

    /// Records that the filter excludes the records at these offsets.
    pub fn filter(&mut self, run: &Range<u64>) {
        self.read(run);
        self.unmark(run.clone(), Reason::Filtered, None);
    }

    /// Records a reject.
    pub fn reject(&mut self, offset: u64, code: &str, pointer: Option<&Arc<str>>) {
        self.pass(offset);
        self.next = self.next.max(offset + 1);
        self.refuse(offset, code, pointer);
    }

    /// Records that Pub/Sub refused a record that was read before.
    pub fn refuse(&mut self, offset: u64, code: &str, pointer: Option<&Arc<str>>) {
        let pointer = pointer.map(|pointer| pointer.to_string());
        self.unmark(offset..offset + 1, Reason::Rejected(code.to_owned()), pointer);
    }

    /// The reader is at `position`: there is no record between the last one and it.
    pub fn pass(&mut self, position: u64) {
        if position > self.next {
            self.unmark(self.next..position, Reason::Empty, None);
            self.next = position;
        }
    }

    /// Retention deleted everything below `position` before it was read. Returns the number of offsets.
    pub fn lose(&mut self, position: u64) -> u64 {
        let lost = self.next..position.max(self.next);
        self.unmark(lost.clone(), Reason::Lost, None);
        self.next = lost.end;
        lost.end - lost.start
    }

    /// Pub/Sub has acknowledged the message or mark that accounts for these offsets.
    pub fn acknowledge(&mut self, range: Range<u64>) {
        self.acknowledged.insert(range);
    }

    /// The coordinator has confirmed a commit. A confirmation beyond the commit point belongs to an older assignment,
    /// perhaps of another incarnation of the topic, whose offsets have no meaning here.
    pub fn confirm(&mut self, offset: u64) {
        if offset <= self.commit_point() {
            self.committed = self.committed.max(Some(offset));
        }
    }

    /// Takes the ranges for the next mark.
    pub fn take_unmarked(&mut self) -> Vec<MarkRange> {
        std::mem::take(&mut self.unmarked)
    }

    /// Number of ranges that wait for a mark.
    pub fn unmarked(&self) -> usize {
        self.unmarked.len()
    }

    /// The end of the prefix that is accounted for in Pub/Sub.
    pub fn commit_point(&self) -> u64 {
        self.acknowledged.prefix_end(0)
    }

    /// The offset to commit; `None` if the coordinator already has it.
    pub fn uncommitted(&self) -> Option<u64> {
        let point = self.commit_point();
        (point > self.committed.unwrap_or(0)).then_some(point)
    }

    /// Whether everything that was read is accounted for in Pub/Sub.
    pub fn is_settled(&self) -> bool {
        self.commit_point() >= self.next
    }

    /// The partition, with the incarnation of its topic.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The next offset to be read.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The offset that the coordinator has confirmed.
    pub fn committed(&self) -> Option<u64> {
        self.committed
    }

    /// Adds a range for the next mark; adjacent ranges with the same reason are merged.
    fn unmark(&mut self, range: Range<u64>, reason: Reason, pointer: Option<String>) {
        if range.is_empty() {
            return;
        }
        if let Some(last) = self.unmarked.last_mut()
            && last.to == range.start
            && last.reason == reason
            && last.pointer == pointer
        {
            last.to = range.end;
            return;
        }
        self.unmarked.push(MarkRange { from: range.start, to: range.end, reason, pointer });
    }
}

#[cfg(test)]
mod tests {
    use kafka::start::{Facts, StartRule, decide};
    use proptest::prelude::*;

    use super::*;

    fn open(low: u64) -> Ledger {
        let facts = Facts {
            topic_id: "id".to_owned(),
            committed: None,
            group_is_new: true,
            low,
            stable: low,
            high: low,
        };
        let partition = Partition { topic: "events".into(), incarnation: "id".into(), partition: 0 };
        Ledger::open(partition, &decide(&facts, StartRule::Earliest))
    }

    fn texts(ranges: &[MarkRange]) -> Vec<String> {
        let text = |r: &MarkRange| format!("{}-{} {}", r.from, r.to, String::from(r.reason.clone()));
        ranges.iter().map(text).collect()
    }

    #[test]
    fn a_partition_is_accounted_for() {
        let mut ledger = open(5);
        ledger.read(&(5..8));
        ledger.reject(8, "tombstone", None);
        ledger.reject(9, "tombstone", None);
        ledger.read(&(12..13));
        ledger.filter(&(13..14));
        ledger.filter(&(14..15));
        ledger.filter(&(16..17));
        assert_eq!(ledger.lose(20), 3);
        let ranges = ledger.take_unmarked();
        let expected = [
            "0-5 before",
            "8-10 rejected:tombstone",
            "10-12 empty",
            "13-15 filtered",
            "15-16 empty",
            "16-17 filtered",
            "17-20 lost",
        ];
        assert_eq!(texts(&ranges), expected);
        assert_eq!((ledger.next(), ledger.commit_point(), ledger.uncommitted()), (20, 0, None));
        ledger.acknowledge(5..8);
        assert_eq!(ledger.uncommitted(), None, "nothing is committed before the mark over [0, 5)");
        for range in ranges {
            ledger.acknowledge(range.offsets());
        }
        assert_eq!(ledger.uncommitted(), Some(12));
        ledger.confirm(12);
        assert_eq!(ledger.uncommitted(), None);
        assert!(!ledger.is_settled());
        ledger.acknowledge(12..13);
        assert!(ledger.is_settled());
        assert_eq!(ledger.uncommitted(), Some(20));
    }

    #[test]
    fn a_known_position_changes_nothing() {
        let mut ledger = open(0);
        ledger.read(&(0..4));
        ledger.pass(2);
        assert_eq!(ledger.lose(3), 0);
        assert_eq!((ledger.next(), ledger.unmarked()), (4, 0));
    }

    proptest! {
        /// Random records with gaps, each acknowledged at a random time: the commit point is always the first offset
        /// that is not acknowledged, and data and ranges together cover every offset exactly once.
        #[test]
        fn every_offset_is_accounted_for_once(
            records in prop::collection::vec((0u64..3, 0..3), 1..60), low in 0u64..4, seed in any::<u64>(),
        ) {
            let mut ledger = open(low);
            let (mut at, mut parts) = (low, Vec::new());
            for (gap, outcome) in records {
                at += gap;
                match outcome {
                    0 => {
                        ledger.read(&(at..at + 1));
                        parts.push(at..at + 1);
                    }
                    1 => ledger.reject(at, "not-json", None),
                    _ => ledger.filter(&(at..at + 1)),
                }
                at += 1;
            }
            parts.extend(ledger.take_unmarked().iter().map(MarkRange::offsets));
            let mut once = Ranges::default();
            for part in &parts {
                prop_assert_eq!(once.insert(part.clone()), part.end - part.start);
            }
            prop_assert_eq!(once.iter().collect::<Vec<_>>(), vec![0..at]);
            let mut acknowledged = Ranges::default();
            let mut order = seed;
            while !parts.is_empty() {
                order = order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let part = parts.swap_remove((order >> 33) as usize % parts.len());
                acknowledged.insert(part.clone());
                ledger.acknowledge(part);
                prop_assert_eq!(ledger.commit_point(), acknowledged.prefix_end(0));
            }
            prop_assert!(ledger.is_settled());
        }
    }
}
