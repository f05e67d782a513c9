//! States of connectors and tasks, and why a command is refused.

use std::fmt;

use crate::connector::CLASS;

/// What a connector is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Publish.
    Running,
    /// Keep its task, and publish nothing.
    Paused,
    /// Have no task.
    Stopped,
}

/// The state of a task on this worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// There is none.
    Unassigned,
    /// It publishes, or waits for its topics.
    Running,
    /// It will publish when the connector is resumed.
    Paused,
    /// It has ended, for this reason, which has no content of a record.
    Failed(String),
}

/// What REST shows of a connector's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The connector's state.
    pub connector: &'static str,
    /// The worker.
    pub worker: String,
    /// The tasks, by number.
    pub tasks: Vec<TaskStatus>,
    /// Topics from which records arrived.
    pub topics: Vec<String>,
}

/// What REST shows of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// Its number.
    pub id: u32,
    /// Its state.
    pub state: &'static str,
    /// The worker that runs it, or is to run it.
    pub worker: String,
    /// Why it has failed.
    pub trace: Option<String>,
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkerError {
    /// There is no such connector.
    #[error("Connector {0} not found")]
    NoConnector(String),
    /// As [`Self::NoConnector`], in the words of the calls that change states.
    #[error("Unknown connector{}", separated(.0))]
    Unknown(String),
    /// There is no such task.
    #[error("Task {0}-{1} not found")]
    NoTask(String, u32),
    /// As [`Self::NoTask`], in the words of a distributed worker.
    #[error("Unknown task: {0}-{1}")]
    UnknownTask(String, u32),
    /// There is one already.
    #[error("Connector {0} already exists")]
    Exists(String),
    /// The configuration names no class.
    #[error("Connector config contains no connector type")]
    NoClass,
    /// The configuration names another class.
    #[error(
        "Failed to find any class that implements Connector and which name matches {0}, available connectors are: {class}",
        class = CLASS
    )]
    OtherClass(String),
    /// The configuration has another name than the request.
    #[error("Connector name configuration ({0}) doesn't match connector name in the URL ({1})")]
    OtherName(String, String),
    /// The configuration has errors.
    #[error("{}", joined(.0))]
    Invalid(Vec<String>),
    /// Its offsets can be changed only while it is stopped.
    #[error(
        "Connectors must be in the STOPPED state before their offsets can be modified. This can be done for the specified connector by issuing a 'PUT' request to the '/connectors/{0}/stop' endpoint"
    )]
    NotStopped(String),
    /// Another change of the connector came first.
    #[error(
        "Cannot complete request momentarily due to stale configuration (typically caused by a concurrent config change)"
    )]
    Conflict,
    /// Kafka refuses, or does not answer.
    #[error("{0}")]
    Kafka(String),
    /// A distributed worker has not read its topics yet, or Kafka does not answer.
    #[error("Request timed out. The worker is waiting for Kafka")]
    TimedOut,
    /// The worker ends.
    #[error("the worker is shutting down")]
    ShuttingDown,
}

/// Connect writes `Unknown connector a` for some calls and `Unknown connector: a` for others.
fn separated(name: &str) -> String {
    if name.starts_with(": ") { name.to_owned() } else { format!(" {name}") }
}

/// As Connect joins them.
fn joined(errors: &[String]) -> String {
    format!(
        "Connector configuration is invalid and contains the following {} error(s):\n{}\nYou can also find the above list of errors at the endpoint `/connector-plugins/{{connectorType}}/config/validate`",
        errors.len(),
        errors.join("\n")
    )
}

impl Target {
    /// The state of this name.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_uppercase().as_str() {
            "RUNNING" => Some(Self::Running),
            "PAUSED" => Some(Self::Paused),
            "STOPPED" => Some(Self::Stopped),
            _ => None,
        }
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Stopped => "STOPPED",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl TaskState {
    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Unassigned => "UNASSIGNED",
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Failed(_) => "FAILED",
        }
    }

    /// Why the task has failed.
    pub(crate) fn trace(&self) -> Option<&str> {
        if let Self::Failed(trace) = self { Some(trace) } else { None }
    }
}

impl Status {
    /// The status of a connector with one task on one worker.
    pub(super) fn of(target: Target, task: &TaskState, worker: String, topics: Vec<String>) -> Self {
        let has_task = target != Target::Stopped && *task != TaskState::Unassigned;
        let task = has_task.then(|| TaskStatus {
            id: 0,
            state: task.name(),
            worker: worker.clone(),
            trace: task.trace().map(str::to_owned),
        });
        Self { connector: target.name(), worker, tasks: task.into_iter().collect(), topics }
    }
}
