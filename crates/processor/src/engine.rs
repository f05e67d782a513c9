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
    digest::{Digest, Digests, HashedKey, JoinValues, Part, Refusal, Role},
    flow::{Flow, TimeKind},
    frontier::Clocks,
    ids::Ids,
    joins::{Effects, Joins},
    read::{Envelope, Reader},
    windows::{Fate, WindowSet, slices::Change},
};

/// All flows with their state.
#[derive(Debug)]
pub struct Engine {
    reader: Reader,
    /// Scratch of [`Self::event`].
    digests: Digests,
    /// Scratch of [`Self::advance_each`].
    rows: Vec<CtrRow>,
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
        let ids = Ids::new(events.id_within, Millis(open));
        Self { reader, digests: Digests::default(), rows: Vec::new(), flows, ids }
    }

    /// Reads one event and counts it. `instead_of`: the outcome under which its offset stood in the ledger so far.
    pub fn event(&mut self, payload: &[u8], envelope: &Envelope<'_>, instead_of: Option<Outcome>) -> Verdict {
        let mut digests = std::mem::take(&mut self.digests);
        digests.clear();
        let verdict = match self.reader.read(payload, envelope, &mut digests) {
            Ok(()) => {
                let digest = digests.get(0).expect("an event that was read stands in the batch");
                self.count(digest, envelope, instead_of)
            }
            Err(refusal) => self.refuse(refusal, instead_of),
        };
        self.digests = digests;
        verdict
    }

    /// Counts one event that a reader of these flows has read.
    pub fn count(
        &mut self,
        digest: Digest<'_>,
        envelope: &Envelope<'_>,
        instead_of: Option<Outcome>,
    ) -> Verdict {
        let time = digest.head.time.as_ref().ok().copied();
        let (duplicate, unidentified) = match (digest.id(), time) {
            (Some(Ok(id)), Some(time)) => (self.ids.is_duplicate(*id, time), None),
            (Some(Err(refusal)), _) => (false, Some(refusal)),
            (None | Some(Ok(_)), _) => (false, None),
        };
        // Only what is wrong with the event itself concerns every flow.
        let mut refusal = unidentified.map(|refusal| (**refusal).clone());
        for (number, flow) in self.flows.iter_mut().enumerate() {
            let outcome = match unidentified {
                Some(_) => Ok(Outcome::Rejected),
                None if duplicate => Ok(Outcome::Duplicate),
                None => flow.event(digest, digest.part(number), envelope),
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

    /// Accounts for one event that no flow could read.
    pub fn refuse(&mut self, refusal: Refusal, instead_of: Option<Outcome>) -> Verdict {
        for flow in &mut self.flows {
            flow.account(Outcome::Rejected, instead_of);
        }
        Verdict { time: None, readable: false, refusal: Some(refusal) }
    }

    /// A reader for these flows, to read beside this one.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Forgets what a checkpoint would have to hold: for a run that never saves.
    pub fn nothing_to_save(&mut self) {
        self.ids.nothing_to_save();
        for flow in &mut self.flows {
            flow.windows.nothing_to_save();
            flow.joins.iter_mut().for_each(Joins::nothing_to_save);
        }
    }

    /// Accounts for offsets without an event.
    pub fn account(&mut self, outcome: Outcome, offsets: u64) {
        for flow in &mut self.flows {
            flow.ledger.add(outcome, offsets);
        }
    }

    /// Moves every flow to its watermark and lets fire what is due.
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

    /// As [`Self::advance`], without lines of progress; `fired` gets each flow's number with rows as they fire, a window
    /// at a time, and takes them out.
    pub fn advance_each(
        &mut self,
        watermarks: &Watermarks,
        now: EventTime,
        fired: &mut dyn FnMut(usize, &mut Vec<CtrRow>),
    ) {
        let mut slowest = EventTime::MAX;
        let mut rows = std::mem::take(&mut self.rows);
        for (number, flow) in self.flows.iter_mut().enumerate() {
            flow.advance(watermarks.of(&flow.flow), now, &mut rows, &mut |rows| {
                if !rows.is_empty() {
                    fired(number, rows);
                    rows.clear();
                }
            });
            if flow.flow.time == TimeKind::Event {
                slowest = slowest.min(flow.windows.watermark());
            }
        }
        self.rows = rows;
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
        digest: Digest<'_>,
        part: &Part,
        envelope: &Envelope<'_>,
    ) -> Result<Outcome, Refusal> {
        // An event whose own time cannot be read is refused even where it counts as nothing.
        let mut time = self.flow.time_of(digest, envelope)?;
        if !part.role.view && !part.role.click {
            return Ok(Outcome::Ignored);
        }
        if self.flow.time == TimeKind::Processing {
            time = time.max(self.windows.watermark());
        }
        if let Some(refusal) = &part.refusal {
            return Err((**refusal).clone());
        }
        if self.joins.is_some() {
            return Ok(self.joined((part.role, digest.join(part)), digest.key(part), time));
        }
        Ok(outcome(self.windows.count(digest.key(part), time, Change::of(part.role.view, part.role.click))))
    }

    /// An event of a flow with a join: a view is counted by its own columns, a click by those of its view.
    fn joined(&mut self, (role, on): (Role, JoinValues), key: HashedKey<'_>, time: EventTime) -> Outcome {
        let Some(joins) = &mut self.joins else { return Outcome::Ignored };
        let mut effects = Vec::new();
        let mut ended = Outcome::Unmatched;
        if role.view {
            ended = outcome(self.windows.count(key, time, Change::of(true, false)));
            if let Some(on) = on.view {
                effects.push(joins.view(on, time, Key::from_pushed(key.text)));
            }
        }
        if role.click {
            match self.windows.fate(time) {
                Fate::Counted => {
                    if let Some(on) = on.click {
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
        if own == 1 { Outcome::Counted } else { ended }
    }

    fn apply(&mut self, effects: Vec<Effects>) {
        for (key, time, change) in effects.into_iter().flat_map(|e| e.counts) {
            self.windows.count(HashedKey::new(key.as_pushed()), time, change);
        }
    }

    fn advance(
        &mut self,
        watermark: EventTime,
        now: EventTime,
        rows: &mut Vec<CtrRow>,
        fired: &mut dyn FnMut(&mut Vec<CtrRow>),
    ) {
        self.windows.advance(watermark, now, rows, fired);
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

impl Flow {
    fn time_of(&self, digest: Digest<'_>, envelope: &Envelope<'_>) -> Result<EventTime, Refusal> {
        match self.time {
            TimeKind::Event => digest.head.time.as_ref().copied().map_err(|refusal| (**refusal).clone()),
            TimeKind::Kafka => envelope.kafka_time.ok_or(Refusal { reason: "no-timestamp", pointer: None }),
            TimeKind::Processing => Ok(envelope.publish_time),
        }
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
