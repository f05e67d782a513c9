//! `make bench-pipe`: the cost of connector and processor, each alone, on a backlog of events.
//!
//! A real Kafka contains the events; the Pub/Sub stand-in runs in this process, so that its cost is measured
//! separately. First the connector publishes everything, then the processor counts it. Results are printed only if
//! `reconcile` finds no event missing. With `--format` the same events follow in another format, in the same run, or as JSON
//! in packs; the stand-in for a schema registry runs in this process, too. With `--cores` the processor follows on that many
//! cores.
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
use serde_json::json;
use standin::pubsub::{Options, PubSub};
use tests::{
    http,
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
    /// Numbers of cores that the processor runs on, in turn, such as 1,2; without it, on all of them.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    cores: Vec<u32>,
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

/// What is measured: a component, the format of the values, and on how many cores, if that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    part: &'static str,
    format: Format,
    cores: Option<u32>,
}

/// Events a second, and CPU-seconds for a million events, of each run.
type Results = BTreeMap<Subject, Vec<(f64, f64)>>;

#[expect(clippy::print_stdout, reason = "a command for people")]
fn main() -> Result<()> {
    let arguments = Arguments::parse();
    println!("{} events in {} partitions", arguments.events, arguments.partitions);
    println!(
        "run  part      format    cores   events/s  CPU s/million  stand-in CPU s/million   MB  billed bytes/event"
    );
    let mut formats = vec![Format::Json];
    formats.extend(arguments.format.iter().filter(|format| **format != Format::Json));
    let mut results = Results::new();
    for run in 1..=arguments.runs {
        for format in &formats {
            for (subject, cost) in measure(&arguments, *format)? {
                let (events, millions) = (arguments.events as f64, arguments.events as f64 / 1e6);
                let Subject { part, cores, .. } = subject;
                println!(
                    "{run:>3}  {part:9} {:8} {:>6} {:>10.0} {:>14.2} {:>23.2} {:>4.0} {:>19.0}",
                    format.name(),
                    cores.map_or_else(|| "all".to_owned(), |cores| cores.to_string()),
                    events / cost.seconds,
                    cost.cpu / millions,
                    cost.stand_in_cpu / millions,
                    cost.megabytes,
                    cost.bytes as f64 / events
                );
                results.entry(subject).or_default().push((events / cost.seconds, cost.cpu / millions));
            }
        }
    }
    let compared = |of: fn(&(f64, f64)) -> f64, subject: Subject, with: Subject| {
        let median = |subject| median(results[&subject].iter().map(of).collect());
        median(subject) / median(with)
    };
    for &subject in results.keys() {
        let Subject { part, format, cores } = subject;
        let json = Subject { format: Format::Json, ..subject };
        let name = format.name();
        if subject != json {
            let times = compared(|(_, cpu)| *cpu, subject, json);
            println!("{part}, {name}: {times:.2} times the CPU of JSON (medians)");
        }
        let first = Subject { cores: arguments.cores.first().copied(), ..subject };
        if let (Some(cores), Some(first_cores)) = (cores, first.cores)
            && subject != first
        {
            let times = compared(|(rate, _)| *rate, subject, first);
            println!(
                "{part}, {name}: {times:.2} times the events/s on {cores} cores as on {first_cores} (medians)"
            );
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

/// The connector, then the processor on each number of cores: each of them counts everything, into a state of its own.
fn measure(arguments: &Arguments, format: Format) -> Result<Vec<(Subject, Cost)>> {
    let (stand_in, runtime) = start_stand_in(arguments.events)?;
    let registry = runtime.block_on(SchemaRegistry::start())?;
    let mut pipe = Pipe::new("bench")?.with("pubsub.emulator_host", &stand_in.host());
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
    let subscription = format!("projects/{PROJECT}/subscriptions/{}-ctr", pipe.name());
    let bytes = stand_in.billed(&subscription).context("`aqueduct setup` made the subscription")?;
    let subject = Subject { part: CONNECTOR, format, cores: None };
    let mut costs = vec![(subject, Cost { bytes, ..carried })];
    let all = arguments.cores.iter().map(|cores| Some(*cores));
    let all = if arguments.cores.is_empty() { vec![None] } else { all.collect() };
    for (number, cores) in all.into_iter().enumerate() {
        if number > 0 {
            start_over(&mut pipe, &stand_in, number)?;
        }
        let mut processor = match cores {
            Some(cores) => pipe.start_on(cores, &["processor"])?,
            None => pipe.start(&["processor"])?,
        };
        let counted = cost(arguments.events, &mut processor, |processor| {
            processor.metric("aqueduct_processor_messages_total", "")
        })?;
        pipe.until_reconciled()?;
        processor.stop()?;
        costs.push((Subject { part: PROCESSOR, format, cores }, Cost { bytes, ..counted }));
    }
    connector.stop()?;
    Ok(costs)
}

/// The next processor counts everything again, into a state and a table of its own.
fn start_over(pipe: &mut Pipe, stand_in: &PubSub, number: usize) -> Result<()> {
    pipe.set("state.checkpoints", &format!("file://./state-{number}"));
    pipe.set("writer.path", &format!("rows-{number}.db"));
    for suffix in ["ctr", "ctr-marks"] {
        let path = format!("/v1/projects/{PROJECT}/subscriptions/{}-{suffix}:seek", pipe.name());
        http::request(&stand_in.host(), "POST", &path, Some(&json!({ "time": "1970-01-01T00:00:00Z" })))?;
    }
    Ok(())
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
