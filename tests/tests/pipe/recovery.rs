//! A state that does not match the flows is rejected; a lost one is rebuilt from Pub/Sub by seeking the subscriptions
//! back, or from Kafka.

use std::fs;

use anyhow::Result;
use jiff::{Timestamp, ToSpan as _};
use tests::{
    bigquery::Dataset,
    kafka::{Producer, create_topic},
    pipe::Pipe,
    process::Process,
    produced::Produced,
    pubsub::Onlooker,
    recount::recount,
    rows::{Database, Rows as _, difference, finals, wait_for},
    traffic::Traffic,
    wait,
};

use crate::{prepared, produced};

#[test]
fn a_lost_state_is_rebuilt_by_seek() -> Result<()> {
    let pipe = prepared("lost-state", 2)?;
    // The emulator rounds the time of a message to seconds.
    let before = Timestamp::now() - 2.seconds();
    let producer = Producer::new(pipe.name(), &[])?;
    let (mut traffic, mut produced) = (Traffic::new(4_000, 2).with_trouble(), Produced::default());
    producer.produce(traffic.by_ref().take(2_500), &mut produced)?;
    let mut connector = pipe.start(&["connector"])?;
    let mut processor = pipe.start(&["processor"])?;
    pipe.until_reconciled()?;
    processor.kill()?;

    fs::remove_dir_all(pipe.path("state"))?;
    for part in ["", "-marks"] {
        Onlooker::of(&format!("{}-ctr{part}", pipe.name()))?.seek(&before.to_string())?;
    }
    producer.produce(traffic, &mut produced)?;
    let recount = recount(&produced)?;
    let again = Timestamp::now();
    let mut processor = pipe.start(&["processor"])?;
    let database = Database::open(&pipe.path("rows.db"))?;
    wait::until_right("the newest rows", || Ok(difference(&database.latest()?.0, &recount.counts)))?;
    connector.stop()?;
    pipe.until_reconciled()?;
    processor.stop()?;

    // The rows of the lost state remain, too, until an operator removes them.
    let table = rusqlite::Connection::open(pipe.path("rows.db"))?;
    let taken = table.execute("delete from box_ctr where emitted_at < ?1", [format!("{again:.3}")])?;
    assert!(taken > 0, "the lost state had fired nothing");
    wait_for(&database, &recount)?;
    assert_eq!(database.ledger()?, recount.ledger);
    Ok(())
}

#[test]
fn a_lost_state_is_rebuilt_from_kafka() -> Result<()> {
    let pipe = Pipe::new("lost-state-bigquery")?.into_bigquery()?;
    create_topic(pipe.name(), 2, &[])?;
    pipe.run_well(&["setup"])?;
    let (_, recount) = produced(&pipe, Traffic::new(1_500, 2).with_trouble())?;
    pipe.run_well(&["replay", "--kafka", "--final", "--output", "bigquery"])?;
    let rows = Dataset::new(pipe.dataset())?.rows()?;
    assert_eq!(difference(&finals(&rows)?, &recount.counts), None);
    Ok(())
}

#[test]
fn an_edited_flow_is_rejected() -> Result<()> {
    let pipe = prepared("edited", 1)?;
    let mut processor = pipe.start(&["processor"])?;
    until_checkpoint(&mut processor)?;
    processor.stop()?;
    pipe.edit("size = \"10m\"", "size = \"20m\"")?;
    let refused = pipe.run(&["processor"])?;
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("flows[0].window"), "{}", refused.err);
    pipe.edit("name = \"box_ctr\"", "name = \"box_ctr_20m\"")?;
    pipe.run_well(&["setup"])?;
    let mut renamed = pipe.start(&["processor"])?;
    renamed.says("a new flow starts at the current watermark")?;
    renamed.says("this flow is no longer configured; its state is dropped")?;
    renamed.stop()?;
    Ok(())
}

#[test]
fn a_readded_flow_starts_empty() -> Result<()> {
    let pipe = prepared("comes-again", 1)?;
    produced(&pipe, Traffic::new(500, 1))?;
    let mut connector = pipe.start(&["connector"])?;
    let mut processor = pipe.start(&["processor"])?;
    pipe.until_reconciled()?;
    // Metrics lag the state by half a second.
    wait::until("counted events", || Ok((counted(&mut processor)? > 0).then_some(())))?;
    processor.stop()?;
    connector.stop()?;

    pipe.edit("name = \"box_ctr\"", "name = \"another\"")?;
    pipe.run_well(&["setup"])?;
    let mut another = pipe.start(&["processor"])?;
    another.says("this flow is no longer configured; its state is dropped")?;
    until_checkpoint(&mut another)?;
    another.stop()?;

    pipe.edit("name = \"another\"", "name = \"box_ctr\"")?;
    for _ in 0..2 {
        let mut again = pipe.start(&["processor"])?;
        until_checkpoint(&mut again)?;
        assert_eq!(counted(&mut again)?, 0, "what was dropped is there again");
        again.stop()?;
    }
    Ok(())
}

fn until_checkpoint(processor: &mut Process) -> Result<()> {
    wait::until("a checkpoint", || {
        Ok((processor.metric("aqueduct_processor_checkpoints_total", "")? > 0).then_some(()))
    })
}

fn counted(processor: &mut Process) -> Result<u64> {
    processor.metric("aqueduct_processor_ledger_offsets{flow=\"box_ctr\"", "outcome=\"counted\"")
}
