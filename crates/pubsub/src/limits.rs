//! What Pub/Sub takes in one message and in one publish request; sizes are those of the protobuf encoding.
//!
//! Pure, so that batching (the connector's) and rejecting can ask before anything is sent.
//! Source: <https://cloud.google.com/pubsub/quotas#resource_limits>.

use std::borrow::Cow;

use bytes::Bytes;

/// Messages in one publish request.
pub const MAX_MESSAGES: usize = 1_000;
/// Bytes in one publish request: Pub/Sub takes 10 MB, the rest is reserve for the topic's name and the framing.
pub const MAX_BYTES: usize = 9_000_000;
/// Attributes of one message.
pub const MAX_ATTRIBUTES: usize = 100;
/// Bytes of an attribute's name.
pub const MAX_NAME_BYTES: usize = 256;
/// Bytes of an attribute's value.
pub const MAX_VALUE_BYTES: usize = 1_024;

/// A message to be published. Cloning the data is cheap, so that the caller keeps its copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutMessage {
    /// The payload.
    pub data: Bytes,
    /// Names and values.
    pub attributes: Vec<(Cow<'static, str>, String)>,
}

/// Why Pub/Sub would refuse a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Alone it is more than a request takes.
    TooLarge,
    /// Neither data nor attributes.
    Empty,
    /// More than [`MAX_ATTRIBUTES`].
    TooManyAttributes,
    /// A name is empty, longer than [`MAX_NAME_BYTES`], or Google's own (`goog...`).
    AttributeName,
    /// A value is longer than [`MAX_VALUE_BYTES`].
    AttributeValue,
}

impl OutMessage {
    /// Bytes that this message takes in a publish request.
    pub fn wire_len(&self) -> usize {
        let attributes: usize = self
            .attributes
            .iter()
            .map(|(name, value)| {
                field_len(field_len_unless_empty(name.len()) + field_len_unless_empty(value.len()))
            })
            .sum();
        field_len(field_len_unless_empty(self.data.len()) + attributes)
    }

    /// Why Pub/Sub would refuse this message, if it would.
    pub fn violation(&self) -> Option<Violation> {
        if self.data.is_empty() && self.attributes.is_empty() {
            return Some(Violation::Empty);
        }
        if self.wire_len() > MAX_BYTES {
            return Some(Violation::TooLarge);
        }
        if self.attributes.len() > MAX_ATTRIBUTES {
            return Some(Violation::TooManyAttributes);
        }
        self.attributes.iter().find_map(|(name, value)| attribute_violation(name, value))
    }
}

fn attribute_violation(name: &str, value: &str) -> Option<Violation> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.starts_with("goog") {
        return Some(Violation::AttributeName);
    }
    (value.len() > MAX_VALUE_BYTES).then_some(Violation::AttributeValue)
}

/// Whether one more message of `next_bytes` fits into a request that holds `messages` of `bytes` in all.
pub fn fits(messages: usize, bytes: usize, next_bytes: usize) -> bool {
    messages < MAX_MESSAGES && bytes + next_bytes <= MAX_BYTES
}

/// A length-delimited protobuf field with a one-byte tag.
fn field_len(payload: usize) -> usize {
    let varint = (usize::BITS - (payload | 1).leading_zeros()).div_ceil(7) as usize;
    1 + varint + payload
}

fn field_len_unless_empty(payload: usize) -> usize {
    if payload == 0 { 0 } else { field_len(payload) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(data: usize, attributes: Vec<(Cow<'static, str>, String)>) -> OutMessage {
        OutMessage { data: Bytes::from(vec![0; data]), attributes }
    }

    fn named(name: &str, value: &str) -> OutMessage {
        message(1, vec![(name.to_owned().into(), value.to_owned())])
    }

    #[test]
    fn sizes_are_those_of_the_wire() {
        // tag, length, then data (tag, length, bytes); an attribute is a nested pair of two fields.
        assert_eq!(message(1, vec![]).wire_len(), 2 + 3);
        assert_eq!(message(200, vec![]).wire_len(), 3 + 3 + 200);
        assert_eq!(named("ab", "c").wire_len(), 2 + 3 + (2 + 4 + 3));
    }

    #[test]
    fn what_pubsub_refuses_is_known_before() {
        assert_eq!(message(1, vec![]).violation(), None);
        assert_eq!(message(0, vec![]).violation(), Some(Violation::Empty));
        assert_eq!(message(MAX_BYTES, vec![]).violation(), Some(Violation::TooLarge));
        assert_eq!(named("", "v").violation(), Some(Violation::AttributeName));
        assert_eq!(named("google", "v").violation(), Some(Violation::AttributeName));
        assert_eq!(named("n", &"v".repeat(1_025)).violation(), Some(Violation::AttributeValue));
        assert_eq!(named("n", &"v".repeat(1_024)).violation(), None);
        let many = (0..101).map(|n| (format!("a{n}").into(), String::new())).collect();
        assert_eq!(message(1, many).violation(), Some(Violation::TooManyAttributes));
    }

    #[test]
    fn a_request_is_filled_to_its_limits() {
        assert!(fits(999, 0, 10));
        assert!(!fits(1_000, 0, 10));
        assert!(fits(1, MAX_BYTES - 10, 10));
        assert!(!fits(1, MAX_BYTES - 10, 11));
    }
}
