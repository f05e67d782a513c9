//! `aqueduct processor`: Pub/Sub to tables, until stopped.

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use flow::row::FlowTable;
use processor::{Config as ProcessorConfig, Services, inputs::Inputs, store::Store};
use pubsub::{Connection, SubscribeOptions};
use service::{Metrics, Readiness};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tracing::info;
use writer::{Claim, Writer, WriterConfig, WriterError};

use crate::{
    config::{Config, ConfigError, NamedWriter},
    edits,
    global::Global,
    live::{self, Live, ProcessorLabels},
    runtime,
    tables::{Tables, Trouble, Unseen},
};

/// The options of `processor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of concurrent streaming pulls
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub streams: u16,
}

pub(crate) const EXAMPLE: &str = "\
Example:
  aqueduct processor --config aqueduct.toml

Requires [pubsub] with a subscription, [events], [[flows]], and [writer] or [[writers]]. A second processor with the same [state] is a standby, which takes over when the first one stops. On SIGTERM or Ctrl-C, writes a final checkpoint, which includes open windows, and exits with 0. The live page, metrics and probes are at [service] listen, by default 127.0.0.1:9465.";

/// Where the admin server listens without `[service] listen`: the port after the connector's.
const LISTEN: &str = "127.0.0.1:9465";

/// Runs it.
///
/// # Errors
/// The configuration is invalid, the state belongs to other flows, or Pub/Sub or the tables return a permanent error.
pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    let config = global.config()?;
    let parts = Parts::read(&config, args.streams.into())?;
    let levels = global.start_logging()?;
    runtime::use_small_pages();
    runtime::run(|shutdown| async move {
        // Before tables gain columns for flows that the state does not accept.
        edits::check(&config, &parts.store, &parts.processor.flows).await?;
        let (metrics, readiness) = (Metrics::default(), Readiness::default());
        readiness.expect(&["state"]);
        let listener = service::admin::bind(&parts.service, LISTEN).await?;
        let mut live = Live::new("processor", readiness.clone(), parts.settings.clone());
        let watch = live.processor(parts.labels());
        let (_, serving) = live.serve(listener, &metrics, levels)?;
        let ended = parts.run(metrics, readiness, shutdown, watch).await;
        serving.end().await?;
        let summary = ended?;
        info!(
            events = summary.view.events,
            rows = summary.view.flow_rows,
            checkpoints = summary.checkpoints,
            waiting = summary.pending_requests,
            "stopped; the state contains the open windows"
        );
        Ok(ExitCode::SUCCESS)
    })
}

/// Everything that the configuration defines for a processor.
pub(crate) struct Parts {
    pub(crate) processor: ProcessorConfig,
    pub(crate) endpoint: pubsub::Endpoint,
    pub(crate) pubsub: pubsub::PubSubSettings,
    pub(crate) store: Store,
    /// The name under which tables record their pipeline. A standby has the same state, and therefore the
    /// same name.
    pub(crate) pipeline: String,
    pub(crate) writers: Vec<NamedWriter>,
    pub(crate) tables: Vec<FlowTable>,
    pub(crate) service: service::ServiceSettings,
    /// Why rows wait for the first writer.
    pub(crate) trouble: Trouble,
    /// For the page.
    pub(crate) settings: Vec<report::status::Setting>,
}

impl Parts {
    /// Reads the sections that a processor needs.
    pub(crate) fn read(config: &Config, streams: usize) -> anyhow::Result<Self> {
        let pubsub = config.pubsub()?;
        let flows = config.flows()?;
        let tables = config.tables_of(&flows)?;
        config.check_across(&flows)?;
        let (data, marks) = subscriptions(config, &pubsub)?;
        let state = config.state()?;
        config.check_memory(&flows, &state)?;
        let store = Store::open(&state.checkpoints, config.settings().dir())?;
        let data = SubscribeOptions { subscriptions: data, streams, ..SubscribeOptions::new("") };
        let marks = SubscribeOptions { streams: 1, ..SubscribeOptions::new(marks) };
        Ok(Self {
            endpoint: config.pubsub_endpoint(&pubsub)?,
            writers: config.writers()?,
            service: config.service()?,
            settings: live::settings(config),
            trouble: Trouble::default(),
            pipeline: pipeline(&store),
            processor: ProcessorConfig {
                events: config.events()?,
                flows,
                state,
                inputs: inputs(&pubsub),
                data,
                marks,
            },
            pubsub,
            store,
            tables,
        })
    }

    /// Where the rows go, for messages.
    fn place(&self) -> String {
        self.writers.iter().map(place).collect::<Vec<_>>().join(", ")
    }

    /// The part of the configuration that the live page shows.
    pub(crate) fn labels(&self) -> ProcessorLabels {
        ProcessorLabels {
            subscription: self.pubsub.subscription.clone().unwrap_or_default(),
            to: self.place(),
            flows: self.processor.flows.clone(),
        }
    }

    fn announce(&self, place: &str) {
        let flows: Vec<&str> = self.tables.iter().map(|table| &*table.flow).collect();
        info!(
            version = env!("CARGO_PKG_VERSION"),
            subscription = self.pubsub.subscription,
            pubsub = %self.endpoint,
            flows = flows.join(","),
            to = place,
            state = self.processor.state.checkpoints,
            "processor starting"
        );
    }

    /// Runs the processor until the token is cancelled.
    pub(crate) async fn run(
        self,
        metrics: Metrics,
        readiness: Readiness,
        shutdown: CancellationToken,
        watch: tokio::sync::watch::Sender<processor::View>,
    ) -> anyhow::Result<processor::Summary> {
        self.announce(&self.place());
        let connection = Connection::open(self.endpoint.clone()).await?;
        let waiting = self.wait_for_services(&connection);
        let Some(available) = shutdown.run_until_cancelled(waiting).await else {
            return Ok(processor::Summary::default());
        };
        let mut opened = Vec::new();
        for (number, (named, is_available)) in self.writers.iter().zip(available?).enumerate() {
            let place = place(named);
            let writer = Writer::connect(&named.config, &self.tables)
                .await
                .with_context(|| format!("cannot write to {place}"))?;
            let unseen = if is_available {
                writer.claim(&self.pipeline, Claim::Take).await?;
                None
            } else {
                Some(Unseen {
                    config: named.config.clone(),
                    tables: self.tables.clone(),
                    pipeline: self.pipeline.clone(),
                    checked: OnceCell::new(),
                })
            };
            let trouble = if number == 0 { self.trouble.clone() } else { Trouble::default() };
            let sink = Arc::new(Tables::new(writer.clone(), place, trouble, unseen));
            opened.push((writer, processor::Writer { name: named.name.clone(), sink }));
        }
        let (writers, sinks): (Vec<_>, Vec<_>) = opened.into_iter().unzip();
        let services = Services { connection, store: self.store, metrics, readiness, shutdown, watch };
        let ended = processor::run(self.processor, services, sinks).await;
        let mut closed = Ok(());
        for writer in writers {
            closed = closed.and(writer.close().await);
        }
        let summary = ended?;
        closed?;
        Ok(summary)
    }

    async fn check_tables(&self, writer: &NamedWriter) -> Result<(), WriterError> {
        Writer::check(&writer.config, &self.tables).await?;
        Writer::check_owner(&writer.config, &self.tables, &self.pipeline).await
    }

    /// Checks that subscriptions and tables exist, and returns for each writer whether it is available. If Pub/Sub or all writers are
    /// unavailable, logs it once and waits. The others do not wait for a single writer.
    async fn wait_for_services(&self, connection: &Connection) -> anyhow::Result<Vec<bool>> {
        let mut warned = false;
        loop {
            let trouble = match pubsub::admin::check_subscriptions(connection, &self.pubsub).await {
                Err(error) if error.is_retryable() => anyhow::Error::from(error),
                Err(error) => return Err(error.into()),
                Ok(()) => match self.available().await? {
                    (available, None) => return Ok(available),
                    (available, Some(trouble)) if available.contains(&true) => {
                        tracing::warn!(
                            error = format!("{trouble:#}"),
                            action =
                                "check that the service is running and reachable; test with `aqueduct check`",
                            "a writer is unavailable; its rows wait in the state, the other writers continue"
                        );
                        return Ok(available);
                    }
                    (_, Some(trouble)) => trouble.into(),
                },
            };
            if !std::mem::replace(&mut warned, true) {
                tracing::warn!(
                    error = format!("{trouble:#}"),
                    action = "check that the service is running and reachable; test with `aqueduct check`",
                    "waiting for a service to become available"
                );
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// For each writer whether it is available, and why the last one of the others is not.
    async fn available(&self) -> Result<(Vec<bool>, Option<WriterError>), WriterError> {
        let (mut available, mut trouble) = (Vec::new(), None);
        let checks = self.writers.iter().map(|writer| self.check_tables(writer));
        for checked in futures::future::join_all(checks).await {
            available.push(checked.is_ok());
            match checked {
                Ok(()) => {}
                Err(error) if error.is_retryable() => trouble = Some(error),
                Err(error) => return Err(error),
            }
        }
        Ok((available, trouble))
    }
}

/// Where the rows of a writer go, for messages.
fn place(writer: &NamedWriter) -> String {
    match &writer.config {
        WriterConfig::Sqlite(file) => file.path.display().to_string(),
        WriterConfig::BigQuery(_) => "BigQuery".to_owned(),
        WriterConfig::PubSub(config) => format!("Pub/Sub topic {}", config.topic.topic),
    }
}

/// How the tables name the pipeline whose state is in `store`.
pub(crate) fn pipeline(store: &Store) -> String {
    format!("state {}", store.place())
}

fn inputs(pubsub: &pubsub::PubSubSettings) -> Inputs {
    let (selected, others): (Vec<_>, Vec<_>) =
        pubsub.outputs().into_iter().partition(|output| output.value.is_some());
    Inputs { selected: selected.into_iter().map(|output| output.topic).collect(), single: !others.is_empty() }
}

fn subscriptions(
    config: &Config,
    pubsub: &pubsub::PubSubSettings,
) -> Result<(Vec<String>, String), ConfigError> {
    match (pubsub.subscription_paths(), pubsub.marks_subscription_path()) {
        (Some(data), Some(marks)) => Ok((data, marks)),
        _ => Err(config.error_at(
            "pubsub.subscription",
            "missing key pubsub.subscription, which the processor requires",
        )),
    }
}
