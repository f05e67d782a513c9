//! `aqueduct connect`: a Kafka Connect worker that runs Google's Pub/Sub sink.
//!
//! Wires the crates `connect` and `service` together.

use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    process::ExitCode,
};

use anyhow::Context as _;
use connect::{
    connector,
    define::Config,
    distributed, properties,
    rest::{self, Loggers},
    task::TaskMetrics,
    translate::translate,
    worker::{Handle, Herder, Target, WorkerConfig},
};
use service::{LogLevels, Metrics, Readiness, ServiceSettings, admin};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{config::host, errors::WrongUsage, global::Global, output, runtime};

/// The files of a worker and of its connectors.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The worker's properties, as Kafka's connect-standalone.properties or connect-distributed.properties
    #[arg(value_name = "WORKER.properties", required_unless_present = "translate")]
    worker: Option<PathBuf>,
    /// Configurations of connectors, of a standalone worker
    #[arg(value_name = "CONNECTOR.json|.properties")]
    connectors: Vec<PathBuf>,
    /// Print the configuration of `aqueduct connector` that does the same as this connector, and run nothing. The worker's
    /// properties, if given, add the brokers and the converters
    #[arg(long, value_name = "CONNECTOR.json|.properties", conflicts_with = "connectors")]
    translate: Option<PathBuf>,
}

/// Shown by `--help`.
pub(crate) const EXAMPLE: &str = "\
Example: run the connector that Kafka Connect ran before, from the same files
  aqueduct connect connect-standalone.properties pubsub-sink.json

Example: one of several workers that share connectors, which are created over REST and kept in Kafka
  aqueduct connect connect-distributed.properties

Example: for the processor and its guarantees, the same as a configuration of `aqueduct connector`
  aqueduct connect --translate pubsub-sink.json connect-standalone.properties > aqueduct.toml
  aqueduct check --offline

Runs connectors of the class com.google.pubsub.kafka.sink.CloudPubSubSinkConnector, and serves Connect's REST interface at `listeners`, by default 127.0.0.1:8083, with /metrics beside it. A configuration that would publish personal data unchanged needs aqueduct.forward=all. On SIGTERM or Ctrl-C, publishes and commits what was read, and exits with 0. docs/connect.md describes the differences from Kafka Connect.";

/// Runs until stopped.
///
/// # Errors
/// A file is invalid, or the REST interface cannot listen.
pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    if let Some(path) = &args.translate {
        let worker = args.worker.as_deref().map(properties_of).transpose()?.unwrap_or_default();
        let (connector, _) = read_connector(path)?;
        output::print(&translate(&connector, &worker))?;
        return Ok(ExitCode::SUCCESS);
    }
    let path =
        args.worker.as_deref().ok_or_else(|| WrongUsage("the worker's properties are missing".to_owned()))?;
    let config = worker(path)?;
    let connectors =
        args.connectors.iter().map(|path| definition(path, &config)).collect::<Result<Vec<_>, _>>()?;
    if config.distributed.is_some() && !connectors.is_empty() {
        let text = "a distributed worker (group.id, config.storage.topic) takes no files of connectors; create them over REST, or remove these keys";
        return Err(WrongUsage(format!("{}: {text}", path.display())).into());
    }
    let levels = global.start_logging()?;
    runtime::use_small_pages();
    runtime::run(|shutdown| serve(config, connectors, levels, shutdown))
}

/// A connector of the command line.
struct Definition {
    name: String,
    config: Config,
    state: Option<Target>,
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).map_err(|error| WrongUsage(format!("cannot read {}: {error}", path.display())).into())
}

fn worker(path: &Path) -> anyhow::Result<WorkerConfig> {
    let wrong = |text: String| WrongUsage(format!("{}: {text}", path.display()));
    let entries = properties::parse(&read(path)?).map_err(|error| wrong(error.to_string()))?;
    WorkerConfig::read(&entries).map_err(|mistakes| {
        let texts: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        wrong(texts.join("\n  ")).into()
    })
}

/// A file of properties as it is.
fn properties_of(path: &Path) -> anyhow::Result<Config> {
    let wrong = |error: properties::BadEscape| WrongUsage(format!("{}: {error}", path.display()));
    Ok(properties::map(properties::parse(&read(path)?).map_err(wrong)?))
}

/// A connector's file: properties, a request of REST as JSON, or its configuration alone as JSON.
fn read_connector(path: &Path) -> anyhow::Result<(Config, Option<Target>)> {
    if path.extension().is_none_or(|extension| extension != "json") {
        return Ok((properties_of(path)?, None));
    }
    let wrong = |text: String| WrongUsage(format!("{}: {text}", path.display()));
    Ok(rest::definition(&read(path)?).map_err(wrong)?)
}

/// Reads and validates a connector's file.
fn definition(path: &Path, worker: &WorkerConfig) -> anyhow::Result<Definition> {
    let wrong = |text: String| anyhow::Error::from(WrongUsage(format!("{}: {text}", path.display())));
    let (config, state) = read_connector(path)?;
    let name = config.get("name").map(|name| name.trim().to_owned()).unwrap_or_default();
    if !config.get("connector.class").is_some_and(|class| connector::is_class(class.trim())) {
        return Err(wrong(format!("connector.class: expected {}", connector::CLASS)));
    }
    let (validation, valid) = connector::validate(&config, &worker.defaults);
    if valid.is_none() {
        let errors: Vec<String> = validation
            .values
            .all
            .iter()
            .flat_map(|(_, value)| value.errors.iter().map(|error| format!("{}: {error}", value.name)))
            .collect();
        return Err(wrong(errors.join("\n  ")));
    }
    Ok(Definition { name, config, state })
}

async fn serve(
    config: WorkerConfig,
    connectors: Vec<Definition>,
    levels: LogLevels,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let (metrics, readiness) = (Metrics::default(), Readiness::default());
    service::process::show(&metrics, env!("CARGO_PKG_VERSION"), "connect");
    for warning in &config.warnings {
        tracing::warn!(
            action = "none if this is intended; otherwise correct the worker's properties",
            "{warning}"
        );
    }
    readiness.expect(&["connectors"]);
    let settings = ServiceSettings { listen: Some(config.listen.clone()) };
    let listener: TcpListener =
        admin::bind(&settings, "").await.context("cannot serve the REST interface; correct listeners")?;
    let address = listener.local_addr()?;
    let id = config.id(address, &host());
    let metrics_of_tasks = TaskMetrics::new(&metrics);
    let (handle, herding) = herd(config, id, metrics_of_tasks, shutdown)?;
    tracing::info!(%address, rest = format!("http://{address}/"), version = env!("CARGO_PKG_VERSION"), "Connect worker starting");
    tracing::info!(%address, "metrics and probes");
    let drained = CancellationToken::new();
    let mut background = JoinSet::new();
    let set = levels.clone();
    let loggers = Loggers::new(move |text| set.set(text).map_err(|error| error.to_string()));
    let own = admin::router(admin::Admin { metrics, readiness: readiness.clone(), levels });
    let router = rest::router(handle.clone(), loggers, own);
    background.spawn(admin::serve(listener, router, drained.clone()));
    let herding = tokio::spawn(herding);
    for Definition { name, config, state } in connectors {
        handle.create(&name, config, state).await.with_context(|| format!("connector {name}"))?;
    }
    handle.until_ready().await;
    readiness.set("connectors", Ok(()));
    let ended = runtime::joined("the herder", herding.await)?;
    drained.cancel();
    while let Some(ended) = background.join_next().await {
        runtime::joined("the REST interface", ended)?;
    }
    ended.map_err(anyhow::Error::msg)?;
    tracing::info!("Connect worker ended");
    Ok(ExitCode::SUCCESS)
}

/// The end of a worker, and why it ended by itself.
type Herding = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// The worker that the properties describe.
fn herd(
    config: WorkerConfig,
    id: String,
    metrics: TaskMetrics,
    shutdown: CancellationToken,
) -> anyhow::Result<(Handle, Herding)> {
    if config.distributed.is_some() {
        let (herder, handle) = distributed::Herder::new(config, id, metrics)?;
        return Ok((handle, Box::pin(herder.run(shutdown))));
    }
    let (herder, handle) = Herder::new(config, id, metrics);
    Ok((
        handle,
        Box::pin(async move {
            herder.run(shutdown).await;
            Ok(())
        }),
    ))
}
