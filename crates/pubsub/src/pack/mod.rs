//! Packs: one message for many records of one partition, in columns and compressed.
//!
//! A message alone costs Pub/Sub's overhead and the same attributes again and again; most of a pack is what differs from
//! record to record. Its attributes say which offsets it holds, so that even a damaged pack accounts for each of them by
//! name:
//!
//! | attribute | value |
//! |---|---|
//! | topic, partition, incarnation | as those of a single message ([`event::wire`]) |
//! | [`event::wire::FORMAT`] | [`FORMAT`] |
//! | [`event::wire::OFFSETS`] | the offsets: see [`Offsets`] |
//!
//! The data is a zstd frame with the size of its contents. The contents are numbers as protobuf's varints, and texts:
//!
//! 1. the number of records, then of names, then the names (length, text): headers and IDs of keys;
//! 2. the sizes of the columns in bytes, in their order;
//! 3. the columns: flags of each record (one byte: 1 if it has a timestamp, 2 a key, 4 the ID of a key, 8 headers);
//!    timestamps, as the zigzag difference from the one before; keys (length, text); IDs of keys (number of the name);
//!    headers (how many, then for each the number of its name, length, text); sizes of the events;
//! 4. the events, one after the other.
//!
//! Pure.

mod columns;

mod offsets;

mod unpack;

pub use columns::{Compressor, PackBuilder};
pub use offsets::Offsets;
pub use unpack::{Damaged, Pack, Packed, Unpacker};

/// The value of [`event::wire::FORMAT`] of a pack. It changes with the layout.
pub const FORMAT: &str = "pack-1";

/// Maximum size of the contents. A message of a few bytes can claim any size; this is the most that a reader allocates.
pub const MAX_CONTENTS: usize = 4 << 20;
/// Maximum number of records in a pack.
pub const MAX_RECORDS: u64 = 10_000;
/// Larger events travel as single messages.
pub const MAX_EVENT: usize = 256 << 10;

const HAS_TIMESTAMP: u8 = 1;
const HAS_KEY: u8 = 2;
const HAS_KEY_ID: u8 = 4;
const HAS_HEADERS: u8 = 8;
/// Columns before the events.
const COLUMNS: usize = 6;

#[cfg(test)]
mod tests;
