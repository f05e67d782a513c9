//! What sends commands to the herder, and asks Kafka about the connectors' groups.

use std::{collections::BTreeSet, sync::Arc};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::spawn_blocking,
};

use super::{
    Answer, OffsetChange, Patch, Target, View, WorkerConfig, WorkerError,
    change::{Change, Command},
};
use crate::{
    connector::{self, Connector},
    define::Config,
    task::chain,
};

/// Sends commands to a [`super::Herder`]. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    /// The properties of the worker.
    pub config: Arc<WorkerConfig>,
    /// Whether commands are taken. A distributed worker first reads what the others have written.
    ready: watch::Receiver<bool>,
}

impl Handle {
    pub(crate) fn new(
        commands: mpsc::Sender<Command>,
        config: Arc<WorkerConfig>,
        ready: watch::Receiver<bool>,
    ) -> Self {
        Self { commands, config, ready }
    }

    /// Whether the worker takes commands; those that are sent before wait.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Returns once the worker takes commands, or has ended.
    pub async fn until_ready(&self) {
        // An error means that the herder has ended.
        drop(self.ready.clone().wait_for(|ready| *ready).await);
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Answer<T> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.commands.send(command(reply)).await.map_err(|_| WorkerError::ShuttingDown)?;
            answer.await.map_err(|_| WorkerError::ShuttingDown)
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or(Err(WorkerError::TimedOut))
    }

    /// All connectors, by name.
    ///
    /// # Errors
    /// [`WorkerError::ShuttingDown`], as every other method.
    pub async fn list(&self) -> Answer<Vec<View>> {
        self.ask(Command::List).await
    }

    /// One connector.
    ///
    /// # Errors
    /// [`WorkerError::NoConnector`].
    pub async fn get(&self, name: &str) -> Answer<View> {
        let found = self.list().await?.into_iter().find(|view| view.name == name);
        found.ok_or_else(|| WorkerError::NoConnector(name.to_owned()))
    }

    /// Creates a connector.
    ///
    /// # Errors
    /// [`WorkerError::Exists`], or why the configuration is refused.
    pub async fn create(&self, name: &str, config: Config, state: Option<Target>) -> Answer<View> {
        self.change(name, Change::Create(config, state)).await.map(|(view, _)| view)
    }

    /// Creates a connector, or replaces its configuration, and returns whether it is new.
    ///
    /// # Errors
    /// Why the configuration is refused; the old one is then still in use.
    pub async fn replace(&self, name: &str, config: Config) -> Answer<(View, bool)> {
        self.change(name, Change::Replace(config)).await
    }

    /// Changes some keys of a connector's configuration.
    ///
    /// # Errors
    /// [`WorkerError::NoConnector`], or why the new configuration is refused; the old one is then still in use.
    pub async fn patch(&self, name: &str, patch: Patch) -> Answer<View> {
        self.change(name, Change::Patch(patch)).await.map(|(view, _)| view)
    }

    async fn change(&self, name: &str, change: Change) -> Answer<(View, bool)> {
        let name = name.to_owned();
        self.ask(|reply| Command::Change { name, change, reply }).await?
    }

    /// Pauses, resumes or stops a connector. Returns once a task that was running has ended.
    ///
    /// # Errors
    /// [`WorkerError::Unknown`].
    pub async fn aim(&self, name: &str, target: Target) -> Answer<()> {
        let name = name.to_owned();
        self.ask(|reply| Command::Target { name, target, reply }).await?
    }

    /// Restarts the task of a connector: `task` if it is given, only if it has failed if `only_failed`.
    ///
    /// # Errors
    /// [`WorkerError::Unknown`], [`WorkerError::NoTask`].
    pub async fn restart(&self, name: &str, task: Option<u32>, only_failed: bool) -> Answer<View> {
        let name = name.to_owned();
        self.ask(|reply| Command::Restart { name, task, only_failed, reply }).await?
    }

    /// Deletes a connector. Returns once its task has ended.
    ///
    /// # Errors
    /// [`WorkerError::NoConnector`].
    pub async fn delete(&self, name: &str) -> Answer<()> {
        let name = name.to_owned();
        self.ask(|reply| Command::Delete { name, reply }).await?
    }

    /// Forgets the topics from which records arrived.
    ///
    /// # Errors
    /// [`WorkerError::ShuttingDown`].
    pub async fn reset_topics(&self, name: &str) -> Answer<()> {
        let command = Command::ResetTopics { name: name.to_owned() };
        self.commands.send(command).await.map_err(|_| WorkerError::ShuttingDown)
    }

    /// The committed offsets of a connector's group, by topic and partition.
    ///
    /// # Errors
    /// [`WorkerError::NoConnector`], or [`WorkerError::Kafka`].
    pub async fn offsets(&self, name: &str) -> Answer<Vec<((String, i32), u64)>> {
        let view = self.get(name).await?;
        let (_, connector) = connector::validate(&view.config, &self.config.defaults);
        let connector = connector.ok_or_else(|| WorkerError::NoConnector(name.to_owned()))?;
        self.committed(&connector).await
    }

    async fn committed(&self, connector: &Connector) -> Answer<Vec<((String, i32), u64)>> {
        let config = self.config.clone();
        let connector = connector.clone();
        blocking(move || {
            let topics = topics(&config, &connector)?;
            if topics.is_empty() {
                return Ok(Vec::new());
            }
            let kafka = config.kafka(&connector, topics)?;
            let survey = kafka::survey::survey(&kafka).map_err(|error| chain(&error))?;
            let offset = |log: kafka::survey::Log| {
                let partition = log.partition;
                log.committed.map(|offset| ((partition.topic.to_string(), partition.partition), offset))
            };
            Ok(survey.logs.into_iter().filter_map(offset).collect())
        })
        .await
    }

    /// Changes offsets of a stopped connector's group. All must have a value: a single offset cannot be deleted.
    ///
    /// # Errors
    /// [`WorkerError::NotStopped`], [`WorkerError::NoConnector`], [`WorkerError::Kafka`].
    pub async fn alter_offsets(&self, name: &str, changes: Vec<OffsetChange>) -> Answer<()> {
        let connector = self.stopped(name).await?;
        let config = self.config.clone();
        blocking(move || {
            let topics: BTreeSet<String> = changes.iter().map(|((topic, _), _)| topic.clone()).collect();
            let kafka = config.kafka(&connector, topics.into_iter().collect())?;
            let changes: Option<Vec<_>> = changes
                .into_iter()
                .map(|((topic, partition), offset)| Some(((Arc::from(topic), partition), offset?)))
                .collect();
            let changes = changes.ok_or("a single offset cannot be deleted here; delete all of them")?;
            kafka::offsets::set(&kafka, &changes).map_err(|error| chain(&error))
        })
        .await
    }

    /// Deletes the group of a stopped connector with its offsets.
    ///
    /// # Errors
    /// As [`Self::alter_offsets`].
    pub async fn reset_offsets(&self, name: &str) -> Answer<()> {
        let connector = self.stopped(name).await?;
        let config = self.config.clone();
        blocking(move || {
            let kafka = config.kafka(&connector, vec!["none".to_owned()])?;
            kafka::offsets::delete(&kafka).map_err(|error| chain(&error))
        })
        .await
    }

    /// Whether offsets may be changed now.
    ///
    /// # Errors
    /// [`WorkerError::NotStopped`], [`WorkerError::NoConnector`].
    pub async fn stopped(&self, name: &str) -> Answer<Connector> {
        let name = name.to_owned();
        self.ask(|reply| Command::Stopped { name, reply }).await?
    }

    /// The ID of the Kafka cluster.
    ///
    /// # Errors
    /// [`WorkerError::Kafka`].
    pub async fn cluster(&self) -> Answer<String> {
        let config = self.config.clone();
        blocking(move || {
            let brokers = kafka::Brokers::open(&config.questions()?).map_err(|error| chain(&error))?;
            Ok(brokers.cluster_id(ANSWER).unwrap_or_default())
        })
        .await
    }
}

/// How long a command may take, as in Connect.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(90);
/// How long brokers may take to answer.
const ANSWER: std::time::Duration = std::time::Duration::from_secs(10);

async fn blocking<T: Send + 'static>(ask: impl FnOnce() -> Result<T, String> + Send + 'static) -> Answer<T> {
    let asked = spawn_blocking(ask).await;
    asked.map_err(|_| WorkerError::Kafka("a request panicked".to_owned()))?.map_err(WorkerError::Kafka)
}

/// The connector's topics that exist.
fn topics(config: &WorkerConfig, connector: &Connector) -> Result<Vec<String>, String> {
    let brokers = kafka::Brokers::open(&config.questions()?).map_err(|error| chain(&error))?;
    let names = brokers.topic_names(ANSWER).map_err(|error| chain(&error))?;
    let named = connector.topics();
    Ok(names
        .into_iter()
        .filter(|name| if named.is_empty() { connector.selects(name) } else { named.contains(name) })
        .collect())
}
