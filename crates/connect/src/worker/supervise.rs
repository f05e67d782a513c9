//! One connector on this worker: waits for its topics, opens Pub/Sub, and runs its task until it is stopped or fails.

use std::{collections::BTreeSet, env, fs, sync::Arc, time::Duration};

use kafka::Brokers;
use pubsub::{Connection, Endpoint, Publisher};
use tokio::{sync::watch, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::config::WorkerConfig;
use crate::{
    connector::{Connector, ENDPOINT},
    task::{self, Place, Task, TaskError, TaskMetrics, chain},
};

/// How often topics are looked for that do not exist, or that an expression may select.
const LOOK: Duration = Duration::from_secs(5);
/// How long brokers may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Runs until `stop` is cancelled.
///
/// # Errors
/// Why the task failed.
pub(crate) async fn run(
    config: Arc<WorkerConfig>,
    (connector, place): (Connector, Place),
    metrics: TaskMetrics,
    topics: watch::Sender<BTreeSet<Arc<str>>>,
    stop: CancellationToken,
) -> Result<(), TaskError> {
    let connection = connect(&connector).await.map_err(TaskError::Other)?;
    let share = config.memory.share();
    let mut is_waiting = false;
    while !stop.is_cancelled() {
        let Some(found) = existing(&config, &connector).await? else {
            wait(&stop).await;
            continue;
        };
        if found.is_empty() {
            if !is_waiting {
                is_waiting = true;
                tracing::warn!(
                    topics = connector.topics().join(","),
                    action = "create the topics, or correct the connector's topics",
                    "none of the topics exists; waiting for them"
                );
            }
            wait(&stop).await;
            continue;
        }
        is_waiting = false;
        let kafka = config.member(&connector, found.iter().cloned().collect(), (place, share.half()));
        let kafka = kafka.map_err(TaskError::Other)?;
        let task = Task {
            place,
            connector: connector.clone(),
            in_flight: share.half(),
            kafka,
            publisher: publisher(&connection, &connector),
            metrics: metrics.clone(),
            topics: topics.clone(),
        };
        // The task ends when the set of its topics changes, and begins again with the new one.
        let round = stop.child_token();
        let running = task::run(task, round.clone());
        let changed = changed(&config, &connector, &found, &round);
        tokio::pin!(running);
        tokio::select! {
            ended = &mut running => ended?,
            () = changed => {
                round.cancel();
                running.await?;
            }
        }
    }
    Ok(())
}

fn publisher(connection: &Connection, connector: &Connector) -> Publisher {
    let (publisher, values) = (connection.publisher(), &connector.values);
    if !values.is_true("enableCompression") {
        return publisher;
    }
    // A negative threshold is below every size.
    publisher.compressed_from(usize::try_from(values.number("compressionBytesThreshold")).unwrap_or_default())
}

/// Returns when other topics exist than `found`; never if all that are named exist.
async fn changed(
    config: &WorkerConfig,
    connector: &Connector,
    found: &BTreeSet<String>,
    stop: &CancellationToken,
) {
    let named = connector.topics();
    if !named.is_empty() && named.iter().all(|topic| found.contains(topic)) {
        std::future::pending::<()>().await;
    }
    while !stop.is_cancelled() {
        wait(stop).await;
        // The task itself reports that brokers do not answer.
        if let Ok(Some(now)) = existing(config, connector).await
            && now != *found
            && !now.is_empty()
        {
            return;
        }
    }
    std::future::pending::<()>().await;
}

async fn wait(stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(LOOK) => {}
        () = stop.cancelled() => {}
    }
}

/// The connector's topics that exist; `None` if no broker answers.
async fn existing(
    config: &WorkerConfig,
    connector: &Connector,
) -> Result<Option<BTreeSet<String>>, TaskError> {
    let questions = config.questions().map_err(TaskError::Other)?;
    let asked = spawn_blocking(move || Brokers::open(&questions)?.topic_names(ANSWER)).await;
    let names = match asked {
        Ok(Ok(names)) => names,
        // A broker that is unavailable is waited for: the topics may exist.
        Ok(Err(error @ kafka::Error::Unanswered { .. })) => {
            tracing::warn!(
                error = chain(&error),
                action = "check that the brokers are running, or correct bootstrap.servers",
                "Kafka does not answer; waiting for it"
            );
            return Ok(None);
        }
        Ok(Err(error)) => return Err(TaskError::Other(chain(&error))),
        Err(_) => {
            return Err(TaskError::Other(
                "a request to Kafka panicked; this is a bug, please report it".to_owned(),
            ));
        }
    };
    let named = connector.topics();
    let wanted =
        |name: &String| if named.is_empty() { connector.selects(name) } else { named.contains(name) };
    Ok(Some(names.into_iter().filter(wanted).collect()))
}

/// Opens Pub/Sub as the configuration says.
async fn connect(connector: &Connector) -> Result<Connection, String> {
    let text = |key: &str| connector.values.text(key).unwrap_or_default().trim().to_owned();
    let address = text("cps.endpoint");
    if connector.values.is_true("cps.useEmulator") {
        let host = env::var("PUBSUB_EMULATOR_HOST").ok().filter(|host| !host.is_empty()).unwrap_or(address);
        let endpoint = Endpoint::emulator(&host).map_err(|error| chain(&error))?;
        return Connection::open(endpoint).await.map_err(|error| chain(&error));
    }
    let endpoint = match address == ENDPOINT {
        true => Endpoint::GoogleCloud,
        false => Endpoint::regional(&address).map_err(|error| chain(&error))?,
    };
    let key = ["gcp.sa.credentials.json", "gcp.credentials.json"]
        .iter()
        .map(|key| text(key))
        .find(|key| !key.is_empty());
    let path = ["gcp.sa.credentials.file.path", "gcp.credentials.file.path"]
        .iter()
        .map(|key| text(key))
        .find(|path| !path.is_empty());
    let key = match (key, path) {
        (Some(key), _) => Some(key),
        (None, Some(path)) => {
            let read = fs::read_to_string(&path);
            Some(read.map_err(|error| format!("cannot read the credentials file {path}: {error}"))?)
        }
        (None, None) => None,
    };
    let opened = match key {
        Some(key) => Connection::with_service_account(endpoint, &key),
        None => Connection::open(endpoint).await,
    };
    opened.map_err(|error| chain(&error))
}
