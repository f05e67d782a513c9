//! A set of small numbers, one bit each.

use super::keys::KeyId;

/// Numbers of keys, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// Adds a number.
    #[inline]
    pub(super) fn insert(&mut self, id: KeyId) {
        let word = id as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (id % 64);
    }

    /// Whether the number is in it.
    #[inline]
    pub(super) fn contains(&self, id: KeyId) -> bool {
        self.0.get(id as usize / 64).is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    /// Adds all numbers of another set.
    pub(super) fn union(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        self.0.iter_mut().zip(&other.0).for_each(|(word, more)| *word |= more);
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// How many numbers are in it.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * 8
    }

    /// The numbers, the smallest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = KeyId> {
        self.iter_from(0)
    }

    /// The numbers at or above one, the smallest first.
    pub(super) fn iter_from(&self, from: KeyId) -> impl Iterator<Item = KeyId> {
        let first = from as usize / 64;
        // Of the first word, only what is not below.
        let mut above = u64::MAX << (from % 64);
        self.0.iter().enumerate().skip(first).flat_map(move |(at, &word)| {
            let word = word & std::mem::replace(&mut above, u64::MAX);
            std::iter::successors((word != 0).then_some(word), |rest| {
                let rest = rest & (rest - 1);
                (rest != 0).then_some(rest)
            })
            .map(move |rest| at as KeyId * 64 + rest.trailing_zeros())
        })
    }
}
