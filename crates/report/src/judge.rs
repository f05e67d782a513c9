//! Green, amber or red, and the reason, for a running process and for `aqueduct status`. Pure; all bounds are here.
//!
//! `/readyz` has conditions of its own; a station whose condition is not met is red.

mod connector;

mod kafka;

mod pubsub;

mod processor;

mod ledger;

use serde::Serialize;

use crate::status::{ConditionState, Rate, Status};

pub use ledger::is_balanced;
pub(crate) use ledger::{ledger, records};

/// The state of a station, as a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Green,
    /// Not known yet.
    Grey,
    /// Worth a look.
    Amber,
    /// Needs action.
    Red,
}

/// The state of a station with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Its colour.
    pub level: Level,
    /// The reason, a sentence without its full stop.
    pub reason: String,
}

/// One station on an event's way.
#[derive(Clone, Debug, Serialize)]
pub struct Station {
    /// `kafka`, `connector`, `pubsub`, `processor`, `tables`.
    pub id: &'static str,
    /// Its heading.
    pub name: &'static str,
    /// The resources that it uses: topics, a subscription, or the place of the tables.
    pub place: String,
    /// Its state.
    pub health: Health,
    /// Its throughput.
    pub rate: Option<Rate>,
    /// Of what.
    pub rate_of: &'static str,
    /// The backlog, and the age of its oldest part.
    pub waits: String,
    /// Numbers with their names.
    pub details: Vec<(&'static str, String)>,
}

/// Ages of a backlog that are amber and red, in milliseconds.
const WAIT: (u64, u64) = (10_000, 60_000);
/// The same for records that are not read yet, by the time that it takes to read them.
const UNREAD: (u64, u64) = (30_000, 300_000);
/// The same for the watermark's delay beyond `out_of_orderness`.
const DELAY: (u64, u64) = (60_000, 600_000);
/// The same for the share of the memory that the state takes, in percent.
const MEMORY: (u64, u64) = (75, 90);
/// Marks are sent every second; a connector without one for this long is stalled.
const MARK_MS: u64 = 30_000;
/// A running part reports twice a second.
const REPORT_LIMIT_MS: u64 = 10_000;
/// Rejects of a hundred records that are worth a look.
const REJECTS: u64 = 1;

impl Health {
    /// A colour with its reason.
    pub fn new(level: Level, reason: impl Into<String>) -> Self {
        Self { level, reason: reason.into() }
    }

    fn red(reason: impl Into<String>) -> Self {
        Self::new(Level::Red, reason)
    }

    fn amber(reason: impl Into<String>) -> Self {
        Self::new(Level::Amber, reason)
    }

    fn green(reason: impl Into<String>) -> Self {
        Self::new(Level::Green, reason)
    }

    fn grey(reason: impl Into<String>) -> Self {
        Self::new(Level::Grey, reason)
    }
}

impl Level {
    /// The state of a component as `aqueduct status` prints it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Green => "ok",
            Self::Grey => "unknown",
            Self::Amber => "working",
            Self::Red => "STALLED",
        }
    }

    /// The colour's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Grey => "grey",
            Self::Amber => "amber",
            Self::Red => "red",
        }
    }
}

/// The stations that this process knows of, in the order of an event's way.
pub fn stations(status: &Status) -> Vec<Station> {
    let mut stations = Vec::new();
    if let Some(connector) = &status.connector {
        stations.push(kafka::kafka(status, connector));
        stations.push(connector::publishes(status, connector));
    } else if let Some(processor) = &status.processor {
        stations.push(kafka::kafka_from_outside(status, processor));
        stations.push(connector::from_outside(status, processor));
    }
    stations.push(pubsub::pubsub(status));
    if let Some(processor) = &status.processor {
        stations.push(processor::processes(status, processor));
        stations.push(processor::tables(status, processor));
    }
    stations
}

/// The worst of all stations and ledgers.
pub fn overall(status: &Status, stations: &[Station]) -> Health {
    let ledgers = status.processor.iter().flat_map(|processor| {
        let detail = &processor.detail;
        detail.flows.iter().map(move |flow| ("ledger", &*flow.name, ledger(detail, flow)))
    });
    let stations = stations.iter().map(|station| (station.name, "", station.health.clone()));
    let all: Vec<_> = stations.chain(ledgers).collect();
    let Some((part, of, worst)) = all.into_iter().rev().max_by_key(|(_, _, health)| health.level) else {
        return Health::grey("not running");
    };
    match worst.level {
        Level::Green => Health::green("healthy"),
        level if of.is_empty() => Health::new(level, format!("{part}: {}", worst.reason)),
        level => Health::new(level, format!("{part} of {of}: {}", worst.reason)),
    }
}

/// The red stations, or else those of which nothing is known, in one line.
pub fn verdict(stations: &[Station]) -> String {
    let of = |level: Level| {
        let names = stations.iter().filter(|station| station.health.level == level);
        names.map(|station| station.name).collect::<Vec<_>>().join(", ")
    };
    match (of(Level::Red), of(Level::Grey)) {
        (red, _) if !red.is_empty() => format!("STALLED: {red}"),
        (_, grey) if !grey.is_empty() => format!("nothing is stalled; unknown: {grey}"),
        _ => "nothing is stalled".to_owned(),
    }
}

/// The first few of these partitions.
fn named(partitions: impl IntoIterator<Item = String>) -> String {
    const NAMED: usize = 3;
    let mut names = Vec::from_iter(partitions);
    if names.len() > NAMED {
        let more = names.len() - NAMED;
        names.truncate(NAMED);
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

/// The worse of two bounds that a value has passed.
fn beyond(value: u64, bounds: (u64, u64)) -> Level {
    match value {
        value if value > bounds.1 => Level::Red,
        value if value > bounds.0 => Level::Amber,
        _ => Level::Green,
    }
}

fn trouble(status: &Status, name: &str) -> Option<Health> {
    let condition = status.conditions.iter().find(|condition| condition.name == name)?;
    match &condition.state {
        ConditionState::Met => None,
        ConditionState::Idle(note) => Some(Health::amber(note)),
        ConditionState::Unmet(reason) => Some(Health::red(reason)),
        ConditionState::Unreported => Some(Health::grey("has not reported yet")),
    }
}

#[cfg(test)]
mod tests;
