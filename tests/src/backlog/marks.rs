//! The marks that the connector would have published: rejected offsets, its position, and the log end.

use serde_json::{Value, json};

use super::{Record, Shape, message::INCARNATION};

/// The mark at one time, for the records between two counts.
pub fn mark(shape: &Shape, sequence: u64, time: i64, covered: u64, written: u64) -> Value {
    let refused: Vec<Record> = shape.refused(covered, written).collect();
    let entry = |partition: u64| {
        let end = shape.end_of(partition, written);
        let of_partition = refused.iter().filter(|record| record.partition == partition);
        let ranges: Vec<Value> = of_partition
            .map(|record| {
                json!({"from": record.offset, "to": record.offset + 1, "reason": "rejected:not-json"})
            })
            .collect();
        json!({
            "topic": shape.topic, "incarnation": INCARNATION, "partition": partition, "ranges": ranges,
            "position": end, "committed": end, "end": {"offset": end, "asked_at": time},
        })
    };
    json!({
        "version": 1, "replica": "backlog", "sequence": sequence,
        "partitions": (0..shape.partitions).map(entry).collect::<Vec<_>>(),
        "topics": [{
            "topic": shape.topic, "incarnation": INCARNATION, "partitions": shape.partitions, "asked_at": time,
        }],
    })
}
