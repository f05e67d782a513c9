//! Settings of a flow: windows of every shape, lateness, early panes, kinds of time.

use anyhow::{Context as _, Result};
use counting::dice::Dice;
use event::EventsSettings;
use flow::{Flow, FlowSettings, TimeKind};
use serde::Serialize;
use serde_json::{Value, json};

/// Windows and triggers; lengths are milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Settings {
    /// The unit of all lengths, so that times often meet boundaries.
    pub(crate) unit: i64,
    /// The gap of sessions.
    pub(crate) size: i64,
    pub(crate) is_session: bool,
    /// Absent for fixed windows.
    pub(crate) period: Option<i64>,
    pub(crate) allowed_lateness: i64,
    pub(crate) early: Option<i64>,
}

impl Settings {
    pub(crate) fn roll(dice: &mut Dice) -> Self {
        let unit = dice.pick(&[1, 10, 250, 1_000, 60_000]);
        let is_session = dice.percent(25);
        let (size, period) = if is_session { (dice.between(1, 12), None) } else { shape(dice) };
        let lateness = match dice.between(0, 9) {
            0..=1 => 0,
            2..=7 => dice.between(1, 2 * size) * unit,
            _ => dice.between(1, 2 * size * unit),
        };
        let early = (!is_session && dice.percent(45)).then(|| dice.pick(&[1_000, 2_000, 5_000]));
        let size = size * unit;
        // Sessions need a lateness of at least their gap.
        let allowed_lateness = if is_session { lateness.max(size) } else { lateness };
        Self { unit, size, is_session, period: period.map(|p| p * unit), allowed_lateness, early }
    }

    /// The distance between two starts.
    pub(crate) fn step(&self) -> i64 {
        self.period.unwrap_or(self.size)
    }

    /// The flow as in a configuration file.
    pub(crate) fn flow(&self, time: TimeKind, out_of_orderness: i64) -> Result<Flow> {
        let mut flow = self.section(time, out_of_orderness);
        flow["measures"] = json!({
            "least": { "min": "/x", "where": { "/k": ["view", "both"] } },
            "most": { "max": "/x", "where": { "/k": ["view", "both"] } },
            "revenue": { "sum": "/x", "where": { "/k": ["click", "both"] } },
            "users": { "distinct": "/u", "where": { "/k": ["view", "click", "both"] } },
        });
        resolve(flow)
    }

    /// The flow with a join by `/v`.
    pub(crate) fn joined(&self, time: TimeKind, out_of_orderness: i64, within: i64) -> Result<Flow> {
        let mut flow = self.section(time, out_of_orderness);
        flow["join"] = json!({ "on": "/v", "within": millis(within) });
        resolve(flow)
    }

    fn section(&self, time: TimeKind, out_of_orderness: i64) -> Value {
        let mut flow = json!({
            "name": "f",
            "by": { "page": "/p" },
            "views": { "/k": ["view", "both"] },
            "clicks": { "/k": ["click", "both"] },
            "window": { "size": millis(self.size) },
            "time": time,
            "out_of_orderness": millis(out_of_orderness),
            "allowed_lateness": millis(self.allowed_lateness),
        });
        if self.is_session {
            flow["window"] = json!({ "session": millis(self.size) });
        }
        if let Some(period) = self.period {
            flow["window"]["period"] = millis(period).into();
        }
        if let Some(early) = self.early {
            flow["early"] = millis(early).into();
        }
        flow
    }
}

fn resolve(flow: Value) -> Result<Flow> {
    let settings: FlowSettings = serde_json::from_value(flow).context("the flow's section is complete")?;
    settings.try_into().context("the flow makes sense")
}

/// Size and period in units: fixed, sliding, sliding with a remainder, with gaps between the windows.
fn shape(dice: &mut Dice) -> (i64, Option<i64>) {
    match dice.between(0, 9) {
        0..=1 => (dice.between(1, 12), None),
        2..=4 => {
            let period = dice.between(1, 4);
            (period * dice.between(1, 6), Some(period))
        }
        5..=7 => {
            let period = dice.between(2, 7);
            (period * dice.between(1, 3) + dice.between(1, period - 1), Some(period))
        }
        _ => {
            let size = dice.between(1, 8);
            (size, Some(size + dice.between(1, 6)))
        }
    }
}

/// The `[events]` section of all cases.
pub(crate) fn events() -> Result<EventsSettings> {
    serde_json::from_value(json!({ "time": "/t" })).context("the section is complete")
}

fn millis(length: i64) -> String {
    format!("{length}ms")
}
