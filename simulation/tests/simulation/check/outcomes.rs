//! The expected outcome of each offset by the messages that a processor received, in order: the first outcome is kept,
//! and data is accepted if its offset counted as missing.
//!
//! A second implementation of the rules, as plain as possible: one entry per offset, without ranges or prefixes.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use event::{Mark, Partition, mark::Reason};
use processor::frontier::Abandoned;

/// The state of one offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A data message, with its event's number and Kafka's timestamp.
    Data(usize, i64),
    Rejected,
    Filtered,
    Empty,
    Before,
    /// Deleted by retention, or given up.
    Lost,
}

/// Every offset that is accounted for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcomes {
    offsets: BTreeMap<Partition, BTreeMap<u64, Outcome>>,
    /// The position of each partition according to the marks.
    pub(super) heard: BTreeMap<Partition, u64>,
    /// Unexpected data: its offset counted as missing, or it is of an older incarnation of its topic, and no mark had
    /// mentioned it.
    pub(super) unawaited: BTreeSet<(Partition, u64)>,
    /// Rejected offsets that a redrive has published again.
    pub(super) redriven: BTreeSet<(Partition, u64)>,
    /// Data in order of arrival: the event's number, and the watermark of the flow with a join at that time.
    pub(super) arrivals: Vec<(usize, i64)>,
    /// The ledgers have been compared with it since the last message.
    pub(crate) is_checked: bool,
}

impl Outcome {
    fn yields_to_data(self) -> bool {
        matches!(self, Self::Before | Self::Lost)
    }
}

impl Outcomes {
    pub(crate) fn data(
        &mut self,
        (partition, offset): (&Partition, u64),
        (number, timestamp): (usize, i64),
        watermark: i64,
    ) {
        self.is_checked = false;
        let entry = self.offsets.entry(partition.clone()).or_default();
        let known = entry.get(&offset);
        if known.is_some_and(|outcome| outcome.yields_to_data()) {
            self.unawaited.insert((partition.clone(), offset));
        } else if known.is_some() {
            return;
        }
        entry.insert(offset, Outcome::Data(number, timestamp));
        self.arrivals.push((number, watermark));
    }

    /// A record that a redrive has published again: the one data that replaces `rejected`.
    pub(crate) fn redriven(
        &mut self,
        (partition, offset): (&Partition, u64),
        event: (usize, i64),
        watermark: i64,
    ) {
        if self.get(partition, offset) != Some(Outcome::Rejected) {
            return self.data((partition, offset), event, watermark);
        }
        self.is_checked = false;
        self.unawaited.insert((partition.clone(), offset));
        self.redriven.insert((partition.clone(), offset));
        let entry = self.offsets.entry(partition.clone()).or_default();
        entry.insert(offset, Outcome::Data(event.0, event.1));
        self.arrivals.push((event.0, watermark));
    }

    /// Data of an older incarnation is about to arrive behind the watermark; offsets that marks mentioned are not.
    pub(crate) fn unheard(&mut self, partition: &Partition, offset: u64) {
        if self.get(partition, offset).is_none() {
            self.unawaited.insert((partition.clone(), offset));
        }
    }

    pub(crate) fn mark(&mut self, mark: &Mark) {
        self.is_checked = false;
        for entry in &mark.partitions {
            let heard = self.heard.entry(entry.partition.clone()).or_default();
            *heard = entry.position.max(*heard);
            for range in &entry.ranges {
                let outcome = match range.reason {
                    Reason::Rejected(_) => Outcome::Rejected,
                    Reason::Filtered => Outcome::Filtered,
                    Reason::Empty => Outcome::Empty,
                    Reason::Before => Outcome::Before,
                    Reason::Lost => Outcome::Lost,
                };
                self.fill(&entry.partition, range.offsets(), outcome);
            }
        }
    }

    pub(crate) fn given_up(&mut self, holes: &[Abandoned]) {
        self.is_checked &= holes.is_empty();
        for hole in holes {
            let outcome = if hole.before_start { Outcome::Before } else { Outcome::Lost };
            self.fill(&hole.partition, hole.offsets.clone(), outcome);
        }
    }

    fn fill(&mut self, partition: &Partition, offsets: Range<u64>, outcome: Outcome) {
        let entry = self.offsets.entry(partition.clone()).or_default();
        for offset in offsets {
            entry.entry(offset).or_insert(outcome);
        }
    }

    pub(crate) fn get(&self, partition: &Partition, offset: u64) -> Option<Outcome> {
        self.offsets.get(partition)?.get(&offset).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Partition, u64, Outcome)> {
        self.offsets.iter().flat_map(|(partition, offsets)| {
            offsets.iter().map(move |(offset, outcome)| (partition, *offset, *outcome))
        })
    }
}
