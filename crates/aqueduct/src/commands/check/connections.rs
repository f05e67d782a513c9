//! Tries every connection of the configuration concurrently: one line for each, with the next step if it
//! fails.

use std::{
    fmt::Display,
    future::Future,
    io::{self, Write as _},
    path::Path,
    pin::Pin,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use futures::{StreamExt as _, stream};
use kafka::{Brokers, KafkaConfig};
use processor::store::{Store, StoreError};
use pubsub::{Connection, Endpoint, Error as PubSubError, PubSubSettings, admin};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use writer::{Writer, WriterConfig};

use super::{Sections, clocks, registry};
use crate::{
    commands::processor::pipeline,
    config::{Config, NamedWriter},
    edits, errors,
    output::say,
};

/// Time limit of a connection.
const LIMIT: Duration = Duration::from_secs(8);
/// Delay before a pending connection is printed.
const PATIENCE: Duration = Duration::from_secs(2);
/// Kafka gets less time, because its own error is more specific than a timeout.
const KAFKA_LIMIT: Duration = Duration::from_secs(5);

/// The result of one connection.
pub(super) enum Line {
    Good(String),
    Warning(String),
    Failed(String),
}

/// One connection: its name and its result.
struct Look<'a> {
    what: String,
    answer: Pin<Box<dyn Future<Output = Vec<Line>> + 'a>>,
}

/// Tries all connections, whatever fails, and returns whether all succeeded. Prints them in pipeline order, whichever
/// responds first. Stops immediately if `shutdown` is cancelled.
pub(super) async fn check(
    config: &Config,
    sections: &Sections,
    shutdown: &CancellationToken,
) -> Result<bool> {
    let looks = looks(config, sections);
    let together = looks.len().max(1);
    let mut answers = stream::iter(looks.into_iter().map(limited)).buffered(together);
    let mut all_good = true;
    while let Some(answer) = shutdown.run_until_cancelled(answers.next()).await {
        let Some(lines) = answer else { return Ok(all_good) };
        for line in lines {
            all_good &= print(&line)?;
        }
    }
    Err(anyhow!("interrupted before all connections were tested"))
}

async fn limited(Look { what, mut answer }: Look<'_>) -> Vec<Line> {
    if let Ok(lines) = tokio::time::timeout(PATIENCE, &mut answer).await {
        return lines;
    }
    // To standard error, so that standard output does not depend on how long the check takes. Lost only if that is closed.
    let _ = writeln!(io::stderr(), "waiting for {what} (up to {} s)", LIMIT.as_secs());
    tokio::time::timeout(LIMIT - PATIENCE, answer).await.unwrap_or_else(|_| {
        vec![Line::Failed(format!(
            "{what}: no response within {} s; start the service, or correct its address",
            LIMIT.as_secs()
        ))]
    })
}

/// Whether the connection succeeded.
fn print(line: &Line) -> Result<bool> {
    match line {
        Line::Good(text) => say(format_args!("ok      {text}")).map(|()| true),
        Line::Warning(text) => say(format_args!("warning {text}")).map(|()| true),
        Line::Failed(text) => say(format_args!("FAILED  {text}")).map(|()| false),
    }
}

fn looks<'a>(config: &'a Config, sections: &'a Sections) -> Vec<Look<'a>> {
    let mut looks = Vec::new();
    let mut add = |what: String, answer: Pin<Box<dyn Future<Output = Vec<Line>> + 'a>>| {
        looks.push(Look { what, answer });
    };
    if let Some(kafka) = &sections.kafka {
        add("Kafka".to_owned(), Box::pin(check_kafka(kafka, sections)));
    }
    if let Some(declared) = sections.formats.as_ref().filter(|declared| declared.needs_registry()) {
        add("schema registry".to_owned(), Box::pin(registry::check(declared, config, sections)));
    }
    if let Some((pubsub, endpoint)) = &sections.pubsub {
        add(named(endpoint), Box::pin(check_pubsub(pubsub, endpoint)));
    }
    if let Some(keyring) = &sections.keyring {
        let line = match keyring {
            Ok(ring) => Line::Good(format!("keyring: {}", counted(ring.keys().len(), "key"))),
            // It names the keyring itself.
            Err(error) => Line::Failed(errors::one_line(error)),
        };
        add("keyring".to_owned(), Box::pin(async { vec![line] }));
    }
    for NamedWriter { config: writer, .. } in &sections.writers {
        let (what, checked) = (describe(writer), check_writer(config, sections, writer));
        let name = what.clone();
        add(what, Box::pin(async move { vec![line(&name, checked.await.map(|()| "can be used"))] }));
    }
    if !sections.flows.is_empty() {
        let what = format!("state {}", sections.state.checkpoints);
        let name = what.clone();
        add(what, Box::pin(async move { vec![line(&name, check_state(config, sections).await)] }));
    }
    looks
}

pub(super) fn line<T: Display, E: Into<anyhow::Error>>(what: &str, result: Result<T, E>) -> Line {
    match result {
        Ok(good) => Line::Good(format!("{what}: {good}")),
        Err(error) => {
            let error: anyhow::Error = error.into();
            Line::Failed(format!("{what}: {}", errors::one_line(error.as_ref())))
        }
    }
}

/// As the processor does at its start.
async fn check_writer(config: &Config, sections: &Sections, writer: &WriterConfig) -> Result<()> {
    Writer::check(writer, &sections.tables).await?;
    let store = Store::open(&sections.state.checkpoints, config.settings().dir())?;
    Ok(Writer::check_owner(writer, &sections.tables, &pipeline(&store)).await?)
}

/// What Kafka reports about each topic.
struct Topics {
    partitions: Vec<Result<usize, kafka::Error>>,
    /// `None` if the broker does not report it.
    clocks: Vec<Option<clocks::TopicClock>>,
}

async fn check_kafka(kafka: &KafkaConfig, sections: &Sections) -> Vec<Line> {
    let (sender, answer) = oneshot::channel();
    let config = kafka.clone();
    // A thread of its own: librdkafka blocks, and the end of this command must not wait for it.
    let thread = std::thread::Builder::new().name("aqueduct-check".to_owned()).spawn(move || {
        // The receiver is gone if the command was interrupted.
        let _ = sender.send(ask_kafka(&config));
    });
    if let Err(error) = thread {
        return vec![line::<String, _>("Kafka", Err(error))];
    }
    let Ok(answer) = answer.await else {
        return vec![Line::Failed(
            "Kafka: internal error: the check panicked; this is a bug, please report it".to_owned(),
        )];
    };
    let topics = match answer {
        Ok(topics) => topics,
        Err(error) => return vec![line::<String, _>("Kafka", Err(error))],
    };
    let mut lines = Vec::new();
    for (topic, answer) in kafka.topics.iter().zip(topics.partitions) {
        let brokers = &kafka.bootstrap_servers;
        let good =
            |partitions| format!("topic {topic} at {brokers} has {}", counted(partitions, "partition"));
        lines.push(line("Kafka", answer.map(good)));
    }
    let future = sections.events.as_ref().map(|events| events.future);
    for (topic, clock) in kafka.topics.iter().zip(topics.clocks) {
        let Some(clock) = clock else { continue };
        let warnings = clocks::warnings(topic, &clock, future, &sections.flows);
        lines.extend(warnings.into_iter().map(Line::Warning));
    }
    lines
}

/// One result per topic; an error if no broker responds at all.
fn ask_kafka(kafka: &KafkaConfig) -> Result<Topics, kafka::Error> {
    let brokers = Brokers::open(kafka)?;
    let mut partitions = Vec::new();
    for topic in &kafka.topics {
        match brokers.partitions(topic, KAFKA_LIMIT) {
            Err(error) if !error.is_about_topic() => return Err(error),
            answer => partitions.push(answer),
        }
    }
    let present: Vec<&str> = kafka
        .topics
        .iter()
        .zip(&partitions)
        .filter(|(_, answer)| answer.is_ok())
        .map(|(topic, _)| &**topic)
        .collect();
    let found = clocks::ask(kafka, &present);
    let clocks = kafka.topics.iter().map(|topic| found.get(&**topic).cloned()).collect();
    Ok(Topics { partitions, clocks })
}

fn named(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::GoogleCloud => "Pub/Sub".to_owned(),
        Endpoint::Regional { url } => format!("Pub/Sub at {url}"),
        Endpoint::Emulator { url } => format!("Pub/Sub emulator at {url}"),
    }
}

async fn check_pubsub(pubsub: &PubSubSettings, endpoint: &Endpoint) -> Vec<Line> {
    let what = named(endpoint);
    let connection = match Connection::open(endpoint.clone()).await {
        Ok(connection) => connection,
        Err(error) => return vec![line::<String, _>(&what, Err(error))],
    };
    let topics = admin::check_topics(&connection, pubsub).await;
    let reached = !matches!(&topics, Err(error) if error.is_retryable());
    let names: Vec<_> = pubsub.outputs().into_iter().map(|output| output.topic).collect();
    let good = format!("topics {} and {}", names.join(", "), pubsub.marks_topic());
    let mut lines = vec![look(&what, topics, good, "publish")];
    if let (Some(name), Some(names), true) = (&pubsub.subscription, pubsub.subscriptions(), reached) {
        let subscriptions = admin::check_subscriptions(&connection, pubsub).await;
        let good = format!("subscriptions {} and {}", names.join(", "), event::wire::marks(name));
        lines.push(look(&what, subscriptions, good, "pull"));
    }
    if pubsub.pack && reached {
        lines.extend(other_readers(&what, pubsub, admin::other_subscriptions(&connection, pubsub).await));
    }
    lines
}

/// Packs are for Aqueduct's processor alone.
fn other_readers(
    what: &str,
    pubsub: &PubSubSettings,
    others: Result<Vec<String>, PubSubError>,
) -> Option<Line> {
    const ADVICE: &str = "set pack = false, or read them with `aqueduct unpack`";
    let text = match others {
        Ok(others) if others.is_empty() => return None,
        Ok(others) => format!(
            "topic {} has other subscriptions, which receive packs because pubsub.pack = true: {}; {ADVICE}",
            pubsub.topic,
            others.join(", ")
        ),
        Err(error) => format!(
            "cannot list the subscriptions of topic {} ({error}); any other than the processor's receives packs: {ADVICE}",
            pubsub.topic
        ),
    };
    Some(Line::Warning(format!("{what}: {text}")))
}

/// An account may have permission to use resources but not to view them.
fn look(what: &str, result: Result<(), PubSubError>, good: String, may: &str) -> Line {
    match result {
        Err(error @ PubSubError::Denied { .. }) => {
            Line::Warning(format!("{what}: cannot check that they exist ({error}); it may still {may}"))
        }
        other => line(what, other.map(|()| good)),
    }
}

pub(super) fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn describe(writer: &WriterConfig) -> String {
    match writer {
        WriterConfig::Sqlite(file) => format!("SQLite file {}", file.path.display()),
        WriterConfig::BigQuery(config) => format!("BigQuery dataset {}.{}", config.project, config.dataset),
        WriterConfig::PubSub(config) => format!("Pub/Sub topic {} for rows", config.topic.topic),
    }
}

/// Reads the state, and tests whether its directory is writable, without leaving files.
async fn check_state(config: &Config, sections: &Sections) -> Result<String> {
    let (checkpoints, folder) = (&*sections.state.checkpoints, config.settings().dir());
    let store = Store::open(checkpoints, folder)?;
    edits::check(config, &store, &sections.flows).await?;
    let (recovered, ()) = store.recover(|| (), |(), _| Ok::<_, StoreError>(())).await?;
    if let Some(path) = checkpoints.strip_prefix("file://") {
        try_writing(&folder.join(path))?;
    }
    Ok(match recovered.newest {
        Some(newest) => format!("checkpoint {newest} is readable"),
        None => "no checkpoint yet".to_owned(),
    })
}

fn try_writing(folder: &Path) -> Result<()> {
    let there = nearest_existing(folder);
    tempfile::tempfile_in(there).map(drop).with_context(|| {
        format!(
            "cannot write to {}; correct its permissions or [state] checkpoints, or free disk space",
            there.display()
        )
    })
}

fn nearest_existing(folder: &Path) -> &Path {
    folder.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."))
}
