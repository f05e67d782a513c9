//! The cells of all live slices, by the slice's start.

use std::collections::BTreeMap;

use event::EventTime;
use flow::measure::Columns;

use super::{bits::Bits, cells::Cells, keys::KeyId};

/// All live slices by their start.
#[derive(Debug)]
pub(super) struct Slices {
    /// In no order. Sorted, they would move for each event of another time than those before: with short windows and events
    /// in any order there are as many slices as events.
    slices: Vec<(EventTime, Cells)>,
    /// The place of each slice in the list.
    places: BTreeMap<EventTime, usize>,
    /// Where the last look-up ended: most events fall into the slice of the one before.
    last: usize,
    /// Columns without rows, for new slices.
    columns: Columns,
}

impl Slices {
    /// No slices. `columns`: without rows, for new ones.
    pub(super) fn new(columns: Columns) -> Self {
        Self { slices: Vec::new(), places: BTreeMap::new(), last: 0, columns }
    }

    /// The slice that begins there, to be changed; a new one if there is none.
    #[inline]
    pub(super) fn at(&mut self, start: EventTime) -> &mut Cells {
        if self.slices.get(self.last).is_none_or(|(other, _)| *other != start) {
            let next = self.slices.len();
            self.last = *self.places.entry(start).or_insert(next);
            if self.last == next {
                self.slices.push((start, Cells::new(self.columns.clone())));
            }
        }
        &mut self.slices[self.last].1
    }

    /// The slices that begin in `[from, to)`.
    pub(super) fn between(&self, from: EventTime, to: EventTime) -> impl Iterator<Item = &Cells> {
        self.places.range(from..to.max(from)).map(|(_, place)| &self.slices[*place].1)
    }

    /// The slices in no order, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (EventTime, &mut Cells)> {
        self.slices.iter_mut().map(|(start, cells)| (*start, cells))
    }

    /// Start of the first slice at or after a time.
    pub(super) fn next_start(&self, from: EventTime) -> Option<EventTime> {
        self.places.range(from..).next().map(|(start, _)| *start)
    }

    /// Start of the last slice of all.
    pub(super) fn last_start(&self) -> Option<EventTime> {
        self.places.last_key_value().map(|(start, _)| *start)
    }

    /// Start of the first slice of all.
    pub(super) fn first_start(&self) -> Option<EventTime> {
        self.places.first_key_value().map(|(start, _)| *start)
    }

    /// The first slice that begins at a time or after it.
    pub(super) fn at_or_after(&self, from: EventTime) -> Option<(EventTime, &Cells)> {
        let (start, place) = self.places.range(from..).next()?;
        Some((*start, &self.slices[*place].1))
    }

    /// Removes the slice for good; returns the keys that had cells in it.
    pub(super) fn remove(&mut self, start: EventTime) -> Vec<KeyId> {
        let Some(place) = self.places.remove(&start) else { return Vec::new() };
        let (_, cells) = self.slices.swap_remove(place);
        if let Some((moved, _)) = self.slices.get(place) {
            self.places.insert(*moved, place);
        }
        cells.ids()
    }

    /// Sums of all slices that begin in `[from, to)`, added to `sums`, and the keys in them.
    pub(super) fn merge(&self, from: EventTime, to: EventTime, sums: &mut Columns, keys: &mut Bits) {
        for cells in self.between(from, to) {
            cells.merge_into(sums, keys);
        }
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        let cells: usize = self.slices.iter().map(|(_, cells)| cells.bytes()).sum();
        let free = self.slices.capacity() - self.slices.len();
        cells + free * size_of::<(EventTime, Cells)>() + self.slices.len() * PLACE_BYTES
    }
}

/// Bytes of a place in a tree whose nodes are little more than half full, and of the start beside the cells.
const PLACE_BYTES: usize = 36;

#[cfg(test)]
mod tests;
