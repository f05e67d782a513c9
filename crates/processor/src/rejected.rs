//! The offsets whose outcome is `rejected`, with the flows that say so.
//!
//! `aqueduct dead-letters redrive` publishes such an offset again, with the number of the redrive. A flow that rejected
//! the offset takes what arrives; all others have already counted it. Because the set is part of the state, an offset is
//! counted once, however often a redrive publishes it: it leaves the set when a flow takes it, and if it is rejected
//! again, it keeps the number of the redrive and ignores copies up to that number.
//!
//! A checkpoint contains the spans that changed since the one before, in their order, and a part of all spans. Each is an
//! absolute statement about a range of offsets, so applying checkpoints in their order gives the last one for each
//! offset. A part never restores a removed span for good, because the removal is in a later checkpoint.
//!
//! The number of spans is limited. Beyond it, the lowest offsets of the partition with the most spans are forgotten; they
//! stay `rejected` and can no longer be redriven.

mod flow_set;

use std::{collections::BTreeMap, ops::Range};

use event::Partition;
use serde::{Deserialize, Serialize};

use crate::saved::Room;

pub use flow_set::FlowSet;

/// The rejected offsets of all partitions.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// In the order in which they were first seen, so that a walk over them can be continued.
    logs: Vec<Log>,
    places: BTreeMap<Partition, usize>,
    /// What spans refer to. There are few: one for each set of flows that rejected something in one redrive.
    refusals: Vec<Refused>,
    numbers: BTreeMap<Refused, u32>,
    spans: usize,
    limit: usize,
    unsaved: Vec<Change>,
    forgotten: u64,
    newest: u64,
}

#[derive(Clone, Debug)]
struct Log {
    partition: Partition,
    /// By the first offset. Spans do not overlap, and neighbours differ.
    spans: BTreeMap<u64, Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    end: u64,
    refused: u32,
}

#[derive(Clone, Debug)]
struct Change {
    log: usize,
    offsets: Range<u64>,
    refused: Option<u32>,
}

/// What is known of a rejected offset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    /// The flows that rejected it.
    pub flows: FlowSet,
    /// Whether another flow took the record, so that its own event ID is among the known ones.
    pub is_taken: bool,
    /// The number of the redrive in which it was rejected last; 0 if it was in none.
    pub redrive: u64,
}

/// The part of a checkpoint that contains the rejected offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedRejected {
    partitions: Vec<Partition>,
    /// The names of the flows.
    flows: Vec<String>,
    /// Flows by their index in `flows`, `is_taken` and `redrive`.
    refused: Vec<(Vec<u32>, bool, u64)>,
    /// Partition, first offset, the offset after the last one, and an index in `refused`; `None` if nothing in the range
    /// is rejected.
    spans: Vec<(u32, u64, u64, Option<u32>)>,
    forgotten: u64,
    newest: u64,
}

/// Where a walk over the spans continues: a partition, and an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(usize, u64);

/// The number of spans that are remembered, some 16 MiB. Consecutive rejects are one span.
pub const REMEMBERED: usize = 250_000;
/// Approximate bytes of a span in memory, with its share of a node.
const SPAN_BYTES: u64 = 48;

impl Place {
    /// The first span.
    pub const START: Self = Self(0, 0);
}

impl SavedRejected {
    /// Approximate bytes in memory.
    pub fn weight(&self) -> usize {
        self.spans.len() * size_of::<(u32, u64, u64, Option<u32>)>()
    }
}

impl Default for Rejected {
    fn default() -> Self {
        Self::with_limit(REMEMBERED)
    }
}

impl Rejected {
    /// An empty set of at most this many spans.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            logs: Vec::new(),
            places: BTreeMap::new(),
            refusals: Vec::new(),
            numbers: BTreeMap::new(),
            spans: 0,
            limit: limit.max(1),
            unsaved: Vec::new(),
            forgotten: 0,
            newest: 0,
        }
    }

    /// What is known of an offset; `None` if it is not rejected, or no longer known to be.
    pub fn get(&self, partition: &Partition, offset: u64) -> Option<&Refused> {
        let spans = &self.logs[*self.places.get(partition)?].spans;
        let (_, span) = spans.range(..=offset).next_back()?;
        (offset < span.end).then(|| &self.refusals[span.refused as usize])
    }

    /// Every span, by partition and offset.
    pub fn iter(&self) -> impl Iterator<Item = (&Partition, Range<u64>, &Refused)> {
        self.places.iter().flat_map(move |(partition, log)| {
            let spans = self.logs[*log].spans.iter();
            spans.map(move |(start, span)| {
                (partition, *start..span.end, &self.refusals[span.refused as usize])
            })
        })
    }

    /// The number of rejected offsets that can be redriven.
    pub fn offsets(&self) -> u64 {
        self.iter().map(|(_, offsets, _)| offsets.end - offsets.start).sum()
    }

    /// The number of rejected offsets that were forgotten because of the limit.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The highest number of a redrive of which a message has arrived; 0 if there is none.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// Records that a message of this redrive has arrived.
    pub(crate) fn seen(&mut self, redrive: u64) {
        self.newest = self.newest.max(redrive);
    }

    /// Records the present outcome of offsets; `None`, or a refusal by no flow, if they are not rejected any more.
    pub(crate) fn set(&mut self, partition: &Partition, offsets: Range<u64>, refused: Option<Refused>) {
        if offsets.is_empty() {
            return;
        }
        let refused = refused.filter(|refused| !refused.flows.is_empty()).map(|refused| self.number(refused));
        if refused.is_none() && !self.places.contains_key(partition) {
            return;
        }
        let log = self.log(partition);
        self.put(log, offsets.clone(), refused);
        self.changed(log, offsets, refused);
        if self.spans > self.limit {
            self.forget();
        }
    }

    /// Removes the partitions that do not fulfil a condition.
    pub(crate) fn retain(&mut self, is_kept: impl Fn(&Partition) -> bool) {
        for log in 0..self.logs.len() {
            if !self.logs[log].spans.is_empty() && !is_kept(&self.logs[log].partition) {
                self.put(log, 0..u64::MAX, None);
                self.changed(log, 0..u64::MAX, None);
            }
        }
    }

    fn number(&mut self, refused: Refused) -> u32 {
        if let Some(number) = self.numbers.get(&refused) {
            return *number;
        }
        let number =
            u32::try_from(self.refusals.len()).expect("fewer than four billion sets of flows and redrives");
        self.refusals.push(refused.clone());
        self.numbers.insert(refused, number);
        number
    }

    fn log(&mut self, partition: &Partition) -> usize {
        if let Some(log) = self.places.get(partition) {
            return *log;
        }
        self.places.insert(partition.clone(), self.logs.len());
        self.logs.push(Log { partition: partition.clone(), spans: BTreeMap::new() });
        self.logs.len() - 1
    }

    fn changed(&mut self, log: usize, offsets: Range<u64>, refused: Option<u32>) {
        match self.unsaved.last_mut() {
            Some(last) if last.log == log && last.offsets.end == offsets.start && last.refused == refused => {
                last.offsets.end = offsets.end;
            }
            _ => self.unsaved.push(Change { log, offsets, refused }),
        }
    }

    fn put(&mut self, log: usize, offsets: Range<u64>, refused: Option<u32>) {
        let spans = &mut self.logs[log].spans;
        let before = spans.len();
        if let Some((_, span)) = spans.range_mut(..offsets.start).next_back()
            && span.end > offsets.start
        {
            let rest = *span;
            span.end = offsets.start;
            if rest.end > offsets.end {
                spans.insert(offsets.end, rest);
            }
        }
        while let Some((&start, &span)) = spans.range(offsets.clone()).next() {
            spans.remove(&start);
            if span.end > offsets.end {
                spans.insert(offsets.end, span);
            }
        }
        if let Some(refused) = refused {
            let mut new = Span { end: offsets.end, refused };
            if let Some(next) = spans.get(&offsets.end).copied().filter(|next| next.refused == refused) {
                spans.remove(&offsets.end);
                new.end = next.end;
            }
            match spans.range_mut(..offsets.start).next_back() {
                Some((_, last)) if last.end == offsets.start && last.refused == refused => last.end = new.end,
                _ => drop(spans.insert(offsets.start, new)),
            }
        }
        self.spans = self.spans + spans.len() - before;
    }

    /// Forgets the lower half of the spans of the partitions with the most of them, until a sixteenth of the limit is
    /// free: then the next search for them is far away.
    fn forget(&mut self) {
        while self.spans > self.limit - self.limit / 16 {
            let most = (0..self.logs.len()).max_by_key(|log| self.logs[*log].spans.len());
            let Some(log) = most else { return };
            let spans = &self.logs[log].spans;
            let half = spans.len().div_ceil(2);
            let dropped: Vec<(u64, u64)> =
                spans.iter().take(half).map(|(start, span)| (*start, span.end)).collect();
            let end = dropped.last().map_or(0, |(_, end)| *end);
            self.forgotten += dropped.iter().map(|(start, end)| end - start).sum::<u64>();
            self.put(log, 0..end, None);
            self.changed(log, 0..end, None);
        }
    }

    /// What changed since the last call. `flows` are the names of the flows by their index.
    pub fn save(&mut self, flows: Vec<String>) -> SavedRejected {
        let listed = |refused: &Refused| {
            let flows = refused.flows.iter().map(|flow| flow as u32).collect();
            (flows, refused.is_taken, refused.redrive)
        };
        let changes = std::mem::take(&mut self.unsaved);
        let spans = changes
            .into_iter()
            .map(|change| (change.log as u32, change.offsets.start, change.offsets.end, change.refused));
        SavedRejected {
            partitions: self.logs.iter().map(|log| log.partition.clone()).collect(),
            flows,
            refused: self.refusals.iter().map(listed).collect(),
            spans: spans.collect(),
            forgotten: self.forgotten,
            newest: self.newest,
        }
    }

    /// Adds spans from a place on while there is room. Returns where to continue, or `None` at the end.
    pub fn walk(
        &self,
        Place(first, from): Place,
        room: &mut Room,
        saved: &mut SavedRejected,
    ) -> Option<Place> {
        for (number, log) in self.logs.iter().enumerate().skip(first) {
            let from = if number == first { from } else { 0 };
            // A span that began here may be part of one that begins before by now.
            let before = log.spans.range(..from).next_back().filter(|(_, span)| span.end > from);
            let rest = before.map(|(_, span)| (&from, span));
            for (start, span) in rest.into_iter().chain(log.spans.range(from..)) {
                if room.is_full() {
                    return Some(Place(number, *start));
                }
                room.take(size_of::<(u32, u64, u64, Option<u32>)>());
                saved.spans.push((number as u32, *start, span.end, Some(span.refused)));
            }
        }
        None
    }

    /// Applies one checkpoint. Checkpoints must be applied in the order in which they were written. `index` is the index
    /// of a flow by its name, if it still has the state that it had then.
    pub fn restore(&mut self, saved: &SavedRejected, index: impl Fn(&str) -> Option<usize>) {
        let flows: Vec<Option<usize>> = saved.flows.iter().map(|name| index(name)).collect();
        let refused: Vec<Option<u32>> = saved
            .refused
            .iter()
            .map(|(of, is_taken, redrive)| {
                let mut set = FlowSet::default();
                of.iter().filter_map(|flow| *flows.get(*flow as usize)?).for_each(|flow| set.insert(flow));
                let refused = Refused { flows: set, is_taken: *is_taken, redrive: *redrive };
                (!refused.flows.is_empty()).then(|| self.number(refused))
            })
            .collect();
        for (partition, start, end, of) in &saved.spans {
            let Some(partition) = saved.partitions.get(*partition as usize) else { continue };
            let log = self.log(partition);
            let of = of.and_then(|of| *refused.get(of as usize)?);
            if start < end {
                self.put(log, *start..*end, of);
            }
        }
        (self.forgotten, self.newest) = (saved.forgotten, saved.newest);
    }

    /// Removes a flow from everything: its state begins again.
    pub(crate) fn clear_flow(&mut self, flow: usize) {
        if !self.refusals.iter().any(|refused| refused.flows.contains(flow)) {
            return;
        }
        let all: Vec<(Partition, Range<u64>, Refused)> = self
            .iter()
            .map(|(partition, offsets, refused)| (partition.clone(), offsets, refused.clone()))
            .collect();
        let (forgotten, newest) = (self.forgotten, self.newest);
        *self = Self { forgotten, newest, ..Self::with_limit(self.limit) };
        for (partition, offsets, mut refused) in all {
            refused.flows.remove(flow);
            if !refused.flows.is_empty() {
                let (log, refused) = (self.log(&partition), self.number(refused));
                self.put(log, offsets, Some(refused));
            }
        }
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> u64 {
        SPAN_BYTES * self.spans as u64 + (self.unsaved.len() * size_of::<Change>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partition(number: i32) -> Partition {
        Partition { topic: "events".into(), incarnation: "i".into(), partition: number }
    }

    fn refused(flows: &[usize], redrive: u64) -> Option<Refused> {
        let mut set = FlowSet::default();
        flows.iter().for_each(|flow| set.insert(*flow));
        Some(Refused { flows: set, is_taken: flows.len() == 1, redrive })
    }

    fn names() -> Vec<String> {
        ["f", "g"].map(str::to_owned).into()
    }

    fn index(name: &str) -> Option<usize> {
        names().iter().position(|known| known == name)
    }

    type Naive = BTreeMap<(i32, u64), Refused>;

    fn all(rejected: &Rejected) -> Naive {
        let each = rejected.iter().flat_map(|(partition, offsets, refused)| {
            offsets.map(move |offset| ((partition.partition, offset), refused.clone()))
        });
        each.collect()
    }

    proptest! {
        /// A restart from any chain of checkpoints that contains a complete round gives the same set.
        #[test]
        fn checkpoints_restore_what_a_naive_map_holds(
            steps in prop::collection::vec(
                (0..3_i32, 0..40_u64, 1..12_u64, 0..5_u64, any::<bool>(), 1..200_usize), 1..60,
            ),
        ) {
            let (mut rejected, mut naive) = (Rejected::default(), Naive::new());
            let (mut chain, mut place) = (Vec::new(), Place::START);
            let mut rounds = Vec::new();
            for (number, from, length, kind, is_saved, budget) in steps {
                let value = match kind {
                    0 => None,
                    1 => refused(&[0, 1], 0),
                    kind => refused(&[(kind % 2) as usize], kind),
                };
                rejected.set(&partition(number), from..from + length, value.clone());
                for offset in from..from + length {
                    match &value {
                        Some(value) => naive.insert((number, offset), value.clone()),
                        None => naive.remove(&(number, offset)),
                    };
                }
                for offset in 0..60 {
                    prop_assert_eq!(rejected.get(&partition(number), offset), naive.get(&(number, offset)));
                }
                if is_saved {
                    if place == Place::START {
                        rounds.push(chain.len());
                    }
                    let mut saved = rejected.save(names());
                    let next = rejected.walk(place, &mut Room::new(budget), &mut saved);
                    place = next.unwrap_or(Place::START);
                    chain.push(saved);
                }
            }
            prop_assert_eq!(&all(&rejected), &naive);
            let spans: usize = rejected.logs.iter().map(|log| log.spans.len()).sum();
            prop_assert_eq!(spans, rejected.spans);
            // Complete the chain from the beginning of the last complete round.
            let base = if place == Place::START { chain.len() } else { rounds.len().checked_sub(1).map_or(0, |n| rounds[n]) };
            let mut saved = rejected.save(names());
            rejected.walk(place, &mut Room::new(usize::MAX), &mut saved);
            chain.push(saved);
            let mut restored = Rejected::default();
            chain[base.min(chain.len() - 1)..].iter().for_each(|saved| restored.restore(saved, index));
            prop_assert_eq!(all(&restored), naive);
        }
    }

    #[test]
    fn memory_is_bounded_and_the_newest_offsets_stay() {
        let mut rejected = Rejected::with_limit(64);
        for offset in 0..1_000 {
            rejected.set(&partition(0), 2 * offset..2 * offset + 1, refused(&[0], 0));
            assert!(rejected.spans <= 64);
        }
        assert_eq!(rejected.forgotten() + rejected.offsets(), 1_000);
        assert!(rejected.get(&partition(0), 1_998).is_some());
        assert!(rejected.get(&partition(0), 0).is_none());
        // A run of rejects is one span.
        let mut run = Rejected::with_limit(2);
        (0..1_000).for_each(|offset| run.set(&partition(0), offset..offset + 1, refused(&[0], 0)));
        assert_eq!((run.forgotten(), run.offsets()), (0, 1_000));
    }

    #[test]
    fn a_flow_whose_state_begins_again_rejected_nothing() {
        let mut rejected = Rejected::default();
        rejected.set(&partition(0), 0..4, refused(&[0, 1], 0));
        rejected.set(&partition(0), 4..8, refused(&[1], 0));
        let mut only = rejected.clone();
        only.clear_flow(1);
        assert_eq!(only.offsets(), 4);
        let mut saved = rejected.save(names());
        rejected.walk(Place::START, &mut Room::new(usize::MAX), &mut saved);
        let mut restored = Rejected::default();
        restored.restore(&saved, |name| index(name).filter(|flow| *flow == 0));
        assert_eq!(all(&restored), all(&only));
        assert!(restored.get(&partition(0), 3).is_some_and(|refused| !refused.flows.contains(1)));
    }
}
