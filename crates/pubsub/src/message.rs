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

/// A message that is being encoded.
#[derive(Debug)]
pub struct Encoding<'e> {
    memory: &'e mut BytesMut,
    attributes: usize,
    /// The first limit that an attribute exceeds.
    violation: Option<Violation>,
}

/// Size of a block of memory. A block is freed when its last message is.
const CHUNK: usize = 128 * 1_024;
/// What the attributes of a message usually take, at most.
const SPARE: usize = 1_024;
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
    pub fn new<'a>(attributes: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, Violation> {
        let (mut encoded, mut count) = (Vec::new(), 0);
        for (name, value) in attributes {
            check(name, value.len())?;
            put_head(&mut encoded, SECOND, entry_len(name.len(), value.len()));
            put(&mut encoded, FIRST, name.as_bytes());
            put(&mut encoded, SECOND, value.as_bytes());
            count += 1;
        }
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
        own: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<OutMessage, Violation> {
        let mut message = self.begin(data, shared);
        own.for_each(|(name, value)| message.attribute(name, &[value]));
        message.finish("")
    }

    /// Begins a message with shared attributes.
    pub fn begin(&mut self, data: &[u8], shared: &Attributes) -> Encoding<'_> {
        if data.len() > MAX_BYTES {
            let violation = Some(Violation::TooLarge);
            return Encoding { memory: &mut self.memory, attributes: 0, violation };
        }
        // More attributes than that are copied with the message into a larger block.
        let length = data.len() + shared.encoded.len() + SPARE;
        if self.memory.capacity() < length {
            // Not `reserve`, which would wait until the other messages are gone, and copy.
            self.memory = BytesMut::with_capacity(CHUNK.max(length));
        }
        put(&mut self.memory, FIRST, data);
        self.memory.put_slice(&shared.encoded);
        Encoding { memory: &mut self.memory, attributes: shared.count, violation: None }
    }
}

impl Encoding<'_> {
    /// Adds an attribute. Its value is the concatenation of these parts.
    #[inline]
    pub fn attribute(&mut self, name: &str, value: &[&str]) {
        let length = value.iter().map(|part| part.len()).sum();
        if let Err(violation) = check(name, length) {
            self.violation.get_or_insert(violation);
            return;
        }
        self.attributes += 1;
        put_head(self.memory, SECOND, entry_len(name.len(), length));
        put(self.memory, FIRST, name.as_bytes());
        if length > 0 {
            put_head(self.memory, SECOND, length);
            value.iter().for_each(|part| self.memory.put_slice(part.as_bytes()));
        }
    }

    /// Ends the message. With an ordering key, unless that is empty; Pub/Sub accepts only one key in a request.
    ///
    /// # Errors
    /// The limit of Pub/Sub that the message exceeds.
    pub fn finish(self, ordering_key: &str) -> Result<OutMessage, Violation> {
        if ordering_key.len() <= MAX_KEY_BYTES {
            put(self.memory, ORDERING_KEY, ordering_key.as_bytes());
        }
        let violation = if ordering_key.len() > MAX_KEY_BYTES {
            Some(Violation::OrderingKey)
        } else if self.violation.is_some() {
            self.violation
        } else if self.memory.is_empty() {
            Some(Violation::Empty)
        } else if field_len(self.memory.len()) > MAX_BYTES {
            Some(Violation::TooLarge)
        } else if self.attributes > MAX_ATTRIBUTES {
            Some(Violation::TooManyAttributes)
        } else {
            None
        };
        match violation {
            None => Ok(OutMessage(self.memory.split().freeze())),
            Some(violation) => Err(violation),
        }
    }
}

/// An abandoned message leaves nothing.
impl Drop for Encoding<'_> {
    fn drop(&mut self) {
        self.memory.clear();
    }
}

/// Whether Pub/Sub accepts the attribute, by its name and the length of its value.
fn check(name: &str, value: usize) -> Result<(), Violation> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.starts_with("goog") {
        return Err(Violation::AttributeName);
    }
    if value > MAX_VALUE_BYTES { Err(Violation::AttributeValue) } else { Ok(()) }
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

fn entry_len(name: usize, value: usize) -> usize {
    field_len_unless_empty(name) + field_len_unless_empty(value)
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
                    let mut encoding = encoder.begin(data, &shared);
                    own.for_each(|(name, value)| {
                        let (one, other) = value.split_at(value.len() / 4 * 2);
                        encoding.attribute(name, &[one, "", other]);
                    });
                    let message = encoding.finish(ordering_key).expect("within the limits");
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
        let ordered = |key: &str| Encoder::default().begin(b"x", &none).finish(key).err();
        assert_eq!(ordered(&"k".repeat(1_024)), None);
        assert_eq!(ordered(&"k".repeat(1_025)), Some(Violation::OrderingKey));
        let shared = Attributes::new([("n", "v"); 60].into_iter()).expect("within the limits");
        let encode =
            |own| Encoder::default().encode(b"x", &shared, [("m", "v")].into_iter().cycle().take(own));
        assert_eq!(encode(40).err(), None);
        assert_eq!(encode(41).err(), Some(Violation::TooManyAttributes));
    }
}
