//! One connector: the real core, and around it what its threads do in production: the reader with its assignment, the
//! deliveries that try until they are answered, and the questions about logs and topics.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    sync::Arc,
};

use connector::{
    core::{BatchId, Core, Effect, Entry, Input, Read, ReadPart, Reject},
    marks::MarkId,
    plan::{self, Answers, Place},
    slot::{Commit, Slot},
    start::{StartRule, topic_id},
};
use event::{EventTime, Incarnation, Mark, Partition, mark::TopicMark};

use crate::{
    kafka::{Class, Kind},
    pubsub::Body,
    world::{Event, World},
};

/// A session that is not heard of for so long has ended.
pub(crate) const SESSION: i64 = 6_000;
/// How long a drain may take.
const DRAIN: i64 = 3_000;
const POLL: i64 = 200;
const SECOND: i64 = 1_000;
/// Batches in flight beyond which nothing is read.
const IN_FLIGHT: usize = 6;
/// Records that one poll reads of a partition.
const RECORDS: u64 = 6;
/// More rejects than any run has.
const MAX_REJECTS: u32 = 1_000_000;

pub(crate) struct Replica {
    pub(crate) life: u32,
    pub(crate) is_up: bool,
    pub(crate) paused_until: i64,
    /// Of its membership in the group.
    epoch: u64,
    pub(crate) core: Core,
    held: BTreeMap<Place, Held>,
    generation: u64,
    batches: u64,
    unsent: BTreeMap<BatchId, Rc<Vec<Body>>>,
    in_flight: usize,
    jobs: VecDeque<Job>,
    busy: Option<Busy>,
    tasks: u64,
}

/// A partition that the reader holds.
struct Held {
    slot: Slot,
    partition: Arc<Partition>,
    next: u64,
}

/// What the reader does instead of reading, one after another.
#[derive(Debug)]
pub(crate) enum Job {
    Assign(Vec<Place>),
    Revoke(Vec<Place>),
    /// Topics were made anew, or logs were cut.
    Restart(Vec<Place>),
    Lost,
    Leave,
}

enum Busy {
    Lookup(Lookup),
    Drain(Drain),
}

struct Lookup {
    task: u64,
    places: Vec<Place>,
    read: BTreeMap<Place, u64>,
    outdated: BTreeMap<Arc<str>, String>,
    answers: Answers,
}

struct Drain {
    task: u64,
    slots: BTreeSet<Slot>,
    places: Vec<Place>,
    then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GiveBack,
    Restart,
    Leave,
}

/// What a publishing task delivers.
#[derive(Clone, Debug)]
pub(crate) enum Delivery {
    Batch(BatchId, Rc<Vec<Body>>),
    Mark(MarkId, Rc<Mark>),
}

/// Offsets on their way to the coordinator.
pub(crate) type Offsets = Vec<(Place, u64, String)>;

/// What reaches one replica.
#[derive(Debug)]
pub(crate) enum Happens {
    Poll,
    Tick,
    AskEnds,
    Ends { asked_at: i64, ends: Vec<(Slot, u64)> },
    AskTopics,
    Topics(Vec<TopicMark>),
    Delivered(Delivery),
    Undelivered(Delivery, u64),
    Committed(Vec<(Place, u64)>),
    CommittedFirst { task: u64, accepted: bool },
    Drained(u64),
    DrainTooLong(u64),
    Look(u64),
    LookAgain(u64),
    Job(Job),
}

/// What a commit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitFor {
    Later,
    Drain(u64),
    Start(u64),
}

impl Replica {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            life: 0,
            is_up: false,
            paused_until: 0,
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
        let life = self.replicas[number].life + 1;
        if self.replicas[number].is_up {
            return;
        }
        self.tell(|| format!("connector {number} starts"));
        self.kafka.leave(number);
        let epoch = self.kafka.join(number);
        self.replicas[number] = Replica { life, is_up: true, epoch, ..Replica::new(number) };
        self.at(20, Event::Rebalance);
        self.for_replica(number, 50, Happens::Poll);
        self.for_replica(number, SECOND, Happens::Tick);
        self.for_replica(number, 10, Happens::AskEnds);
        self.for_replica(number, 10, Happens::AskTopics);
    }

    pub(crate) fn crash_replica(&mut self, number: usize) {
        self.tell(|| format!("connector {number} crashes"));
        let replica = &mut self.replicas[number];
        replica.is_up = false;
        let epoch = replica.epoch;
        self.at(SESSION, Event::SessionEnds(number, epoch));
    }

    pub(crate) fn session_ends(&mut self, number: usize, epoch: u64) {
        if self.kafka.members.get(&number) == Some(&epoch) {
            self.tell(|| format!("the group takes connector {number} for dead"));
            self.kafka.leave(number);
            self.at(10, Event::Rebalance);
        }
    }

    /// The replica stands still, and does not know that it did.
    pub(crate) fn pause_replica(&mut self, number: usize, millis: i64) {
        self.tell(|| format!("connector {number} stands still for {millis} ms"));
        let until = self.now + millis;
        let replica = &mut self.replicas[number];
        replica.paused_until = until;
        let epoch = replica.epoch;
        if millis > SESSION {
            self.at(SESSION, Event::SessionEnds(number, epoch));
            self.for_replica(number, millis + 5, Happens::Job(Job::Lost));
        }
    }

    /// The group gives its partitions to others, and it hears of that only later.
    pub(crate) fn cut_off_replica(&mut self, number: usize, millis: i64) {
        self.tell(|| format!("connector {number} loses its partitions and hears of it after {millis} ms"));
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
            Happens::Tick => {
                self.for_replica(number, SECOND, Happens::Tick);
                self.step_core(number, Input::Tick);
            }
            Happens::AskEnds => self.ask_ends(number),
            Happens::Ends { asked_at, ends } => {
                self.for_replica(number, SECOND, Happens::AskEnds);
                self.step_core(number, Input::Ends { asked_at: EventTime(asked_at), ends });
            }
            Happens::AskTopics => self.ask_topics(number),
            Happens::Topics(topics) => {
                self.for_replica(number, SECOND, Happens::AskTopics);
                self.step_core(number, Input::Topics(topics));
            }
            Happens::Delivered(Delivery::Batch(batch, _)) => {
                self.replicas[number].in_flight -= 1;
                self.step_core(number, Input::Published { batch, refused: Vec::new() });
            }
            Happens::Delivered(Delivery::Mark(mark, _)) => self.step_core(number, Input::MarkPublished(mark)),
            Happens::Undelivered(delivery, attempt) => self.deliver(number, delivery, attempt + 1),
            Happens::Committed(offsets) => self.committed(number, offsets),
            Happens::CommittedFirst { task, accepted } => self.committed_first(number, task, accepted),
            Happens::Drained(task) => self.let_go(number, task),
            Happens::DrainTooLong(task) => self.drain_too_long(number, task),
            Happens::Look(task) => self.look_at_ends(number, task),
            Happens::LookAgain(task) => self.look_at_topics(number, task),
            Happens::Job(Job::Lost) => self.assignment_lost(number),
            Happens::Job(job) => {
                self.replicas[number].jobs.push_back(job);
                self.next_job(number);
            }
        }
    }

    fn step_core(&mut self, number: usize, input: Input) {
        for effect in self.replicas[number].core.step(input) {
            match effect {
                Effect::Publish(id) => {
                    let replica = &mut self.replicas[number];
                    if let Some(bodies) = replica.unsent.remove(&id) {
                        replica.in_flight += 1;
                        self.deliver(number, Delivery::Batch(id, bodies), 0);
                    }
                }
                Effect::PublishMark(id, mark) => {
                    // What is on the wire is JSON.
                    let mark = Mark::from_json(&mark.to_json()).expect("a mark can be read");
                    self.deliver(number, Delivery::Mark(id, Rc::new(mark)), 0);
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

    fn deliver(&mut self, number: usize, delivery: Delivery, attempt: u64) {
        let salt = [number as u64, self.replicas[number].life.into(), delivery.salt(), attempt];
        let delay =
            self.dice.travel(self.plan.config.slowest, "publish", &salt) + if attempt == 0 { 0 } else { 300 };
        let life = self.replicas[number].life;
        self.at(delay, Event::Publish { number, life, delivery, attempt });
    }

    /// A publish request reaches Pub/Sub, whatever has become of who sent it.
    pub(crate) fn publish(&mut self, number: usize, life: u32, delivery: Delivery, attempt: u64) {
        let salt = [number as u64, life.into(), delivery.salt(), attempt];
        let faults = if self.is_calm { 0 } else { self.plan.config.publish_lost };
        let is_out = self.now < self.outage_until;
        let arrives = !is_out && !self.dice.chance(faults / 2, "publish arrives", &salt);
        if arrives {
            match &delivery {
                Delivery::Batch(_, bodies) => {
                    for body in bodies.iter() {
                        self.land(body.clone());
                    }
                }
                Delivery::Mark(_, mark) => self.land(Body::Mark(mark.clone())),
            }
        }
        if self.replicas[number].life != life {
            return;
        }
        let answered = arrives && !self.dice.chance(faults, "publish answer", &salt);
        let delay = self.dice.travel(self.plan.config.slowest, "answer", &salt);
        let happens =
            if answered { Happens::Delivered(delivery) } else { Happens::Undelivered(delivery, attempt) };
        self.for_replica(number, delay, happens);
    }

    fn commit(&mut self, number: usize, offsets: Offsets, purpose: CommitFor) {
        if offsets.is_empty() && purpose == CommitFor::Later {
            return;
        }
        let (life, epoch) = (self.replicas[number].life, self.replicas[number].epoch);
        let salt = [number as u64, life.into(), self.now.unsigned_abs()];
        let delay = self.dice.travel(self.plan.config.slowest, "commit", &salt);
        self.at(delay, Event::Commit { number, life, epoch, offsets, purpose });
    }

    /// A commit reaches the coordinator.
    pub(crate) fn coordinator(
        &mut self,
        (number, life, epoch): (usize, u32, u64),
        offsets: Offsets,
        purpose: CommitFor,
    ) {
        let accepted = self.kafka.members.get(&number) == Some(&epoch);
        if accepted {
            for (place, offset, metadata) in &offsets {
                self.check_commit(place, *offset, metadata);
                self.kafka.committed.insert(place.clone(), (*offset, metadata.clone()));
            }
        }
        if self.replicas[number].life != life {
            return;
        }
        let salt = [number as u64, life.into(), self.now.unsigned_abs()];
        let delay = self.dice.travel(self.plan.config.slowest, "committed", &salt);
        match purpose {
            CommitFor::Later if accepted => {
                let answer = offsets.into_iter().map(|(place, offset, _)| (place, offset)).collect();
                self.for_replica(number, delay, Happens::Committed(answer));
            }
            CommitFor::Later => {}
            CommitFor::Drain(task) => self.for_replica(number, delay, Happens::Drained(task)),
            CommitFor::Start(task) => {
                self.for_replica(number, delay, Happens::CommittedFirst { task, accepted });
            }
        }
    }

    fn committed(&mut self, number: usize, offsets: Vec<(Place, u64)>) {
        let held = &self.replicas[number].held;
        let of_slot = |(place, offset): (Place, u64)| {
            held.get(&place).map(|held| Commit { slot: held.slot.clone(), offset })
        };
        let commits: Vec<Commit> = offsets.into_iter().filter_map(of_slot).collect();
        if !commits.is_empty() {
            self.step_core(number, Input::Committed(commits));
        }
    }

    fn ask_ends(&mut self, number: usize) {
        let replica = &self.replicas[number];
        let asked_at = self.now;
        // The high watermark, not the last stable offset: an open transaction may hold older events.
        let end = |held: &Held| {
            let place = (held.slot.topic.clone(), held.slot.partition);
            Some((held.slot.clone(), self.kafka.log(&place)?.high()))
        };
        let ends = replica.held.values().filter_map(end).collect();
        let salt = [number as u64, self.now.unsigned_abs()];
        let delay = self.dice.travel(self.plan.config.slowest, "ends", &salt);
        self.for_replica(number, delay, Happens::Ends { asked_at, ends });
    }

    fn ask_topics(&mut self, number: usize) {
        let asked_at = EventTime(self.now);
        let mark = |(name, topic): (&Arc<str>, &crate::kafka::Topic)| TopicMark {
            topic: name.clone(),
            incarnation: Incarnation::from(topic.id.as_str()),
            partitions: topic.logs.len() as i32,
            asked_at,
        };
        let named = self.kafka.topics.iter().filter(|(name, _)| self.topics.contains(*name));
        let topics = named.map(mark).collect();
        let salt = [number as u64, self.now.unsigned_abs()];
        let slowest = if self.is_calm { 500 } else { self.plan.config.slowest_topics };
        let delay = self.dice.travel(slowest, "topics", &salt);
        self.for_replica(number, delay, Happens::Topics(topics));
    }

    fn poll(&mut self, number: usize) {
        self.for_replica(number, POLL, Happens::Poll);
        let replica = &self.replicas[number];
        if replica.busy.is_some() || replica.core.is_full() || replica.in_flight >= IN_FLIGHT {
            return;
        }
        let is_other = |place: &Place, held: &Held| {
            self.kafka.id(&place.0).is_some_and(|id| id != topic_id(&held.partition.incarnation))
        };
        let other: Vec<Place> = replica
            .held
            .iter()
            .filter(|(place, held)| is_other(place, held))
            .map(|(p, _)| p.clone())
            .collect();
        if !other.is_empty() {
            self.replicas[number].jobs.push_back(Job::Restart(other));
            return self.next_job(number);
        }
        let places: Vec<Place> = replica.held.keys().cloned().collect();
        let mut read = Read::default();
        let (mut bodies, mut passed) = (Vec::new(), Vec::new());
        for place in places {
            self.fetch(number, &place, (&mut read, &mut bodies, &mut passed));
        }
        if read.records > 0 {
            let replica = &mut self.replicas[number];
            if !bodies.is_empty() {
                replica.batches += 1;
                let id = BatchId(replica.batches);
                read.batch = Some(id);
                replica.unsent.insert(id, Rc::new(bodies));
            }
            self.step_core(number, Input::Read(read));
        }
        for (slot, position) in passed {
            self.step_core(number, Input::Passed(slot, position));
        }
    }

    fn fetch(
        &mut self,
        number: usize,
        place: &Place,
        (read, bodies, passed): (&mut Read, &mut Vec<Body>, &mut Vec<(Slot, u64)>),
    ) {
        let Some(log) = self.kafka.log(place) else { return };
        let (low, stable, high) = (log.low, log.stable(), log.high());
        let Some(held) = self.replicas[number].held.get(place) else { return };
        let (slot, next) = (held.slot.clone(), held.next);
        if next > high {
            self.replicas[number].jobs.push_back(Job::Restart(vec![place.clone()]));
            return self.next_job(number);
        }
        if next < low {
            self.tell(|| format!("connector {number} finds {}[{}] gone up to {low}", place.0, place.1));
            self.replicas[number].held.get_mut(place).expect("it was there").next = low;
            return self.step_core(number, Input::Overtaken(slot, low));
        }
        let (mut at, mut entries) = (next, Vec::new());
        let mut last = next;
        let differ = self.plan.config.replicas_differ;
        let log = self.kafka.log(place).expect("it was there");
        let partition = self.replicas[number].held[place].partition.clone();
        while at < stable && at < next + RECORDS {
            if log.is_readable(at) {
                let record = &log.records[at as usize];
                match &record.kind {
                    Kind::Event(event)
                        if !differ || event.class != Class::Loose || event.number % 2 != number % 2 =>
                    {
                        bodies.push(Body::Data {
                            partition: partition.clone(),
                            offset: at,
                            timestamp: record.timestamp,
                            event: event.clone(),
                        });
                        entries.push(Entry::Data(at..at + 1));
                    }
                    _ => entries.push(Entry::Reject(Reject {
                        offset: at,
                        index: read.records,
                        code: "not-an-object",
                        pointer: None,
                    })),
                }
                read.records += 1;
                last = at + 1;
            }
            at += 1;
        }
        if !entries.is_empty() {
            read.parts.push(ReadPart { slot: slot.clone(), entries });
        }
        if at > last {
            passed.push((slot, at));
        }
        self.replicas[number].held.get_mut(place).expect("it was there").next = at;
    }

    fn next_job(&mut self, number: usize) {
        let replica = &mut self.replicas[number];
        if replica.busy.is_some() {
            return;
        }
        let Some(job) = replica.jobs.pop_front() else { return };
        match job {
            Job::Assign(places) => self.look_up(number, places, BTreeMap::new(), BTreeMap::new()),
            Job::Revoke(places) => self.drain(number, places, Then::GiveBack),
            Job::Restart(places) => self.drain(number, places, Then::Restart),
            Job::Leave => {
                let places = replica.held.keys().cloned().collect();
                self.drain(number, places, Then::Leave);
            }
            Job::Lost => {}
        }
    }

    fn assignment_lost(&mut self, number: usize) {
        self.tell(|| format!("connector {number} hears that its partitions are others'"));
        let replica = &mut self.replicas[number];
        replica.jobs.clear();
        replica.busy = None;
        let slots = std::mem::take(&mut replica.held).into_values().map(|held| held.slot).collect();
        self.step_core(number, Input::Gone(slots));
        self.kafka.leave(number);
        self.replicas[number].epoch = self.kafka.join(number);
        self.at(20, Event::Rebalance);
    }

    fn drain(&mut self, number: usize, places: Vec<Place>, then: Then) {
        let replica = &mut self.replicas[number];
        let places: Vec<Place> =
            places.into_iter().filter(|place| replica.held.contains_key(place)).collect();
        let slots: BTreeSet<Slot> = places.iter().map(|place| replica.held[place].slot.clone()).collect();
        let task = replica.next_task();
        replica.busy = Some(Busy::Drain(Drain { task, slots: slots.clone(), places, then }));
        self.for_replica(number, DRAIN, Happens::DrainTooLong(task));
        self.step_core(number, Input::Drain(slots));
    }

    fn drain_too_long(&mut self, number: usize, task: u64) {
        let replica = &self.replicas[number];
        if let Some(Busy::Drain(drain)) = &replica.busy
            && drain.task == task
        {
            let commits = replica.core.commits(&drain.slots);
            self.drained(number, commits);
        }
    }

    fn drained(&mut self, number: usize, commits: Vec<(Commit, Partition)>) {
        let Some(Busy::Drain(drain)) = &self.replicas[number].busy else { return };
        let task = drain.task;
        if drain.then == Then::Restart {
            // What was read is still accounted for; committing it would mean the new log.
            return self.let_go(number, task);
        }
        self.commit(number, offsets(commits), CommitFor::Drain(task));
    }

    fn let_go(&mut self, number: usize, task: u64) {
        let replica = &mut self.replicas[number];
        let drain = match replica.busy.take() {
            Some(Busy::Drain(drain)) if drain.task == task => drain,
            other => {
                replica.busy = other;
                return;
            }
        };
        let (mut read, mut outdated) = (BTreeMap::new(), BTreeMap::new());
        for place in &drain.places {
            let Some(held) = replica.held.remove(place) else { continue };
            read.insert(place.clone(), held.next);
            let id = topic_id(&held.partition.incarnation);
            if self.kafka.id(&place.0).is_some_and(|known| known != id) {
                outdated.insert(place.0.clone(), id.to_owned());
            }
        }
        self.step_core(number, Input::Gone(drain.slots));
        match drain.then {
            Then::Restart => return self.look_up(number, drain.places, read, outdated),
            Then::GiveBack => {
                for place in &drain.places {
                    if self.kafka.owners.get(place) == Some(&number) {
                        self.kafka.owners.remove(place);
                    }
                }
            }
            Then::Leave => {
                self.tell(|| format!("connector {number} has left"));
                self.kafka.leave(number);
                self.replicas[number].is_up = false;
            }
        }
        self.at(20, Event::Rebalance);
        self.next_job(number);
    }

    fn look_up(
        &mut self,
        number: usize,
        places: Vec<Place>,
        read: BTreeMap<Place, u64>,
        outdated: BTreeMap<Arc<str>, String>,
    ) {
        let replica = &mut self.replicas[number];
        let task = replica.next_task();
        let answers = Answers::default();
        replica.busy = Some(Busy::Lookup(Lookup { task, places, read, outdated, answers }));
        self.look_at_topics(number, task);
    }

    /// The first questions: what the topics are, and what was committed.
    fn look_at_topics(&mut self, number: usize, task: u64) {
        let topics = self.topics.clone();
        let Some(Busy::Lookup(lookup)) = &mut self.replicas[number].busy else { return };
        if lookup.task != task {
            return;
        }
        let ours = self.kafka.topics.iter().filter(|(name, _)| topics.contains(*name));
        lookup.answers.topics =
            ours.map(|(name, topic)| (name.clone(), (topic.logs.len() as i32, topic.id.clone()))).collect();
        lookup.answers.committed = self.kafka.committed(&topics);
        let is_outdated =
            lookup.answers.topics.iter().any(|(name, (_, id))| lookup.outdated.get(name) == Some(id));
        let salt = [number as u64, self.now.unsigned_abs()];
        let delay = self.dice.travel(self.plan.config.slowest, "look", &salt);
        let happens = if is_outdated { Happens::LookAgain(task) } else { Happens::Look(task) };
        self.for_replica(number, delay, happens);
    }

    /// The other questions: where the logs begin and end. Then the starts are known.
    fn look_at_ends(&mut self, number: usize, task: u64) {
        let rule = self.plan.config.rule;
        let Some(Busy::Lookup(lookup)) = &mut self.replicas[number].busy else { return };
        if lookup.task != task {
            return;
        }
        for (place, log) in self.kafka.logs() {
            lookup.answers.low.insert(place.clone(), log.low);
            lookup.answers.stable.insert(place.clone(), log.stable());
            lookup.answers.high.insert(place, log.high());
        }
        if !plan::fixes_all(rule, &lookup.answers.committed) {
            lookup.answers.stable.retain(|place, _| lookup.places.contains(place));
        }
        let Some(planned) = plan::plan(&lookup.places, &lookup.answers, rule, &lookup.read) else {
            return self.for_replica(number, 500, Happens::LookAgain(task));
        };
        if planned.commits.is_empty() {
            return self.open(number, task);
        }
        self.commit(number, planned.commits, CommitFor::Start(task));
    }

    fn committed_first(&mut self, number: usize, task: u64, accepted: bool) {
        if accepted {
            self.open(number, task);
        } else {
            self.for_replica(number, 500, Happens::LookAgain(task));
        }
    }

    fn open(&mut self, number: usize, task: u64) {
        let rule = self.plan.config.rule;
        let replica = &mut self.replicas[number];
        let lookup = match replica.busy.take() {
            Some(Busy::Lookup(lookup)) if lookup.task == task => lookup,
            other => {
                replica.busy = other;
                return;
            }
        };
        let Some(planned) = plan::plan(&lookup.places, &lookup.answers, rule, &lookup.read) else { return };
        let mut opened = Vec::new();
        let mut notes = Vec::new();
        for (place, start) in lookup.places.iter().zip(planned.starts) {
            replica.generation += 1;
            let slot = Slot { topic: place.0.clone(), partition: place.1, generation: replica.generation };
            let partition = Arc::new(Partition {
                topic: place.0.clone(),
                incarnation: start.incarnation.clone(),
                partition: place.1,
            });
            if let Some(log) = self.kafka.log_mut(place)
                && log.partition.incarnation == start.incarnation
            {
                log.first_start = Some(log.first_start.map_or(start.offset, |first| first.min(start.offset)));
            }
            notes.push(format!("{}[{}] {} from {}", place.0, place.1, start.incarnation, start.offset));
            let held = Held { slot: slot.clone(), partition, next: start.offset };
            replica.held.insert(place.clone(), held);
            opened.push((slot, start));
        }
        self.tell(|| format!("connector {number} reads {}", notes.join(", ")));
        self.step_core(number, Input::Assigned(opened));
        self.next_job(number);
    }

    /// Whether the start rule excuses what lies before the first start.
    pub(crate) fn begins_late(&self) -> bool {
        self.plan.config.rule == StartRule::Latest
    }
}

impl Delivery {
    fn salt(&self) -> u64 {
        match self {
            Self::Batch(BatchId(id), _) => 2 * id,
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
