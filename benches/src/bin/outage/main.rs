//! `make outage`: twenty hours of events are in Pub/Sub while the processor is down; then it restarts.
//!
//! The Pub/Sub stand-in generates the events on delivery, out of order, some duplicated, with the connector's marks;
//! new ones follow at the same rate. With `--emulator` they are in Google's emulator. Results are printed only if all
//! rows and the ledger equal a recount. See `tests::backlog` for the events.

mod emulator;
mod report;
mod watch;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use tests::{
    backlog::{
        Shape,
        beam::Windows,
        held::{Disorder, Held},
    },
    pipe::Pipe,
    rows::{Database, Rows as _, difference, finals},
};

use report::Report;

/// Measures how the processor handles a backlog of hours in Pub/Sub.
#[derive(Parser)]
struct Arguments {
    /// Length of the outage.
    #[arg(long, default_value_t = 20)]
    hours: u64,
    /// Events per second during and after the outage.
    #[arg(long, default_value_t = 500)]
    rate: u64,
    /// Seed of the events and their order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Partitions of the Kafka topic.
    #[arg(long, default_value_t = 6)]
    partitions: u64,
    /// Number of keys: pages with ten boxes each.
    #[arg(long, default_value_t = 100)]
    pages: u64,
    /// How far the fastest of sixteen lanes is ahead of the slowest, in minutes of events.
    #[arg(long, default_value_t = 60)]
    lead_minutes: u64,
    /// Memory limit of the processor.
    #[arg(long, default_value = "1GiB")]
    memory: String,
    /// Use Google's emulator instead of the stand-in, with 100,000 events.
    #[arg(long)]
    emulator: bool,
}

const BOXES: u64 = 10;
const EMULATED: u64 = 100_000;
const MINUTE: i64 = 60_000;
const LATENESS: i64 = 60 * MINUTE;

#[expect(clippy::print_stdout, reason = "a command for people")]
fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let report = if arguments.emulator { from_emulator(&arguments)? } else { from_stand_in(&arguments)? };
    print!("{report}");
    Ok(())
}

impl Arguments {
    fn shape(&self, pipe: &Pipe, an_hour: u64, end: i64) -> Result<Shape> {
        Ok(Shape {
            topic: pipe.name().to_owned(),
            partitions: self.partitions.max(1),
            an_hour,
            start: end - i64::try_from(self.hours)? * 60 * MINUTE,
            pages: self.pages.max(1),
            boxes: BOXES,
            seed: self.seed,
        })
    }

    fn disorder(&self, shape: &Shape) -> Disorder {
        let lead = (shape.an_hour * self.lead_minutes / 60).max(1);
        Disorder { lanes: 16, lead, among: 20_000, twice: 0.01 }
    }
}

/// A pipeline with an allowed lateness of [`LATENESS`].
fn prepared(name: &str, memory: &str) -> Result<Pipe> {
    let mut pipe = Pipe::new(name)?;
    pipe.edit("allowed_lateness = \"2h\"", "allowed_lateness = \"1h\"")?;
    pipe.edit("cold_start = \"2s\"", "cold_start = \"20s\"")?;
    pipe.set("pubsub.retention", "0s");
    pipe.set("state.memory", memory);
    Ok(pipe)
}

fn from_stand_in(arguments: &Arguments) -> Result<Report> {
    let held = Held::start(arguments.seed)?;
    let mut pipe = prepared("outage", &arguments.memory)?;
    pipe.set("pubsub.emulator_host", &held.host());
    pipe.run_well(&["setup"])?;
    let shape = arguments.shape(&pipe, arguments.rate * 3_600, watch::now()?)?;
    held.lay(&pipe, &shape, arguments.disorder(&shape), 1_000)?;

    let back = watch::now()?;
    held.compare_with_beam(Windows { size: 10 * MINUTE, period: MINUTE, allowed_lateness: LATENESS }, back);
    held.deliver_until(i64::MAX);
    let mut processor = pipe.start(&["processor"])?;
    let database = Database::open(&pipe.path("rows.db"))?;
    let backlog = shape.written_by(back);
    let course = watch::until_served(&mut processor, &database, data(&shape, backlog), back)?;

    let halt = watch::now()?;
    held.deliver_until(halt);
    let written = shape.written_by(halt);
    watch::until_applied(&mut processor, data(&shape, written))?;
    let peak = processor.peak_memory()?;
    processor.stop()?;
    let rows = compared(&database, &shape, written)?;
    Ok(Report { backlog, written, course, peak, rows, beam: Some(held.dropped_by_beam()?) })
}

fn from_emulator(arguments: &Arguments) -> Result<Report> {
    let pipe = prepared("outage", &arguments.memory)?;
    pipe.run_well(&["setup"])?;
    let back = watch::now()?;
    // The backlog ends a minute ago; new events follow once it is counted.
    let shape = arguments.shape(&pipe, EMULATED / arguments.hours.max(1), back - 3 * MINUTE)?;
    let outage = back - 3 * MINUTE;
    let backlog = shape.written_by(outage);
    let mut emulator = emulator::Publisher::new(pipe.name(), arguments.disorder(&shape))?;
    emulator.publish(&shape, outage)?;
    let mut processor = pipe.start(&["processor"])?;
    let database = Database::open(&pipe.path("rows.db"))?;
    let mut course = watch::until_counted(&mut processor, data(&shape, backlog))?;

    let halt = back - MINUTE;
    emulator.publish(&shape, halt)?;
    let served = watch::until_row_after(&mut processor, &database, outage)?;
    course.served = Some(served);
    let written = shape.written_by(halt);
    watch::until_applied(&mut processor, data(&shape, written))?;
    let peak = processor.peak_memory()?;
    processor.stop()?;
    let rows = compared(&database, &shape, written)?;
    Ok(Report { backlog, written, course, peak, rows, beam: None })
}

/// The number of messages among the first records.
fn data(shape: &Shape, records: u64) -> u64 {
    records - shape.refused(0, records).count() as u64
}

/// The number of rows, once all equal the recount and fired once and on time.
fn compared(database: &Database, shape: &Shape, written: u64) -> Result<u64> {
    let recount = shape.recount(written, database.watermark()?)?;
    let rows = database.rows()?;
    let again = rows.iter().find(|row| row.pane != "ON_TIME" || row.index != 0);
    ensure!(again.is_none(), "something was taken for late: {again:?}");
    if let Some(difference) = difference(&finals(&rows)?, &recount.counts) {
        anyhow::bail!("{difference}");
    }
    let ledger = database.ledger()?;
    ensure!(ledger == recount.ledger, "the ledger is {ledger:?}, not {:?}", recount.ledger);
    ensure!(!ledger.contains_key("late"), "events were late");
    u64::try_from(rows.len()).context("rows can be counted")
}
