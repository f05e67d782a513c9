//! `make bench-recover`: what checkpoints of a large state cost, and how long a processor takes to come back with it.
//!
//! The state is made by the processor's own core: every key seen in every slice, then some deltas on top, each timed from
//! its encoding until it is durable. Then the real binary starts with it, and says how long recovery took. Not here:
//! catching up with what lies in Pub/Sub (`outage`).

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use event::{EventTime, EventsSettings, Millis, Partition};
use processor::{
    core::{Core, Data},
    flow::{Flow, FlowSettings},
    frontier::Limits,
    outbox::Outbox,
    saved::save,
    store::{Appender, Kind, Store},
};
use standin::pubsub::{Options, PubSub};
use tests::{pipe::Pipe, process::Process};

/// What checkpoints of a large state cost, and how long a processor takes to come back with it.
#[derive(Parser)]
struct Arguments {
    /// Keys.
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    /// Slices of a minute; every key has a count in each.
    #[arg(long, default_value_t = 70)]
    slices: u64,
    /// Deltas on top of the base; the processor writes a new base after 500.
    #[arg(long, default_value_t = 500)]
    deltas: u64,
    /// Keys that change in each delta.
    #[arg(long, default_value_t = 10_000)]
    changed: u64,
    /// How often to start.
    #[arg(long, default_value_t = 3)]
    runs: u32,
}

const MINUTE: i64 = 60_000;
/// A whole minute.
const START: i64 = 1_760_000_040_000;
const RECOVERED: &str = "state recovered";

#[expect(clippy::print_stdout, reason = "a command for people")]
fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    let stand_in = runtime.block_on(PubSub::start(Options::default()))?;
    let mut pipe = Pipe::new("recover")?;
    pipe.edit("id = \"/event_id\"\n", "")?;
    pipe.set("pubsub.emulator_host", &stand_in.host());
    pipe.set("state.memory", "4GiB");
    pipe.run_well(&["setup"])?;
    let made = Instant::now();
    let mut written = runtime.block_on(fill(&arguments, &pipe))?;
    println!(
        "{} keys x {} slices, {} deltas of {} keys: {} kB ({:.0} s to make)",
        arguments.keys,
        arguments.slices,
        arguments.deltas,
        arguments.changed,
        written.bytes / 1_000,
        made.elapsed().as_secs_f64()
    );
    written.deltas.sort();
    let under_way = written.base + written.deltas.iter().sum::<Duration>();
    println!(
        "a delta takes {:.1} ms in the median, {:.1} at most, a base {:.0} ms; \
         one a second, with a base in {}: under way for {:.2} % of the time",
        millis(written.deltas.get(written.deltas.len() / 2).copied().unwrap_or_default()),
        millis(written.deltas.last().copied().unwrap_or_default()),
        millis(written.base),
        arguments.deltas + 1,
        under_way.as_secs_f64() * 100.0 / (arguments.deltas + 1) as f64,
    );
    println!("run  ms to recover  ms from start to recovered  MB resident");
    for run in 1..=arguments.runs {
        let started = Instant::now();
        let mut processor = pipe.start(&["processor"])?;
        processor.says(RECOVERED)?;
        let (all, said) = (started.elapsed(), told(&processor)?);
        let peak = processor.peak_memory()?;
        // Killed, so that the next run finds the same state but for a delta.
        processor.kill()?;
        println!("{run:>3} {:>14} {:>27} {:>12}", said.as_millis(), all.as_millis(), peak / 1_000_000);
    }
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// How long recovery took, as the processor says.
fn told(processor: &Process) -> Result<Duration> {
    let err = processor.err();
    let line = err.lines().find(|line| line.contains(RECOVERED)).context("it said so")?;
    let millis = line.split("millis=").nth(1).and_then(|rest| rest.split_whitespace().next());
    Ok(Duration::from_millis(millis.context("the line tells how long")?.parse()?))
}

/// A state on disk.
struct Written {
    bytes: u64,
    /// How long each checkpoint took.
    base: Duration,
    deltas: Vec<Duration>,
}

/// Writes the state into the pipe's folder.
async fn fill(arguments: &Arguments, pipe: &Pipe) -> Result<Written> {
    let mut filling = Filling {
        core: core(pipe)?,
        partition: Partition { topic: pipe.name().into(), incarnation: "bench-recover".into(), partition: 0 },
        offset: 0,
    };
    let mut outbox = Outbox::default();
    let store = Store::open("file://./state", &pipe.path("."))?;
    let mut appender = store.appender(&store.recover().await?);
    for slice in 0..arguments.slices {
        (0..arguments.keys).for_each(|key| filling.count(key, slice));
    }
    let base = filling.checkpoint(&mut outbox, &mut appender, Kind::Base).await?;
    let mut deltas = Vec::new();
    for delta in 0..arguments.deltas {
        let first = delta * arguments.changed;
        for key in first..first + arguments.changed {
            filling.count(key % arguments.keys, arguments.slices - 1);
        }
        deltas.push(filling.checkpoint(&mut outbox, &mut appender, Kind::Delta).await?);
    }
    let flow = filling.core.engine().flows().first().context("there is a flow")?;
    ensure!(flow.windows.key_count() as u64 == arguments.keys, "{} keys", flow.windows.key_count());
    let files = fs::read_dir(pipe.path("state"))?;
    let bytes = files.map(|file| Ok(file?.metadata()?.len())).sum::<Result<u64>>()?;
    Ok(Written { bytes, base, deltas })
}

/// A core that is being filled.
struct Filling {
    core: Core,
    partition: Partition,
    offset: u64,
}

impl Filling {
    /// Writes what changed, or everything; how long that took.
    async fn checkpoint(
        &mut self,
        outbox: &mut Outbox,
        appender: &mut Appender,
        kind: Kind,
    ) -> Result<Duration> {
        let began = Instant::now();
        let payload = save(&mut self.core, outbox, kind == Kind::Base).encode()?;
        appender.append(kind, payload.into()).await?;
        Ok(began.elapsed())
    }

    /// One more event of a key in a slice; not all cells alike, as the checkpoint is compressed.
    fn count(&mut self, key: u64, slice: u64) {
        let time = START + slice as i64 * MINUTE;
        let kind = if (key * 31 + slice * 17).is_multiple_of(5) { "click" } else { "view" };
        let payload = format!(
            r#"{{"type":"{kind}","time":{time},"page":"/p/{}","box":"box-{}"}}"#,
            key / 100,
            key % 100
        );
        let data = Data {
            position: Some((&self.partition, self.offset)),
            kafka_time: Some(EventTime(time)),
            publish_time: EventTime(time),
            payload: payload.as_bytes(),
        };
        self.core.data(&data, EventTime(time));
        self.offset += 1;
    }
}

/// A core for the flows of the pipe's configuration.
fn core(pipe: &Pipe) -> Result<Core> {
    let config: toml::Table = toml::from_str(&fs::read_to_string(pipe.path("aqueduct.toml"))?)?;
    let events: EventsSettings = config["events"].clone().try_into()?;
    let flows: Vec<FlowSettings> = config["flows"].clone().try_into()?;
    let flows = flows.into_iter().map(Flow::try_from).collect::<Result<Vec<_>, _>>()?;
    let limits =
        Limits { idle_after: Millis(1_000), hole_limit: Millis(600_000), cold_start: Millis(20_000) };
    Ok(Core::new(&events, flows, limits, EventTime(0)))
}
