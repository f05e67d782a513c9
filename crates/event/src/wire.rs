//! The names that connector and processor share on Pub/Sub.

/// Attribute: the Kafka topic's name.
pub const TOPIC: &str = "kafka.topic";
/// Attribute: the partition's number.
pub const PARTITION: &str = "kafka.partition";
/// Attribute: the record's offset.
pub const OFFSET: &str = "kafka.offset";
/// Attribute: the record's timestamp, milliseconds since the epoch.
pub const TIMESTAMP: &str = "kafka.timestamp";
/// Attribute: the record's key, when it passes.
pub const KEY: &str = "kafka.key";
/// Attribute: the topic's incarnation.
pub const INCARNATION: &str = "aqueduct.incarnation";
/// Attribute: the id of the key that made the pseudonyms.
pub const KEY_ID: &str = "aqueduct.key";

/// The topic that carries the marks of a data topic; the same suffix makes the marks' subscription.
pub fn marks(name: &str) -> String {
    format!("{name}-marks")
}
