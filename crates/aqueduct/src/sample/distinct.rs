//! The approximate number of distinct values in little memory: the k smallest hashes (Bar-Yossef et al., "Counting
//! distinct elements in a data stream", 2002). Exact below k, within about 6 % above it. Stores no value.

use std::collections::BTreeSet;

const KEPT: usize = 256;

/// The smallest hashes.
#[derive(Clone, Debug, Default)]
pub(super) struct Distinct {
    smallest: BTreeSet<u64>,
}

impl Distinct {
    /// Adds a value by its hash, always from the same hasher. Returns whether it is known to be new.
    pub(super) fn add_hash(&mut self, hash: u64) -> bool {
        if self.smallest.len() == KEPT && self.smallest.last().is_some_and(|largest| hash >= *largest) {
            return false;
        }
        let is_new = self.smallest.insert(hash);
        if self.smallest.len() > KEPT {
            self.smallest.pop_last();
        }
        is_new
    }

    /// Merges another sketch.
    pub(super) fn merge(&mut self, other: &Self) {
        for hash in &other.smallest {
            self.add_hash(*hash);
        }
    }

    /// The exact or approximate number.
    pub(super) fn count(&self) -> u64 {
        match self.smallest.last() {
            Some(&largest) if self.smallest.len() == KEPT => {
                // KEPT - 1 hashes are below the largest of those kept, which gives their density.
                let dense = (KEPT as f64 - 1.0) / (largest as f64 / u64::MAX as f64);
                dense.round() as u64
            }
            _ => self.smallest.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::hash_map::RandomState, hash::BuildHasher as _};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn merged_sketches_count_as_one(values in proptest::collection::vec(0u32..4000, 0..4000), cut in any::<proptest::sample::Index>()) {
            let hasher = RandomState::new();
            let [mut whole, mut left, mut right] = [const { Distinct { smallest: BTreeSet::new() } }; 3];
            let cut = cut.index(values.len() + 1);
            for (n, value) in values.iter().enumerate() {
                whole.add_hash(hasher.hash_one(value));
                (if n < cut { &mut left } else { &mut right }).add_hash(hasher.hash_one(value));
            }
            left.merge(&right);
            prop_assert_eq!(left.count(), whole.count());
            let exact = values.iter().collect::<std::collections::HashSet<_>>().len();
            let share = whole.count() as f64 / exact.max(1) as f64;
            // Six standard deviations: 1 / sqrt(256) each.
            prop_assert!(exact < KEPT && whole.count() == exact as u64 || (0.6..1.6).contains(&share), "{} {}", exact, whole.count());
        }
    }
}
