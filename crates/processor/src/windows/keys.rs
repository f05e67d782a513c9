//! Keys as small numbers: a cell names its key by four bytes.
//!
//! A key lives as long as a cell does that names it; then its number is used again.

use std::hash::{BuildHasher, Hash, Hasher};

use event::row::Key;
use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

/// Number of a key in one flow.
pub type KeyId = u32;

/// All keys of one flow that have cells.
#[derive(Debug, Default)]
pub struct Keys {
    table: HashTable<KeyId>,
    slots: Vec<Slot>,
    free: Vec<KeyId>,
    bytes: u64,
}

#[derive(Debug)]
struct Slot {
    key: Option<Key>,
    hash: u64,
    cells: u32,
}

impl Keys {
    /// The key's number; a new key has no cell yet.
    pub fn intern(&mut self, values: &[Option<&str>]) -> (KeyId, bool) {
        let hash = hash(values.iter().copied());
        let slots = &self.slots;
        let same = |id: &KeyId| match &slots[*id as usize].key {
            Some(key) => key.len() == values.len() && key.iter().zip(values).all(|(a, b)| a.as_deref() == *b),
            None => false,
        };
        if let Some(id) = self.table.find(hash, same) {
            return (*id, false);
        }
        let key: Key = values.iter().map(|value| value.map(Box::from)).collect();
        (self.add(key, hash), true)
    }

    /// Puts a key back at the number that it had when the state was written.
    pub fn restore(&mut self, id: KeyId, key: Key) {
        if self.slots.len() <= id as usize {
            self.slots.resize_with(id as usize + 1, || Slot { key: None, hash: 0, cells: 0 });
        }
        self.release_slot(id);
        let hash = hash(key.iter().map(Option::as_deref));
        self.bytes += weight(&key);
        self.slots[id as usize] = Slot { key: Some(key), hash, cells: 0 };
        let slots = &self.slots;
        self.table.insert_unique(hash, id, |id| slots[*id as usize].hash);
    }

    /// After the last [`Self::restore`]: the numbers without a key may be used again.
    pub fn restored(&mut self) {
        self.free =
            (0..self.slots.len() as KeyId).filter(|&id| self.slots[id as usize].key.is_none()).collect();
    }

    /// The key of a number that has cells.
    pub fn get(&self, id: KeyId) -> &Key {
        self.slots[id as usize].key.as_ref().expect("whoever holds a number holds a cell of its key")
    }

    /// The key of a number, if it is in use.
    pub fn at(&self, id: KeyId) -> Option<&Key> {
        self.slots.get(id as usize).and_then(|slot| slot.key.as_ref())
    }

    /// One more cell names the key.
    pub fn hold(&mut self, id: KeyId) {
        self.slots[id as usize].cells += 1;
    }

    /// One cell less names the key; the last one frees its number.
    pub fn release(&mut self, id: KeyId) {
        let slot = &mut self.slots[id as usize];
        slot.cells = slot.cells.saturating_sub(1);
        if slot.cells == 0 {
            self.release_slot(id);
            self.free.push(id);
        }
    }

    /// How many keys have cells.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no key has a cell.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// One past the highest number in use.
    pub fn bound(&self) -> usize {
        self.slots.len()
    }

    /// Every key with its number.
    pub fn iter(&self) -> impl Iterator<Item = (KeyId, &Key)> {
        self.slots.iter().enumerate().filter_map(|(id, slot)| slot.key.as_ref().map(|key| (id as KeyId, key)))
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn add(&mut self, key: Key, hash: u64) -> KeyId {
        self.bytes += weight(&key);
        let slot = Slot { key: Some(key), hash, cells: 0 };
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as KeyId
            }
        };
        let slots = &self.slots;
        self.table.insert_unique(hash, id, |id| slots[*id as usize].hash);
        id
    }

    fn release_slot(&mut self, id: KeyId) {
        let slot = &mut self.slots[id as usize];
        let Some(key) = slot.key.take() else { return };
        self.bytes -= weight(&key);
        if let Ok(entry) = self.table.find_entry(slot.hash, |other| *other == id) {
            entry.remove();
        }
    }
}

fn hash<'a>(values: impl Iterator<Item = Option<&'a str>>) -> u64 {
    let mut hasher = FxBuildHasher.build_hasher();
    for value in values {
        value.hash(&mut hasher);
    }
    hasher.finish()
}

/// Bytes of a key with its slot and table entry.
fn weight(key: &Key) -> u64 {
    64 + key.iter().map(|value| 16 + value.as_ref().map_or(0, |text| text.len() as u64)).sum::<u64>()
}
