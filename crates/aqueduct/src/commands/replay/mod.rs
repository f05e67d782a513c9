//! `aqueduct replay`: computes the configured flows over files or a range of the Kafka topics. Batch is
//! streaming over a bounded source.
//!
//! See [`processor::replay`] for windows and joins, and [`crate::input`] for the lines of files.

mod plan;

mod batch;

mod files;

mod kafka;

mod neighbours;

mod session;

mod finals;

mod given;

mod rows;

mod lines;

mod tables;

mod tally;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::bail;
use event::EventTime;
use tokio_util::sync::CancellationToken;

use crate::{
    global::{self, Global},
    runtime,
};

pub(crate) use given::Given;

use neighbours::Neighbours;
use plan::{Plan, Source};
use rows::RowSink;
use session::Session;

/// The options of `replay`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Files of JSON lines or Avro container files, plain, .gz or .zst; - is standard input. TOPIC=FILE processes the events
    /// of a file as those of a Kafka topic. Each file is a partition, and all files are merged by event time
    #[arg(value_name = "FILE", required_unless_present = "kafka", conflicts_with = "kafka")]
    files: Vec<PathBuf>,
    /// Read the configured Kafka topics instead of files; commits no offsets
    #[arg(long)]
    kafka: bool,
    /// First Kafka timestamp to read [default: the start of the topics]
    #[arg(long, value_name = "TIME", value_parser = global::time)]
    from: Option<EventTime>,
    /// Kafka timestamp before which to stop [default: the current end of the topics]
    #[arg(long, value_name = "TIME", value_parser = global::time)]
    to: Option<EventTime>,
    /// Do not apply [anonymise], because the events are already pseudonymised
    #[arg(long)]
    anonymised: bool,
    /// Destination of the rows: a file for JSON lines (compressed if .gz or .zst), an SQLite file (.db), `bigquery` for
    /// the tables of [writer], or - for standard output. An existing file is replaced when the new one is complete; an
    /// SQLite file only if a replay created it
    #[arg(long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Replace the SQLite file of --output even if a processor or another program created it
    #[arg(long)]
    replace: bool,
    /// Number of threads [default: one per core, at most four]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
    /// Write only the last pane of each window and key
    #[arg(long = "final")]
    only_final: bool,
}

/// Shown by `--help`.
pub(crate) const EXAMPLE: &str = "\
Example: the final rows of two days, in an SQLite file
  aqueduct replay --final --output rates.db monday.ndjson.gz tuesday.ndjson.gz
views and clicks in separate files
  aqueduct replay views=views.ndjson.zst clicks=clicks.ndjson.zst --output rates.ndjson
a day of the Kafka topics
  aqueduct replay --kafka --from 2026-11-01T00:00:00Z --to 2026-11-02T00:00:00Z --final

Requires [events] and [[flows]], and [writer] for --output bigquery. Applies [anonymise] if it is configured. Reports late and rejected events on standard error. Files have no Kafka timestamps, so an event is rejected as `future` if its time is far ahead of the current time or of the neighbouring events in the file. If all records are rejected, no output is written. Flows with time = \"processing\" cannot be replayed; flows with time = \"kafka\" can be replayed only from Kafka.";

/// Reads the input once, and writes the panes.
///
/// # Errors
/// The configuration is invalid or cannot be replayed, a source cannot be read to the end, or rows cannot be written.
pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    let config = global.config()?;
    let plan = Plan::make(args, &config)?;
    global.start_logging()?;
    runtime::run(|shutdown| async move {
        // Reading and counting block; the runtime is for the tables.
        let replayed = tokio::task::spawn_blocking(move || replay(plan, &shutdown)).await;
        runtime::joined("the replay", replayed)?
    })
}

fn replay(mut plan: Plan, shutdown: &CancellationToken) -> anyhow::Result<ExitCode> {
    let rows = RowSink::create(&plan.output, &plan.flows, plan.threads, shutdown)?;
    let output = rows.name().to_owned();
    let neighbours = Neighbours::new(&plan.rules.events, &plan.rules.flows);
    let source = plan.source.open(plan.threads, &neighbours, shutdown)?;
    if let OpenSource::Files(files) = &source {
        files.check_tags(&mut plan.rules)?;
    }
    let mut session = Session::new(plan.rules, source.partitions(), rows);
    let read = source.read(&mut session, shutdown);
    if let Err(error) = read.and_then(|()| session.end()) {
        report(&session.summary(None));
        return Err(error);
    }
    if let Some(nothing) = session.all_rejected() {
        report(&session.summary(None));
        bail!("{nothing}; correct the configuration or the input; {output} was not written");
    }
    if shutdown.is_cancelled() {
        report(&session.summary(None));
        bail!("interrupted before the end of the input; {output} is incomplete");
    }
    session.finish(&report)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints to standard error what was read and, if the output is complete, what was written.
fn report(summary: &str) {
    // Lost only if standard error is closed.
    let _ = io::stderr().write_all(summary.as_bytes());
}

impl Source {
    fn open(
        self,
        threads: usize,
        neighbours: &Neighbours,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<OpenSource> {
        Ok(match self {
            Self::Files(places) => {
                OpenSource::Files(files::Files::open(places, threads, neighbours, shutdown)?)
            }
            Self::Kafka(span) => OpenSource::Kafka(kafka::Logs::open(&span)?),
        })
    }
}

enum OpenSource {
    Files(files::Files),
    Kafka(kafka::Logs),
}

impl OpenSource {
    fn partitions(&self) -> usize {
        match self {
            Self::Files(files) => files.partitions(),
            Self::Kafka(logs) => logs.partitions(),
        }
    }

    fn read(self, session: &mut Session, shutdown: &CancellationToken) -> anyhow::Result<()> {
        match self {
            Self::Files(files) => files.read(session, shutdown),
            Self::Kafka(logs) => logs.read(session, shutdown),
        }
    }
}
