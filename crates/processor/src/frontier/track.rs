//! The track of one partition of one incarnation: which offsets are accounted for, the prefix without a gap, and its
//! clocks.
//!
//! Each covered interval beyond the prefix keeps one maximum, so memory is proportional to the number of gaps.
//! Intervals merge by maximum, so a clock never runs ahead.

use std::{collections::BTreeMap, ops::Range};

use event::{EventTime, Millis, Ranges, mark::LogEnd};
use serde::{Deserialize, Serialize};

use super::clocks::Clocks;

/// The state of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// Every offset below this one is accounted for.
    pub(super) prefix: u64,
    /// The clocks over the data of the prefix.
    pub(super) clocks: Clocks,
    /// One past the highest data offset of the prefix.
    pub(super) data_end: u64,
    /// Covered intervals beyond the prefix by their start. They are disjoint and do not touch.
    pub(super) islands: BTreeMap<u64, Island>,
    /// Offsets that count as lost. Data that still arrives for one of them is taken.
    pub(super) lost: Ranges,
    /// Offsets before the start. Data that still arrives for one of them is taken.
    pub(super) before: Ranges,
    /// The highest offset that any message has mentioned.
    pub(super) heard_to: u64,
    /// The committed offset in the latest mark.
    pub(super) committed: Option<u64>,
    /// The leader's latest answer.
    pub(super) end: Option<LogEnd>,
    /// The earliest answer that already covered `data_end`: no event was appended after it.
    pub(super) quiet_since: Option<EventTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Island {
    pub(super) end: u64,
    pub(super) clocks: Clocks,
    pub(super) data_end: u64,
}

/// Why offsets have no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// There is no event: a reject, a control record, or a gap from compaction.
    Final,
    /// Retention took the records, or the hole was abandoned.
    Lost,
    /// The offsets are before the start.
    Before,
}

/// The classification of a data message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Its offset was not accounted for yet.
    New,
    /// It was seen before: a redelivery, or the connector published it again.
    Seen,
    /// Its offset was accounted for as absent; the data is taken nevertheless.
    Retaken(Absence),
}

impl Track {
    /// Creates the track of a partition of which nothing is known.
    pub fn new() -> Self {
        Self {
            prefix: 0,
            clocks: Clocks::NONE,
            data_end: 0,
            islands: BTreeMap::new(),
            lost: Ranges::default(),
            before: Ranges::default(),
            heard_to: 0,
            committed: None,
            end: None,
            quiet_since: None,
        }
    }

    /// Classifies a data message without changing anything.
    pub fn peek(&self, offset: u64) -> Arrival {
        if self.lost.contains(offset) {
            Arrival::Retaken(Absence::Lost)
        } else if self.before.contains(offset) {
            Arrival::Retaken(Absence::Before)
        } else if self.covers(offset) {
            Arrival::Seen
        } else {
            Arrival::New
        }
    }

    /// Accounts for a data message.
    pub fn data(&mut self, offset: u64, clocks: Clocks) -> Arrival {
        let arrival = self.peek(offset);
        self.take(offset, arrival, clocks);
        arrival
    }

    /// As [`Self::data`], for a message that [`Self::peek`] has classified.
    pub(crate) fn take(&mut self, offset: u64, arrival: Arrival, clocks: Clocks) {
        match arrival {
            Arrival::Seen => {}
            Arrival::New => self.cover(offset..offset + 1, clocks, offset + 1),
            Arrival::Retaken(_) => {
                self.lost.remove(offset..offset + 1);
                self.before.remove(offset..offset + 1);
                self.raise(offset, clocks);
            }
        }
    }

    /// Accounts for a range without events. Returns the offsets in it that were new.
    pub fn absent(&mut self, range: Range<u64>, absence: Absence) -> Vec<Range<u64>> {
        let gaps = self.gaps(range);
        for gap in &gaps {
            match absence {
                Absence::Final => 0,
                Absence::Lost => self.lost.insert(gap.clone()),
                Absence::Before => self.before.insert(gap.clone()),
            };
            self.cover(gap.clone(), Clocks::NONE, 0);
        }
        gaps
    }

    /// Records what a mark reports besides its ranges.
    pub fn heard(&mut self, position: u64, committed: Option<u64>, end: Option<LogEnd>) {
        self.heard_to = self.heard_to.max(position);
        self.committed = self.committed.max(committed);
        let Some(fact) = end else { return };
        if self.end.is_none_or(|known| known.asked_at < fact.asked_at) {
            self.end = Some(fact);
        }
        if fact.offset >= self.data_end && self.quiet_since.is_none_or(|since| fact.asked_at < since) {
            self.quiet_since = Some(fact.asked_at);
        }
    }

    /// The clocks of this partition: those of its prefix, or, if it is idle, the time at which its leader was asked.
    pub fn clocks(&self, idle_after: Millis) -> Clocks {
        match self.idle_at(idle_after) {
            Some(asked_at) => self.clocks.max(Clocks::all(asked_at)),
            None => self.clocks,
        }
    }

    /// The time up to which the partition is known to be idle; `None` if it is not.
    ///
    /// A record that was read and has not arrived keeps the partition awake, whatever log end the leader reported:
    /// after a topic is recreated, a question about the old log is answered with the end of the new one.
    pub fn idle_at(&self, idle_after: Millis) -> Option<EventTime> {
        let (end, quiet_since) = (self.end?, self.quiet_since?);
        let is_reached = self.prefix >= end.offset && self.prefix >= self.heard_to;
        (is_reached && end.asked_at >= quiet_since + idle_after).then_some(end.asked_at)
    }

    /// The ranges below the committed offset that are not accounted for: published messages that have not arrived.
    pub fn holes(&self) -> Vec<Range<u64>> {
        self.committed.map(|committed| self.gaps(self.prefix..committed.max(self.prefix))).unwrap_or_default()
    }

    /// Without a state: the part of the log below everything that arrived, once it is known to have been committed.
    pub fn leading_hole(&self) -> Option<Range<u64>> {
        let first = self.islands.keys().next().copied();
        let lowest = match (first, self.committed) {
            (Some(first), Some(committed)) => first.min(committed),
            (None, Some(committed)) => committed,
            (_, None) => return None,
        };
        (self.prefix == 0 && lowest > 0).then_some(0..lowest)
    }

    /// Every offset below this one is accounted for.
    pub fn prefix(&self) -> u64 {
        self.prefix
    }

    /// The highest offset that any message has mentioned.
    pub fn heard_to(&self) -> u64 {
        self.heard_to
    }

    /// The number of offsets that are accounted for.
    pub fn accounted(&self) -> u64 {
        self.prefix + self.islands.iter().map(|(start, island)| island.end - start).sum::<u64>()
    }

    /// The number of offsets below the highest one mentioned that are not accounted for.
    pub fn missing(&self) -> u64 {
        let end = self.end.map_or(0, |end| end.offset).max(self.heard_to);
        end.saturating_sub(self.accounted())
    }

    /// Offsets that count as lost: taken by retention, or abandoned holes whose data has not arrived.
    pub fn lost(&self) -> &Ranges {
        &self.lost
    }

    /// The number of covered intervals beyond the prefix.
    pub fn islands(&self) -> usize {
        self.islands.len()
    }

    /// The committed offset in the latest mark.
    pub fn committed(&self) -> Option<u64> {
        self.committed
    }

    /// The leader's latest answer.
    pub fn end(&self) -> Option<LogEnd> {
        self.end
    }

    fn covers(&self, offset: u64) -> bool {
        if offset < self.prefix {
            return true;
        }
        // Most offsets lie beyond everything that has arrived, and looking there is cheaper than searching.
        self.islands.last_key_value().is_some_and(|(_, last)| offset < last.end)
            && self.islands.range(..=offset).next_back().is_some_and(|(_, island)| offset < island.end)
    }

    /// The parts of a range that are not accounted for.
    pub fn gaps(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut at = range.start.max(self.prefix);
        if let Some((_, island)) = self.islands.range(..=at).next_back() {
            at = at.max(island.end);
        }
        for (&start, island) in self.islands.range(at..range.end.max(at)) {
            if start > at {
                gaps.push(at..start);
            }
            at = island.end;
        }
        if at < range.end {
            gaps.push(at..range.end);
        }
        gaps
    }

    /// Covers a range of which nothing is covered yet, and extends the prefix over intervals that now touch it.
    fn cover(&mut self, range: Range<u64>, clocks: Clocks, data_end: u64) {
        self.heard_to = self.heard_to.max(range.end);
        // As in `covers`: most offsets follow the last interval.
        if let Some(mut last) = self.islands.last_entry()
            && last.get().end == range.start
        {
            let last = last.get_mut();
            last.end = range.end;
            last.clocks = last.clocks.max(clocks);
            last.data_end = last.data_end.max(data_end);
            return;
        }
        let mut island = Island { end: range.end, clocks, data_end };
        let mut start = range.start;
        if let Some(next) = self.islands.remove(&range.end) {
            island = Island {
                end: next.end,
                clocks: island.clocks.max(next.clocks),
                data_end: island.data_end.max(next.data_end),
            };
        }
        if start == self.prefix {
            self.prefix = island.end;
            self.clocks = self.clocks.max(island.clocks);
            if island.data_end > self.data_end {
                self.data_end = island.data_end;
                self.quiet_since = self.end.filter(|end| end.offset >= self.data_end).map(|end| end.asked_at);
            }
            return;
        }
        if let Some((&before, previous)) = self.islands.range(..start).next_back()
            && previous.end == start
        {
            island.clocks = island.clocks.max(previous.clocks);
            island.data_end = island.data_end.max(previous.data_end);
            start = before;
        }
        self.islands.insert(start, island);
    }

    /// Raises the clocks of the interval that covers an offset.
    fn raise(&mut self, offset: u64, clocks: Clocks) {
        if offset < self.prefix {
            self.clocks = self.clocks.max(clocks);
        } else if let Some((_, island)) = self.islands.range_mut(..=offset).next_back() {
            island.clocks = island.clocks.max(clocks);
            island.data_end = island.data_end.max(offset + 1);
        }
    }
}

impl Default for Track {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(time: i64) -> Clocks {
        Clocks::all(EventTime(time))
    }

    fn fact(offset: u64, asked_at: i64) -> Option<LogEnd> {
        Some(LogEnd { offset, asked_at: EventTime(asked_at) })
    }

    proptest! {
        /// In any order and with repetitions, prefix, clocks and new offsets depend only on the set of offsets.
        #[test]
        fn order_and_repetition_do_not_matter(
            order in Just((0u64..30).collect::<Vec<_>>()).prop_shuffle(),
            marks in proptest::collection::vec(any::<bool>(), 30),
            cut in 0usize..30,
        ) {
            let mut track = Track::new();
            let mut seen = std::collections::BTreeSet::new();
            for &offset in order[..cut].iter().chain(&order[..cut / 2]) {
                let new = seen.insert(offset);
                if marks[offset as usize] {
                    let found = track.absent(offset..offset + 1, Absence::Final);
                    prop_assert_eq!(found.len(), usize::from(new));
                } else {
                    let arrival = track.data(offset, at(offset as i64 * 10));
                    prop_assert_eq!(arrival, if new { Arrival::New } else { Arrival::Seen });
                }
                let prefix = (0..).find(|o| !seen.contains(o)).unwrap_or(0);
                prop_assert_eq!(track.prefix(), prefix);
                let clock = (0..prefix).filter(|&o| !marks[o as usize]).map(|o| o as i64 * 10).max();
                prop_assert_eq!(track.clocks(Millis(1)).event, clock.map_or(EventTime::MIN, EventTime));
                prop_assert_eq!(track.accounted(), seen.len() as u64);
            }
        }
    }

    #[test]
    fn only_a_quiet_partition_whose_end_is_reached_is_idle() {
        let mut track = Track::new();
        track.data(0, at(100));
        track.heard(1, Some(1), fact(1, 1_000));
        assert_eq!(track.idle_at(Millis(500)), None, "an event was appended shortly before");
        track.heard(1, Some(1), fact(1, 1_600));
        assert_eq!(track.idle_at(Millis(500)), Some(EventTime(1_600)));
        track.heard(1, Some(1), fact(2, 2_000));
        assert_eq!(track.idle_at(Millis(500)), None, "the log continues beyond the prefix");
        assert_eq!(track.clocks(Millis(500)), at(100));
    }

    #[test]
    fn a_partition_with_something_on_its_way_is_not_idle() {
        let mut track = Track::new();
        track.data(0, at(100));
        track.heard(1, Some(1), fact(1, 1_000));
        track.heard(2, Some(1), fact(0, 2_000));
        assert_eq!(track.idle_at(Millis(500)), None, "an end of another life of the topic");
        track.data(1, at(200));
        track.heard(2, Some(2), fact(2, 3_000));
        track.heard(2, Some(2), fact(2, 3_600));
        assert_eq!(track.idle_at(Millis(500)), Some(EventTime(3_600)));
    }

    #[test]
    fn rejects_do_not_keep_a_partition_awake() {
        let mut track = Track::new();
        track.data(0, at(100));
        for step in 1..10 {
            track.absent(step..step + 1, Absence::Final);
            track.heard(step + 1, None, fact(step + 1, 1_000 * step as i64));
        }
        assert_eq!(track.idle_at(Millis(5_000)), Some(EventTime(9_000)));
    }

    #[test]
    fn a_backfill_of_old_events_is_not_idle() {
        let mut track = Track::new();
        for step in 0..20 {
            track.data(step, at(5));
            track.heard(step + 1, None, fact(step + 1, 1_000 * step as i64));
            assert_eq!(track.idle_at(Millis(1_500)), None);
        }
    }

    #[test]
    fn lost_offsets_are_taken_when_they_come() {
        let mut track = Track::new();
        assert_eq!(track.absent(0..5, Absence::Lost), vec![0..5]);
        assert_eq!(track.data(3, at(70)), Arrival::Retaken(Absence::Lost));
        assert_eq!(track.data(3, at(70)), Arrival::Seen);
        assert_eq!((track.prefix(), track.clocks(Millis(1))), (5, at(70)));
        assert_eq!(track.absent(0..7, Absence::Final), vec![5..7], "the first outcome is kept");
    }

    #[test]
    fn holes_are_what_was_committed_and_did_not_come() {
        let mut track = Track::new();
        track.data(0, at(1));
        track.data(4, at(1));
        track.heard(9, Some(7), None);
        assert_eq!(track.holes(), vec![1..4, 5..7]);
        assert_eq!(track.leading_hole(), None);
        assert_eq!(track.missing(), 7, "with what was read and not published");
        track.heard(9, Some(7), fact(20, 5));
        assert_eq!(track.missing(), 18, "with what was not read");
    }
}
