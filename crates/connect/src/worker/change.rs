//! Changes of configurations, and their validation.

use tokio::sync::oneshot;

use super::{Answer, Patch, Target, View, WorkerError};
use crate::{
    connector::{self, Connector, Defaults},
    define::Config,
};

/// What REST asks of a worker.
pub(crate) enum Command {
    List(oneshot::Sender<Vec<View>>),
    Change { name: String, change: Change, reply: oneshot::Sender<Answer<(View, bool)>> },
    Target { name: String, target: Target, reply: oneshot::Sender<Answer<()>> },
    Restart { name: String, task: Option<u32>, only_failed: bool, reply: oneshot::Sender<Answer<View>> },
    Delete { name: String, reply: oneshot::Sender<Answer<()>> },
    ResetTopics { name: String },
    Stopped { name: String, reply: oneshot::Sender<Answer<Connector>> },
}

/// A change of a configuration.
pub(crate) enum Change {
    Create(Config, Option<Target>),
    Replace(Config),
    Patch(Patch),
}

/// A valid configuration that a change leads to.
pub(crate) struct Changed {
    pub(crate) config: Config,
    pub(crate) connector: Connector,
    /// The state that a new connector is to have.
    pub(crate) state: Option<Target>,
}

impl Change {
    /// What becomes of a connector with the configuration `held`; `None` if there is none.
    ///
    /// # Errors
    /// Why the change is refused.
    pub(crate) fn apply(self, name: &str, held: Option<&Config>, defaults: &Defaults) -> Answer<Changed> {
        let (mut config, state, must_be_new) = match self {
            Self::Create(config, state) => (config, state, true),
            Self::Replace(config) => (config, None, false),
            Self::Patch(patch) => {
                let held = held.ok_or_else(|| WorkerError::NoConnector(name.to_owned()))?;
                (patched(held.clone(), patch), None, false)
            }
        };
        if let Some(other) = config.get("name").filter(|other| other.as_str() != name && !name.is_empty()) {
            return Err(WorkerError::OtherName(other.clone(), name.to_owned()));
        }
        check_class(&config)?;
        config.insert("name".to_owned(), name.to_owned());
        let (validation, connector) = connector::validate(&config, defaults);
        let Some(connector) = connector else {
            return Err(WorkerError::Invalid(validation.values.errors().map(str::to_owned).collect()));
        };
        if must_be_new && held.is_some() {
            return Err(WorkerError::Exists(name.to_owned()));
        }
        for warning in &validation.warnings {
            tracing::warn!(
                connector = name,
                action = "none if this is intended; otherwise correct the configuration",
                "{warning}"
            );
        }
        Ok(Changed { config, connector, state })
    }
}

fn patched(mut config: Config, patch: Patch) -> Config {
    for (key, value) in patch {
        match value {
            Some(value) => drop(config.insert(key, value)),
            None => drop(config.remove(&key)),
        }
    }
    config
}

/// Before anything else, as in Connect.
fn check_class(config: &Config) -> Answer<()> {
    match config.get("connector.class").map(|class| class.trim()) {
        None | Some("") => Err(WorkerError::NoClass),
        Some(class) if connector::is_class(class) => Ok(()),
        Some(class) => Err(WorkerError::OtherClass(class.to_owned())),
    }
}

/// Answers a client.
pub(crate) fn send<T>(reply: oneshot::Sender<T>, answer: T) {
    if reply.send(answer).is_err() {
        tracing::debug!("the client has closed its connection");
    }
}
