//! What is published, where and in which order: every offset still has one outcome when processes are killed.

use anyhow::Result;
use serde_json::Value;
use tests::{
    kafka::Producer,
    pipe::Pipe,
    process::Process,
    produced::{Produced, Record},
    recount::{Recount, recount},
    rows::Database,
    traffic::Traffic,
    wait,
};

use crate::{brought_to_an_end, prepared};

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
    let producer = Producer::new(pipe.name(), &[])?;
    let (mut traffic, mut produced) = (Traffic::new(9_000, 3).with_trouble(), Produced::default());
    producer.produce(traffic.by_ref().take(3_000), &mut produced)?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    until_published(&mut connector)?;
    connector.kill()?;
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
