//! All flows over one stream of events: reading, deduplication by event ID, joins, windows and the ledger.
//!
//! Live processing and replay share this engine, so they count alike. It is pure: watermarks ([`crate::frontier`], or
//! the order of a file) and the current time are arguments.

mod flow_state;

use std::ops::Range;

use event::{EventTime, Millis, events::EventsSettings, ledger::Outcome};
use flow::{
    Flow, TimeKind,
    row::{ProgressRow, Row},
};

use crate::{
    digest::{Digest, Digests, Refusal},
    frontier::Clocks,
    ids::{Ids, Taken},
    joins::Joins,
    read::{Envelope, Reader},
    rejected::{FlowSet, Refused},
};

pub use flow_state::FlowState;
use flow_state::time_of;

/// All flows with their state.
#[derive(Debug)]
pub struct Engine {
    reader: Reader,
    /// Scratch memory of [`Self::event`].
    digests: Digests,
    /// Scratch memory of [`Self::advance_each`].
    rows: Vec<Row>,
    pub(crate) flows: Vec<FlowState>,
    /// The event IDs, for each kind of time that a flow uses.
    pub(crate) ids: Vec<(TimeKind, Ids)>,
}

/// The clocks of the three kinds of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// Event time and Kafka time.
    pub clocks: Clocks,
    /// Processing time: Pub/Sub's publish time.
    pub processing: EventTime,
}

/// The effect of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The event time, which advances the clocks; `None` if it cannot be read.
    pub time: Option<EventTime>,
    /// Whether at least one flow could read the event.
    pub readable: bool,
    /// The first reason for which a flow refused it.
    pub refusal: Option<Refusal>,
    /// The flows that refused it.
    pub refused: FlowSet,
    /// Whether a flow took it, so that its ID is known from now on.
    pub is_taken: bool,
}

/// What the ledgers say of an event's offset before the event is counted.
#[derive(Clone, Copy, Debug)]
pub enum Before<'a> {
    /// Nothing: the offset is new.
    Nothing,
    /// It has this outcome in all flows.
    All(Outcome),
    /// It was rejected, and is redriven. Flows that did not reject it have counted it.
    Rejected(&'a Refused),
}

/// The output of the flows, each with the flow's index.
#[derive(Debug, Default)]
pub struct Output {
    /// Panes.
    pub rows: Vec<(usize, Vec<Row>)>,
    /// Rows of progress.
    pub progress: Vec<(usize, ProgressRow)>,
}

/// The interval between two rows of progress.
const PROGRESS_EVERY: Millis = Millis(60_000);

impl Engine {
    /// Creates an engine with an empty state.
    pub fn new(events: &EventsSettings, flows: Vec<Flow>) -> Self {
        let reader = Reader::new(events, &flows);
        let kinds = [TimeKind::Event, TimeKind::Kafka, TimeKind::Processing].into_iter();
        let ids = kinds.filter_map(|kind| {
            let open = flows.iter().filter(|flow| flow.time == kind).map(|flow| flow.open().0).max()?;
            Some((kind, Ids::new(events.id_within, Millis(open))))
        });
        let ids = ids.collect();
        let flows = flows.into_iter().map(FlowState::new).collect();
        Self { reader, digests: Digests::default(), rows: Vec::new(), flows, ids }
    }

    /// Reads and counts one event.
    pub fn event(&mut self, payload: &[u8], envelope: &Envelope<'_>, before: Before<'_>) -> Verdict {
        let mut digests = std::mem::take(&mut self.digests);
        digests.clear();
        let verdict = match self.reader.read(payload, envelope, &mut digests) {
            Ok(()) => {
                let digest = digests.get(0).expect("a digest for each event");
                self.count(digest, envelope, before)
            }
            Err(refusal) => self.refuse(refusal, before),
        };
        self.digests = digests;
        verdict
    }

    /// Counts one event that a [`Reader`] of these flows has read.
    pub fn count(&mut self, digest: Digest<'_>, envelope: &Envelope<'_>, before: Before<'_>) -> Verdict {
        let time = digest.head.time.as_ref().ok().copied();
        let (id, unidentified) = match digest.id() {
            Some(Ok(id)) => (Some(*id), None),
            Some(Err(refusal)) => (None, Some(refusal)),
            None => (None, None),
        };
        // A duplicate is a duplicate in every flow, whichever flow took the first copy.
        let event = time.or(envelope.kafka_time).unwrap_or(envelope.publish_time);
        // If a flow took the record when it first arrived, the ID is its own, and every later copy was a duplicate.
        let is_its_own = matches!(before, Before::Rejected(refused) if refused.is_taken);
        let is_copy =
            !is_its_own && id.is_some_and(|id| self.ids.iter().any(|(_, ids)| ids.holds(id, event)));
        // Only a defect of the event itself is a reason in every flow.
        let mut refusal = unidentified.map(|refusal| (**refusal).clone());
        let (mut is_taken, mut refused) = (false, FlowSet::default());
        for (number, flow) in self.flows.iter_mut().enumerate() {
            let Some(instead_of) = before.of(number) else { continue };
            let outcome = match unidentified {
                Some(_) => Ok(Outcome::Rejected),
                None if is_copy => Ok(Outcome::Duplicate),
                None => flow.event(digest, digest.part(number), envelope),
            };
            match outcome {
                Ok(outcome) => {
                    is_taken |= matches!(outcome, Outcome::Counted | Outcome::Pending);
                    if outcome == Outcome::Rejected {
                        refused.insert(number);
                    }
                    flow.account(outcome, instead_of);
                }
                Err(why) => {
                    refused.insert(number);
                    flow.account(Outcome::Rejected, instead_of);
                    refusal.get_or_insert(why);
                }
            }
        }
        // The ID of an event that no flow took stays free, so that a corrected copy from the producer counts.
        if let Some(id) = id.filter(|_| is_taken && !is_its_own) {
            for (kind, ids) in &mut self.ids {
                let clock = match kind {
                    TimeKind::Event => time,
                    TimeKind::Kafka => envelope.kafka_time,
                    TimeKind::Processing => Some(envelope.publish_time),
                };
                if let Some(clock) = clock {
                    ids.take(id, Taken { event, clock });
                }
            }
        }
        Verdict { time, readable: true, refusal, refused, is_taken }
    }

    /// Reads what counting these events is going to look up. Their look-ups wait for memory at the same time here, and
    /// find everything in a cache when the events are counted one after the other.
    pub fn touch(&self, digests: &Digests, events: Range<usize>) {
        let digests = || events.clone().map_while(|number| digests.get(number));
        for (_, ids) in &self.ids {
            let of_events = digests().filter_map(|digest| digest.id()?.as_ref().ok().copied());
            ids.touch(of_events);
        }
        for (number, flow) in self.flows.iter().enumerate() {
            let parts = digests().map(|digest| (digest, digest.part(number)));
            flow.windows
                .touch(parts.filter(|(_, part)| part.feeds != 0).map(|(digest, part)| digest.key(part)));
            let Some(joins) = &flow.joins else { continue };
            let values = digests().map(|digest| digest.join(digest.part(number)));
            joins.touch(values.flat_map(|on| [on.view, on.click]).flatten());
        }
    }

    /// Accounts for one event that no flow could read.
    pub fn refuse(&mut self, refusal: Refusal, before: Before<'_>) -> Verdict {
        let mut refused = FlowSet::default();
        for (number, flow) in self.flows.iter_mut().enumerate() {
            let Some(instead_of) = before.of(number) else { continue };
            refused.insert(number);
            flow.account(Outcome::Rejected, instead_of);
        }
        Verdict { time: None, readable: false, refusal: Some(refusal), refused, is_taken: false }
    }

    /// Why all of these flows would refuse an event; `None` if one of them would not. Counts nothing.
    pub fn refusal(&mut self, payload: &[u8], envelope: &Envelope<'_>, of: &FlowSet) -> Option<Refusal> {
        let mut digests = Digests::default();
        if let Err(refusal) = self.reader.read(payload, envelope, &mut digests) {
            return Some(refusal);
        }
        let digest = digests.get(0).expect("a digest for each event");
        if let Some(Err(refusal)) = digest.id() {
            return Some((**refusal).clone());
        }
        let mut first = None;
        for (number, state) in self.flows.iter().enumerate().filter(|(number, _)| of.contains(*number)) {
            let timed = time_of(state.flow.time, digest, envelope);
            let refusal = timed.err().or_else(|| digest.part(number).refusal.as_deref().cloned())?;
            first.get_or_insert(refusal);
        }
        first
    }

    /// A reader for these flows that may run in another thread.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Stops recording changes for checkpoints, in a run that writes none.
    pub fn never_saved(&mut self) {
        self.ids.iter_mut().for_each(|(_, ids)| ids.never_saved());
        for flow in &mut self.flows {
            flow.windows.never_saved();
            flow.joins.iter_mut().for_each(Joins::never_saved);
        }
    }

    /// Accounts for offsets without an event.
    pub fn account(&mut self, outcome: Outcome, offsets: u64) {
        for flow in &mut self.flows {
            flow.ledger.add(outcome, offsets);
        }
    }

    /// Advances every flow to its watermark and fires the panes that are due.
    pub fn advance(&mut self, watermarks: &Watermarks, now: EventTime, output: &mut Output) {
        let mut fired = Vec::new();
        self.advance_each(watermarks, now, &mut |number, rows| {
            match fired.last_mut() {
                Some((last, all)) if *last == number => Vec::append(all, rows),
                _ => fired.push((number, std::mem::take(rows))),
            };
        });
        output.rows.append(&mut fired);
        for (number, flow) in self.flows.iter_mut().enumerate() {
            if watermarks.of(&flow.flow) > EventTime::MIN && now >= flow.last_progress + PROGRESS_EVERY {
                output.progress.push((number, flow.progress(now)));
            }
        }
    }

    /// As [`Self::advance`], without rows of progress. Calls `fired` with a flow's index and rows of one window, all or a
    /// part of them, which `fired` may take out; the list is cleared afterwards.
    pub fn advance_each(
        &mut self,
        watermarks: &Watermarks,
        now: EventTime,
        fired: &mut dyn FnMut(usize, &mut Vec<Row>),
    ) {
        let mut rows = std::mem::take(&mut self.rows);
        for (number, flow) in self.flows.iter_mut().enumerate() {
            flow.advance(watermarks.of(&flow.flow), now, &mut rows, &mut |rows| {
                if !rows.is_empty() {
                    fired(number, rows);
                    rows.clear();
                }
            });
        }
        self.rows = rows;
        for (kind, ids) in &mut self.ids {
            let flows = self.flows.iter().filter(|flow| flow.flow.time == *kind);
            if let Some(slowest) = flows.map(|flow| flow.windows.watermark()).min() {
                ids.advance(slowest);
            }
        }
    }

    /// A row of progress for every flow that has none for this time yet. The time identifies a row.
    pub fn progress(&mut self, now: EventTime) -> Vec<(usize, ProgressRow)> {
        let flows = self.flows.iter_mut().enumerate().filter(|(_, flow)| flow.last_progress < now);
        flows.map(|(number, flow)| (number, flow.progress(now))).collect()
    }

    /// Fires the LATE panes that are due, and EARLY ones.
    pub fn fire_changed(&mut self, now: EventTime, output: &mut Output) {
        for (number, flow) in self.flows.iter_mut().enumerate() {
            let mut rows = Vec::new();
            flow.windows.fire_late(now, &mut rows);
            if let Some(every) = flow.flow.early
                && now >= flow.last_early + every
            {
                flow.last_early = now;
                flow.windows.fire_early(now, &mut rows);
            }
            if !rows.is_empty() {
                output.rows.push((number, rows));
            }
        }
    }

    /// The flows with their state.
    pub fn flows(&self) -> &[FlowState] {
        &self.flows
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> u64 {
        let joins: u64 = self.flows.iter().filter_map(|f| f.joins.as_ref()).map(Joins::bytes).sum();
        let ids: u64 = self.ids.iter().map(|(_, ids)| ids.bytes()).sum();
        ids + joins + self.flows.iter().map(|f| f.windows.bytes()).sum::<u64>()
    }
}

impl Before<'_> {
    /// Whether a flow counts the event; if so, the outcome that it has in the flow's ledger, if it has one.
    fn of(self, flow: usize) -> Option<Option<Outcome>> {
        match self {
            Self::Nothing => Some(None),
            Self::All(outcome) => Some(Some(outcome)),
            Self::Rejected(refused) => refused.flows.contains(flow).then_some(Some(Outcome::Rejected)),
        }
    }
}

impl Watermarks {
    /// The watermark of a flow: the clock of its kind of time minus its out-of-orderness.
    pub fn of(&self, flow: &Flow) -> EventTime {
        let clock = match flow.time {
            TimeKind::Event => self.clocks.event,
            TimeKind::Kafka => self.clocks.kafka,
            TimeKind::Processing => self.processing,
        };
        clock - flow.out_of_orderness
    }
}
