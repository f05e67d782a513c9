//! The world of one run: the queue of what is to happen, and who it happens to.
//!
//! Time is virtual, and everything happens in one thread, in the order of its time.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    rc::Rc,
    sync::Arc,
};

use connector::plan::Place;

use crate::{
    check::Check,
    dice::Dice,
    kafka::{Class, Happening, Kafka, Kind},
    plan::{Plan, Step},
    pubsub::{Body, PubSub},
    replica::{self, CommitFor, Delivery, Offsets, Replica},
    store::Gated,
    table::SimulatedSink,
    worker::{self, Worker},
};

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) dice: Dice,
    pub(crate) now: i64,
    pub(crate) kafka: Kafka,
    /// The configured topics.
    pub(crate) topics: BTreeSet<Arc<str>>,
    pub(crate) pubsub: PubSub,
    pub(crate) store: Gated,
    pub(crate) sink: SimulatedSink,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) check: Check,
    /// The faults are over.
    pub(crate) is_calm: bool,
    pub(crate) outage_until: i64,
    pub(crate) events: Vec<Rc<Happening>>,
    queue: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
    wrong: Option<String>,
    story: Option<Vec<String>>,
}

/// What is to happen.
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
    Publish { number: usize, life: u32, delivery: Delivery, attempt: u64 },
    Commit { number: usize, life: u32, epoch: u64, offsets: Offsets, purpose: CommitFor },
    Ready(usize),
    Lease(usize, usize, u32),
    Ack(Vec<usize>),
    Poison,
}

struct Entry {
    at: i64,
    sequence: u64,
    event: Event,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// What was wrong.
    pub(crate) wrong: Option<String>,
    /// What happened, if that was asked for.
    pub(crate) story: Vec<String>,
    /// Events that stand in the rows.
    pub(crate) counted: usize,
}

impl World {
    pub(crate) fn new(plan: Plan, seed: u64, told: bool) -> Self {
        let config = plan.config.clone();
        let mut world = Self {
            dice: Dice(seed),
            now: config.epoch,
            kafka: Kafka::default(),
            topics: (0..config.topics).map(topic).collect(),
            pubsub: PubSub::default(),
            store: Gated::new(),
            sink: SimulatedSink::default(),
            replicas: (0..config.replicas).map(Replica::new).collect(),
            workers: (0..config.workers).map(|_| Worker::new()).collect(),
            check: Check::default(),
            is_calm: false,
            outage_until: 0,
            events: Vec::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            wrong: None,
            story: told.then(Vec::new),
            plan,
        };
        for name in world.topics.clone() {
            world.kafka.make(&name, config.partitions, false);
        }
        world
    }

    /// Lets everything happen.
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
        self.at(delay, Event::Replica(number, self.replicas[number].life, happens));
    }

    pub(crate) fn for_worker(&mut self, number: usize, delay: i64, happens: worker::Happens) {
        self.at(delay, Event::Worker(number, self.workers[number].life, happens));
    }

    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            let at = self.now - self.plan.config.epoch;
            story.push(format!("{:>4}.{:03} {}", at / 1_000, at % 1_000, line()));
        }
    }

    /// The first thing that is wrong decides.
    pub(crate) fn fail(&mut self, what: String) {
        self.tell(|| format!("WRONG: {what}"));
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
            Event::Replica(number, life, happens) => {
                let replica = &self.replicas[number];
                if replica.is_up && replica.life == life {
                    match replica.paused_until - self.now {
                        wait @ 1.. => self.at(wait, Event::Replica(number, life, happens)),
                        _ => self.replica_happens(number, happens),
                    }
                }
            }
            Event::Worker(number, life, happens) => {
                let worker = &self.workers[number];
                if worker.is_up && worker.life == life {
                    match worker.paused_until - self.now {
                        wait @ 1.. => self.at(wait, Event::Worker(number, life, happens)),
                        _ => self.worker_happens(number, happens),
                    }
                }
            }
            Event::Publish { number, life, delivery, attempt } => {
                self.publish(number, life, delivery, attempt);
            }
            Event::Commit { number, life, epoch, offsets, purpose } => {
                self.coordinator((number, life, epoch), offsets, purpose);
            }
            Event::Ready(message) => self.pubsub.ready(message),
            Event::Lease(message, number, life) => self.lease(message, number, life),
            Event::Ack(messages) => {
                for message in messages {
                    self.pubsub.messages[message].is_acked = true;
                }
            }
            Event::Poison => {
                self.at(1_000, Event::Poison);
                self.append(&(topic(0), 0), Kind::Poison, None);
            }
        }
    }

    fn step(&mut self, salt: u64, step: Step) {
        match step {
            Step::Produce(..) | Step::Poison(..) => {}
            other => self.tell(|| format!("step: {other:?}")),
        }
        match step {
            Step::Produce(t, p) => self.produce(salt, t, p),
            Step::Poison(t, p) => {
                if let Some(place) = self.place(t, p) {
                    self.append(&place, Kind::Poison, None);
                }
            }
            Step::Begin(t, p) => {
                if let Some(place) = self.place(t, p) {
                    let time =
                        self.now - Dice(salt).millis(0, self.plan.config.out_of_orderness, "time", &[]);
                    self.event(salt, &place, Class::Firm, time, Some(salt as usize));
                }
            }
            Step::End(t, p, commit) => self.end_transactions(t, p, commit),
            Step::Compact(t, p) => self.compact(t, p),
            Step::Retain(t, p, records) => {
                if let Some(place) = self.place(t, p)
                    && let Some(log) = self.kafka.log_mut(&place)
                {
                    log.low = (log.low + records).min(log.stable());
                }
            }
            Step::AddPartition(t) => {
                self.kafka.add_partition(&topic(t % self.plan.config.topics));
                self.at(Dice(salt).millis(200, 4_000, "seen", &[]), Event::Rebalance);
            }
            Step::Remake(t) => {
                let name = topic(t % self.plan.config.topics);
                let partitions = self.kafka.topics.get(&name).map_or(1, |t| t.logs.len() as i32);
                let stay = Dice(salt).chance(self.plan.config.old_commits_stay, "stay", &[]);
                self.kafka.make(&name, partitions, stay);
            }
            Step::DropTopic => self.drop_topic(),
            Step::CrashReplica(n, down) => {
                let n = n % self.replicas.len();
                if self.replicas[n].is_up {
                    self.crash_replica(n);
                    self.at(down, Event::BootReplica(n));
                }
            }
            Step::StopReplica(n, down) => {
                let n = n % self.replicas.len();
                if self.replicas[n].is_up {
                    self.for_replica(n, 1, replica::Happens::Job(replica::Job::Leave));
                    self.at(down.max(4_000), Event::BootReplica(n));
                }
            }
            Step::PauseReplica(n, long) => self.pause_replica(n % self.replicas.len(), long),
            Step::CutOffReplica(n, long) => self.cut_off_replica(n % self.replicas.len(), long),
            Step::CrashWorker(n, down) => {
                let n = n % self.workers.len();
                if self.workers[n].is_up {
                    self.crash_worker(n);
                    self.at(down, Event::BootWorker(n));
                }
            }
            Step::StopWorker(n, down) => {
                let n = n % self.workers.len();
                self.stop_worker(n);
                self.at(down.max(3_000), Event::BootWorker(n));
            }
            Step::PauseWorker(n, long) => self.pause_worker(n % self.workers.len(), long),
            Step::Outage(long) => self.outage_until = self.now + long,
            Step::StreamsGone => self.sink.tables().forget_streams(),
            Step::LoseState => self.lose_state(),
        }
    }

    /// A partition by numbers that may be too large.
    fn place(&self, t: usize, p: usize) -> Option<Place> {
        let name = topic(t % self.plan.config.topics);
        let partitions = self.kafka.topics.get(&name)?.logs.len();
        Some((name, (p % partitions) as i32))
    }

    fn append(&mut self, place: &Place, kind: Kind, transaction: Option<usize>) -> Option<u64> {
        let now = self.now;
        Some(self.kafka.log_mut(place)?.append(kind, now, transaction))
    }

    fn produce(&mut self, salt: u64, t: usize, p: usize) {
        let Some(place) = self.place(t, p) else { return };
        let config = &self.plan.config;
        let dice = Dice(salt);
        let bound = config.out_of_orderness;
        let draw = dice.below(1_000, "class", &[]);
        let (class, time) = if draw < config.loose {
            (Class::Loose, self.now - dice.millis(0, 30_000, "late", &[]))
        } else if draw < config.loose + config.future {
            (Class::Future, self.now + 20_000)
        } else if draw < config.loose + config.future + config.copies {
            (Class::Copy, self.now)
        } else {
            (Class::Firm, self.now - dice.millis(-500, bound, "time", &[]))
        };
        let open = self.kafka.log(&place).map(|log| log.open_transactions()).unwrap_or_default();
        let within = open.first().copied().filter(|_| dice.chance(400, "within", &[]));
        self.event(salt, &place, class, time, within);
    }

    fn event(&mut self, salt: u64, place: &Place, class: Class, time: i64, transaction: Option<usize>) {
        let dice = Dice(salt);
        let number = self.events.len();
        let recent = |e: &&Rc<Happening>| e.class == Class::Firm && e.time > self.now - 22_000;
        let mut id = number;
        let (mut time, mut is_view) = (time, dice.chance(650, "view", &[]));
        let mut key = match class {
            Class::Loose => format!("x{number}"),
            _ => format!("p{}", dice.below(3, "key", &[])),
        };
        if class == Class::Copy {
            let firm: Vec<&Rc<Happening>> = self.events.iter().filter(recent).collect();
            if firm.is_empty() {
                return;
            }
            let original = firm[dice.below(firm.len() as u64, "original", &[]) as usize];
            (id, time, is_view, key) = (original.id, original.time, original.is_view, original.key.clone());
        }
        let kind = if is_view { "v" } else { "c" };
        let payload = format!(r#"{{"t":{time},"p":"{key}","k":"{kind}","id":"e{id}"}}"#).into_bytes();
        let event = Rc::new(Happening { number, time, key, is_view, id, class, payload });
        self.events.push(event.clone());
        let offset = self.append(place, Kind::Event(event), transaction);
        self.tell(|| format!("{}[{}] {offset:?}: {class:?} event {number}", place.0, place.1));
        if class == Class::Firm {
            self.check_appended(time);
        }
    }

    fn end_transactions(&mut self, t: usize, p: usize, commit: bool) {
        let now = self.now;
        if let Some(place) = self.place(t, p)
            && let Some(log) = self.kafka.log_mut(&place)
        {
            for transaction in log.open_transactions() {
                log.end(transaction, commit, now);
            }
        }
    }

    /// Removes what the rules leave open; the newest record stays.
    fn compact(&mut self, t: usize, p: usize) {
        if let Some(place) = self.place(t, p)
            && let Some(log) = self.kafka.log_mut(&place)
        {
            let end = log.records.len().saturating_sub(1);
            for record in &mut log.records[..end] {
                if matches!(&record.kind, Kind::Event(event) if event.class == Class::Loose) {
                    record.kind = Kind::Removed;
                }
            }
        }
    }

    fn drop_topic(&mut self) {
        if self.topics.len() > 1 {
            self.topics.pop_last();
            for number in 0..self.replicas.len() {
                if self.replicas[number].is_up {
                    self.crash_replica(number);
                }
                self.at(200, Event::BootReplica(number));
            }
        }
    }

    fn lose_state(&mut self) {
        for number in 0..self.workers.len() {
            if self.workers[number].is_up {
                self.crash_worker(number);
            }
            self.at(500, Event::BootWorker(number));
        }
        self.store = Gated::new();
        self.check.forget_state();
    }

    fn calm(&mut self) {
        self.tell(|| "all faults are over".to_owned());
        self.is_calm = true;
        self.outage_until = 0;
        for number in 0..self.replicas.len() {
            self.replicas[number].paused_until = self.now.min(self.replicas[number].paused_until);
            self.at(10, Event::BootReplica(number));
            self.at(5_000, Event::BootReplica(number));
        }
        for number in 0..self.workers.len() {
            self.workers[number].paused_until = self.now.min(self.workers[number].paused_until);
            self.at(10, Event::BootWorker(number));
            self.at(5_000, Event::BootWorker(number));
        }
        for n in 0..self.plan.config.topics {
            for p in 0..self.kafka.topics.get(&topic(n)).map_or(0, |t| t.logs.len()) {
                self.end_transactions(n, p, true);
            }
        }
        self.at(2_000, Event::Look);
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
        if is_data && !self.is_calm && self.dice.chance(config.stuck, "stuck", &salt) {
            self.pubsub.messages[message].is_stuck = true;
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
