//! Windows that are the same for all keys: counting into slices, and firing panes with Apache Beam's meaning.
//!
//! A window fires ON_TIME when the watermark reaches its end, LATE for keys that a late event changed, EARLY when asked.
//! Panes accumulate. A window is over when the watermark reaches its end plus the allowed lateness; a late event is judged
//! for each of its windows on arrival.

use std::collections::{BTreeMap, BTreeSet};

use event::{EventTime, Millis};
use flow::{
    Flow, Window, Windows,
    measure::{Change, Columns},
    row::{Pane, Replaced, Row, Values},
};
use rustc_hash::FxHashSet;

use super::{
    Fate, Since,
    bits::Bits,
    cells::Notes,
    keys::{KeyId, Keys},
    slices::Slices,
};
use crate::digest::HashedKey;

/// The windows of a flow without sessions.
#[derive(Debug)]
pub struct Aligned {
    windows: Windows,
    allowed_lateness: Millis,
    early: bool,
    pub(super) keys: Keys,
    pub(super) slices: Slices,
    /// Windows that end at or before it have had their ON_TIME panes.
    pub(super) watermark: EventTime,
    /// Windows that end at or before it are over. It never goes back, also where the allowed lateness was shorter before.
    pub(super) closed: EventTime,
    pub(super) since: Since,
    /// Below this watermark nothing fires: the next border between two slices, or the end of a window's
    /// lateness whose late panes wait.
    border: EventTime,
    /// Keys of fired windows that a late event changed.
    late: BTreeMap<EventTime, FxHashSet<KeyId>>,
    /// Next pane index where it is not the usual one: 0 before ON_TIME, 1 after it.
    pub(super) indexes: BTreeMap<EventTime, BTreeMap<KeyId, u32>>,
    /// How many indexes there are.
    pub(super) index_count: usize,
    /// Whether there will be checkpoints.
    pub(super) is_saved: bool,
    /// Indexes that changed since the last checkpoint; none in a window that was dropped.
    pub(super) unsaved_indexes: BTreeMap<EventTime, BTreeSet<KeyId>>,
    /// Slices that were dropped since the last checkpoint.
    pub(super) dropped: Vec<EventTime>,
    /// The slice of the last event.
    here: Here,
    /// Scratch of the merge: a row for each key, all empty between two merges.
    merged: Columns,
    /// Scratch of the merge of one key: one row, empty between two merges.
    one: Columns,
}

/// How many rows are handed on together at most where there are no checkpoints. Few enough that their memory is used
/// again and stays in a cache: a new buffer for all rows of a large window costs as much as half of their firing.
const TOGETHER: usize = 4_096;

/// A slice with what is the same for every time in it: a slice lies in a window wholly or not at all.
#[derive(Clone, Copy, Debug)]
struct Here {
    start: EventTime,
    end: EventTime,
    /// Where the last window that begins at or before it ends.
    last_end: EventTime,
}

impl Aligned {
    /// No events yet, and a watermark that knows nothing.
    pub(super) fn new(windows: Windows, flow: &Flow) -> Self {
        let columns = Columns::new(&flow.fed, flow.takes_back());
        let mut one = columns.clone();
        one.resize(1);
        Self {
            windows,
            allowed_lateness: flow.allowed_lateness,
            early: flow.early.is_some(),
            keys: Keys::default(),
            merged: columns.for_merging(),
            one,
            slices: Slices::new(columns),
            watermark: EventTime::MIN,
            closed: EventTime::MIN,
            since: Since::default(),
            border: EventTime::MIN,
            late: BTreeMap::new(),
            indexes: BTreeMap::new(),
            index_count: 0,
            is_saved: true,
            unsaved_indexes: BTreeMap::new(),
            dropped: Vec::new(),
            here: Here { start: EventTime::MAX, end: EventTime::MIN, last_end: EventTime::MAX },
        }
    }

    /// The fate of an event at a time.
    #[inline]
    pub(super) fn fate(&mut self, time: EventTime) -> Fate {
        if time < self.here.start || time >= self.here.end {
            self.here = self.slice_of(time);
        }
        let open = self.here.last_end > self.closed;
        if self.here.last_end <= time {
            return Fate::Between { open };
        }
        if open { Fate::Counted } else { Fate::Late }
    }

    fn slice_of(&self, time: EventTime) -> Here {
        let slice = self.windows.slice_of(time);
        Here { start: slice.start, end: slice.end, last_end: self.windows.last(time).end }
    }

    /// Counts an event, or takes one back.
    #[inline]
    pub(super) fn count(&mut self, key: HashedKey<'_>, time: EventTime, change: &Change<'_>) -> Fate {
        let fate = self.fate(time);
        if fate == Fate::Counted {
            let id = self.keys.intern(key, self.is_saved);
            self.count_id(id, time, change);
        }
        fate
    }

    /// Counts in the slice where [`Self::fate`] was asked.
    #[inline]
    fn count_id(&mut self, id: KeyId, time: EventTime, change: &Change<'_>) {
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
                || self.slices.between(window.start, window.end).any(|cells| cells.holds(id));
            if !fired_before {
                self.set_index(window.start, id, 0);
            }
            self.late.entry(window.start).or_default().insert(id);
            // Its pane must fire before the window is over. After that, its slices count only for later windows.
            self.border = self.border.min(window.end + self.allowed_lateness);
        }
    }

    fn is_over(&self, window: Window) -> bool {
        window.end <= self.closed
    }

    /// Fires LATE panes of every key that late events changed since the last call.
    pub(super) fn fire_late(&mut self, now: EventTime, rows: &mut Vec<Row>) {
        for (start, keys) in std::mem::take(&mut self.late) {
            let window = self.windows.at(start);
            let mut keys: Vec<KeyId> = keys.into_iter().collect();
            keys.sort_unstable();
            for id in keys {
                let values = self.merge_one(window, id);
                let pane_index = self.next_index(window, id, 1, true);
                rows.push(self.row(window, id, values, (Pane::Late, pane_index), now));
            }
        }
        // No late pane waits any more: a border kept for one would fire the next ones sooner than after a restart.
        self.set_border();
    }

    /// Fires EARLY panes of every open window and key that changed since the last call.
    pub(super) fn fire_early(&mut self, now: EventTime, rows: &mut Vec<Row>) {
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
                let values = self.merge_one(window, id);
                let pane_index = self.next_index(window, id, 0, true);
                rows.push(self.row(window, id, values, (Pane::Early, pane_index), now));
            }
        }
    }

    /// Moves the watermark; windows whose end it reaches fire ON_TIME in order of their ends, and those whose
    /// lateness it passes are forgotten. A watermark that goes back changes nothing. `fired` gets rows of one window
    /// at a time, in several calls if there are many and no checkpoint needs them together, to take them out.
    pub(super) fn advance(
        &mut self,
        watermark: EventTime,
        now: EventTime,
        rows: &mut Vec<Row>,
        fired: &mut dyn FnMut(&mut Vec<Row>),
    ) {
        if watermark <= self.watermark {
            return;
        }
        if watermark < self.border {
            self.watermark = watermark;
            self.closed = self.closed.max(watermark - self.allowed_lateness);
            return;
        }
        // What was late under the old watermark must be seen before its windows are over.
        self.fire_late(now, rows);
        fired(rows);
        let from = std::mem::replace(&mut self.watermark, watermark);
        self.closed = self.closed.max(watermark - self.allowed_lateness);
        let mut next = self.first_end_after(from);
        while let Some(window) = next.filter(|window| window.end <= watermark) {
            self.fire_on_time(window, now, rows, fired);
            next = self.first_end_after(window.end);
        }
        self.forget();
        self.set_border();
    }

    pub(super) fn set_border(&mut self) {
        self.border = match self.watermark {
            EventTime::MIN | EventTime::MAX => self.watermark,
            watermark => self.windows.slice_of(watermark).end,
        };
    }

    /// The first window with an end behind a time that has a slice with cells.
    fn first_end_after(&self, time: EventTime) -> Option<Window> {
        let mut window = match time {
            EventTime::MIN => self.windows.first_ending_after(self.slices.first_start()?),
            _ => self.windows.first_ending_after(time),
        };
        loop {
            let slice = self.slices.next_start(window.start)?;
            if slice < window.end {
                return Some(window);
            }
            // No cell before `slice`: the first window that holds it, or the one after the gap.
            let next = self.windows.next(window);
            let first = self
                .windows
                .holding(slice)
                .next()
                .unwrap_or_else(|| self.windows.next(self.windows.last(slice)));
            window = first.max(next);
        }
    }

    fn fire_on_time(
        &mut self,
        window: Window,
        now: EventTime,
        rows: &mut Vec<Row>,
        fired: &mut dyn FnMut(&mut Vec<Row>),
    ) {
        let mut merged = std::mem::take(&mut self.merged);
        merged.resize(self.keys.bound().max(merged.rows()));
        let mut keys = Bits::default();
        self.slices.merge(window.start, window.end, &mut merged, &mut keys);
        // The rows of a checkpoint are needed together anyway.
        let together = if self.is_saved { keys.len() } else { TOGETHER.min(keys.len()) };
        rows.reserve(together);
        for id in keys.iter() {
            let row = id as usize;
            let has_fired = self.indexes.get(&window.start).is_some_and(|next| next.contains_key(&id));
            if merged.is_empty(row) && !has_fired {
                // Everything was taken back before anyone saw it: a key without events has no row.
                continue;
            }
            let values = merged.values(row);
            merged.clear(row);
            let pane_index = self.next_index(window, id, 0, false);
            rows.push(self.row(window, id, values, (Pane::OnTime, pane_index), now));
            if rows.len() == together {
                fired(rows);
            }
        }
        fired(rows);
        self.merged = merged;
    }

    fn merge_one(&mut self, window: Window, id: KeyId) -> Values {
        for cells in self.slices.between(window.start, window.end) {
            cells.merge_one(id, &mut self.one, 0);
        }
        let values = self.one.values(0);
        self.one.clear(0);
        values
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

    pub(super) fn drop_indexes(&mut self, window: EventTime) {
        self.index_count -= self.indexes.remove(&window).map_or(0, |next| next.len());
    }

    fn row(
        &self,
        window: Window,
        id: KeyId,
        mut values: Values,
        (pane, pane_index): (Pane, u32),
        now: EventTime,
    ) -> Row {
        self.since.hide(window, &mut values);
        let key = self.keys.get(id).clone();
        Row {
            key,
            window,
            values,
            pane,
            pane_index,
            watermark: self.watermark,
            emitted_at: now,
            replaced: Replaced::default(),
        }
    }

    /// What a window holds now.
    #[cfg(test)]
    pub(super) fn counts(&self, window: Window) -> BTreeMap<event::Key, Values> {
        let mut sums = self.merged.emptied();
        sums.resize(self.keys.bound());
        let mut keys = Bits::default();
        self.slices.merge(window.start, window.end, &mut sums, &mut keys);
        let held = keys.iter().filter(|id| !sums.is_empty(*id as usize));
        held.map(|id| (self.keys.get(id).clone(), sums.values(id as usize))).collect()
    }

    /// Drops slices and indexes of windows that are over.
    fn forget(&mut self) {
        while let Some(start) = self.slices.first_start() {
            let last = self.windows.last(start);
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

    /// Records what changes no longer: for a run without checkpoints.
    pub(super) fn never_saved(&mut self) {
        self.is_saved = false;
    }

    /// Just past the last event that was counted, or later.
    pub(super) fn end_of_events(&self) -> EventTime {
        self.slices.last_start().map_or(EventTime::MIN, |start| self.windows.slice_of(start).end)
    }

    /// The state is whole: early panes begin again for every cell that may still have one.
    pub(super) fn restored(&mut self) {
        self.closed = self.closed.max(self.watermark - self.allowed_lateness);
        self.set_border();
        self.keys.restored();
        if self.early {
            self.slices.iter_mut().for_each(|(_, cells)| cells.see_again());
        }
    }

    /// A measure was removed. A cell that had nothing else is empty now, so that it no longer shows whether its key has had
    /// an ON_TIME pane: the index of the next one is remembered instead.
    pub(super) fn measure_removed(&mut self) {
        let mut emptied = Vec::new();
        for (start, cells) in self.slices.iter_mut() {
            emptied.extend(cells.ids().into_iter().filter(|id| !cells.holds(*id)).map(|id| (start, id)));
        }
        for (start, id) in emptied {
            for window in self.windows.holding(start) {
                let is_known = self.indexes.get(&window.start).is_some_and(|next| next.contains_key(&id));
                if window.end <= self.watermark && !self.is_over(window) && !is_known {
                    self.set_index(window.start, id, 1);
                }
            }
        }
    }

    /// How many keys have cells.
    pub(super) fn key_count(&self) -> usize {
        self.keys.count()
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> u64 {
        let indexes = INDEX_BYTES * self.index_count;
        (self.slices.bytes() + indexes + self.merged.bytes() + self.keys.bytes()) as u64
    }
}

/// Bytes of an index in a tree whose nodes are little more than half full.
const INDEX_BYTES: usize = 20;
