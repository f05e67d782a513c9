//! The naive recount of the produced events: ten-minute windows with a period of a minute, in plain maps.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::Value;

use crate::produced::Produced;

/// The start of a window, then page and box.
pub type Key = (String, Option<String>, Option<String>);
/// Views and clicks of every window and key.
pub type Counts = BTreeMap<Key, (u64, u64)>;

/// The expected result.
#[derive(Debug, Default)]
pub struct Recount {
    /// Views and clicks.
    pub counts: Counts,
    /// The expected outcomes of all records.
    pub ledger: BTreeMap<&'static str, u64>,
}

const MINUTE: i64 = 60_000;
const SIZE: i64 = 10 * MINUTE;

/// Counts everything that was produced.
///
/// # Errors
/// A valid record is not an event.
pub fn recount(produced: &Produced) -> Result<Recount> {
    let mut recount = Recount::default();
    let mut ids = HashSet::new();
    for record in &produced.records {
        if record.refused.is_some() {
            recount.note("rejected");
            continue;
        }
        let event = record.event().context("a record that is not refused is an event")?;
        // An ignored event does not reserve its ID: its copies are ignored, too.
        let (views, clicks) = match event["type"].as_str() {
            Some("view") => (1, 0),
            Some("click") => (0, 1),
            _ => {
                recount.note("ignored");
                continue;
            }
        };
        if !ids.insert(event["event_id"].to_string()) {
            recount.note("duplicate");
            continue;
        }
        recount.note("counted");
        let time = time(&event["time"]).context("an event has a time")?;
        let page = text(&event["page"]).map(|page| page.split('?').next().unwrap_or_default().to_owned());
        let mut start = time - time.rem_euclid(MINUTE);
        while start > time - SIZE {
            let key = (stamp(start)?, page.clone(), text(&event["box"]));
            let count = recount.counts.entry(key).or_default();
            *count = (count.0 + views, count.1 + clicks);
            start -= MINUTE;
        }
    }
    Ok(recount)
}

impl Recount {
    fn note(&mut self, outcome: &'static str) {
        *self.ledger.entry(outcome).or_default() += 1;
    }

    /// Number of records.
    pub fn total(&self) -> u64 {
        self.ledger.values().sum()
    }
}

fn time(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => Some(text.parse::<Timestamp>().ok()?.as_millisecond()),
        other => other.as_i64(),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// A time in the format of the tables.
///
/// # Errors
/// It is out of range.
pub fn stamp(millis: i64) -> Result<String> {
    Ok(format!("{:.3}", Timestamp::from_millisecond(millis)?))
}
