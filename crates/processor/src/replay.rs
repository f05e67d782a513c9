//! The engine over a bounded source. Each file is a partition; partitions are merged by event time, and when all have
//! ended the watermark moves to the end of time.
//!
//! Pure: the caller reads files or Kafka and writes the rows.

use event::{EventTime, events::EventsSettings, ledger::Outcome};

use flow::{Flow, row::Row};

use crate::{
    digest::{Digest, Digests, Refusal},
    engine::{Before, Engine, Verdict, Watermarks},
    frontier::Clocks,
    read::{Envelope, Reader},
    table::TOGETHER,
};

/// A run over bounded partitions.
#[derive(Debug)]
pub struct Replay {
    engine: Engine,
    /// The clocks of the partitions; the end of time for a partition that has ended.
    partitions: Vec<Clocks>,
    least: Clocks,
    now: EventTime,
}

/// One record of a partition.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The partition's index.
    pub partition: usize,
    /// The Kafka topic; empty for a file without one.
    pub topic: &'a str,
    /// The record's Kafka timestamp; `None` for files.
    pub kafka_time: Option<EventTime>,
    /// The anonymised event.
    pub payload: &'a [u8],
}

impl Replay {
    /// Creates a run over this many partitions. `now` is the time against which future events are judged, and the value
    /// of `emitted_at`.
    pub fn new(events: &EventsSettings, flows: Vec<Flow>, partitions: usize, now: EventTime) -> Self {
        let partitions = vec![Clocks::NONE; partitions];
        let mut engine = Engine::new(events, flows);
        engine.never_saved();
        Self { engine, partitions, least: Clocks::NONE, now }
    }

    /// The partition to read next, which has the lowest clock; `None` if all have ended.
    pub fn next_partition(&self) -> Option<usize> {
        let (number, clocks) = self.partitions.iter().enumerate().min_by_key(|(_, clocks)| clocks.event)?;
        (clocks.event != EventTime::MAX).then_some(number)
    }

    /// Counts one record. Call [`Self::advance`] before the next one.
    pub fn event(&mut self, record: &Record<'_>) -> Verdict {
        let envelope = self.envelope(record.topic, record.kafka_time);
        let verdict = self.engine.event(record.payload, &envelope, Before::Nothing);
        self.moved(record.partition, record.kafka_time, &verdict);
        verdict
    }

    /// Counts one record that a [`Self::reader`] has read, as [`Self::event`] does.
    pub fn count(&mut self, partition: usize, kafka_time: Option<EventTime>, digest: Digest<'_>) -> Verdict {
        let verdict = self.engine.count(digest, &self.envelope("", kafka_time), Before::Nothing);
        self.moved(partition, kafka_time, &verdict);
        verdict
    }

    /// Prepares for counting the events of a batch, of which this is the next. Results do not depend on it.
    #[inline]
    pub fn prepare(&self, digests: &Digests, next: usize) {
        if next.is_multiple_of(TOGETHER) {
            self.engine.touch(digests, next..next + TOGETHER);
        }
    }

    /// Accounts for one record that a [`Self::reader`] could not read.
    pub fn refuse(&mut self, refusal: Refusal) -> Verdict {
        self.engine.refuse(refusal, Before::Nothing)
    }

    /// A reader for other threads.
    pub fn reader(&self) -> Reader {
        self.engine.reader()
    }

    /// The attributes of a record for a [`Self::reader`].
    pub fn envelope<'a>(&self, topic: &'a str, kafka_time: Option<EventTime>) -> Envelope<'a> {
        Envelope { topic, kafka_time, publish_time: self.now }
    }

    fn moved(&mut self, partition: usize, kafka_time: Option<EventTime>, verdict: &Verdict) {
        if verdict.readable {
            let clocks = Clocks::of(verdict.time, kafka_time, EventTime::MIN);
            self.partitions[partition] = self.partitions[partition].max(clocks);
        }
    }

    /// Records that a partition has ended.
    pub fn end(&mut self, partition: usize) {
        self.partitions[partition] = Clocks::all(EventTime::MAX);
    }

    /// Advances the watermark as far as the last record or end allows. Calls `fired` with a flow's index and panes of
    /// one window, which may be a part of them.
    pub fn advance(&mut self, fired: &mut dyn FnMut(usize, &mut Vec<Row>)) {
        let least =
            self.partitions.iter().fold(Clocks::all(EventTime::MAX), |least, clocks| least.min(*clocks));
        if least == self.least {
            return;
        }
        self.least = least;
        let watermarks = Watermarks { clocks: least, processing: EventTime::MIN };
        self.engine.advance_each(&watermarks, self.now, fired);
    }

    /// Accounts for a record that the anonymiser rejected.
    pub fn rejected(&mut self) {
        self.engine.account(Outcome::Rejected, 1);
    }

    /// Accounts for a record that the filter excludes.
    pub fn filtered(&mut self) {
        self.engine.account(Outcome::Filtered, 1);
    }

    /// The flows with their ledgers and watermarks.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}

#[cfg(test)]
mod tests;
