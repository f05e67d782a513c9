//! Mergeable counts a slice and key, and which of them changed since the last checkpoint.

use std::collections::{BTreeMap, BTreeSet};

use event::{Ctr, EventTime};
use rustc_hash::{FxHashMap, FxHashSet};

use super::keys::KeyId;

/// Counts of one slice.
#[derive(Debug, Default)]
pub struct Slice {
    /// A count a key.
    pub cells: FxHashMap<KeyId, Ctr>,
    /// Keys that changed since the last checkpoint.
    pub unsaved: FxHashSet<KeyId>,
    /// Keys that changed since the last early panes; stays empty without early panes.
    pub unseen: FxHashSet<KeyId>,
}

/// All live slices by their start.
#[derive(Debug, Default)]
pub struct Slices {
    by_start: BTreeMap<EventTime, Slice>,
    dropped: BTreeSet<EventTime>,
    cells: usize,
}

/// A change to one count; a join takes clicks back when their view turns out to be another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Views.
    pub views: i64,
    /// Clicks.
    pub clicks: i64,
    /// Distinct clicked views.
    pub attributed: i64,
}

impl Slices {
    /// Applies a change; says whether the cell is new.
    pub fn add(&mut self, start: EventTime, key: KeyId, change: Change, early: bool) -> bool {
        let slice = self.by_start.entry(start).or_default();
        let before = slice.cells.len();
        let cell = slice.cells.entry(key).or_default();
        cell.views = cell.views.saturating_add_signed(change.views);
        cell.clicks = cell.clicks.saturating_add_signed(change.clicks);
        cell.attributed = cell.attributed.saturating_add_signed(change.attributed);
        slice.unsaved.insert(key);
        if early {
            slice.unseen.insert(key);
        }
        let new = slice.cells.len() > before;
        self.cells += usize::from(new);
        new
    }

    /// The slice that begins there.
    pub fn get(&self, start: EventTime) -> Option<&Slice> {
        self.by_start.get(&start)
    }

    /// The slices in order of time.
    pub fn iter(&self) -> impl Iterator<Item = (EventTime, &Slice)> {
        self.by_start.iter().map(|(&start, slice)| (start, slice))
    }

    /// The slices in order of time, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (EventTime, &mut Slice)> {
        self.by_start.iter_mut().map(|(&start, slice)| (start, slice))
    }

    /// Start of the first slice at or after a time.
    pub fn next_start(&self, from: EventTime) -> Option<EventTime> {
        self.by_start.range(from..).next().map(|(&start, _)| start)
    }

    /// Start of the first slice of all.
    pub fn first_start(&self) -> Option<EventTime> {
        self.by_start.keys().next().copied()
    }

    /// Takes the slice away for good.
    pub fn remove(&mut self, start: EventTime) -> Option<Slice> {
        let slice = self.by_start.remove(&start)?;
        self.cells -= slice.cells.len();
        self.dropped.insert(start);
        Some(slice)
    }

    /// Puts a count back as the state has it; says whether the cell is new.
    pub fn restore(&mut self, start: EventTime, key: KeyId, count: Ctr) -> bool {
        let new = self.by_start.entry(start).or_default().cells.insert(key, count).is_none();
        self.cells += usize::from(new);
        new
    }

    /// The slices that were dropped since the last checkpoint.
    pub fn take_dropped(&mut self) -> BTreeSet<EventTime> {
        std::mem::take(&mut self.dropped)
    }

    /// How many cells there are.
    pub fn cells(&self) -> usize {
        self.cells
    }
}

impl Change {
    /// A view, a click, or an event that is both.
    pub fn of(view: bool, click: bool) -> Self {
        Self { views: i64::from(view), clicks: i64::from(click), attributed: 0 }
    }
}
