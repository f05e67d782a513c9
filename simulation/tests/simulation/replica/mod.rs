//! One connector: the real core, with a model of its threads: the reader with its assignment, deliveries with retries,
//! and the requests about logs and topics.

mod jobs;
mod reading;
mod requests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use connector::{
    core::{BatchId, Core, Effect, Input},
    marks::MarkId,
};
use event::{EventTime, Partition, mark::TopicMark};
use kafka::{
    Commit, Slot, TopicPartition,
    fit::{Fit, Group, Observed},
    plan::Answers,
};

use crate::{
    pubsub::Body,
    wire::{Version, WireMark},
    world::{Event, World},
};

/// The session timeout.
pub(crate) const SESSION: i64 = 6_000;
/// The time limit of a drain.
const DRAIN: i64 = 3_000;
const SECOND: i64 = 1_000;
/// Batches in flight beyond which nothing is read.
const IN_FLIGHT: usize = 6;
/// Maximum number of marks in flight: one a second while two are in flight, and one at each drain.
const MARKS: usize = 8;
/// Records per partition and poll.
const RECORDS: u64 = 6;
/// The code of a record that Pub/Sub rejects.
const REFUSED: &str = "refused-by-pubsub";
/// More rejects than any run has.
const MAX_REJECTS: u32 = 1_000_000;

pub(crate) struct Replica {
    pub(crate) starts: u32,
    pub(crate) is_up: bool,
    pub(crate) paused_until: i64,
    pub(crate) version: Version,
    /// The epoch of its membership in the group.
    epoch: u64,
    pub(crate) core: Core,
    held: BTreeMap<TopicPartition, Held>,
    generation: u64,
    batches: u64,
    unsent: BTreeMap<BatchId, Batch>,
    in_flight: usize,
    jobs: VecDeque<Job>,
    busy: Option<Busy>,
    tasks: u64,
    /// When the newest commit reaches the coordinator.
    last_commit_at: i64,
    marks_in_flight: usize,
    /// Batches of which Pub/Sub has accepted nothing: a refused message waits until another request succeeds.
    doubted: Vec<Batch>,
    fit: Fit,
    assignments: u64,
    /// Partitions that were assigned to it and are not configured.
    strays: BTreeSet<TopicPartition>,
}

/// An assigned partition.
struct Held {
    slot: Slot,
    partition: Arc<Partition>,
    next: u64,
}

/// Jobs of the reader, one after another, during which it does not read.
#[derive(Debug)]
pub(crate) enum Job {
    Assign(Vec<TopicPartition>),
    Revoke(Vec<TopicPartition>),
    /// Topics were recreated, or logs were truncated.
    Restart(Vec<TopicPartition>),
    /// The assignment does not fit the topics.
    Rejoin,
    Lost,
    Leave,
}

enum Busy {
    Lookup(Lookup),
    Drain(Drain),
}

struct Lookup {
    task: u64,
    places: Vec<TopicPartition>,
    read: BTreeMap<TopicPartition, u64>,
    outdated: BTreeMap<Arc<str>, String>,
    answers: Answers,
}

struct Drain {
    task: u64,
    slots: BTreeSet<Slot>,
    places: Vec<TopicPartition>,
    then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GiveBack,
    Restart,
    Leave,
}

/// The messages of a batch, and the records whose messages Pub/Sub rejects.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    id: BatchId,
    bodies: Rc<Vec<Body>>,
    refused: Rc<Vec<(Slot, u64)>>,
}

/// What a publishing task delivers.
#[derive(Clone, Debug)]
pub(crate) enum Delivery {
    Batch(Batch),
    Mark(MarkId, Rc<WireMark>),
}

/// Offsets in transit to the coordinator.
pub(crate) type Offsets = Vec<(TopicPartition, u64, String)>;

/// An event of one replica.
#[derive(Debug)]
pub(crate) enum Happens {
    Poll,
    Mark,
    Tick,
    AskEnds,
    Ends { asked_at: EventTime, ends: Vec<(Slot, u64)> },
    AskTopics,
    Topics(Vec<TopicMark>),
    Delivered(Delivery),
    Undelivered(Delivery, u64),
    Committed(Vec<(TopicPartition, u64)>),
    CommittedFirst { task: u64, accepted: bool },
    Drained(u64),
    DrainTooLong(u64),
    Looked(u64),
    LookAgain(u64),
    Job(Job),
}

/// The purpose of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitFor {
    Later,
    Drain(u64),
    Start(u64),
}

impl Replica {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            starts: 0,
            is_up: false,
            paused_until: 0,
            version: Version::default(),
            epoch: 0,
            core: Core::new(number.to_string(), MAX_REJECTS),
            held: BTreeMap::new(),
            generation: 0,
            batches: 0,
            unsent: BTreeMap::new(),
            in_flight: 0,
            jobs: VecDeque::new(),
            busy: None,
            tasks: 0,
            last_commit_at: 0,
            marks_in_flight: 0,
            doubted: Vec::new(),
            fit: Fit::new(false),
            assignments: 0,
            strays: BTreeSet::new(),
        }
    }

    fn next_task(&mut self) -> u64 {
        self.tasks += 1;
        self.tasks
    }
}

impl World {
    /// Starts a replica that is down.
    pub(crate) fn boot_replica(&mut self, number: usize) {
        let (starts, version) = (self.replicas[number].starts + 1, self.replicas[number].version);
        if self.replicas[number].is_up {
            return;
        }
        self.log(|| format!("connector {number} starts"));
        // The group still has this member: its subscription is stored, and no assignment is computed.
        let is_returning = self.plan.config.is_static && self.kafka.members.contains_key(&number);
        if !is_returning {
            self.kafka.leave(number);
        }
        let epoch = self.kafka.join(number);
        let fit = Fit::new(is_returning);
        self.replicas[number] = Replica { starts, is_up: true, version, epoch, fit, ..Replica::new(number) };
        if is_returning {
            let owned = self.kafka.owners.iter().filter(|(_, owner)| **owner == number);
            let owned = owned.map(|(place, _)| place.clone()).collect();
            self.for_replica(number, 40, Happens::Job(Job::Assign(owned)));
        } else {
            self.at(20, Event::Rebalance);
        }
        self.for_replica(number, 50, Happens::Poll);
        self.for_replica(number, SECOND, Happens::Tick);
        self.for_replica(number, 10, Happens::AskEnds);
        self.for_replica(number, 10, Happens::AskTopics);
    }

    pub(crate) fn crash_replica(&mut self, number: usize) {
        self.log(|| format!("connector {number} crashes"));
        let replica = &mut self.replicas[number];
        replica.is_up = false;
        let epoch = replica.epoch;
        self.at(SESSION, Event::SessionEnds(number, epoch));
    }

    pub(crate) fn session_ends(&mut self, number: usize, epoch: u64) {
        if self.kafka.members.get(&number) == Some(&epoch) {
            self.log(|| format!("the group takes connector {number} for dead"));
            self.kafka.leave(number);
            self.at(10, Event::Rebalance);
        }
    }

    /// The replica is suspended, without noticing it.
    pub(crate) fn pause_replica(&mut self, number: usize, millis: i64) {
        self.log(|| format!("connector {number} is suspended for {millis} ms"));
        let until = self.now + millis;
        let replica = &mut self.replicas[number];
        replica.paused_until = until;
        let epoch = replica.epoch;
        if millis > SESSION {
            self.at(SESSION, Event::SessionEnds(number, epoch));
            self.for_replica(number, millis + 5, Happens::Job(Job::Lost));
        }
    }

    /// The group assigns its partitions to others, and the replica learns of it later.
    pub(crate) fn cut_off_replica(&mut self, number: usize, millis: i64) {
        self.log(|| format!("connector {number} loses its partitions and hears of it after {millis} ms"));
        self.kafka.leave(number);
        self.at(10, Event::Rebalance);
        self.for_replica(number, millis, Happens::Job(Job::Lost));
    }

    pub(crate) fn rebalance(&mut self) {
        let moves = self.kafka.rebalance(&self.topics);
        for (number, places) in moves.revoke {
            self.for_replica(number, 30, Happens::Job(Job::Revoke(places)));
        }
        for (number, places) in moves.assign {
            self.for_replica(number, 40, Happens::Job(Job::Assign(places)));
        }
    }

    pub(crate) fn replica_happens(&mut self, number: usize, happens: Happens) {
        match happens {
            Happens::Poll => self.poll(number),
            Happens::Mark => self.step_core(number, Input::Mark),
            Happens::Tick => {
                self.for_replica(number, SECOND / 2, Happens::Mark);
                self.for_replica(number, SECOND, Happens::Tick);
                self.step_core(number, Input::Tick);
            }
            Happens::AskEnds => self.ask_ends(number),
            Happens::Ends { asked_at, ends } => {
                self.for_replica(number, SECOND, Happens::AskEnds);
                self.step_core(number, Input::Ends { asked_at, ends });
            }
            Happens::AskTopics => self.ask_topics(number),
            Happens::Topics(topics) => {
                self.for_replica(number, SECOND, Happens::AskTopics);
                self.step_core(number, Input::Topics(topics));
                if self.plan.config.is_static {
                    self.look_at_group(number);
                }
            }
            Happens::Delivered(Delivery::Batch(batch)) if batch.bodies.is_empty() => {
                self.replicas[number].doubted.push(batch);
            }
            Happens::Delivered(Delivery::Batch(batch)) => self.published(number, &batch),
            Happens::Delivered(Delivery::Mark(mark, _)) => {
                self.replicas[number].marks_in_flight -= 1;
                self.step_core(number, Input::MarkPublished(mark));
                for batch in std::mem::take(&mut self.replicas[number].doubted) {
                    self.published(number, &batch);
                }
            }
            Happens::Undelivered(delivery, attempt) => self.deliver(number, delivery, attempt + 1),
            Happens::Committed(offsets) => self.committed(number, offsets),
            Happens::CommittedFirst { task, accepted } => self.committed_first(number, task, accepted),
            Happens::Drained(task) => self.let_go(number, task),
            Happens::DrainTooLong(task) => self.drain_too_long(number, task),
            Happens::Looked(task) => self.look_at_ends(number, task),
            Happens::LookAgain(task) => self.look_at_topics(number, task),
            Happens::Job(Job::Lost) => self.assignment_lost(number),
            Happens::Job(job) => {
                self.replicas[number].jobs.push_back(job);
                self.next_job(number);
            }
        }
    }

    fn published(&mut self, number: usize, batch: &Batch) {
        self.replicas[number].in_flight -= 1;
        let refused = batch.refused.iter().map(|(slot, offset)| (slot.clone(), *offset, REFUSED)).collect();
        self.step_core(number, Input::Published { batch: batch.id, refused });
    }

    fn look_at_group(&mut self, number: usize) {
        let now = self.clock + Duration::from_millis(self.now.unsigned_abs());
        let ours = self.kafka.topics.iter().filter(|(name, _)| self.topics.contains(*name));
        let topics = ours.map(|(name, topic)| (name.clone(), topic.logs.len() as i32)).collect();
        let assigned = self.kafka.owners.keys().cloned().collect();
        let group = Group { is_stable: true, assigned, ..Group::default() };
        let replica = &mut self.replicas[number];
        let held = replica.held.keys().cloned().collect();
        let (strays, assignments) = (&replica.strays, replica.assignments);
        let observed = Observed { topics: &topics, held: &held, strays, group: Some(&group), assignments };
        if let Some(mismatch) = replica.fit.judge(&observed, now) {
            self.log(|| format!("connector {number} rejoins: {mismatch}"));
            self.for_replica(number, 1, Happens::Job(Job::Rejoin));
        }
    }

    fn step_core(&mut self, number: usize, input: Input) {
        for effect in self.replicas[number].core.step(input) {
            match effect {
                Effect::Publish(id) => {
                    let replica = &mut self.replicas[number];
                    if let Some(batch) = replica.unsent.remove(&id) {
                        replica.in_flight += 1;
                        self.deliver(number, Delivery::Batch(batch), 0);
                    }
                }
                Effect::PublishMark(id, mark) => {
                    let in_flight = &mut self.replicas[number].marks_in_flight;
                    *in_flight += 1;
                    if *in_flight > MARKS {
                        self.fail(format!(
                            "connector {number} has {MARKS} marks in flight and writes another"
                        ));
                    }
                    let mark = self.replicas[number].version.write(mark);
                    self.deliver(number, Delivery::Mark(id, mark), 0);
                }
                Effect::Commit(commits) => {
                    let held = &self.replicas[number].held;
                    let ours = |commit: &Commit| {
                        let place = (commit.slot.topic.clone(), commit.slot.partition);
                        held.get(&place).is_some_and(|held| held.slot == commit.slot)
                    };
                    let offsets = offsets(commits.into_iter().filter(|(commit, _)| ours(commit)));
                    self.commit(number, offsets, CommitFor::Later);
                }
                Effect::Drained(commits) => self.drained(number, commits),
                Effect::Stop(_) => self.fail("a connector stops by itself".to_owned()),
            }
        }
    }
}

impl Delivery {
    fn salt(&self) -> u64 {
        match self {
            Self::Batch(batch) => 2 * batch.id.0,
            Self::Mark(MarkId(id), _) => 2 * id + 1,
        }
    }
}

fn offsets(commits: impl IntoIterator<Item = (Commit, Partition)>) -> Offsets {
    let offset = |(commit, partition): (Commit, Partition)| {
        ((commit.slot.topic, commit.slot.partition), commit.offset, partition.incarnation.to_string())
    };
    commits.into_iter().map(offset).collect()
}
