//! Counts a key in one slice, and which of them changed since the last checkpoint and the last early panes.
//!
//! Keys are small numbers, so that a slice in which most keys count is a plain list; one in which few of many do is a
//! hash table. A slice changes its shape as it fills.

use event::Ctr;
use rustc_hash::{FxHashMap, FxHashSet};

use super::{bits::Bits, keys::KeyId, slices::Change};
use crate::{saved::Room, table};

/// A count for each key that has one.
#[derive(Debug, Default)]
pub struct Cells {
    counts: Counts,
    /// How often `counts` changed its shape, and with it the order of its cells.
    shape: u32,
    cells: usize,
    unsaved: FxHashSet<KeyId>,
    unseen: Bits,
}

/// Who is to hear of a change later.
#[derive(Clone, Copy, Debug)]
pub struct Notes {
    /// The next checkpoint.
    pub save: bool,
    /// The next early panes.
    pub early: bool,
}

/// A place in the cells of a slice, as a walk over them knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    shape: u32,
    at: usize,
}

#[derive(Debug)]
enum Counts {
    /// In the order in which they became cells, so that a walk keeps its place while more are added.
    Few { places: FxHashMap<KeyId, u32>, cells: Vec<(KeyId, Ctr)> },
    /// By the key's number; `held` tells which of them are cells.
    Most { counts: Vec<Ctr>, held: Bits },
}

/// A list begins with that many cells, and when a quarter of all keys have one.
const LIST: usize = 64;
/// A list with less than one cell in so many places becomes a table again.
const SPARSE: usize = 16;

impl Cells {
    /// Applies a change; says whether the cell is new. `bound`: one past the highest number of a key.
    #[inline]
    pub fn add(&mut self, id: KeyId, change: Change, notes: Notes, bound: usize) -> bool {
        let (cell, new) = self.cell(id);
        cell.views = cell.views.saturating_add_signed(change.views);
        cell.clicks = cell.clicks.saturating_add_signed(change.clicks);
        cell.attributed = cell.attributed.saturating_add_signed(change.attributed);
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

    /// Puts a count back as the state has it; says whether the cell is new.
    pub fn restore(&mut self, id: KeyId, count: Ctr, bound: usize) -> bool {
        let (cell, new) = self.cell(id);
        *cell = count;
        if new {
            self.cells += 1;
            self.reshape(bound);
        }
        new
    }

    /// The key's count, if it has one.
    pub fn get(&self, id: KeyId) -> Option<Ctr> {
        match &self.counts {
            Counts::Few { places, cells } => places.get(&id).map(|at| cells[*at as usize].1),
            Counts::Most { counts, held } => held.contains(id).then(|| counts[id as usize]),
        }
    }

    /// Adds every count to a list of sums, and its key to a set.
    pub fn merge_into(&self, sums: &mut [Ctr], keys: &mut Bits) {
        match &self.counts {
            Counts::Few { cells, .. } => {
                for (id, count) in cells {
                    sums[*id as usize].merge(*count);
                    keys.insert(*id);
                }
            }
            Counts::Most { counts, held } => {
                // Places that are no cells hold nothing.
                for (sum, count) in sums.iter_mut().zip(counts) {
                    sum.merge(*count);
                }
                keys.union(held);
            }
        }
    }

    /// Every key with its count, in the order of their numbers.
    pub fn sorted(&self) -> Vec<(KeyId, Ctr)> {
        match &self.counts {
            Counts::Few { cells, .. } => {
                let mut cells = cells.clone();
                cells.sort_unstable_by_key(|(id, _)| *id);
                cells
            }
            Counts::Most { counts, held } => held.iter().map(|id| (id, counts[id as usize])).collect(),
        }
    }

    /// The cells that changed since the last call, in the order of their numbers.
    pub fn take_unsaved(&mut self) -> Vec<(KeyId, Ctr)> {
        let mut ids: Vec<KeyId> = std::mem::take(&mut self.unsaved).into_iter().collect();
        ids.sort_unstable();
        ids.into_iter().filter_map(|id| Some((id, self.get(id)?))).collect()
    }

    /// The cells from a place on, while there is room; where to go on, if there are more.
    ///
    /// Cells that are added meanwhile may be missed. Those that were there before the first call are not: when the shape has
    /// changed since, the walk begins again.
    pub fn walk(&self, from: Place, room: &mut Room, walked: &mut Vec<(KeyId, Ctr)>) -> Option<Place> {
        let from = if from.shape == self.shape { from.at } else { 0 };
        let mut put = |at: usize, id: KeyId, count: Ctr| {
            if room.is_full() {
                return Some(Place { shape: self.shape, at });
            }
            room.take(size_of::<(KeyId, Ctr)>());
            walked.push((id, count));
            None
        };
        match &self.counts {
            Counts::Few { cells, .. } => {
                let rest = cells.iter().enumerate().skip(from);
                rest.map(|(at, (id, count))| put(at, *id, *count)).find_map(|full| full)
            }
            Counts::Most { counts, held } => {
                held.iter_from(from as KeyId).find_map(|id| put(id as usize, id, counts[id as usize]))
            }
        }
    }

    /// The keys that changed since the last early panes.
    pub fn take_unseen(&mut self) -> Bits {
        std::mem::take(&mut self.unseen)
    }

    /// Early panes begin anew for every cell.
    pub fn see_anew(&mut self) {
        let ids: Vec<KeyId> = self.sorted().into_iter().map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| self.unseen.insert(id));
    }

    /// How many cells there are.
    pub fn len(&self) -> usize {
        self.cells
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        let counts = match &self.counts {
            Counts::Few { places, cells } => {
                table::bytes_of(places.capacity(), size_of::<(KeyId, u32)>())
                    + cells.capacity() * size_of::<(KeyId, Ctr)>()
            }
            Counts::Most { counts, held } => counts.capacity() * size_of::<Ctr>() + held.bytes(),
        };
        let unsaved = table::bytes_of(self.unsaved.capacity(), size_of::<KeyId>());
        size_of::<Self>() + counts + unsaved + self.unseen.bytes()
    }

    /// The place of a key, and whether it becomes a cell only now.
    #[inline]
    fn cell(&mut self, id: KeyId) -> (&mut Ctr, bool) {
        if let Counts::Most { counts, .. } = &self.counts
            && id as usize >= counts.len().max(SPARSE * self.cells)
        {
            self.become_table();
        }
        match &mut self.counts {
            Counts::Few { places, cells } => {
                let next = cells.len();
                let at = *places.entry(id).or_insert(next as u32) as usize;
                if at == next {
                    reserve(cells, 1);
                    cells.push((id, Ctr::default()));
                }
                (&mut cells[at].1, at == next)
            }
            Counts::Most { counts, held } => {
                if counts.len() <= id as usize {
                    reserve(counts, id as usize + 1 - counts.len());
                    counts.resize(id as usize + 1, Ctr::default());
                }
                let new = !held.contains(id);
                held.insert(id);
                (&mut counts[id as usize], new)
            }
        }
    }

    fn reshape(&mut self, bound: usize) {
        if let Counts::Few { cells, .. } = &self.counts
            && cells.len() >= LIST
            && cells.len() * 4 >= bound
        {
            let mut counts = vec![Ctr::default(); bound];
            let mut held = Bits::default();
            for (id, count) in cells {
                counts[*id as usize] = *count;
                held.insert(*id);
            }
            self.counts = Counts::Most { counts, held };
            self.shape += 1;
        }
    }

    fn become_table(&mut self) {
        let cells = self.sorted();
        let places = cells.iter().zip(0..).map(|((id, _), at)| (*id, at)).collect();
        self.counts = Counts::Few { places, cells };
        self.shape += 1;
    }
}

/// Makes room by a quarter: a list is large, and there is one for each slice.
fn reserve<T>(list: &mut Vec<T>, more: usize) {
    if list.capacity() - list.len() < more {
        list.reserve_exact(more.max(list.len() / 4).max(4));
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self::Few { places: FxHashMap::default(), cells: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    const NOTES: Notes = Notes { save: true, early: true };

    fn change() -> impl Strategy<Value = (KeyId, i64, bool)> {
        // Low numbers fill the list; now and then a high one stretches it.
        (prop_oneof![6 => 0u32..90, 1 => 0u32..6_000], 0i64..3, any::<bool>())
    }

    proptest! {
        #[test]
        fn cells_are_a_map_whatever_their_shape(
            changes in proptest::collection::vec(change(), 0..400), save_at in 0usize..400, bound in 0usize..6_000,
            room in 1usize..500,
        ) {
            let (mut cells, mut expected) = (Cells::default(), BTreeMap::<KeyId, Ctr>::new());
            let mut unsaved = BTreeSet::new();
            let mut bound = bound;
            for (n, &(id, views, restored)) in changes.iter().enumerate() {
                if n == save_at {
                    let saved = cells.take_unsaved();
                    prop_assert_eq!(saved, unsaved.iter().map(|id| (*id, expected[id])).collect::<Vec<_>>());
                    unsaved.clear();
                }
                bound = bound.max(id as usize + 1);
                let new = !expected.contains_key(&id);
                let count = expected.entry(id).or_default();
                if restored {
                    *count = Ctr { views: views as u64, ..Ctr::default() };
                    prop_assert_eq!(cells.restore(id, *count, bound), new);
                } else {
                    count.views += views as u64;
                    unsaved.insert(id);
                    let change = Change { views, ..Change::default() };
                    prop_assert_eq!(cells.add(id, change, NOTES, bound), new);
                }
            }
            let mut walked = Vec::new();
            let mut place = Some(Place::default());
            while let Some(from) = place {
                place = cells.walk(from, &mut Room::new(room), &mut walked);
            }
            walked.sort_unstable_by_key(|(id, _)| *id);
            prop_assert_eq!(&walked, &cells.sorted());
            prop_assert_eq!(cells.sorted(), expected.clone().into_iter().collect::<Vec<_>>());
            prop_assert_eq!(cells.len(), expected.len());
            let (mut sums, mut keys) = (vec![Ctr::default(); bound], Bits::default());
            cells.merge_into(&mut sums, &mut keys);
            prop_assert_eq!(keys.iter().collect::<Vec<_>>(), expected.keys().copied().collect::<Vec<_>>());
            for (id, count) in expected {
                prop_assert_eq!((cells.get(id), sums[id as usize]), (Some(count), count));
            }
            prop_assert_eq!(cells.get(7_000), None);
        }
    }

    #[test]
    fn few_of_many_take_little() {
        let mut cells = Cells::default();
        for id in 0..64 {
            cells.add(id, Change::of(true, false), NOTES, 64);
        }
        assert!(matches!(cells.counts, Counts::Most { .. }));
        cells.add(1_000_000, Change::of(true, false), NOTES, 1_000_001);
        assert!(cells.bytes() < 200_000, "{}", cells.bytes());
        assert_eq!(cells.len(), 65);
    }
}
