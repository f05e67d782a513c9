//! Jobs of a replica's reader, one after another, during which it does not read: finding start offsets, and draining.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use connector::core::Input;
use event::Partition;
use kafka::{
    Commit, Slot, StartRule, TopicPartition,
    plan::{self, Answers},
    start::topic_id,
};

use super::{Busy, CommitFor, DRAIN, Drain, Happens, Held, Job, Lookup, Then, offsets};
use crate::{
    kafka::Log,
    world::{Event, World},
};

impl World {
    pub(super) fn next_job(&mut self, number: usize) {
        let replica = &mut self.replicas[number];
        if replica.busy.is_some() {
            return;
        }
        let Some(job) = replica.jobs.pop_front() else { return };
        match job {
            Job::Assign(places) => {
                let is_ours = |(topic, _): &TopicPartition| self.topics.contains(topic);
                let (places, strays): (Vec<TopicPartition>, Vec<TopicPartition>) =
                    places.into_iter().partition(is_ours);
                replica.assignments += 1;
                replica.strays.extend(strays);
                self.look_up(number, places, BTreeMap::new(), BTreeMap::new());
            }
            Job::Rejoin => {
                for stray in std::mem::take(&mut replica.strays) {
                    if self.kafka.owners.get(&stray) == Some(&number) {
                        self.kafka.owners.remove(&stray);
                    }
                }
                let places = replica.held.keys().cloned().collect();
                self.drain(number, places, Then::GiveBack);
            }
            Job::Revoke(places) => self.drain(number, places, Then::GiveBack),
            Job::Restart(places) => self.drain(number, places, Then::Restart),
            Job::Leave => {
                let places = replica.held.keys().cloned().collect();
                self.drain(number, places, Then::Leave);
            }
            Job::Lost => {}
        }
    }

    pub(super) fn assignment_lost(&mut self, number: usize) {
        self.log(|| format!("connector {number} learns that it lost its partitions"));
        let replica = &mut self.replicas[number];
        replica.jobs.clear();
        replica.busy = None;
        let slots = std::mem::take(&mut replica.held).into_values().map(|held| held.slot).collect();
        self.step_core(number, Input::Gone(slots));
        self.kafka.leave(number);
        self.replicas[number].epoch = self.kafka.join(number);
        self.at(20, Event::Rebalance);
    }

    pub(super) fn drain(&mut self, number: usize, places: Vec<TopicPartition>, then: Then) {
        let replica = &mut self.replicas[number];
        let places: Vec<TopicPartition> =
            places.into_iter().filter(|place| replica.held.contains_key(place)).collect();
        let slots: BTreeSet<Slot> = places.iter().map(|place| replica.held[place].slot.clone()).collect();
        let task = replica.next_task();
        replica.busy = Some(Busy::Drain(Drain { task, slots: slots.clone(), places, then }));
        self.for_replica(number, DRAIN, Happens::DrainTooLong(task));
        self.step_core(number, Input::Drain(slots));
    }

    pub(super) fn drain_too_long(&mut self, number: usize, task: u64) {
        let replica = &self.replicas[number];
        if let Some(Busy::Drain(drain)) = &replica.busy
            && drain.task == task
        {
            let commits = replica.core.commits(&drain.slots);
            self.drained(number, commits);
        }
    }

    pub(super) fn drained(&mut self, number: usize, commits: Vec<(Commit, Partition)>) {
        let Some(Busy::Drain(drain)) = &self.replicas[number].busy else { return };
        let task = drain.task;
        if drain.then == Then::Restart {
            // Records that were read are still accounted for; a commit would refer to the new log.
            return self.let_go(number, task);
        }
        self.commit(number, offsets(commits), CommitFor::Drain(task));
    }

    pub(super) fn let_go(&mut self, number: usize, task: u64) {
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
                self.log(|| format!("connector {number} has left"));
                self.kafka.leave(number);
                self.replicas[number].is_up = false;
            }
        }
        self.at(20, Event::Rebalance);
        self.next_job(number);
    }

    pub(super) fn look_up(
        &mut self,
        number: usize,
        places: Vec<TopicPartition>,
        read: BTreeMap<TopicPartition, u64>,
        outdated: BTreeMap<Arc<str>, String>,
    ) {
        let replica = &mut self.replicas[number];
        let task = replica.next_task();
        let answers = Answers::default();
        replica.busy = Some(Busy::Lookup(Lookup { task, places, read, outdated, answers }));
        self.look_at_topics(number, task);
    }

    /// The first requests: the topics, and the committed offsets.
    pub(super) fn look_at_topics(&mut self, number: usize, task: u64) {
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
        let delay = self.dice.travel(self.plan.config.slowest, "observed", &salt);
        let happens = if is_outdated { Happens::LookAgain(task) } else { Happens::Looked(task) };
        self.for_replica(number, delay, happens);
    }

    /// The other requests: where the logs begin and end. Then the start offsets are known.
    pub(super) fn look_at_ends(&mut self, number: usize, task: u64) {
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

    pub(super) fn committed_first(&mut self, number: usize, task: u64, accepted: bool) {
        if accepted {
            self.open(number, task);
        } else {
            self.for_replica(number, 500, Happens::LookAgain(task));
        }
    }

    pub(super) fn open(&mut self, number: usize, task: u64) {
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
        self.log(|| format!("connector {number} reads {}", notes.join(", ")));
        self.step_core(number, Input::Assigned(opened));
        self.next_job(number);
    }

    /// The first offset of a log that must be read: with `latest`, logs that existed when the group was created are
    /// read from its start.
    pub(crate) fn required_from(&self, log: &Log) -> u64 {
        let is_late = self.plan.config.rule == StartRule::Latest && (log.is_first || !self.kafka.has_begun);
        let start = if is_late { log.first_start.unwrap_or(u64::MAX) } else { 0 };
        start.max(log.begins)
    }
}
