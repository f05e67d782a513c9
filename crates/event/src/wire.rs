//! The names that connector and processor share on Pub/Sub.

use crate::position::Partition;

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
/// Attribute: topic, incarnation, partition and offset in one, as [`id_prefix`] and the offset. Unlike Pub/Sub's own message
/// ID, it is the same for every copy of a record, so other readers can remove duplicates by this one attribute.
pub const ID: &str = "aqueduct.id";
/// Attribute: the ID of the key that made the pseudonyms.
pub const KEY_ID: &str = "aqueduct.key";
/// Attribute: the format of a message that holds something other than one JSON event. A reader that does not know the
/// format must not acknowledge the message.
pub const FORMAT: &str = "aqueduct.format";
/// The value of [`FORMAT`] for a record that was rejected and is published again. Its payload is one JSON event. A
/// processor that does not know it stops; otherwise it would take the message for a copy of the rejected one.
pub const REDRIVEN: &str = "redrive-1";
/// Attribute: the number of the redrive that published a message of the format [`REDRIVEN`].
pub const REDRIVE: &str = "aqueduct.redrive";
/// Attribute: the offsets of the records in a message that holds several.
pub const OFFSETS: &str = "aqueduct.offsets";
/// Attribute: the shard of the record's partition, see [`shard`]. Subscriptions of several readers filter by it.
pub const SHARD: &str = "aqueduct.shard";

/// The shard that a partition belongs to: a number below `shards`.
///
/// ```
/// assert_eq!(event::wire::shard(11, 8), 3);
/// ```
pub fn shard(partition: i32, shards: u32) -> u32 {
    partition.unsigned_abs() % shards.max(1)
}

/// The topic for the marks of a data topic. The subscription for marks has the same suffix.
pub fn marks(name: &str) -> String {
    format!("{name}-marks")
}

/// What all IDs of a partition's records begin with. A slash occurs neither in the name of a Kafka topic nor in an
/// incarnation, so different records have different IDs.
///
/// ```
/// use event::{Partition, wire};
///
/// let partition = Partition { topic: "events".into(), incarnation: "q2fZkNvSQh2o4lLhQ0w1Yg".into(), partition: 3 };
/// assert_eq!(wire::id_prefix(&partition) + "42", "events/q2fZkNvSQh2o4lLhQ0w1Yg/3/42");
/// ```
pub fn id_prefix(partition: &Partition) -> String {
    let Partition { topic, incarnation, partition } = partition;
    format!("{topic}/{incarnation}/{partition}/")
}
