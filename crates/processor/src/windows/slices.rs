//! Mergeable counts a slice and key, by the slice's start.
//!
//! Not here: how one slice holds its counts ([`super::cells`]).

use std::collections::VecDeque;

use event::{Ctr, EventTime};

use super::{bits::Bits, cells::Cells, keys::KeyId};

/// All live slices by their start.
#[derive(Debug, Default)]
pub struct Slices {
    /// In the order of their starts: new ones come at the end, and what is over leaves at the front.
    slices: VecDeque<(EventTime, Cells)>,
    /// Where the last look-up ended: most events fall into the slice of the one before.
    last: usize,
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
    /// The slice that begins there, to be changed; a new one if there is none.
    #[inline]
    pub fn at(&mut self, start: EventTime) -> &mut Cells {
        if self.slices.get(self.last).is_none_or(|(other, _)| *other != start) {
            self.last = self.find(start).unwrap_or_else(|at| {
                self.slices.insert(at, (start, Cells::default()));
                at
            });
        }
        &mut self.slices[self.last].1
    }

    /// The slices that begin in `[from, to)`.
    pub fn between(&self, from: EventTime, to: EventTime) -> impl Iterator<Item = &Cells> {
        let (Ok(first) | Err(first)) = self.find(from);
        self.slices.range(first..).take_while(move |(start, _)| *start < to).map(|(_, cells)| cells)
    }

    /// The slices in order of time, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (EventTime, &mut Cells)> {
        self.slices.iter_mut().map(|(start, cells)| (*start, cells))
    }

    /// Start of the first slice at or after a time.
    pub fn next_start(&self, from: EventTime) -> Option<EventTime> {
        self.at_or_after(from).map(|(start, _)| start)
    }

    /// Start of the first slice of all.
    pub fn first_start(&self) -> Option<EventTime> {
        self.slices.front().map(|(start, _)| *start)
    }

    /// The first slice that begins at a time or after it.
    pub fn at_or_after(&self, from: EventTime) -> Option<(EventTime, &Cells)> {
        let (Ok(at) | Err(at)) = self.find(from);
        self.slices.get(at).map(|(start, cells)| (*start, cells))
    }

    /// Takes the slice away for good; gives the keys that counted in it.
    pub fn remove(&mut self, start: EventTime) -> Vec<KeyId> {
        let removed = self.find(start).ok().and_then(|at| self.slices.remove(at));
        removed.map_or_else(Vec::new, |(_, cells)| cells.sorted().into_iter().map(|(id, _)| id).collect())
    }

    /// Sums of all slices that begin in `[from, to)`, added to `sums`, and the keys in them.
    pub fn merge(&self, from: EventTime, to: EventTime, sums: &mut [Ctr], keys: &mut Bits) {
        for cells in self.between(from, to) {
            cells.merge_into(sums, keys);
        }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.slices.iter().map(|(_, cells)| cells.bytes()).sum()
    }

    fn find(&self, start: EventTime) -> Result<usize, usize> {
        self.slices.binary_search_by_key(&start, |(other, _)| *other)
    }
}

impl Change {
    /// A view, a click, or an event that is both.
    pub fn of(view: bool, click: bool) -> Self {
        Self { views: i64::from(view), clicks: i64::from(click), attributed: 0 }
    }
}
