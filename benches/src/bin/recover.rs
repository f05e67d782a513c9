//! `make bench-recover`: the cost of checkpoints of a large state, and the time that a processor takes to recover with
//! it.
//!
//! The state is created by the processor's core: every key in every slice, then a round of checkpoints and more, with
//! some keys changed before each. The part of a checkpoint in the event loop is timed separately from encoding and
//! writing, which happen outside the loop. Then the real binary starts with the state, and reports the time of
//! recovery. See `outage` for catching up with Pub/Sub.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use event::{EventTime, EventsSettings, Millis, Partition};
use flow::{Flow, FlowSettings};
use processor::{
    core::{Core, Data},
    frontier::Limits,
    outbox::Outbox,
    saved::{Budget, Round, save},
    store::{Appender, Recovered, Store, StoreError},
};
use standin::pubsub::{Options, PubSub};
use tests::{pipe::Pipe, process::Process};

/// The defaults of the processor.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures checkpoints of a large state, and recovery with it.
#[derive(Parser)]
struct Arguments {
    /// Number of keys.
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    /// Number of slices of a minute; every key has a count in each.
    #[arg(long, default_value_t = 70)]
    slices: u64,
    /// Whether each event has an ID of its own, and IDs are remembered.
    #[arg(long)]
    ids: bool,
    /// Whether each event is a view or a click of a join, two with each value.
    #[arg(long)]
    joins: bool,
    /// Checkpoints once the state is full.
    #[arg(long, default_value_t = 1_000)]
    checkpoints: u64,
    /// Keys that change before each.
    #[arg(long, default_value_t = 10_000)]
    changed: u64,
    /// Number of starts.
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
    if !arguments.ids {
        pipe.edit("id = \"/event_id\"\n", "")?;
    }
    if arguments.joins {
        let lateness = "allowed_lateness = \"2h\"\n";
        pipe.edit(lateness, &format!("{lateness}join = {{ on = \"/view_id\", within = \"30m\" }}\n"))?;
    }
    pipe.set("pubsub.emulator_host", &stand_in.host());
    pipe.set("state.memory", "4GiB");
    pipe.run_well(&["setup"])?;
    let made = Instant::now();
    let written = runtime.block_on(fill(&arguments, &pipe))?;
    println!(
        "{} keys x {} slices, {} checkpoints with {} keys changed: {} kB on disk in {} checkpoints ({:.0} s to make)",
        arguments.keys,
        arguments.slices,
        arguments.checkpoints,
        arguments.changed,
        written.disk / 1_000,
        written.chain,
        made.elapsed().as_secs_f64()
    );
    let [live, grown, peak] = [written.live, written.grown, written.peak].map(|bytes| bytes / 1_000_000);
    println!(
        "{live} MB of state by its own account; the process grew by {grown} MB, and by {peak} MB at its peak"
    );
    println!("checkpoints  median ms  longest ms");
    for (what, times) in [
        ("on the event loop, filling", &written.filling),
        ("on the event loop, full", &written.held_up),
        ("the same in CPU time", &written.cpu),
        ("encoding", &written.encoding),
        ("until durable", &written.durable),
    ] {
        let mut times = times.clone();
        times.sort();
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        let longest = times.last().copied().unwrap_or_default();
        println!("{what:<28} {:>8.2} {:>8.2}", millis(median), millis(longest));
    }
    println!("run  ms to recover  ms from start to recovered  MB resident");
    for run in 1..=arguments.runs {
        let started = Instant::now();
        let mut processor = pipe.start(&["processor"])?;
        processor.says(RECOVERED)?;
        let (all, said) = (started.elapsed(), recovery_time(&processor)?);
        let peak = processor.peak_memory()?;
        // Killed, so that the next run finds almost the same state.
        processor.kill()?;
        println!("{run:>3} {:>14} {:>27} {:>12}", said.as_millis(), all.as_millis(), peak / 1_000_000);
    }
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// A line of this process's status, in bytes.
fn status(line: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let value = status.lines().find_map(|found| found.strip_prefix(line)).context("Linux reports it")?;
    Ok(value.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

/// The recovery time that the processor logs.
fn recovery_time(processor: &Process) -> Result<Duration> {
    let err = processor.err();
    let line = err.lines().find(|line| line.contains(RECOVERED)).context("it said so")?;
    let millis = line.split("millis=").nth(1).and_then(|rest| rest.split_whitespace().next());
    Ok(Duration::from_millis(millis.context("the line has the time")?.parse()?))
}

/// The CPU time of this thread.
fn cpu_time() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(Duration::from_nanos(stat.split_whitespace().next().context("Linux reports it")?.parse()?))
}

/// A state on disk, and the cost of writing it.
#[derive(Default)]
struct Written {
    disk: u64,
    /// Number of checkpoints that the next start reads.
    chain: u64,
    live: u64,
    /// Growth of resident memory.
    grown: u64,
    peak: u64,
    /// Time of each checkpoint in the event loop, while the state grew and afterwards.
    filling: Vec<Duration>,
    held_up: Vec<Duration>,
    /// As `held_up`, without the time of other processes on these cores.
    cpu: Vec<Duration>,
    encoding: Vec<Duration>,
    durable: Vec<Duration>,
}

/// Writes the state to the pipeline's directory.
async fn fill(arguments: &Arguments, pipe: &Pipe) -> Result<Written> {
    let before = status("VmRSS:")?;
    let store = Store::open("file://./state", &pipe.path("."))?;
    let (recovered, ()): (Recovered, ()) = store.recover(|| (), |(), _| Ok::<_, StoreError>(())).await?;
    let mut filling = Filling {
        core: core(pipe)?,
        partition: Partition { topic: pipe.name().into(), incarnation: "bench-recover".into(), partition: 0 },
        offset: 0,
        outbox: Outbox::default(),
        round: Round::default(),
        appender: store.appender(&recovered),
    };
    let mut written = Written::default();
    for slice in 0..arguments.slices {
        for key in 0..arguments.keys {
            filling.count(key, slice);
            if filling.offset.is_multiple_of(50_000) {
                filling.checkpoint(&mut written).await?;
            }
        }
    }
    written.filling = std::mem::take(&mut written.held_up);
    for checkpoint in 0..arguments.checkpoints {
        let first = checkpoint * arguments.changed;
        for key in first..first + arguments.changed {
            filling.count(key % arguments.keys, arguments.slices - 1);
        }
        filling.checkpoint(&mut written).await?;
    }
    let flow = filling.core.engine().flows().first().context("there is a flow")?;
    ensure!(flow.windows.key_count() as u64 == arguments.keys, "{} keys", flow.windows.key_count());
    written.live = filling.core.bytes();
    written.grown = status("VmRSS:")?.saturating_sub(before);
    written.peak = status("VmHWM:")?.saturating_sub(before);
    written.chain = filling.appender.chain();
    let files = fs::read_dir(pipe.path("state"))?;
    written.disk = files.map(|file| Ok(file?.metadata()?.len())).sum::<Result<u64>>()?;
    Ok(written)
}

/// A core while it is filled.
struct Filling {
    core: Core,
    partition: Partition,
    offset: u64,
    outbox: Outbox,
    round: Round,
    appender: Appender,
}

impl Filling {
    /// Writes the changes, and the next part of the full copy.
    async fn checkpoint(&mut self, written: &mut Written) -> Result<()> {
        let (began, on_cpu) = (Instant::now(), cpu_time()?);
        let budget = Budget::of(self.core.bytes(), self.appender.chain());
        let mut outboxes = [("sqlite".into(), &mut self.outbox)];
        let saved = save(&mut self.core, &mut outboxes, &mut self.round, budget);
        written.held_up.push(began.elapsed());
        written.cpu.push(cpu_time()?.saturating_sub(on_cpu));
        let (part, began) = (saved.part, Instant::now());
        let payload = saved.encode()?;
        drop(saved);
        written.encoding.push(began.elapsed());
        let began = Instant::now();
        self.appender.append(part, payload.into()).await?;
        if self.appender.has_old() {
            self.appender.prune().await;
        }
        written.durable.push(began.elapsed());
        Ok(())
    }

    /// Adds an event of a key to a slice; cells differ, because the checkpoint is compressed.
    fn count(&mut self, key: u64, slice: u64) {
        let time = START + slice as i64 * MINUTE;
        let kind = if (key * 31 + slice * 17).is_multiple_of(5) { "click" } else { "view" };
        let payload = format!(
            r#"{{"type":"{kind}","time":{time},"page":"/p/{}","box":"box-{}","event_id":"{}","view_id":"{}"}}"#,
            key / 100,
            key % 100,
            self.offset,
            self.offset / 2,
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

/// A core for the flows of the pipeline's configuration.
fn core(pipe: &Pipe) -> Result<Core> {
    let config: toml::Table = toml::from_str(&fs::read_to_string(pipe.path("aqueduct.toml"))?)?;
    let events: EventsSettings = config["events"].clone().try_into()?;
    let flows: Vec<FlowSettings> = config["flows"].clone().try_into()?;
    let flows = flows.into_iter().map(Flow::try_from).collect::<Result<Vec<_>, _>>()?;
    let limits =
        Limits { idle_after: Millis(1_000), hole_limit: Millis(600_000), cold_start: Millis(20_000) };
    Ok(Core::new(&events, flows, limits, EventTime(0)))
}
