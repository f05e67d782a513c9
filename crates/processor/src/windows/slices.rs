//! Mergeable counts a slice and key, by the slice's start.
//!
//! Not here: how one slice holds its counts ([`super::cells`]).

use std::collections::BTreeMap;

use event::{Ctr, EventTime};

use super::{bits::Bits, cells::Cells, keys::KeyId};

/// All live slices by their start.
#[derive(Debug, Default)]
pub struct Slices {
    /// In no order. Sorted, they would move for each event of another time than those before: with short windows and events
    /// in any order there are as many slices as events.
    slices: Vec<(EventTime, Cells)>,
    /// The place of each slice in the list.
    places: BTreeMap<EventTime, usize>,
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
            let next = self.slices.len();
            self.last = *self.places.entry(start).or_insert(next);
            if self.last == next {
                self.slices.push((start, Cells::default()));
            }
        }
        &mut self.slices[self.last].1
    }

    /// The slices that begin in `[from, to)`.
    pub fn between(&self, from: EventTime, to: EventTime) -> impl Iterator<Item = &Cells> {
        self.places.range(from..to.max(from)).map(|(_, place)| &self.slices[*place].1)
    }

    /// The slices in no order, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (EventTime, &mut Cells)> {
        self.slices.iter_mut().map(|(start, cells)| (*start, cells))
    }

    /// Start of the first slice at or after a time.
    pub fn next_start(&self, from: EventTime) -> Option<EventTime> {
        self.places.range(from..).next().map(|(start, _)| *start)
    }

    /// Start of the first slice of all.
    pub fn first_start(&self) -> Option<EventTime> {
        self.places.first_key_value().map(|(start, _)| *start)
    }

    /// The first slice that begins at a time or after it.
    pub fn at_or_after(&self, from: EventTime) -> Option<(EventTime, &Cells)> {
        let (start, place) = self.places.range(from..).next()?;
        Some((*start, &self.slices[*place].1))
    }

    /// Takes the slice away for good; gives the keys that counted in it.
    pub fn remove(&mut self, start: EventTime) -> Vec<KeyId> {
        let Some(place) = self.places.remove(&start) else { return Vec::new() };
        let (_, cells) = self.slices.swap_remove(place);
        if let Some((moved, _)) = self.slices.get(place) {
            self.places.insert(*moved, place);
        }
        cells.sorted().into_iter().map(|(id, _)| id).collect()
    }

    /// Sums of all slices that begin in `[from, to)`, added to `sums`, and the keys in them.
    pub fn merge(&self, from: EventTime, to: EventTime, sums: &mut [Ctr], keys: &mut Bits) {
        for cells in self.between(from, to) {
            cells.merge_into(sums, keys);
        }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        let cells: usize = self.slices.iter().map(|(_, cells)| cells.bytes()).sum();
        let free = self.slices.capacity() - self.slices.len();
        cells + free * size_of::<(EventTime, Cells)>() + self.slices.len() * PLACE_BYTES
    }
}

/// Bytes of a place in a tree whose nodes are little more than half full, and of the start beside the cells.
const PLACE_BYTES: usize = 36;

impl Change {
    /// A view, a click, or an event that is both.
    pub fn of(view: bool, click: bool) -> Self {
        Self { views: i64::from(view), clicks: i64::from(click), attributed: 0 }
    }
}

#[cfg(test)]
mod tests;
