//! The cells of all live slices, by the slice's start.

use std::collections::VecDeque;

use event::EventTime;
use flow::measure::Columns;

use super::{bits::Bits, cells::Cells, keys::KeyId};

/// All live slices by their start.
#[derive(Debug)]
pub(super) struct Slices {
    /// In the order of their starts: new ones come at the end, and what is over leaves at the front.
    slices: VecDeque<(EventTime, Cells)>,
    /// Where the last look-up ended: most events fall into the slice of the one before.
    last: usize,
    /// Columns without rows, for new slices.
    columns: Columns,
}

impl Slices {
    /// No slices. `columns`: without rows, for new ones.
    pub(super) fn new(columns: Columns) -> Self {
        Self { slices: VecDeque::new(), last: 0, columns }
    }

    /// The slice that begins there, to be changed; a new one if there is none.
    #[inline]
    pub(super) fn at(&mut self, start: EventTime) -> &mut Cells {
        if self.slices.get(self.last).is_none_or(|(other, _)| *other != start) {
            self.last = self.find(start).unwrap_or_else(|at| {
                self.slices.insert(at, (start, Cells::new(self.columns.clone())));
                at
            });
        }
        &mut self.slices[self.last].1
    }

    /// The slices that begin in `[from, to)`.
    pub(super) fn between(&self, from: EventTime, to: EventTime) -> impl Iterator<Item = &Cells> {
        let (Ok(first) | Err(first)) = self.find(from);
        self.slices.range(first..).take_while(move |(start, _)| *start < to).map(|(_, cells)| cells)
    }

    /// The slices in order of time, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (EventTime, &mut Cells)> {
        self.slices.iter_mut().map(|(start, cells)| (*start, cells))
    }

    /// Start of the first slice at or after a time.
    pub(super) fn next_start(&self, from: EventTime) -> Option<EventTime> {
        self.at_or_after(from).map(|(start, _)| start)
    }

    /// Start of the last slice of all.
    pub(super) fn last_start(&self) -> Option<EventTime> {
        self.slices.back().map(|(start, _)| *start)
    }

    /// Start of the first slice of all.
    pub(super) fn first_start(&self) -> Option<EventTime> {
        self.slices.front().map(|(start, _)| *start)
    }

    /// The first slice that begins at a time or after it.
    pub(super) fn at_or_after(&self, from: EventTime) -> Option<(EventTime, &Cells)> {
        let (Ok(at) | Err(at)) = self.find(from);
        self.slices.get(at).map(|(start, cells)| (*start, cells))
    }

    /// Removes the slice for good; returns the keys that had cells in it.
    pub(super) fn remove(&mut self, start: EventTime) -> Vec<KeyId> {
        let removed = self.find(start).ok().and_then(|at| self.slices.remove(at));
        removed.map_or_else(Vec::new, |(_, cells)| cells.ids())
    }

    /// Sums of all slices that begin in `[from, to)`, added to `sums`, and the keys in them.
    pub(super) fn merge(&self, from: EventTime, to: EventTime, sums: &mut Columns, keys: &mut Bits) {
        for cells in self.between(from, to) {
            cells.merge_into(sums, keys);
        }
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.slices.iter().map(|(_, cells)| cells.bytes()).sum()
    }

    fn find(&self, start: EventTime) -> Result<usize, usize> {
        self.slices.binary_search_by_key(&start, |(other, _)| *other)
    }
}
