//! What Pub/Sub takes in one message and in one publish request; sizes are those of the protobuf encoding.
//!
//! Pure, so that batching (the connector's) and rejecting can ask before anything is sent.
//! Source: <https://cloud.google.com/pubsub/quotas#resource_limits>.

/// Messages in one publish request.
pub const MAX_MESSAGES: usize = 1_000;
/// Bytes of one publish request, everything included.
pub const MAX_REQUEST_BYTES: usize = 10_000_000;
/// Bytes of the messages in one publish request, and so of one message. The rest is the topic's path in the request:
/// `projects/`, a project, `/topics/`, a topic of at most 255 bytes, and the field's tag and length.
pub const MAX_BYTES: usize = MAX_REQUEST_BYTES - 512;
/// Attributes of one message.
pub const MAX_ATTRIBUTES: usize = 100;
/// Bytes of an attribute's name.
pub const MAX_NAME_BYTES: usize = 256;
/// Bytes of an attribute's value.
pub const MAX_VALUE_BYTES: usize = 1_024;

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

/// Whether one more message of `next_bytes` fits into a request that holds `messages` of `bytes` in all.
pub fn fits(messages: usize, bytes: usize, next_bytes: usize) -> bool {
    messages < MAX_MESSAGES && bytes + next_bytes <= MAX_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_filled_to_its_limits() {
        assert!(fits(999, 0, 10));
        assert!(!fits(1_000, 0, 10));
        assert!(fits(1, MAX_BYTES - 10, 10));
        assert!(!fits(1, MAX_BYTES - 10, 11));
    }
}
