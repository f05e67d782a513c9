//! The IDs of events that some flow took, to recognise events that a producer wrote twice.
//!
//! An ID is stored as a 128-bit hash (see [`crate::digest`]). Two events are the same if they have the same ID and
//! their event times are at most `within` apart. An ID keeps every time at which it was taken: with only the newest
//! time, copies of two distant events that alternate would each count again.
//!
//! The flows' clock determines how long an ID is kept, so there is one [`Ids`] for each kind of time that a flow uses.
//!
//! A checkpoint contains the IDs that were taken since the one before, and a part of all IDs, minute by minute. Only
//! the watermark removes an ID, and each checkpoint contains the watermark, so a part never restores a removed ID for
//! good. An ID that is read twice, once as a change and once in a part, counts once. The list of a minute only grows
//! until the whole minute is removed, and no ID changes its minute, so a walk that remembers its minute and index
//! misses no ID that was present when it started.

use std::collections::BTreeMap;

use event::{EventTime, Millis};
use serde::{Deserialize, Serialize};

use crate::{
    saved::Room,
    table::{TOGETHER, Table},
};

/// The IDs that flows of one kind of time have taken.
#[derive(Debug)]
pub struct Ids {
    within: Millis,
    keep: Millis,
    /// The first time at which each ID was taken.
    taken: Table<Taken>,
    /// Further times, each more than `within` from the first. Few IDs have any.
    more: Table<Vec<Taken>>,
    /// The number of further times.
    more_count: usize,
    /// IDs by the minute of their time in the flows' clock.
    by_minute: BTreeMap<i64, Vec<u128>>,
    /// Whether changes are recorded for checkpoints.
    is_saved: bool,
    unsaved: Vec<(u128, Taken)>,
    /// The lowest watermark of the flows.
    watermark: EventTime,
}

/// The time of an event that took an ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Its event time, or `clock` if it has none.
    pub event: EventTime,
    /// Its time in the flows' clock: event, Kafka or processing time.
    pub clock: EventTime,
}

/// The part of a checkpoint that contains the IDs of one kind of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedIds {
    /// IDs that were taken since the last checkpoint, and those of the part.
    pub new: Vec<(u128, Taken)>,
    /// The lowest watermark of the flows, in milliseconds.
    pub watermark: i64,
}

/// Where a walk over the IDs continues: the minute, and the index in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(i64, usize);

impl Place {
    /// The start of the IDs.
    pub const START: Self = Self(i64::MIN, 0);
}

impl SavedIds {
    /// Approximate bytes in memory.
    pub fn weight(&self) -> usize {
        self.new.len() * size_of::<(u128, Taken)>()
    }
}

const MINUTE: i64 = 60_000;

impl Ids {
    /// IDs are kept until the watermark is `within` + `open` past them, because a window may take a copy until then.
    /// `open` is the largest sum of window size and allowed lateness of the flows.
    pub fn new(within: Millis, open: Millis) -> Self {
        Self {
            within,
            keep: Millis(within.0.saturating_add(open.0)),
            taken: Table::default(),
            more: Table::default(),
            more_count: 0,
            by_minute: BTreeMap::new(),
            is_saved: true,
            unsaved: Vec::new(),
            watermark: EventTime::MIN,
        }
    }

    /// Whether an event with this ID was taken before at most `within` from this event time.
    #[inline]
    pub fn holds(&self, id: u128, event: EventTime) -> bool {
        let Some(first) = self.taken.get(id) else { return false };
        // The comparison is exact, although IDs are removed by the minute: the result must not depend on when that
        // happens.
        let same = |taken: &Taken| {
            (taken.event.0.saturating_sub(event.0)).saturating_abs() <= self.within.0 && !self.is_over(taken)
        };
        same(first) || self.more.get(id).is_some_and(|more| more.iter().any(same))
    }

    /// Reads where these IDs are, or would be (see [`Table::touch`]).
    pub(crate) fn touch(&self, ids: impl Iterator<Item = u128>) {
        self.taken.touch(ids);
    }

    /// Records that a flow took an event with this ID.
    pub fn take(&mut self, id: u128, taken: Taken) {
        if self.is_over(&taken) {
            return;
        }
        self.insert(id, taken);
        if self.is_saved {
            self.unsaved.push((id, taken));
        }
    }

    fn is_over(&self, taken: &Taken) -> bool {
        taken.clock + self.keep <= self.watermark
    }

    fn insert(&mut self, id: u128, taken: Taken) {
        let mut is_first = false;
        self.taken.get_or_insert_with(id, || {
            is_first = true;
            taken
        });
        if !is_first {
            self.more.get_or_insert_with(id, Vec::new).push(taken);
            self.more_count += 1;
        }
        let ids = self.by_minute.entry(minute(taken.clock)).or_default();
        if ids.len() == ids.capacity() {
            // Grows by a quarter, because the list of a busy minute is large.
            ids.reserve_exact((ids.len() / 4).max(4));
        }
        ids.push(id);
    }

    /// Advances the watermark and removes IDs of which no window can take a copy any more.
    pub fn advance(&mut self, watermark: EventTime) {
        if watermark == EventTime::MIN {
            return;
        }
        self.watermark = self.watermark.max(watermark);
        let floor = minute(self.watermark - self.keep);
        if self.by_minute.last_key_value().is_some_and(|(last, _)| *last < floor) {
            // All of them, as at the end of a replay.
            (self.taken, self.more, self.more_count) = (Table::default(), Table::default(), 0);
            self.by_minute.clear();
        }
        while let Some(first) = self.by_minute.first_entry().filter(|first| *first.key() < floor) {
            for ids in first.remove().chunks(TOGETHER) {
                self.taken.touch(ids.iter().copied());
                ids.iter().for_each(|id| self.forget(*id));
            }
        }
    }

    /// Removes the expired times of an ID.
    fn forget(&mut self, id: u128) {
        let (watermark, keep) = (self.watermark, self.keep);
        let is_kept = |taken: &Taken| taken.clock + keep > watermark;
        let is_first_over = self.taken.get(id).is_some_and(|first| !is_kept(first));
        let Some(more) = self.more.get_mut(id) else {
            if is_first_over {
                self.taken.remove(id);
            }
            return;
        };
        let before = more.len();
        more.retain(is_kept);
        if is_first_over {
            match more.pop() {
                Some(next) => *self.taken.get_or_insert_with(id, || next) = next,
                None => drop(self.taken.remove(id)),
            }
        }
        self.more_count -= before - more.len();
        if more.is_empty() {
            self.more.remove(id);
        }
    }

    /// The IDs that were taken since the last call.
    pub fn save(&mut self) -> SavedIds {
        SavedIds { new: std::mem::take(&mut self.unsaved), watermark: self.watermark.0 }
    }

    /// Adds IDs from a place on while there is room. Returns where to continue, or `None` at the end.
    pub fn walk(&self, Place(minute, at): Place, room: &mut Room, saved: &mut SavedIds) -> Option<Place> {
        for (&next, ids) in self.by_minute.range(minute..) {
            let from = if next == minute { at } else { 0 };
            for (at, &id) in ids.iter().enumerate().skip(from) {
                if room.is_full() {
                    return Some(Place(next, at));
                }
                room.pass();
                let more = self.more.get(id).into_iter().flatten();
                for taken in self.taken.get(id).into_iter().chain(more) {
                    if self::minute(taken.clock) == next {
                        room.take(size_of::<(u128, Taken)>());
                        saved.new.push((id, *taken));
                    }
                }
            }
        }
        None
    }

    /// Applies one checkpoint. Checkpoints must be applied in the order in which they were written.
    pub fn restore(&mut self, saved: SavedIds) {
        for (id, taken) in saved.new {
            let mut more = self.more.get(id).into_iter().flatten();
            if self.taken.get(id) != Some(&taken) && !more.any(|other| *other == taken) {
                self.insert(id, taken);
            }
        }
        self.advance(EventTime(saved.watermark));
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        *self = Self::new(self.within, Millis(self.keep.0.saturating_sub(self.within.0)));
    }

    /// Stops recording changes, in a run without checkpoints.
    pub fn never_saved(&mut self) {
        self.is_saved = false;
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        let more = MORE_BYTES * self.more.len() + size_of::<Taken>() * self.more_count;
        let minutes: usize = self.by_minute.values().map(Vec::capacity).sum();
        let unsaved = self.unsaved.capacity() * size_of::<(u128, Taken)>();
        (self.taken.bytes() + self.more.bytes() + more + minutes * size_of::<u128>() + unsaved) as u64
    }
}

/// Bytes by which a list of further times exceeds its one time: it has room for four.
const MORE_BYTES: usize = 3 * size_of::<Taken>();

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
        again.restore(ids.save());
        assert!(again.holds(1, EventTime(600_000)));
        again.advance(EventTime(660_000));
        assert!(!again.holds(1, EventTime(0)));
    }

    proptest! {
        /// Compared with a list of everything that was taken.
        #[test]
        fn ids_are_what_a_list_holds(
            steps in proptest::collection::vec((0u128..4, 0i64..3_000_000, -1_500_000i64..600_000), 0..60),
            restart in 0usize..20, room in 1usize..300,
        ) {
            let mut ids = Ids::new(WITHIN, OPEN);
            let mut list: Vec<(u128, Taken)> = Vec::new();
            let mut watermark = i64::MIN;
            let (mut chain, mut round, mut place) = (Vec::new(), Vec::new(), Place::START);
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
                let mut saved = ids.save();
                let next = ids.walk(place, &mut Room::new(room), &mut saved);
                chain.push(saved.clone());
                round.push(saved);
                place = next.unwrap_or_else(|| {
                    chain = std::mem::take(&mut round);
                    Place::START
                });
                if n % 20 == restart {
                    ids = Ids::new(WITHIN, OPEN);
                    chain.iter().for_each(|saved| ids.restore(saved.clone()));
                    (round, place) = (Vec::new(), Place::START);
                }
            }
            ids.advance(EventTime(i64::MAX / 2));
            prop_assert!(ids.taken.is_empty() && ids.more.is_empty() && ids.by_minute.is_empty());
            prop_assert_eq!(ids.more_count, 0);
        }
    }
}
