//! `aqueduct connector`: Kafka to Pub/Sub, until stopped.
//!
//! Wires the crates `connector`, `pubsub` and `service` together.

use std::{process::ExitCode, sync::Arc, time::Duration};

use connector::{
    ConnectorMetrics, PubSubPublisher, Shown, anonymise::Anonymiser, decode::Formats, packing::Packing,
};
use pubsub::{Connection, Endpoint, PubSubSettings};
use report::Source as _;
use service::{LogLevels, Metrics, Readiness, ServiceSettings, admin};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{self, Config, Declared, Open},
    global::Global,
    live::{self, ConnectorLabels, Live},
    runtime,
};

/// `connector` has no options; everything is in the configuration.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {}

/// Shown by `--help`.
pub(crate) const EXAMPLE: &str = "\
Example: create the keyring and the topics once, then start the connector
  aqueduct keys new
  aqueduct setup
  aqueduct connector

Requires [kafka], [pubsub] and [anonymise], and [events] if the keyring has more than one key. On SIGTERM or Ctrl-C, publishes and commits the records that were read, and exits with 0. The live page, metrics and probes are at [service] listen, by default 127.0.0.1:9464.";

/// Where the admin server listens without `[service] listen`. The processor has the next port, so that both run on one
/// machine with one configuration.
const LISTEN: &str = "127.0.0.1:9464";

/// The resolved configuration of a connector.
pub(crate) struct Plan {
    connector: connector::Config,
    formats: Declared,
    anonymiser: Anonymiser,
    pubsub: PubSubSettings,
    endpoint: Endpoint,
    service: ServiceSettings,
    /// For the page.
    settings: Vec<report::status::Setting>,
}

/// Runs until stopped.
///
/// # Errors
/// The configuration is invalid, or the connector cannot continue.
pub(crate) fn run(Args {}: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    let plan = Plan::read(&global.config()?)?;
    let levels = global.start_logging()?;
    runtime::use_small_pages();
    runtime::run(|shutdown| serve(plan, levels, shutdown))
}

impl Plan {
    pub(crate) fn read(config: &Config) -> anyhow::Result<Self> {
        let kafka = config.kafka()?;
        let formats = config.formats(&kafka)?;
        let pubsub = config.pubsub()?;
        let endpoint = config.pubsub_endpoint(&pubsub)?;
        let service = config.service()?;
        let max_rejects = config.anonymise()?.max_rejects.per_10_000();
        let anonymiser = config.checked_anonymiser()?;
        let of_this_process = || format!("{}-{}", config::host(), std::process::id());
        let replica = kafka.instance.clone().unwrap_or_else(of_this_process);
        let connector = connector::Config {
            kafka,
            formats: Formats::default(),
            outputs: selected(&pubsub),
            packing: pubsub.packs_after().map(|linger| Packing { linger: linger.std() }),
            shards: pubsub.shards(),
            in_flight: pubsub.in_flight,
            max_rejects,
            replica,
        };
        Ok(Self {
            connector,
            formats,
            anonymiser,
            pubsub,
            endpoint,
            service,
            settings: live::settings(config),
        })
    }

    fn announce(&self) {
        let kafka = &self.connector.kafka;
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            brokers = kafka.bootstrap_servers,
            topics = kafka.topics.join(","),
            group = kafka.group_id,
            replica = self.connector.replica,
            pubsub = %self.endpoint,
            topic = self.pubsub.topic_path(),
            "connector starting"
        );
        for warning in self.anonymiser.warnings() {
            tracing::warn!(
                action = "none if this is intended; otherwise correct the configuration",
                "{warning}"
            );
        }
    }
}

impl Plan {
    /// The part of the configuration that the live page shows.
    pub(crate) fn labels(&self) -> ConnectorLabels {
        ConnectorLabels {
            topics: self.connector.kafka.topics.join(", "),
            to: self.pubsub.topic_path(),
            in_flight_limit: self.pubsub.in_flight.0,
        }
    }

    /// Runs until the token is cancelled and everything that was read is accounted for.
    pub(crate) async fn run(
        self,
        metrics: &Metrics,
        readiness: Readiness,
        shutdown: CancellationToken,
        watch: watch::Sender<connector::View>,
    ) -> anyhow::Result<connector::Summary> {
        let shown = Shown { metrics: ConnectorMetrics::new(metrics), readiness, watch };
        let connection = Connection::open(self.endpoint).await?;
        let publisher = PubSubPublisher::new(connection.publisher(), &self.pubsub);
        let Open { formats, registry } = self.formats.open(metrics)?;
        let config = connector::Config { formats, ..self.connector };
        let stop = shutdown.child_token();
        let carried = async {
            let carried = connector::run(config, self.anonymiser, publisher, shown, stop.clone()).await;
            stop.cancel();
            carried
        };
        let Some((_, fetcher)) = registry else { return Ok(carried.await?) };
        // If the registry refuses to answer for good, what was read is still published and committed.
        let fetched = async { fetcher.run(stop.clone()).await.inspect_err(|_| stop.cancel()) };
        let (carried, fetched) = tokio::join!(carried, fetched);
        fetched?;
        Ok(carried?)
    }
}

/// The topics among which a field selects one; empty if there is one topic.
pub(crate) fn selected(pubsub: &PubSubSettings) -> Vec<Arc<str>> {
    let outputs = pubsub.outputs().into_iter();
    outputs.filter(|output| output.value.is_some()).map(|output| output.topic).collect()
}

async fn serve(plan: Plan, levels: LogLevels, shutdown: CancellationToken) -> anyhow::Result<ExitCode> {
    plan.announce();
    let (metrics, readiness) = (Metrics::default(), Readiness::default());
    let listener = admin::bind(&plan.service, LISTEN).await?;
    let mut live = Live::new("connector", readiness.clone(), plan.settings.clone());
    let watch = live.connector(plan.labels());
    let (live, mut serving) = live.serve(listener, &metrics, levels)?;
    serving.spawn(|ended| log_totals(live, ended));
    let result = plan.run(&metrics, readiness, shutdown, watch).await;
    serving.end().await?;
    let summary = result?;
    tracing::info!(
        records = summary.records,
        published = summary.published,
        filtered = summary.filtered,
        rejected = summary.rejected.values().sum::<u64>(),
        reasons = (!summary.rejected.is_empty()).then(|| summary.reasons()),
        lost = summary.lost(),
        commits = summary.commits,
        "connector ended"
    );
    Ok(ExitCode::SUCCESS)
}

/// Logs the totals once a minute, the first time after one minute.
async fn log_totals(live: Arc<Live>, ended: CancellationToken) {
    const EVERY: Duration = Duration::from_secs(60);
    let mut minutes = tokio::time::interval_at(Instant::now() + EVERY, EVERY);
    minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while ended.run_until_cancelled(minutes.tick()).await.is_some() {
        let Some(connector) = live.status().connector else { continue };
        tracing::info!(
            published = connector.published,
            rejected = connector.refused(),
            partitions = connector.partitions,
            lag = connector.lag,
            in_flight_bytes = connector.in_flight_bytes,
            "totals since start"
        );
    }
}
