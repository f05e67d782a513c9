//! A standalone worker: the connectors of one process, and their states.
//!
//! The [`Herder`] owns them and takes one command at a time, so that no two changes of a connector overlap.

mod config;
mod state;
mod supervise;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub use config::{Mistake, WorkerConfig};
pub use state::{InitialState, Status, Target, TaskState, WorkerError};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinError, JoinSet, spawn_blocking},
};
use tokio_util::sync::CancellationToken;

use crate::{
    connector::{self, Connector},
    define::Config,
    task::{TaskError, TaskMetrics, chain},
};

/// A connector with everything that REST shows of it.
#[derive(Clone, Debug)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Its configuration as it was given, with its name in it.
    pub config: Config,
    /// Its state.
    pub status: Status,
}

/// What a command returns.
pub type Answer<T> = Result<T, WorkerError>;

/// An offset of a partition, or none.
pub type OffsetChange = ((String, i32), Option<u64>);

enum Command {
    List(oneshot::Sender<Vec<View>>),
    Put {
        name: String,
        config: Config,
        state: Option<Target>,
        must_be_new: bool,
        reply: oneshot::Sender<Answer<(View, bool)>>,
    },
    Target {
        name: String,
        target: Target,
        reply: oneshot::Sender<Answer<()>>,
    },
    Restart {
        name: String,
        task: Option<u32>,
        only_failed: bool,
        reply: oneshot::Sender<Answer<View>>,
    },
    Delete {
        name: String,
        reply: oneshot::Sender<Answer<()>>,
    },
    ResetTopics {
        name: String,
    },
    Stopped {
        name: String,
        reply: oneshot::Sender<Answer<Connector>>,
    },
}

/// Sends commands to a [`Herder`]. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    /// The properties of the worker.
    pub config: Arc<WorkerConfig>,
}

/// How many commands can wait.
const COMMANDS: usize = 64;

/// Owns the connectors of a worker.
pub struct Herder {
    config: Arc<WorkerConfig>,
    /// The worker's name in states.
    id: String,
    commands: mpsc::Receiver<Command>,
    held: BTreeMap<String, Held>,
    metrics: TaskMetrics,
    /// Tasks that run; each returns the name of its connector and the number of its run.
    tasks: JoinSet<Ended>,
    /// Counts the runs of tasks, so that the end of an older one changes nothing.
    runs: u64,
}

type Ended = (String, u64, Result<(), TaskError>);

struct Held {
    config: Config,
    connector: Connector,
    target: Target,
    task: TaskState,
    running: Option<Running>,
    topics: watch::Sender<BTreeSet<Arc<str>>>,
}

struct Running {
    run: u64,
    stop: CancellationToken,
    /// Closed when the task has ended.
    ended: watch::Receiver<()>,
}

impl Herder {
    /// A herder without connectors, and what sends commands to it. `id` is the worker's name in states.
    pub fn new(config: WorkerConfig, id: String, metrics: TaskMetrics) -> (Self, Handle) {
        let (sender, commands) = mpsc::channel(COMMANDS);
        let config = Arc::new(config);
        let herder = Self {
            config: config.clone(),
            id,
            commands,
            held: BTreeMap::new(),
            metrics,
            tasks: JoinSet::new(),
            runs: 0,
        };
        (herder, Handle { commands: sender, config })
    }

    /// The same, with another name in states.
    #[must_use]
    pub fn named(self, id: String) -> Self {
        Self { id, ..self }
    }

    /// Runs until `shutdown`, and returns once every task has ended.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.on(command).await,
                    None => break,
                },
                Some(ended) = self.tasks.join_next() => self.on_ended(ended),
                () = shutdown.cancelled() => break,
            }
        }
        self.held.values().filter_map(|held| held.running.as_ref()).for_each(|running| running.stop.cancel());
        while let Some(ended) = self.tasks.join_next().await {
            self.on_ended(ended);
        }
    }

    async fn on(&mut self, command: Command) {
        match command {
            Command::List(reply) => {
                send(reply, self.held.iter().map(|(name, held)| self.view(name, held)).collect());
            }
            Command::Put { name, config, state, must_be_new, reply } => {
                let answer = self.put(&name, config, state, must_be_new).await;
                send(reply, answer);
            }
            Command::Target { name, target, reply } => {
                let answer = self.aim(&name, target).await;
                send(reply, answer);
            }
            Command::Restart { name, task, only_failed, reply } => {
                let answer = self.restart(&name, task, only_failed).await;
                send(reply, answer);
            }
            Command::Delete { name, reply } => {
                let answer = match self.held.contains_key(&name) {
                    false => Err(WorkerError::NoConnector(name)),
                    true => {
                        self.halt(&name).await;
                        self.held.remove(&name);
                        tracing::info!(
                            connector = name,
                            "connector deleted; the offsets of its group remain"
                        );
                        Ok(())
                    }
                };
                send(reply, answer);
            }
            Command::ResetTopics { name } => {
                if let Some(held) = self.held.get(&name) {
                    held.topics.send_replace(BTreeSet::new());
                }
            }
            Command::Stopped { name, reply } => {
                let answer = match self.held.get(&name) {
                    None => Err(WorkerError::NoConnector(name)),
                    Some(held) if held.target != Target::Stopped => Err(WorkerError::NotStopped(name)),
                    Some(held) => Ok(held.connector.clone()),
                };
                send(reply, answer);
            }
        }
    }

    /// Creates a connector, or replaces its configuration. Nothing changes unless it is valid.
    async fn put(
        &mut self,
        name: &str,
        mut config: Config,
        state: Option<Target>,
        must_be_new: bool,
    ) -> Answer<(View, bool)> {
        if must_be_new && self.held.contains_key(name) {
            return Err(WorkerError::Exists(name.to_owned()));
        }
        config.insert("name".to_owned(), name.to_owned());
        let (validation, connector) = connector::validate(&config, &self.config.defaults);
        let Some(connector) = connector else {
            let errors = validation.values.errors().map(str::to_owned).collect();
            return Err(WorkerError::Invalid(errors));
        };
        for warning in &validation.warnings {
            tracing::warn!(
                connector = name,
                action = "none if this is intended; otherwise correct the configuration",
                "{warning}"
            );
        }
        self.halt(name).await;
        let before = self.held.remove(name);
        let is_new = before.is_none();
        let target = state.or(before.as_ref().map(|held| held.target)).unwrap_or(Target::Running);
        // A paused connector keeps its task, which the new configuration repairs.
        let keeps_task = target == Target::Paused && before.as_ref().is_some_and(Held::has_task);
        let task = if keeps_task { TaskState::Paused } else { TaskState::Unassigned };
        let topics = before.map_or_else(watch::Sender::default, |held| held.topics);
        let held = Held { config, connector, target, task, running: None, topics };
        self.held.insert(name.to_owned(), held);
        self.start(name);
        let held = &self.held[name];
        Ok((self.view(name, held), is_new))
    }

    async fn aim(&mut self, name: &str, target: Target) -> Answer<()> {
        let Some(held) = self.held.get_mut(name) else { return Err(WorkerError::Unknown(name.to_owned())) };
        let before = std::mem::replace(&mut held.target, target);
        if before != target {
            tracing::info!(connector = name, from = %before, to = %target, "connector changes its state");
            // A paused connector keeps the failure of its task, as in Connect.
            if target != Target::Running {
                self.halt(name).await;
            } else if !matches!(held.task, TaskState::Failed(_)) {
                self.start(name);
            }
        }
        Ok(())
    }

    async fn restart(&mut self, name: &str, task: Option<u32>, only_failed: bool) -> Answer<View> {
        let Some(held) = self.held.get(name) else { return Err(WorkerError::Unknown(format!(": {name}"))) };
        if let Some(task) = task.filter(|task| *task > 0 || !held.has_task()) {
            return Err(WorkerError::NoTask(name.to_owned(), task));
        }
        let is_concerned = held.has_task() && (!only_failed || matches!(held.task, TaskState::Failed(_)));
        let mut view = self.view(name, held);
        if !is_concerned {
            return Ok(view);
        }
        if held.target == Target::Running {
            self.halt(name).await;
            self.start(name);
        } else if let Some(held) = self.held.get_mut(name) {
            held.task = TaskState::Paused;
        }
        if let Some((state, _)) = &mut view.status.task {
            *state = "RESTARTING";
        }
        Ok(view)
    }

    /// Starts the task, if the connector runs.
    fn start(&mut self, name: &str) {
        self.runs += 1;
        let run = self.runs;
        let Some(held) = self.held.get_mut(name) else { return };
        if held.target != Target::Running {
            return;
        }
        let stop = CancellationToken::new();
        let (alive, ended) = watch::channel(());
        held.task = TaskState::Running;
        held.running = Some(Running { run, stop: stop.clone(), ended });
        let running = supervise::run(
            self.config.clone(),
            held.connector.clone(),
            self.metrics.clone(),
            held.topics.clone(),
            stop,
        );
        let name = name.to_owned();
        tracing::info!(connector = name, "connector starting");
        self.tasks.spawn(async move {
            let result = running.await;
            drop(alive);
            (name, run, result)
        });
    }

    /// Stops the task, and waits until it has left its group.
    async fn halt(&mut self, name: &str) {
        let Some(held) = self.held.get_mut(name) else { return };
        if let Some(mut running) = held.running.take() {
            running.stop.cancel();
            // It fails once the task has dropped its end.
            let _ = running.ended.changed().await;
        }
        held.task = match (held.target, &held.task) {
            (Target::Paused, TaskState::Failed(trace)) => TaskState::Failed(trace.clone()),
            (Target::Paused, _) => TaskState::Paused,
            _ => TaskState::Unassigned,
        };
    }

    fn on_ended(&mut self, ended: Result<Ended, JoinError>) {
        // A panic was logged with its place, and shows here as a task that does not end: it is found by its token.
        let Ok((name, run, result)) = ended else { return self.find_panicked() };
        let Some(held) = self.held.get_mut(&name) else { return };
        if held.running.as_ref().is_none_or(|running| running.run != run) {
            if let Err(error) = result {
                tracing::warn!(
                    connector = name, %error,
                    action = "none; what was not committed is read again",
                    "the task failed while it was stopped"
                );
            }
            return;
        }
        held.running = None;
        if let Err(error) = result {
            tracing::error!(
                connector = name, %error,
                action = "remove the cause, and restart the task by REST",
                "task failed"
            );
            held.task = TaskState::Failed(error.to_string());
        }
    }

    fn find_panicked(&mut self) {
        for held in self.held.values_mut() {
            if held.running.as_ref().is_some_and(|running| running.ended.has_changed().is_err()) {
                held.running = None;
                held.task =
                    TaskState::Failed("the task panicked; this is a bug, please report it".to_owned());
            }
        }
    }

    fn view(&self, name: &str, held: &Held) -> View {
        let topics = held.topics.borrow().iter().map(ToString::to_string).collect();
        let status = Status::of(held.target, &held.task, self.id.clone(), topics);
        View { name: name.to_owned(), config: held.config.clone(), status }
    }
}

impl Held {
    fn has_task(&self) -> bool {
        self.target != Target::Stopped && self.task != TaskState::Unassigned
    }
}

fn send<T>(reply: oneshot::Sender<T>, answer: T) {
    if reply.send(answer).is_err() {
        tracing::debug!("the client has closed its connection");
    }
}

impl Handle {
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Answer<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| WorkerError::ShuttingDown)?;
        answer.await.map_err(|_| WorkerError::ShuttingDown)
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

    /// Creates a connector, or replaces its configuration, and returns whether it is new.
    ///
    /// # Errors
    /// [`WorkerError::Invalid`], or [`WorkerError::Exists`] if it must be new.
    pub async fn put(
        &self,
        name: &str,
        config: Config,
        state: Option<Target>,
        must_be_new: bool,
    ) -> Answer<(View, bool)> {
        let name = name.to_owned();
        self.ask(|reply| Command::Put { name, config, state, must_be_new, reply }).await?
    }

    /// Pauses, resumes or stops a connector.
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
