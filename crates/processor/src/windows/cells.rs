//! Counts a key in one slice, and which of them changed since the last checkpoint and the last early panes.
//!
//! Keys are small numbers, so that a slice in which most keys count is a plain list; one in which few of many do is a
//! hash table. A slice changes its shape as it fills. Not here: which slice an event falls into.

use std::collections::hash_map::Entry;

use event::Ctr;
use rustc_hash::FxHashMap;

use super::{bits::Bits, keys::KeyId, slices::Change};

/// A count for each key that has one.
#[derive(Debug, Default)]
pub struct Cells {
    counts: Counts,
    cells: usize,
    unsaved: Bits,
    unseen: Bits,
}

#[derive(Debug)]
enum Counts {
    Few(FxHashMap<KeyId, Ctr>),
    /// By the key's number; `held` tells which of them are cells.
    Most {
        counts: Vec<Ctr>,
        held: Bits,
    },
}

/// A list begins with that many cells, and when a quarter of all keys have one.
const LIST: usize = 64;
/// A list with less than one cell in so many places becomes a table again.
const SPARSE: usize = 16;

/// Approximate bytes of a cell in a table with its share of the free places, and of a place in a list with its flags.
const TABLE_BYTES: usize = 56;
const LIST_BYTES: usize = 25;

impl Cells {
    /// Applies a change; says whether the cell is new. `bound`: one past the highest number of a key.
    #[inline]
    pub fn add(&mut self, id: KeyId, change: Change, early: bool, bound: usize) -> bool {
        let (cell, new) = self.cell(id);
        cell.views = cell.views.saturating_add_signed(change.views);
        cell.clicks = cell.clicks.saturating_add_signed(change.clicks);
        cell.attributed = cell.attributed.saturating_add_signed(change.attributed);
        self.unsaved.insert(id);
        if early {
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
            Counts::Few(counts) => counts.get(&id).copied(),
            Counts::Most { counts, held } => held.contains(id).then(|| counts[id as usize]),
        }
    }

    /// Adds every count to a list of sums, and its key to a set.
    pub fn merge_into(&self, sums: &mut [Ctr], keys: &mut Bits) {
        match &self.counts {
            Counts::Few(counts) => {
                for (&id, count) in counts {
                    sums[id as usize].merge(*count);
                    keys.insert(id);
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
            Counts::Few(counts) => {
                let mut cells: Vec<_> = counts.iter().map(|(&id, &count)| (id, count)).collect();
                cells.sort_unstable_by_key(|(id, _)| *id);
                cells
            }
            Counts::Most { counts, held } => held.iter().map(|id| (id, counts[id as usize])).collect(),
        }
    }

    /// The cells that changed since the last call, in the order of their numbers.
    pub fn take_unsaved(&mut self) -> Vec<(KeyId, Ctr)> {
        let unsaved = std::mem::take(&mut self.unsaved);
        unsaved.iter().filter_map(|id| Some((id, self.get(id)?))).collect()
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

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        let counts = match &self.counts {
            Counts::Few(_) => TABLE_BYTES * self.cells,
            Counts::Most { counts, .. } => LIST_BYTES * counts.capacity(),
        };
        counts + self.unsaved.bytes() + self.unseen.bytes()
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
            Counts::Few(counts) => match counts.entry(id) {
                Entry::Occupied(cell) => (cell.into_mut(), false),
                Entry::Vacant(place) => (place.insert(Ctr::default()), true),
            },
            Counts::Most { counts, held } => {
                if counts.len() <= id as usize {
                    // By a quarter: a list is large, and there is one for each slice.
                    let more = (id as usize + 1 - counts.len()).max(counts.len() / 4);
                    if counts.capacity() <= id as usize {
                        counts.reserve_exact(more);
                    }
                    counts.resize(id as usize + 1, Ctr::default());
                }
                let new = !held.contains(id);
                held.insert(id);
                (&mut counts[id as usize], new)
            }
        }
    }

    fn reshape(&mut self, bound: usize) {
        if let Counts::Few(few) = &self.counts
            && few.len() >= LIST
            && few.len() * 4 >= bound
        {
            let mut counts = vec![Ctr::default(); bound];
            let mut held = Bits::default();
            for (&id, &count) in few {
                counts[id as usize] = count;
                held.insert(id);
            }
            self.counts = Counts::Most { counts, held };
        }
    }

    fn become_table(&mut self) {
        self.counts = Counts::Few(self.sorted().into_iter().collect());
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self::Few(FxHashMap::default())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn change() -> impl Strategy<Value = (KeyId, i64, bool)> {
        // Low numbers fill the list; now and then a high one stretches it.
        (prop_oneof![6 => 0u32..90, 1 => 0u32..6_000], 0i64..3, any::<bool>())
    }

    proptest! {
        #[test]
        fn cells_are_a_map_whatever_their_shape(
            changes in proptest::collection::vec(change(), 0..400), save_at in 0usize..400, bound in 0usize..6_000,
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
                    prop_assert_eq!(cells.add(id, change, true, bound), new);
                }
            }
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
            cells.add(id, Change::of(true, false), false, 64);
        }
        assert!(matches!(cells.counts, Counts::Most { .. }));
        cells.add(1_000_000, Change::of(true, false), false, 1_000_001);
        assert!(cells.bytes() < 200_000, "{}", cells.bytes());
        assert_eq!(cells.len(), 65);
    }
}
