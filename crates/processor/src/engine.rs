//! All flows over one stream of events: reading, de-duplication by event id, joins, windows and the ledger.
//!
//! The same engine runs behind Pub/Sub and over files. Pure: watermarks and the time are arguments.
//! Not here: where watermarks come from ([`crate::frontier`], or a file's own order).

use std::sync::Arc;

use event::{
    CtrRow, EventTime, Ledger, Millis,
    events::EventsSettings,
    ledger::Outcome,
    row::{Key, ProgressRow},
};

use crate::{
    flow::{Flow, TimeKind},
    frontier::Clocks,
    ids::Ids,
    joins::{Effects, Joins},
    read::{Envelope, Reader, Reading, Refusal, Role},
    windows::{Fate, WindowSet, slices::Change},
};

/// All flows with their state.
#[derive(Debug)]
pub struct Engine {
    reader: Reader,
    pub(crate) flows: Vec<FlowState>,
    pub(crate) ids: Ids,
}

/// One flow with its state.
#[derive(Debug)]
pub struct FlowState {
    /// What it counts.
    pub flow: Flow,
    /// Where it counts.
    pub windows: WindowSet,
    /// Clicks that wait for views, and views that wait for clicks.
    pub joins: Option<Joins>,
    /// What became of every offset.
    pub ledger: Ledger,
    /// Offsets that were accounted for before the flow was added.
    pub before: u64,
    last_early: EventTime,
    last_progress: EventTime,
}

/// How far the three kinds of time are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// Event and Kafka time.
    pub clocks: Clocks,
    /// Pub/Sub's time.
    pub processing: EventTime,
}

/// What an event did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The event's own time, where it can be read: what moves the clocks.
    pub time: Option<EventTime>,
    /// Whether any flow could read it.
    pub readable: bool,
    /// The first reason for which a flow refused it.
    pub refusal: Option<Refusal>,
}

/// What the flows have to say, by the flow's number.
#[derive(Debug, Default)]
pub struct Output {
    /// Panes.
    pub rows: Vec<(usize, Vec<CtrRow>)>,
    /// Lines of progress.
    pub progress: Vec<(usize, ProgressRow)>,
}

/// A line of progress is written that often.
const PROGRESS_EVERY: Millis = Millis(60_000);

impl Engine {
    /// An engine without state.
    pub fn new(events: &EventsSettings, flows: Vec<Flow>) -> Self {
        let open = flows.iter().map(|f| f.windows.size().0 + f.allowed_lateness.0).max().unwrap_or(0);
        let reader = Reader::new(events, &flows);
        let flows = flows.into_iter().map(FlowState::new).collect();
        Self { reader, flows, ids: Ids::new(events.id_within, Millis(open)) }
    }

    /// Counts one event. `instead_of`: the outcome under which its offset stood in the ledger so far.
    pub fn event(&mut self, payload: &[u8], envelope: &Envelope<'_>, instead_of: Option<Outcome>) -> Verdict {
        let reading = match self.reader.read(payload, envelope) {
            Ok(reading) => reading,
            Err(refusal) => {
                for flow in &mut self.flows {
                    flow.account(Outcome::Rejected, instead_of);
                }
                return Verdict { time: None, readable: false, refusal: Some(refusal) };
            }
        };
        let time = reading.time.as_ref().ok().copied();
        let (duplicate, unidentified) = match (self.reader.id(&reading), time) {
            (Ok(Some(id)), Some(time)) => (self.ids.is_duplicate(id, time), None),
            (Ok(_), _) => (false, None),
            (Err(refusal), _) => (false, Some(refusal)),
        };
        // Only what is wrong with the event itself concerns every flow.
        let mut refusal = unidentified.clone();
        for (number, flow) in self.flows.iter_mut().enumerate() {
            let outcome = match &unidentified {
                Some(_) => Ok(Outcome::Rejected),
                None if duplicate => Ok(Outcome::Duplicate),
                None => flow.event(number, &self.reader, &reading, envelope),
            };
            match outcome {
                Ok(outcome) => flow.account(outcome, instead_of),
                Err(refused) => {
                    flow.account(Outcome::Rejected, instead_of);
                    refusal.get_or_insert(refused);
                }
            }
        }
        Verdict { time, readable: true, refusal }
    }

    /// Accounts for offsets without an event.
    pub fn account(&mut self, outcome: Outcome, offsets: u64) {
        for flow in &mut self.flows {
            flow.ledger.add(outcome, offsets);
        }
    }

    /// Moves every flow to its watermark and lets fire what is due.
    pub fn advance(&mut self, watermarks: &Watermarks, now: EventTime, output: &mut Output) {
        let mut slowest = EventTime::MAX;
        for (number, flow) in self.flows.iter_mut().enumerate() {
            let watermark = watermarks.of(&flow.flow);
            let mut rows = Vec::new();
            flow.advance(watermark, now, &mut rows);
            if !rows.is_empty() {
                output.rows.push((number, rows));
            }
            if watermark > EventTime::MIN && now >= flow.last_progress + PROGRESS_EVERY {
                output.progress.push((number, flow.progress(now)));
            }
            if flow.flow.time == TimeKind::Event {
                slowest = slowest.min(flow.windows.watermark());
            }
        }
        if slowest == EventTime::MAX {
            slowest = watermarks.clocks.event;
        }
        self.ids.forget_before(slowest);
    }

    /// A line of progress of every flow that had none at this time: a line is known by its time.
    pub fn progress(&mut self, now: EventTime) -> Vec<(usize, ProgressRow)> {
        let flows = self.flows.iter_mut().enumerate().filter(|(_, flow)| flow.last_progress < now);
        flows.map(|(number, flow)| (number, flow.progress(now))).collect()
    }

    /// Lets LATE panes fire that are due, and EARLY ones.
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
        self.ids.bytes() + joins + self.flows.iter().map(|f| f.windows.bytes()).sum::<u64>()
    }
}

impl FlowState {
    fn new(flow: Flow) -> Self {
        let windows = WindowSet::new(flow.windows, flow.allowed_lateness, flow.early.is_some());
        let joins = flow.join.as_ref().map(|join| Joins::new(join.within, flow.allowed_lateness));
        Self {
            flow,
            windows,
            joins,
            ledger: Ledger::default(),
            before: 0,
            last_early: EventTime::MIN,
            last_progress: EventTime::MIN,
        }
    }

    fn account(&mut self, outcome: Outcome, instead_of: Option<Outcome>) {
        match instead_of {
            Some(before) => self.ledger.shift(before, outcome, 1),
            None => self.ledger.add(outcome, 1),
        }
    }

    fn event(
        &mut self,
        number: usize,
        reader: &Reader,
        reading: &Reading<'_>,
        envelope: &Envelope<'_>,
    ) -> Result<Outcome, Refusal> {
        // An event whose own time cannot be read is refused even where it counts as nothing.
        let mut time = reader.flow_time(number, reading, envelope)?;
        let role = reader.role(number, reading, envelope.topic);
        if !role.view && !role.click {
            return Ok(Outcome::Ignored);
        }
        if self.flow.time == TimeKind::Processing {
            time = time.max(self.windows.watermark());
        }
        let mut key = Vec::with_capacity(self.flow.by.len());
        if self.joins.is_none() {
            reader.key(number, reading, &mut key)?;
            return Ok(outcome(self.windows.count(&key, time, Change::of(role.view, role.click))));
        }
        self.joined(reader, (number, reading), role, time)
    }

    /// An event of a flow with a join: a view is counted by its own columns, a click by those of its view.
    fn joined(
        &mut self,
        reader: &Reader,
        (number, reading): (usize, &Reading<'_>),
        role: Role,
        time: EventTime,
    ) -> Result<Outcome, Refusal> {
        let Some(joins) = &mut self.joins else { return Ok(Outcome::Ignored) };
        let mut effects = Vec::new();
        let mut ended = Outcome::Unmatched;
        if role.view {
            let mut values = Vec::with_capacity(self.flow.by.len());
            reader.key(number, reading, &mut values)?;
            ended = outcome(self.windows.count(&values, time, Change::of(true, false)));
            if let Some(on) = reader.join_value(number, reading, true) {
                let key: Key = values.iter().map(|value| value.map(Box::from)).collect();
                effects.push(joins.view(on, time, key));
            }
        }
        if role.click {
            match self.windows.fate(time) {
                Fate::Counted => {
                    if let Some(on) = reader.join_value(number, reading, false) {
                        ended = if role.view { ended } else { Outcome::Pending };
                        effects.push(joins.click(on, time, !role.view));
                    }
                }
                fate if !role.view => ended = outcome(fate),
                _ => {}
            }
        }
        // The click's offset enters the ledger as pending first: the caller adds it after this returns.
        let own = u64::from(ended == Outcome::Pending && effects.iter().any(|e| e.matched > 0) && role.click);
        let matched: u64 = effects.iter().map(|e| e.matched).sum();
        self.apply(effects);
        self.ledger.shift(Outcome::Pending, Outcome::Counted, matched - own);
        Ok(if own == 1 { Outcome::Counted } else { ended })
    }

    fn apply(&mut self, effects: Vec<Effects>) {
        for (key, time, change) in effects.into_iter().flat_map(|e| e.counts) {
            let values: Vec<Option<&str>> = key.iter().map(Option::as_deref).collect();
            self.windows.count(&values, time, change);
        }
    }

    fn advance(&mut self, watermark: EventTime, now: EventTime, rows: &mut Vec<CtrRow>) {
        self.windows.advance(watermark, now, rows);
        if let Some(joins) = &mut self.joins {
            let unmatched = joins.expire(self.windows.watermark());
            self.ledger.shift(Outcome::Pending, Outcome::Unmatched, unmatched);
        }
    }

    fn progress(&mut self, now: EventTime) -> ProgressRow {
        self.last_progress = now;
        ProgressRow { at: now, watermark: self.windows.watermark(), ledger: self.ledger }
    }

    /// The flow's name.
    pub fn name(&self) -> &Arc<str> {
        &self.flow.name
    }
}

impl Watermarks {
    /// The watermark of a flow: the clock of its kind of time, less its out-of-orderness.
    pub fn of(&self, flow: &Flow) -> EventTime {
        let clock = match flow.time {
            TimeKind::Event => self.clocks.event,
            TimeKind::Kafka => self.clocks.kafka,
            TimeKind::Processing => self.processing,
        };
        clock - flow.out_of_orderness
    }
}

fn outcome(fate: Fate) -> Outcome {
    match fate {
        Fate::Counted => Outcome::Counted,
        Fate::Late => Outcome::Late,
        Fate::Between => Outcome::Ignored,
    }
}
