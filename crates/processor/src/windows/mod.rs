//! The windows of one flow: counting into slices, and firing panes with Apache Beam's meaning.
//!
//! A window fires ON_TIME when the watermark reaches its end, LATE for keys that a late event
//! changed, EARLY when asked. Panes accumulate. A window is over when the watermark reaches its
//! end plus the allowed lateness; a late event is judged for each of its windows on arrival.
//! Pure: the watermark and the time are arguments. Not here: what an event counts as.

mod bits;
mod cells;
pub mod keys;
pub mod saved;
pub mod slices;

use std::collections::{BTreeMap, BTreeSet};

use event::{Ctr, CtrRow, EventTime, Millis, Pane, Window, Windows, row::Key};
use rustc_hash::FxHashSet;

use crate::digest::HashedKey;

use self::{
    bits::Bits,
    cells::Notes,
    keys::{KeyId, Keys},
    slices::{Change, Slices},
};

/// The windows of one flow.
#[derive(Debug)]
pub struct WindowSet {
    windows: Windows,
    allowed_lateness: Millis,
    early: bool,
    keys: Keys,
    slices: Slices,
    /// Windows that end at or before it have had their ON_TIME panes.
    watermark: EventTime,
    /// Below this watermark nothing fires: the next border between two slices, or the end of a window's
    /// lateness whose late panes wait.
    border: EventTime,
    /// Keys of fired windows that a late event changed.
    late: BTreeMap<EventTime, FxHashSet<KeyId>>,
    /// Next pane index where it is not the usual one: 0 before ON_TIME, 1 after it.
    indexes: BTreeMap<EventTime, BTreeMap<KeyId, u32>>,
    /// How many indexes there are.
    index_count: usize,
    /// Whether there will be checkpoints.
    is_saved: bool,
    /// Indexes that changed since the last checkpoint; none in a window that was dropped.
    unsaved_indexes: BTreeMap<EventTime, BTreeSet<KeyId>>,
    /// Slices that were dropped since the last checkpoint.
    dropped: Vec<EventTime>,
    /// The slice of the last event.
    here: Here,
    /// Scratch of the merge: a count a key, all zero between two merges.
    merged: Vec<Ctr>,
}

/// A slice with what is the same for every time in it: a slice lies in a window wholly or not at all.
#[derive(Clone, Copy, Debug)]
struct Here {
    start: EventTime,
    end: EventTime,
    /// When the last window that holds it is over; nothing where it lies between two windows.
    over: Option<EventTime>,
}

/// Whether an event found a window that still takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// At least one of its windows counts it.
    Counted,
    /// Too late for all its windows.
    Late,
    /// It falls between two windows.
    Between,
}

impl WindowSet {
    /// No events yet, and a watermark that knows nothing.
    pub fn new(windows: Windows, allowed_lateness: Millis, early: bool) -> Self {
        Self {
            windows,
            allowed_lateness,
            early,
            keys: Keys::default(),
            slices: Slices::default(),
            watermark: EventTime::MIN,
            border: EventTime::MIN,
            late: BTreeMap::new(),
            indexes: BTreeMap::new(),
            index_count: 0,
            is_saved: true,
            unsaved_indexes: BTreeMap::new(),
            dropped: Vec::new(),
            here: Here { start: EventTime::MAX, end: EventTime::MIN, over: None },
            merged: Vec::new(),
        }
    }

    /// What would become of an event at a time.
    #[inline]
    pub fn fate(&mut self, time: EventTime) -> Fate {
        if time < self.here.start || time >= self.here.end {
            self.here = self.slice_of(time);
        }
        match self.here.over {
            None => Fate::Between,
            Some(over) if over <= self.watermark => Fate::Late,
            Some(_) => Fate::Counted,
        }
    }

    fn slice_of(&self, time: EventTime) -> Here {
        let start = self.windows.slice_start(time);
        let last = self.windows.at(self.windows.last_start(time));
        let over = (time < last.end).then_some(last.end + self.allowed_lateness);
        Here { start, end: start + self.windows.slice(), over }
    }

    /// Counts an event, or takes one back.
    #[inline]
    pub fn count(&mut self, key: HashedKey<'_>, time: EventTime, change: Change) -> Fate {
        let fate = self.fate(time);
        if fate == Fate::Counted {
            let id = self.keys.intern(key, self.is_saved);
            self.count_id(id, time, change);
        }
        fate
    }

    /// Counts in the slice where [`Self::fate`] was asked.
    #[inline]
    fn count_id(&mut self, id: KeyId, time: EventTime, change: Change) {
        let Here { start, end, .. } = self.here;
        // Only a time at or behind the watermark can lie in a window that has fired.
        if end <= self.watermark || time < self.watermark {
            self.note_late(id, time);
        }
        let notes = Notes { save: self.is_saved, early: self.early };
        if self.slices.at(start).add(id, change, notes, self.keys.bound()) {
            self.keys.hold(id);
        }
    }

    /// Remembers which fired windows a late event changes, before it is counted.
    fn note_late(&mut self, id: KeyId, time: EventTime) {
        for window in self.windows.holding(time) {
            if window.end > self.watermark || self.is_over(window) {
                continue;
            }
            let fired_before = self.late.get(&window.start).is_some_and(|keys| keys.contains(&id))
                || self.indexes.get(&window.start).is_some_and(|next| next.contains_key(&id))
                || self.merge_one(window, id) != Ctr::default();
            if !fired_before {
                self.set_index(window.start, id, 0);
            }
            self.late.entry(window.start).or_default().insert(id);
            // Its pane must be told before the window is over, and its slices count for others alone.
            self.border = self.border.min(window.end + self.allowed_lateness);
        }
    }

    fn is_over(&self, window: Window) -> bool {
        window.end + self.allowed_lateness <= self.watermark
    }

    /// Fires LATE panes of every key that late events changed since the last call.
    pub fn fire_late(&mut self, now: EventTime, rows: &mut Vec<CtrRow>) {
        for (start, keys) in std::mem::take(&mut self.late) {
            let window = self.windows.at(start);
            let mut keys: Vec<KeyId> = keys.into_iter().collect();
            keys.sort_unstable();
            for id in keys {
                let ctr = self.merge_one(window, id);
                let pane_index = self.next_index(window, id, 1, true);
                rows.push(self.row(window, id, ctr, (Pane::Late, pane_index), now));
            }
        }
        // No late pane waits any more: a border kept for one would fire the next ones sooner than after a restart.
        self.set_border();
    }

    /// Fires EARLY panes of every open window and key that changed since the last call.
    pub fn fire_early(&mut self, now: EventTime, rows: &mut Vec<CtrRow>) {
        let mut changed: BTreeMap<EventTime, Bits> = BTreeMap::new();
        for (start, cells) in self.slices.iter_mut() {
            let unseen = cells.take_unseen();
            if unseen.is_empty() {
                continue;
            }
            for window in self.windows.holding(start).filter(|window| window.end > self.watermark) {
                changed.entry(window.start).or_default().union(&unseen);
            }
        }
        for (start, keys) in changed {
            let window = self.windows.at(start);
            for id in keys.iter() {
                let ctr = self.merge_one(window, id);
                let pane_index = self.next_index(window, id, 0, true);
                rows.push(self.row(window, id, ctr, (Pane::Early, pane_index), now));
            }
        }
    }

    /// Moves the watermark; windows whose end it reaches fire ON_TIME in order of their ends, and those whose
    /// lateness it passes are forgotten. A watermark that goes back changes nothing. `fired` gets the rows of one
    /// window after the other, to take them out.
    pub fn advance(
        &mut self,
        watermark: EventTime,
        now: EventTime,
        rows: &mut Vec<CtrRow>,
        fired: &mut dyn FnMut(&mut Vec<CtrRow>),
    ) {
        if watermark <= self.watermark {
            return;
        }
        if watermark < self.border {
            self.watermark = watermark;
            return;
        }
        // What was late under the old watermark must be seen before its windows are over.
        self.fire_late(now, rows);
        fired(rows);
        let from = std::mem::replace(&mut self.watermark, watermark);
        let mut next = self.first_end_after(from);
        while let Some(window) = next.filter(|window| window.end <= watermark) {
            self.fire_on_time(window, now, rows);
            fired(rows);
            next = self.first_end_after(window.end);
        }
        self.forget();
        self.set_border();
    }

    fn set_border(&mut self) {
        self.border = match self.watermark {
            EventTime::MIN | EventTime::MAX => self.watermark,
            watermark => self.windows.slice_start(watermark) + self.windows.slice(),
        };
    }

    /// The first window with an end behind a time that has a slice with cells.
    fn first_end_after(&self, time: EventTime) -> Option<Window> {
        let period = self.windows.period();
        let size = self.windows.size();
        let mut start = match time {
            EventTime::MIN => self.windows.last_start(self.slices.first_start()? - size),
            // The smallest start with start + size > time.
            _ => self.windows.last_start(time - size) + period,
        };
        loop {
            let window = self.windows.at(start);
            let slice = self.slices.next_start(window.start)?;
            if slice < window.end {
                return Some(window);
            }
            // No cell before `slice`: the first window that holds it, or the one behind the gap.
            let first = self.windows.holding(slice).next();
            start = first
                .map_or(self.windows.last_start(slice) + period, |window| window.start)
                .max(start + period);
        }
    }

    fn fire_on_time(&mut self, window: Window, now: EventTime, rows: &mut Vec<CtrRow>) {
        let mut merged = std::mem::take(&mut self.merged);
        merged.resize(self.keys.bound().max(merged.len()), Ctr::default());
        let mut keys = Bits::default();
        self.slices.merge(window.start, window.end, &mut merged, &mut keys);
        rows.reserve(keys.len());
        for id in keys.iter() {
            let ctr = std::mem::take(&mut merged[id as usize]);
            let fired = self.indexes.get(&window.start).is_some_and(|next| next.contains_key(&id));
            if ctr == Ctr::default() && !fired {
                // Everything was taken back before anyone saw it: a key without events has no row.
                continue;
            }
            let pane_index = self.next_index(window, id, 0, false);
            rows.push(self.row(window, id, ctr, (Pane::OnTime, pane_index), now));
        }
        self.merged = merged;
    }

    fn merge_one(&self, window: Window, id: KeyId) -> Ctr {
        let mut sum = Ctr::default();
        let counts = self.slices.between(window.start, window.end).filter_map(|cells| cells.get(id));
        counts.for_each(|count| sum.merge(count));
        sum
    }

    /// The pane's index; afterwards the next one is remembered where it would not be guessed.
    fn next_index(&mut self, window: Window, id: KeyId, usual: u32, remember: bool) -> u32 {
        let known = self.indexes.get(&window.start).and_then(|next| next.get(&id)).copied();
        let index = known.unwrap_or(usual);
        if known.is_some() || remember {
            self.set_index(window.start, id, index + 1);
        }
        index
    }

    fn set_index(&mut self, window: EventTime, id: KeyId, next: u32) {
        let before = self.indexes.entry(window).or_default().insert(id, next);
        self.index_count += usize::from(before.is_none());
        if self.is_saved {
            self.unsaved_indexes.entry(window).or_default().insert(id);
        }
    }

    fn drop_indexes(&mut self, window: EventTime) {
        self.index_count -= self.indexes.remove(&window).map_or(0, |next| next.len());
    }

    fn row(
        &self,
        window: Window,
        id: KeyId,
        ctr: Ctr,
        (pane, pane_index): (Pane, u32),
        now: EventTime,
    ) -> CtrRow {
        let key = self.keys.get(id).clone();
        CtrRow { key, window, ctr, pane, pane_index, watermark: self.watermark, emitted_at: now }
    }

    /// What a window holds now, without keys that count nothing; nothing once it is over.
    pub fn counts(&self, window: Window) -> Option<BTreeMap<Key, Ctr>> {
        if self.is_over(window) {
            return None;
        }
        let mut counts: BTreeMap<Key, Ctr> = BTreeMap::new();
        for cells in self.slices.between(window.start, window.end) {
            for (id, count) in cells.sorted().into_iter().filter(|(_, count)| *count != Ctr::default()) {
                counts.entry(self.keys.get(id).clone()).or_default().merge(count);
            }
        }
        Some(counts)
    }

    /// Drops slices and indexes of windows that are over.
    fn forget(&mut self) {
        while let Some(start) = self.slices.first_start() {
            let last = self.windows.at(self.windows.last_start(start));
            if !self.is_over(last) {
                break;
            }
            for id in self.slices.remove(start) {
                self.keys.release(id);
            }
            if self.is_saved {
                self.dropped.push(start);
            }
        }
        while let Some((&start, _)) = self.indexes.first_key_value() {
            if !self.is_over(self.windows.at(start)) {
                break;
            }
            self.drop_indexes(start);
            if self.is_saved {
                self.unsaved_indexes.insert(start, BTreeSet::new());
            }
        }
    }

    /// Records no more what changes: for a run without checkpoints.
    pub fn never_saved(&mut self) {
        self.is_saved = false;
    }

    /// The flow's watermark.
    pub fn watermark(&self) -> EventTime {
        self.watermark
    }

    /// How many keys have counts.
    pub fn key_count(&self) -> usize {
        self.keys.count()
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        let indexes = INDEX_BYTES * self.index_count;
        let merged = self.merged.capacity() * size_of::<Ctr>();
        (self.slices.bytes() + indexes + merged + self.keys.bytes()) as u64
    }
}

/// Bytes of an index in a tree whose nodes are little more than half full.
const INDEX_BYTES: usize = 20;

#[cfg(test)]
mod tests;
