//! The ids of events that some flow took, to recognise what a producer wrote twice.
//!
//! An id is its 128-bit hash (see [`crate::digest`]). Two events are one when they have the same id and their event
//! times are at most `within` apart. An id keeps every time at which it was taken: with only the newest of them, copies
//! of two distant events would take turns and each would count again.
//!
//! How long an id is kept is measured by the clock of the flows that need it, so there is one [`Ids`] for each kind
//! of time that a flow uses.

use std::collections::BTreeMap;

use event::{EventTime, Millis};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// The ids that flows of one kind of time have taken.
#[derive(Debug)]
pub struct Ids {
    within: Millis,
    keep: Millis,
    /// The first time at which each id was taken.
    taken: FxHashMap<u128, Taken>,
    /// Further times, more than `within` from the first; few ids have any.
    more: FxHashMap<u128, Vec<Taken>>,
    /// Ids by the minute of their time in the clock of the flows.
    by_minute: BTreeMap<i64, Vec<u128>>,
    unsaved: Vec<(u128, Taken)>,
    /// The lowest watermark of the flows.
    watermark: EventTime,
}

/// When an event was that took an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Its event time, or `clock` where it has none.
    pub event: EventTime,
    /// Its time in the clock of the flows: event, Kafka or processing time.
    pub clock: EventTime,
}

/// The part of a checkpoint that holds the ids of one kind of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedIds {
    /// Ids that were taken since the last checkpoint, or all.
    pub new: Vec<(u128, Taken)>,
    /// The lowest watermark of the flows, in milliseconds.
    pub watermark: i64,
}

const MINUTE: i64 = 60_000;

impl Ids {
    /// Ids are kept until the watermark is `within` and `open` (window size and allowed lateness, the most that any
    /// of the flows has) past them: until then a window may still take a copy.
    pub fn new(within: Millis, open: Millis) -> Self {
        Self {
            within,
            keep: Millis(within.0.saturating_add(open.0)),
            taken: FxHashMap::default(),
            more: FxHashMap::default(),
            by_minute: BTreeMap::new(),
            unsaved: Vec::new(),
            watermark: EventTime::MIN,
        }
    }

    /// Whether an event with this id and event time was taken before.
    #[inline]
    pub fn holds(&self, id: u128, event: EventTime) -> bool {
        let Some(first) = self.taken.get(&id) else { return false };
        // Exact, though ids are dropped by the minute: the answer must not depend on when that happened.
        let same = |taken: &Taken| {
            (taken.event.0.saturating_sub(event.0)).saturating_abs() <= self.within.0 && !self.is_over(taken)
        };
        same(first) || self.more.get(&id).is_some_and(|more| more.iter().any(same))
    }

    /// A flow took an event with this id.
    pub fn take(&mut self, id: u128, taken: Taken) {
        if self.is_over(&taken) {
            return;
        }
        self.insert(id, taken);
        self.unsaved.push((id, taken));
    }

    fn is_over(&self, taken: &Taken) -> bool {
        taken.clock + self.keep <= self.watermark
    }

    fn insert(&mut self, id: u128, taken: Taken) {
        match self.taken.get(&id) {
            None => {
                self.taken.insert(id, taken);
            }
            Some(_) => self.more.entry(id).or_default().push(taken),
        }
        self.by_minute.entry(minute(taken.clock)).or_default().push(id);
    }

    /// Moves the watermark and forgets what no window can take a copy of any more.
    pub fn advance(&mut self, watermark: EventTime) {
        if watermark == EventTime::MIN {
            return;
        }
        self.watermark = self.watermark.max(watermark);
        let floor = minute(self.watermark - self.keep);
        while let Some(first) = self.by_minute.first_entry().filter(|first| *first.key() < floor) {
            for id in first.remove() {
                self.forget(id);
            }
        }
    }

    /// Forgets the times of an id that are over.
    fn forget(&mut self, id: u128) {
        let (watermark, keep) = (self.watermark, self.keep);
        let is_kept = |taken: &Taken| taken.clock + keep > watermark;
        if let Some(more) = self.more.get_mut(&id) {
            more.retain(is_kept);
            if self.taken.get(&id).is_some_and(|first| !is_kept(first)) {
                match more.pop() {
                    Some(next) => self.taken.insert(id, next),
                    None => self.taken.remove(&id),
                };
            }
            if more.is_empty() {
                self.more.remove(&id);
            }
        } else if self.taken.get(&id).is_some_and(|first| !is_kept(first)) {
            self.taken.remove(&id);
        }
    }

    /// What changed since the last call, or everything.
    pub fn save(&mut self, everything: bool) -> SavedIds {
        let unsaved = std::mem::take(&mut self.unsaved);
        let new = if everything {
            let first = self.taken.iter().map(|(&id, &taken)| (id, taken));
            first.chain(self.more.iter().flat_map(|(&id, more)| more.iter().map(move |&t| (id, t)))).collect()
        } else {
            unsaved
        };
        SavedIds { new, watermark: self.watermark.0 }
    }

    /// Applies what [`Self::save`] returned, in the same order.
    pub fn restore(&mut self, saved: SavedIds) {
        for (id, taken) in saved.new {
            self.insert(id, taken);
        }
        self.advance(EventTime(saved.watermark));
    }

    /// Forgets what the next [`Self::save`] would return.
    pub fn nothing_to_save(&mut self) {
        self.unsaved.clear();
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> u64 {
        let more: usize = self.more.values().map(Vec::len).sum();
        72 * self.taken.len() as u64 + 72 * self.more.len() as u64 + 40 * more as u64
    }
}

fn minute(time: EventTime) -> i64 {
    time.0.div_euclid(MINUTE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WITHIN: Millis = Millis(600_000);
    const OPEN: Millis = Millis(60_000);

    fn at(time: i64) -> Taken {
        Taken { event: EventTime(time), clock: EventTime(time) }
    }

    #[test]
    fn an_id_holds_within_its_time_and_across_a_restart() {
        let mut ids = Ids::new(WITHIN, OPEN);
        ids.take(1, at(0));
        assert!(ids.holds(1, EventTime(600_000)));
        assert!(!ids.holds(1, EventTime(600_001)));
        let mut again = Ids::new(WITHIN, OPEN);
        again.restore(ids.save(false));
        assert!(again.holds(1, EventTime(600_000)));
        again.advance(EventTime(660_000));
        assert!(!again.holds(1, EventTime(0)));
    }

    proptest! {
        /// Against a list of everything that was taken.
        #[test]
        fn ids_are_what_a_list_holds(
            steps in proptest::collection::vec((0u128..4, 0i64..3_000_000, -1_500_000i64..600_000), 0..60),
            restart in 0usize..60,
        ) {
            let mut ids = Ids::new(WITHIN, OPEN);
            let mut list: Vec<(u128, Taken)> = Vec::new();
            let mut watermark = i64::MIN;
            let mut chain = Vec::new();
            for (n, &(id, clock, late)) in steps.iter().enumerate() {
                let taken = Taken { event: EventTime(clock + late / 2), clock: EventTime(clock) };
                let kept = |taken: &Taken| taken.clock.0 + WITHIN.0 + OPEN.0 > watermark;
                let expected = list.iter().any(|(other, before)| {
                    *other == id && (before.event.0 - taken.event.0).abs() <= WITHIN.0 && kept(before)
                });
                prop_assert_eq!(ids.holds(id, taken.event), expected);
                if !expected {
                    ids.take(id, taken);
                    list.push((id, taken));
                }
                watermark = watermark.max(clock + late);
                ids.advance(EventTime(watermark));
                if n % 7 == restart % 7 {
                    let everything = n > restart;
                    if everything {
                        chain.clear();
                    }
                    chain.push(ids.save(everything));
                    ids = Ids::new(WITHIN, OPEN);
                    chain.iter().for_each(|saved| ids.restore(saved.clone()));
                }
            }
            ids.advance(EventTime(i64::MAX / 2));
            prop_assert!(ids.taken.is_empty() && ids.more.is_empty() && ids.by_minute.is_empty());
        }
    }
}
