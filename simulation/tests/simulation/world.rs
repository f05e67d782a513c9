//! The world of one run: the event queue and its actors.
//!
//! Time is virtual, and everything happens in one thread, in the order of its time.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use crate::{
    check::{Check, Given},
    dice::Dice,
    kafka::{Happening, Kafka, Kind},
    plan::Plan,
    pubsub::{Body, PubSub},
    replica::{self, CommitFor, Delivery, Offsets, Replica},
    store::Gated,
    table::{SimulatedSink, Upserts},
    wire::Version,
    worker::{self, Worker},
};

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) dice: Dice,
    pub(crate) now: i64,
    pub(crate) kafka: Kafka,
    /// The configured topics.
    pub(crate) topics: BTreeSet<Arc<str>>,
    /// The `Instant` that corresponds to time 0.
    pub(crate) clock: Instant,
    pub(crate) pubsub: PubSub,
    pub(crate) store: Gated,
    /// The tables of each writer.
    pub(crate) sinks: Vec<Arc<SimulatedSink>>,
    /// Until when each writer does not answer.
    pub(crate) down_until: Vec<i64>,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) check: Check,
    /// Whether the faults are over.
    pub(crate) is_calm: bool,
    pub(crate) outage_until: i64,
    /// The number of the last redrive.
    pub(crate) redrives: u64,
    pub(crate) events: Vec<Rc<Happening>>,
    queue: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
    wrong: Option<String>,
    story: Option<Vec<String>>,
}

/// The event queue.
#[derive(Debug)]
pub(crate) enum Event {
    Step(usize),
    Calm,
    Look,
    Rebalance,
    SessionEnds(usize, u64),
    BootReplica(usize),
    BootWorker(usize),
    Replica(usize, u32, replica::Happens),
    Worker(usize, u32, worker::Happens),
    Publish {
        number: usize,
        starts: u32,
        delivery: Delivery,
        attempt: u64,
    },
    Commit {
        number: usize,
        starts: u32,
        epoch: u64,
        offsets: Offsets,
        purpose: CommitFor,
    },
    Ready(usize),
    Lease(usize, usize, u32),
    Ack(Vec<usize>),
    /// A writer answers again. What was in the outboxes when it stopped.
    WriterUp(usize, Given),
    Poison,
}

struct Entry {
    at: i64,
    sequence: u64,
    event: Event,
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The violated invariant, if any.
    pub(crate) wrong: Option<String>,
    /// What happened, if that was requested.
    pub(crate) story: Vec<String>,
    /// Events that are in the rows.
    pub(crate) counted: usize,
}

impl World {
    pub(crate) fn new(plan: Plan, seed: u64, is_logged: bool) -> Self {
        let config = plan.config.clone();
        let mut world = Self {
            dice: Dice(seed),
            now: config.epoch,
            kafka: Kafka::default(),
            topics: (0..config.topics).map(topic).collect(),
            clock: Instant::now(),
            pubsub: PubSub::default(),
            store: Gated::new(),
            sinks: (0..config.writers).map(|_| Arc::default()).collect(),
            down_until: vec![0; config.writers],
            replicas: (0..config.replicas).map(Replica::new).collect(),
            workers: (0..config.workers).map(|_| Worker::new()).collect(),
            check: Check::default(),
            is_calm: false,
            outage_until: 0,
            redrives: 0,
            events: Vec::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            wrong: None,
            story: is_logged.then(Vec::new),
            plan,
        };
        for (number, sink) in world.sinks.iter().enumerate() {
            let mut tables = sink.tables();
            tables.prefix = format!("w{number}");
            tables.upserts = config.has_upserts.then(Upserts::default);
            tables.refuses.extend(config.refuses.map(str::to_owned));
        }
        for name in world.topics.clone() {
            world.kafka.make(&name, config.partitions, false, config.epoch);
        }
        world
    }

    /// Runs all events.
    pub(crate) fn run(mut self) -> Ended {
        for (number, (at, _, _)) in self.plan.steps.clone().into_iter().enumerate() {
            self.at(at, Event::Step(number));
        }
        let start = |dice: Dice, who, n: usize| dice.millis(0, 2_500, who, &[n as u64]);
        for number in 0..self.replicas.len() {
            self.at(start(self.dice, "replica", number), Event::BootReplica(number));
        }
        for number in 0..self.workers.len() {
            self.at(start(self.dice, "worker", number), Event::BootWorker(number));
        }
        self.at(self.plan.calm_at, Event::Calm);
        if self.plan.config.poison_for_ever {
            self.at(1_000, Event::Poison);
        }
        let mut counted = 0;
        while self.wrong.is_none() {
            let Some(Reverse(entry)) = self.queue.pop() else { break };
            self.now = entry.at;
            if let Event::Look = entry.event {
                match self.look() {
                    Some(number) => {
                        counted = self.check_end(number);
                        break;
                    }
                    None => self.at(500, Event::Look),
                }
            } else {
                self.happen(entry.event);
            }
            self.check_tables();
        }
        Ended { wrong: self.wrong, story: self.story.unwrap_or_default(), counted }
    }

    pub(crate) fn at(&mut self, delay: i64, event: Event) {
        self.sequence += 1;
        let (at, sequence) = (self.now + delay, self.sequence);
        self.queue.push(Reverse(Entry { at, sequence, event }));
    }

    pub(crate) fn for_replica(&mut self, number: usize, delay: i64, happens: replica::Happens) {
        self.at(delay, Event::Replica(number, self.replicas[number].starts, happens));
    }

    pub(crate) fn for_worker(&mut self, number: usize, delay: i64, happens: worker::Happens) {
        self.at(delay, Event::Worker(number, self.workers[number].starts, happens));
    }

    pub(crate) fn log(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            let at = self.now - self.plan.config.epoch;
            story.push(format!("{:>4}.{:03} {}", at / 1_000, at % 1_000, line()));
        }
    }

    /// Only the first failure is kept.
    pub(crate) fn fail(&mut self, what: String) {
        self.log(|| format!("WRONG: {what}"));
        self.wrong.get_or_insert(what);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Step(number) => {
                let (_, salt, step) = self.plan.steps[number];
                self.step(salt, step);
            }
            Event::Calm => self.calm(),
            Event::Look => {}
            Event::Rebalance => self.rebalance(),
            Event::SessionEnds(number, epoch) => self.session_ends(number, epoch),
            Event::BootReplica(number) => self.boot_replica(number),
            Event::BootWorker(number) => self.boot_worker(number),
            Event::Replica(number, starts, happens) => {
                let replica = &self.replicas[number];
                if replica.is_up && replica.starts == starts {
                    match replica.paused_until - self.now {
                        wait @ 1.. => self.at(wait, Event::Replica(number, starts, happens)),
                        _ => self.replica_happens(number, happens),
                    }
                }
            }
            Event::Worker(number, starts, happens) => {
                let worker = &self.workers[number];
                if worker.is_up && worker.starts == starts {
                    match worker.paused_until - self.now {
                        wait @ 1.. => self.at(wait, Event::Worker(number, starts, happens)),
                        _ => self.worker_happens(number, happens),
                    }
                }
            }
            Event::Publish { number, starts, delivery, attempt } => {
                self.publish(number, starts, delivery, attempt);
            }
            Event::Commit { number, starts, epoch, offsets, purpose } => {
                self.coordinator((number, starts, epoch), offsets, purpose);
            }
            Event::Ready(message) => self.pubsub.ready(message),
            Event::Lease(message, number, starts) => self.lease(message, number, starts),
            Event::Ack(messages) => {
                for message in messages {
                    self.pubsub.messages[message].is_acked = true;
                }
            }
            Event::WriterUp(writer, given) => self.check_others(writer, &given),
            Event::Poison => {
                self.at(1_000, Event::Poison);
                self.append(&(topic(0), 0), Kind::Poison, None);
            }
        }
    }

    fn calm(&mut self) {
        self.log(|| "all faults are over".to_owned());
        self.is_calm = true;
        self.outage_until = 0;
        for number in 0..self.replicas.len() {
            self.replicas[number].paused_until = self.now.min(self.replicas[number].paused_until);
            self.at(10, Event::BootReplica(number));
            self.at(5_000, Event::BootReplica(number));
        }
        for number in 0..self.workers.len() {
            self.workers[number].paused_until = self.now.min(self.workers[number].paused_until);
            if self.plan.config.has_versions && self.workers[number].version == Version::Present {
                self.upgrade_worker(number);
            }
            self.at(10, Event::BootWorker(number));
            self.at(5_000, Event::BootWorker(number));
        }
        for n in 0..self.kafka.topics.len() {
            for p in 0..self.kafka.topics.get(&topic(n)).map_or(0, |t| t.logs.len()) {
                self.end_transactions(n, p, true);
            }
        }
        self.at(2_000, Event::Look);
    }

    /// Whether messages may be stalled or delayed.
    pub(crate) fn is_troubled(&self) -> bool {
        !self.is_calm && self.now - self.plan.config.epoch < self.plan.config.troubled
    }

    /// A message reaches Pub/Sub.
    pub(crate) fn land(&mut self, body: Body) {
        self.check_landed(&body);
        let is_data = matches!(body, Body::Data { .. });
        let message = self.pubsub.publish(body, self.now);
        let config = &self.plan.config;
        let salt = [message as u64];
        if is_data && !self.is_calm && self.dice.chance(config.vanish, "vanish", &salt) {
            self.pubsub.messages[message].is_vanished = true;
            return;
        }
        let mut delay = self.dice.travel(config.slowest_message, "message", &salt);
        if is_data && self.dice.chance(config.slow_data, "slow data", &salt) {
            delay = self.dice.millis(0, config.slowest_message, "slow data", &[message as u64, 1]);
        }
        if is_data && self.is_troubled() && self.dice.chance(config.stalled, "stalled", &salt) {
            self.pubsub.messages[message].is_stalled = true;
            delay = 2 * config.hole_limit;
        }
        self.at(delay, Event::Ready(message));
    }
}

pub(crate) fn topic(number: usize) -> Arc<str> {
    format!("topic{number}").into()
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.sequence) == (other.at, other.sequence)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}
