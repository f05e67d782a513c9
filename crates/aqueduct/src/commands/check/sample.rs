//! `aqueduct check --sample N`: reads the newest records and reports what happens to them. Publishes and
//! commits nothing.
//!
//! See [`crate::sample`] for the report.

use std::{
    io::{self, Write as _},
    num::NonZeroU64,
    path::Path,
    process::ExitCode,
};

use anyhow::bail;
use connector::anonymise::{Anonymiser, Raw, RejectCode};
use kafka::{KafkaConfig, Log, LogRange, Polled, Record};
use tokio_util::sync::CancellationToken;

use super::{Args, Sections};
use crate::{
    config::{Config, places},
    errors::WrongUsage,
    grid::Format,
    input::Input,
    output::mark_closed,
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
    let reading = Reading { anonymiser, sample: Sample::new(rules.key, &known(sections)), times, wanted };
    let (source, sample, times) = runtime::run_blocking(|stop| match &args.sample_file {
        Some(file) => of_file(reading, file, topic(sections.kafka.as_ref()), &stop),
        None => of_kafka(reading, &config.kafka()?, &stop),
    })?;
    if sample.records() == 0 {
        bail!("{source} contains no records; choose another source, or wait until records are written");
    }
    let report = Report::of(sample, times, source, sections.warnings.clone());
    let text = match args.format {
        Format::Text => report.to_string(),
        Format::Json => serde_json::to_string_pretty(&report)? + "\n",
    };
    io::stdout().write_all(text.as_bytes()).map_err(mark_closed)?;
    Ok(ExitCode::SUCCESS)
}

/// Rejects options that exclude each other.
pub(super) fn check_usage(args: &Args) -> Result<(), WrongUsage> {
    let is_sample = args.sample.is_some() || args.sample_file.is_some();
    if args.format == Format::Json && !is_sample {
        return Err(WrongUsage("--format requires --sample; add it, or remove --format".to_owned()));
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
    sample: Sample,
    times: Option<Times>,
    wanted: u64,
}

impl Reading {
    fn is_complete(&self) -> bool {
        self.sample.records() >= self.wanted
    }

    fn record(&mut self, topic: &str, record: &Record<'_>) {
        let headers: Vec<(&str, &[u8])> = record.headers().collect();
        let raw = Raw { topic, value: record.value, key: record.key, headers: &headers };
        self.sample.take(&mut self.anonymiser, &raw);
        if let (Some(times), Some(value)) = (&mut self.times, record.value) {
            times.take(topic, value, record.timestamp);
        }
    }
}

fn of_file(
    mut reading: Reading,
    path: &Path,
    topic: &str,
    stop: &CancellationToken,
) -> anyhow::Result<(String, Sample, Option<Times>)> {
    let mut input = Input::open(path, stop)?;
    let source = input.name().to_owned();
    while !reading.is_complete() && !stop.is_cancelled() {
        let Some(line) = input.next_line()? else { break };
        match line.bytes {
            Some(value) => {
                let raw = Raw { topic, value: Some(value), key: None, headers: &[] };
                reading.sample.take(&mut reading.anonymiser, &raw);
                reading.times.iter_mut().for_each(|times| times.take(topic, value, None));
            }
            None => reading.sample.reject(RejectCode::TooLarge, None),
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
                reading.record(topic, &owned.record());
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
