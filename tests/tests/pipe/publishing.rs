//! What is published, where and in which order: every offset still has one outcome when processes are killed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::{
    kafka::Producer,
    pipe::Pipe,
    process::Process,
    produced::{Produced, Record, Refused},
    pubsub::{self, Onlooker},
    recount::{Recount, recount},
    rows::Database,
    traffic::Traffic,
    wait,
};

use crate::{brought_to_an_end, carried, prepared, produced};

const EMULATOR: &str = "emulator_host = ";
const COLD_START: &str = "cold_start = \"2s\"";
/// Messages of the killed processor are redelivered when their lease ends; a cold start must not end before.
const LONGER_THAN_LEASES: &str = "cold_start = \"20s\"";

/// Adds keys to `[pubsub]`.
fn configure(pipe: &Pipe, keys: &str) -> Result<()> {
    pipe.edit(EMULATOR, &format!("{keys}\n{EMULATOR}"))
}

/// Runs a pipeline over the records of three producers, and kills the connector and the processor in between.
fn killed_twice(
    pipe: &Pipe,
    expected: impl FnOnce(&Produced) -> Result<Recount>,
) -> Result<(Produced, Database)> {
    killed_and_edited(pipe, || Ok(()), expected)
}

/// As [`killed_twice`]; changes the configuration each time the connector is down.
fn killed_and_edited(
    pipe: &Pipe,
    mut edit: impl FnMut() -> Result<()>,
    expected: impl FnOnce(&Produced) -> Result<Recount>,
) -> Result<(Produced, Database)> {
    let producer = Producer::new(pipe.name(), &[])?;
    let (mut traffic, mut produced) = (Traffic::new(9_000, 3).with_trouble(), Produced::default());
    producer.produce(traffic.by_ref().take(3_000), &mut produced)?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    until_published(&mut connector)?;
    connector.kill()?;
    edit()?;
    producer.produce(traffic.by_ref().take(3_000), &mut produced)?;
    let mut connector = pipe.start(&["connector"])?;
    wait::until("events to be counted", || {
        Ok((processor.metric("aqueduct_processor_messages_total", "")? > 500).then_some(()))
    })?;
    processor.kill()?;
    producer.produce(traffic, &mut produced)?;
    let mut processor = pipe.start(&["processor"])?;
    until_published(&mut connector)?;
    connector.kill()?;
    edit()?;
    let mut connector = pipe.start(&["connector"])?;
    let recount = expected(&produced)?;
    let database = brought_to_an_end(pipe, &recount, &mut connector, &mut processor)?;
    Ok((produced, database))
}

fn until_published(connector: &mut Process) -> Result<()> {
    wait::until("the first records to be published", || {
        Ok((connector.metric("aqueduct_connector_records_total", "published")? > 0).then_some(()))
    })
}

/// Leaves out the records that the filter excludes, naively.
fn passing(produced: &Produced, passes: impl Fn(&Value) -> bool) -> Produced {
    let is_published = |record: &&Record| {
        let event = record.value.as_deref().and_then(|value| serde_json::from_slice::<Value>(value).ok());
        event.filter(Value::is_object).is_none_or(|event| passes(&event))
    };
    Produced { records: produced.records.iter().filter(is_published).cloned().collect() }
}

#[test]
fn filtered_records_have_one_outcome_under_kills() -> Result<()> {
    let pipe = prepared("filtered", 3)?;
    pipe.edit(COLD_START, LONGER_THAN_LEASES)?;
    // The filter reads a field that is removed afterwards.
    let people: Vec<String> = (0..250).map(|user| format!("canary-ip-{user}")).collect();
    configure(&pipe, &format!("filter = {{ \"/type\" = [\"view\", \"click\"], \"/ip\" = {people:?} }}"))?;
    let people: Vec<Value> = people.into_iter().map(Value::from).collect();
    let passes = |event: &Value| event["type"] != "scroll" && people.contains(&event["ip"]);
    let (produced, database) = killed_twice(&pipe, |produced| {
        let published = passing(produced, passes);
        let mut recount = recount(&published)?;
        recount.ledger.insert("filtered", (produced.records.len() - published.records.len()) as u64);
        Ok(recount)
    })?;
    let published = passing(&produced, passes);
    assert_eq!(database.dead_letters()?, published.dead_letters());
    let (published, all) = (published.records.len(), produced.records.len());
    assert!((all / 3..2 * all / 3).contains(&published), "{published} of {all} are published");
    Ok(())
}

/// The offsets of each ordering key and partition, in the order in which they were first delivered.
#[derive(Default)]
struct Delivered {
    keys: BTreeMap<(String, String), BTreeSet<u64>>,
    ids: BTreeSet<String>,
}

impl Delivered {
    fn add(&mut self, message: &Value) -> Result<()> {
        let attribute = |name: &str| message["attributes"][name].as_str().context("an attribute");
        let (partition, offset) = (attribute("kafka.partition")?, attribute("kafka.offset")?);
        let (topic, incarnation) = (attribute("kafka.topic")?, attribute("aqueduct.incarnation")?);
        let id = attribute("aqueduct.id")?;
        ensure!(id == format!("{topic}/{incarnation}/{partition}/{offset}"), "{id} names another record");
        let event: Value = serde_json::from_slice(&pubsub::data(message)?)?;
        let key = message["orderingKey"].as_str().unwrap_or_default();
        ensure!(key.len() == 22 && event["user_id"] == key, "{key:?} is not the pseudonym in {event}");
        let before = self.keys.entry((key.to_owned(), partition.to_owned())).or_default();
        let offset = offset.parse()?;
        // After a crash, messages are published again. What follows them must not have come before.
        if !before.contains(&offset) {
            ensure!(before.last() < Some(&offset), "{id} was overtaken by {:?}", before.last());
            before.insert(offset);
        }
        self.ids.insert(id.to_owned());
        Ok(())
    }
}

#[test]
fn a_key_keeps_its_order_under_kills() -> Result<()> {
    let pipe = prepared("ordered", 3)?;
    pipe.edit(COLD_START, LONGER_THAN_LEASES)?;
    configure(&pipe, "ordering_key = \"/user_id\"")?;
    let onlooker = Onlooker::ordered(pipe.name())?;
    let (produced, database) = killed_twice(&pipe, recount)?;
    assert_eq!(database.dead_letters()?, produced.dead_letters());
    let is_published = |record: &&Record| record.refused.is_none_or(|refused| refused.stage != "connector");
    let published = produced.records.iter().filter(is_published).count();
    let mut delivered = Delivered::default();
    wait::until("every message in order", || {
        onlooker.some()?.iter().try_for_each(|message| delivered.add(message))?;
        Ok((delivered.ids.len() == published).then_some(()))
    })?;
    assert!(delivered.keys.len() > 1_000, "{} keys and partitions", delivered.keys.len());
    Ok(())
}

/// Lets `/type` select the topic.
fn route(pipe: &Pipe, topics: &[String]) -> Result<()> {
    let topic = format!("{}-{{/type}}", pipe.name());
    pipe.edit(
        &format!("\ntopic = {:?}\n", pipe.name()),
        &format!("\ntopic = {topic:?}\ntopics = {topics:?}\n"),
    )
}

/// The records as they end if only views and clicks have a topic.
fn routed(produced: &Produced) -> Produced {
    let undeclared = Refused { stage: "connector", reason: "undeclared-topic", pointer: Some("/type") };
    let ended = |record: &Record| {
        let event = record.value.as_deref().and_then(|value| serde_json::from_slice::<Value>(value).ok());
        let is_scroll = event.is_some_and(|event| event["type"] == "scroll");
        // Everything else that the connector rejects it rejects before.
        let passes = record.refused.is_none_or(|refused| refused.stage != "connector");
        Record {
            refused: if is_scroll && passes { Some(undeclared) } else { record.refused },
            ..record.clone()
        }
    };
    Produced { records: produced.records.iter().map(ended).collect() }
}

#[test]
fn a_field_selects_the_topic_under_kills() -> Result<()> {
    let pipe = prepared("routed", 3)?;
    pipe.edit(COLD_START, LONGER_THAN_LEASES)?;
    let topics = ["view", "click"].map(|kind| format!("{}-{kind}", pipe.name()));
    route(&pipe, &topics)?;
    pipe.run_well(&["setup"])?;
    pipe.run_well(&["check"])?;
    let onlookers = [Onlooker::subscribe(&topics[0])?, Onlooker::subscribe(&topics[1])?];
    let (produced, database) = killed_twice(&pipe, |produced| recount(&routed(produced)))?;
    assert_eq!(database.dead_letters()?, routed(&produced).dead_letters());
    for (onlooker, kind) in onlookers.iter().zip(["view", "click"]) {
        let messages = onlooker.messages()?;
        assert!(messages.len() > 500, "{} messages of type {kind}", messages.len());
        for message in messages {
            let event: Value = serde_json::from_slice(&pubsub::data(&message)?)?;
            assert_eq!(event["type"], kind);
        }
    }
    Ok(())
}

#[test]
fn a_topic_that_is_not_read_stops_the_processor() -> Result<()> {
    let pipe = prepared("unread", 2)?;
    let name = pipe.name().to_owned();
    let topics = ["view", "click"].map(|kind| format!("{name}-{kind}"));
    route(&pipe, &topics)?;
    pipe.run_well(&["setup"])?;
    let (produced, _) = produced(&pipe, Traffic::new(500, 2))?;
    let mut connector = pipe.start(&["connector"])?;
    until_published(&mut connector)?;
    let (whole, part) = (format!("topics = {topics:?}"), format!("topics = {:?}", &topics[..1]));
    pipe.edit(&whole, &part)?;
    let ended = pipe.start(&["processor"])?.ended()?;
    let names_it = ended.err.contains(&topics[1]) && ended.err.contains("pubsub.topics");
    ensure!(ended.code == Some(1) && names_it, "{:?}: {}", ended.code, ended.err);
    connector.stop()?;
    pipe.edit(&part, &whole)?;

    // A connector of an earlier configuration is still running.
    let mark = json!({"version": 1, "replica": "old", "sequence": 1, "partitions": [], "topics": []});
    pubsub::publish(&format!("{name}-marks"), mark.to_string().as_bytes(), &json!({}))?;
    let ended = pipe.start(&["processor"])?.ended()?;
    let advises = ended.err.contains("publishes to one topic");
    ensure!(ended.code == Some(1) && advises, "{:?}: {}", ended.code, ended.err);
    let former = format!("topics = {:?}", [&topics[0], &topics[1], &name]);
    pipe.edit(&whole, &former)?;
    carried(&pipe, &recount(&routed(&produced))?).map(drop)
}

/// Connectors with packs and without take turns, and each begins in the middle of what the one before had packed.
#[test]
fn packs_and_single_messages_count_once_under_kills() -> Result<()> {
    let pipe = prepared("packed", 3)?;
    pipe.edit(COLD_START, LONGER_THAN_LEASES)?;
    configure(&pipe, "pack = true")?;
    ensure!(!pipe.run_well(&["check"])?.out.contains("unpack"), "the processor is the only reader");
    let onlooker = Onlooker::subscribe(pipe.name())?;
    let warned = pipe.run_well(&["check"])?.out;
    ensure!(warned.contains(&format!("{}-onlooker", pipe.name())), "the other reader is named: {warned}");
    let mut packs = true;
    let edit = || {
        let now = |packs: bool| format!("pack = {packs}");
        pipe.edit(&now(packs), &now(!packs))?;
        packs = !packs;
        Ok(())
    };
    let (produced, database) = killed_and_edited(&pipe, edit, recount)?;
    assert_eq!(database.dead_letters()?, produced.dead_letters());
    let (mut packed, mut single) = (0, 0);
    for message in onlooker.messages()? {
        let is_pack = message["attributes"]["aqueduct.format"] == "pack-1";
        *if is_pack { &mut packed } else { &mut single } += 1;
    }
    assert!(packed > 0 && single > 0, "{packed} packs and {single} single messages");
    Ok(())
}
