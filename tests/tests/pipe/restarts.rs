//! Processes that are killed: no event is lost or counted twice, and no row is duplicated.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use tests::{
    kafka::Producer,
    produced::Produced,
    produced::Record,
    recount::recount,
    rows::{Database, wait_for},
    traffic::Traffic,
    wait,
};

use crate::{brought_to_an_end, prepared, produced};

const COLD_START: &str = "cold_start = \"2s\"";
/// Messages of the killed processor are redelivered when their lease ends; a cold start must not end before.
const LONGER_THAN_LEASES: &str = "cold_start = \"20s\"";

#[test]
fn a_kill_loses_and_duplicates_nothing() -> Result<()> {
    let pipe = prepared("killed", 3)?;
    pipe.edit(COLD_START, LONGER_THAN_LEASES)?;
    let producer = Producer::new(pipe.name(), &[])?;
    let (mut traffic, mut produced) = (Traffic::new(15_000, 3).with_trouble(), Produced::default());
    producer.produce(traffic.by_ref().take(5_000), &mut produced)?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    wait::until("the first records to be published", || {
        Ok((connector.metric("aqueduct_connector_records_total", "published")? > 0).then_some(()))
    })?;
    connector.kill()?;

    producer.produce(traffic.by_ref().take(5_000), &mut produced)?;
    let mut connector = pipe.start(&["connector"])?;
    wait::until("events to be counted", || {
        Ok((processor.metric("aqueduct_processor_messages_total", "")? > 3_000).then_some(()))
    })?;
    processor.kill()?;

    producer.produce(traffic, &mut produced)?;
    let recount = recount(&produced)?;
    let mut processor = pipe.start(&["processor"])?;
    let database = brought_to_an_end(&pipe, &recount, &mut connector, &mut processor)?;
    assert_eq!(database.dead_letters()?, produced.dead_letters());
    Ok(())
}

#[test]
fn a_standby_processor_takes_over() -> Result<()> {
    let pipe = prepared("standby", 1)?;
    pipe.edit(COLD_START, LONGER_THAN_LEASES)?;
    let (_, recount) = produced(&pipe, Traffic::new(2_000, 1))?;
    let mut first = pipe.start(&["processor"])?;
    first.says("this processor holds the state")?;
    let mut second = pipe.start(&["processor"])?;
    second.says("another processor holds the state; standing by")?;
    let mut connector = pipe.start(&["connector"])?;
    wait::until("events to be counted", || {
        Ok((first.metric("aqueduct_processor_messages_total", "")? > 0).then_some(()))
    })?;
    assert!(!second.err().contains("this processor holds the state"));
    first.kill()?;
    second.says("this processor holds the state")?;
    brought_to_an_end(&pipe, &recount, &mut connector, &mut second).map(drop)
}

/// Suspended for longer than `takeover_after`, it resumes and assumes that it still owns the state.
#[test]
fn a_suspended_processor_exits_cleanly() -> Result<()> {
    let pipe = prepared("frozen", 2)?.with("state.takeover_after", "3s");
    pipe.edit(COLD_START, LONGER_THAN_LEASES)?;
    let producer = Producer::new(pipe.name(), &[])?;
    let (mut traffic, mut produced) = (Traffic::new(9_000, 2).with_trouble(), Produced::default());
    producer.produce(traffic.by_ref().take(3_000), &mut produced)?;
    let mut first = pipe.start(&["processor"])?;
    first.says("this processor holds the state")?;
    let mut second = pipe.start(&["processor"])?;
    second.says("another processor holds the state; standing by")?;
    let mut connector = pipe.start(&["connector"])?;
    wait::until("events to be counted", || {
        Ok((first.metric("aqueduct_processor_messages_total", "")? > 500).then_some(()))
    })?;

    first.signal(Signal::SIGSTOP)?;
    second.says("no new checkpoint appeared; taking over the state")?;
    second.says("this processor holds the state")?;
    producer.produce(traffic.by_ref().take(3_000), &mut produced)?;
    wait::until("events to be counted by the second", || {
        Ok((second.metric("aqueduct_processor_messages_total", "")? > 500).then_some(()))
    })?;
    ensure!(first.has_ended()?.is_none(), "a frozen process cannot end");

    first.signal(Signal::SIGCONT)?;
    let ended = first.ended()?;
    let (errors, others): (Vec<&str>, Vec<&str>) =
        ended.err.lines().partition(|line| line.starts_with("error:") || line.contains("ERROR"));
    ensure!(ended.code == Some(1) && errors.len() == 1, "{:?}: {errors:?}\n{others:?}", ended.code);
    ensure!(errors[0].contains("took over the state"), "{errors:?}");
    ensure!(errors[0].contains("no data is lost"), "{errors:?}");

    producer.produce(traffic, &mut produced)?;
    let recount = recount(&produced)?;
    let database = brought_to_an_end(&pipe, &recount, &mut connector, &mut second)?;
    assert_eq!(database.dead_letters()?, produced.dead_letters());
    Ok(())
}

#[test]
fn connectors_with_one_name_are_fenced() -> Result<()> {
    let pipe = prepared("namesakes", 2)?;
    let (_, recount) = produced(&pipe, Traffic::new(2_000, 2))?;
    let mut processor = pipe.start(&["processor"])?;
    let mut first = pipe.start(&["connector"])?;
    first.says("reading")?;
    let mut second = pipe.start(&["connector"])?;
    let is_first = wait::until("one of them to end", || {
        for (is_first, connector) in [(true, &mut first), (false, &mut second)] {
            if let Some(ended) = connector.has_ended()? {
                ensure!(ended.code == Some(1) && ended.err.contains("group_instance_id"), "{}", ended.err);
                ensure!(ended.err.contains("rejoining once"), "it gave up at once: {}", ended.err);
                return Ok(Some(is_first));
            }
        }
        Ok(None)
    })?;
    let mut other = if is_first { second } else { first };
    brought_to_an_end(&pipe, &recount, &mut other, &mut processor).map(drop)
}

#[test]
fn producer_duplicates_are_known_after_a_restart() -> Result<()> {
    let pipe = prepared("ids", 2)?;
    pipe.edit(COLD_START, LONGER_THAN_LEASES)?;
    pipe.edit("id = \"/event_id\"", "id = \"/event_id\"\nid_within = \"2h\"")?;
    let producer = Producer::new(pipe.name(), &[])?;
    let all: Vec<_> = Traffic::new(1_500, 2).collect();
    let mut produced = Produced::default();
    producer.produce(all[..1_000].to_vec(), &mut produced)?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    // Their rows are in the table, so a checkpoint contains their IDs and all messages are acknowledged.
    wait_for(&Database::open(&pipe.path("rows.db"))?, &recount(&produced)?)?;
    processor.kill()?;
    producer.produce(all[700..].to_vec(), &mut produced)?;
    let recount = recount(&produced)?;
    // Copies of ignored events are ignored, too.
    let copied = produced.records[700..1_000].iter().filter_map(Record::event);
    let copies =
        copied.filter(|event| matches!(event["type"].as_str(), Some("view" | "click"))).count() as u64;
    assert_eq!(recount.ledger.get("duplicate"), Some(&copies));
    let mut processor = pipe.start(&["processor"])?;
    brought_to_an_end(&pipe, &recount, &mut connector, &mut processor).map(drop)
}
