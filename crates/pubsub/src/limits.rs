//! The limits of Pub/Sub for one message and one publish request. Sizes are those of the protobuf encoding, in bytes.
//!
//! Pure, so that the connector can fill batches and reject messages before it sends anything. Source:
//! <https://cloud.google.com/pubsub/quotas#resource_limits>.

/// Maximum number of messages in a publish request.
pub const MAX_MESSAGES: usize = 1_000;
/// Maximum size of a publish request, including everything.
pub const MAX_REQUEST_BYTES: usize = 10_000_000;
/// Maximum total size of the messages in a publish request, and so of one message. The rest is reserved for the
/// topic's path: `projects/`, a project, `/topics/`, a topic of at most 255 bytes, and the field's tag and length.
pub const MAX_BYTES: usize = MAX_REQUEST_BYTES - 512;
/// Maximum number of attributes of a message.
pub const MAX_ATTRIBUTES: usize = 100;
/// Maximum size of the name of an attribute.
pub const MAX_NAME_BYTES: usize = 256;
/// Maximum size of the value of an attribute.
pub const MAX_VALUE_BYTES: usize = 1_024;
/// Maximum size of an ordering key.
pub const MAX_KEY_BYTES: usize = 1_024;
/// Maximum size of the messages with one ordering key, in bytes per second.
pub const MAX_KEY_RATE: u64 = 1_000_000;

/// Why Pub/Sub would refuse a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// It exceeds the size of a request even when it is alone.
    TooLarge,
    /// It has neither data nor attributes.
    Empty,
    /// It has more than [`MAX_ATTRIBUTES`] attributes.
    TooManyAttributes,
    /// The name of an attribute is empty, longer than [`MAX_NAME_BYTES`], or reserved by Google (`goog...`).
    AttributeName,
    /// The value of an attribute is longer than [`MAX_VALUE_BYTES`].
    AttributeValue,
    /// The ordering key is longer than [`MAX_KEY_BYTES`].
    OrderingKey,
}

/// Whether a message of `next_bytes` fits into a request that has `messages` messages of `bytes` in total.
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
