//! `make bench-live`: the whole pipeline at a steady rate: latency of rows, cost of each component, growth of memory.
//!
//! `aqueduct generate` writes events on schedule, whether or not the pipeline keeps up, and a row is due when the clock
//! passes its window's end plus the bound on disorder. A stalled pipeline therefore makes every due row late, and none
//! is left out (no coordinated omission). A row is visible when another connection to the table sees it. Results are
//! printed only if `reconcile` finds no event missing.
#![forbid(unsafe_code)]

use std::{
    fmt,
    thread::sleep,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use benches::accounted;
use clap::Parser;
use hdrhistogram::Histogram;
use jiff::Timestamp;
use standin::pubsub::{Options, PubSub};
use tests::{
    kafka::create_topic,
    pipe::{PROJECT, Pipe},
    process::Process,
    rows::Database,
};
use tokio::runtime::Builder;

/// Measures the whole pipeline at a steady rate.
#[derive(Parser)]
struct Arguments {
    /// Events a second.
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// Duration; rows appear at the end of each minute.
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// Partitions of the topic.
    #[arg(long, default_value_t = 6)]
    partitions: i32,
    /// Number of pages.
    #[arg(long, default_value_t = 200)]
    pages: u64,
    /// Number of boxes per page.
    #[arg(long, default_value_t = 20)]
    boxes: u64,
    /// Also remove duplicates of producers: IDs are kept for half an hour.
    #[arg(long)]
    ids: bool,
    /// Many events in one message: `pack = true`.
    #[arg(long)]
    packs: bool,
}

/// Interval at which the table is read, which is the precision of latencies.
const LOOK: Duration = Duration::from_millis(10);
/// Number of memory samples shown.
const COURSE: usize = 12;
/// Interval of memory samples.
const SAMPLE: Duration = Duration::from_secs(10);
/// The configuration's `out_of_orderness`.
const OUT_OF_ORDERNESS: i64 = 10_000;
/// Range of the histogram: an hour in milliseconds, three digits.
const LONGEST: u64 = 3_600_000;
const DIGITS: u8 = 3;

/// A measured process.
struct Part {
    name: &'static str,
    process: Process,
    /// When it was ready.
    cpu: f64,
    since: Instant,
    /// Memory over time, in MB.
    memory: Vec<f64>,
}

/// Observed rows.
struct Seen {
    database: Database,
    last: i64,
    /// Delay of each row after it was due, in milliseconds.
    delays: Histogram<u64>,
}

#[expect(clippy::print_stdout, reason = "a command for people")]
fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // It contains unacknowledged messages: some seconds, or the backlog of a pipeline that does not keep up.
    let capacity = usize::try_from(arguments.rate * arguments.minutes * 60 * 1_000)?;
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let stand_in = runtime.block_on(PubSub::start(Options { capacity, ..Options::default() }))?;
    let mut pipe = Pipe::new("live")?.with("pubsub.emulator_host", &stand_in.host());
    pipe.edit("allowed_lateness = \"2h\"", "allowed_lateness = \"10m\"")?;
    // Otherwise the stand-in would keep acknowledged messages in memory: 16 GB in an hour at 10,000 a second.
    pipe.set("pubsub.retention", "0s");
    if !arguments.ids {
        pipe.edit("id = \"/event_id\"\n", "")?;
    }
    if arguments.packs {
        pipe.edit("[pubsub]", "[pubsub]\npack = true")?;
    }
    create_topic(pipe.name(), arguments.partitions, &[])?;
    pipe.run_well(&["setup"])?;
    let mut parts = [Part::start("connector", &pipe)?, Part::start("processor", &pipe)?];
    let mut generator = pipe.start(&[
        "generate",
        "--rate",
        &arguments.rate.to_string(),
        "--duration",
        &format!("{}m", arguments.minutes),
        "--pages",
        &arguments.pages.to_string(),
        "--boxes",
        &arguments.boxes.to_string(),
        "--seed",
        "1",
    ])?;

    let mut seen = Seen::new(&pipe)?;
    let mut sampled = Instant::now();
    for part in &mut parts {
        part.begin()?;
    }
    let ended = loop {
        seen.look()?;
        if sampled.elapsed() >= SAMPLE {
            sampled = Instant::now();
            parts.iter_mut().try_for_each(Part::sample)?;
        }
        if let Some(ended) = generator.has_ended()? {
            break ended;
        }
        sleep(LOOK);
    };
    ensure!(ended.code == Some(0), "generate ended with {:?}: {}", ended.code, ended.err);
    let checkpoints = Checkpoints::of(&mut parts[1])?;
    let costs: Vec<String> = parts.iter_mut().map(|part| part.cost(arguments.rate)).collect::<Result<_>>()?;
    let events = parts[0].process.metric("aqueduct_connector_records_total", "published")?;
    parts[0].process.stop()?;
    let subscription = format!("projects/{PROJECT}/subscriptions/{}-ctr", pipe.name());
    let billed = stand_in.billed(&subscription).context("`aqueduct setup` made the subscription")?;
    let messages = stand_in.received(&subscription).context("`aqueduct setup` made the subscription")?;
    pipe.until_reconciled()?;
    parts[1].process.stop()?;

    println!("{} events a second for {} minutes; {events} events\n", arguments.rate, arguments.minutes);
    println!("part       CPU s/million  cores  MB after a minute  MB at the end  MB at most");
    for cost in costs {
        println!("{cost}");
    }
    for part in &parts {
        println!("{} in MB, from the beginning to the end: {}", part.name, part.course());
    }
    println!("\n{seen}\n{checkpoints}");
    println!(
        "{:.1} bytes an event that Pub/Sub bills for publishing, {:.1} events a message",
        billed as f64 / events as f64,
        events as f64 / messages as f64
    );
    Ok(())
}

impl Part {
    fn start(name: &'static str, pipe: &Pipe) -> Result<Self> {
        let mut process = pipe.start(&[name])?;
        process.address()?;
        Ok(Self { name, process, cpu: 0.0, since: Instant::now(), memory: Vec::new() })
    }

    fn pid(&self) -> String {
        self.process.id().to_string()
    }

    fn begin(&mut self) -> Result<()> {
        (self.cpu, self.since) = (accounted::cpu(&self.pid())?, Instant::now());
        Ok(())
    }

    fn sample(&mut self) -> Result<()> {
        self.memory.push(accounted::resident(&self.pid())?);
        Ok(())
    }

    /// A dozen evenly spaced samples.
    fn course(&self) -> String {
        let step = self.memory.len().div_ceil(COURSE).max(1);
        let course: Vec<String> = self.memory.iter().step_by(step).map(|mb| format!("{mb:.0}")).collect();
        course.join(" ")
    }

    fn cost(&mut self, rate: u64) -> Result<String> {
        self.sample()?;
        let cores = (accounted::cpu(&self.pid())? - self.cpu) / self.since.elapsed().as_secs_f64();
        let minute = usize::try_from(60 / SAMPLE.as_secs())? - 1;
        let early = self.memory.get(minute).or(self.memory.last()).context("memory was looked at")?;
        let late = self.memory.last().context("memory was looked at")?;
        Ok(format!(
            "{:10} {:>13.2} {cores:>6.2} {early:>18.0} {late:>14.0} {:>11.0}",
            self.name,
            cores / rate as f64 * 1e6,
            accounted::peak(&self.pid())?
        ))
    }
}

impl Seen {
    fn new(pipe: &Pipe) -> Result<Self> {
        let database = Database::open(&pipe.path("rows.db"))?;
        Ok(Self { database, last: 0, delays: Histogram::new_with_max(LONGEST, DIGITS)? })
    }

    fn look(&mut self) -> Result<()> {
        let added = self.database.added_behind(self.last)?;
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
        for (number, end) in added {
            self.last = number;
            let due = end.parse::<Timestamp>()?.as_millisecond() + OUT_OF_ORDERNESS;
            // The first windows end before there is an event in all partitions.
            self.delays.record(u64::try_from(now - due).unwrap_or(0))?;
        }
        Ok(())
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |quantile| self.delays.value_at_quantile(quantile);
        write!(
            f,
            "{} rows, seen in the table so long after their window's end and the bound on disorder, in ms:\n\
             p50 {}, p99 {}, p99.9 {}, at most {}",
            self.delays.len(),
            at(0.5),
            at(0.99),
            at(0.999),
            self.delays.max()
        )
    }
}

/// The cost of the checkpoints.
struct Checkpoints {
    count: u64,
    /// As a share of the time of the run.
    share: f64,
    mean_kilobytes: f64,
}

impl Checkpoints {
    fn of(processor: &mut Part) -> Result<Self> {
        let page = processor.process.get("/metrics")?;
        let value = |name: &str| -> Result<f64> {
            let line =
                page.lines().find_map(|line| line.strip_prefix(name)).context("the metric is there")?;
            Ok(line.trim().parse()?)
        };
        let count = value("aqueduct_processor_checkpoint_seconds_count ")?;
        let bytes = value("aqueduct_processor_checkpoint_bytes_sum ")?;
        Ok(Self {
            count: count as u64,
            share: value("aqueduct_processor_checkpoint_seconds_sum ")?
                / processor.since.elapsed().as_secs_f64(),
            mean_kilobytes: bytes / count / 1e3,
        })
    }
}

impl fmt::Display for Checkpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} checkpoints of {:.0} kB each in the mean, one under way for {:.1} % of the time",
            self.count,
            self.mean_kilobytes,
            self.share * 100.0
        )
    }
}
