//! Records as Kafka may hold them: compressed, in transactions, larger than Pub/Sub takes, made by `generate`.

use std::time::Duration;

use anyhow::Result;
use rdkafka::producer::Producer as _;
use tests::{
    kafka::{Producer, create_topic, offsets},
    pipe::Pipe,
    produced::{Produced, Refused},
    recount::recount,
    traffic::{Outgoing, Traffic},
    wait,
};

use crate::{carried, prepared};

const PATIENCE: Duration = Duration::from_secs(60);

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
    // The last one is aborted, so that the log ends in what is no event.
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
    let (_, end) = producer.ends(0)?;
    let mut recount = recount(&committed)?;
    recount.ledger.insert("absent", end - committed.records.len() as u64);
    carried(&pipe, &recount).map(drop)
}

#[test]
fn what_compaction_removed_is_absent() -> Result<()> {
    const KEYS: usize = 50;
    let pipe = Pipe::new("compacted")?;
    let settings =
        [("cleanup.policy", "compact"), ("segment.bytes", "1048576"), ("min.cleanable.dirty.ratio", "0.01")];
    create_topic(pipe.name(), 1, &settings)?;
    pipe.run_well(&["setup"])?;
    let mut all: Vec<Outgoing> = Traffic::new(12_000, 1).collect();
    for (n, outgoing) in all.iter_mut().enumerate() {
        outgoing.key = Some(format!("key-{}", n % KEYS).into_bytes());
    }
    let mut produced = Produced::default();
    let producer = Producer::new(pipe.name(), &[])?;
    producer.produce(all, &mut produced)?;
    let end = produced.next_offset(0);
    let kept = wait::until("the log to be compacted", || {
        let kept = offsets(pipe.name(), 0, end)?;
        Ok((kept.len() < produced.records.len() / 2).then_some(kept))
    })?;
    // Nothing more is removed while the pipe reads: what the cleaner leaves is the last of each key and the open segment.
    produced.records.retain(|record| kept.contains(&record.offset));
    let mut recount = recount(&produced)?;
    recount.ledger.insert("absent", end - produced.records.len() as u64);
    carried(&pipe, &recount)?;
    assert_eq!(offsets(pipe.name(), 0, end)?, kept, "the log was compacted again in the middle of the test");
    Ok(())
}

#[test]
fn a_record_beyond_the_limits_of_pubsub_is_a_dead_letter() -> Result<()> {
    let pipe = Pipe::new("large")?;
    create_topic(pipe.name(), 1, &[("max.message.bytes", "20000000")])?;
    pipe.run_well(&["setup"])?;
    let mut all: Vec<Outgoing> = Traffic::new(300, 1).collect();
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
