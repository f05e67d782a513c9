//! The commands of REST: what each changes, and the answer once the change is read back.

use kafka::journal::JournalWriter;
use tokio::sync::oneshot;

use super::{Herder, writes::Purpose};
use crate::{
    connector::{self, Connector},
    distributed::{
        io::Topic,
        record::{
            ConnectorRecord, RestartRecord, Stored, VERSION, bytes, connector_key, restart_key, topic_key,
        },
    },
    worker::{
        Answer, Target, View, WorkerError,
        change::{Change, Changed, Command, send},
        config::group,
    },
};

/// A command whose record was written.
pub(super) struct Pending {
    name: String,
    pub(super) reply: Reply,
}

pub(super) enum Reply {
    Changed(oneshot::Sender<Answer<(View, bool)>>, bool),
    Done(oneshot::Sender<Answer<()>>),
    Restarted(oneshot::Sender<Answer<View>>, Box<View>),
}

impl Herder {
    pub(super) fn on_command(&mut self, command: Command, writer: &JournalWriter) {
        match command {
            Command::List(reply) => {
                let views = self.log.iter().map(|(name, stored)| self.view_of(name, stored));
                send(reply, views.collect());
            }
            Command::Change { name, change, reply } => match self.changed(&name, change) {
                Ok((stored, is_new)) => {
                    self.propose(writer, name, Some(stored), Reply::Changed(reply, is_new));
                }
                Err(error) => send(reply, Err(error)),
            },
            Command::Target { name, target, reply } => match self.log.get(&name) {
                None => send(reply, Err(WorkerError::Unknown(name))),
                Some(stored) if stored.target == target => send(reply, Ok(())),
                Some(stored) => {
                    let stored = Stored { target, ..stored.clone() };
                    self.propose(writer, name, Some(stored), Reply::Done(reply));
                }
            },
            Command::Delete { name, reply } => match self.log.get(&name) {
                None => send(reply, Err(WorkerError::NoConnector(name))),
                Some(_) => self.propose(writer, name, None, Reply::Done(reply)),
            },
            Command::Restart { name, task, only_failed, reply } => {
                self.restart(writer, name, (task, only_failed), reply);
            }
            Command::ResetTopics { name } => {
                let topics: Vec<String> = self.statuses.topics(&name).cloned().collect();
                for topic in topics {
                    let key = topic_key(&topic, &name);
                    self.write(writer, Purpose::Reset, (Topic::Statuses, &key), None);
                }
            }
            Command::Stopped { name, reply } => send(reply, self.stopped(name)),
        }
    }

    fn view_of(&self, name: &str, stored: &Stored) -> View {
        self.statuses.view(name, stored, &self.live, &self.worker)
    }

    /// What a change makes of a connector, and whether it is new.
    fn changed(&self, name: &str, change: Change) -> Answer<(Stored, bool)> {
        let held = self.log.get(name);
        let of = |stored: &Stored| stored.config.clone();
        let Changed { config, connector, state } =
            change.apply(name, held.map(of).as_ref(), &self.config.defaults)?;
        let group = group(&connector);
        if self.config.distributed.as_ref().is_some_and(|shared| shared.group == group) {
            let whose = match connector.consumer.group_id {
                Some(own) => format!("Consumer group {own}"),
                None => format!("Consumer group for sink connector named {name}"),
            };
            return Err(WorkerError::Invalid(vec![format!(
                "{whose} conflicts with Connect worker group {group}"
            )]));
        }
        let target = held.map(|held| held.target).or(state).unwrap_or(Target::Running);
        Ok((Stored { revision: random()?, target, config }, held.is_none()))
    }

    /// Writes a change. A connector has one change at a time.
    fn propose(&mut self, writer: &JournalWriter, name: String, connector: Option<Stored>, reply: Reply) {
        if self.pending.values().any(|pending| pending.name == name && pending.reply.is_change()) {
            return reply.refuse(WorkerError::Conflict);
        }
        let id = match random() {
            Ok(id) => id,
            Err(error) => return reply.refuse(error),
        };
        let record = ConnectorRecord { version: VERSION, seen: self.log.position(), connector };
        let key = connector_key(&id, &name);
        self.pending.insert(id.clone(), Pending { name, reply });
        self.write(writer, Purpose::Command(id), (Topic::Configs, &key), Some(&bytes(&record)));
    }

    fn restart(
        &mut self,
        writer: &JournalWriter,
        name: String,
        (task, only_failed): (Option<u32>, bool),
        reply: oneshot::Sender<Answer<View>>,
    ) {
        let Some(stored) = self.log.get(&name) else {
            return send(reply, Err(WorkerError::Unknown(format!(": {name}"))));
        };
        let mut view = self.view_of(&name, stored);
        let has = |task: &u32| view.status.tasks.iter().any(|found| found.id == *task);
        if let Some(task) = task.filter(|task| !has(task)) {
            return send(reply, Err(WorkerError::UnknownTask(name, task)));
        }
        let concerned = view.status.tasks.iter_mut().filter(|found| {
            task.is_none_or(|task| task == found.id) && (!only_failed || found.state == "FAILED")
        });
        let concerned = concerned.map(|found| found.state = "RESTARTING").count();
        if concerned == 0 {
            return send(reply, Ok(view));
        }
        if task.is_none() && !only_failed {
            view.status.connector = "RESTARTING";
        }
        let id = match random() {
            Ok(id) => id,
            Err(error) => return send(reply, Err(error)),
        };
        let record = RestartRecord { version: VERSION, id: id.clone(), task, only_failed };
        let key = restart_key(&name);
        let reply = Reply::Restarted(reply, Box::new(view));
        self.pending.insert(id.clone(), Pending { name, reply });
        self.write(writer, Purpose::Command(id), (Topic::Configs, &key), Some(&bytes(&record)));
    }

    fn stopped(&self, name: String) -> Answer<Connector> {
        let stored = self.log.get(&name).ok_or_else(|| WorkerError::NoConnector(name.clone()))?;
        if stored.target != Target::Stopped {
            return Err(WorkerError::NotStopped(name));
        }
        let (validation, connector) = connector::validate(&stored.config, &self.config.defaults);
        let errors = || validation.values.errors().map(str::to_owned).collect();
        connector.ok_or_else(|| WorkerError::Invalid(errors()))
    }

    pub(super) fn answer(&self, pending: Pending, result: Answer<()>) {
        let Pending { name, reply } = pending;
        match (reply, result) {
            (reply, Err(error)) => reply.refuse(error),
            (Reply::Done(reply), Ok(())) => send(reply, Ok(())),
            (Reply::Restarted(reply, view), Ok(())) => send(reply, Ok(*view)),
            (Reply::Changed(reply, is_new), Ok(())) => {
                let view = self.log.get(&name).map(|stored| self.view_of(&name, stored));
                send(reply, view.map(|view| (view, is_new)).ok_or(WorkerError::NoConnector(name)));
            }
        }
    }
}

impl Reply {
    /// Whether it waits for a change of a connector.
    fn is_change(&self) -> bool {
        !matches!(self, Self::Restarted(..))
    }

    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Changed(reply, _) => reply.is_closed(),
            Self::Done(reply) => reply.is_closed(),
            Self::Restarted(reply, _) => reply.is_closed(),
        }
    }

    fn refuse(self, error: WorkerError) {
        match self {
            Self::Changed(reply, _) => send(reply, Err(error)),
            Self::Done(reply) => send(reply, Err(error)),
            Self::Restarted(reply, _) => send(reply, Err(error)),
        }
    }
}

/// An ID that no other change has.
fn random() -> Answer<String> {
    let number = getrandom::u64();
    number.map(|number| format!("{number:016x}")).map_err(|error| WorkerError::Kafka(error.to_string()))
}
