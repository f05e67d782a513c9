//! Messages of earlier releases are still read: a subscription keeps messages for days, and connectors and processors
//! are not upgraded at the same time. `tests/data/capture.py` creates the data of a release.

use std::collections::{BTreeMap, BTreeSet};

use event::{
    Mark,
    json::{Scanner, Token},
    mark::Reason,
    pick::{Picker, Scratch, Value},
    wire,
};
use serde::Deserialize;

const MARKS: &str = include_str!("data/0.1.0/marks.ndjson");
const MESSAGES: &str = include_str!("data/0.1.0/messages.ndjson");

/// A data message as `capture.py` stores it.
#[derive(Deserialize)]
struct Message {
    attributes: BTreeMap<String, String>,
    data: String,
}

fn marks() -> Vec<Mark> {
    MARKS.lines().map(|line| Mark::from_json(line.as_bytes()).expect("a mark")).collect()
}

fn messages() -> Vec<Message> {
    MESSAGES.lines().map(|line| serde_json::from_str(line).expect("a stored message")).collect()
}

/// The partition and the offset of a message.
fn place(message: &Message) -> (i32, u64) {
    let attribute = |name: &str| &message.attributes[name];
    let partition = attribute(wire::PARTITION).parse().expect("a partition");
    (partition, attribute(wire::OFFSET).parse().expect("an offset"))
}

#[test]
fn marks_of_0_1_0_are_read() {
    for (line, mark) in MARKS.lines().zip(marks()) {
        assert_eq!(mark.version, 1);
        // Nothing of it is lost.
        assert_eq!(String::from_utf8(mark.to_json()).expect("JSON"), line);
    }
    let mut reasons = BTreeMap::new();
    for (reason, offsets) in marks().iter().flat_map(Mark::counts) {
        *reasons.entry(reason).or_insert(0) += offsets;
    }
    assert_eq!(reasons.remove(&Reason::Before), Some(7));
    assert!(reasons.keys().all(|reason| matches!(reason, Reason::Rejected(_))), "{reasons:?}");
    assert!(reasons.contains_key(&Reason::Rejected("not-json".to_owned())), "{reasons:?}");
    let pointers: BTreeSet<String> = marks()
        .into_iter()
        .flat_map(|mark| mark.partitions)
        .flat_map(|partition| partition.ranges)
        .filter_map(|range| range.pointer)
        .collect();
    assert_eq!(pointers, BTreeSet::from(["/user_id".to_owned()]));
}

#[test]
fn messages_of_0_1_0_are_read() {
    let picker = Picker::new(&["/user_id".parse().expect("a pointer")]);
    let mut scratch = Scratch::default();
    for Message { attributes, data } in messages() {
        let names: Vec<&str> = attributes.keys().map(String::as_str).collect();
        let every =
            [wire::TOPIC, wire::PARTITION, wire::OFFSET, wire::TIMESTAMP, wire::INCARNATION, wire::KEY_ID];
        assert!(every.iter().all(|name| attributes.contains_key(*name)), "{names:?}");
        assert_eq!(attributes[wire::INCARNATION].len(), 22);
        let mut picked = Vec::new();
        picker.pick(data.as_bytes(), &mut scratch, &mut picked).expect("a JSON object");
        // A pseudonym, in the event and in the key.
        if let Value::Text(id) = &picked[0] {
            assert_eq!(id.len(), 22);
            assert_eq!(attributes.get(wire::KEY).map_or(22, String::len), 22);
        }
        let mut scanner = Scanner::object(data.as_bytes()).expect("a JSON object");
        scanner.skip(Token::Object).expect("JSON");
    }
}

#[test]
fn offsets_of_0_1_0_are_accounted_for() {
    let mut offsets: Vec<(i32, u64)> = messages().iter().map(place).collect();
    for partition in marks().iter().flat_map(|mark| &mark.partitions) {
        let number = partition.partition.partition;
        offsets.extend(partition.ranges.iter().flat_map(|range| range.offsets()).map(|at| (number, at)));
    }
    offsets.sort_unstable();
    for number in 0..2 {
        let of_partition: Vec<u64> =
            offsets.iter().filter(|(partition, _)| *partition == number).map(|(_, at)| *at).collect();
        let expected: Vec<u64> = (0..of_partition.len() as u64).collect();
        assert_eq!(of_partition, expected, "partition {number}");
    }
    assert_eq!(offsets.len(), 47);
}
