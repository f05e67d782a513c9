//! The threads that speak with Kafka for a distributed worker: one follows each topic, and one is a member of the group.

use std::{collections::BTreeSet, sync::Arc, thread, time::Duration};

use kafka::{
    Error, Look, Roster,
    journal::{self, JournalReader, JournalRecord, JournalTopic, JournalWriter, Journaled},
};
use service::Backoff;
use tokio::{sync::mpsc, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::{assignment, settings::unfit};
use crate::{task::chain, worker::WorkerConfig};

/// What a thread has found.
pub(super) enum Event {
    /// A record of the topic of configurations.
    Config(JournalRecord),
    /// A record of the topic of states.
    Status(JournalRecord),
    /// Everything that was in one of the topics has been read.
    CaughtUp(Topic),
    /// The members of the group are others.
    Members(BTreeSet<String>),
    /// The worker cannot continue.
    Failed(String),
}

/// Which topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    Configs,
    Statuses,
}

/// Kafka, opened.
pub(super) struct Io {
    pub(super) writer: Arc<JournalWriter>,
    pub(super) events: mpsc::Receiver<Event>,
    threads: Vec<thread::JoinHandle<()>>,
    stop: CancellationToken,
}

/// How many events wait for the herder.
const EVENTS: usize = 256;
/// How long a thread waits for a record before it looks whether it is to end.
const POLL: Duration = Duration::from_millis(100);
/// How often the members are asked for.
const LOOK: Duration = Duration::from_secs(1);
/// How long Kafka may take to confirm a record.
const PATIENCE: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

impl Io {
    /// Waits for Kafka, prepares the topics and starts the threads. `None` if it was stopped before.
    ///
    /// # Errors
    /// Why the worker cannot start: a topic does not fit, or this user is refused.
    pub(super) async fn open(
        config: &Arc<WorkerConfig>,
        member: &str,
        shutdown: &CancellationToken,
    ) -> Result<Option<Self>, String> {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let mut is_waiting = false;
        loop {
            let (config, member) = (config.clone(), member.to_owned());
            let opened = spawn_blocking(move || Opened::new(&config, &member)).await;
            let error = match opened.map_err(|_| "opening Kafka panicked; this is a bug, please report it")? {
                Ok(opened) => return opened.start().map(Some),
                Err(NotOpened::Final(error)) => return Err(error),
                Err(NotOpened::Unanswered(error)) => error,
            };
            if !std::mem::replace(&mut is_waiting, true) {
                tracing::warn!(
                    error,
                    action = "check that the brokers are running, or correct bootstrap.servers",
                    "Kafka does not answer; waiting for it"
                );
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next(1.0)) => {}
                () = shutdown.cancelled() => return Ok(None),
            }
        }
    }

    /// Leaves the group and ends the threads.
    pub(super) async fn close(self) {
        let Self { writer, events, threads, stop } = self;
        stop.cancel();
        // A thread that waits for room ends with the receiver.
        drop(events);
        let ended = spawn_blocking(move || {
            threads.into_iter().for_each(|thread| {
                if thread.join().is_err() {
                    tracing::debug!("a thread has panicked, which was reported");
                }
            });
            drop(writer);
        });
        if ended.await.is_err() {
            tracing::debug!("ending the threads panicked");
        }
    }
}

enum NotOpened {
    /// No broker answers.
    Unanswered(String),
    /// Waiting would not help.
    Final(String),
}

impl From<Error> for NotOpened {
    fn from(error: Error) -> Self {
        match &error {
            Error::Unanswered { .. } | Error::TopicUnanswered { .. } => Self::Unanswered(chain(&error)),
            _ => Self::Final(chain(&error)),
        }
    }
}

struct Opened {
    writer: JournalWriter,
    configs: JournalReader,
    statuses: JournalReader,
    roster: Roster,
    group: String,
}

impl Opened {
    fn new(config: &WorkerConfig, member: &str) -> Result<Self, NotOpened> {
        let Some(shared) = &config.distributed else {
            return Err(NotOpened::Final("the worker is a standalone one".to_owned()));
        };
        let own =
            |topic: &str| config.own(&shared.group, topic, std::iter::empty()).map_err(NotOpened::Final);
        let configs = follow(&own(&shared.configs.name)?, ("config.storage.topic", &shared.configs), true)?;
        let statuses =
            follow(&own(&shared.statuses.name)?, ("status.storage.topic", &shared.statuses), false)?;
        let writer = JournalWriter::open(&own(&shared.configs.name)?, PATIENCE)?;
        let membership = shared.membership.clone().into_iter();
        let membership = membership.chain([("client.id".to_owned(), member.to_owned())]);
        let membership = config.own(&shared.group, &shared.configs.name, membership);
        let roster = Roster::join(&membership.map_err(NotOpened::Final)?)?;
        Ok(Self { writer, configs, statuses, roster, group: shared.group.clone() })
    }

    fn start(self) -> Result<Io, String> {
        let (sender, events) = mpsc::channel(EVENTS);
        let stop = CancellationToken::new();
        let Self { writer, configs, statuses, roster, group } = self;
        let (configs_to, statuses_to, members_to) = (sender.clone(), sender.clone(), sender);
        let (a, b, c) = (stop.clone(), stop.clone(), stop.clone());
        let threads = [
            spawn("connect-configs", configs_to, move |to| {
                read(configs, (Topic::Configs, Event::Config), to, &a)
            }),
            spawn("connect-states", statuses_to, move |to| {
                read(statuses, (Topic::Statuses, Event::Status), to, &b)
            }),
            spawn("connect-group", members_to, move |to| look(roster, &group, to, &c)),
        ];
        let threads = threads.into_iter().collect::<Result<Vec<_>, _>>();
        let threads = threads.map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Io { writer: Arc::new(writer), events, threads, stop })
    }
}

fn follow(
    config: &kafka::KafkaConfig,
    (key, topic): (&str, &JournalTopic),
    is_single: bool,
) -> Result<JournalReader, NotOpened> {
    let found = journal::prepare(config, topic)?;
    if let Some(problem) = unfit(key, &topic.name, &found, is_single) {
        return Err(NotOpened::Final(problem));
    }
    if found.policy.is_none() {
        tracing::warn!(
            topic = topic.name,
            action =
                "grant this user DescribeConfigs on it, or see yourself that its cleanup.policy is compact",
            "cannot see whether the topic is compacted"
        );
    }
    Ok(JournalReader::open(config, &topic.name, found.partitions)?)
}

/// Runs `body` on a thread. An error of it, or a panic, ends the worker.
fn spawn(
    name: &str,
    events: mpsc::Sender<Event>,
    body: impl FnOnce(&mpsc::Sender<Event>) -> Result<(), String> + Send + 'static,
) -> std::io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let body = std::panic::AssertUnwindSafe(|| body(&events));
        let panicked = |_| Err("a thread panicked; this is a bug, please report it".to_owned());
        if let Err(error) = std::panic::catch_unwind(body).unwrap_or_else(panicked)
            && events.blocking_send(Event::Failed(error)).is_err()
        {
            tracing::debug!("the herder has ended");
        }
    })
}

fn read(
    mut reader: JournalReader,
    (topic, event): (Topic, fn(JournalRecord) -> Event),
    events: &mpsc::Sender<Event>,
    stop: &CancellationToken,
) -> Result<(), String> {
    while !stop.is_cancelled() {
        let event = match reader.poll(POLL).map_err(|error| chain(&error))? {
            None => continue,
            Some(Journaled::Record(record)) => event(record),
            Some(Journaled::CaughtUp) => Event::CaughtUp(topic),
        };
        if events.blocking_send(event).is_err() {
            break;
        }
    }
    Ok(())
}

fn look(
    mut roster: Roster,
    group: &str,
    events: &mpsc::Sender<Event>,
    stop: &CancellationToken,
) -> Result<(), String> {
    let mut last = BTreeSet::new();
    let mut is_answering = true;
    while !stop.is_cancelled() {
        let look = roster.look(LOOK).map_err(|error| refused(group, &error))?;
        let answers = look != Look::Unanswered;
        if answers != std::mem::replace(&mut is_answering, answers) {
            log_answers(answers);
        }
        let Look::Members(clients) = look else { continue };
        let members = assignment::members(clients);
        if members != last {
            last = members.clone();
            if events.blocking_send(Event::Members(members)).is_err() {
                break;
            }
        }
    }
    if !roster.leave() {
        tracing::debug!("could not leave the group in time; the others see it after session.timeout.ms");
    }
    Ok(())
}

fn log_answers(answers: bool) {
    match answers {
        true => tracing::info!("Kafka answers again"),
        false => tracing::warn!(
            action = "check that the brokers are running, or correct bootstrap.servers",
            "Kafka does not answer; connectors and tasks stay as they are"
        ),
    }
}

/// Workers of Kafka Connect are a group of another kind.
fn refused(group: &str, error: &Error) -> String {
    let error = chain(error);
    format!(
        "cannot be a member of the group {group} (group.id): {error}; if workers of Kafka Connect with this group.id still run, stop them, or choose another group.id"
    )
}
