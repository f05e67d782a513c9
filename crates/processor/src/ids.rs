//! The IDs of events that some flow took, to recognise events that a producer wrote twice.
//!
//! An ID is stored as a 128-bit hash (see [`crate::digest`]). Two events are the same if they have the same ID and
//! their event times are at most `within` apart. An ID has an entry for every time at which it was taken: with only the
//! newest time, copies of two distant events that alternate would each count again.
//!
//! The entries are in lists, minute by minute, so that a new one is written behind the last one. A hash table holds only
//! their places: nearly all IDs are new, so nearly all look-ups end without reading an entry.
//!
//! The flows' clock determines how long an ID is kept, so there is one [`Ids`] for each kind of time that a flow uses.
//!
//! A checkpoint contains the IDs that were taken since the one before, and a part of all IDs, minute by minute. Only
//! the watermark removes an ID, and each checkpoint contains the watermark, so a part never restores a removed ID for
//! good. An ID that is read twice, once as a change and once in a part, counts once. The entries of a minute only become
//! more until the whole minute is removed, so a walk that remembers its minute and index misses no ID that was present
//! when it started.

use std::{
    collections::{BTreeMap, BTreeSet},
    hint::black_box,
};

use event::{EventTime, Millis};
use serde::{Deserialize, Serialize};

use crate::{
    saved::Room,
    table::{Shards, TOGETHER},
};

/// The IDs that flows of one kind of time have taken.
#[derive(Debug)]
pub struct Ids {
    within: Millis,
    keep: Millis,
    /// The place of one entry of each ID, by [`hash`].
    places: Shards<u32>,
    /// The other entries of IDs that have several, with their event times. Few IDs do.
    more: BTreeSet<(u128, EventTime, u32)>,
    entries: Lists,
    /// The lists of each minute of the flows' clock. All but the last one are full.
    by_minute: BTreeMap<i64, Vec<u32>>,
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

/// Lists of at most [`LIST`] entries. One long list would move each time that it grows.
#[derive(Debug, Default)]
struct Lists {
    lists: Vec<Vec<Entry>>,
    /// The numbers of empty lists, for use again.
    free: Vec<u32>,
}

/// An ID and a time at which it was taken.
type Entry = (u128, Taken);

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
const LIST: usize = 1_024;

impl Ids {
    /// IDs are kept until the watermark is `within` + `open` past them, because a window may take a copy until then.
    /// `open` is the largest sum of window size and allowed lateness of the flows.
    pub fn new(within: Millis, open: Millis) -> Self {
        Self {
            within,
            keep: Millis(within.0.saturating_add(open.0)),
            places: Shards::default(),
            more: BTreeSet::new(),
            entries: Lists::default(),
            by_minute: BTreeMap::new(),
            is_saved: true,
            unsaved: Vec::new(),
            watermark: EventTime::MIN,
        }
    }

    /// Whether an event with this ID was taken before at most `within` from this event time.
    #[inline]
    pub fn holds(&self, id: u128, event: EventTime) -> bool {
        // The comparison is exact, although IDs are removed by the minute: the result must not depend on when that
        // happens.
        let same = |taken: &Taken| {
            (taken.event.0.saturating_sub(event.0)).saturating_abs() <= self.within.0 && !self.is_over(taken)
        };
        let Some(one) = self.one(id) else { return false };
        same(one) || self.others(id, event - self.within, event + self.within).any(same)
    }

    /// One of the times at which an ID was taken.
    #[inline]
    fn one(&self, id: u128) -> Option<&Taken> {
        let place = self.places.find(hash(id), |place| self.entries.get(*place).0 == id)?;
        Some(&self.entries.get(*place).1)
    }

    /// The others, between these event times.
    fn others(&self, id: u128, from: EventTime, to: EventTime) -> impl Iterator<Item = &Taken> {
        let places = if self.more.is_empty() { None } else { Some((id, from, 0)..=(id, to, u32::MAX)) };
        let places = places.into_iter().flat_map(|places| self.more.range(places));
        places.map(|(_, _, place)| &self.entries.get(*place).1)
    }

    /// Reads where these IDs are, or would be (see [`Table::touch`](crate::table::Table::touch)).
    pub(crate) fn touch(&self, ids: impl Iterator<Item = u128>) {
        black_box(ids.filter(|id| self.one(*id).is_some()).count());
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
        let lists = self.by_minute.entry(minute(taken.clock)).or_default();
        let list = match lists.last() {
            Some(&last) if self.entries.has_room(last) => last,
            _ => {
                lists.push(self.entries.add_list());
                lists[lists.len() - 1]
            }
        };
        let place = self.entries.push(list, (id, taken));
        let entries = &self.entries;
        let mut is_other = true;
        self.places.find_or_insert(
            hash(id),
            |place| entries.get(*place).0 == id,
            || {
                is_other = false;
                place
            },
            |place| hash(entries.get(*place).0),
        );
        if is_other {
            self.more.insert((id, taken.event, place));
        }
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
            (self.places, self.entries) = (Shards::default(), Lists::default());
            self.more.clear();
            self.by_minute.clear();
        }
        while let Some(first) = self.by_minute.first_entry().filter(|first| *first.key() < floor) {
            first.remove().into_iter().for_each(|list| self.forget(list));
        }
    }

    /// Removes the entries of a list.
    fn forget(&mut self, list: u32) {
        let mut next = Lists::first_place(list);
        for some in self.entries.list(list).chunks(TOGETHER) {
            self.touch(some.iter().map(|(id, _)| *id));
            for (id, taken) in some {
                let hash_of = |place: &u32| hash(self.entries.get(*place).0);
                let was_one = self.places.remove(hash(*id), |place| *place == next, hash_of).is_some();
                if !was_one {
                    self.more.remove(&(*id, taken.event, next));
                } else if !self.more.is_empty()
                    && let Some(other) = self.more.range((*id, EventTime::MIN, 0)..).next().copied()
                    && other.0 == *id
                {
                    self.more.remove(&other);
                    self.places.insert(hash(*id), other.2, hash_of);
                }
                next += 1;
            }
        }
        self.entries.remove_list(list);
    }

    /// The IDs that were taken since the last call.
    pub fn save(&mut self) -> SavedIds {
        SavedIds { new: std::mem::take(&mut self.unsaved), watermark: self.watermark.0 }
    }

    /// Adds IDs from a place on while there is room. Returns where to continue, or `None` at the end.
    pub fn walk(&self, Place(minute, at): Place, room: &mut Room, saved: &mut SavedIds) -> Option<Place> {
        for (&next, lists) in self.by_minute.range(minute..) {
            let from = if next == minute { at } else { 0 };
            let entries = lists.iter().flat_map(|list| self.entries.list(*list));
            for (at, entry) in entries.enumerate().skip(from) {
                if room.is_full() {
                    return Some(Place(next, at));
                }
                room.pass();
                room.take(size_of::<Entry>());
                saved.new.push(*entry);
            }
        }
        None
    }

    /// Applies one checkpoint. Checkpoints must be applied in the order in which they were written.
    pub fn restore(&mut self, saved: SavedIds) {
        for (id, taken) in saved.new {
            let is_known = self.one(id) == Some(&taken)
                || self.others(id, taken.event, taken.event).any(|other| *other == taken);
            if !is_known {
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
        let entries = self.entries.room() + self.unsaved.capacity();
        (self.places.bytes() + entries * size_of::<Entry>() + self.more.len() * MORE_BYTES) as u64
    }
}

/// Bytes of another entry in a tree whose nodes are little more than half full.
const MORE_BYTES: usize = 60;

impl Lists {
    #[inline]
    fn get(&self, place: u32) -> &Entry {
        &self.lists[place as usize / LIST][place as usize % LIST]
    }

    fn list(&self, list: u32) -> &[Entry] {
        &self.lists[list as usize]
    }

    fn has_room(&self, list: u32) -> bool {
        self.list(list).len() < LIST
    }

    fn add_list(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.lists.push(Vec::new());
            (self.lists.len() - 1) as u32
        })
    }

    fn remove_list(&mut self, list: u32) {
        self.lists[list as usize] = Vec::new();
        self.free.push(list);
    }

    /// Adds an entry to a list that has room; returns its place.
    fn push(&mut self, list: u32, entry: Entry) -> u32 {
        let entries = &mut self.lists[list as usize];
        entries.push(entry);
        Self::first_place(list) + (entries.len() - 1) as u32
    }

    fn first_place(list: u32) -> u32 {
        list * LIST as u32
    }

    /// How many entries their memory has room for.
    fn room(&self) -> usize {
        self.lists.iter().map(Vec::capacity).sum()
    }
}

fn hash(id: u128) -> u64 {
    id as u64
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
            prop_assert_eq!((ids.places.len(), ids.more.len()), (0, 0));
            prop_assert_eq!((ids.entries.room(), ids.by_minute.len()), (0, 0));
        }
    }
}
