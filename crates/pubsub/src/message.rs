//! Messages encoded as they are in a publish request: written once and never changed.
//!
//! The fields are those of `google.pubsub.v1.PubsubMessage`: `data` is 1, `attributes` is 2, a map whose entries have
//! the key as 1 and the value as 2; `ordering_key` is 5. They are encoded by hand, because the generated types keep every attribute as two
//! strings in a hash map: creating, hashing, copying and freeing those took a quarter of the connector's time. See
//! [`crate::publisher`] for the request.

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use crate::limits::{MAX_ATTRIBUTES, MAX_BYTES, MAX_KEY_BYTES, MAX_NAME_BYTES, MAX_VALUE_BYTES, Violation};

/// A message within Pub/Sub's limits, encoded. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutMessage(Bytes);

/// Attributes that many messages share, encoded once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    encoded: Vec<u8>,
    count: usize,
}

/// Encodes messages into shared blocks of memory.
#[derive(Debug, Default)]
pub struct Encoder {
    memory: BytesMut,
}

/// Size of a block of memory. A block is freed when its last message is.
const CHUNK: usize = 128 * 1_024;
/// Field numbers: of a message's data and attributes, and of an attribute's name and value.
const FIRST: u32 = 1;
const SECOND: u32 = 2;
/// Field number of a message's ordering key.
const ORDERING_KEY: u32 = 5;

impl OutMessage {
    /// Size of this message in a publish request, in bytes.
    pub fn wire_len(&self) -> usize {
        field_len(self.0.len())
    }

    /// The encoded `PubsubMessage`.
    pub fn encoded(&self) -> &Bytes {
        &self.0
    }
}

impl Attributes {
    /// Encodes attributes.
    ///
    /// # Errors
    /// The limit that a message with these attributes would exceed.
    pub fn new<'a>(attributes: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Result<Self, Violation> {
        let (count, length) = measure(attributes.clone())?;
        let mut encoded = Vec::with_capacity(length);
        put_attributes(&mut encoded, attributes);
        Ok(Self { encoded, count })
    }
}

impl Encoder {
    /// Encodes a message with shared attributes and attributes of its own.
    ///
    /// # Errors
    /// The limit of Pub/Sub that the message exceeds.
    pub fn encode<'a>(
        &mut self,
        data: &[u8],
        shared: &Attributes,
        own: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Result<OutMessage, Violation> {
        self.encode_ordered(data, shared, own, "")
    }

    /// As [`Self::encode`], with an ordering key; an empty one is none. Pub/Sub accepts only one key in a request.
    ///
    /// # Errors
    /// The limit of Pub/Sub that the message exceeds.
    pub fn encode_ordered<'a>(
        &mut self,
        data: &[u8],
        shared: &Attributes,
        own: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        ordering_key: &str,
    ) -> Result<OutMessage, Violation> {
        if ordering_key.len() > MAX_KEY_BYTES {
            return Err(Violation::OrderingKey);
        }
        let (count, entries) = measure(own.clone())?;
        let length = field_len_unless_empty(data.len())
            + shared.encoded.len()
            + entries
            + field_len_unless_empty(ordering_key.len());
        if length == 0 {
            return Err(Violation::Empty);
        }
        if field_len(length) > MAX_BYTES {
            return Err(Violation::TooLarge);
        }
        if shared.count + count > MAX_ATTRIBUTES {
            return Err(Violation::TooManyAttributes);
        }
        if self.memory.capacity() < length {
            // Not `reserve`, which would wait until the other messages are gone, and copy.
            self.memory = BytesMut::with_capacity(CHUNK.max(length));
        }
        put(&mut self.memory, FIRST, data);
        self.memory.put_slice(&shared.encoded);
        put_attributes(&mut self.memory, own);
        put(&mut self.memory, ORDERING_KEY, ordering_key.as_bytes());
        Ok(OutMessage(self.memory.split().freeze()))
    }
}

/// The number of attributes, and their encoded size in bytes.
fn measure<'a>(attributes: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(usize, usize), Violation> {
    let (mut count, mut length) = (0, 0);
    for (name, value) in attributes {
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.starts_with("goog") {
            return Err(Violation::AttributeName);
        }
        if value.len() > MAX_VALUE_BYTES {
            return Err(Violation::AttributeValue);
        }
        count += 1;
        length += field_len(entry_len(name, value));
    }
    Ok((count, length))
}

fn put_attributes<'a>(into: &mut impl BufMut, attributes: impl Iterator<Item = (&'a str, &'a str)>) {
    for (name, value) in attributes {
        put_head(into, SECOND, entry_len(name, value));
        put(into, FIRST, name.as_bytes());
        put(into, SECOND, value.as_bytes());
    }
}

/// Writes a field; protobuf omits empty ones.
fn put(into: &mut impl BufMut, tag: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_head(into, tag, bytes.len());
        into.put_slice(bytes);
    }
}

/// Writes the tag and the length of a field. Most lengths are short, and take one byte.
fn put_head(into: &mut impl BufMut, tag: u32, length: usize) {
    if length < 128 {
        into.put_slice(&[(tag << 3) as u8 | WireType::LengthDelimited as u8, length as u8]);
    } else {
        encode_key(tag, WireType::LengthDelimited, into);
        encode_varint(length as u64, into);
    }
}

fn entry_len(name: &str, value: &str) -> usize {
    field_len_unless_empty(name.len()) + field_len_unless_empty(value.len())
}

fn field_len(payload: usize) -> usize {
    key_len(SECOND) + encoded_len_varint(payload as u64) + payload
}

fn field_len_unless_empty(payload: usize) -> usize {
    if payload == 0 { 0 } else { field_len(payload) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use prost::Message as _;

    use super::*;

    /// `PubsubMessage`, as a protobuf library decodes it.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Read {
        #[prost(bytes = "vec", tag = "1")]
        data: Vec<u8>,
        #[prost(map = "string, string", tag = "2")]
        attributes: HashMap<String, String>,
        #[prost(string, tag = "5")]
        ordering_key: String,
    }

    fn encode(data: &[u8], attributes: &[(&str, &str)]) -> Result<OutMessage, Violation> {
        Encoder::default().encode(data, &Attributes::default(), attributes.iter().copied())
    }

    #[test]
    fn a_protobuf_library_reads_what_was_written() {
        let mut encoder = Encoder::default();
        let long = "v".repeat(1_024);
        for data in [&b""[..], b"x", &[7; 300], &[9; 200_000]] {
            for attributes in [&[("a", "1"), ("name", ""), ("long", &*long)][..], &[("ü", "ß")]] {
                let (shared, own) = attributes.split_at(1);
                let shared = Attributes::new(shared.iter().copied()).expect("within the limits");
                for ordering_key in ["", "k", &*long] {
                    let own = own.iter().copied();
                    let message = encoder.encode_ordered(data, &shared, own, ordering_key);
                    let message = message.expect("within the limits");
                    let read = Read::decode(message.encoded().clone()).expect("protobuf");
                    let text = |text: &str| text.to_owned();
                    let expected = Read {
                        data: data.to_vec(),
                        attributes: attributes.iter().map(|(n, v)| (text(n), text(v))).collect(),
                        ordering_key: text(ordering_key),
                    };
                    assert_eq!(message.encoded().len(), expected.encoded_len());
                    assert_eq!(read, expected);
                }
            }
        }
    }

    #[test]
    fn sizes_match_the_wire_format() {
        // Tag, length, then data (tag, length, bytes); an attribute is a nested pair of two fields.
        let len = |data: usize, attributes: &[(&str, &str)]| {
            encode(&vec![1; data], attributes).expect("within the limits").wire_len()
        };
        assert_eq!(len(1, &[]), 2 + 3);
        assert_eq!(len(200, &[]), 3 + 3 + 200);
        assert_eq!(len(1, &[("ab", "c")]), 2 + 3 + (2 + 4 + 3));
    }

    #[test]
    fn invalid_messages_are_rejected_before_publishing() {
        let refused = |data: usize, attributes: &[(&str, &str)]| encode(&vec![0; data], attributes).err();
        assert_eq!(refused(1, &[]), None);
        assert_eq!(refused(0, &[]), Some(Violation::Empty));
        assert_eq!(refused(MAX_BYTES, &[]), Some(Violation::TooLarge));
        assert_eq!(refused(1, &[("", "v")]), Some(Violation::AttributeName));
        assert_eq!(refused(1, &[("google", "v")]), Some(Violation::AttributeName));
        assert_eq!(refused(1, &[("n", &"v".repeat(1_025))]), Some(Violation::AttributeValue));
        assert_eq!(refused(1, &[("n", &"v".repeat(1_024))]), None);
        assert_eq!(refused(1, &[("n", "v"); 101]), Some(Violation::TooManyAttributes));
        let none = Attributes::default();
        let ordered =
            |key: &str| Encoder::default().encode_ordered(b"x", &none, std::iter::empty(), key).err();
        assert_eq!(ordered(&"k".repeat(1_024)), None);
        assert_eq!(ordered(&"k".repeat(1_025)), Some(Violation::OrderingKey));
        let shared = Attributes::new([("n", "v"); 60].into_iter()).expect("within the limits");
        let encode =
            |own| Encoder::default().encode(b"x", &shared, [("m", "v")].into_iter().cycle().take(own));
        assert_eq!(encode(40).err(), None);
        assert_eq!(encode(41).err(), Some(Violation::TooManyAttributes));
    }
}
