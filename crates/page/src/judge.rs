//! Green, amber or red, and why, in words. Pure; the bounds stand here and nowhere else.
//!
//! Not here: `/readyz`, which has conditions of its own; where one is not in order, its station is red.

use serde::Serialize;

use crate::{
    facts::{Connector, Facts, Flow, Partition, Processor, Rate},
    words::{bytes, counted, length, number, per_second},
};

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Green,
    /// Nothing can be said yet.
    Grey,
    /// Worth a look.
    Amber,
    /// Somebody is needed.
    Red,
}

/// How something is, and why.
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
    /// Its name for people.
    pub name: &'static str,
    /// Which one: topics, a subscription, a table's place.
    pub place: String,
    /// How it is.
    pub health: Health,
    /// What passes it.
    pub rate: Option<Rate>,
    /// Of what.
    pub rate_of: &'static str,
    /// What waits there, and how long the oldest of it has waited.
    pub waits: String,
    /// Numbers with their names.
    pub figures: Vec<(&'static str, String)>,
}

/// Whatever waits is worth a look after that long, and somebody is needed after the second bound, in milliseconds.
const WAIT: (u64, u64) = (10_000, 60_000);
/// The same for records that are not read yet, by the time that it takes to read them.
const UNREAD: (u64, u64) = (30_000, 300_000);
/// The same for the watermark's delay beyond `out_of_orderness`.
const DELAY: (u64, u64) = (60_000, 600_000);
/// The same for the share of the memory that the state takes, in percent.
const MEMORY: (u64, u64) = (75, 90);
/// A mark comes every second.
const MARK_MS: u64 = 15_000;
/// A running part tells twice a second how it is.
const TOLD_MS: u64 = 10_000;
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
pub fn stations(facts: &Facts) -> Vec<Station> {
    let mut stations = Vec::new();
    if let Some(connector) = &facts.connector {
        stations.push(kafka(facts, connector));
        stations.push(connects(facts, connector));
    } else if let Some(processor) = &facts.processor {
        stations.push(kafka_by_marks(processor));
    }
    stations.push(pubsub(facts));
    if let Some(processor) = &facts.processor {
        stations.push(processes(facts, processor));
        stations.push(tables(processor));
    }
    stations
}

/// The worst of all stations and ledgers.
pub fn overall(facts: &Facts, stations: &[Station]) -> Health {
    let ledgers = facts.processor.iter().flat_map(|processor| {
        processor.flows.iter().map(move |flow| ("ledger", &*flow.name, ledger(processor, flow)))
    });
    let stations = stations.iter().map(|station| (station.name, "", station.health.clone()));
    let all: Vec<_> = stations.chain(ledgers).collect();
    let Some((part, of, worst)) = all.into_iter().rev().max_by_key(|(_, _, health)| health.level) else {
        return Health::grey("nothing runs here");
    };
    match worst.level {
        Level::Green => Health::green("all is well"),
        level if of.is_empty() => Health::new(level, format!("{part}: {}", worst.reason)),
        level => Health::new(level, format!("{part} of {of}: {}", worst.reason)),
    }
}

/// Whether every offset is accounted for once.
pub fn ledger(processor: &Processor, flow: &Flow) -> Health {
    if processor.told_ms.is_none() {
        return Health::grey("nothing is counted yet");
    }
    if processor.has_unpositioned {
        return Health::green(
            "some other producer fills the topic: its messages have no offsets to balance against",
        );
    }
    let sum = flow.total + flow.before;
    if sum != processor.accounted {
        return Health::red(format!(
            "{} offsets are accounted for and {} are in the ledger: a defect, please report it",
            number(processor.accounted),
            number(sum)
        ));
    }
    let lost =
        flow.ledger.iter().find(|outcome| outcome.outcome == "lost").map_or(0, |outcome| outcome.offsets);
    if lost > 0 {
        return Health::red(format!(
            "it balances, and {} lost: taken by retention before they were read, or published and not come within \
             hole_limit",
            if lost == 1 { "one offset is".to_owned() } else { format!("{} offsets are", number(lost)) }
        ));
    }
    Health::green("it balances: every offset ended as exactly one thing")
}

/// The worse of two bounds that a value has passed.
fn beyond(value: u64, bounds: (u64, u64)) -> Level {
    match value {
        value if value > bounds.1 => Level::Red,
        value if value > bounds.0 => Level::Amber,
        _ => Level::Green,
    }
}

fn trouble(facts: &Facts, name: &str) -> Option<Health> {
    let condition = facts.conditions.iter().find(|condition| condition.name == name)?;
    condition.trouble.as_ref().map(|trouble| {
        if trouble == "has not reported yet" {
            Health::grey("has not reported yet")
        } else {
            Health::red(trouble)
        }
    })
}

fn kafka(facts: &Facts, connector: &Connector) -> Station {
    let unread = connector.unread;
    let to_read = (connector.rate.per_second > 0.0)
        .then(|| (unread as f64 * 1000.0 / connector.rate.per_second) as u64);
    let health = trouble(facts, "kafka").unwrap_or_else(|| {
        if !connector.is_known {
            return Health::grey("has not reported yet");
        }
        match to_read {
            _ if connector.partitions == 0 => Health::amber("no partition is assigned to this replica"),
            _ if unread == 0 => Health::green("read to its end"),
            None => Health::amber(format!("{} wait and none is read", counted(unread, "record", "records"))),
            Some(time) => match beyond(time, UNREAD) {
                Level::Green => Health::green("read as it is written"),
                level => {
                    Health::new(level, format!("the connector is about {} of reading behind", length(time)))
                }
            },
        }
    });
    let waits = match to_read {
        _ if unread == 0 => "nothing".to_owned(),
        Some(time) => format!("{}, about {} of reading", counted(unread, "record", "records"), length(time)),
        None => counted(unread, "record", "records"),
    };
    Station {
        id: "kafka",
        name: "Kafka",
        place: connector.topics.clone(),
        health,
        rate: Some(connector.rate.clone()),
        rate_of: "records read",
        waits,
        figures: vec![
            ("partitions here", number(connector.partitions as u64)),
            ("lag", format!("{} offsets", number(connector.lag))),
        ],
    }
}

/// Where only a processor runs, the marks tell how Kafka's logs stand.
fn kafka_by_marks(processor: &Processor) -> Station {
    let lag: u64 = processor.partitions.iter().map(beyond_committed).sum();
    let asked = processor.partitions.iter().filter_map(|partition| partition.asked_ms).max();
    let health = match asked {
        None => Health::grey("no mark has told of it yet"),
        Some(asked) if asked > WAIT.1 => {
            Health::amber(format!("nobody asked for the end of some log for {}", length(asked)))
        }
        Some(_) => Health::green("as the connector's marks tell"),
    };
    let topics: std::collections::BTreeSet<&str> =
        processor.partitions.iter().map(|partition| &*partition.topic).collect();
    Station {
        id: "kafka",
        name: "Kafka",
        place: Vec::from_iter(topics).join(", "),
        health,
        rate: None,
        rate_of: "",
        waits: if lag == 0 { "nothing".to_owned() } else { counted(lag, "offset", "offsets") },
        figures: vec![("partitions", number(processor.partitions.len() as u64))],
    }
}

fn beyond_committed(partition: &Partition) -> u64 {
    partition.log_end.unwrap_or(0).saturating_sub(partition.committed.unwrap_or(0))
}

fn connects(facts: &Facts, connector: &Connector) -> Station {
    let rejected: u64 = connector.rejected.values().sum();
    let lost = connector.without_record.get("lost").copied().unwrap_or(0);
    let oldest = connector.oldest_ms.unwrap_or(0);
    let health = if !connector.is_known {
        Health::grey("has not reported yet")
    } else if let Some(health) = trouble(facts, "connector") {
        health
    } else if lost > 0 {
        Health::red(format!("retention took {} before it was read", counted(lost, "offset", "offsets")))
    } else if beyond(oldest, WAIT) > Level::Green {
        Health::new(
            beyond(oldest, WAIT),
            format!("what was read {} ago is not in Pub/Sub yet", length(oldest)),
        )
    } else if rejected * 100 > connector.records * REJECTS {
        let most = connector.rejected.iter().max_by_key(|(_, count)| **count).map_or("", |(code, _)| code);
        Health::amber(format!("more than {REJECTS} % of the records are refused, most of them as {most}"))
    } else {
        Health::green("people are taken out, and all of it is published")
    };
    let waits = match (connector.in_flight_bytes, connector.oldest_ms) {
        (0, _) => "nothing".to_owned(),
        (size, Some(age)) => format!("{}, the oldest for {}", bytes(size), length(age)),
        (size, None) => bytes(size),
    };
    Station {
        id: "connector",
        name: "Connector",
        place: "anonymise".to_owned(),
        health,
        rate: Some(connector.published_rate.clone()),
        rate_of: "messages published",
        waits,
        figures: vec![
            ("published", number(connector.published)),
            ("refused", number(rejected)),
            ("in flight, at most", bytes(connector.in_flight_limit)),
        ],
    }
}

fn pubsub(facts: &Facts) -> Station {
    let holes = facts.processor.iter().flat_map(|processor| &processor.partitions);
    let (mut offsets, mut ranges, mut oldest) = (0, 0, None);
    for partition in holes {
        offsets += partition.hole_offsets;
        ranges += partition.hole_count;
        oldest = oldest.max(partition.hole_ms);
    }
    let outage = facts.connector.as_ref().and_then(|connector| connector.outage_ms);
    let health = if let Some(outage) = outage {
        Health::red(format!("does not answer for {}; nothing is lost: records wait in Kafka", length(outage)))
    } else if let Some(health) = trouble(facts, "pubsub") {
        health
    } else if beyond(oldest.unwrap_or(0), WAIT) > Level::Green {
        let age = oldest.unwrap_or(0);
        Health::new(
            beyond(age, WAIT),
            format!(
                "{} in {} were published and have not come, the oldest for {}",
                counted(offsets, "message", "messages"),
                counted(ranges as u64, "range", "ranges"),
                length(age)
            ),
        )
    } else if facts.processor.as_ref().is_some_and(|processor| processor.told_ms.is_none()) {
        Health::grey("nothing was pulled yet")
    } else {
        Health::green("what was published has come, or is on its way")
    };
    let waits = match (offsets, oldest) {
        (0, _) => "nothing".to_owned(),
        (count, Some(age)) => {
            format!("{}, the oldest for {}", counted(count, "message", "messages"), length(age))
        }
        (count, None) => counted(count, "message", "messages"),
    };
    let place = match (&facts.processor, &facts.connector) {
        (Some(processor), _) => processor.subscription.clone(),
        (None, Some(connector)) => connector.to.clone(),
        (None, None) => String::new(),
    };
    let mut figures = Vec::new();
    if let Some(processor) = &facts.processor {
        figures.push(("holes", number(ranges as u64)));
        figures.push(("seen twice", number(processor.redelivered)));
        figures.push(("marks", number(processor.marks)));
    }
    Station { id: "pubsub", name: "Pub/Sub", place, health, rate: None, rate_of: "", waits, figures }
}

fn processes(facts: &Facts, processor: &Processor) -> Station {
    let slowest =
        processor.flows.iter().filter_map(|flow| Some((flow.delay_ms?, flow))).max_by_key(|(d, _)| *d);
    let waits = match (processor.unacknowledged, processor.oldest_unacknowledged_ms) {
        (0, _) | (_, None) => "nothing".to_owned(),
        (count, Some(age)) => {
            format!(
                "{} for a checkpoint, the oldest for {}",
                counted(count as u64, "message", "messages"),
                length(age)
            )
        }
    };
    let checkpoint = match (processor.last_checkpoint_ms, processor.checkpoint_took_ms) {
        (Some(ago), Some(took)) => {
            format!("{} ago, {} in {}", length(ago), bytes(processor.checkpoint_bytes), length(took))
        }
        _ => "none yet".to_owned(),
    };
    let delay = slowest.map_or_else(|| "not known yet".to_owned(), |(delay, _)| length(delay));
    Station {
        id: "processor",
        name: "Processor",
        place: if processor.flows.len() == 1 {
            "windows".to_owned()
        } else {
            format!("{} flows", processor.flows.len())
        },
        health: processor_health(facts, processor, slowest),
        rate: Some(processor.rate.clone()),
        rate_of: "new messages",
        waits,
        figures: vec![
            ("watermark behind", delay),
            ("last checkpoint", checkpoint),
            ("state", format!("{} of {}", bytes(processor.state_bytes), bytes(processor.memory_bytes))),
        ],
    }
}

fn processor_health(facts: &Facts, processor: &Processor, slowest: Option<(u64, &Flow)>) -> Health {
    if let Some(health) = trouble(facts, "state") {
        // A stand-by does what it is for.
        let is_standby = health.reason.contains("standing by");
        return if is_standby { Health::amber(health.reason) } else { health };
    }
    let Some(told) = processor.told_ms else { return Health::grey("starts") };
    if told > TOLD_MS {
        return Health::red(format!("has told nothing of itself for {}", length(told)));
    }
    if let Some(health) = trouble(facts, "checkpoints") {
        return health;
    }
    let used = 100 * processor.state_bytes / processor.memory_bytes.max(1);
    if beyond(used, MEMORY) > Level::Green {
        return Health::new(beyond(used, MEMORY), format!("the live state takes {used} % of [state] memory"));
    }
    match processor.last_mark_ms {
        None if processor.has_unpositioned => {}
        None => return Health::grey("no mark has come yet: the watermark waits for the connector"),
        Some(age) if age > MARK_MS => {
            return Health::red(format!(
                "no mark for {}: the watermark stands still until a connector runs",
                length(age)
            ));
        }
        Some(_) => {}
    }
    let Some((delay, flow)) = slowest else {
        return Health::grey(format!("the watermark is not known yet; it waits for {}", processor.held_by));
    };
    let behind = delay.saturating_sub(flow.out_of_orderness_ms);
    match beyond(behind, DELAY) {
        Level::Green => Health::green(format!("counts {} behind the present", length(delay))),
        _ if !processor.is_caught_up => {
            Health::amber(format!("reads a backlog: the watermark is {} behind", length(delay)))
        }
        level => Health::new(
            level,
            format!("the watermark is {} behind; held by {}", length(delay), processor.held_by),
        ),
    }
}

fn tables(processor: &Processor) -> Station {
    let oldest = processor.oldest_request_ms.unwrap_or(0);
    let health = match beyond(oldest, WAIT) {
        Level::Green if processor.told_ms.is_none() => Health::grey("nothing was written yet"),
        Level::Green => Health::green("every row stands in its table soon after it fires"),
        level => Health::new(
            level,
            format!("rows have waited for their table for {}; they are safe in the state", length(oldest)),
        ),
    };
    let waits = match processor.requests {
        0 => "nothing".to_owned(),
        count => {
            format!("{}, the oldest for {}", counted(count as u64, "request", "requests"), length(oldest))
        }
    };
    Station {
        id: "tables",
        name: "Tables",
        place: processor.to.clone(),
        health,
        rate: Some(processor.row_rate.clone()),
        rate_of: "rows added",
        waits,
        figures: vec![
            ("rows since the start", number(processor.rows)),
            ("on their way", bytes(processor.request_bytes)),
        ],
    }
}

/// A rate for a title: `1,998 a second`.
pub fn rate(rate: &Rate) -> String {
    format!("{} a second", per_second(rate.per_second))
}

#[cfg(test)]
mod tests;
