//! Rows as messages of a Pub/Sub topic: a reader that removes repetitions by stream and offset has the rows of the recount.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::{
    kafka::{Producer, create_topic},
    pipe::{PROJECT, Pipe},
    process::Process,
    produced::Produced,
    proxy::Proxy,
    pubsub::{self, Onlooker},
    recount::{Recount, recount},
    rows::{DeadLetter, Row, difference, finals},
    services,
    traffic::{CANARY, Outgoing, Traffic},
    wait,
};

use crate::processors_killed;

/// Reads a result topic, and keeps what an application would keep.
#[derive(Default)]
pub(crate) struct Reader {
    /// The rows of each stream by offset.
    streams: BTreeMap<String, BTreeMap<u64, Value>>,
    /// Stream and offset of the newest message of each ordering key.
    newest: BTreeMap<String, (String, u64)>,
    /// The newest pane of each ordering key and window.
    panes: BTreeMap<(String, String), u64>,
}

impl Reader {
    pub(crate) fn add(&mut self, message: &Value) -> Result<()> {
        let attribute = |name: &str| message["attributes"][name].as_str().context("an attribute");
        let (stream, offset) = (attribute("stream")?, attribute("offset")?.parse::<u64>()?);
        let key = message["orderingKey"].as_str().unwrap_or_default();
        let text = String::from_utf8(pubsub::data(message)?)?;
        ensure!(!text.contains(CANARY) && !key.contains(CANARY), "a message has an ID");
        let mut row: Value = serde_json::from_str(&text)?;
        // Kept as text, because serde_json may read another double than the one that was written.
        if let Some(rest) = text.split("\"ctr\":").nth(1) {
            row["ctr"] = rest.split(',').next().into();
        }
        let rows = self.streams.entry(stream.to_owned()).or_default();
        if let Some(before) = rows.get(&offset) {
            ensure!(*before == row, "{stream} {offset} is repeated with another row");
            return Ok(());
        }
        if !key.is_empty() {
            let newest = self.newest.entry(key.to_owned()).or_insert_with(|| (stream.to_owned(), offset));
            ensure!(
                newest.0 == stream && newest.1 <= offset,
                "{key} was overtaken: {offset} after {newest:?}"
            );
            newest.1 = offset;
        }
        if attribute("kind")? == "row" {
            ensure!(row["flow"] == attribute("flow")? && row["pane"] == attribute("pane")?, "{message}");
            let window = row["window_start"].as_str().context("a window")?;
            let index = row["pane_index"].as_u64().context("a pane")?;
            let next = self.panes.entry((key.to_owned(), window.to_owned())).or_default();
            ensure!(index == *next, "pane {index} of {key} and {window} arrived instead of {next}");
            *next += 1;
        }
        rows.insert(offset, row);
        Ok(())
    }

    /// The rows of the streams of one table.
    fn of(&self, table: &str) -> impl Iterator<Item = &Value> {
        let part = format!("/{table}/");
        self.streams.iter().filter(move |(name, _)| name.contains(&part)).flat_map(|(_, rows)| rows.values())
    }

    pub(crate) fn rows(&self) -> Result<Vec<Row>> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let row = |row: &Value| {
            Some(Row {
                key: (text(&row["window_start"])?, text(&row["page"]), text(&row["box"])),
                views: row["views"].as_u64()?,
                clicks: row["clicks"].as_u64()?,
                ctr: row["ctr"].as_str()?.parse().ok(),
                pane: text(&row["pane"])?,
                index: row["pane_index"].as_u64()?,
            })
        };
        self.of("box_ctr").map(|value| row(value).with_context(|| value.to_string())).collect()
    }

    pub(crate) fn dead_letters(&self) -> Result<Vec<DeadLetter>> {
        let letter = |row: &Value| {
            Some((
                i32::try_from(row["partition"].as_i64()?).ok()?,
                row["offset"].as_u64()?,
                row["stage"].as_str()?.to_owned(),
                row["reason"].as_str()?.to_owned(),
                row["pointer"].as_str().map(str::to_owned),
            ))
        };
        let letters = self.of("dead_letters").map(|value| letter(value).context("a dead letter"));
        let mut letters = letters.collect::<Result<Vec<_>>>()?;
        letters.sort();
        Ok(letters)
    }

    /// The first stream with a missing offset.
    pub(crate) fn gap(&self) -> Option<String> {
        let is_whole = |rows: &BTreeMap<u64, Value>| rows.keys().copied().eq(0..rows.len() as u64);
        let (stream, rows) = self.streams.iter().find(|(_, rows)| !is_whole(rows))?;
        Some(format!("{stream} has a gap: {} rows up to {:?}", rows.len(), rows.keys().last()))
    }

    /// The nonzero outcomes of the newest message of progress.
    fn ledger(&self) -> BTreeMap<&str, u64> {
        let newest = self.of("box_ctr_progress").last().and_then(Value::as_object);
        let counts =
            newest.into_iter().flatten().filter_map(|(name, count)| Some((&**name, count.as_u64()?)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

/// A pipeline that publishes its rows, with early panes.
fn into_topic(test: &str) -> Result<(Pipe, String)> {
    let pipe = Pipe::new(test)?;
    let topic = format!("{}-results", pipe.name());
    pipe.edit("kind = \"sqlite\"\npath = \"rows.db\"", &format!("kind = \"pubsub\"\ntopic = {topic:?}"))?;
    pipe.edit("allowed_lateness = \"2h\"", "allowed_lateness = \"2h\"\nearly = \"1s\"")?;
    // Messages of a killed processor are redelivered when their lease ends; a cold start must not end before.
    pipe.edit("cold_start = \"2s\"", "cold_start = \"20s\"")?;
    create_topic(pipe.name(), 3, &[])?;
    Ok((pipe, topic))
}

/// Reads until the last progress is that of the recount, and compares everything.
fn has_all(reader: &mut Reader, onlooker: &Onlooker, recount: &Recount, produced: &Produced) -> Result<()> {
    wait::until_right("the last messages", || {
        onlooker.some()?.iter().try_for_each(|message| reader.add(message))?;
        let ledger = reader.ledger();
        let differs = (ledger != recount.ledger).then(|| format!("the last progress is {ledger:?}"));
        Ok(differs.or_else(|| reader.gap()))
    })?;
    assert_eq!(difference(&finals(&reader.rows()?)?, &recount.counts), None);
    assert_eq!(reader.dead_letters()?, produced.dead_letters());
    Ok(())
}

#[test]
fn results_equal_a_recount_under_kills() -> Result<()> {
    let (pipe, topic) = into_topic("results")?;
    let missing = pipe.run(&["check"])?;
    ensure!(missing.code == Some(1) && missing.out.contains(&topic), "{:?} {}", missing.code, missing.out);
    for state in ["created", "exists"] {
        let line = format!("topic projects/{PROJECT}/topics/{topic}: {state}");
        let setup = pipe.run_well(&["setup"])?;
        ensure!(setup.out.contains(&line), "{}", setup.out);
    }
    pipe.run_well(&["check"])?;
    let onlooker = Onlooker::ordered(&topic)?;

    let (mut connector, produced) = processors_killed(&pipe)?;
    let recount = recount(&produced)?;
    let mut processor = pipe.start(&["processor"])?;
    let mut reader = Reader::default();
    wait::until_right("the rows", || {
        onlooker.some()?.iter().try_for_each(|message| reader.add(message))?;
        Ok(difference(&finals(&reader.rows()?)?, &recount.counts))
    })?;
    connector.stop()?;
    let ledger = |processor: &mut Process, outcome| {
        processor.metric("aqueduct_processor_ledger_offsets{flow=\"box_ctr\"", outcome)
    };
    wait::until("every offset to be accounted for", || {
        let pending = ledger(&mut processor, "outcome=\"pending\"")?;
        Ok((ledger(&mut processor, "")? == recount.total() && pending == 0).then_some(()))
    })?;
    // What Pub/Sub has acknowledged is not missing.
    pipe.until_reconciled()?;
    processor.stop()?;
    // The last panes may repeat counts that arrived before, so the rows were right without them.
    has_all(&mut reader, &onlooker, &recount, &produced)?;
    ensure!(reader.panes.values().any(|panes| *panes > 1), "no window fired twice");
    Ok(())
}

#[test]
fn commands_report_that_a_topic_cannot_be_queried() -> Result<()> {
    let (pipe, topic) = into_topic("write-only")?;
    pipe.run_well(&["setup"])?;
    // Nothing has run: there is no state to compare Kafka with.
    let reconcile = pipe.run(&["reconcile"])?;
    ensure!(reconcile.out.contains("cannot be queried"), "{}", reconcile.out);
    let adopt = pipe.run_well(&["setup", "--adopt"])?;
    ensure!(adopt.out.contains("has no owner"), "{}", adopt.out);
    let replay = pipe.run(&["replay", "--kafka", "--output", "bigquery"])?;
    ensure!(replay.code == Some(2) && replay.err.contains("writer.kind"), "{}", replay.err);
    for other in [pipe.name().to_owned(), format!("{}-marks", pipe.name())] {
        pipe.edit(&format!("\"pubsub\"\ntopic = {topic:?}"), &format!("\"pubsub\"\ntopic = {other:?}"))?;
        let refused = pipe.run(&["check"])?;
        ensure!(refused.code == Some(2) && refused.err.contains("writer.topic"), "{}", refused.err);
        pipe.edit(&format!("\"pubsub\"\ntopic = {other:?}"), &format!("\"pubsub\"\ntopic = {topic:?}"))?;
    }
    Ok(())
}

/// Pub/Sub does not answer the processor, neither for messages nor for results, and then answers again.
#[test]
fn an_outage_of_pubsub_delays_results_and_loses_none() -> Result<()> {
    let (mut pipe, topic) = into_topic("results-outage")?;
    pipe.run_well(&["setup"])?;
    let onlooker = Onlooker::ordered(&topic)?;
    let producer = Producer::new(pipe.name(), &[])?;
    let (mut traffic, mut produced) = (Traffic::new(3_000, 3).with_trouble(), Produced::default());
    let mut connector = pipe.start(&["connector"])?;
    let door = Proxy::closed(&services::address(services::PUBSUB)?)?;
    door.open()?;
    pipe.set("pubsub.emulator_host", door.address());
    let mut processor = pipe.start(&["processor"])?;
    let mut reader = Reader::default();
    for _ in 0..3 {
        let attempts = processor.metric("aqueduct_processor_retries_total", "what=\"append\"")?;
        // No answer to a request that is seen to be pending arrives before the door closes.
        door.delay(Duration::from_secs(1));
        producer.produce(traffic.by_ref().take(1_000), &mut produced)?;
        wait::until("a result on its way", || {
            let pending = processor.metric("aqueduct_processor_pending_requests", "")?;
            Ok((pending > 0).then_some(()))
        })?;
        door.close();
        wait::until("a result that cannot be published", || {
            let now = processor.metric("aqueduct_processor_retries_total", "what=\"append\"")?;
            Ok((now > attempts).then_some(()))
        })?;
        door.delay(Duration::ZERO);
        door.open()?;
    }
    let recount = recount(&produced)?;
    wait::until_right("the rows", || {
        onlooker.some()?.iter().try_for_each(|message| reader.add(message))?;
        Ok(difference(&finals(&reader.rows()?)?, &recount.counts))
    })?;
    connector.stop()?;
    pipe.until_reconciled()?;
    processor.stop()?;
    has_all(&mut reader, &onlooker, &recount, &produced)?;
    Ok(())
}

/// A row that is larger than a message may be, from an event that is not.
#[test]
fn an_oversized_result_is_a_dead_letter() -> Result<()> {
    /// Fits into a message with the rest of its event, but not twice.
    const LARGE: usize = 6_000_000;
    let pipe = Pipe::new("oversized-results")?;
    let topic = format!("{}-results", pipe.name());
    pipe.edit("kind = \"sqlite\"\npath = \"rows.db\"", &format!("kind = \"pubsub\"\ntopic = {topic:?}"))?;
    pipe.edit("by = { ", "by = { again = \"/page\", ")?;
    create_topic(pipe.name(), 1, &[("max.message.bytes", "20000000")])?;
    pipe.run_well(&["setup"])?;
    let onlooker = Onlooker::ordered(&topic)?;
    let mut all: Vec<Outgoing> = Traffic::new(600, 1).collect();
    let mut event: Value = serde_json::from_slice(all[300].value.as_deref().context("it is no tombstone")?)?;
    (event["event_id"], event["type"]) = ("large".into(), "view".into());
    event["page"] = format!("/{}", "x".repeat(LARGE)).into();
    all.insert(301, Outgoing { value: Some(event.to_string().into_bytes()), ..all[300].clone() });
    let mut produced = Produced::default();
    Producer::new(pipe.name(), &[])?.produce(all, &mut produced)?;
    let mut recount = recount(&produced)?;
    let counted = recount.counts.len();
    recount.counts.retain(|(_, page, _), _| page.as_ref().is_none_or(|page| page.len() < LARGE));
    assert_eq!(counted - recount.counts.len(), 10, "the large one is in ten windows");
    let mut connector = pipe.start(&["connector"])?;
    let mut processor = pipe.start(&["processor"])?;
    let mut reader = Reader::default();
    let large = |letters: Vec<DeadLetter>| {
        letters.iter().filter(|(_, _, stage, reason, _)| stage == "writer" && reason == "too-large").count()
    };
    wait::until_right("the other rows, and the dead letters", || {
        onlooker.some()?.iter().try_for_each(|message| reader.add(message))?;
        let found = large(reader.dead_letters()?);
        let letters = (found != 10).then(|| format!("{found} rows are too large"));
        Ok(difference(&finals(&reader.rows()?)?, &recount.counts).or(letters))
    })?;
    connector.stop()?;
    let ended = processor.stop()?;
    ensure!(ended.err.contains("exceed the maximum size of a request"), "{}", ended.err);
    Ok(())
}
