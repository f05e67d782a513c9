//! A long outage: what was held back is counted when it was, and nothing of it is late.

use anyhow::{Result, ensure};
use jiff::Timestamp;
use tests::{
    backlog::{
        Shape,
        held::{Disorder, Held},
    },
    kafka::Producer,
    pipe::Pipe,
    process::Process,
    produced::Produced,
    recount::{Recount, recount},
    rows::{Database, Rows as _, check_balance, wait_for},
    traffic::Traffic,
    wait,
};

use crate::{brought_to_an_end, prepared};

#[test]
fn after_twenty_hours_nothing_is_late() -> Result<()> {
    let pipe = prepared("outage", 3)?;
    // Whatever is taken for late is dropped, and the rows show it.
    pipe.edit("allowed_lateness = \"2h\"", "allowed_lateness = \"0s\"")?;
    let producer = Producer::new(pipe.name(), &[])?;
    let (mut traffic, mut produced) =
        (Traffic::new(3_600, 3).over_hours(20).with_trouble(), Produced::default());

    // The first half hour is carried as it comes.
    producer.produce(traffic.by_ref().take(90), &mut produced)?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    wait::until("the first rows", || {
        Ok((processor.metric("aqueduct_processor_messages_total", "")? > 80).then_some(()))
    })?;

    // Ten hours lie in Kafka while the connector is away, and then in Pub/Sub while the processor is.
    connector.stop()?;
    processor.stop()?;
    producer.produce(traffic.by_ref().take(1_800), &mut produced)?;
    let mut connector = pipe.start(&["connector"])?;
    wait::until("the backlog to be in Pub/Sub", || {
        Ok((connector.metric("aqueduct_connector_records_total", "published")? > 1_700).then_some(()))
    })?;
    connector.stop()?;

    // The rest lies in Kafka when both come back, each partition at another place.
    producer.produce(traffic, &mut produced)?;
    let recount = recount(&produced)?;
    let mut connector = pipe.start(&["connector"])?;
    let mut processor = pipe.start(&["processor"])?;
    brought_to_an_end(&pipe, &recount, &mut connector, &mut processor).map(drop)
}

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// What the live state may take; its order of delivery would fill it if more than the windows' counts were kept.
const MEMORY: &str = "128MiB";
/// The whole process: the state, what is pulled and not acknowledged, rows on their way.
const RESIDENT: u64 = 512 << 20;

/// Events of twenty hours lie in Pub/Sub with the processor dead, made by the stand-in while it delivers them: out of order
/// by up to an hour, some twice. Then it comes back. Ten a second; `make outage` has 500.
#[test]
fn a_twenty_hour_backlog_is_counted() -> Result<()> {
    let held = Held::start(20)?;
    let mut pipe = Pipe::new("twenty-hours")?;
    pipe.edit("allowed_lateness = \"2h\"", "allowed_lateness = \"0s\"")?;
    pipe.set("pubsub.emulator_host", &held.host());
    pipe.set("pubsub.retention", "0s");
    pipe.set("state.memory", MEMORY);
    pipe.run_well(&["setup"])?;
    let now = Timestamp::now().as_millisecond();
    let minute = now - now.rem_euclid(MINUTE) - 2 * MINUTE;
    let shape = Shape {
        topic: pipe.name().to_owned(),
        partitions: 3,
        an_hour: 36_000,
        start: minute - 20 * HOUR,
        pages: 5,
        boxes: 4,
        seed: 20,
    };
    let disorder = Disorder { lanes: 8, lead: shape.an_hour, among: 2_000, twice: 0.02 };
    held.lay(&pipe, &shape, disorder, 10 * SECOND)?;

    // In the middle of a minute: its windows cannot fire yet, and all before it must.
    let outage = minute + 30 * SECOND;
    held.deliver_until(outage);
    let recount = shape.recount(shape.written_by(outage), minute)?;
    let mut processor = pipe.start(&["processor"])?;
    let database = Database::open(&pipe.path("rows.db"))?;
    until_counted(&mut processor, &recount)?;
    wait_for(&database, &recount)?;

    // New events come, and their windows fire.
    held.deliver_until(outage + MINUTE);
    let recount = shape.recount(shape.written_by(outage + MINUTE), minute + MINUTE)?;
    until_counted(&mut processor, &recount)?;
    wait_for(&database, &recount)?;
    let peak = processor.peak_memory()?;
    ensure!(peak < RESIDENT, "the processor took {} MiB", peak >> 20);
    processor.stop()?;
    check_balance(&database, &recount)?;
    database.check_watermark()?;
    for row in database.rows()? {
        ensure!((row.pane.as_str(), row.index) == ("ON_TIME", 0), "{row:?} fired early or again");
    }
    ensure!(held.delivered(&pipe)? > recount.total(), "nothing came twice");
    Ok(())
}

/// Waits until every message that has an event was applied.
fn until_counted(processor: &mut Process, recount: &Recount) -> Result<()> {
    let events = recount.total() - recount.ledger["rejected"];
    wait::until("every event to be applied", || {
        let applied = processor.metric("aqueduct_processor_messages_total", "")?;
        Ok((applied == events).then_some(()))
    })
}
