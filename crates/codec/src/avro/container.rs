//! Avro object container files: a header with the schema, then blocks of values, each compressed and followed by a marker.

use std::{
    io::{self, BufRead, BufReader, Read},
    sync::Arc,
};

use flate2::read::DeflateDecoder;

use super::AvroSchema;
use crate::{Format, Reject, Schema, SchemaError, SchemaText};

/// The longest block, compressed and not. Writers begin a new block after some dozen kilobytes.
const MAX_BLOCK: u64 = 128 << 20;

/// The longest schema or other entry of a header.
const MAX_HEADER: u64 = 16 << 20;

/// Values without any bytes that a block may have.
const MAX_EMPTY: u64 = 1_000_000;

/// The first bytes of every container file.
pub const MAGIC: [u8; 4] = *b"Obj\x01";

/// Reads the values of a file as JSON, one after the other.
///
/// A block is read as a whole before its first value is returned. So of a file that is cut off, every value is returned
/// that the complete blocks have.
pub struct Reader<R> {
    input: Counting<BufReader<R>>,
    schema: Arc<AvroSchema>,
    compression: Compression,
    marker: [u8; 16],
    compressed: Vec<u8>,
    block: Block,
    /// The JSON of one value.
    json: Vec<u8>,
    is_finished: bool,
}

/// Why a file cannot be read on. Positions are bytes of the file.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// Reading failed.
    #[error("cannot read the file")]
    Io(#[from] io::Error),
    /// The file does not begin with `Obj` and 1.
    #[error("not an Avro object container file")]
    NotAContainer,
    /// The file ends within its header, or within a block that begins at this byte.
    #[error(
        "the file is cut off: it ends within the header or block that begins at byte {0}; restore the file, or write it again"
    )]
    CutOff(u64),
    /// The header or a block is not encoded as it should be.
    #[error("the header or block that begins at byte {0} is damaged; restore the file, or write it again")]
    Damaged(u64),
    /// A block, or a value of the header, is too long to be kept in memory.
    #[error("the header or block that begins at byte {0} is longer than {limit} MiB", limit = MAX_BLOCK >> 20)]
    TooLong(u64),
    /// The blocks are compressed by a codec that is not known.
    #[error("unknown codec {0:?} (expected null, deflate, snappy or zstandard)")]
    Codec(String),
    /// The schema in the header cannot be used.
    #[error("the schema of the file is invalid: {0}")]
    Schema(#[from] SchemaError),
    /// A value is not of the schema, so that the beginning of the next one is unknown.
    #[error("value {index} of the block that begins at byte {block} cannot be decoded: {reject}")]
    Value {
        /// The first byte of its block.
        block: u64,
        /// Its number within the block, from 0.
        index: u64,
        /// The reason, with the byte of the block after decompression.
        reject: Reject,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    Null,
    Deflate,
    Snappy,
    Zstandard,
}

/// The block whose values are being returned.
#[derive(Default)]
struct Block {
    start: u64,
    bytes: Vec<u8>,
    at: usize,
    count: u64,
    index: u64,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// If the input is not an Avro file, or one that cannot be decoded.
    pub fn new(input: R) -> Result<Self, ContainerError> {
        let mut input = Counting { inner: BufReader::with_capacity(1 << 16, input), at: 0 };
        let mut magic = [0; 4];
        match input.fill(&mut magic, 0) {
            Ok(()) if magic == MAGIC => {}
            Ok(()) | Err(ContainerError::CutOff(_)) => return Err(ContainerError::NotAContainer),
            Err(error) => return Err(error),
        }
        let (mut schema, mut compression) = (None, Compression::Null);
        input.entries(|name, value| {
            match name {
                b"avro.schema" => schema = Some(value),
                b"avro.codec" => compression = Compression::named(&value)?,
                _ => {}
            }
            Ok(())
        })?;
        let mut marker = [0; 16];
        input.fill(&mut marker, 0)?;
        let text = schema.and_then(|text| String::from_utf8(text).ok()).ok_or(ContainerError::Damaged(0))?;
        let text = SchemaText { format: Format::Avro, text, references: Vec::new(), subjects: None };
        Ok(Self {
            input,
            schema: Arc::new(AvroSchema::new(&text)?),
            compression,
            marker,
            compressed: Vec::new(),
            block: Block::default(),
            json: Vec::new(),
            is_finished: false,
        })
    }

    /// The schema in the header.
    pub fn schema(&self) -> Arc<dyn Schema> {
        Arc::<AvroSchema>::clone(&self.schema)
    }

    /// The JSON of the next value, or why it has none; `None` at the end of the file, and after an error.
    ///
    /// # Errors
    /// If the file is cut off or damaged.
    pub fn next_event(&mut self) -> Result<Option<Result<&[u8], Reject>>, ContainerError> {
        if self.is_finished {
            return Ok(None);
        }
        match self.advance() {
            Ok(Some(Ok(()))) => Ok(Some(Ok(&self.json))),
            Ok(Some(Err(reject))) => Ok(Some(Err(reject))),
            Ok(None) => {
                self.is_finished = true;
                Ok(None)
            }
            Err(error) => {
                self.is_finished = true;
                Err(error)
            }
        }
    }

    fn advance(&mut self) -> Result<Option<Result<(), Reject>>, ContainerError> {
        while self.block.index == self.block.count {
            if self.block.at < self.block.bytes.len() {
                return Err(ContainerError::Damaged(self.block.start));
            }
            if !self.next_block()? {
                return Ok(None);
            }
        }
        self.json.clear();
        let block = &mut self.block;
        let bytes = &block.bytes[block.at..];
        let (length, decoded) = match self.schema.decode_first(bytes, &mut self.json) {
            Ok(length) => (length, Ok(())),
            Err(reject) => {
                let reject = Reject { at: reject.at.map(|at| block.at + at), ..reject };
                let damaged = |_| ContainerError::Value { block: block.start, index: block.index, reject };
                (self.schema.length_of_first(bytes).map_err(damaged)?, Err(reject))
            }
        };
        block.at += length;
        block.index += 1;
        Ok(Some(decoded))
    }

    /// Reads a block; false at the end of the file.
    fn next_block(&mut self) -> Result<bool, ContainerError> {
        let start = self.input.at;
        if self.input.is_at_end()? {
            return Ok(false);
        }
        let count = self.input.length(start)?;
        let length = self.input.length(start)?;
        self.input.bytes(&mut self.compressed, length, MAX_BLOCK, start)?;
        let mut marker = [0; 16];
        self.input.fill(&mut marker, start)?;
        if marker != self.marker {
            return Err(ContainerError::Damaged(start));
        }
        let block = &mut self.block;
        self.compression.expand(&self.compressed, &mut block.bytes, start)?;
        if count > block.bytes.len() as u64 + MAX_EMPTY {
            return Err(ContainerError::Damaged(start));
        }
        (block.start, block.at, block.count, block.index) = (start, 0, count, 0);
        Ok(true)
    }
}

impl Compression {
    fn named(name: &[u8]) -> Result<Self, ContainerError> {
        match name {
            b"null" | b"" => Ok(Self::Null),
            b"deflate" => Ok(Self::Deflate),
            b"snappy" => Ok(Self::Snappy),
            b"zstandard" => Ok(Self::Zstandard),
            other => Err(ContainerError::Codec(String::from_utf8_lossy(other).into_owned())),
        }
    }

    /// Decompresses a block, which may claim any length.
    fn expand(self, compressed: &[u8], out: &mut Vec<u8>, start: u64) -> Result<(), ContainerError> {
        out.clear();
        let damaged = |_| ContainerError::Damaged(start);
        let inner: Box<dyn Read> = match self {
            Self::Null => {
                out.extend_from_slice(compressed);
                return Ok(());
            }
            Self::Snappy => return expand_snappy(compressed, out, start),
            Self::Deflate => Box::new(DeflateDecoder::new(compressed)),
            Self::Zstandard => {
                Box::new(zstd::stream::read::Decoder::with_buffer(compressed).map_err(damaged)?)
            }
        };
        inner.take(MAX_BLOCK + 1).read_to_end(out).map_err(damaged)?;
        if out.len() as u64 > MAX_BLOCK {
            return Err(ContainerError::TooLong(start));
        }
        Ok(())
    }
}

/// Snappy's raw format, which is followed by a checksum.
fn expand_snappy(compressed: &[u8], out: &mut Vec<u8>, start: u64) -> Result<(), ContainerError> {
    let damaged = || ContainerError::Damaged(start);
    let (raw, checksum) = compressed.split_last_chunk::<4>().ok_or_else(damaged)?;
    let length = snap::raw::decompress_len(raw).map_err(|_| damaged())?;
    if length as u64 > MAX_BLOCK {
        return Err(ContainerError::TooLong(start));
    }
    // Three bytes at least make 64 of the output.
    if length / 64 > raw.len() {
        return Err(damaged());
    }
    out.resize(length, 0);
    let written = snap::raw::Decoder::new().decompress(raw, out).map_err(|_| damaged())?;
    if written != length || crc32fast::hash(out) != u32::from_be_bytes(*checksum) {
        return Err(damaged());
    }
    Ok(())
}

/// An input that knows how far it was read.
struct Counting<R> {
    inner: R,
    at: u64,
}

impl<R: BufRead> Counting<R> {
    fn is_at_end(&mut self) -> Result<bool, ContainerError> {
        loop {
            match self.inner.fill_buf() {
                Ok(bytes) => return Ok(bytes.is_empty()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Exactly as many bytes as the buffer has, of a part that begins at `start`.
    fn fill(&mut self, buffer: &mut [u8], start: u64) -> Result<(), ContainerError> {
        self.inner.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ContainerError::CutOff(start),
            _ => error.into(),
        })?;
        self.at += buffer.len() as u64;
        Ok(())
    }

    /// A number of bytes, which is a claim: the buffer grows with what is there.
    fn bytes(
        &mut self,
        buffer: &mut Vec<u8>,
        length: u64,
        limit: u64,
        start: u64,
    ) -> Result<(), ContainerError> {
        if length > limit {
            return Err(ContainerError::TooLong(start));
        }
        buffer.clear();
        let read = (&mut self.inner).take(length).read_to_end(buffer)? as u64;
        self.at += read;
        if read < length { Err(ContainerError::CutOff(start)) } else { Ok(()) }
    }

    fn long(&mut self, start: u64) -> Result<i64, ContainerError> {
        let mut value = 0;
        for index in 0..10 {
            let mut byte = [0];
            self.fill(&mut byte, start)?;
            let [byte] = byte;
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(ContainerError::Damaged(start))
    }

    fn length(&mut self, start: u64) -> Result<u64, ContainerError> {
        u64::try_from(self.long(start)?).map_err(|_| ContainerError::Damaged(start))
    }

    /// The map of a header.
    fn entries(
        &mut self,
        mut take: impl FnMut(&[u8], Vec<u8>) -> Result<(), ContainerError>,
    ) -> Result<(), ContainerError> {
        loop {
            let count = self.long(0)?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                self.length(0)?;
            }
            for _ in 0..count.unsigned_abs() {
                let (mut name, mut value) = (Vec::new(), Vec::new());
                let length = self.length(0)?;
                self.bytes(&mut name, length, MAX_HEADER, 0)?;
                let length = self.length(0)?;
                self.bytes(&mut value, length, MAX_HEADER, 0)?;
                take(&name, value)?;
            }
        }
    }
}
