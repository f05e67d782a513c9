//! The engine over a bounded source: every file is a partition, read side by side by event time, and
//! when all have ended the watermark is at the end of time.
//!
//! Pure. Not here: files, Kafka, tables.

use event::{EventTime, events::EventsSettings};

use crate::{
    engine::{Engine, Output, Verdict, Watermarks},
    flow::Flow,
    frontier::Clocks,
    read::Envelope,
};

/// A run over bounded partitions.
#[derive(Debug)]
pub struct Replay {
    engine: Engine,
    /// Clocks of the partitions; at the end of time where one has ended.
    partitions: Vec<Clocks>,
    least: Clocks,
    now: EventTime,
    output: Output,
}

/// One record of a partition.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Number of the partition, from 0.
    pub partition: usize,
    /// The Kafka topic; empty where a file names none.
    pub topic: &'a str,
    /// The record's timestamp in Kafka; files have none.
    pub kafka_time: Option<EventTime>,
    /// The event, anonymised.
    pub payload: &'a [u8],
}

impl Replay {
    /// A run over that many partitions. `now`: the present, against which future events are judged and which
    /// stands in `emitted_at`.
    pub fn new(events: &EventsSettings, flows: Vec<Flow>, partitions: usize, now: EventTime) -> Self {
        let partitions = vec![Clocks::NONE; partitions];
        let engine = Engine::new(events, flows);
        Self { engine, partitions, least: Clocks::NONE, now, output: Output::default() }
    }

    /// The partition to read from next: the one whose clock is lowest; nothing when all have ended.
    pub fn next_partition(&self) -> Option<usize> {
        let (number, clocks) = self.partitions.iter().enumerate().min_by_key(|(_, clocks)| clocks.event)?;
        (clocks.event != EventTime::MAX).then_some(number)
    }

    /// Counts one record, then moves the watermark as far as it allows.
    pub fn event(&mut self, record: &Record<'_>) -> Verdict {
        let envelope =
            Envelope { topic: record.topic, kafka_time: record.kafka_time, publish_time: self.now };
        let verdict = self.engine.event(record.payload, &envelope, None);
        if verdict.readable {
            let clocks = Clocks::of(verdict.time, record.kafka_time);
            self.partitions[record.partition] = self.partitions[record.partition].max(clocks);
            self.advance();
        }
        verdict
    }

    /// The partition has no more records.
    pub fn end(&mut self, partition: usize) {
        self.partitions[partition] = Clocks::both(EventTime::MAX);
        self.advance();
    }

    fn advance(&mut self) {
        let least =
            self.partitions.iter().fold(Clocks::both(EventTime::MAX), |least, clocks| least.min(*clocks));
        if least == self.least {
            return;
        }
        self.least = least;
        let watermarks = Watermarks { clocks: least, processing: EventTime::MIN };
        self.engine.advance(&watermarks, self.now, &mut self.output);
    }

    /// Accounts for records that the anonymiser refused.
    pub fn rejected(&mut self, records: u64) {
        self.engine.account(event::ledger::Outcome::Rejected, records);
    }

    /// The panes that have fired since the last call, by the flow's number.
    pub fn take_output(&mut self) -> Output {
        std::mem::take(&mut self.output)
    }

    /// Whether panes wait to be taken.
    pub fn has_rows(&self) -> bool {
        !self.output.rows.is_empty()
    }

    /// The flows, their ledgers and watermarks.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}

#[cfg(test)]
mod tests;
