//! The names that connector and processor share on Pub/Sub.

/// Attribute: the Kafka topic's name.
pub const TOPIC: &str = "kafka.topic";
/// Attribute: the partition's number.
pub const PARTITION: &str = "kafka.partition";
/// Attribute: the record's offset.
pub const OFFSET: &str = "kafka.offset";
/// Attribute: the record's timestamp, milliseconds since the epoch.
pub const TIMESTAMP: &str = "kafka.timestamp";
/// Attribute: the record's key, if it is forwarded.
pub const KEY: &str = "kafka.key";
/// Attribute: the topic's incarnation.
pub const INCARNATION: &str = "aqueduct.incarnation";
/// Attribute: the ID of the key that made the pseudonyms.
pub const KEY_ID: &str = "aqueduct.key";
/// Attribute: the format of a message that holds something other than one JSON event. A reader that does not know the
/// format must not acknowledge the message. No format is in use yet.
pub const FORMAT: &str = "aqueduct.format";

/// The topic for the marks of a data topic. The subscription for marks has the same suffix.
pub fn marks(name: &str) -> String {
    format!("{name}-marks")
}
