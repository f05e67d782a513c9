//! `aqueduct replay`: the configured flows over files or over a stretch of the Kafka topics; batch is streaming over a
//! bounded source.
//!
//! Not here: windows and joins ([`processor::replay`]), lines of files ([`crate::input`]).

mod plan;

mod batch;

mod files;

mod kafka;

mod neighbours;

mod session;

mod finals;

mod rows;

mod lines;

mod tables;

mod tally;

use std::{path::PathBuf, process::ExitCode};

use anyhow::bail;
use event::EventTime;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{self, Global},
    config::Config,
    runtime,
};

use neighbours::Neighbours;
use plan::{Plan, Source};
use rows::RowSink;
use session::Session;

/// What `replay` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Files of events, one JSON object a line, plain, .gz or .zst; - is standard input. TOPIC=FILE takes a file's events
    /// for those of a Kafka topic. Each file is a partition; they are read side by side by event time
    #[arg(value_name = "FILE", required_unless_present = "kafka", conflicts_with = "kafka")]
    files: Vec<PathBuf>,
    /// Read the configured Kafka topics instead, without committing
    #[arg(long)]
    kafka: bool,
    /// The first Kafka timestamp [default: the start of the topics]
    #[arg(long, value_name = "TIME", value_parser = cli::time)]
    from: Option<EventTime>,
    /// The first Kafka timestamp that is too new [default: where the topics end now]
    #[arg(long, value_name = "TIME", value_parser = cli::time)]
    to: Option<EventTime>,
    /// The events were published already: do not apply [anonymise]
    #[arg(long)]
    anonymised: bool,
    /// Where rows go: a file of JSON lines (.gz and .zst compress), an SQLite file (.db), `bigquery` for the tables of
    /// [writer], or - for standard output. A file is replaced only when everything is in it, an SQLite file only if a replay
    /// made it
    #[arg(long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Replace the SQLite file of --output whatever made it: a processor's tables, another program's
    #[arg(long)]
    replace: bool,
    /// Threads that read and count [default: one for each core, four at most]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
    /// Only the last row of each window and key
    #[arg(long = "final")]
    only_final: bool,
}

/// Shown by `--help`.
pub const EXAMPLE: &str = "\
Example: the final rates of two days, in an SQLite file
  aqueduct replay --final --output rates.db monday.ndjson.gz tuesday.ndjson.gz
of views and clicks that were kept apart
  aqueduct replay views=views.ndjson.zst clicks=clicks.ndjson.zst --output rates.ndjson
and of what stands in Kafka
  aqueduct replay --kafka --from 2026-11-01T00:00:00Z --to 2026-11-02T00:00:00Z --final

Needs [events] and [[flows]]; [anonymise] is applied where it is there, [writer] is for --output bigquery. Late and
rejected events are counted on standard error. A file has no Kafka timestamps: an event counts as `future` there where it
is far ahead of the present or of its neighbours in the file. Where every record is rejected nothing is written. Flows with time = \"processing\" cannot be replayed, those with time =
\"kafka\" from Kafka only.";

/// Reads everything once, and writes what fired.
///
/// # Errors
/// The configuration is wrong or cannot be replayed, a source cannot be read to its end, rows cannot be written.
pub fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    let config = Config::open(global)?;
    let plan = Plan::make(args, &config)?;
    global.start_logging()?;
    runtime::run(|shutdown| async move {
        // Reading and counting block; the runtime is for the tables.
        let replayed = tokio::task::spawn_blocking(move || replay(plan, &shutdown)).await;
        runtime::joined("the replay", replayed)?
    })
}

fn replay(plan: Plan, shutdown: &CancellationToken) -> anyhow::Result<ExitCode> {
    let rows = RowSink::create(&plan.output, &plan.flows, plan.threads, shutdown)?;
    let output = rows.name().to_owned();
    let neighbours = Neighbours::new(&plan.rules.events, &plan.rules.flows);
    let source = plan.source.open(plan.threads, &neighbours, shutdown)?;
    let mut session = Session::new(plan.rules, source.partitions(), rows);
    let read = source.read(&mut session, shutdown);
    if let Err(error) = read.and_then(|()| session.end()) {
        session.report(None);
        return Err(error);
    }
    if let Some(nothing) = session.all_rejected() {
        session.report(None);
        bail!("{nothing}; correct the configuration or name other events; {output} is not written");
    }
    if shutdown.is_cancelled() {
        session.report(None);
        bail!("interrupted: not everything was read, and {output} is not complete");
    }
    session.finish()?;
    Ok(ExitCode::SUCCESS)
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
