//! What one record changes: new, seen before, taken after all, or redriven.

use std::sync::Arc;

use event::{EventTime, Partition, ledger::Outcome};
use flow::row::DeadLetterRow;

use super::Counters;
use crate::{
    digest::{Digest, Refusal},
    engine::{Before, Engine, Verdict},
    frontier::{Absence, Arrival, CaughtUp, Clocks, Track},
    records::Origin,
    rejected::{Refused, Rejected},
};

/// The parts of the core that a record changes, besides the track of its partition.
pub(super) struct Counting<'c> {
    pub(super) engine: &'c mut Engine,
    pub(super) rejected: &'c mut Rejected,
    pub(super) unpositioned: &'c mut Option<Clocks>,
    pub(super) published: &'c mut EventTime,
    pub(super) caught_up: &'c mut CaughtUp,
    pub(super) dead_letters: &'c mut Vec<DeadLetterRow>,
    pub(super) counters: &'c mut Counters,
    pub(super) now: EventTime,
}

/// The event of a record.
pub(super) enum Event<'a> {
    Unread(&'a [u8]),
    Read(Digest<'a>),
    /// It cannot be read, for this reason.
    Refused(Refusal),
}

impl Counting<'_> {
    /// A record of a partition.
    #[inline]
    pub(super) fn record(
        &mut self,
        track: &mut Track,
        (partition, offset): (&Partition, u64),
        (origin, redrive): (&Origin, Option<u64>),
        event: Event<'_>,
    ) {
        if let Some(number) = redrive {
            self.rejected.seen(number);
        }
        let arrival = track.peek(offset);
        let before = match arrival {
            Arrival::Seen => match redrive {
                Some(number) => return self.redriven((partition, offset), (origin, number), event),
                None => {
                    self.counters.redelivered += 1;
                    return;
                }
            },
            Arrival::Retaken(Absence::Lost) => Before::All(Outcome::Lost),
            Arrival::Retaken(_) => Before::All(Outcome::Absent),
            Arrival::New => Before::Nothing,
        };
        self.arrived(origin);
        let verdict = self.event(&partition.topic, origin, event, before);
        let clocks = if verdict.readable {
            Clocks::of(verdict.time, origin.kafka_time, origin.publish_time)
        } else {
            Clocks::NONE
        };
        track.take(offset, arrival, clocks);
        if !verdict.refused.is_empty() {
            let redrive = redrive.unwrap_or(0);
            let refused = Refused { flows: verdict.refused, is_taken: verdict.is_taken, redrive };
            self.rejected.set(partition, offset..offset + 1, Some(refused));
        }
        if let Some(refusal) = verdict.refusal {
            self.refused(partition.topic.clone(), partition.partition, offset, refusal);
        }
    }

    /// A rejected record that is redriven. The outcome replaces `rejected` in the flows that rejected the record, once: a
    /// copy finds the offset gone from the rejected ones, or with this number. Nothing but the ledgers and the windows
    /// changes, as the frontier already covers the offset. Without a state that does, which can only be a lost one, it is
    /// a record as any other.
    #[cold]
    fn redriven(
        &mut self,
        (partition, offset): (&Partition, u64),
        (origin, number): (&Origin, u64),
        event: Event<'_>,
    ) {
        let refused = self.rejected.get(partition, offset).filter(|refused| refused.redrive < number);
        let Some(refused) = refused.cloned() else {
            self.counters.redelivered += 1;
            return;
        };
        self.counters.redriven += 1;
        let verdict = self.event(&partition.topic, origin, event, Before::Rejected(&refused));
        let is_taken = refused.is_taken || verdict.is_taken;
        let refused = Refused { flows: verdict.refused, is_taken, redrive: number };
        self.rejected.set(partition, offset..offset + 1, Some(refused));
        if let Some(refusal) = verdict.refusal {
            self.refused(partition.topic.clone(), partition.partition, offset, refusal);
        }
    }

    /// A message that another producer published.
    pub(super) fn unpositioned(&mut self, origin: &Origin, event: Event<'_>) {
        self.arrived(origin);
        let verdict = self.event("", origin, event, Before::Nothing);
        let kafka_time = origin.kafka_time.unwrap_or(origin.publish_time);
        let bounded = Clocks::of(verdict.time, Some(kafka_time), origin.publish_time);
        let clocks = if verdict.readable { bounded } else { Clocks::NONE };
        *self.unpositioned = Some(self.unpositioned.unwrap_or(Clocks::NONE).max(clocks));
        if let Some(refusal) = verdict.refusal {
            self.refused(Arc::from(""), -1, origin.publish_time.0.unsigned_abs(), refusal);
        }
    }

    /// Counts a message that arrived for the first time.
    fn arrived(&mut self, origin: &Origin) {
        self.counters.events += 1;
        *self.published = (*self.published).max(origin.publish_time);
    }

    #[inline]
    fn event(&mut self, topic: &str, origin: &Origin, event: Event<'_>, before: Before<'_>) -> Verdict {
        self.caught_up.first_seen(origin.publish_time, self.now);
        let envelope = origin.envelope(topic);
        match event {
            Event::Unread(payload) => self.engine.event(payload, &envelope, before),
            Event::Read(digest) => self.engine.count(digest, &envelope, before),
            Event::Refused(refusal) => self.engine.refuse(refusal, before),
        }
    }

    #[cold]
    fn refused(&mut self, topic: Arc<str>, partition: i32, offset: u64, refusal: Refusal) {
        self.dead_letters.push(DeadLetterRow {
            topic,
            partition,
            offset,
            stage: Arc::from("processor"),
            reason: refusal.reason.to_owned(),
            pointer: refusal.pointer,
            seen_at: self.now,
        });
    }
}
