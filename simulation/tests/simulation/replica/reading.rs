//! What a replica's reader does at each poll.

use std::{rc::Rc, sync::Arc};

use connector::core::{BatchId, Entry, Input, Read, ReadPart, Reject};
use event::Partition;
use kafka::{Slot, TopicPartition, start::topic_id};

use super::{Batch, Happens, Held, IN_FLIGHT, Job, RECORDS};
use crate::{
    kafka::{Class, Kind},
    pubsub::{Body, Form, Sent},
    wire::Version,
    world::World,
};

/// The messages of a batch that is being filled.
#[derive(Default)]
pub(super) struct Messages {
    bodies: Vec<Body>,
    /// Records whose messages Pub/Sub refuses.
    refused: Vec<(Slot, u64)>,
}

impl Messages {
    /// Adds a record to the last pack, or as a message of its own.
    fn push(&mut self, partition: &Arc<Partition>, form: Form, sent: Sent, is_cut: bool) {
        match self.bodies.last_mut() {
            Some(Body::Data { partition: last, records, form: Form::Pack })
                if form == Form::Pack && last == partition && !is_cut =>
            {
                records.push(sent);
            }
            _ => self.bodies.push(Body::Data { partition: partition.clone(), records: vec![sent], form }),
        }
    }
}

impl World {
    pub(super) fn poll(&mut self, number: usize) {
        self.for_replica(number, self.plan.config.poll, Happens::Poll);
        let replica = &self.replicas[number];
        if replica.busy.is_some() || replica.core.is_full() || replica.in_flight >= IN_FLIGHT {
            return;
        }
        let is_other = |place: &TopicPartition, held: &Held| {
            self.kafka.id(&place.0).is_some_and(|id| id != topic_id(&held.partition.incarnation))
        };
        let other: Vec<TopicPartition> = replica
            .held
            .iter()
            .filter(|(place, held)| is_other(place, held))
            .map(|(p, _)| p.clone())
            .collect();
        if !other.is_empty() {
            self.replicas[number].jobs.push_back(Job::Restart(other));
            return self.next_job(number);
        }
        let places: Vec<TopicPartition> = replica.held.keys().cloned().collect();
        let mut read = Read::default();
        let (mut messages, mut passed) = (Messages::default(), Vec::new());
        for place in places {
            self.fetch(number, &place, (&mut read, &mut messages, &mut passed));
        }
        if read.records > 0 {
            let replica = &mut self.replicas[number];
            if !messages.bodies.is_empty() || !messages.refused.is_empty() {
                replica.batches += 1;
                let id = BatchId(replica.batches);
                read.batch = Some(id);
                let (bodies, refused) = (Rc::new(messages.bodies), Rc::new(messages.refused));
                replica.unsent.insert(id, Batch { id, bodies, refused });
            }
            self.step_core(number, Input::Read(read));
        }
        for (slot, position) in passed {
            self.step_core(number, Input::Passed(slot, position));
        }
    }

    pub(super) fn fetch(
        &mut self,
        number: usize,
        place: &TopicPartition,
        (read, messages, passed): (&mut Read, &mut Messages, &mut Vec<(Slot, u64)>),
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
            self.log(|| format!("connector {number} finds {}[{}] gone up to {low}", place.0, place.1));
            self.replicas[number].held.get_mut(place).expect("it was there").next = low;
            return self.step_core(number, Input::Overtaken(slot, low));
        }
        let (mut at, mut entries) = (next, Vec::new());
        let mut last = next;
        self.check_read(place, next);
        let differ = self.plan.config.replicas_differ;
        let log = self.kafka.log(place).expect("it was there");
        let partition = self.replicas[number].held[place].partition.clone();
        let is_next = self.replicas[number].version == Version::Next;
        // Connectors with packs and without take turns, and cut packs elsewhere after a crash.
        let packs =
            self.dice.chance(self.plan.config.packs, "packs", &[number as u64, next, self.now as u64]);
        while at < stable && at < next + RECORDS {
            if log.is_readable(at) {
                let record = &log.records[at as usize];
                match &record.kind {
                    Kind::Event(event)
                        if !differ || event.class != Class::Contested || event.number % 2 != number % 2 =>
                    {
                        let salt = [event.number as u64];
                        let form = match () {
                            () if is_next && self.dice.chance(500, "packed", &salt) => Form::Next,
                            () if packs => Form::Pack,
                            () => Form::Single,
                        };
                        let sent = Sent { offset: at, timestamp: record.timestamp, event: event.clone() };
                        let is_cut = self.dice.chance(200, "cut", &[event.number as u64, next]);
                        messages.push(&partition, form, sent, is_cut);
                        entries.push(Entry::Data(at..at + 1));
                    }
                    Kind::Refused => {
                        messages.refused.push((slot.clone(), at));
                        entries.push(Entry::Data(at..at + 1));
                    }
                    // The filter excludes some of what could not be published either.
                    _ if at % 3 == 1 => entries.push(Entry::Filtered(at..at + 1)),
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
}
