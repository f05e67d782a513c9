//! The processor and its tables: the watermark's delay, and what waits for a checkpoint or for a table.

use processor::view::{FlowView, WriterView};

use super::{
    DELAY, Health, Level, MEMORY, REPORT_LIMIT_MS, Station, WAIT, beyond, connector::marks, trouble,
};
use crate::{
    status::{Checkpoint, Processor, Status, Survey, Tables},
    words::{bytes, counted, length, number},
};

pub(super) fn processes(status: &Status, processor: &Processor) -> Station {
    let detail = &processor.detail;
    let own = &detail.own;
    let slowest = detail.flows.iter().filter_map(|flow| Some((flow.delay_ms?, flow))).max_by_key(|(d, _)| *d);
    let waits = match (own.unacknowledged, status.age(own.oldest_unacknowledged())) {
        (0, _) | (_, None) => "nothing".to_owned(),
        (count, Some(age)) => {
            format!(
                "{} for a checkpoint, the oldest for {}",
                counted(count as u64, "message", "messages"),
                length(age)
            )
        }
    };
    let checkpoint = match (status.age(own.last_checkpoint), own.checkpoint_millis) {
        (Some(ago), Some(took)) => {
            format!("{} ago, {} in {}", length(ago), bytes(own.checkpoint_bytes), length(took))
        }
        _ => "none yet".to_owned(),
    };
    let delay = slowest.map_or_else(|| "unknown".to_owned(), |(delay, _)| length(delay));
    Station {
        id: "processor",
        name: "processor",
        place: if detail.flows.len() == 1 {
            "windows".to_owned()
        } else {
            format!("{} flows", detail.flows.len())
        },
        health: processor_health(status, processor, slowest),
        rate: Some(processor.rate.clone()),
        rate_of: "new messages",
        waits,
        details: vec![
            ("watermark delay", delay),
            ("last checkpoint", checkpoint),
            ("state", format!("{} of {}", bytes(detail.state_bytes), bytes(own.memory))),
        ],
    }
}

fn processor_health(status: &Status, processor: &Processor, slowest: Option<(u64, &FlowView)>) -> Health {
    if let Some(health) = trouble(status, "state") {
        return health;
    }
    let detail = &processor.detail;
    if let Some(stopped) = status.survey.as_ref().and_then(|survey| stopped(status, survey)) {
        return stopped;
    }
    let Some(age) = status.age(detail.at) else { return Health::grey("starting") };
    if age > REPORT_LIMIT_MS {
        return Health::red(format!(
            "no report for {}: the host is overloaded, or the processor is stalled; restart it",
            length(age)
        ));
    }
    if let Some(health) = trouble(status, "checkpoints") {
        return health;
    }
    let used = 100 * detail.state_bytes / detail.own.memory.max(1);
    if beyond(used, MEMORY) > Level::Green {
        return Health::new(
            beyond(used, MEMORY),
            format!(
                "the live state uses {used} % of state.memory: increase it, or shorten windows or allowed_lateness"
            ),
        );
    }
    let checkpoint = status.survey.as_ref().map(|survey| checkpoint(status, &survey.state));
    let with = |reason: String| match &checkpoint {
        Some(checkpoint) => format!("{checkpoint}; {reason}"),
        None => reason,
    };
    if marks(status, processor).is_some() {
        // The connector is red for that.
        return Health::green(with("the watermark is waiting for the connector".to_owned()));
    }
    let Some((delay, flow)) = slowest else {
        return Health::grey(with(format!("no watermark yet: waiting for {}", detail.held_by)));
    };
    let delayed = format!("watermark delay {}", length(delay));
    match beyond(delay.saturating_sub(flow.out_of_orderness.0.unsigned_abs()), DELAY) {
        Level::Green => Health::green(with(delayed)),
        _ if !processor.is_caught_up => {
            let advice = "processing a backlog; no action needed while it shrinks";
            Health::amber(with(format!("{delayed}: {advice}")))
        }
        level => Health::new(level, with(format!("{delayed}; held back by {}", detail.held_by))),
    }
}

/// Why the last checkpoint shows that no processor is running.
fn stopped(status: &Status, survey: &Survey) -> Option<Health> {
    let state = &survey.state;
    let Some(age) = status.age(state.written_at) else {
        let reason = format!("not started: no checkpoint in {} yet; start `aqueduct processor`", state.place);
        return Some(Health::grey(reason));
    };
    let reason = "start `aqueduct processor`, or check its log";
    (!state.is_fresh(status.at)).then(|| Health::red(format!("no checkpoint for {}: {reason}", length(age))))
}

fn checkpoint(status: &Status, state: &Checkpoint) -> String {
    let age = status.age(state.written_at).unwrap_or(0);
    format!("checkpoint {}, {} ago", state.checkpoint.unwrap_or(0), length(age))
}

pub(super) fn tables(status: &Status, processor: &Processor) -> Station {
    let detail = &processor.detail;
    let oldest = status.age(detail.own.oldest_request).unwrap_or(0);
    let health = match (&status.survey, beyond(oldest, WAIT)) {
        (Some(survey), _) => found(status, survey),
        (None, Level::Green) if detail.at.is_none() => Health::grey("no rows yet"),
        (None, Level::Green) => Health::green("rows are written without delay"),
        (None, level) => {
            let waits = detail.writers.iter().filter(|writer| writer.oldest_request.is_some());
            let waiting = waits.min_by_key(|writer| writer.oldest_request);
            let whom = match waiting.filter(|_| detail.writers.len() > 1) {
                Some(writer) => format!("writer {}", writer.name),
                None => "their table".to_owned(),
            };
            let waited = length(oldest);
            let text = format!(
                "rows have waited {waited} for {whom} and are kept in the state; see the log for the reason"
            );
            Health::new(level, text)
        }
    };
    let waits = match detail.requests {
        0 => "nothing".to_owned(),
        count => {
            format!("{}, the oldest for {}", counted(count as u64, "request", "requests"), length(oldest))
        }
    };
    let mut details =
        vec![("rows since the start", number(processor.rows)), ("in flight", bytes(detail.request_bytes))];
    if detail.writers.len() > 1 {
        let writer = |writer: &WriterView| {
            let waiting = counted(writer.requests as u64, "request", "requests");
            format!("{}: {waiting}, {}", writer.name, bytes(writer.request_bytes))
        };
        let writers: Vec<String> = detail.writers.iter().map(writer).collect();
        details.push(("waiting by writer", writers.join("; ")));
    }
    Station {
        id: "tables",
        name: "tables",
        place: processor.to.clone(),
        health,
        rate: Some(processor.row_rate.clone()),
        rate_of: "rows added",
        waits,
        details,
    }
}

/// Whether the rows that were sent are in their tables.
fn found(status: &Status, survey: &Survey) -> Health {
    let (state, Tables { rows, waiting, missing }) = match &survey.tables {
        Ok(tables) => (&survey.state, *tables),
        Err(reason) => return Health::grey(reason),
    };
    if missing > 0 {
        let missing = counted(missing, "row that was sent is", "rows that were sent are");
        return Health::red(format!("{missing} missing: run `aqueduct reconcile`"));
    }
    let waiting = match waiting {
        0 => return Health::green(format!("{}; none waiting", counted(rows, "row", "rows"))),
        _ => counted(waiting, "row", "rows"),
    };
    if !state.is_fresh(status.at) {
        return Health::amber(format!("{waiting} in the state, waiting for the processor"));
    }
    // They wait for at least as long as the checkpoint is old.
    let level = beyond(status.age(state.written_at).unwrap_or(0), WAIT);
    Health::new(level, format!("{}; {waiting} in flight", counted(rows, "row", "rows")))
}
