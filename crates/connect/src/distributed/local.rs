//! The tasks that this worker runs.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use tokio::{
    sync::watch,
    task::{Id, JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{
    record::{StatusRecord, Stored, StoredTask, VERSION},
    status::tasks,
};
use crate::{
    connector::{self, Connector},
    task::{Place, TaskError, TaskMetrics},
    worker::{Target, TaskState, WorkerConfig, supervise},
};

/// A task by its connector and its number.
pub(super) type TaskId = (String, u32);

/// What a task returned, and which one it was.
pub(super) type Ended = Result<(Id, Result<(), TaskError>), JoinError>;

/// The tasks of this worker, with the connectors that they belong to.
pub(super) struct Local {
    config: Arc<WorkerConfig>,
    metrics: TaskMetrics,
    running: JoinSet<Result<(), TaskError>>,
    ids: HashMap<Id, TaskId>,
    connectors: BTreeMap<String, Checked>,
    tasks: BTreeMap<TaskId, LocalTask>,
}

/// A connector of which this worker has a task.
struct Checked {
    revision: String,
    /// How many tasks it has on all workers.
    tasks: u32,
    /// The valid configuration, or why it is none: it may need a file that this machine does not have, or be written by
    /// Kafka Connect or by another version.
    connector: Result<Connector, String>,
    /// Topics from which its tasks here have read.
    topics: watch::Sender<BTreeSet<Arc<str>>>,
}

struct LocalTask {
    /// What it is to do: publish or pause; `None` if it is to end.
    target: Option<Target>,
    /// Of the configuration that it runs, or is to run.
    revision: String,
    state: TaskState,
    /// What stops the task that runs.
    stop: Option<CancellationToken>,
}

impl Local {
    pub(super) fn new(config: Arc<WorkerConfig>, metrics: TaskMetrics) -> Self {
        Self {
            config,
            metrics,
            running: JoinSet::new(),
            ids: HashMap::new(),
            connectors: BTreeMap::new(),
            tasks: BTreeMap::new(),
        }
    }

    /// Makes these the tasks of this worker: begins, ends and pauses tasks, and begins those again whose configuration has
    /// changed.
    pub(super) fn set(&mut self, wanted: &BTreeMap<TaskId, &Stored>) {
        let names: BTreeMap<&str, &Stored> =
            wanted.iter().map(|((name, _), stored)| (name.as_str(), *stored)).collect();
        self.check(&names);
        let unwanted: Vec<TaskId> =
            self.tasks.keys().filter(|id| !wanted.contains_key(*id)).cloned().collect();
        for id in unwanted {
            self.end(&id);
        }
        for (id, stored) in wanted {
            self.aim(id, stored);
        }
    }

    /// Validates what has changed, and forgets what has no task here any more.
    fn check(&mut self, names: &BTreeMap<&str, &Stored>) {
        self.connectors.retain(|name, _| {
            names.contains_key(name.as_str()) || self.tasks.keys().any(|(of, _)| of == name)
        });
        for (name, stored) in names {
            let before = self.connectors.get(*name);
            if before.is_some_and(|before| before.revision == stored.revision) {
                continue;
            }
            let topics = before.map(|before| before.topics.clone()).unwrap_or_default();
            let (validation, connector) = connector::validate(&stored.config, &self.config.defaults);
            let errors = || validation.values.errors().collect::<Vec<_>>().join("; ");
            let connector = connector.ok_or_else(|| match stored.config.get("connector.class") {
                Some(class) if !connector::is_class(class.trim()) => {
                    format!("the class {class} is not supported; expected {}", connector::CLASS)
                }
                _ => format!("the configuration is invalid: {}", errors()),
            });
            let (revision, tasks) = (stored.revision.clone(), tasks(stored));
            self.connectors.insert((*name).to_owned(), Checked { revision, tasks, connector, topics });
        }
    }

    fn end(&mut self, id: &TaskId) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        task.target = None;
        match &task.stop {
            Some(stop) => stop.cancel(),
            None => drop(self.tasks.remove(id)),
        }
    }

    fn aim(&mut self, id: &TaskId, stored: &Stored) {
        let task = self.tasks.entry(id.clone()).or_insert_with(|| LocalTask {
            target: None,
            revision: stored.revision.clone(),
            state: TaskState::Unassigned,
            stop: None,
        });
        if task.revision != stored.revision {
            // Another configuration repairs a task that failed.
            task.state = TaskState::Unassigned;
            task.revision = stored.revision.clone();
            task.stop();
        }
        task.target = Some(stored.target);
        match stored.target {
            Target::Running => self.begin(id),
            Target::Paused | Target::Stopped => {
                task.stop();
                if task.stop.is_none() {
                    task.settle();
                }
            }
        }
    }

    /// Begins a task, if it is to run, has not failed, and no task of this number does.
    fn begin(&mut self, id: &TaskId) {
        let (Some(task), Some(checked)) = (self.tasks.get_mut(id), self.connectors.get(&id.0)) else {
            return;
        };
        let has_failed = matches!(task.state, TaskState::Failed(_));
        if task.target != Some(Target::Running) || task.stop.is_some() || has_failed {
            return;
        }
        let connector = match &checked.connector {
            Ok(connector) => connector.clone(),
            Err(error) => {
                log_failure(id, error);
                task.state = TaskState::Failed(error.clone());
                return;
            }
        };
        let stop = CancellationToken::new();
        self.metrics.begin(&id.0);
        task.state = TaskState::Running;
        task.stop = Some(stop.clone());
        tracing::info!(connector = id.0, task = id.1, "task starting");
        let place = Place { task: id.1, tasks: checked.tasks };
        let topics = checked.topics.clone();
        let body =
            supervise::run(self.config.clone(), (connector, place), self.metrics.clone(), topics, stop);
        // Every line of the task carries it, those of Kafka's threads included.
        let span = tracing::error_span!("task", connector = id.0, task = id.1);
        self.ids.insert(self.running.spawn(body.instrument(span)).id(), id.clone());
    }

    /// Begins tasks of a connector again: `task` if it is given, only those that have failed if `only_failed`.
    pub(super) fn restart(&mut self, name: &str, only: Option<u32>, only_failed: bool) {
        let is_concerned = |(of, number): &TaskId, task: &LocalTask| {
            of == name
                && only.is_none_or(|only| only == *number)
                && (!only_failed || matches!(task.state, TaskState::Failed(_)))
        };
        let ids: Vec<TaskId> =
            self.tasks.iter().filter(|(id, task)| is_concerned(id, task)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            let Some(task) = self.tasks.get_mut(&id) else { continue };
            task.stop();
            if task.stop.is_none() {
                task.state = TaskState::Unassigned;
                task.settle();
                self.begin(&id);
            }
        }
    }

    /// Returns when a task has ended; never if none runs.
    pub(super) async fn ended(&mut self) -> Ended {
        match self.running.join_next_with_id().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    pub(super) fn on_ended(&mut self, ended: Ended) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result.map_err(|error| error.to_string())),
            // The panic was logged with its place.
            Err(error) => (error.id(), Err("the task panicked; this is a bug, please report it".to_owned())),
        };
        let Some(id) = self.ids.remove(&id) else { return };
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let was_stopped = task.stop.take().is_some_and(|stop| stop.is_cancelled());
        match result {
            Err(error) if !was_stopped => {
                log_failure(&id, &error);
                task.state = TaskState::Failed(error);
            }
            result => {
                if let Err(error) = result {
                    tracing::warn!(
                        connector = id.0,
                        task = id.1,
                        error,
                        action = "none; what was not committed is read again",
                        "the task failed while it was stopped"
                    );
                }
                task.settle();
            }
        }
        match task.target {
            Some(_) => self.begin(&id),
            None => drop(self.tasks.remove(&id)),
        }
    }

    /// Stops every task, and returns when all have ended.
    pub(super) async fn close(&mut self) {
        self.set(&BTreeMap::new());
        while let Some(ended) = self.running.join_next_with_id().await {
            self.on_ended(ended);
        }
    }

    /// What the others are to know of the tasks here, by connector.
    pub(super) fn records(&self) -> BTreeMap<String, StatusRecord> {
        let mut records: BTreeMap<String, StatusRecord> = BTreeMap::new();
        for ((name, number), task) in &self.tasks {
            let record = records.entry(name.clone()).or_insert_with(|| StatusRecord {
                version: VERSION,
                revision: task.revision.clone(),
                tasks: BTreeMap::new(),
            });
            let trace = task.state.trace().map(str::to_owned);
            record.tasks.insert(*number, StoredTask { state: task.state.name().to_owned(), trace });
        }
        records
    }

    /// The topics from which tasks here have read, with their connectors.
    pub(super) fn topics(&self) -> Vec<(String, Arc<str>)> {
        let of = |(name, checked): (&String, &Checked)| {
            let topics: Vec<Arc<str>> = checked.topics.borrow().iter().cloned().collect();
            topics.into_iter().map(|topic| (name.clone(), topic)).collect::<Vec<_>>()
        };
        self.connectors.iter().flat_map(of).collect()
    }

    /// A client has reset the topics of a connector. One that is still read is found again with its next record.
    pub(super) fn forget_topic(&self, name: &str, topic: &str) {
        if let Some(checked) = self.connectors.get(name) {
            checked.topics.send_if_modified(|topics| topics.remove(topic));
        }
    }
}

impl LocalTask {
    fn stop(&self) {
        if let Some(stop) = &self.stop {
            stop.cancel();
        }
    }

    /// The state of a task that does not run. A paused one keeps its failure, as in Connect.
    fn settle(&mut self) {
        if !matches!(self.state, TaskState::Failed(_)) {
            self.state = match self.target {
                Some(Target::Paused) => TaskState::Paused,
                _ => TaskState::Unassigned,
            };
        }
    }
}

fn log_failure((connector, task): &TaskId, error: &str) {
    tracing::error!(
        connector,
        task,
        error,
        action = "remove the cause, and restart the task by REST",
        "task failed"
    );
}
