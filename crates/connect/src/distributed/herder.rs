//! The one `select!` of a distributed worker: commands of REST, what Kafka's threads find, the ends of tasks and of writes.
//!
//! A command that changes something becomes a record of the topic of configurations. It is answered when this worker has read
//! the record back: then it is durable, and every worker reads it at the same place of the topic. Nothing is changed before,
//! so a worker that is killed between the two has nothing to repair; the others, and it itself after a restart, read the
//! record. See [`super::log`] for changes that meet.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use kafka::journal::{JournalRecord, JournalWriter};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinError, JoinSet},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    assignment::assign,
    io::{Event, Io, Topic},
    local::{Local, TaskId},
    log::ConfigLog,
    record::{
        ConfigEntry, ConnectorRecord, RestartRecord, StatusEntry, Stored, Unusable, VERSION, bytes,
        connector_key, restart_key, status_key, topic_bytes, topic_key,
    },
    status::{Live, Statuses, tasks},
};
use crate::{
    connector::{self, Connector},
    task::{TaskMetrics, chain},
    worker::{
        Answer, Handle, Target, View, WorkerConfig, WorkerError,
        change::{Change, Changed, Command, send},
        config::group,
    },
};

/// Owns what a distributed worker knows and runs.
pub struct Herder {
    config: Arc<WorkerConfig>,
    /// The topics of configurations and of states.
    topics: (String, String),
    /// The worker's name in states.
    worker: String,
    /// This process among the members of the group: the worker's name, and what tells it from an earlier process.
    member: String,
    commands: mpsc::Receiver<Command>,
    ready: watch::Sender<bool>,
    log: ConfigLog,
    statuses: Statuses,
    live: Live,
    /// The topics that have not been read to their end yet.
    behind: BTreeSet<&'static str>,
    local: Local,
    /// Records that were written and not read back yet, by their ID.
    pending: BTreeMap<String, Pending>,
    writes: JoinSet<Written>,
    /// The last state of each connector that was written, so that only changes are.
    published: BTreeMap<String, Vec<u8>>,
    /// Topics that were written.
    announced: BTreeSet<(String, String)>,
    /// Keys whose deletion was written.
    collected: BTreeSet<String>,
    /// Whether the last write failed, which was logged.
    is_refused: bool,
    failure: Option<String>,
}

/// A command whose record was written.
struct Pending {
    name: String,
    reply: Reply,
}

enum Reply {
    Changed(oneshot::Sender<Answer<(View, bool)>>, bool),
    Done(oneshot::Sender<Answer<()>>),
    Restarted(oneshot::Sender<Answer<View>>, Box<View>),
}

/// What a write was, and whether Kafka has it.
type Written = (Purpose, Result<(), String>);

#[derive(Debug)]
enum Purpose {
    Command(String),
    Status(String),
    Topic(String, String),
    Collect(String),
    Reset,
}

/// How many commands can wait.
const COMMANDS: usize = 64;
/// How often states are compared with what was written.
const PERIOD: Duration = Duration::from_secs(1);
/// How many deletions are written at a time.
const COLLECTIONS: usize = 100;

impl Herder {
    /// A worker of the group that its properties name. `worker` is its name in states.
    ///
    /// # Errors
    /// The system gives no random number.
    pub fn new(
        config: WorkerConfig,
        worker: String,
        metrics: TaskMetrics,
    ) -> Result<(Self, Handle), getrandom::Error> {
        let (sender, commands) = mpsc::channel(COMMANDS);
        let (ready, is_ready) = watch::channel(false);
        let config = Arc::new(config);
        let member = format!("{worker}#{:08x}", getrandom::u32()?);
        let topics = config.distributed.as_ref();
        let topics = topics.map(|shared| (shared.configs.name.clone(), shared.statuses.name.clone()));
        let herder = Self {
            config: config.clone(),
            topics: topics.unwrap_or_default(),
            worker,
            member,
            commands,
            ready,
            log: ConfigLog::default(),
            statuses: Statuses::default(),
            live: Live::default(),
            behind: ["configurations", "states"].into(),
            local: Local::new(config.clone(), metrics),
            pending: BTreeMap::new(),
            writes: JoinSet::new(),
            published: BTreeMap::new(),
            announced: BTreeSet::new(),
            collected: BTreeSet::new(),
            is_refused: false,
            failure: None,
        };
        Ok((herder, Handle::new(sender, config, is_ready)))
    }

    /// Runs until `shutdown`, and returns once every task has ended.
    ///
    /// # Errors
    /// Why the worker cannot continue.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), String> {
        let Some(mut io) = Io::open(&self.config, &self.member, &shutdown).await? else { return Ok(()) };
        let writer = io.writer.clone();
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.failure.is_none() {
            let is_ready = *self.ready.borrow();
            tokio::select! {
                event = io.events.recv() => self.on_event(event, &writer),
                command = self.commands.recv(), if is_ready => match command {
                    Some(command) => self.on_command(command, &writer),
                    None => break,
                },
                ended = self.local.ended() => {
                    self.local.on_ended(ended);
                    self.publish(&writer);
                }
                Some(written) = self.writes.join_next() => self.on_written(written),
                _ = ticks.tick() => self.on_tick(&writer),
                () = shutdown.cancelled() => break,
            }
        }
        drop(writer);
        self.writes.abort_all();
        while self.writes.join_next().await.is_some() {}
        // The others take the tasks over while these publish what they have read.
        let Self { mut local, failure, .. } = self;
        tokio::join!(io.close(), local.close());
        failure.map_or(Ok(()), Err)
    }

    fn on_event(&mut self, event: Option<Event>, writer: &JournalWriter) {
        match event {
            Some(Event::Config(record)) => self.on_config(&record),
            Some(Event::Status(record)) => self.on_status(&record),
            Some(Event::CaughtUp(topic)) => {
                let name = if topic == Topic::Configs { "configurations" } else { "states" };
                self.behind.remove(name);
                tracing::info!(topic = name, connectors = self.log.iter().count(), "read to the end");
            }
            Some(Event::Members(members)) => {
                let live = Live::new(members);
                tracing::info!(
                    workers = live.workers.iter().cloned().collect::<Vec<_>>().join(","),
                    "the workers of the group changed"
                );
                self.live = live;
            }
            Some(Event::Failed(error)) => self.failure = Some(error),
            None => self.failure = Some("the threads have ended; this is a bug, please report it".to_owned()),
        }
        if self.failure.is_none() && self.behind.is_empty() {
            self.settle(writer);
        }
    }

    fn on_config(&mut self, record: &JournalRecord) {
        let key = record.key.as_deref().unwrap_or_default();
        let at = (record.offset, record.timestamp);
        let entry = match self.log.read(at, key, record.value.as_deref()) {
            Ok(entry) => entry,
            Err(unusable) => return self.on_unusable(unusable, record, Topic::Configs),
        };
        match entry {
            ConfigEntry::Connector { name, id, record: Some(_) } => {
                if let Some(pending) = self.pending.remove(&id) {
                    let counts = self.log.is_last(&name, &id);
                    self.answer(pending, if counts { Ok(()) } else { Err(WorkerError::Conflict) });
                }
            }
            // An order that was given before this worker read to the end is over: its tasks have begun since.
            ConfigEntry::Restart { name, record: Some(order) } if self.behind.is_empty() => {
                tracing::info!(connector = name, only_failed = order.only_failed, "restarting tasks");
                self.local.restart(&name, order.task, order.only_failed);
                if let Some(pending) = self.pending.remove(&order.id) {
                    self.answer(pending, Ok(()));
                }
            }
            ConfigEntry::Connector { name, id, record: None } => {
                self.collected.remove(&connector_key(&id, &name));
            }
            ConfigEntry::Restart { name, record: None } => {
                self.collected.remove(&restart_key(&name));
            }
            _ => {}
        }
    }

    fn on_status(&mut self, record: &JournalRecord) {
        let key = record.key.as_deref().unwrap_or_default();
        match self.statuses.read(record.timestamp, key, record.value.as_deref()) {
            Ok(StatusEntry::Status { member, name, record: None }) => {
                self.collected.remove(&status_key(&member, &name));
                // Another worker took this one for gone: it is written again.
                if member == self.member {
                    self.published.remove(&name);
                }
            }
            Ok(StatusEntry::Topic { topic, name, is_used: false }) => {
                self.collected.remove(&topic_key(&topic, &name));
                self.local.forget_topic(&name, &topic);
                self.announced.remove(&(name, topic));
            }
            Ok(_) => {}
            Err(unusable) => self.on_unusable(unusable, record, Topic::Statuses),
        }
    }

    /// A record of a newer version may say anything, so a worker that ignored it would run something else than the others.
    fn on_unusable(&mut self, unusable: Unusable, record: &JournalRecord, topic: Topic) {
        let name = if topic == Topic::Configs { &self.topics.0 } else { &self.topics.1 };
        let (partition, offset) = (record.partition, record.offset);
        match unusable {
            Unusable::Version(version) => {
                self.failure = Some(format!(
                    "the record at offset {offset} of {name}-{partition} has version {version}, and this worker reads versions up to {VERSION}; a newer worker has written it: upgrade this one"
                ));
            }
            Unusable::Damaged => tracing::error!(
                topic = name,
                partition,
                offset,
                action = "find out what else writes to the topic, and stop it",
                "ignored a record that no worker has written"
            ),
        }
    }

    /// Makes the tasks of this worker those that follow from the connectors and the members.
    fn settle(&mut self, writer: &JournalWriter) {
        let is_member = self.live.members.contains(&self.member);
        let mut wanted: BTreeMap<TaskId, &Stored> = BTreeMap::new();
        // A worker that the group has given up may run nothing: its tasks are those of others by now.
        let connectors = self.log.iter().filter(|(_, stored)| is_member && stored.target != Target::Stopped);
        for (name, stored) in connectors {
            let assigned = assign(name, tasks(stored), &self.live.workers).unwrap_or_default();
            let own = assigned.into_iter().filter(|(_, of)| *of == self.worker);
            wanted.extend(own.map(|(task, _)| ((name.clone(), task), stored)));
        }
        self.local.set(&wanted);
        self.publish(writer);
        if is_member && !*self.ready.borrow() {
            tracing::info!(worker = self.worker, "the worker is ready");
            self.ready.send_replace(true);
        }
    }

    /// Writes the states that have changed, and topics that are new.
    fn publish(&mut self, writer: &JournalWriter) {
        let records = self.local.records();
        let gone = self.published.keys().filter(|name| !records.contains_key(*name));
        for name in gone.cloned().collect::<Vec<_>>() {
            self.published.remove(&name);
            let key = status_key(&self.member, &name);
            self.write(writer, Purpose::Status(name), (Topic::Statuses, &key), None);
        }
        for (name, record) in records {
            let value = bytes(&record);
            if self.published.get(&name) != Some(&value) {
                let key = status_key(&self.member, &name);
                self.write(writer, Purpose::Status(name.clone()), (Topic::Statuses, &key), Some(&value));
                self.published.insert(name, value);
            }
        }
        for (name, topic) in self.local.topics() {
            let place = (name, topic.to_string());
            if !self.statuses.has_topic(&place.0, &place.1) && self.announced.insert(place.clone()) {
                let (name, topic) = place;
                let key = topic_key(&topic, &name);
                let value = topic_bytes();
                self.write(writer, Purpose::Topic(name, topic), (Topic::Statuses, &key), Some(&value));
            }
        }
    }

    fn on_tick(&mut self, writer: &JournalWriter) {
        // A client that does not wait any more frees its connector for another change.
        self.pending.retain(|_, pending| !pending.reply.is_closed());
        if !*self.ready.borrow() {
            return;
        }
        self.publish(writer);
        // One worker cleans up for all.
        if self.live.members.first() == Some(&self.member) {
            self.collect(writer);
        }
    }

    fn collect(&mut self, writer: &JournalWriter) {
        let now = now();
        let of_configs = self.log.garbage(now).into_iter().map(|key| (Topic::Configs, key));
        let exists = |name: &str| self.log.get(name).is_some();
        let of_statuses = self.statuses.garbage(&self.live, exists, now);
        let of_statuses = of_statuses.into_iter().map(|key| (Topic::Statuses, key));
        let open = of_configs.chain(of_statuses).filter(|(_, key)| !self.collected.contains(key));
        for (topic, key) in open.take(COLLECTIONS).collect::<Vec<_>>() {
            self.collected.insert(key.clone());
            self.write(writer, Purpose::Collect(key.clone()), (topic, &key), None);
        }
    }

    fn write(
        &mut self,
        writer: &JournalWriter,
        purpose: Purpose,
        (topic, key): (Topic, &str),
        value: Option<&[u8]>,
    ) {
        let topic = if topic == Topic::Configs { &self.topics.0 } else { &self.topics.1 };
        let sent = writer.send(topic, key, value);
        self.writes.spawn(confirmed(purpose, sent));
    }

    fn on_written(&mut self, written: Result<Written, JoinError>) {
        let Ok((purpose, result)) = written else { return };
        let was_refused = std::mem::replace(&mut self.is_refused, result.is_err());
        let Err(error) = result else { return };
        if !was_refused {
            tracing::warn!(
                error,
                action =
                    "check that the brokers are running, and that this user may write to the worker's topics",
                "Kafka did not take a record of this worker"
            );
        }
        match purpose {
            Purpose::Command(id) => {
                if let Some(pending) = self.pending.remove(&id) {
                    self.answer(pending, Err(WorkerError::Kafka(error)));
                }
            }
            Purpose::Status(name) => drop(self.published.remove(&name)),
            Purpose::Topic(name, topic) => drop(self.announced.remove(&(name, topic))),
            Purpose::Collect(key) => drop(self.collected.remove(&key)),
            Purpose::Reset => {}
        }
    }

    fn on_command(&mut self, command: Command, writer: &JournalWriter) {
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

    fn answer(&self, pending: Pending, result: Answer<()>) {
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

    fn is_closed(&self) -> bool {
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

/// Waits until Kafka has a record.
async fn confirmed(
    purpose: Purpose,
    sent: Result<impl Future<Output = Result<(), kafka::Error>>, kafka::Error>,
) -> Written {
    let result = match sent {
        Ok(delivery) => delivery.await,
        Err(error) => Err(error),
    };
    (purpose, result.map_err(|error| chain(&error)))
}

/// An ID that no other change has.
fn random() -> Answer<String> {
    let number = getrandom::u64();
    number.map(|number| format!("{number:016x}")).map_err(|error| WorkerError::Kafka(error.to_string()))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or_default()
}
