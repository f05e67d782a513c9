//! Owns the connectors of a worker, and takes one command at a time, so that no two changes of a connector overlap.
//!
//! No command waits here for a task to end, because that may take as long as Pub/Sub does not answer, and the other
//! connectors would wait with it. A change is made at once, the task is stopped, and the client gets the
//! answer when the task has ended and the next one has begun.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{Id, JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{
    Answer, Handle, Status, Target, TaskState, View, WorkerConfig, WorkerError,
    change::{Change, Changed, Command, send},
    supervise,
};
use crate::{
    connector::Connector,
    define::Config,
    task::{Place, TaskError, TaskMetrics},
};

/// How many commands can wait.
pub(super) const COMMANDS: usize = 64;

/// Owns the connectors of a worker.
pub struct Herder {
    config: Arc<WorkerConfig>,
    /// The worker's name in states.
    id: String,
    commands: mpsc::Receiver<Command>,
    held: BTreeMap<String, Held>,
    metrics: TaskMetrics,
    /// Tasks that run, and the connector of each.
    tasks: JoinSet<Result<(), TaskError>>,
    names: HashMap<Id, String>,
    /// Tasks of connectors that were deleted: a connector of the same name waits until they have left its group.
    leaving: BTreeMap<String, Vec<Waiting>>,
}

/// An answer that waits for the end of a task. It gets the connector as it is then; `None` if it has been deleted.
type Waiting = Box<dyn FnOnce(Option<View>) + Send>;

struct Held {
    config: Config,
    connector: Connector,
    target: Target,
    task: TaskState,
    /// What stops the task that runs.
    running: Option<CancellationToken>,
    topics: watch::Sender<BTreeSet<Arc<str>>>,
    waiting: Vec<Waiting>,
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
            names: HashMap::new(),
            leaving: BTreeMap::new(),
        };
        (herder, Handle::new(sender, config, watch::channel(true).1))
    }

    /// Runs until `shutdown`, and returns once every task has ended.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.on(command),
                    None => break,
                },
                Some(ended) = self.tasks.join_next_with_id() => self.on_ended(ended),
                () = shutdown.cancelled() => break,
            }
        }
        // Whatever a task was to do after its end, it is not begun again.
        for held in self.held.values_mut() {
            held.target = Target::Stopped;
            held.stop();
        }
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.on_ended(ended);
        }
    }

    fn on(&mut self, command: Command) {
        match command {
            Command::List(reply) => {
                send(reply, self.held.iter().map(|(name, held)| held.view(name, &self.id)).collect());
            }
            Command::Change { name, change, reply } => match self.change(&name, change) {
                Ok(is_new) => {
                    let deleted = WorkerError::NoConnector(name.clone());
                    self.once_settled(&name, move |view| {
                        send(reply, view.map(|view| (view, is_new)).ok_or(deleted));
                    });
                }
                Err(error) => send(reply, Err(error)),
            },
            Command::Target { name, target, reply } => match self.aim(&name, target) {
                Ok(()) => self.once_settled(&name, move |_| send(reply, Ok(()))),
                Err(error) => send(reply, Err(error)),
            },
            Command::Restart { name, task, only_failed, reply } => {
                match self.restart(&name, task, only_failed) {
                    Ok(view) => self.once_settled(&name, move |_| send(reply, Ok(view))),
                    Err(error) => send(reply, Err(error)),
                }
            }
            Command::Delete { name, reply } => self.delete(name, reply),
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

    /// Creates a connector, or changes its configuration, and returns whether it is new. Nothing changes unless the
    /// configuration is valid.
    fn change(&mut self, name: &str, change: Change) -> Answer<bool> {
        let held = self.held.get(name).map(|held| &held.config);
        let Changed { config, connector, state } = change.apply(name, held, &self.config.defaults)?;
        match self.held.get_mut(name) {
            Some(held) => {
                (held.config, held.connector) = (config, connector);
                // A paused connector keeps its task, which the new configuration repairs.
                if matches!(held.task, TaskState::Failed(_)) {
                    held.task = TaskState::Paused;
                }
                held.stop();
                self.begin(name);
                Ok(false)
            }
            None => {
                let held = Held {
                    config,
                    connector,
                    target: state.unwrap_or(Target::Running),
                    task: TaskState::Unassigned,
                    running: None,
                    topics: watch::Sender::default(),
                    waiting: Vec::new(),
                };
                self.held.insert(name.to_owned(), held);
                self.begin(name);
                Ok(true)
            }
        }
    }

    fn aim(&mut self, name: &str, target: Target) -> Answer<()> {
        let Some(held) = self.held.get_mut(name) else { return Err(WorkerError::Unknown(name.to_owned())) };
        let before = std::mem::replace(&mut held.target, target);
        if before == target {
            return Ok(());
        }
        tracing::info!(connector = name, from = %before, to = %target, "connector changes its state");
        match (target, held.running.is_some()) {
            // A connector that failed stays so until it is restarted, as in Connect.
            (Target::Running, _) if !matches!(held.task, TaskState::Failed(_)) => self.begin(name),
            (Target::Running, _) => {}
            (_, true) => held.stop(),
            (_, false) => held.settle(),
        }
        Ok(())
    }

    fn restart(&mut self, name: &str, task: Option<u32>, only_failed: bool) -> Answer<View> {
        let Some(held) = self.held.get_mut(name) else {
            return Err(WorkerError::Unknown(format!(": {name}")));
        };
        if let Some(task) = task.filter(|task| *task > 0 || !held.has_task()) {
            return Err(WorkerError::NoTask(name.to_owned(), task));
        }
        let is_concerned = held.has_task() && (!only_failed || matches!(held.task, TaskState::Failed(_)));
        let mut view = held.view(name, &self.id);
        if !is_concerned {
            return Ok(view);
        }
        if held.target == Target::Running {
            held.stop();
            self.begin(name);
        } else {
            held.task = TaskState::Paused;
        }
        for task in &mut view.status.tasks {
            task.state = "RESTARTING";
        }
        Ok(view)
    }

    fn delete(&mut self, name: String, reply: oneshot::Sender<Answer<()>>) {
        let Some(mut held) = self.held.remove(&name) else {
            return send(reply, Err(WorkerError::NoConnector(name)));
        };
        tracing::info!(connector = name, "connector deleted; the offsets of its group remain");
        if held.running.is_some() {
            held.stop();
            held.waiting.push(Box::new(move |_| send(reply, Ok(()))));
            self.leaving.entry(name).or_default().append(&mut held.waiting);
        } else {
            held.waiting.into_iter().for_each(|waiting| waiting(None));
            send(reply, Ok(()));
        }
    }

    /// Begins the task, if the connector is to run and no other task of it does.
    fn begin(&mut self, name: &str) {
        let Some(held) = self.held.get_mut(name) else { return };
        if held.target != Target::Running || held.running.is_some() || self.leaving.contains_key(name) {
            return;
        }
        let stop = CancellationToken::new();
        self.metrics.begin(name);
        held.task = TaskState::Running;
        held.running = Some(stop.clone());
        tracing::info!(connector = name, "connector starting");
        let running = supervise::run(
            self.config.clone(),
            (held.connector.clone(), Place::ONLY),
            self.metrics.clone(),
            held.topics.clone(),
            stop,
        );
        // Every line of the task carries it, those of Kafka's threads included.
        let span = tracing::error_span!("task", connector = name);
        let id = self.tasks.spawn(running.instrument(span)).id();
        self.names.insert(id, name.to_owned());
    }

    fn on_ended(&mut self, ended: Result<(Id, Result<(), TaskError>), JoinError>) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result.map_err(|error| error.to_string())),
            // The panic was logged with its place.
            Err(error) => (error.id(), Err("the task panicked; this is a bug, please report it".to_owned())),
        };
        let Some(name) = self.names.remove(&id) else { return };
        if let Some(waiting) = self.leaving.remove(&name) {
            log_late_failure(&name, result);
            self.begin(&name);
            return waiting.into_iter().for_each(|waiting| waiting(None));
        }
        let Some(held) = self.held.get_mut(&name) else { return };
        let was_stopped = held.running.take().is_some_and(|stop| stop.is_cancelled());
        match result {
            Err(error) if !was_stopped => {
                tracing::error!(
                    connector = name,
                    error,
                    action = "remove the cause, and restart the task by REST",
                    "task failed"
                );
                held.task = TaskState::Failed(error);
            }
            result => {
                log_late_failure(&name, result);
                held.settle();
                self.begin(&name);
            }
        }
        self.answer(&name);
    }

    /// Gives an answer when the connector's last task has ended and the next one has begun: at once if none is stopping.
    fn once_settled(&mut self, name: &str, answer: impl FnOnce(Option<View>) + Send + 'static) {
        let Some(held) = self.held.get_mut(name) else { return answer(None) };
        held.waiting.push(Box::new(answer));
        if held.running.as_ref().is_none_or(|stop| !stop.is_cancelled()) {
            self.answer(name);
        }
    }

    fn answer(&mut self, name: &str) {
        let Some(held) = self.held.get_mut(name) else { return };
        for waiting in std::mem::take(&mut held.waiting) {
            waiting(Some(held.view(name, &self.id)));
        }
    }
}

impl Held {
    fn has_task(&self) -> bool {
        self.target != Target::Stopped && self.task != TaskState::Unassigned
    }

    fn stop(&self) {
        if let Some(running) = &self.running {
            running.cancel();
        }
    }

    /// The state of the task after its end. A paused connector keeps the failure of its task, as in Connect.
    fn settle(&mut self) {
        self.task = match (self.target, &self.task) {
            (Target::Paused, TaskState::Failed(trace)) => TaskState::Failed(trace.clone()),
            (Target::Paused, TaskState::Unassigned) | (Target::Stopped, _) => TaskState::Unassigned,
            (Target::Paused | Target::Running, _) => TaskState::Paused,
        };
    }

    fn view(&self, name: &str, worker: &str) -> View {
        let topics = self.topics.borrow().iter().map(ToString::to_string).collect();
        let status = Status::of(self.target, &self.task, worker.to_owned(), topics);
        View { name: name.to_owned(), config: self.config.clone(), status }
    }
}

fn log_late_failure(name: &str, result: Result<(), String>) {
    if let Err(error) = result {
        tracing::warn!(
            connector = name,
            error,
            action = "none; what was not committed is read again",
            "the task failed while it was stopped"
        );
    }
}
