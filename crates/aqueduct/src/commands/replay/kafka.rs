//! A range of the Kafka topics, read in parallel by event time, without commits.
//!
//! See [`crate::topic`] for the records of one topic.

use std::sync::Arc;

use connector::{anonymise::Raw, message::Origin};
use event::{EventTime, Incarnation, Partition};
use rdkafka::message::{Headers, Message as _, OwnedMessage};
use tokio_util::sync::CancellationToken;

use super::{
    plan::Span,
    session::{At, Session},
};
use crate::{
    progress,
    topic::{Log, Stretch, Taken},
};

/// The topics that are to be read.
pub(super) struct Logs {
    logs: Vec<Log>,
    /// The log and the origin of each partition, by index.
    places: Vec<(usize, Origin)>,
}

/// Number of records between two checks of the progress bar and the token.
const GLANCE: u64 = 1024;

impl Logs {
    /// Finds the stretch in every partition.
    ///
    /// # Errors
    /// Kafka does not answer, or a topic does not exist.
    pub(super) fn open(span: &Span) -> anyhow::Result<Self> {
        let stretch = Stretch::Times { from: span.from, to: span.to };
        let mut logs = Vec::new();
        let mut places = Vec::new();
        for topic in &span.kafka.topics {
            let log = Log::open(&span.kafka, topic, stretch)?;
            for partition in 0..log.partitions() {
                let incarnation = Incarnation::from(connector::start::NO_TOPIC_ID);
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
                Taken::Stopped => break,
                Taken::End => session.end_partition(number)?,
                Taken::Record(message) => record(session, number, origin, &message)?,
            }
        }
        bar.finish_and_clear();
        Ok(())
    }
}

fn record(
    session: &mut Session,
    number: usize,
    origin: &Origin,
    message: &OwnedMessage,
) -> anyhow::Result<()> {
    let headers: Vec<(&str, &[u8])> = if session.wants_headers() {
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        headers.filter_map(|header| Some((header.key, header.value?))).collect()
    } else {
        Vec::new()
    };
    let value = message.payload();
    let raw = Raw { topic: &origin.partition().topic, value, key: message.key(), headers: &headers };
    // A missing or non-positive timestamp counts as absent.
    let time = message.timestamp().to_millis().filter(|millis| *millis > 0).map(EventTime);
    session.record(number, &raw, At::Offset(origin, message.offset().unsigned_abs(), time))
}
