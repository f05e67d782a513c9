//! The one `select!` of a distributed worker: commands of REST, what Kafka's threads find, the ends of tasks and of writes.
//!
//! A command that changes something becomes a record of the topic of configurations. It is answered when this worker has read
//! the record back: then it is durable, and every worker reads it at the same place of the topic. Nothing is changed before,
//! so a worker that is killed between the two has nothing to repair; the others, and it itself after a restart, read the
//! record. See [`super::log`] for changes that meet.

mod commands;
mod writes;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use kafka::journal::{JournalRecord, JournalWriter};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    assignment::assign,
    io::{Event, Io, Topic},
    local::{Local, TaskId},
    log::ConfigLog,
    record::{
        ConfigEntry, StatusEntry, Stored, Unusable, VERSION, connector_key, restart_key, status_key,
        topic_key,
    },
    status::{Live, Statuses, tasks},
};
use crate::{
    task::TaskMetrics,
    worker::{Handle, Target, WorkerConfig, WorkerError, change::Command},
};
use commands::Pending;
use writes::Written;

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

/// How many commands can wait.
const COMMANDS: usize = 64;
/// How often states are compared with what was written.
const PERIOD: Duration = Duration::from_secs(1);
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
}
