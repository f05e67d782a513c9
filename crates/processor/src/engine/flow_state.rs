//! One flow: what an event does in its windows, its join and its ledger.

use std::sync::Arc;

use event::{EventTime, Ledger, ledger::Outcome};
use flow::{
    Definition, Flow, TimeKind,
    measure::{Change, Feeds, Source},
    row::{ProgressRow, Row},
    window::WindowKind,
};

use crate::{
    digest::{Digest, HashedKey, Part, Refusal},
    joins::{Clicked, Effects, Joins, More},
    read::Envelope,
    windows::{Fate, WindowSet},
};

/// One flow with its state.
#[derive(Debug)]
pub struct FlowState {
    /// The flow as configured.
    pub flow: Flow,
    /// The flow as the state stores it.
    pub(crate) definition: Definition,
    /// The counts.
    pub windows: WindowSet,
    /// Views and clicks that may still be joined, if the flow has a join.
    pub joins: Option<Joins>,
    /// The number of offsets for each outcome.
    pub ledger: Ledger,
    /// Moves in the ledger that did not balance, since the process started. Any is a defect of this program.
    pub imbalances: u64,
    /// Offsets that were accounted for before the flow was added.
    pub before: u64,
    /// The newest time of any event that was read, whatever its outcome. If a measure is added, it is complete in every
    /// window that begins later: no event of such a window was ignored before, or is a pending click.
    pub(crate) newest: EventTime,
    pub(super) last_early: EventTime,
    pub(super) last_progress: EventTime,
    /// The measures that determine whether an event is a view or a click.
    views: Feeds,
    clicks: Feeds,
    /// Scratch memory of [`Self::joined`].
    effects: Effects,
}

impl FlowState {
    pub(super) fn new(flow: Flow) -> Self {
        let windows = WindowSet::new(&flow);
        let joins = match (&flow.join, &flow.windows) {
            (Some(join), WindowKind::Aligned(windows)) => Some(Joins::new(join, windows.clone(), &flow)),
            _ => None,
        };
        Self {
            definition: flow.definition(),
            views: flow.feeds(Source::Views),
            clicks: flow.feeds(Source::Clicks),
            flow,
            windows,
            joins,
            ledger: Ledger::default(),
            imbalances: 0,
            before: 0,
            newest: EventTime::MIN,
            last_early: EventTime::MIN,
            last_progress: EventTime::MIN,
            effects: Effects::default(),
        }
    }

    /// Removes everything that was counted.
    pub(crate) fn clear(&mut self) {
        if self.windows.watermark() > EventTime::MIN
            || self.ledger != Ledger::default()
            || self.windows.key_count() > 0
        {
            *self = Self::new(self.flow.clone());
        }
    }

    pub(super) fn account(&mut self, outcome: Outcome, instead_of: Option<Outcome>) {
        match instead_of {
            Some(before) => self.shift(before, outcome, 1),
            None => self.ledger.add(outcome, 1),
        }
    }

    /// Moves offsets in the ledger. A move that does not balance is a defect of this program: it fails every test, and
    /// in production it is counted and reported.
    pub(crate) fn shift(&mut self, from: Outcome, to: Outcome, offsets: u64) {
        if let Err(imbalance) = self.ledger.shift(from, to, offsets) {
            debug_assert!(false, "flow {}: {imbalance}", self.flow.name);
            self.imbalances += 1;
        }
    }

    pub(super) fn event(
        &mut self,
        digest: Digest<'_>,
        part: &Part,
        envelope: &Envelope<'_>,
    ) -> Result<Outcome, Refusal> {
        // An event whose own time is invalid is refused, even if it feeds no measure.
        let mut time = time_of(self.flow.time, digest, envelope)?;
        if self.flow.time == TimeKind::Processing {
            time = time.max(self.windows.watermark());
        }
        self.newest = self.newest.max(time);
        if let Some(refusal) = &part.refusal {
            return Err((**refusal).clone());
        }
        if part.feeds == 0 {
            return Ok(Outcome::Ignored);
        }
        if self.joins.is_some() && part.feeds & (self.views | self.clicks) != 0 {
            return Ok(self.joined(digest, part, time));
        }
        let change = Change { feeds: part.feeds, inputs: digest.inputs(part), times: 1 };
        Ok(outcome(self.windows.count(digest.key(part), time, &change)))
    }

    /// Counts a view or a click of a flow with a join. A view counts under its own columns; a click counts under those
    /// of its view, with everything else that it feeds.
    fn joined(&mut self, digest: Digest<'_>, part: &Part, time: EventTime) -> Outcome {
        let (key, on, inputs) = (digest.key(part), digest.join(part), digest.inputs(part));
        let (is_view, is_click) = (part.feeds & self.views != 0, part.feeds & self.clicks != 0);
        let Some(joins) = &mut self.joins else { return Outcome::Ignored };
        let mut effects = std::mem::take(&mut self.effects);
        let mut ended = Outcome::Unmatched;
        if is_view {
            let own = Change { feeds: part.feeds & !self.clicks, inputs, times: 1 };
            ended = outcome(self.windows.count(key, time, &own));
            if let Some(on) = on.view {
                joins.view(on, time, key, &mut effects);
            }
        }
        if is_click {
            let feeds = part.feeds & !self.clicks;
            let more = (!is_view && feeds != 0).then(|| Box::new(More { feeds, inputs: inputs.into() }));
            let of_click = match self.windows.fate(time) {
                // Between two windows it counts in none, but its view, which is older, may count as clicked.
                Fate::Counted | Fate::Between { open: true } => on.click.map_or(Outcome::Unmatched, |on| {
                    match joins.click(on, (time, !is_view), more, &mut effects) {
                        Clicked::Found => Outcome::Counted,
                        Clicked::Waits => Outcome::Pending,
                        Clicked::OverLimit => {
                            let all = Change { feeds: part.feeds, inputs, times: 1 };
                            let clicks = Change::once(self.clicks);
                            outcome(self.windows.count(key, time, if is_view { &clicks } else { &all }))
                        }
                    }
                }),
                fate => outcome(fate),
            };
            if !is_view {
                ended = of_click;
            }
        }
        let found = effects.found;
        for (key, time, moved) in effects.changes.drain(..) {
            self.windows.count(HashedKey::new(key.as_pushed()), time, &moved.change());
        }
        effects.clear();
        self.effects = effects;
        self.shift(Outcome::Pending, Outcome::Counted, found);
        ended
    }

    pub(super) fn advance(
        &mut self,
        watermark: EventTime,
        now: EventTime,
        rows: &mut Vec<Row>,
        fired: &mut dyn FnMut(&mut Vec<Row>),
    ) {
        self.windows.advance(watermark, now, rows, fired);
        if let Some(joins) = &mut self.joins {
            let unmatched = joins.expire(self.windows.watermark());
            self.shift(Outcome::Pending, Outcome::Unmatched, unmatched);
        }
    }

    /// The definition with the time from which each measure counts.
    pub(crate) fn saved_definition(&self) -> Definition {
        let mut definition = self.definition.clone();
        for (number, measure) in definition.measures.iter_mut().enumerate() {
            measure.since = self.windows.since().of(number);
        }
        definition
    }

    pub(super) fn progress(&mut self, now: EventTime) -> ProgressRow {
        self.last_progress = now;
        ProgressRow { at: now, watermark: self.windows.watermark(), ledger: self.ledger }
    }

    /// The flow's name.
    pub fn name(&self) -> &Arc<str> {
        &self.flow.name
    }
}

/// The time of an event in the kind of time that a flow uses.
pub(super) fn time_of(
    kind: TimeKind,
    digest: Digest<'_>,
    envelope: &Envelope<'_>,
) -> Result<EventTime, Refusal> {
    match kind {
        TimeKind::Event => digest.head.time.as_ref().copied().map_err(|refusal| (**refusal).clone()),
        TimeKind::Kafka => envelope.kafka_time.ok_or(Refusal { reason: "no-timestamp", pointer: None }),
        TimeKind::Processing => Ok(envelope.publish_time),
    }
}

fn outcome(fate: Fate) -> Outcome {
    match fate {
        Fate::Counted => Outcome::Counted,
        Fate::Late => Outcome::Late,
        Fate::Between { .. } => Outcome::Ignored,
    }
}
