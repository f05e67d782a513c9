//! Keys as small numbers: a cell names its key by four bytes.
//!
//! A key lives as long as a cell does that names it; then its number is used again.

use event::row::Key;
use hashbrown::HashTable;

use crate::digest::HashedKey;

/// Number of a key in one flow.
pub type KeyId = u32;

/// All keys of one flow that have cells.
#[derive(Debug, Default)]
pub struct Keys {
    table: HashTable<Entry>,
    slots: Vec<Slot>,
    free: Vec<KeyId>,
    bytes: u64,
}

/// What a look-up reads: hash and text stand here, so that it does not go through the slot.
#[derive(Debug)]
struct Entry {
    hash: u64,
    id: KeyId,
    key: Key,
}

#[derive(Debug, Default)]
struct Slot {
    key: Option<Key>,
    hash: u64,
    cells: u32,
}

impl Keys {
    /// The key's number; a new key has no cell yet.
    #[inline]
    pub fn intern(&mut self, key: HashedKey<'_>) -> KeyId {
        let same = |entry: &Entry| entry.hash == key.hash && entry.key.as_pushed() == key.text;
        match self.table.find(key.hash, same) {
            Some(entry) => entry.id,
            None => self.add(Key::from_pushed(key.text), key.hash),
        }
    }

    /// Puts a key back at the number that it had when the state was written.
    pub fn restore(&mut self, id: KeyId, key: Key) {
        if self.slots.len() <= id as usize {
            self.slots.resize_with(id as usize + 1, Slot::default);
        }
        self.release_slot(id);
        let hash = HashedKey::new(key.as_pushed()).hash;
        self.put(id, key, hash);
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
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as KeyId
        });
        self.put(id, key, hash);
        id
    }

    fn put(&mut self, id: KeyId, key: Key, hash: u64) {
        self.bytes += weight(&key);
        self.slots[id as usize] = Slot { key: Some(key.clone()), hash, cells: 0 };
        self.table.insert_unique(hash, Entry { hash, id, key }, |entry| entry.hash);
    }

    fn release_slot(&mut self, id: KeyId) {
        let slot = &mut self.slots[id as usize];
        let Some(key) = slot.key.take() else { return };
        self.bytes -= weight(&key);
        if let Ok(entry) = self.table.find_entry(slot.hash, |entry| entry.id == id) {
            entry.remove();
        }
    }
}

/// Bytes of a key with its slot and table entry.
fn weight(key: &Key) -> u64 {
    96 + key.as_pushed().len() as u64
}
