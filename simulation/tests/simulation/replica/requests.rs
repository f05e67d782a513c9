//! The requests of a replica: publish requests with retries, commits, and requests about logs and topics.

use std::{cell::Cell, sync::Arc};

use connector::core::Input;
use event::{EventTime, Incarnation, mark::TopicMark};
use kafka::{Commit, TopicPartition, ask::ask};

use super::{CommitFor, Delivery, Happens, Held, Offsets};
use crate::{
    pubsub::Body,
    world::{Event, World},
};

impl World {
    pub(super) fn deliver(&mut self, number: usize, delivery: Delivery, attempt: u64) {
        let salt = [number as u64, self.replicas[number].starts.into(), delivery.salt(), attempt];
        let delay =
            self.dice.travel(self.plan.config.slowest, "publish", &salt) + if attempt == 0 { 0 } else { 300 };
        let starts = self.replicas[number].starts;
        self.at(delay, Event::Publish { number, starts, delivery, attempt });
    }

    /// A publish request reaches Pub/Sub, even if its sender has crashed.
    pub(crate) fn publish(&mut self, number: usize, starts: u32, delivery: Delivery, attempt: u64) {
        let salt = [number as u64, starts.into(), delivery.salt(), attempt];
        let faults = if self.is_calm { 0 } else { self.plan.config.publish_lost };
        let is_out = self.now < self.outage_until || self.is_held_up(&salt, &delivery);
        let arrives = !is_out && !self.dice.chance(faults / 2, "publish arrives", &salt);
        if arrives {
            match &delivery {
                Delivery::Batch(batch) => {
                    for body in batch.bodies.iter() {
                        self.land(body.clone());
                    }
                }
                Delivery::Mark(_, mark) => self.land(Body::Mark(mark.clone())),
            }
        }
        if self.replicas[number].starts != starts {
            return;
        }
        let answered = arrives && !self.dice.chance(faults, "publish answer", &salt);
        let delay = self.dice.travel(self.plan.config.slowest, "answer", &salt);
        let happens =
            if answered { Happens::Delivered(delivery) } else { Happens::Undelivered(delivery, attempt) };
        self.for_replica(number, delay, happens);
    }

    /// Whether Pub/Sub still rejects this batch, although it accepts others.
    fn is_held_up(&self, &[number, starts, batch, attempt]: &[u64; 4], delivery: &Delivery) -> bool {
        let salt = [number, starts, batch];
        matches!(delivery, Delivery::Batch(..))
            && self.is_troubled()
            && self.dice.chance(self.plan.config.held_up, "held up", &salt)
            && attempt < self.dice.below(60, "attempts", &salt)
    }

    pub(super) fn commit(&mut self, number: usize, offsets: Offsets, purpose: CommitFor) {
        if offsets.is_empty() && purpose == CommitFor::Later {
            return;
        }
        let (starts, epoch) = (self.replicas[number].starts, self.replicas[number].epoch);
        let salt = [number as u64, starts.into(), self.now.unsigned_abs()];
        // One connection carries them all, in order.
        let at = self.now + self.dice.travel(self.plan.config.slowest, "commit", &salt);
        let replica = &mut self.replicas[number];
        replica.last_commit_at = replica.last_commit_at.max(at);
        let delay = replica.last_commit_at - self.now;
        self.at(delay, Event::Commit { number, starts, epoch, offsets, purpose });
    }

    /// A commit reaches the coordinator.
    pub(crate) fn coordinator(
        &mut self,
        (number, starts, epoch): (usize, u32, u64),
        offsets: Offsets,
        purpose: CommitFor,
    ) {
        let accepted = self.kafka.members.get(&number) == Some(&epoch);
        if accepted {
            for (place, offset, metadata) in &offsets {
                self.check_commit(place, *offset, metadata);
                self.kafka.commit(place.clone(), *offset, metadata.clone());
            }
        }
        if self.replicas[number].starts != starts {
            return;
        }
        let salt = [number as u64, starts.into(), self.now.unsigned_abs()];
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

    pub(super) fn committed(&mut self, number: usize, offsets: Vec<(TopicPartition, u64)>) {
        let held = &self.replicas[number].held;
        let of_slot = |(place, offset): (TopicPartition, u64)| {
            held.get(&place).map(|held| Commit { slot: held.slot.clone(), offset })
        };
        let commits: Vec<Commit> = offsets.into_iter().filter_map(of_slot).collect();
        if !commits.is_empty() {
            self.step_core(number, Input::Committed(commits));
        }
    }

    pub(super) fn ask_ends(&mut self, number: usize) {
        let replica = &self.replicas[number];
        // The high watermark, not the last stable offset: an open transaction may hold older events.
        let end = |held: &Held| {
            let place = (held.slot.topic.clone(), held.slot.partition);
            Some((held.slot.clone(), self.kafka.log(&place)?.high()))
        };
        let ends = replica.held.values().filter_map(end).collect();
        let salt = [number as u64, self.now.unsigned_abs()];
        let slowest = if self.is_calm { 400 } else { self.plan.config.slowest_ends };
        let mut delay = self.dice.travel(slowest, "ends", &salt);
        if self.dice.chance(self.plan.config.slow_ends, "slow ends", &salt) {
            delay = self.dice.millis(0, slowest, "slow ends", &[delay.unsigned_abs(), salt[0], salt[1]]);
        }
        let (asked_at, ends) = self.question(delay, ends);
        self.for_replica(number, delay, Happens::Ends { asked_at, ends });
    }

    pub(super) fn ask_topics(&mut self, number: usize) {
        let salt = [number as u64, self.now.unsigned_abs()];
        let slowest = if self.is_calm { 500 } else { self.plan.config.slowest_topics };
        let delay = self.dice.travel(slowest, "topics", &salt);
        let (asked_at, ()) = self.question(delay, ());
        let mark = |(name, topic): (&Arc<str>, &crate::kafka::Topic)| TopicMark {
            topic: name.clone(),
            incarnation: Incarnation::from(topic.id.as_str()),
            partitions: topic.logs.len() as i32,
            asked_at,
        };
        let named = self.kafka.topics.iter().filter(|(name, _)| self.topics.contains(*name));
        let topics = named.map(mark).collect();
        self.for_replica(number, delay, Happens::Topics(topics));
    }

    /// A request that the brokers answer at once, and whose response takes this long.
    fn question<T>(&self, delay: i64, answer: T) -> (EventTime, T) {
        let clock = Cell::new(self.now);
        ask(
            || EventTime(clock.get()),
            || {
                clock.set(self.now + delay);
                answer
            },
        )
    }
}
