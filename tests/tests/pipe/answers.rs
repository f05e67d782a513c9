//! The real processor against a BigQuery with every possible response: each row is in the table once.
//!
//! The next append hits each fault, and further records are produced after it, so that each fault occurs in another
//! state.

use anyhow::{Context as _, Result};
use doubles::bigquery::Fault;
use serde_json::{Value, json};
use tests::{
    bigquery::{Dataset, StandIn},
    kafka::{Producer, create_topic},
    pipe::Pipe,
    produced::Produced,
    recount::recount,
    rows::{Rows as _, difference, finals, wait_for},
    traffic::{Outgoing, Traffic},
    wait,
};
use tonic::Code;

const FLOW: &str = "box_ctr";

/// A complete pipeline that writes to the stand-in.
fn prepared(test: &str, standin: &StandIn) -> Result<(Pipe, Dataset)> {
    let pipe = Pipe::new(test)?.into_bigquery_at(&standin.url(), &standin.url())?;
    create_topic(pipe.name(), 1, &[])?;
    pipe.run_well(&["setup"])?;
    let dataset = standin.dataset(pipe.dataset());
    Ok((pipe, dataset))
}

fn until_met(standin: &StandIn) -> Result<()> {
    wait::until("the fault to be met", || Ok((standin.faults().waiting() == 0).then_some(())))
}

/// No progress row is duplicated: each has a different time.
fn check_progress(dataset: &Dataset) -> Result<()> {
    let table = dataset.table("box_ctr_progress");
    let lines = dataset.number(&format!("select count(*) from {table}"))?;
    assert_eq!(dataset.number(&format!("select count(distinct `at`) from {table}"))?, lines);
    Ok(())
}

#[test]
fn any_bigquery_answer_gives_each_row_once() -> Result<()> {
    let standin = StandIn::start()?;
    let (pipe, dataset) = prepared("answers", &standin)?;
    let faults = [
        Fault::AnswerLost,
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::Answer(Code::ResourceExhausted),
        Fault::Finalized,
        Fault::Forgotten,
        Fault::LostAndFinalized,
        Fault::LostAndForgotten,
    ];
    let (mut traffic, mut produced) = (Traffic::new(1_800, 1).with_trouble(), Produced::default());
    let producer = Producer::new(pipe.name(), &[])?;
    standin.faults().next("box_ctr_progress", Fault::LostAndForgotten);
    standin.faults().next("dead_letters", Fault::LostAndForgotten);
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    for fault in faults {
        standin.faults().next(FLOW, fault);
        producer.produce(traffic.by_ref().take(200), &mut produced)?;
        until_met(&standin)?;
        wait::until("its rows in the table", || {
            Ok((processor.metric("aqueduct_processor_pending_requests", "")? == 0).then_some(()))
        })?;
    }
    producer.produce(traffic, &mut produced)?;
    let recount = recount(&produced)?;
    wait_for(&dataset, &recount)?;
    connector.stop()?;
    let table = dataset.table("dead_letters");
    let letters = || dataset.query(&format!("select `offset` from {table} order by `offset`"));
    let expected: Vec<Vec<Value>> =
        produced.dead_letters().iter().map(|letter| vec![letter.1.to_string().into()]).collect();
    wait::until("the dead letters", || Ok((letters()?.len() >= expected.len()).then_some(())))?;
    let ended = processor.stop()?;
    assert_eq!(difference(&finals(&dataset.rows()?)?, &recount.counts), None);
    assert_eq!(letters()?, expected);
    check_progress(&dataset)?;
    assert!(standin.faults().answers(Code::AlreadyExists) >= 2, "lost responses are requested again");
    assert_eq!(ended.err.matches("the table's stream no longer exists").count(), 6, "{}", ended.err);
    assert_eq!(
        ended.err.matches("these rows are in the table although the response was lost").count(),
        4,
        "{}",
        ended.err
    );
    Ok(())
}

#[test]
fn a_kill_during_append_duplicates_no_row() -> Result<()> {
    let standin = StandIn::start()?;
    let (pipe, dataset) = prepared("around", &standin)?;
    let (mut traffic, mut produced) = (Traffic::new(1_500, 1), Produced::default());
    let producer = Producer::new(pipe.name(), &[])?;
    let mut connector = pipe.start(&["connector"])?;
    // Between checkpoint and append; between append and response; the same with a lost stream.
    for (fault, is_gone) in [
        (Fault::HangBefore, false),
        (Fault::HangAfter, false),
        (Fault::HangBefore, true),
        (Fault::HangAfter, true),
    ] {
        let mut processor = pipe.start(&["processor"])?;
        standin.faults().next(FLOW, fault);
        producer.produce(traffic.by_ref().take(250), &mut produced)?;
        until_met(&standin)?;
        processor.kill()?;
        if is_gone {
            standin.faults().forget_streams(FLOW);
        }
    }
    // Rows seem to be missing before an append: the processor must stop.
    let mut processor = pipe.start(&["processor"])?;
    standin.faults().next(FLOW, Fault::Answer(Code::OutOfRange));
    producer.produce(traffic, &mut produced)?;
    let ended = processor.ended()?;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("table box_ctr"), "{}", ended.err);

    let mut processor = pipe.start(&["processor"])?;
    let recount = recount(&produced)?;
    wait_for(&dataset, &recount)?;
    connector.stop()?;
    processor.stop()?;
    assert_eq!(difference(&finals(&dataset.rows()?)?, &recount.counts), None);
    check_progress(&dataset)
}

#[test]
fn rejected_rows_are_dead_letters() -> Result<()> {
    const REFUSED: &str = "/p/3";
    let standin = StandIn::start()?;
    let pipe = Pipe::new("refused")?.into_bigquery_at(&standin.url(), &standin.url())?;
    create_topic(pipe.name(), 1, &[("max.message.bytes", "20000000")])?;
    pipe.run_well(&["setup"])?;
    let dataset = standin.dataset(pipe.dataset());
    standin.faults().refuse(REFUSED);
    let mut all: Vec<Outgoing> = Traffic::new(600, 1).collect();
    all.insert(300, too_large(&all[300])?);
    let mut produced = Produced::default();
    Producer::new(pipe.name(), &[])?.produce(all, &mut produced)?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    let mut recount = recount(&produced)?;
    let (mut refused, mut large) = (0, 0);
    recount.counts.retain(|(_, page, _), _| {
        refused += u64::from(page.as_deref() == Some(REFUSED));
        large += u64::from(page.as_ref().is_some_and(|page| page.len() > LARGE));
        page.as_ref().is_some_and(|page| page != REFUSED && page.len() < LARGE)
    });
    assert_eq!(large, 10, "the large one is in ten windows");
    wait_for(&dataset, &recount)?;
    let letters = |reason: &str| {
        let table = dataset.table("dead_letters");
        let of = format!("stage = 'writer' and `topic` = '{FLOW}' and reason = '{reason}'");
        dataset.number(&format!("select count(*) from {table} where {of}"))
    };
    wait::until("all rows that are not taken to be dead letters", || {
        Ok((letters("fields_error")? >= refused && letters("too-large")? >= large).then_some(()))
    })?;
    connector.stop()?;
    processor.stop()?;
    assert_eq!((letters("fields_error")?, letters("too-large")?), (refused, large));
    assert_eq!(difference(&finals(&dataset.rows()?)?, &recount.counts), None);
    check_progress(&dataset)
}

/// A row with this much text exceeds a request, but the event fits in a message.
const LARGE: usize = 8 << 20;

/// A copy of an event with a page that is too long for a row.
fn too_large(like: &Outgoing) -> Result<Outgoing> {
    let value = like.value.as_deref().context("it is no tombstone")?;
    let mut event: Value = serde_json::from_slice(value)?;
    (event["event_id"], event["type"]) = (json!("large"), json!("view"));
    event["page"] = json!(format!("/{}", "x".repeat(LARGE)));
    Ok(Outgoing { value: Some(event.to_string().into_bytes()), ..like.clone() })
}
