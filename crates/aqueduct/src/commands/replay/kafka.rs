//! A range of the Kafka topics, read in parallel by event time, without commits.
//!
//! See [`kafka::Log`] for the records of one topic.

use std::sync::Arc;

use connector::{anonymise::Raw, decode::Event, message::Origin};
use event::{Incarnation, Partition};
use kafka::{Log, LogRange, OwnedRecord, Polled};
use tokio_util::sync::CancellationToken;

use super::{
    plan::Span,
    session::{At, Session},
};
use crate::{decoding::Decoding, progress};

/// The topics that are to be read.
pub(super) struct Logs {
    logs: Vec<Log>,
    /// The log and the origin of each partition, by index.
    places: Vec<(usize, Origin)>,
    decoding: Decoding,
}

/// Number of records between two checks of the progress bar and the token.
const GLANCE: u64 = 1024;

impl Logs {
    /// Finds the range in every partition.
    ///
    /// # Errors
    /// Kafka does not answer, or a topic does not exist.
    pub(super) fn open(span: &Span) -> anyhow::Result<Self> {
        let decoding = Decoding::new(&span.formats, span.has_keys)?;
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
        Ok(Self { logs, places, decoding })
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
                Polled::Record(owned) => {
                    if !record(&mut self.decoding, session, (number, origin), &owned, shutdown)? {
                        break;
                    }
                }
            }
        }
        bar.finish_and_clear();
        Ok(())
    }
}

/// Counts a record; returns whether it was not stopped before.
fn record(
    decoding: &mut Decoding,
    session: &mut Session,
    (number, origin): (usize, &Origin),
    owned: &OwnedRecord,
    shutdown: &CancellationToken,
) -> anyhow::Result<bool> {
    let (record, topic) = (owned.record(), &origin.partition().topic);
    let wants_headers = session.wants_headers() || decoding.wants_headers(topic);
    let headers: Vec<(&str, &[u8])> = if wants_headers { record.headers().collect() } else { Vec::new() };
    let bytes = codec::Raw { key: record.key, value: record.value, headers: &headers };
    let at = At::Offset(origin, record.offset, record.timestamp);
    let counted = decoding.decode(topic, &bytes, shutdown, |event| match event {
        Ok(Event { key, value, schema }) => {
            let raw = Raw { topic, value, key: key.as_deref(), headers: &headers };
            session.record(number, &raw, schema, at)
        }
        Err(code) => {
            session.reject(code, None, at);
            Ok(())
        }
    })?;
    counted.map_or(Ok(false), |counted| counted.map(|()| true))
}
