//! Scripts through the processor's core: events without positions, so that the watermark is the newest time
//! less the out-of-orderness, as for a topic that another producer fills.

use anyhow::Result;
use counting::dice::Dice;
use event::{EventTime, ledger::Outcome};
use flow::{Flow, TimeKind, row::Row};
use processor::{
    core::{Core, Data},
    frontier::Limits,
    outbox::Outbox,
    saved::{Budget, Restoring, Round, Saved, save},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    finals::{Values, values},
    script::{self, Case, Event, Step},
    settings::{self, Settings},
};

/// Cases that share a script.
const CASES: usize = 5;

/// A pane and the step that fired it.
type Fired = (usize, i64, i64, Option<String>, &'static str, u32, Values);

/// The result of a case.
#[derive(Debug, Serialize)]
struct Ran {
    #[serde(flatten)]
    case: Case,
    /// The watermark after every step.
    watermarks: Vec<i64>,
    /// Step, start and end of the window, key, pane, index, values.
    panes: Vec<Fired>,
    counted: u64,
    late: u64,
    ignored: u64,
}

/// Runs a script with all its cases.
pub(crate) fn run(seed: u64) -> Result<Value> {
    let dice = &mut Dice::new(seed);
    let settings = Settings::roll(dice);
    let steps = script::steps(&settings, dice);
    let mut cases = Vec::new();
    for _ in 0..CASES {
        let case = script::case(&settings, &steps, dice);
        let flow = settings.flow(case.time, case.out_of_orderness)?;
        cases.push(Run::new(flow, steps[0].now)?.all(&steps, case)?);
    }
    Ok(json!({ "seed": seed, "settings": settings, "steps": steps, "cases": cases }))
}

/// Runs one case.
struct Run {
    flow: Flow,
    core: Core,
    round: Round,
    /// The checkpoints since the start of the last complete round, and since that of the current one.
    checkpoints: [Vec<Saved>; 2],
    panes: Vec<Fired>,
}

impl Run {
    fn new(flow: Flow, now: i64) -> Result<Self> {
        let core = core(&flow, now)?;
        Ok(Self { flow, core, round: Round::default(), checkpoints: Default::default(), panes: Vec::new() })
    }

    fn all(mut self, steps: &[Step], case: Case) -> Result<Ran> {
        let mut watermarks = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            for event in case.events.iter().filter(|event| event.step == number) {
                self.event(event, step.now);
            }
            self.core.tick(EventTime(step.now));
            if step.checkpoint {
                self.checkpoint(number, step)?;
            }
            self.take_panes(number);
            watermarks.push(self.core.engine().flows()[0].windows.watermark().0);
        }
        let ledger = self.core.engine().flows()[0].ledger;
        let [counted, late, ignored] =
            [Outcome::Counted, Outcome::Late, Outcome::Ignored].map(|outcome| ledger.get(outcome));
        Ok(Ran { case, watermarks, panes: self.panes, counted, late, ignored })
    }

    fn event(&mut self, event: &Event, now: i64) {
        let at = EventTime(event.time);
        // The time that the flow does not use is different.
        let (own, kafka_time, publish_time) = match self.flow.time {
            TimeKind::Event => (event.time, None, EventTime(now)),
            TimeKind::Kafka => (event.time - 777, Some(at), EventTime(now)),
            TimeKind::Processing => (event.time - 777, None, at),
        };
        let payload = event.payload(own);
        let data = Data { position: None, kafka_time, publish_time, payload: payload.as_bytes() };
        self.core.data(&data, EventTime(now));
    }

    /// As the driver does: due panes fire, then the state is saved.
    fn checkpoint(&mut self, number: usize, step: &Step) -> Result<()> {
        self.core.fire_changed(EventTime(step.now));
        self.take_panes(number);
        // Each contains a few entries of a full copy.
        let budget = Budget { least: 100, most: 100 };
        let saved =
            save(&mut self.core, &mut [("w".into(), &mut Outbox::default())], &mut self.round, budget);
        let [chain, round] = &mut self.checkpoints;
        let is_complete = saved.part.last;
        chain.push(saved.clone());
        round.push(saved);
        if is_complete {
            *chain = std::mem::take(round);
        }
        if step.restart {
            let mut restoring = Restoring::new(core(&self.flow, step.now)?);
            chain.iter().cloned().for_each(|saved| restoring.apply(saved));
            round.clear();
            (self.core, ..) = restoring.finish()?;
            self.round = Round::default();
        }
        Ok(())
    }

    fn take_panes(&mut self, step: usize) {
        let rows = self.core.take_effects().output.rows.into_iter().flat_map(|(_, rows)| rows);
        self.panes.extend(rows.map(|row| fired(step, &row)));
    }
}

fn fired(step: usize, row: &Row) -> Fired {
    let key = row.key.get(0).map(str::to_owned);
    let (start, end) = (row.window.start.0, row.window.end.0);
    (step, start, end, key, row.pane.as_str(), row.pane_index, values(row))
}

fn core(flow: &Flow, now: i64) -> Result<Core> {
    let millis = event::Millis(10_000);
    let limits = Limits { idle_after: millis, hole_limit: millis, cold_start: millis };
    Ok(Core::new(&settings::events()?, vec![flow.clone()], limits, EventTime(now)))
}
