//! Hash tables in shards, for callers that already have the hashes.
//!
//! A hash table doubles when it is full: for a moment it needs three times its memory, and an event waits until all
//! entries have moved. Each shard doubles alone, which reduces both to a small part. A shard shrinks when most of it is
//! empty.

use std::hint::black_box;

use hashbrown::{HashTable, hash_table};

/// A power of two, and the largest length for which arrays implement `Default`.
const SHARDS: usize = 32;
/// Smaller shards never shrink.
const SHRINKS: usize = 64;

/// For how many keys look-ups are made together (see [`Table::touch`]): what they read must fit into the cache of a core.
pub(crate) const TOGETHER: usize = 64;

/// Entries by a 64-bit hash.
#[derive(Debug)]
pub(crate) struct Shards<T> {
    shards: [HashTable<T>; SHARDS],
    len: usize,
}

/// Values by a 128-bit hash.
#[derive(Debug)]
pub(crate) struct Table<V>(Shards<(u128, V)>);

impl<T> Default for Shards<T> {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| HashTable::new()), len: 0 }
    }
}

impl<T> Shards<T> {
    #[inline]
    pub(crate) fn find(&self, hash: u64, is: impl FnMut(&T) -> bool) -> Option<&T> {
        self.shards[shard(hash)].find(hash, is)
    }

    #[inline]
    pub(crate) fn find_mut(&mut self, hash: u64, is: impl FnMut(&T) -> bool) -> Option<&mut T> {
        self.shards[shard(hash)].find_mut(hash, is)
    }

    /// Adds an entry that must not be present yet.
    pub(crate) fn insert(&mut self, hash: u64, entry: T, hash_of: impl Fn(&T) -> u64) -> &mut T {
        self.len += 1;
        self.shards[shard(hash)].insert_unique(hash, entry, hash_of).into_mut()
    }

    /// The entry of a hash, which is added if there is none.
    #[inline]
    pub(crate) fn find_or_insert(
        &mut self,
        hash: u64,
        is: impl FnMut(&T) -> bool,
        new: impl FnOnce() -> T,
        hash_of: impl Fn(&T) -> u64,
    ) -> &mut T {
        match self.shards[shard(hash)].entry(hash, is, hash_of) {
            hash_table::Entry::Occupied(entry) => entry.into_mut(),
            hash_table::Entry::Vacant(entry) => {
                self.len += 1;
                entry.insert(new()).into_mut()
            }
        }
    }

    pub(crate) fn remove(
        &mut self,
        hash: u64,
        is: impl FnMut(&T) -> bool,
        hash_of: impl Fn(&T) -> u64,
    ) -> Option<T> {
        let shard = &mut self.shards[shard(hash)];
        let (entry, _) = shard.find_entry(hash, is).ok()?.remove();
        self.len -= 1;
        if shard.capacity() > SHRINKS && shard.len() * 8 < shard.capacity() {
            shard.shrink_to(shard.len() * 2, hash_of);
        }
        Some(entry)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.shards.iter().map(HashTable::allocation_size).sum()
    }
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self(Shards::default())
    }
}

impl<V> Table<V> {
    #[inline]
    pub(crate) fn get(&self, key: u128) -> Option<&V> {
        self.0.find(half(key), |(other, _)| *other == key).map(|(_, value)| value)
    }

    /// Takes all values out, in no order.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = V> {
        std::mem::take(self).0.shards.into_iter().flatten().map(|(_, value)| value)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: u128) -> Option<&mut V> {
        self.0.find_mut(half(key), |(other, _)| *other == key).map(|(_, value)| value)
    }

    /// The value of a key, which is created if there is none.
    #[inline]
    pub(crate) fn get_or_insert_with(&mut self, key: u128, new: impl FnOnce() -> V) -> &mut V {
        let entry = self.0.find_or_insert(
            half(key),
            |(other, _)| *other == key,
            || (key, new()),
            |(key, _)| half(*key),
        );
        &mut entry.1
    }

    /// Reads where these keys are, or would be. These look-ups wait for memory at the same time, where those between which
    /// an event is counted wait one after the other.
    pub(crate) fn touch(&self, keys: impl Iterator<Item = u128>) {
        black_box(keys.filter(|key| self.get(*key).is_some()).count());
    }

    pub(crate) fn remove(&mut self, key: u128) -> Option<V> {
        let removed = self.0.remove(half(key), |(other, _)| *other == key, |(key, _)| half(*key));
        removed.map(|(_, value)| value)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes in memory, without what the values point to.
    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

/// The shard of a hash. The lowest bits select the bucket within a shard and the highest distinguish entries there, so
/// the shard uses bits from the middle.
fn shard(hash: u64) -> usize {
    (hash >> 48) as usize % SHARDS
}

fn half(key: u128) -> u64 {
    key as u64
}

/// Bytes of a standard hash table of this capacity.
pub(crate) fn bytes_of(capacity: usize, entry: usize) -> usize {
    match capacity {
        0 => 0,
        1..4 => 4 * (entry + 1) + 16,
        4..8 => 8 * (entry + 1) + 16,
        _ => (capacity * 8 / 7).next_power_of_two() * (entry + 1) + 16,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_table_is_a_map(steps in proptest::collection::vec((any::<bool>(), 0u128..300, any::<u8>()), 0..600)) {
            let (mut table, mut map) = (Table::default(), BTreeMap::new());
            for (inserts, key, value) in steps {
                // All bits of a key differ, as with real hashes.
                let key = key.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
                if inserts {
                    *table.get_or_insert_with(key, || value) = value;
                    map.insert(key, value);
                } else {
                    prop_assert_eq!(table.remove(key), map.remove(&key));
                }
                prop_assert_eq!((table.get(key), table.len()), (map.get(&key), map.len()));
            }
        }
    }

    #[test]
    fn memory_is_given_back() {
        let mut table = Table::default();
        let key = |n: u128| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        for n in 0..100_000 {
            table.get_or_insert_with(key(n), || n);
        }
        let full = table.bytes();
        assert!((100..100_000).all(|n| table.remove(key(n)) == Some(n)));
        assert!(table.bytes() < full / 20, "{} of {full}", table.bytes());
        assert!((0..100).all(|n| table.get(key(n)) == Some(&n)));
    }
}
