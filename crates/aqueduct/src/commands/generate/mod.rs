//! `aqueduct generate`: page views and clicks, into Kafka at their time or into a file as fast as possible.
//!
//! See [`crate::traffic`] for the events.

use std::{
    io::{self, Write as _},
    num::{NonZeroU32, NonZeroU64},
    path::{Path, PathBuf},
    process::ExitCode,
};

use ::kafka::Producer;
use codec::registry::{Registry, RegistryError};
use event::{EventTime, Millis};
use service::Metrics;
use tokio::runtime::Handle;

use crate::{
    errors::WrongUsage,
    global::{self, Global},
    runtime,
    traffic::{self, DEFAULT_START, Encoder, Shape, Share, Traffic},
};

mod file;
mod kafka;
mod tally;

pub(crate) use tally::Tally;

/// The options of `generate`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Events per second. Kafka receives them at this rate; in a file, only their times have it
    #[arg(long, value_name = "N", default_value = "1000")]
    rate: NonZeroU64,
    /// Stop after this number of events
    #[arg(long, value_name = "N")]
    events: Option<u64>,
    /// Stop when the event times span this duration, such as 30s, 10m or 2h
    #[arg(long, value_name = "TIME")]
    duration: Option<Millis>,
    /// Number of users; a few of them are very active, most are not
    #[arg(long, value_name = "N", default_value = "100000")]
    users: NonZeroU32,
    /// Number of pages; page n is viewed 1/n times as often as page 1
    #[arg(long, value_name = "N", default_value = "200")]
    pages: NonZeroU32,
    /// Number of boxes (content slots), each with its own click-through rate
    #[arg(long, value_name = "N", default_value = "20")]
    boxes: NonZeroU32,
    /// Share of events that are written one second to ten minutes late, such as 1% or 0.01
    #[arg(long, value_name = "SHARE", default_value = "0%")]
    late: Share,
    /// Share of events that are written twice, within a minute
    #[arg(long, value_name = "SHARE", default_value = "0%")]
    duplicates: Share,
    /// Share of broken events: truncated JSON, arrays, null values, no time, invalid times, wrong shapes, invalid UTF-8
    #[arg(long, value_name = "SHARE", default_value = "0%")]
    broken: Share,
    /// Seed of the random numbers; with the same seed and options, a file has the same bytes [default: 1 for a file,
    /// random for Kafka]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Time of the first event [default: 2026-01-01T00:00:00Z for a file, now for Kafka]. Events in the past are sent
    /// to Kafka immediately
    #[arg(long, value_name = "TIME", value_parser = global::time)]
    start: Option<EventTime>,
    /// Write JSON lines to this file instead of Kafka, compressed if it ends in .gz or .zst; - is standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Format of the values in Kafka. For Avro and Protobuf, the schema is registered at [schema_registry], and values
    /// begin with its ID, as with Confluent's serializers; broken events do not
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
    /// Kafka topic [default: the first of [kafka] topics]
    #[arg(long, conflicts_with = "output")]
    topic: Option<String>,
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Json,
    Avro,
    Protobuf,
}

/// Shown by `--help`.
pub(crate) const EXAMPLE: &str = "\
Example: 100,000 events over an hour, some of them late or broken, in a compressed file
  aqueduct generate --events 100000 --rate 28 --late 1% --broken 0.1% --output events.ndjson.zst
live traffic for the configured Kafka topic, until Ctrl-C
  aqueduct generate --rate 2000
the same in Avro, with the schema in the registry
  aqueduct generate --rate 2000 --format avro";

/// Number and shape of the events.
pub(crate) struct Order {
    pub(crate) traffic: Traffic,
    pub(crate) limit: Option<u64>,
    pub(crate) seed: u64,
}

/// Generates events until there are enough or it is stopped.
///
/// # Errors
/// The file or Kafka rejects them.
pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    let tally = match &args.output {
        Some(path) => to_file(args, path)?,
        None => to_kafka(args, global)?,
    };
    // Lost only when standard error is closed.
    let _ = writeln!(io::stderr(), "{tally}");
    Ok(ExitCode::SUCCESS)
}

fn to_file(args: &Args, path: &Path) -> anyhow::Result<Tally> {
    if args.format != Format::Json {
        let text = "--format avro and protobuf require Kafka, because their schema is in a registry; remove --output or --format";
        return Err(WrongUsage(text.to_owned()).into());
    }
    let order = args.order(args.seed.unwrap_or(1), args.start.unwrap_or(DEFAULT_START));
    if order.limit.is_none() && path != Path::new("-") {
        let text = "--output requires a limit; add --events N or --duration TIME, for example --duration 1h"
            .to_owned();
        return Err(WrongUsage(text).into());
    }
    runtime::run_blocking(|shutdown| file::write(order, path, &shutdown))
}

fn to_kafka(args: &Args, global: &Global) -> anyhow::Result<Tally> {
    let config = global.config()?;
    let kafka = config.kafka()?;
    global.start_logging()?;
    let now = EventTime(jiff::Timestamp::now().as_millisecond());
    let start = args.start.unwrap_or(now);
    if start > now {
        let text = format!(
            "--start {start} is in the future, but Kafka receives each event at its time; choose an earlier time, or use --output"
        );
        return Err(WrongUsage(text).into());
    }
    // Not the seed of an earlier run, whose event IDs would count as duplicates.
    let seed = args.seed.unwrap_or_else(|| u64::from(std::process::id()) << 48 ^ now.0.unsigned_abs());
    let topic = args.topic.clone().unwrap_or_else(|| kafka.topics[0].to_string());
    let registry = match args.format {
        Format::Json => None,
        Format::Avro | Format::Protobuf => Some(config.registry()?),
    };
    let producer = Producer::connect(&kafka, topic)?;
    runtime::run_blocking(|shutdown| {
        let encoder = match registry {
            None => Encoder::Json,
            Some(registry) => {
                let (registry, _) = Registry::new(registry, &Metrics::default())?;
                Handle::current().block_on(args.format.register(&registry, producer.topic()))?
            }
        };
        kafka::send(args.order(seed, start), encoder, &producer, &shutdown)
    })
}

impl Format {
    /// Registers the schema of the events for a topic, unless it is registered already.
    async fn register(self, registry: &Registry, topic: &str) -> Result<Encoder, RegistryError> {
        let subject = format!("{topic}-value");
        let register = async |format, text| registry.register(&subject, format, text).await;
        Ok(match self {
            Self::Json => Encoder::Json,
            Self::Avro => Encoder::Avro { id: register(codec::Format::Avro, traffic::AVRO).await? },
            Self::Protobuf => {
                Encoder::Protobuf { id: register(codec::Format::Protobuf, traffic::PROTOBUF).await? }
            }
        })
    }
}

impl Args {
    fn order(&self, seed: u64, start: EventTime) -> Order {
        let shape = Shape {
            users: self.users,
            pages: self.pages,
            boxes: self.boxes,
            rate: self.rate,
            start,
            late: self.late,
            duplicates: self.duplicates,
            broken: self.broken,
        };
        Order { traffic: Traffic::new(shape, seed), limit: self.limit(), seed }
    }

    /// The smaller of `--events` and the number of events in `--duration`.
    fn limit(&self) -> Option<u64> {
        let held = self.duration.map(|duration| {
            let events = u128::from(self.rate.get()) * u128::from(duration.0.unsigned_abs()) / 1000;
            u64::try_from(events).unwrap_or(u64::MAX)
        });
        [self.events, held].into_iter().flatten().min()
    }
}
