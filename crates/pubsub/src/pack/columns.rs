//! Writing a pack.

use std::{fmt, mem, sync::Arc};

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

/// Compresses packs. Keeps its memory, most of which would be cleared again for each pack, from one to the next.
pub struct Compressor {
    zstd: zstd::bulk::Compressor<'static>,
    contents: Vec<u8>,
    data: Vec<u8>,
}

/// The contents at which a pack is complete: beyond it, compression gains little.
const ENOUGH: usize = 1 << 20;
/// Fast compression: a higher level takes several times as long and gains nothing.
const LEVEL: i32 = 1;
/// For a pack that is complete before its time is over, as those of a backlog are: a third more bytes, in less than half the
/// time.
const BACKLOG_LEVEL: i32 = -1;
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
    pub fn finish<'c>(&mut self, compressor: &'c mut Compressor) -> (Offsets, &'c [u8]) {
        let level = if self.is_full() { BACKLOG_LEVEL } else { LEVEL };
        let contents = &mut compressor.contents;
        contents.clear();
        contents.reserve(self.contents());
        encode_varint(self.flags.len() as u64, contents);
        encode_varint(self.names.len() as u64, contents);
        for name in self.names.drain(..) {
            put_text(contents, name.as_bytes());
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
            encode_varint(column.len() as u64, contents);
        }
        for column in columns {
            contents.append(column);
        }
        contents.append(&mut self.events);
        debug_assert!(contents.len() <= MAX_CONTENTS);
        self.timestamp = 0;
        (mem::take(&mut self.offsets), compressor.compress(level))
    }
}

impl Compressor {
    /// Compresses the contents.
    fn compress(&mut self, level: i32) -> &[u8] {
        let Self { zstd, contents, data } = self;
        zstd.set_compression_level(level).expect("the level exists");
        data.clear();
        data.reserve(zstd::zstd_safe::compress_bound(contents.len()));
        zstd.compress_to_buffer(contents, data).expect("there is room for the compressed contents");
        data
    }
}

impl Default for Compressor {
    fn default() -> Self {
        let zstd = zstd::bulk::Compressor::new(LEVEL).expect("memory for a compressor");
        Self { zstd, contents: Vec::new(), data: Vec::new() }
    }
}

/// Sizes only: the contents do not belong in a log.
impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").field("bytes", &self.data.len()).finish_non_exhaustive()
    }
}

fn put_text(into: &mut Vec<u8>, text: &[u8]) {
    encode_varint(text.len() as u64, into);
    into.extend_from_slice(text);
}
