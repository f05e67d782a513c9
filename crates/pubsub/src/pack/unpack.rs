//! Reading a pack. Everything is checked before the first record is returned.

use std::ops::Range;

use prost::encoding::decode_varint;
use zstd::zstd_safe::get_frame_content_size;

use crate::limits::MAX_ATTRIBUTES;

use super::{COLUMNS, HAS_HEADERS, HAS_KEY, HAS_KEY_ID, HAS_TIMESTAMP, MAX_CONTENTS, MAX_RECORDS, Offsets};

/// The message is not a pack, or not a whole one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is not a complete pack")]
pub struct Damaged;

/// Decompresses packs; keeps its memory.
pub struct Unpacker {
    zstd: zstd::bulk::Decompressor<'static>,
    pack: Pack,
}

/// The contents of a pack, all of them checked.
#[derive(Clone, Debug, Default)]
pub struct Pack {
    contents: Vec<u8>,
    names: Vec<Range<usize>>,
    headers: Vec<(Range<usize>, Range<usize>)>,
    records: Vec<Place>,
}

/// Where the parts of a record are within the contents.
#[derive(Clone, Debug)]
struct Place {
    offset: u64,
    timestamp: Option<i64>,
    key: Option<Range<usize>>,
    key_id: Option<Range<usize>>,
    headers: Range<usize>,
    event: Range<usize>,
}

/// One record of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed<'a> {
    /// Its offset in the partition.
    pub offset: u64,
    /// Kafka's timestamp in milliseconds.
    pub timestamp: Option<i64>,
    /// Its key, if it is forwarded.
    pub key: Option<&'a str>,
    /// The ID of the key that made the pseudonyms.
    pub key_id: Option<&'a str>,
    /// The forwarded headers.
    pub headers: Vec<(&'a str, &'a str)>,
    /// The event.
    pub event: &'a [u8],
}

impl Default for Unpacker {
    fn default() -> Self {
        let zstd = zstd::bulk::Decompressor::new().expect("memory for a decompressor");
        Self { zstd, pack: Pack::default() }
    }
}

impl Unpacker {
    /// Reads the data of a message whose attributes name these offsets.
    ///
    /// # Errors
    /// It is not a pack of these offsets.
    pub fn unpack(&mut self, offsets: &Offsets, data: &[u8]) -> Result<&Pack, Damaged> {
        let Self { zstd, pack } = self;
        // What the frame claims, before any memory is taken for it.
        let size = get_frame_content_size(data).ok().flatten().ok_or(Damaged)?;
        let size = usize::try_from(size).ok().filter(|size| *size <= MAX_CONTENTS).ok_or(Damaged)?;
        pack.contents.clear();
        pack.contents.reserve(size);
        zstd.decompress_to_buffer(data, &mut pack.contents).map_err(|_| Damaged)?;
        pack.locate(offsets)?;
        Ok(pack)
    }
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacker").field("bytes", &self.pack.contents.capacity()).finish_non_exhaustive()
    }
}

impl Pack {
    /// Offset, timestamp and event of each record, in the order of their offsets.
    pub fn events(&self) -> impl ExactSizeIterator<Item = (u64, Option<i64>, &[u8])> {
        self.records.iter().map(|place| (place.offset, place.timestamp, &self.contents[place.event.clone()]))
    }

    /// The records in the order of their offsets.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Packed<'_>> {
        self.records.iter().map(|place| Packed {
            offset: place.offset,
            timestamp: place.timestamp,
            key: place.key.as_ref().map(|range| self.text(range)),
            key_id: place.key_id.as_ref().map(|range| self.text(range)),
            headers: self.headers[place.headers.clone()]
                .iter()
                .map(|(name, value)| (self.text(name), self.text(value)))
                .collect(),
            event: &self.contents[place.event.clone()],
        })
    }

    fn text(&self, range: &Range<usize>) -> &str {
        str::from_utf8(&self.contents[range.clone()]).expect("texts were checked when the pack was read")
    }

    /// Finds the parts of every record, and checks that nothing is missing and nothing is left.
    fn locate(&mut self, offsets: &Offsets) -> Result<(), Damaged> {
        let Self { contents, names, headers, records } = self;
        names.clear();
        headers.clear();
        records.clear();
        let mut head = Column { contents, at: 0, end: contents.len() };
        let count = head.number()?;
        if count != offsets.len() || count == 0 || count > MAX_RECORDS {
            return Err(Damaged);
        }
        for _ in 0..head.number()? {
            names.push(head.text()?);
        }
        let mut sizes = [0; COLUMNS];
        for size in &mut sizes {
            *size = head.size()?;
        }
        let mut next = head.at;
        let mut columns = [(); COLUMNS].map(|()| Column { contents, at: 0, end: 0 });
        for (column, size) in columns.iter_mut().zip(sizes) {
            column.at = next;
            next = next.checked_add(size).filter(|end| *end <= contents.len()).ok_or(Damaged)?;
            column.end = next;
        }
        let [mut flags, mut timestamps, mut keys, mut key_ids, mut values, mut sizes] = columns;
        let mut events = Column { contents, at: next, end: contents.len() };
        let named = |names: &[Range<usize>], number: usize| names.get(number).cloned().ok_or(Damaged);
        let mut timestamp = 0_i64;
        for offset in offsets.iter() {
            let flag = flags.bytes(1).map(|at| contents[at.start])?;
            let has = |bit: u8| flag & bit != 0;
            if flag & !(HAS_TIMESTAMP | HAS_KEY | HAS_KEY_ID | HAS_HEADERS) != 0 {
                return Err(Damaged);
            }
            if has(HAS_TIMESTAMP) {
                let zigzag = timestamps.number()?;
                let difference = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
                timestamp = timestamp.wrapping_add(difference);
            }
            let first = headers.len();
            if has(HAS_HEADERS) {
                let count = values.size()?;
                if count > MAX_ATTRIBUTES {
                    return Err(Damaged);
                }
                for _ in 0..count {
                    headers.push((named(names, values.size()?)?, values.text()?));
                }
            }
            let size = sizes.size()?;
            records.push(Place {
                offset,
                timestamp: has(HAS_TIMESTAMP).then_some(timestamp),
                key: if has(HAS_KEY) { Some(keys.text()?) } else { None },
                key_id: if has(HAS_KEY_ID) { Some(named(names, key_ids.size()?)?) } else { None },
                headers: first..headers.len(),
                event: events.bytes(size)?,
            });
        }
        let all = [flags, timestamps, keys, key_ids, values, sizes, events];
        if all.iter().all(Column::is_over) { Ok(()) } else { Err(Damaged) }
    }
}

/// A part of the contents that is read from its start to its end.
struct Column<'a> {
    contents: &'a [u8],
    at: usize,
    end: usize,
}

impl Column<'_> {
    fn is_over(&self) -> bool {
        self.at == self.end
    }

    fn number(&mut self) -> Result<u64, Damaged> {
        let mut rest = &self.contents[self.at..self.end];
        let number = decode_varint(&mut rest).map_err(|_| Damaged)?;
        self.at = self.end - rest.len();
        Ok(number)
    }

    fn size(&mut self) -> Result<usize, Damaged> {
        usize::try_from(self.number()?).map_err(|_| Damaged)
    }

    fn bytes(&mut self, size: usize) -> Result<Range<usize>, Damaged> {
        let end = self.at.checked_add(size).filter(|end| *end <= self.end).ok_or(Damaged)?;
        Ok(std::mem::replace(&mut self.at, end)..end)
    }

    fn text(&mut self) -> Result<Range<usize>, Damaged> {
        let size = self.size()?;
        let range = self.bytes(size)?;
        str::from_utf8(&self.contents[range.clone()]).map_err(|_| Damaged)?;
        Ok(range)
    }
}
