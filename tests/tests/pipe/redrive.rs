//! Rejected records are published again after their cause has been removed.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::{
    kafka::{Producer, delete_before},
    pipe::Pipe,
    process::Process,
    produced::{Produced, Refused},
    recount::{Recount, recount},
    rows::{Database, check_balance, wait_for},
    traffic::{CANARY, Outgoing, Traffic},
    wait,
};

use crate::prepared;

const PARTITIONS: i32 = 3;
/// Rejected by the connector, because the pointer leads to an object.
const SHOP: Refused = Refused { stage: "connector", reason: "unexpected-shape", pointer: Some("/shop") };
/// Rejected by the processor, because an ID is an object.
const ID: Refused = Refused { stage: "processor", reason: "unexpected-shape", pointer: Some("/event_id") };

/// A pipeline whose configuration rejects many good records of each partition, and others that are broken in themselves.
fn misconfigured(test: &str, events: u64) -> Result<(Pipe, Produced)> {
    let pipe = prepared(test, PARTITIONS)?;
    pipe.edit("\"/items/*/seller_id\"]", "\"/items/*/seller_id\", \"/shop\"]")?;
    pipe.edit("max_rejects = \"50%\"", "max_rejects = \"100%\"")?;
    let mut all: Vec<Outgoing> = Traffic::new(events, PARTITIONS).with_trouble().collect();
    let mut copies: BTreeMap<String, u32> = BTreeMap::new();
    for outgoing in all.iter().filter(|outgoing| outgoing.refused.is_none()) {
        *copies.entry(id(outgoing)?).or_default() += 1;
    }
    for (n, outgoing) in all.iter_mut().enumerate().filter(|(_, outgoing)| outgoing.refused.is_none()) {
        let refused = match n % 10 {
            0..3 => SHOP,
            3 => ID,
            _ => continue,
        };
        // The corrected configuration has the ID elsewhere, so it does not recognise a copy of an event that was counted.
        if copies[&id(outgoing)?] > 1 {
            continue;
        }
        let value = outgoing.value.as_deref().context("a valid record has a value")?;
        let mut event: Value = serde_json::from_slice(value)?;
        match refused {
            SHOP => event["shop"] = json!({ "owner": format!("{CANARY}-owner") }),
            _ => event["event_id"] = json!({ "number": format!("own-{n}") }),
        }
        outgoing.value = Some(event.to_string().into_bytes());
        outgoing.refused = Some(refused);
    }
    let mut produced = Produced::default();
    Producer::new(pipe.name(), &[])?.produce(all, &mut produced)?;
    Ok((pipe, produced))
}

/// The ID of a valid record.
fn id(outgoing: &Outgoing) -> Result<String> {
    let event: Value = serde_json::from_slice(outgoing.value.as_deref().context("a value")?)?;
    Ok(event["event_id"].to_string())
}

/// What remains rejected under the corrected configuration, without the records of `gone`.
fn corrected(pipe: &Pipe, produced: &mut Produced, gone: impl Fn(i32, u64) -> bool) -> Result<Recount> {
    pipe.edit("\"/shop\"]", "\"/shop/owner\"]")?;
    pipe.edit("id = \"/event_id\"", "id = \"/event_id/number\"")?;
    for record in &mut produced.records {
        if [Some(SHOP), Some(ID)].contains(&record.refused) && !gone(record.partition, record.offset) {
            record.refused = None;
        }
    }
    recount(produced)
}

/// Waits until rows and ledger are those of the recount and nothing is missing.
fn settled(pipe: &Pipe, recount: &Recount) -> Result<Database> {
    let database = Database::open(&pipe.path("rows.db"))?;
    wait_for(&database, recount)?;
    pipe.until_reconciled()?;
    Ok(database)
}

fn redriven(pipe: &Pipe, more: &[&str]) -> Result<Value> {
    let arguments = [&["dead-letters", "redrive", "--format", "json"], more].concat();
    let ended = pipe.run_well(&arguments)?;
    ensure!(!(ended.out.clone() + &ended.err).contains(CANARY), "a record is printed: {}", ended.out);
    Ok(serde_json::from_str(&ended.out)?)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn sum(value: &Value) -> u64 {
    value.as_array().into_iter().flatten().map(|entry| number(&entry["records"])).sum()
}

fn count(produced: &Produced, refused: impl Fn(&Refused) -> bool) -> u64 {
    produced.records.iter().filter(|record| record.refused.as_ref().is_some_and(&refused)).count() as u64
}

/// The number of records that the running processor took from redrives.
fn taken(processor: &mut Process) -> Result<u64> {
    processor.metric("aqueduct_processor_redriven_total", "")
}

/// Two kills of redrives and one of the processor while connector and processor run; the ledger balances all the time,
/// and each record counts once.
#[test]
fn each_rejected_record_counts_once_whatever_is_killed() -> Result<()> {
    let (pipe, mut produced) = misconfigured("redrive", 4_000)?;
    let before = recount(&produced)?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    settled(&pipe, &before)?;
    processor.stop()?;
    let good = count(&produced, |refused| [SHOP, ID].contains(refused));
    let broken = count(&produced, |_| true) - good;

    let after = corrected(&pipe, &mut produced, |_, _| false)?;
    let mut processor = pipe.start(&["processor"])?;
    let would_be = redriven(&pipe, &["--dry-run"])?;
    assert_eq!((number(&would_be["passed"]), sum(&would_be["rejected"])), (good, broken));
    assert_eq!(would_be["redrive"], Value::Null);
    pipe.until_reconciled()?;

    // The connector still runs, with the old configuration.
    let slowly = ["dead-letters", "redrive", "--rate", "20"];
    let mut first = pipe.start(&slowly)?;
    wait::until("the first records", || Ok((taken(&mut processor)? >= 40).then_some(())))?;
    first.kill()?;
    pipe.until_reconciled()?;
    processor.kill()?;
    let mut processor = pipe.start(&["processor"])?;
    let mut second = pipe.start(&slowly)?;
    second.says("redrive started")?;
    let refused = pipe.run(&["dead-letters", "redrive"])?;
    assert_eq!(refused.code, Some(1), "a second redrive at the same time: {}", refused.err);
    wait::until("more records", || Ok((taken(&mut processor)? >= 40).then_some(())))?;
    second.kill()?;
    pipe.until_reconciled()?;

    let last = redriven(&pipe, &[])?;
    assert_eq!((&last["is_continued"], &last["redrive"]), (&json!(true), &json!(1)), "{last}");
    assert!(number(&last["passed"]) < good - 60, "what was published is not published again: {last}");
    let database = settled(&pipe, &after)?;
    processor.stop()?;
    connector.stop()?;
    check_balance(&database, &after)?;
    database.check_watermark()?;

    // Nothing passes again, and nothing of it is counted again.
    let mut processor = pipe.start(&["processor"])?;
    let again = redriven(&pipe, &[])?;
    assert_eq!(
        (number(&again["passed"]), sum(&again["rejected"]), number(&again["redrive"])),
        (0, broken, 2)
    );
    processor.stop()?;
    check_balance(&database, &after)
}

/// Filters by the table, what Kafka no longer has, and the list.
#[test]
fn a_filter_redrives_only_what_it_names() -> Result<()> {
    let (pipe, mut produced) = misconfigured("redrive-filter", 1_500)?;
    let before = recount(&produced)?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    settled(&pipe, &before)?;
    connector.stop()?;
    processor.stop()?;
    let (kept, shops) = (count(&produced, |_| true), count(&produced, |refused| *refused == SHOP));
    let end = produced.next_offset(0) / 2;
    delete_before(pipe.name(), 0, end)?;
    let is_gone = |partition, offset| partition == 0 && offset < end;
    let of_id: Vec<(i32, u64)> = produced
        .records
        .iter()
        .filter(|record| record.refused == Some(ID))
        .map(|record| (record.partition, record.offset))
        .collect();
    let gone = produced.records.iter().filter(|r| r.refused == Some(SHOP) && is_gone(r.partition, r.offset));
    let gone = gone.count() as u64;
    assert!(gone > 0);
    // What has the other reason stays rejected.
    let after = corrected(&pipe, &mut produced, |partition, offset| {
        is_gone(partition, offset) || of_id.contains(&(partition, offset))
    })?;

    let filter = ["--stage", "connector", "--reason", SHOP.reason, "--pointer", "/shop"];
    let done = redriven(&pipe, &filter)?;
    assert_eq!((number(&done["passed"]), sum(&done["gone"])), (shops - gone, gone), "{done}");
    assert_eq!(sum(&done["rejected"]), 0, "{done}");
    let mut processor = pipe.start(&["processor"])?;
    let database = settled(&pipe, &after)?;
    processor.stop()?;
    check_balance(&database, &after)?;

    let list = ["dead-letters", "list", "--limit", "100000", "--format", "json"];
    let listed: Value = serde_json::from_str(&pipe.run_well(&list)?.out)?;
    let letters = listed["dead_letters"].as_array().context("a list")?;
    assert_eq!(letters.len() as u64, kept);
    let is_open = |letter: &&Value| letter["rejected_by"].as_array().is_some_and(|flows| !flows.is_empty());
    assert_eq!(letters.iter().filter(is_open).count() as u64, kept - (shops - gone));
    assert_eq!(listed["unknown"], json!([]));

    let wrong = pipe.run(&["dead-letters", "list", "--topic", "another"])?;
    assert_eq!(wrong.code, Some(2), "{}", wrong.err);
    Ok(())
}
