//! Keys as small numbers: a cell names its key by four bytes.
//!
//! A key lives as long as a cell does that names it; then its number is used again.

use std::hint::black_box;

use event::Key;

use crate::{digest::HashedKey, saved::Room, table::Shards};

/// From this number on, keys and their texts do not fit into the cache of a core.
const MANY: usize = 8_192;

/// Number of a key in one flow.
pub type KeyId = u32;

/// All keys of one flow that have cells.
#[derive(Debug, Default)]
pub struct Keys {
    table: Shards<Entry>,
    slots: Vec<Slot>,
    free: Vec<KeyId>,
    /// Numbers that were given to keys since the last checkpoint.
    unsaved: Vec<KeyId>,
    /// Bytes of the keys' texts.
    texts: usize,
}

/// What a look-up reads: hash and text are stored together, so that it does not have to follow the slot.
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
    /// The key's number; a new key has no cell yet. `saved`: whether the next checkpoint must hold a new one.
    #[inline]
    pub fn intern(&mut self, key: HashedKey<'_>, saved: bool) -> KeyId {
        match self.find(key.hash, key.text) {
            Some(id) => id,
            None => self.add(Key::from_pushed(key.text), key.hash, saved),
        }
    }

    /// Reads where these keys are, or would be (see `Table::touch`), unless all keys fit into a cache.
    pub(crate) fn touch<'k>(&self, keys: impl Iterator<Item = HashedKey<'k>>) {
        if self.count() >= MANY {
            black_box(keys.filter(|key| self.find(key.hash, key.text).is_some()).count());
        }
    }

    #[inline]
    fn find(&self, hash: u64, text: &str) -> Option<KeyId> {
        let same = |entry: &Entry| entry.hash == hash && entry.key.as_pushed() == text;
        self.table.find(hash, same).map(|entry| entry.id)
    }

    /// The key of a number that has cells.
    pub fn get(&self, id: KeyId) -> &Key {
        self.slots[id as usize].key.as_ref().expect("a number in use has a cell of its key")
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
            self.unname(id);
            self.free.push(id);
        }
    }

    /// How many keys have cells.
    pub fn count(&self) -> usize {
        self.table.len()
    }

    /// One past the highest number in use.
    pub fn bound(&self) -> usize {
        self.slots.len()
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        let slots = self.slots.capacity() * size_of::<Slot>();
        let numbers = (self.free.capacity() + self.unsaved.capacity()) * size_of::<KeyId>();
        self.table.bytes() + slots + numbers + self.texts
    }

    fn add(&mut self, key: Key, hash: u64, saved: bool) -> KeyId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.grow(self.slots.len());
            (self.slots.len() - 1) as KeyId
        });
        self.put(id, key, hash);
        if saved {
            self.unsaved.push(id);
        }
        id
    }

    fn put(&mut self, id: KeyId, key: Key, hash: u64) {
        self.texts += text_bytes(&key);
        let slot = &mut self.slots[id as usize];
        (slot.key, slot.hash) = (Some(key.clone()), hash);
        self.table.insert(hash, Entry { hash, id, key }, |entry| entry.hash);
    }

    fn unname(&mut self, id: KeyId) {
        let slot = &mut self.slots[id as usize];
        let Some(key) = slot.key.take() else { return };
        self.texts -= text_bytes(&key);
        self.table.remove(slot.hash, |entry| entry.id == id, |entry| entry.hash);
    }

    /// Makes room for a number. By a quarter: while a list moves, it is in memory twice.
    fn grow(&mut self, id: usize) {
        let len = self.slots.len();
        if id < len {
            return;
        }
        if id >= self.slots.capacity() {
            self.slots.reserve_exact((id + 1 - len).max(len / 4).max(4));
        }
        self.slots.resize_with(id + 1, Slot::default);
    }
}

/// Into checkpoints and out of them. While a state is restored, a cell may come before the name of its key, and a
/// number may still have the name of a key that is gone.
impl Keys {
    /// The names that numbers were given since the last call, in the order of the numbers.
    pub fn take_unsaved(&mut self) -> Vec<(KeyId, Key)> {
        let mut unsaved = std::mem::take(&mut self.unsaved);
        unsaved.sort_unstable();
        unsaved.dedup();
        let named = |id| Some((id, self.slots.get(id as usize)?.key.clone()?));
        unsaved.into_iter().filter_map(named).collect()
    }

    /// The names from a number on, while there is room; where to go on, if there are more.
    pub fn walk(&self, from: KeyId, room: &mut Room, names: &mut Vec<(KeyId, Key)>) -> Option<KeyId> {
        for id in from..self.slots.len() as KeyId {
            if room.is_full() {
                return Some(id);
            }
            match &self.slots[id as usize].key {
                Some(key) => {
                    room.take(weight(key));
                    names.push((id, key.clone()));
                }
                None => room.pass(),
            }
        }
        None
    }

    /// A number has this name in the state. It has no other any more, and the name no other number.
    pub fn restore(&mut self, id: KeyId, key: Key) {
        self.grow(id as usize);
        if self.slots[id as usize].key.as_ref() == Some(&key) {
            return;
        }
        let hash = HashedKey::new(key.as_pushed()).hash;
        if let Some(other) = self.find(hash, key.as_pushed()) {
            self.unname(other);
        }
        self.unname(id);
        self.put(id, key, hash);
    }

    /// A restored cell names the key.
    pub fn restore_hold(&mut self, id: KeyId) {
        self.grow(id as usize);
        self.hold(id);
    }

    /// A restored cell is gone again. Others of its key may not have come yet, so that its number is not free.
    pub fn restore_release(&mut self, id: KeyId) {
        let slot = &mut self.slots[id as usize];
        slot.cells = slot.cells.saturating_sub(1);
    }

    /// The state is whole: the numbers without cells may be used again.
    pub fn restored(&mut self) {
        let free = (0..self.slots.len() as KeyId).filter(|&id| self.slots[id as usize].cells == 0);
        let free: Vec<KeyId> = free.collect();
        free.iter().for_each(|&id| self.unname(id));
        self.free = free;
    }
}

/// Bytes of a name in a part.
pub(super) fn weight(key: &Key) -> usize {
    size_of::<(KeyId, Key)>() + key.as_pushed().len()
}

/// Bytes of a text with its counters and the unused end of its allocation.
pub(crate) fn text_bytes(key: &Key) -> usize {
    (key.as_pushed().len() + 16).next_multiple_of(16)
}
