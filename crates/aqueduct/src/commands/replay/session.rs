//! The common part of files and Kafka: records in, rows out.

use std::{sync::Arc, time::Instant};

use codec::Schema;
use connector::{
    anonymise::{Anonymised, Anonymiser, Raw, RejectCode},
    decode::Decoder,
    message::Message,
};
use event::{EventTime, EventsSettings, Millis};
use flow::row::Row;
use processor::{
    digest::{Digest, Digests, Refusal},
    engine::Verdict,
    replay::{Record, Replay},
};
use pubsub::Encoder;

use super::{
    batch::{Content, ReadLine, Worker},
    finals::Finals,
    plan::Rules,
    rows::RowSink,
    tally::Tally,
};

pub(super) use super::tally::At;

/// A running replay.
pub(super) struct Session {
    events: EventsSettings,
    replay: Replay,
    /// For lines of files.
    decoder: Decoder,
    anonymiser: Option<Anonymiser>,
    encoder: Encoder,
    /// One per flow, with --final.
    finals: Option<Vec<Finals>>,
    rows: RowSink,
    tally: Tally,
    began: Instant,
    now: EventTime,
}

impl Session {
    pub(super) fn new(rules: Rules, partitions: usize, rows: RowSink) -> Self {
        let now = EventTime(jiff::Timestamp::now().as_millisecond());
        let tally = Tally::new(rules.flows.len(), partitions);
        let finals = rules.only_final.then(|| rules.flows.iter().map(Finals::new).collect());
        let replay = Replay::new(&rules.events, rules.flows, partitions, now);
        Self {
            events: rules.events,
            replay,
            decoder: rules.line_decoder,
            anonymiser: rules.anonymiser,
            encoder: Encoder::default(),
            finals,
            rows,
            tally,
            began: Instant::now(),
            now,
        }
    }

    /// Reads lines as this replay needs them.
    pub(super) fn worker(&self) -> Worker {
        Worker {
            decoder: self.decoder.clone(),
            anonymiser: self.anonymiser.clone(),
            reader: self.replay.reader(),
            now: self.now,
        }
    }

    /// The partition to read from next; `None` once all have ended.
    pub(super) fn next_partition(&self) -> Option<usize> {
        self.replay.next_partition()
    }

    /// The forwarded headers; others need not be collected.
    pub(super) fn wants_headers(&self) -> bool {
        self.anonymiser.as_ref().is_some_and(|anonymiser| !anonymiser.headers().is_empty())
    }

    /// Counts a record.
    pub(super) fn record(
        &mut self,
        partition: usize,
        raw: &Raw<'_>,
        schema: Option<&Arc<dyn Schema>>,
        at: At<'_>,
    ) -> anyhow::Result<()> {
        let anonymised;
        let payload = match (&mut self.anonymiser, raw.value) {
            (Some(anonymiser), _) => match published((anonymiser, &mut self.encoder), raw, schema, at) {
                Ok(Some(event)) => {
                    anonymised = event;
                    anonymised.data()
                }
                Ok(None) => {
                    self.filtered();
                    return Ok(());
                }
                Err((reason, pointer)) => {
                    self.reject(reason, pointer.as_deref(), at);
                    return Ok(());
                }
            },
            (None, Some(value)) => value,
            (None, None) => {
                self.reject(RejectCode::Tombstone.as_str(), None, at);
                return Ok(());
            }
        };
        let record = Record { partition, topic: raw.topic, kafka_time: at.kafka_time(), payload };
        let verdict = self.replay.event(&record);
        self.counted(verdict, at)
    }

    /// See [`Replay::prepare`].
    pub(super) fn prepare(&self, digests: &Digests, next: usize) {
        self.replay.prepare(digests, next);
    }

    /// Counts a line that was read; returns whether it used the event, which is the next one of its batch.
    pub(super) fn line(
        &mut self,
        partition: usize,
        line: &ReadLine,
        next: Option<Digest<'_>>,
        at: At<'_>,
    ) -> anyhow::Result<bool> {
        match &line.content {
            Content::Event => {
                let digest = next.expect("a worker returns a digest for each event");
                let verdict = self.replay.count(partition, None, digest);
                self.counted(verdict, at)?;
                return Ok(true);
            }
            Content::Filtered => self.filtered(),
            Content::Rejected(rejected) => self.reject(rejected.reason, rejected.pointer.as_deref(), at),
            Content::Refused(refusal) => {
                let verdict = self.replay.refuse((**refusal).clone());
                self.counted(verdict, at)?;
            }
        }
        Ok(false)
    }

    /// Accounts for an event that is far ahead of its neighbours in its file.
    pub(super) fn future(&mut self, topic: &str, at: At<'_>) -> anyhow::Result<()> {
        self.tally.out_of_line();
        let pointer = Some(self.events.time_for(topic).as_str().to_owned());
        let verdict = self.replay.refuse(Refusal { reason: "future", pointer });
        self.counted(verdict, at)
    }

    /// The most frequent reason, if there were records and each was rejected.
    pub(super) fn all_rejected(&self) -> Option<String> {
        self.tally.all_rejected(self.replay.engine().flows())
    }

    fn counted(&mut self, verdict: Verdict, at: At<'_>) -> anyhow::Result<()> {
        self.tally.record();
        self.tally.time(verdict.time);
        if let Some(refusal) = verdict.refusal {
            self.tally.reject(refusal.reason, refusal.pointer.as_deref(), at);
        }
        self.tally.look_for_late(self.replay.engine().flows(), at);
        self.pass_rows()
    }

    /// Accounts for a record that no flow sees.
    pub(super) fn reject(&mut self, reason: &'static str, pointer: Option<&str>, at: At<'_>) {
        self.tally.record();
        self.tally.reject(reason, pointer, at);
        self.replay.rejected();
    }

    /// Accounts for a record that the filter excludes.
    fn filtered(&mut self) {
        self.tally.record();
        self.replay.filtered();
    }

    /// A partition has no more records.
    pub(super) fn end_partition(&mut self, partition: usize) -> anyhow::Result<()> {
        self.replay.end(partition);
        self.pass_rows()
    }

    fn pass_rows(&mut self) -> anyhow::Result<()> {
        let mut written = Ok(());
        self.replay.advance(&mut |flow, fired| {
            let all = match &mut self.finals {
                None => self.rows.write(flow, fired),
                Some(finals) => {
                    // The window that fires now may have more rows in the next call, and windows fire in the order of
                    // their ends.
                    let before = |row: &Row| row.watermark.min(row.window.end - Millis(1));
                    let until = fired.last().map_or(EventTime::MIN, before);
                    finals[flow].add(fired);
                    finals[flow].take_until(until, &mut |window| self.rows.write(flow, window))
                }
            };
            // The first error is returned; later panes of this call are lost with the output.
            if written.is_ok() {
                written = all;
            }
        });
        written
    }

    /// All partitions have ended: the remaining panes are written.
    pub(super) fn end(&mut self) -> anyhow::Result<()> {
        for (flow, finals) in self.finals.iter_mut().flatten().enumerate() {
            if self.replay.next_partition().is_some() {
                break;
            }
            finals.take_until(EventTime::MAX, &mut |window| self.rows.write(flow, window))?;
        }
        Ok(())
    }

    /// Completes the output and reports the totals.
    pub(super) fn finish(mut self, report: &dyn Fn(&str)) -> anyhow::Result<()> {
        let ledgers: Vec<_> = self.replay.engine().flows().iter().map(|flow| flow.ledger).collect();
        let rows = std::mem::replace(&mut self.rows, RowSink::Closed);
        let written = rows.finish(&ledgers)?;
        report(&self.summary(Some(&written)));
        self.tally.check(self.replay.engine().flows())
    }

    /// What was read and, if the output is complete, what was written.
    pub(super) fn summary(&self, written: Option<&str>) -> String {
        self.tally.summary(self.replay.engine().flows(), self.began.elapsed(), written)
    }
}

/// The result of anonymisation; `None` if the filter excludes the record.
fn published(
    (anonymiser, encoder): (&mut Anonymiser, &mut Encoder),
    raw: &Raw<'_>,
    schema: Option<&Arc<dyn Schema>>,
    at: At<'_>,
) -> Result<Option<Anonymised>, (&'static str, Option<Arc<str>>)> {
    let event =
        anonymiser.anonymise_decoded(raw, schema).map_err(|reject| (reject.code.as_str(), reject.pointer))?;
    if let (Some(event), At::Offset(origin, offset, time)) = (&event, at) {
        let time = time.map(|time| time.0);
        Message::new(encoder, event, origin, offset, time).map_err(|reason| (reason, None))?;
    }
    Ok(event)
}
