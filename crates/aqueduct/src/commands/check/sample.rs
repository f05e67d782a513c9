//! `aqueduct check --sample N`: reads the newest records and reports what happens to them. Publishes and
//! commits nothing.
//!
//! See [`crate::sample`] for the report.

use std::{borrow::Cow, num::NonZeroU64, path::Path, process::ExitCode, sync::Arc};

use anyhow::bail;
use codec::Schema;
use connector::{
    anonymise::{Anonymiser, KeyRule, Raw},
    decode::Event,
};
use event::EventTime;
use kafka::{KafkaConfig, Log, LogRange, Polled, Record};
use tokio_util::sync::CancellationToken;

use super::{Args, Sections};
use crate::{
    config::{Config, absent_tag, places},
    decoding::Decoding,
    errors::WrongUsage,
    grid::Format,
    input::{Block, Input},
    progress, runtime,
    sample::{Known, Report, Sample, Times},
};

/// Number of lines of a file without `--sample`.
const RECORDS: u64 = 10_000;
/// Number of records between two updates of the progress bar.
const GLANCE: u64 = 256;

/// Reads a sample and reports what happens to its fields.
///
/// # Errors
/// `[anonymise]` is missing, the file or Kafka cannot be read, or there are no records.
pub(super) fn run(args: &Args, config: &Config, sections: &Sections) -> anyhow::Result<ExitCode> {
    let rules = config.anonymise()?;
    let anonymiser = sections.anonymiser.clone().expect("a valid section has rules");
    let wanted = args.sample.map_or(RECORDS, NonZeroU64::get);
    let times = sections.events.as_ref().map(Times::new);
    let declared = sections.formats.as_ref();
    let decoding = match (declared, &args.sample_file) {
        (None, _) => None,
        (Some(declared), Some(_)) => Some(Decoding::of_lines(declared)),
        (Some(declared), None) => Some(Decoding::new(declared, rules.key != KeyRule::Drop)?),
    };
    let sample = Sample::new(rules.key, &known(sections));
    let reading = Reading { anonymiser, decoding, sample, times, wanted, tags: rules.pseudonymise.tags };
    let (source, sample, times) = runtime::run_blocking(|stop| match &args.sample_file {
        Some(file) => of_file(reading, file, (config, topic(sections.kafka.as_ref())), &stop),
        None => of_kafka(reading, &config.kafka()?, &stop),
    })?;
    if sample.records() == 0 {
        bail!("{source} contains no records; choose another source, or wait until records are written");
    }
    let report = Report::of(sample, times, source, sections.warnings.clone());
    args.format.print(&report, Report::to_string)?;
    Ok(ExitCode::SUCCESS)
}

/// Rejects options that exclude each other.
pub(super) fn check_usage(args: &Args) -> Result<(), WrongUsage> {
    let is_sample = args.sample.is_some() || args.sample_file.is_some();
    if args.format == Format::Json && !is_sample {
        return Err(WrongUsage(
            "--format requires --sample or --sample-file; add one of them, or remove --format".to_owned(),
        ));
    }
    if args.offline && is_sample && args.sample_file.is_none() {
        return Err(WrongUsage(
            "--sample reads Kafka and cannot be used with --offline; use --sample-file".to_owned(),
        ));
    }
    Ok(())
}

/// The state of a sample while it is read.
struct Reading {
    anonymiser: Anonymiser,
    /// `None` if every record is JSON as it is.
    decoding: Option<Decoding>,
    sample: Sample,
    times: Option<Times>,
    wanted: u64,
    /// The tags that the schema of a file must have.
    tags: Vec<Arc<str>>,
}

impl Reading {
    fn is_complete(&self) -> bool {
        self.sample.records() >= self.wanted
    }

    /// Takes a record of Kafka; returns `false` if the sample was stopped.
    fn record(&mut self, topic: &str, record: &Record<'_>, stop: &CancellationToken) -> anyhow::Result<bool> {
        let headers: Vec<(&str, &[u8])> = record.headers().collect();
        let raw = codec::Raw { key: record.key, value: record.value, headers: &headers };
        self.take(topic, &raw, (record.timestamp, None), stop)
    }

    fn take(
        &mut self,
        topic: &str,
        raw: &codec::Raw<'_>,
        (timestamp, of_file): (Option<EventTime>, Option<&Arc<dyn Schema>>),
        stop: &CancellationToken,
    ) -> anyhow::Result<bool> {
        let (sample, anonymiser, times) = (&mut self.sample, &mut self.anonymiser, &mut self.times);
        let look = |event: Result<Event<'_>, &'static str>| match event {
            Ok(Event { key, value, schema }) => {
                let raw = Raw { topic, value, key: key.as_deref(), headers: raw.headers };
                sample.take(anonymiser, &raw, schema.or(of_file));
                if let (Some(times), Some(value)) = (times, value) {
                    times.take(topic, value, timestamp);
                }
            }
            Err(code) => sample.reject(code, None),
        };
        match &mut self.decoding {
            Some(decoding) => Ok(decoding.decode(topic, raw, stop, look)?.is_some()),
            None => {
                look(Ok(Event { key: raw.key.map(Cow::Borrowed), value: raw.value, schema: None }));
                Ok(true)
            }
        }
    }
}

fn of_file(
    mut reading: Reading,
    path: &Path,
    (config, topic): (&Config, &str),
    stop: &CancellationToken,
) -> anyhow::Result<(String, Sample, Option<Times>)> {
    let mut input = Input::open(path, stop)?;
    let source = input.name().to_owned();
    match input.schema() {
        None => config.refuse_tags()?,
        Some(schema) => {
            if let Some(problem) = absent_tag(&reading.tags, &[&*schema]) {
                return Err(config.error_at("anonymise.pseudonymise", problem).into());
            }
        }
    }
    let schema = input.schema().map(|schema| match &mut reading.decoding {
        Some(decoding) => decoding.schema_of_events(topic, &schema),
        None => schema,
    });
    let mut block = Block::default();
    while !reading.is_complete() && !stop.is_cancelled() && input.next_block(&mut block)? {
        for line in block.lines() {
            if reading.is_complete() || stop.is_cancelled() {
                break;
            }
            match line.bytes {
                Ok(value) => {
                    let raw = codec::Raw { key: None, value: Some(value), headers: &[] };
                    reading.take(topic, &raw, (None, schema.as_ref()), stop)?;
                }
                Err(reason) => reading.sample.reject(reason, None),
            }
        }
    }
    Ok((source, reading.sample, reading.times))
}

fn of_kafka(
    mut reading: Reading,
    kafka: &KafkaConfig,
    stop: &CancellationToken,
) -> anyhow::Result<(String, Sample, Option<Times>)> {
    let bar = progress::counting(reading.wanted, "records");
    let each = reading.wanted.div_ceil(kafka.topics.len().max(1) as u64);
    for topic in &kafka.topics {
        let mut log = Log::open(kafka, topic, LogRange::Newest(each))?;
        for partition in 0..log.partitions() {
            while !reading.is_complete() {
                let Polled::Record(owned) = log.take(partition, stop)? else { break };
                if !reading.record(topic, &owned.record(), stop)? {
                    break;
                }
                if reading.sample.records().is_multiple_of(GLANCE) {
                    bar.set_position(reading.sample.records());
                }
            }
        }
    }
    bar.finish_and_clear();
    let topics: Vec<&str> = kafka.topics.iter().map(AsRef::as_ref).collect();
    let noun = if topics.len() == 1 { "topic" } else { "topics" };
    Ok((format!("Kafka {noun} {} (the newest)", topics.join(", ")), reading.sample, reading.times))
}

/// The topic of the events in a file, where only one is configured.
fn topic(kafka: Option<&KafkaConfig>) -> &str {
    match kafka.map(|kafka| kafka.topics.as_slice()) {
        Some([only]) => only,
        _ => "",
    }
}

/// The pointers that the configuration reads.
fn known(sections: &Sections) -> Known {
    let mut known = Known::default();
    if let Some(events) = &sections.events {
        let own = || events.topics.values();
        known.times = own().filter_map(|own| own.time.clone()).chain([events.time.clone()]).collect();
        known.others = own().filter_map(|own| own.id.clone()).chain(events.id.clone()).collect();
    }
    known.others.extend(places(&sections.flows).into_iter().map(|place| place.pointer.clone()));
    known
}
