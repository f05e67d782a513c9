//! `aqueduct demo`: the whole pipeline in one process. Connector, processor and writer are the production
//! code; only the addresses differ: librdkafka's mock cluster, a stand-in for Pub/Sub on a free port, and an
//! SQLite file.

mod feed;
mod place;
mod screen;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use event::{EventTime, Millis, ledger::Outcome};
use service::{Metrics, Readiness, admin};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use writer::Writer;

use self::{feed::Feed, place::Place, screen::Screen};
use super::{connector::Plan, processor::Parts};
use crate::{global::Global, live::Live, runtime};

/// The options of `demo`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Generate live events for this time, such as 30s or 5m, and stop as soon as all of them are counted. The shortest
    /// demo takes some 10 s, because it begins with 12 minutes of past events [default: until Ctrl-C]
    #[arg(long, value_name = "TIME")]
    duration: Option<Millis>,
    /// Events per second
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rate: u32,
    /// SQLite file for the rows. Replaces the file of an earlier demo; any other existing file is an error
    #[arg(long, value_name = "FILE", default_value = "demo.db")]
    path: PathBuf,
}

/// Shown by `--help`.
pub(crate) const EXAMPLE: &str = "\
Example: run the pipeline for a minute, then query its rows
  aqueduct demo --duration 1m
  sqlite3 -box demo.db 'select * from box_ctr_latest order by window_end desc, views desc limit 10'

The demo ignores aqueduct.toml. With --config, it applies [anonymise], [events] and [[flows]] of that file to its generated traffic, and still uses its built-in Kafka and Pub/Sub.";

/// How long the shutdown waits without progress.
const LAST_EVENTS: Duration = Duration::from_secs(20);
/// Duration of the past events at the start.
pub(crate) const PAST: Millis = Millis(12 * 60_000);

/// Runs the demo.
///
/// # Errors
/// A component fails, or the totals do not balance at the end.
pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    let place = Place::prepare(&args.path, global.config.as_deref())?;
    let levels = place::start_logging(global)?;
    runtime::use_small_pages();
    // The place owns the temporary directory of keyring and state.
    runtime::run(|shutdown| demo(args, &place, levels, shutdown))
}

async fn demo(
    args: &Args,
    place: &Place,
    levels: service::LogLevels,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let kafka = standin::kafka::Kafka::start(&[(feed::TOPIC, feed::PARTITIONS)])?;
    let pubsub = standin::pubsub::PubSub::start(standin::pubsub::Options::default()).await?;
    let config = place.config(kafka.bootstrap_servers(), &pubsub.host())?;
    let connection = pubsub::Connection::open(pubsub::Endpoint::emulator(&pubsub.host())?).await?;
    pubsub::admin::apply(&connection, pubsub::admin::plan(&config.pubsub()?)).await?;
    let (plan, mut parts) = (Plan::read(&config)?, Parts::read(&config, 4)?);
    // Its state is in a temporary directory.
    parts.pipeline = place::PIPELINE.to_owned();
    let (writer, tables) = (parts.writers[0].config.clone(), parts.tables.clone());

    let (metrics, readiness) = (Metrics::default(), Readiness::default());
    let listener = admin::bind(&config.service()?, "127.0.0.1:0").await?;
    let mut screen = Screen::new(&args.path, listener.local_addr()?, args.duration, parts.trouble.clone());
    let mut live = Live::new("demo", readiness.clone(), parts.settings.clone());
    let (shown, seen) = (live.connector(plan.labels()), live.processor(parts.labels()));
    let mut view = seen.subscribe();
    let (_, serving) = live.serve(listener, &metrics, levels)?;

    let mut feed = Feed::new(kafka, args.rate, processor::driver::now());
    let (stop_connector, stop_processor) = (CancellationToken::new(), CancellationToken::new());
    let mut connector = {
        let (metrics, readiness, stop) = (metrics.clone(), readiness.clone(), stop_connector.clone());
        tokio::spawn(async move { plan.run(&metrics, readiness, stop, shown).await })
    };
    let mut processor = tokio::spawn(parts.run(metrics, readiness, stop_processor.clone(), seen));
    let reader = Writer::connect(&writer, &tables).await?;
    let outcome = tokio::select! {
        fed = feed.run(&shutdown, args.duration) => fed,
        shown = screen.run(&reader, &tables[0], &view) => shown,
        // Neither ends on its own; without one of them the demo could not continue.
        ended = &mut connector => return Err(ended_early(runtime::joined("the connector", ended))),
        ended = &mut processor => return Err(ended_early(runtime::joined("the processor", ended))),
    };
    screen.ending();
    // In pipeline order, so that each component finishes its work.
    wait_until_counted(&mut view, feed.produced()).await;
    stop_connector.cancel();
    let connector = runtime::joined("the connector", connector.await)??;
    stop_processor.cancel();
    let processor = runtime::joined("the processor", processor.await)??;
    serving.end().await?;
    pubsub.stop().await;
    outcome?;
    let mut rows = 0;
    for table in &tables {
        rows += reader.count(&flow::append::Table::Flow(table.flow.clone())).await?;
    }
    reader.close().await?;
    let balanced = screen.summary(&screen::Totals {
        produced: feed.produced(),
        connector: &connector,
        processor: &processor,
        rows,
        table: &tables[0],
    });
    Ok(if balanced { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn ended_early<T>(ended: anyhow::Result<anyhow::Result<T>>) -> anyhow::Error {
    match ended {
        Ok(Ok(_)) => {
            anyhow::anyhow!(
                "internal error: a component of the demo ended unexpectedly; this is a bug, please report it"
            )
        }
        Ok(Err(error)) | Err(error) => error,
    }
}

/// Waits until the first flow has accounted for every produced record, while it makes progress.
async fn wait_until_counted(view: &mut watch::Receiver<processor::View>, produced: u64) {
    let counted = |view: &processor::View| {
        let ledger = view.flows.first().map(|(_, _, ledger)| *ledger).unwrap_or_default();
        let is_complete = ledger.total() >= produced && ledger.get(Outcome::Counted) > 0;
        (ledger.total(), is_complete)
    };
    let (mut before, mut is_complete) = counted(&view.borrow());
    while !is_complete {
        let more = view.wait_for(|view| counted(view).0 > before || counted(view).1);
        // If nothing more arrives, the summary shows the difference.
        let Ok(Ok(seen)) = tokio::time::timeout(LAST_EVENTS, more).await else { return };
        (before, is_complete) = counted(&seen);
    }
}

/// The current time minus the duration of the past events.
pub(crate) fn beginning(now: EventTime) -> EventTime {
    now - PAST
}
