//! Writing a pack.

use std::sync::Arc;

use prost::encoding::encode_varint;

use super::{COLUMNS, HAS_HEADERS, HAS_KEY, HAS_KEY_ID, HAS_TIMESTAMP, MAX_CONTENTS, MAX_RECORDS, Offsets};

/// Collects the records of one partition in columns.
#[derive(Clone, Debug, Default)]
pub struct PackBuilder {
    offsets: Offsets,
    names: Vec<Arc<str>>,
    flags: Vec<u8>,
    timestamps: Vec<u8>,
    keys: Vec<u8>,
    key_ids: Vec<u8>,
    headers: Vec<u8>,
    sizes: Vec<u8>,
    events: Vec<u8>,
    timestamp: i64,
}

/// The contents at which a pack is complete: beyond it, compression gains little.
const ENOUGH: usize = 1 << 20;
/// Fast compression: a higher level takes several times as long and gains a tenth.
const LEVEL: i32 = 1;
/// More than what a record adds to the columns beside its texts: at most six varints of ten bytes and a flag.
const OVERHEAD: usize = 64;

impl PackBuilder {
    /// Whether the pack has to be finished before another record is added.
    pub fn is_full(&self) -> bool {
        self.contents() >= ENOUGH || self.offsets.is_full() || self.flags.len() as u64 >= MAX_RECORDS
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.flags.is_empty()
    }

    /// An upper bound of the size of the contents; 0 without records.
    pub fn contents(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        let names: usize = self.names.iter().map(|name| name.len() + OVERHEAD).sum();
        let columns = [&self.timestamps, &self.keys, &self.key_ids, &self.headers, &self.sizes, &self.events];
        OVERHEAD + names + self.flags.len() + columns.map(Vec::len).iter().sum::<usize>()
    }

    /// Adds a record. Its offset is above all others of the pack.
    pub fn push<'a>(
        &mut self,
        offset: u64,
        timestamp: Option<i64>,
        (key, key_id): (Option<&str>, Option<&Arc<str>>),
        headers: impl ExactSizeIterator<Item = (&'a Arc<str>, &'a str)>,
        event: &[u8],
    ) {
        self.offsets.push(offset);
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        self.flags.push(
            flag(timestamp.is_some(), HAS_TIMESTAMP)
                | flag(key.is_some(), HAS_KEY)
                | flag(key_id.is_some(), HAS_KEY_ID)
                | flag(headers.len() > 0, HAS_HEADERS),
        );
        if let Some(timestamp) = timestamp {
            let difference = timestamp.wrapping_sub(self.timestamp);
            encode_varint(((difference << 1) ^ (difference >> 63)).cast_unsigned(), &mut self.timestamps);
            self.timestamp = timestamp;
        }
        if let Some(key) = key {
            put_text(&mut self.keys, key.as_bytes());
        }
        if let Some(id) = key_id {
            let name = self.name(id);
            encode_varint(name, &mut self.key_ids);
        }
        if headers.len() > 0 {
            encode_varint(headers.len() as u64, &mut self.headers);
            for (name, value) in headers {
                let name = self.name(name);
                encode_varint(name, &mut self.headers);
                put_text(&mut self.headers, value.as_bytes());
            }
        }
        encode_varint(event.len() as u64, &mut self.sizes);
        self.events.extend_from_slice(event);
    }

    /// The number of a name. There are few: forwarded headers, and the keys of a keyring.
    fn name(&mut self, name: &Arc<str>) -> u64 {
        let known = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(Arc::clone(name));
            self.names.len() - 1
        });
        known as u64
    }

    /// The offsets and the data of the message. Empties the builder, and keeps its memory.
    pub fn finish(&mut self) -> (Offsets, Vec<u8>) {
        let mut contents = Vec::with_capacity(self.contents());
        encode_varint(self.flags.len() as u64, &mut contents);
        encode_varint(self.names.len() as u64, &mut contents);
        for name in self.names.drain(..) {
            put_text(&mut contents, name.as_bytes());
        }
        let columns: [&mut Vec<u8>; COLUMNS] = [
            &mut self.flags,
            &mut self.timestamps,
            &mut self.keys,
            &mut self.key_ids,
            &mut self.headers,
            &mut self.sizes,
        ];
        for column in &columns {
            encode_varint(column.len() as u64, &mut contents);
        }
        for column in columns {
            contents.append(column);
        }
        contents.append(&mut self.events);
        debug_assert!(contents.len() <= MAX_CONTENTS);
        self.timestamp = 0;
        let data = zstd::bulk::compress(&contents, LEVEL).expect("memory for the compressed contents");
        (std::mem::take(&mut self.offsets), data)
    }
}

fn put_text(into: &mut Vec<u8>, text: &[u8]) {
    encode_varint(text.len() as u64, into);
    into.extend_from_slice(text);
}
