//! The steps of a plan: actions of producers and operators, and accidents.

use std::rc::Rc;

use kafka::TopicPartition;

use crate::{
    dice::Dice,
    kafka::{Class, Happening, Kind},
    plan::{JOIN_WITHIN, Step},
    pubsub::{Body, Form, Sent},
    replica,
    store::Gated,
    wire::Version,
    world::{Event, World, topic},
};

impl World {
    pub(super) fn step(&mut self, salt: u64, step: Step) {
        match step {
            Step::Produce(..) | Step::Poison(..) | Step::Refused(..) => {}
            other => self.log(|| format!("step: {other:?}")),
        }
        match step {
            Step::Produce(t, p) => self.produce(salt, t, p),
            Step::Poison(t, p) => {
                if let Some(place) = self.place(t, p) {
                    self.append(&place, Kind::Poison, None);
                }
            }
            Step::Refused(t, p) => {
                if let Some(place) = self.place(t, p) {
                    self.append(&place, Kind::Refused, None);
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
                self.kafka.make(&name, partitions, stay, self.now);
            }
            Step::DropTopic => self.drop_topic(),
            Step::AddTopic => {
                let name = topic(self.kafka.topics.len());
                self.restart_replicas();
                self.kafka.make(&name, self.plan.config.partitions, false, self.now);
                self.topics.insert(name);
            }
            Step::AddPartitionUnseen(t) => {
                let name = topic(t % self.topics.len());
                self.restart_replicas();
                self.kafka.add_partition(&name);
            }
            Step::Cut(t, p, offsets) => {
                if let Some(place) = self.place(t, p)
                    && let Some(at) = self.kafka.cut(&place, offsets, self.now)
                {
                    self.log(|| format!("{}[{}] is truncated at {at}", place.0, place.1));
                }
            }
            Step::Reset(t, p, back) => self.reset_offset(t, p, back),
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
            Step::UpgradeReplica(n) => {
                let n = n % self.replicas.len();
                self.replicas[n].version = Version::Next;
                if self.replicas[n].is_up {
                    self.crash_replica(n);
                }
                self.at(200, Event::BootReplica(n));
            }
            Step::UpgradeWorker(n) => self.upgrade_worker(n % self.workers.len()),
            Step::Redrive => self.redrive(Dice(salt)),
            Step::Outage(long) => self.outage_until = self.now + long,
            Step::StreamsGone => self.sinks.iter().for_each(|sink| sink.tables().forget_streams()),
            Step::WriterDown(writer, long) => {
                let writer = writer % self.sinks.len();
                self.down_until[writer] = self.now + long;
                let given = self.given();
                self.at(long, Event::WriterUp(writer, given));
            }
            Step::LoseState => self.lose_state(),
        }
    }

    /// A partition, by numbers modulo the actual counts.
    pub(super) fn place(&self, t: usize, p: usize) -> Option<TopicPartition> {
        let name = topic(t % self.kafka.topics.len());
        let partitions = self.kafka.topics.get(&name)?.logs.len();
        Some((name, (p % partitions) as i32))
    }

    pub(super) fn append(
        &mut self,
        place: &TopicPartition,
        kind: Kind,
        transaction: Option<usize>,
    ) -> Option<u64> {
        let now = self.now;
        let log = self.kafka.log_mut(place).filter(|log| !log.is_cut)?;
        Some(log.append(kind, now, transaction))
    }

    pub(super) fn produce(&mut self, salt: u64, t: usize, p: usize) {
        let Some(place) = self.place(t, p) else { return };
        let config = &self.plan.config;
        let dice = Dice(salt);
        let bound = config.out_of_orderness;
        // Some are barely on time.
        let youngest = if config.lag > 0 { 0 } else { -500 };
        let age = if dice.chance(config.edge, "edge", &[]) {
            bound
        } else {
            dice.millis(youngest, bound, "time", &[])
        };
        let time = self.now - config.lag - age;
        let kinds = [
            (config.loose, Class::Loose, self.now - dice.millis(0, 30_000, "late", &[])),
            (config.future, Class::Future, self.now + 20_000),
            (config.copies, Class::Copy, self.now),
            (config.contested, Class::Contested, time),
            (config.ahead, Class::Firm, self.now + dice.millis(0, 9_500, "ahead", &[])),
            (
                config.delayed,
                Class::Delayed,
                self.now - dice.millis(0, config.longest_delay(), "delayed", &[]),
            ),
            (1_000, Class::Firm, time),
        ];
        let mut draw = dice.below(1_000, "class", &[]);
        let drawn = kinds.into_iter().find(|(share, ..)| {
            let is_it = draw < *share;
            draw = draw.saturating_sub(*share);
            is_it
        });
        let (_, class, time) = drawn.expect("the last takes all that is left");
        let open = self.kafka.log(&place).map(|log| log.open_transactions()).unwrap_or_default();
        let within = open.first().copied().filter(|_| dice.chance(400, "within", &[]));
        self.event(salt, &place, class, time, within);
    }

    pub(super) fn event(
        &mut self,
        salt: u64,
        place: &TopicPartition,
        class: Class,
        time: i64,
        transaction: Option<usize>,
    ) {
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
        // A few events share a view, so that joins find matches.
        let mut view = id / 4;
        if class == Class::Delayed {
            is_view = dice.chance(300, "delayed view", &[]);
            let (from, to) = if is_view { (time, time + JOIN_WITHIN) } else { (time - JOIN_WITHIN, time) };
            let fits = |other: &&Rc<Happening>| other.is_view != is_view && (from..=to).contains(&other.time);
            let others: Vec<&Rc<Happening>> = self.events.iter().filter(fits).collect();
            let other = others.get(dice.below(others.len() as u64, "other", &[]) as usize);
            view = other.map_or(view, |partner| partner.view);
        }
        let kind = if is_view { "v" } else { "c" };
        let mut event = Happening { number, time, key, is_view, id, view, class, payload: Vec::new() };
        let key = &event.key;
        let payload = format!(r#"{{"t":{time},"p":"{key}","k":"{kind}","id":"e{id}","v":"v{view}"}}"#);
        event.payload = payload.into_bytes();
        let event = Rc::new(event);
        self.events.push(event.clone());
        let offset = self.append(place, Kind::Event(event), transaction);
        if offset.is_none() {
            return;
        }
        self.log(|| format!("{}[{}] {offset:?}: {class:?} event {number}", place.0, place.1));
        if matches!(class, Class::Firm | Class::Contested) {
            self.check_appended(time);
        }
    }

    pub(super) fn end_transactions(&mut self, t: usize, p: usize, commit: bool) {
        let now = self.now;
        if let Some(place) = self.place(t, p)
            && let Some(log) = self.kafka.log_mut(&place)
        {
            for transaction in log.open_transactions() {
                log.end(transaction, commit, now);
            }
        }
    }

    /// Compacts a log; the newest record stays.
    pub(super) fn compact(&mut self, t: usize, p: usize) {
        if let Some(place) = self.place(t, p)
            && let Some(log) = self.kafka.log_mut(&place)
        {
            let end = log.records.len().saturating_sub(1);
            for record in &mut log.records[..end] {
                if matches!(&record.kind, Kind::Event(event) if event.class == Class::Contested) {
                    record.kind = Kind::Removed;
                }
            }
        }
    }

    /// Publishes the rejected events that the last checkpoint knows: all, or those before a kill.
    fn redrive(&mut self, dice: Dice) {
        // A killed redrive is continued with its number, perhaps from an earlier record.
        if self.redrives == 0 || dice.chance(600, "another redrive", &[]) {
            self.redrives += 1;
        }
        let number = self.redrives;
        for (partition, offset) in self.check.rejected() {
            let log = self.kafka.logs().map(|(_, log)| log).find(|log| *log.partition == partition);
            let Some(log) = log.filter(|log| (log.low..log.stable()).contains(&offset)) else { continue };
            let Some(event) = log.is_event(offset).cloned() else { continue };
            if dice.chance(100, "killed", &[offset]) {
                return;
            }
            let sent = Sent { offset, timestamp: log.records[offset as usize].timestamp, event };
            let partition = log.partition.clone();
            self.log(|| format!("redrive {number} publishes {partition}@{offset}"));
            self.land(Body::Data { partition, records: vec![sent], form: Form::Redrive(number) });
        }
    }

    pub(super) fn drop_topic(&mut self) {
        if self.topics.len() > 1 {
            self.topics.pop_last();
            self.restart_replicas();
        }
    }

    /// Within the session timeout.
    fn restart_replicas(&mut self) {
        for number in 0..self.replicas.len() {
            if self.replicas[number].is_up {
                self.crash_replica(number);
            }
            self.at(200, Event::BootReplica(number));
        }
    }

    /// What Kafka's tool does with a group that has no members: the offset has no incarnation.
    pub(super) fn reset_offset(&mut self, t: usize, p: usize, back: u64) {
        let Some(place) = self.place(t, p) else { return };
        for number in 0..self.replicas.len() {
            if self.replicas[number].is_up {
                self.crash_replica(number);
            }
            self.kafka.leave(number);
            self.at(200, Event::BootReplica(number));
        }
        let Some(log) = self.kafka.log_mut(&place) else { return };
        let offset = log.stable().saturating_sub(back).max(log.low);
        log.reset_to = Some(offset);
        let partition = log.partition.clone();
        self.check_reset(&partition, offset);
        self.kafka.commit(place, offset, String::new());
    }

    pub(super) fn upgrade_worker(&mut self, number: usize) {
        self.workers[number].version = Version::Next;
        if self.workers[number].is_up {
            self.crash_worker(number);
        }
        self.at(500, Event::BootWorker(number));
    }

    pub(super) fn lose_state(&mut self) {
        for number in 0..self.workers.len() {
            if self.workers[number].is_up {
                self.crash_worker(number);
            }
            self.at(500, Event::BootWorker(number));
        }
        self.store = Gated::new();
        self.check.forget_state();
    }
}
