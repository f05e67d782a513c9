//! `make bench-pipe`: the cost of connector and processor, each alone, on a backlog of events.
//!
//! A real Kafka contains the events; the Pub/Sub stand-in runs in this process, so that its cost is measured
//! separately. First the connector publishes everything, then the processor counts it. Results are printed only if
//! `reconcile` finds no event missing. With `--format` the same events follow in another format, in the same run, or as JSON
//! in packs; the stand-in for a schema registry runs in this process, too.
#![forbid(unsafe_code)]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use benches::{
    accounted::{cpu, peak},
    rules::Rules,
    watch::until,
};
use clap::Parser;
use doubles::registry::SchemaRegistry;
use standin::pubsub::{Options, PubSub};
use tests::{
    kafka::create_topic,
    pipe::{PROJECT, Pipe},
    process::Process,
};
use tokio::runtime::{Builder, Runtime};

/// Measures the cost of connector and processor on a backlog of events.
#[derive(Parser)]
struct Arguments {
    /// Events in Kafka before the connector starts.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Partitions of the topic.
    #[arg(long, default_value_t = 6)]
    partitions: i32,
    /// The rules of the connector.
    #[arg(long, value_enum, default_value = "one-id")]
    rules: Rules,
    /// Formats of the values beside JSON, such as avro,protobuf; packs is JSON with `pack = true`.
    #[arg(long, value_enum, value_delimiter = ',')]
    format: Vec<Format>,
    /// Number of runs.
    #[arg(long, default_value_t = 3)]
    runs: u32,
}

/// How the values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
enum Format {
    Json,
    Avro,
    Protobuf,
    Packs,
}

const CONNECTOR: &str = "connector";
const PROCESSOR: &str = "processor";

/// Limit for a counter without progress.
const PATIENCE: Duration = Duration::from_secs(60);

/// The cost of a component.
struct Cost {
    /// Time for all events, at the rate between the first and the last that were seen.
    seconds: f64,
    /// CPU time of the process since its start.
    cpu: f64,
    /// CPU time of this process in the same time, for the Pub/Sub stand-in.
    stand_in_cpu: f64,
    /// Peak memory in MB.
    megabytes: f64,
    /// Bytes that Pub/Sub bills for publishing.
    bytes: u64,
}

#[expect(clippy::print_stdout, reason = "a command for people")]
fn main() -> Result<()> {
    let arguments = Arguments::parse();
    println!("{} events in {} partitions", arguments.events, arguments.partitions);
    println!(
        "run  part      format     events/s  CPU s/million  stand-in CPU s/million   MB  billed bytes/event"
    );
    let mut formats = vec![Format::Json];
    formats.extend(arguments.format.iter().filter(|format| **format != Format::Json));
    let mut all: BTreeMap<(&str, Format), Vec<f64>> = BTreeMap::new();
    for run in 1..=arguments.runs {
        for format in &formats {
            for (part, cost) in measure(&arguments, *format)? {
                let millions = arguments.events as f64 / 1e6;
                println!(
                    "{run:>3}  {part:9} {:8} {:>10.0} {:>14.2} {:>23.2} {:>4.0} {:>19.0}",
                    format.name(),
                    arguments.events as f64 / cost.seconds,
                    cost.cpu / millions,
                    cost.stand_in_cpu / millions,
                    cost.megabytes,
                    cost.bytes as f64 / arguments.events as f64
                );
                all.entry((part, *format)).or_default().push(cost.cpu / millions);
            }
        }
    }
    let medians: BTreeMap<_, _> = all.into_iter().map(|(of, cpu)| (of, median(cpu))).collect();
    for format in &formats[1..] {
        for part in [CONNECTOR, PROCESSOR] {
            let times = medians[&(part, *format)] / medians[&(part, Format::Json)];
            println!("{part}, {}: {times:.2} times the CPU of JSON (medians)", format.name());
        }
    }
    Ok(())
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Avro => "avro",
            Self::Protobuf => "protobuf",
            Self::Packs => "packs",
        }
    }

    /// The format of the values.
    fn of_values(self) -> &'static str {
        match self {
            Self::Packs => Self::Json.name(),
            other => other.name(),
        }
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn measure(arguments: &Arguments, format: Format) -> Result<[(&'static str, Cost); 2]> {
    let (stand_in, runtime) = start_stand_in(arguments.events)?;
    let registry = runtime.block_on(SchemaRegistry::start())?;
    let pipe = Pipe::new("bench")?.with("pubsub.emulator_host", &stand_in.host());
    arguments.rules.apply(&pipe)?;
    if format == Format::Packs {
        pipe.edit("[pubsub]", "[pubsub]\npack = true")?;
    } else if format != Format::Json {
        let url = registry.url();
        let sections = format!(
            "[kafka.format]\nvalue = \"{}\"\n[schema_registry]\nurl = \"{url}\"\n[pubsub]",
            format.name()
        );
        pipe.edit("[pubsub]", &sections)?;
    }
    create_topic(pipe.name(), arguments.partitions, &[])?;
    pipe.run_well(&["setup"])?;
    let events = arguments.events.to_string();
    let start =
        ["--rate", "10000", "--seed", "1", "--start", "2026-01-01T00:00:00Z", "--format", format.of_values()];
    let mut generate = pipe.start(&[&["generate", "--events", &events], &start[..]].concat())?;
    until(arguments.events, PATIENCE, || {
        Ok(if generate.has_ended()?.is_some() { arguments.events } else { 0 })
    })?;

    let mut connector = pipe.start(&["connector"])?;
    let carried = cost(arguments.events, &mut connector, |connector| {
        connector.metric("aqueduct_connector_records_total", "published")
    })?;
    let mut processor = pipe.start(&["processor"])?;
    let counted = cost(arguments.events, &mut processor, |processor| {
        processor.metric("aqueduct_processor_messages_total", "")
    })?;
    let subscription = format!("projects/{PROJECT}/subscriptions/{}-ctr", pipe.name());
    let bytes = stand_in.billed(&subscription).context("`aqueduct setup` made the subscription")?;
    connector.stop()?;
    pipe.until_reconciled()?;
    processor.stop()?;
    Ok([(CONNECTOR, Cost { bytes, ..carried }), (PROCESSOR, Cost { bytes, ..counted })])
}

/// Keeps all messages of a run.
fn start_stand_in(events: u64) -> Result<(PubSub, Runtime)> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let capacity = usize::try_from(events)? * 1_000;
    let stand_in = runtime.block_on(PubSub::start(Options { capacity, ..Options::default() }))?;
    Ok((stand_in, runtime))
}

fn cost(
    events: u64,
    process: &mut Process,
    mut done: impl FnMut(&mut Process) -> Result<u64>,
) -> Result<Cost> {
    let own = cpu("self")?;
    // Each value of the counter, and when it was first seen.
    let mut seen = Vec::new();
    until(events, PATIENCE, || {
        let done = done(process)?;
        if done > seen.last().map_or(0, |(_, last)| *last) {
            seen.push((Instant::now(), done));
        }
        Ok(done)
    })?;
    // The processor shows its counter twice a second. The last step may have taken less than that.
    seen.pop();
    let [(from, before), .., (to, after)] = seen[..] else {
        bail!("all was done within three steps of the counter; take more events")
    };
    let pid = process.id().to_string();
    Ok(Cost {
        seconds: (to - from).as_secs_f64() * events as f64 / (after - before) as f64,
        cpu: cpu(&pid)?,
        stand_in_cpu: cpu("self")? - own,
        megabytes: peak(&pid)?,
        bytes: 0,
    })
}
