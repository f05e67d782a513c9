//! The cells of one slice: for each key what is counted, and which of them changed since the last checkpoint and the last
//! early panes.
//!
//! Keys are small numbers, so that a slice in which most keys count is a plain list; one in which few of many do is a
//! hash table. A slice changes its shape as it fills.

use flow::measure::{Change, Columns, SavedColumn};
#[cfg(test)]
use flow::row::Values;
use rustc_hash::{FxHashMap, FxHashSet};

use super::{bits::Bits, keys::KeyId, saved::SavedSlice};
use crate::{saved::Room, table};

/// A cell for each key that has one.
#[derive(Debug)]
pub(super) struct Cells {
    shape: Shape,
    columns: Columns,
    /// How often `shape` changed, and with it the rows of the cells.
    reshaped: u32,
    cells: usize,
    unsaved: FxHashSet<KeyId>,
    unseen: Bits,
}

/// Which changes are to be reported later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Notes {
    /// To the next checkpoint.
    pub save: bool,
    /// To the next early panes.
    pub early: bool,
}

/// A place in the cells of a slice, as a walk over them knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    reshaped: u32,
    at: usize,
}

/// Which row of the columns belongs to which key.
#[derive(Debug)]
enum Shape {
    /// In the order in which they became cells, so that a walk keeps its place while more are added.
    Few { rows: FxHashMap<KeyId, u32>, ids: Vec<KeyId> },
    /// By the key's number; `held` marks which of them are cells.
    Most { held: Bits },
}

/// A list begins with this many cells, and when a quarter of all keys have one.
const LIST: usize = 64;
/// A list with less than one cell in this many rows becomes a table again.
const SPARSE: usize = 16;

impl Cells {
    /// No cells; `columns` has no rows.
    pub(super) fn new(columns: Columns) -> Self {
        Self {
            shape: Shape::Few { rows: FxHashMap::default(), ids: Vec::new() },
            columns,
            reshaped: 0,
            cells: 0,
            unsaved: FxHashSet::default(),
            unseen: Bits::default(),
        }
    }

    /// Applies a change; returns whether the cell is new. `bound`: one past the highest number of a key.
    #[inline]
    pub(super) fn add(&mut self, id: KeyId, change: &Change<'_>, notes: Notes, bound: usize) -> bool {
        let (row, new) = self.cell(id);
        self.columns.add(row, change);
        if notes.save {
            self.unsaved.insert(id);
        }
        if notes.early {
            self.unseen.insert(id);
        }
        if new {
            self.cells += 1;
            self.reshape(bound);
        }
        new
    }

    /// Puts a cell back as the state has it; returns whether it is new.
    pub(super) fn restore(&mut self, id: KeyId, saved: &[SavedColumn], from: usize, bound: usize) -> bool {
        let (row, new) = self.cell(id);
        self.columns.restore(row, saved, from);
        if new {
            self.cells += 1;
            self.reshape(bound);
        }
        new
    }

    /// The row of a key's cell, if it has one.
    #[inline]
    fn row(&self, id: KeyId) -> Option<usize> {
        match &self.shape {
            Shape::Few { rows, .. } => rows.get(&id).map(|row| *row as usize),
            Shape::Most { held } => held.contains(id).then_some(id as usize),
        }
    }

    /// Adds a key's cell, if it has one, to a row of other columns.
    pub(super) fn merge_one(&self, id: KeyId, sums: &mut Columns, row: usize) {
        if let Some(from) = self.row(id) {
            sums.merge(row, &self.columns, from);
        }
    }

    /// Adds every cell to the row of its key, and the key to a set.
    pub(super) fn merge_into(&self, sums: &mut Columns, keys: &mut Bits) {
        match &self.shape {
            Shape::Few { ids, .. } => {
                self.columns.merge_into(sums, |row| ids[row] as usize);
                ids.iter().for_each(|id| keys.insert(*id));
            }
            Shape::Most { held } => {
                // Rows that are no cells hold nothing.
                self.columns.merge_all(sums);
                keys.union(held);
            }
        }
    }

    /// Every key with a cell, in the order of their numbers.
    pub(super) fn ids(&self) -> Vec<KeyId> {
        match &self.shape {
            Shape::Few { ids, .. } => {
                let mut ids = ids.clone();
                ids.sort_unstable();
                ids
            }
            Shape::Most { held } => held.iter().collect(),
        }
    }

    /// Whether something is counted for a key.
    pub(super) fn holds(&self, id: KeyId) -> bool {
        self.row(id).is_some_and(|row| !self.columns.is_empty(row))
    }

    /// What is counted for a key; `None` without a cell, or if nothing is in it.
    #[cfg(test)]
    pub(super) fn values(&self, id: KeyId) -> Option<Values> {
        let row = self.row(id).filter(|row| !self.columns.is_empty(*row))?;
        Some(self.columns.values(row))
    }

    /// Adds the cells that changed since the last call, in the order of their numbers.
    pub(super) fn take_unsaved(&mut self, saved: &mut SavedSlice) {
        let mut ids: Vec<KeyId> = std::mem::take(&mut self.unsaved).into_iter().collect();
        ids.sort_unstable();
        for id in ids {
            if let Some(row) = self.row(id) {
                saved.ids.push(id);
                self.columns.save(row, &mut saved.columns);
            }
        }
    }

    /// Adds the cells from a place on, while there is room; returns where to continue, if there are more.
    ///
    /// Cells that are added meanwhile may be missed. Those that were there before the first call are not: when the shape
    /// has changed since, the walk begins again.
    pub(super) fn walk(&self, from: Place, room: &mut Room, saved: &mut SavedSlice) -> Option<Place> {
        let from = if from.reshaped == self.reshaped { from.at } else { 0 };
        let mut put = |row: usize, id: KeyId| {
            if room.is_full() {
                return Some(Place { reshaped: self.reshaped, at: row });
            }
            saved.ids.push(id);
            room.take(size_of::<KeyId>() + self.columns.save(row, &mut saved.columns));
            None
        };
        match &self.shape {
            Shape::Few { ids, .. } => {
                let rest = ids.iter().enumerate().skip(from);
                rest.map(|(row, id)| put(row, *id)).find_map(|full| full)
            }
            Shape::Most { held } => held.iter_from(from as KeyId).find_map(|id| put(id as usize, id)),
        }
    }

    /// No saved cells of these columns.
    pub(super) fn saved(&self) -> SavedSlice {
        SavedSlice { ids: Vec::new(), columns: self.columns.saved() }
    }

    /// The keys that changed since the last early panes.
    pub(super) fn take_unseen(&mut self) -> Bits {
        std::mem::take(&mut self.unseen)
    }

    /// Early panes begin again for every cell.
    pub(super) fn see_again(&mut self) {
        self.ids().into_iter().for_each(|id| self.unseen.insert(id));
    }

    /// How many cells there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.cells
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        let shape = match &self.shape {
            Shape::Few { rows, ids } => {
                table::bytes_of(rows.capacity(), size_of::<(KeyId, u32)>())
                    + ids.capacity() * size_of::<KeyId>()
            }
            Shape::Most { held } => held.bytes(),
        };
        let unsaved = table::bytes_of(self.unsaved.capacity(), size_of::<KeyId>());
        size_of::<Self>() + shape + self.columns.bytes() + unsaved + self.unseen.bytes()
    }

    /// The row of a key, and whether it becomes a cell only now.
    #[inline]
    fn cell(&mut self, id: KeyId) -> (usize, bool) {
        if let Shape::Most { .. } = &self.shape
            && id as usize >= self.columns.rows().max(SPARSE * self.cells)
        {
            self.become_table();
        }
        match &mut self.shape {
            Shape::Few { rows, ids } => {
                let next = ids.len();
                let row = *rows.entry(id).or_insert(next as u32) as usize;
                if row == next {
                    ids.push(id);
                    self.columns.resize(next + 1);
                }
                (row, row == next)
            }
            Shape::Most { held } => {
                if self.columns.rows() <= id as usize {
                    self.columns.resize(id as usize + 1);
                }
                let new = !held.contains(id);
                held.insert(id);
                (id as usize, new)
            }
        }
    }

    fn reshape(&mut self, bound: usize) {
        if let Shape::Few { ids, .. } = &self.shape
            && ids.len() >= LIST
            && ids.len() * 4 >= bound
        {
            let mut columns = self.columns.emptied();
            columns.resize(bound);
            let mut held = Bits::default();
            for (row, id) in ids.iter().enumerate() {
                columns.copy(*id as usize, &self.columns, row);
                held.insert(*id);
            }
            self.columns = columns;
            self.shape = Shape::Most { held };
            self.reshaped += 1;
        }
    }

    fn become_table(&mut self) {
        let ids = self.ids();
        let mut columns = self.columns.emptied();
        columns.resize(ids.len());
        for (row, id) in ids.iter().enumerate() {
            columns.copy(row, &self.columns, *id as usize);
        }
        self.columns = columns;
        let rows = ids.iter().zip(0..).map(|(id, row)| (*id, row)).collect();
        self.shape = Shape::Few { rows, ids };
        self.reshaped += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use flow::{
        measure::{Aggregation, Fed, Source},
        row::Value,
    };
    use proptest::prelude::*;
    use smallvec::smallvec;

    use super::*;

    const NOTES: Notes = Notes { save: true, early: true };

    fn cells() -> Cells {
        let counted = |name: &str| Fed {
            name: name.to_owned(),
            aggregation: Aggregation::Count,
            events: None,
            source: Source::Events,
        };
        Cells::new(Columns::new(&[counted("views"), counted("clicks")], false))
    }

    fn views(times: i64) -> Change<'static> {
        Change { feeds: 1, inputs: &[], times }
    }

    fn list(saved: &SavedSlice) -> Vec<(KeyId, u64)> {
        let [SavedColumn::Counts(views), SavedColumn::Counts(_)] = &saved.columns[..] else {
            panic!("two counts")
        };
        saved.ids.iter().copied().zip(views.iter().copied()).collect()
    }

    fn change() -> impl Strategy<Value = (KeyId, u64, bool)> {
        // Low numbers fill the list; now and then a high one stretches it. Some counts need eight bytes.
        let times = prop_oneof![8 => 0u64..3, 1 => Just(u64::from(u32::MAX) - 1)];
        (prop_oneof![6 => 0u32..90, 1 => 0u32..6_000], times, any::<bool>())
    }

    proptest! {
        #[test]
        fn cells_are_a_map_whatever_their_shape(
            changes in proptest::collection::vec(change(), 0..400), save_at in 0usize..400, bound in 0usize..6_000,
            room in 1usize..500,
        ) {
            let (mut cells, mut expected) = (cells(), BTreeMap::<KeyId, u64>::new());
            let mut unsaved = BTreeSet::new();
            let mut bound = bound;
            for (n, &(id, times, restored)) in changes.iter().enumerate() {
                if n == save_at {
                    let mut saved = cells.saved();
                    cells.take_unsaved(&mut saved);
                    prop_assert_eq!(list(&saved), unsaved.iter().map(|id| (*id, expected[id])).collect::<Vec<_>>());
                    unsaved.clear();
                }
                bound = bound.max(id as usize + 1);
                let new = !expected.contains_key(&id);
                let count = expected.entry(id).or_default();
                if restored {
                    *count = times;
                    let saved = [SavedColumn::Counts(vec![7, times])];
                    prop_assert_eq!(cells.restore(id, &saved, 1, bound), new);
                } else {
                    *count += times;
                    unsaved.insert(id);
                    prop_assert_eq!(cells.add(id, &views(times as i64), NOTES, bound), new);
                }
            }
            let mut walked = cells.saved();
            let mut place = Some(Place::default());
            while let Some(from) = place {
                place = cells.walk(from, &mut Room::new(room), &mut walked);
            }
            let mut walked = list(&walked);
            walked.sort_unstable();
            prop_assert_eq!(walked, expected.clone().into_iter().collect::<Vec<_>>());
            prop_assert_eq!(cells.ids(), expected.keys().copied().collect::<Vec<_>>());
            prop_assert_eq!(cells.len(), expected.len());
            let (mut sums, mut keys) = (cells.columns.for_merging(), Bits::default());
            sums.resize(bound);
            cells.merge_into(&mut sums, &mut keys);
            prop_assert_eq!(keys.iter().collect::<Vec<_>>(), expected.keys().copied().collect::<Vec<_>>());
            for (id, count) in expected {
                let values: Values = smallvec![Value::Count(count), Value::Count(0)];
                prop_assert_eq!(sums.values(id as usize), values.clone());
                prop_assert_eq!(cells.values(id), (count > 0).then_some(values));
            }
            prop_assert_eq!(cells.values(7_000), None);
        }
    }

    #[test]
    fn few_of_many_take_little() {
        let mut cells = cells();
        for id in 0..64 {
            cells.add(id, &views(1), NOTES, 64);
        }
        assert!(matches!(cells.shape, Shape::Most { .. }));
        cells.add(1_000_000, &views(1), NOTES, 1_000_001);
        assert!(cells.bytes() < 200_000, "{}", cells.bytes());
        assert_eq!(cells.len(), 65);
    }

    /// What 1 GiB has room for depends on it.
    #[test]
    fn a_cell_of_views_and_clicks_takes_sixteen_bytes_at_most() {
        let mut cells = cells();
        for id in 0..100_000 {
            cells.add(id, &views(1), Notes { save: false, early: false }, 100_000);
        }
        assert!(cells.bytes() <= 16 * 100_000, "{}", cells.bytes());
    }
}
