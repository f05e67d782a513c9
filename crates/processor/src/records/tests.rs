//! Messages with one record and with many, as Pub/Sub delivers them.

use std::collections::BTreeSet;

use event::{Incarnation, Ledger, Millis, ledger::Outcome, wire};
use flow::{Flow, FlowSettings};
use proptest::prelude::*;
use pubsub::{
    Encoder, OutMessage,
    pack::{self, Compressor, PackBuilder},
};

use super::*;
use crate::{core::Core, frontier::Limits};

const NOW: EventTime = EventTime(1_700_000_000_000);

/// A core and a reader of its flow.
struct Bench {
    core: Core,
    reader: RecordReader,
}

impl Bench {
    fn new() -> Self {
        let events = serde_json::from_value(serde_json::json!({ "time": "/t" })).expect("the section");
        let flow: FlowSettings = serde_json::from_value(serde_json::json!({
            "name": "f", "by": { "page": "/p" }, "measures": { "n": { "count": {} } }, "window": { "size": "10s" },
        }))
        .expect("the flow");
        let flow = Flow::try_from(flow).expect("the flow is valid");
        let limits = Limits { idle_after: Millis(1), hole_limit: Millis(1), cold_start: Millis(1) };
        let core = Core::new(&events, vec![flow], limits, NOW);
        let reader = RecordReader::new(core.engine().reader());
        Self { core, reader }
    }

    /// Reads and applies a message; returns how many records it holds.
    fn apply(&mut self, message: &OutMessage) -> usize {
        let mut records = Records::default();
        self.reader.message(message.encoded(), &mut records).expect("a message");
        self.core.records(&records, NOW);
        records.len()
    }

    /// The ledger, and the offsets of the dead letters.
    fn outcome(mut self) -> (Ledger, Vec<u64>) {
        let mut letters: Vec<u64> =
            self.core.take_effects().dead_letters.iter().map(|letter| letter.offset).collect();
        letters.sort_unstable();
        (self.core.engine().flows()[0].ledger, letters)
    }
}

/// A message of one partition.
fn message(payload: &[u8], own: &[(&str, &str)]) -> OutMessage {
    let shared = [(wire::TOPIC, "events"), (wire::INCARNATION, "i"), (wire::PARTITION, "0")];
    let attributes = shared.into_iter().chain(own.iter().copied());
    Encoder::default().encode(payload, &pubsub::Attributes::default(), attributes).expect("within the limits")
}

fn single(offset: u64) -> OutMessage {
    let (number, time) = (offset.to_string(), NOW.0.to_string());
    message(&event(offset), &[(wire::OFFSET, &number), (wire::TIMESTAMP, &time)])
}

fn pack(offsets: &str, payload: &[u8]) -> OutMessage {
    message(payload, &[(wire::FORMAT, pack::FORMAT), (wire::OFFSETS, offsets)])
}

/// Some events have no time, which the flow rejects.
fn event(offset: u64) -> Vec<u8> {
    match offset % 7 {
        0 => format!("{{\"p\":\"{offset}\"}}").into_bytes(),
        page => format!("{{\"p\":\"{page}\",\"t\":{}}}", NOW.0 + offset as i64).into_bytes(),
    }
}

fn packed(offsets: impl Iterator<Item = u64>) -> (String, Vec<u8>) {
    let mut builder = PackBuilder::default();
    for offset in offsets {
        builder.push(offset, Some(NOW.0), (None, None), std::iter::empty(), &event(offset));
    }
    let mut compressor = Compressor::default();
    let (offsets, payload) = builder.finish(&mut compressor);
    (offsets.to_string(), payload.to_vec())
}

proptest! {
    /// However the records are cut into packs and single messages, and however often they arrive.
    #[test]
    fn each_offset_counts_once(
        cuts in prop::collection::vec((0..80_u64, 1..30_u64, any::<bool>()), 1..30),
    ) {
        let (mut bench, mut expected) = (Bench::new(), BTreeSet::new());
        for (from, length, is_single) in cuts {
            // With gaps: offsets that hold no record.
            let offsets = (from..from + length).filter(|offset| offset % 5 != 3);
            expected.extend(offsets.clone());
            if is_single {
                offsets.for_each(|offset| assert_eq!(bench.apply(&single(offset)), 1));
            } else if offsets.clone().count() > 0 {
                let (text, payload) = packed(offsets.clone());
                assert_eq!(bench.apply(&pack(&text, &payload)), offsets.count());
            }
        }
        let mut naive = Bench::new();
        for offset in expected {
            let position = Some((&Partition { topic: "events".into(), incarnation: Incarnation::from("i"), partition: 0 }, offset));
            let data = crate::core::Data { position, kafka_time: Some(NOW), publish_time: EventTime(0), payload: &event(offset) };
            naive.core.data(&data, NOW);
        }
        prop_assert_eq!(bench.outcome(), naive.outcome());
    }
}

#[test]
fn a_damaged_pack_rejects_each_of_its_offsets_once() {
    let mut bench = Bench::new();
    let (offsets, mut payload) = packed((10..20).chain(22..25));
    payload.truncate(payload.len() - 1);
    assert_eq!(bench.apply(&pack(&offsets, &payload)), 13);
    bench.apply(&pack(&offsets, &payload));
    // An intact copy that arrives later changes nothing: the first outcome counts.
    let (offsets, payload) = packed(10..26);
    bench.apply(&pack(&offsets, &payload));
    let (ledger, letters) = bench.outcome();
    let ahead = [20, 21, 25];
    let counted = ahead.iter().filter(|offset| *offset % 7 != 0).count() as u64;
    assert_eq!(ledger.get(Outcome::Counted), counted);
    assert_eq!(ledger.get(Outcome::Rejected), 16 - counted);
    let refused: Vec<u64> = (10..26).filter(|offset| !ahead.contains(offset) || offset % 7 == 0).collect();
    assert_eq!(letters, refused);
}

#[test]
fn a_pack_without_offsets_is_one_reject() {
    let mut bench = Bench::new();
    let (_, payload) = packed(0..5);
    assert_eq!(bench.apply(&pack("5,x", &payload)), 1);
    let (ledger, letters) = bench.outcome();
    assert_eq!((ledger.get(Outcome::Rejected), letters.len()), (1, 1));
}

#[test]
fn what_cannot_be_read_adds_nothing() {
    let mut bench = Bench::new();
    let mut records = Records::default();
    let newer = message(b"", &[(wire::FORMAT, "pack-2"), (wire::OFFSETS, "0,1")]);
    let unread = bench.reader.message(newer.encoded(), &mut records);
    assert_eq!(unread, Err(Unread::Newer("pack-2".to_owned())));
    let half = &newer.encoded()[..newer.encoded().len() / 2];
    assert!(matches!(bench.reader.message(half, &mut records), Err(Unread::Malformed(_))));
    assert!(records.is_empty());
}

/// Their memory goes from one reader to another, which knows other partitions.
#[test]
fn records_are_those_of_their_reader() {
    let (mut first, mut second) = (Bench::new(), Bench::new());
    let mut records = Records::default();
    first.reader.message(single(1).encoded(), &mut records).expect("a message");
    records.clear();
    let other = message(
        &event(1),
        &[(wire::TOPIC, "others"), (wire::OFFSET, "7"), (wire::TIMESTAMP, "1700000000000")],
    );
    second.reader.message(other.encoded(), &mut records).expect("a message");
    let record = records.runs().next().expect("a record");
    assert_eq!(records.partition(&record[0]).map(|partition| &*partition.topic), Some("others"));
}
