//! The bytes of one checkpoint: a header with its own checksum, then the compressed payload.
//!
//! Numbers are little-endian. Every version begins with the magic and the version, so that an older program can report
//! that the state is newer.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `AQUEDUCT` |
//! | 2 | version, of this layout and of the payload |
//! | 1 + 1 | 0 (in version 2 the kind: 0 base, 1 delta), 0 |
//! | 8 | number, as in the object's name |
//! | 8 | number of the checkpoint before it, 0 for none |
//! | 8 | base: number of the checkpoint where reading starts, possibly its own; 0 for all |
//! | 16 | writer: drawn at random at each start |
//! | 8 + 8 | length of the payload, and of the body that follows |
//! | 4 | CRC-32 of the payload |
//! | 4 | CRC-32 of the header up to here |
//! | | body: the payload, zstd |

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use object_store::PutPayload;

/// The version that is written. Increase it when the payload changes: readers receive older payloads with their
/// version, and refuse newer ones.
pub const FORMAT: u16 = 4;

const MAGIC: &[u8; 8] = b"AQUEDUCT";
const HEADER: usize = 76;
/// Checkpoints are written at most twice a second and are mostly small, so speed matters more than size.
const COMPRESSION: i32 = 1;

/// Which part of a round a checkpoint contains. A round is a full copy of the state in parts, one in each checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Whether it is the first part of a round.
    pub first: bool,
    /// Whether it is the last part of a round.
    pub last: bool,
}

impl Part {
    /// The whole copy in one part.
    pub fn whole() -> Self {
        Self { first: true, last: true }
    }
}

/// Identifies one start of a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Writer([u8; 16]);

/// Means no checkpoint: the first number is 1.
pub(super) const NONE: u64 = 0;

/// Everything about a checkpoint except its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u16,
    pub(super) number: u64,
    pub(super) previous: u64,
    pub(super) base: u64,
    pub(super) writer: Writer,
}

/// A whole checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) header: Header,
    pub(super) payload: Bytes,
}

/// Why bytes are not a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Truncated, altered, or something else altogether.
    Torn,
    /// Written by a newer program, with this version.
    Newer(u16),
}

impl Writer {
    pub(super) fn draw() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system has random numbers");
        Self(bytes)
    }

    /// As hexadecimal text for a file name.
    pub(super) fn hex(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Encodes the object in two parts, so that the body is not copied.
pub(super) fn encode(header: &Header, payload: &[u8]) -> io::Result<PutPayload> {
    let body = zstd::bulk::compress(payload, COMPRESSION)?;
    let mut bytes = BytesMut::with_capacity(HEADER);
    bytes.put_slice(MAGIC);
    bytes.put_u16_le(header.version);
    bytes.put_u16_le(0);
    bytes.put_u64_le(header.number);
    bytes.put_u64_le(header.previous);
    bytes.put_u64_le(header.base);
    bytes.put_slice(&header.writer.0);
    bytes.put_u64_le(payload.len() as u64);
    bytes.put_u64_le(body.len() as u64);
    bytes.put_u32_le(crc32fast::hash(payload));
    let checksum = crc32fast::hash(&bytes);
    bytes.put_u32_le(checksum);
    Ok([bytes.freeze(), Bytes::from(body)].into_iter().collect())
}

/// Decodes the checkpoint in the bytes of object `number`.
pub(super) fn decode(number: u64, bytes: &[u8]) -> Result<Object, Unreadable> {
    let known = bytes.strip_prefix(MAGIC).ok_or(Unreadable::Torn)?;
    let version = known.first_chunk().map(|version| u16::from_le_bytes(*version)).ok_or(Unreadable::Torn)?;
    if version > FORMAT {
        return Err(Unreadable::Newer(version));
    }
    let (head, body) = bytes.split_at_checked(HEADER).ok_or(Unreadable::Torn)?;
    let (covered, checksum) = head.split_at(HEADER - 4);
    if checksum != crc32fast::hash(covered).to_le_bytes() {
        return Err(Unreadable::Torn);
    }
    let mut rest = &covered[MAGIC.len() + 2..];
    // Recovery finds the kind from the base, in version 2 as well.
    if rest.get_u16_le() > 1 {
        return Err(Unreadable::Torn);
    }
    let header = Header {
        version,
        number: rest.get_u64_le(),
        previous: rest.get_u64_le(),
        base: rest.get_u64_le(),
        writer: Writer(rest.get_u128().to_be_bytes()),
    };
    let (payload_len, body_len, payload_crc) = (rest.get_u64_le(), rest.get_u64_le(), rest.get_u32_le());
    if header.number != number || body_len != body.len() as u64 {
        return Err(Unreadable::Torn);
    }
    let payload = decompress(body, payload_len).ok_or(Unreadable::Torn)?;
    if payload_crc != crc32fast::hash(&payload) {
        return Err(Unreadable::Torn);
    }
    Ok(Object { header, payload: payload.into() })
}

fn decompress(body: &[u8], length: u64) -> Option<Vec<u8>> {
    let payload = zstd::bulk::decompress(body, usize::try_from(length).ok()?).ok()?;
    (payload.len() as u64 == length).then_some(payload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(version: u16) -> Header {
        Header { version, number: 7, previous: 6, base: 3, writer: Writer::draw() }
    }

    fn bytes(header: &Header, payload: &[u8]) -> Vec<u8> {
        Bytes::from(encode(header, payload).expect("it compresses")).to_vec()
    }

    #[test]
    fn versions_are_told_apart() {
        let older = header(0);
        assert_eq!(decode(7, &bytes(&older, b"x")).map(|object| object.header), Ok(older));
        let newer = bytes(&header(FORMAT + 1), b"x");
        assert_eq!(decode(7, &newer), Err(Unreadable::Newer(FORMAT + 1)));
        assert_eq!(decode(7, &newer[..10]), Err(Unreadable::Newer(FORMAT + 1)), "whatever its layout");
    }

    #[test]
    fn another_object_under_this_name_is_not_this_checkpoint() {
        assert_eq!(decode(8, &bytes(&header(FORMAT), b"x")), Err(Unreadable::Torn));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(payload in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let header = header(FORMAT);
            let object = decode(7, &bytes(&header, &payload)).expect("it is whole");
            prop_assert_eq!(object, Object { header, payload: payload.into() });
        }

        #[test]
        fn no_prefix_and_no_altered_byte_is_taken_for_whole(
            payload in prop::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), bit in 0..8_u32,
        ) {
            let header = header(FORMAT);
            let whole = bytes(&header, &payload);
            prop_assert_eq!(decode(7, &whole[..at.index(whole.len())]), Err(Unreadable::Torn));
            let mut altered = whole.clone();
            altered[at.index(whole.len())] ^= 1_u8 << bit;
            // A flipped bit may make the version a newer one, or leave the content unchanged in zstd's unused bits.
            match decode(7, &altered) {
                Ok(object) => prop_assert_eq!(object, Object { header, payload: payload.into() }),
                Err(Unreadable::Newer(_)) => prop_assert!((8..10).contains(&at.index(whole.len()))),
                Err(Unreadable::Torn) => {}
            }
        }

        #[test]
        fn nonsense_is_torn(nonsense in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decode(7, &nonsense), Err(Unreadable::Torn));
        }
    }
}
