//! Records in Kafka in all forms: compressed, in transactions, too large for Pub/Sub, written by `generate`.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result};
use rdkafka::producer::Producer as _;
use serde_json::Value;
use tests::{
    kafka::{Producer, configure_topic, create_topic, offsets},
    pipe::Pipe,
    produced::{Produced, Refused},
    recount::recount,
    traffic::{Outgoing, Traffic},
    wait,
};

use crate::{carried, prepared};

const PATIENCE: Duration = Duration::from_secs(60);
/// The keys of the records of a compacted topic, used in turn.
const KEYS: usize = 50;

#[test]
fn every_compression_is_read() -> Result<()> {
    let codecs = ["gzip", "snappy", "lz4", "zstd", "none"];
    let pipe = prepared("compressed", 5)?;
    let mut produced = Produced::default();
    let all: Vec<Outgoing> = Traffic::new(5_000, 5).collect();
    for (partition, codec) in (0..).zip(codecs) {
        let producer = Producer::new(pipe.name(), &[("compression.type", codec), ("linger.ms", "50")])?;
        let of_partition = all.iter().filter(|outgoing| outgoing.partition == partition).cloned();
        producer.produce(of_partition, &mut produced)?;
    }
    let recount = recount(&produced)?;
    carried(&pipe, &recount).map(drop)
}

#[test]
fn aborted_transactions_are_not_counted() -> Result<()> {
    let pipe = prepared("transactions", 1)?;
    let producer = Producer::new(pipe.name(), &[("transactional.id", pipe.name())])?;
    let inner = producer.inner();
    inner.init_transactions(PATIENCE)?;
    let all: Vec<Outgoing> = Traffic::new(1_200, 1).collect();
    let mut committed = Produced::default();
    // The last one is aborted, so that the log does not end with an event.
    for (n, part) in all.chunks(200).enumerate() {
        inner.begin_transaction()?;
        if n % 2 == 0 {
            part.iter().try_for_each(|outgoing| producer.send(outgoing))?;
            for outgoing in part {
                let offset = committed.next_offset(0);
                let Outgoing { partition, value, refused, .. } = outgoing.clone();
                committed.records.push(tests::produced::Record { partition, offset, value, refused });
            }
            inner.commit_transaction(PATIENCE)?;
        } else {
            part.iter().try_for_each(|outgoing| producer.send(outgoing))?;
            producer.flush()?;
            inner.abort_transaction(PATIENCE)?;
        }
    }
    // Each transaction ends with a marker, which Kafka writes after its response.
    let end = (all.len() + all.chunks(200).len()) as u64;
    wait::until("the last marker", || Ok((producer.ends(0)?.1 == end).then_some(())))?;
    let mut recount = recount(&committed)?;
    recount.ledger.insert("absent", end - committed.records.len() as u64);
    carried(&pipe, &recount).map(drop)
}

#[test]
fn compacted_records_are_absent() -> Result<()> {
    let pipe = Pipe::new("compacted")?;
    let segments = ("segment.bytes", "1048576");
    create_topic(pipe.name(), 1, &[segments])?;
    pipe.run_well(&["setup"])?;
    let mut all: Vec<Outgoing> = Traffic::new(12_000, 1).collect();
    for (n, outgoing) in all.iter_mut().enumerate() {
        // Every second record has the same key: only the newest of them is kept, between two of the others.
        let key = if n % 2 == 0 { n / 2 % KEYS } else { KEYS };
        outgoing.key = Some(format!("key-{key}").into_bytes());
    }
    let mut produced = Produced::default();
    let producer = Producer::new(pipe.name(), &[])?;
    producer.produce(all, &mut produced)?;
    let end = produced.next_offset(0);
    // Compaction starts when all is written: one pass over all segments except the active one.
    configure_topic(
        pipe.name(),
        &[segments, ("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.01")],
    )?;
    wait::until("the log to be compacted", || {
        Ok(has_gaps(&offsets(pipe.name(), 0, end)?, end).then_some(()))
    })?;
    // Read again, because the first read may have started before the pass ended.
    let kept = offsets(pipe.name(), 0, end)?;
    produced.records.retain(|record| kept.contains(&record.offset));
    let mut recount = recount(&produced)?;
    recount.ledger.insert("absent", end - produced.records.len() as u64);
    carried(&pipe, &recount)?;
    assert_eq!(offsets(pipe.name(), 0, end)?, kept, "the log was compacted again in the middle of the test");
    Ok(())
}

/// Whether a record is missing after one that is kept. Segments are compacted in order, and only the last one before
/// the active segment keeps any, so this shows the end of the pass.
fn has_gaps(kept: &BTreeSet<u64>, end: u64) -> bool {
    kept.first().is_some_and(|first| end - first > kept.len() as u64)
}

#[test]
fn a_record_beyond_the_limits_of_pubsub_is_a_dead_letter() -> Result<()> {
    let pipe = Pipe::new("large")?;
    create_topic(pipe.name(), 1, &[("max.message.bytes", "20000000")])?;
    pipe.run_well(&["setup"])?;
    let mut all: Vec<Outgoing> = Traffic::new(300, 1).collect();
    // Ten kilobytes below the limit, including pseudonyms.
    let mut event: Value = serde_json::from_slice(all[50].value.as_deref().context("an event")?)?;
    event["text"] = Value::from("x".repeat(9_987_000));
    all[50].value = Some(event.to_string().into_bytes());
    let value = format!("{{\"type\":\"view\",\"text\":\"{}\"}}", "x".repeat(10_000_001));
    let refused = Some(Refused { stage: "connector", reason: "too-large", pointer: None });
    all.insert(100, Outgoing { partition: 0, key: None, value: Some(value.into_bytes()), refused });
    let mut produced = Produced::default();
    Producer::new(pipe.name(), &[])?.produce(all, &mut produced)?;
    let recount = recount(&produced)?;
    let database = carried(&pipe, &recount)?;
    assert_eq!(database.dead_letters()?, produced.dead_letters());
    Ok(())
}
