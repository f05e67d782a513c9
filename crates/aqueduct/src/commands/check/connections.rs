//! Every connection that the configuration names: one line each, and what to do where it fails.

use std::{fmt::Display, path::Path};

use anyhow::{Context as _, Result, anyhow};
use connector::{ConnectorError, KafkaConfig};
use processor::store::Store;
use pubsub::{Connection, Endpoint, Error as PubSubError, PubSubSettings, admin};
use writer::{Writer, WriterConfig};

use super::{Sections, say};
use crate::{config::Config, exit, kafka::Asker, runtime};

/// Tries them all, whatever fails on the way; tells whether all is well.
pub(super) async fn check(config: &Config, sections: &Sections) -> Result<bool> {
    let mut report = Report { all_good: true };
    if let Some(kafka) = &sections.kafka {
        check_kafka(&mut report, kafka.clone()).await?;
    }
    if let Some((pubsub, endpoint)) = &sections.pubsub {
        check_pubsub(&mut report, pubsub, endpoint).await?;
    }
    if let Some(keyring) = &sections.keyring {
        let answer = keyring.as_ref().map(|ring| counted(ring.keys().len(), "key"));
        report.line("keyring", answer.map_err(|error| anyhow!(exit::one_line(error))))?;
    }
    if let Some(writer) = &sections.writer {
        let what = describe(writer);
        report.line(&what, Writer::check(writer, &sections.tables).await.map(|()| "can be used"))?;
    }
    if !sections.flows.is_empty() {
        let checkpoints = &sections.state.checkpoints;
        let state = check_state(checkpoints, config.settings().dir()).await;
        report.line(&format!("state {checkpoints}"), state)?;
    }
    Ok(report.all_good)
}

struct Report {
    all_good: bool,
}

impl Report {
    fn line<T: Display, E: Into<anyhow::Error>>(&mut self, what: &str, result: Result<T, E>) -> Result<()> {
        match result {
            Ok(good) => say(format_args!("ok      {what}: {good}")),
            Err(error) => {
                self.all_good = false;
                let error: anyhow::Error = error.into();
                say(format_args!("FAILED  {what}: {}", exit::one_line(error.as_ref())))
            }
        }
    }
}

async fn check_kafka(report: &mut Report, kafka: KafkaConfig) -> Result<()> {
    let (topics, brokers) = (kafka.topics.clone(), kafka.bootstrap_servers.clone());
    let asked = tokio::task::spawn_blocking(move || ask_kafka(&kafka)).await;
    let asked = runtime::joined("the question to Kafka", asked)?;
    match asked {
        Err(error) => report.line::<String, _>("Kafka", Err(error)),
        Ok(answers) => topics.iter().zip(answers).try_for_each(|(topic, answer)| {
            let good =
                |partitions| format!("topic {topic} at {brokers} has {}", counted(partitions, "partition"));
            report.line("Kafka", answer.map(good))
        }),
    }
}

/// An answer for each topic; an error where nobody answers at all.
fn ask_kafka(kafka: &KafkaConfig) -> Result<Vec<Result<usize>>> {
    let asker = Asker::new(kafka)?;
    let mut answers = Vec::new();
    for topic in &kafka.topics {
        match asker.partitions(topic) {
            Err(error) if error.is::<ConnectorError>() => return Err(error),
            answer => answers.push(answer),
        }
    }
    Ok(answers)
}

async fn check_pubsub(report: &mut Report, pubsub: &PubSubSettings, endpoint: &Endpoint) -> Result<()> {
    let what = match endpoint {
        Endpoint::GoogleCloud => "Pub/Sub".to_owned(),
        Endpoint::Emulator { url } => format!("Pub/Sub emulator at {url}"),
    };
    let connection = match Connection::open(endpoint.clone()).await {
        Ok(connection) => connection,
        Err(error) => return report.line::<String, _>(&what, Err(error)),
    };
    let topics = admin::check_topics(&connection, pubsub).await;
    let reached = !matches!(topics, Err(PubSubError::Unavailable { .. }));
    let good = format!("topics {} and {}", pubsub.topic, event::wire::marks(&pubsub.topic));
    look(report, &what, topics, good, "publish")?;
    if let Some(name) = pubsub.subscription.as_ref().filter(|_| reached) {
        let subscriptions = admin::check_subscriptions(&connection, pubsub).await;
        let good = format!("subscriptions {name} and {}", event::wire::marks(name));
        look(report, &what, subscriptions, good, "pull")?;
    }
    Ok(())
}

/// An account may be allowed to work and not to look.
fn look(
    report: &mut Report,
    what: &str,
    result: Result<(), PubSubError>,
    good: String,
    may: &str,
) -> Result<()> {
    match result {
        Err(error @ PubSubError::Denied { .. }) => say(format_args!(
            "warning {what}: cannot look whether they are there ({error}); it may still {may}"
        )),
        other => report.line(what, other.map(|()| good)),
    }
}

fn counted(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

fn describe(writer: &WriterConfig) -> String {
    match writer {
        WriterConfig::Sqlite { path } => format!("SQLite file {}", path.display()),
        WriterConfig::BigQuery(config) => format!("BigQuery dataset {}.{}", config.project, config.dataset),
    }
}

/// Reads what is there, and tries whether a folder can be written; makes nothing that stays.
async fn check_state(checkpoints: &str, folder: &Path) -> Result<String> {
    let recovered = Store::open(checkpoints, folder)?.recover().await?;
    if let Some(path) = checkpoints.strip_prefix("file://") {
        try_writing(&folder.join(path))?;
    }
    Ok(match recovered.newest {
        Some(newest) => format!("checkpoint {newest} can be read"),
        None => "nothing there yet".to_owned(),
    })
}

fn try_writing(folder: &Path) -> Result<()> {
    let there = nearest_existing(folder);
    tempfile::tempfile_in(there).map(drop).with_context(|| {
        format!(
            "cannot write in {}; correct its permissions or [state] checkpoints, or free some space",
            there.display()
        )
    })
}

fn nearest_existing(folder: &Path) -> &Path {
    folder.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."))
}
