//! A range of the Kafka topics, read in parallel by event time, without commits.
//!
//! See [`kafka::Log`] for the records of one topic.

use std::sync::Arc;

use connector::{anonymise::Raw, message::Origin};
use event::{Incarnation, Partition};
use kafka::{Log, LogRange, OwnedRecord, Polled};
use tokio_util::sync::CancellationToken;

use super::{
    plan::Span,
    session::{At, Session},
};
use crate::progress;

/// The topics that are to be read.
pub(super) struct Logs {
    logs: Vec<Log>,
    /// The log and the origin of each partition, by index.
    places: Vec<(usize, Origin)>,
}

/// Number of records between two checks of the progress bar and the token.
const GLANCE: u64 = 1024;

impl Logs {
    /// Finds the range in every partition.
    ///
    /// # Errors
    /// Kafka does not answer, or a topic does not exist.
    pub(super) fn open(span: &Span) -> anyhow::Result<Self> {
        let range = LogRange::Times { from: span.from, to: span.to };
        let mut logs = Vec::new();
        let mut places = Vec::new();
        for topic in &span.kafka.topics {
            let log = Log::open(&span.kafka, topic, range)?;
            for partition in 0..log.partitions() {
                let incarnation = Incarnation::from(kafka::start::NO_TOPIC_ID);
                let partition = Partition { topic: Arc::clone(topic), incarnation, partition };
                places.push((logs.len(), Origin::new(partition)));
            }
            logs.push(log);
        }
        Ok(Self { logs, places })
    }

    pub(super) fn partitions(&self) -> usize {
        self.places.len()
    }

    /// Reads to the end of the range, or until stopped.
    pub(super) fn read(mut self, session: &mut Session, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let bar = progress::counting(self.logs.iter().map(Log::offsets_wanted).sum(), "offsets");
        let mut records = 0u64;
        while let Some(number) = session.next_partition() {
            records += 1;
            if records.is_multiple_of(GLANCE) {
                bar.set_position(self.logs.iter().map(Log::offsets_received).sum());
            }
            let (log, origin) = &self.places[number];
            match self.logs[*log].take(origin.partition().partition, shutdown)? {
                Polled::Stopped => break,
                Polled::End => session.end_partition(number)?,
                Polled::Record(owned) => record(session, number, origin, &owned)?,
            }
        }
        bar.finish_and_clear();
        Ok(())
    }
}

fn record(session: &mut Session, number: usize, origin: &Origin, owned: &OwnedRecord) -> anyhow::Result<()> {
    let record = owned.record();
    let headers: Vec<(&str, &[u8])> =
        if session.wants_headers() { record.headers().collect() } else { Vec::new() };
    let raw =
        Raw { topic: &origin.partition().topic, value: record.value, key: record.key, headers: &headers };
    session.record(number, &raw, At::Offset(origin, record.offset, record.timestamp))
}
