//! The processor and its tables: the watermark's delay, and what waits for a checkpoint or for a table.

use super::{DELAY, Health, Level, MARK_MS, MEMORY, Station, TOLD_MS, WAIT, beyond, trouble};
use crate::{
    facts::{Facts, Flow, Processor},
    words::{bytes, counted, length, number},
};

pub(super) fn processes(facts: &Facts, processor: &Processor) -> Station {
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
            ("watermark delay", delay),
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
    let Some(told) = processor.told_ms else { return Health::grey("starting") };
    if told > TOLD_MS {
        return Health::red(format!(
            "no report for {}: the machine is overloaded, or the processor is stuck; restart it",
            length(told)
        ));
    }
    if let Some(health) = trouble(facts, "checkpoints") {
        return health;
    }
    let used = 100 * processor.state_bytes / processor.memory_bytes.max(1);
    if beyond(used, MEMORY) > Level::Green {
        return Health::new(
            beyond(used, MEMORY),
            format!(
                "the live state uses {used} % of [state] memory: raise it, or shorten windows or lateness"
            ),
        );
    }
    match processor.last_mark_ms {
        None if processor.has_unpositioned => {}
        None => return Health::grey("no mark yet: the watermark waits for the connector"),
        Some(age) if age > MARK_MS => {
            return Health::red(format!(
                "no mark for {}: the watermark is stalled until a connector runs",
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
        Level::Green => Health::green(format!("watermark delay {}", length(delay))),
        _ if !processor.is_caught_up => Health::amber(format!(
            "processing a backlog: the watermark is {} behind; no action while that shrinks",
            length(delay)
        )),
        level => Health::new(
            level,
            format!("the watermark is {} behind; held by {}", length(delay), processor.held_by),
        ),
    }
}

pub(super) fn tables(processor: &Processor) -> Station {
    let oldest = processor.oldest_request_ms.unwrap_or(0);
    let health = match beyond(oldest, WAIT) {
        Level::Green if processor.told_ms.is_none() => Health::grey("no rows yet"),
        Level::Green => Health::green("rows are written as they fire"),
        level => Health::new(
            level,
            format!(
                "rows have waited for their table for {}; they are safe in the state; see the log for the reason",
                length(oldest)
            ),
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
            ("in flight", bytes(processor.request_bytes)),
        ],
    }
}
