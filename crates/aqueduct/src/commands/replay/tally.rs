//! What a replay counted, for the summary on standard error: reasons and positions, never a value.

use std::{fmt, time::Duration};

use anyhow::bail;
use connector::message::Origin;
use event::{EventTime, ledger::Outcome};
use processor::{engine::FlowState, joins::Joins};

/// The position of a record.
#[derive(Clone, Copy, Debug)]
pub(super) enum At<'a> {
    /// A line of a file.
    Line(&'a str, u64),
    /// An offset of a partition, with Kafka's timestamp.
    Offset(&'a Origin, u64, Option<EventTime>),
}

/// Counts of a replay.
#[derive(Debug, Default)]
pub(super) struct Tally {
    records: u64,
    partitions: usize,
    rejected: u64,
    rejects: Vec<Complaint>,
    late: Vec<Late>,
    /// Events of files that were rejected as far ahead of their neighbours.
    out_of_line: u64,
    /// Event times in the first month after the epoch.
    in_january_1970: u64,
}

#[derive(Debug)]
struct Complaint {
    reason: &'static str,
    pointer: Option<String>,
    count: u64,
    first: Vec<String>,
}

/// Late events of one flow.
#[derive(Clone, Debug, Default)]
struct Late {
    seen: u64,
    first: Vec<String>,
}

/// Number of positions reported for each reason.
const POSITIONS: usize = 5;

impl Tally {
    pub(super) fn new(flows: usize, partitions: usize) -> Self {
        Self { partitions, late: vec![Late::default(); flows], ..Self::default() }
    }

    /// A record was read.
    pub(super) fn record(&mut self) {
        self.records += 1;
    }

    /// An event was rejected as `future` because of its neighbours in its file.
    pub(super) fn out_of_line(&mut self) {
        self.out_of_line += 1;
    }

    /// The time of an event that could be read.
    pub(super) fn time(&mut self, time: Option<EventTime>) {
        self.in_january_1970 += u64::from(time.is_some_and(looks_like_seconds));
    }

    /// The message for input without any usable record.
    pub(super) fn all_rejected(&self, flows: &[FlowState]) -> Option<String> {
        let is_rejected = |flow: &FlowState| flow.ledger.get(Outcome::Rejected) == self.records;
        if self.records == 0 || !flows.iter().all(is_rejected) {
            return None;
        }
        let most = self.rejects.iter().max_by_key(|complaint| complaint.count);
        let reason = most.map_or("", |complaint| complaint.reason);
        Some(format!("all {} records were rejected, most of them with {reason}", self.records))
    }

    /// It was rejected by the anonymiser, or by at least one flow.
    pub(super) fn reject(&mut self, reason: &'static str, pointer: Option<&str>, at: At<'_>) {
        self.rejected += 1;
        let same = |known: &&mut Complaint| known.reason == reason && known.pointer.as_deref() == pointer;
        let complaint = match self.rejects.iter_mut().find(same) {
            Some(complaint) => complaint,
            None => {
                let pointer = pointer.map(str::to_owned);
                self.rejects.push(Complaint { reason, pointer, count: 0, first: Vec::new() });
                self.rejects.last_mut().expect("one was just added")
            }
        };
        complaint.count += 1;
        note(&mut complaint.first, at);
    }

    /// Notes the positions of the first late events.
    pub(super) fn look_for_late(&mut self, flows: &[FlowState], at: At<'_>) {
        for (late, flow) in self.late.iter_mut().zip(flows) {
            let count = flow.ledger.get(Outcome::Late);
            if count > late.seen {
                late.seen = count;
                note(&mut late.first, at);
            }
        }
    }

    /// Every record has exactly one outcome in each flow.
    pub(super) fn check(&self, flows: &[FlowState]) -> anyhow::Result<()> {
        for flow in flows {
            let (total, pending) = (flow.ledger.total(), flow.ledger.get(Outcome::Pending));
            if total != self.records || pending > 0 || flow.imbalances > 0 {
                bail!(
                    "flow {} accounts for {total} of {} records, {pending} of them pending; this is a bug, \
                     please report it with these numbers",
                    flow.name(),
                    self.records
                );
            }
        }
        Ok(())
    }

    /// The summary; `written` is `None` if the output is not complete.
    pub(super) fn summary(&self, flows: &[FlowState], took: Duration, written: Option<&str>) -> String {
        let mut lines = Vec::new();
        for Complaint { reason, pointer, count, first } in &self.rejects {
            let pointer = pointer.as_ref().map(|pointer| format!(" at {pointer}")).unwrap_or_default();
            lines.push(format!("rejected {count}: {reason}{pointer} ({})", positions(*count, first)));
        }
        for (Late { seen, first }, flow) in self.late.iter().zip(flows).filter(|(late, _)| late.seen > 0) {
            lines.push(format!("late {seen} in flow {} ({})", flow.name(), positions(*seen, first)));
        }
        if self.out_of_line > 0 {
            lines.push(format!(
                "note: files have no Kafka timestamps; {} events were rejected as future because they are far ahead of \
                 their neighbours in the file",
                self.out_of_line
            ));
        }
        if self.in_january_1970 > 0 {
            lines.push(format!(
                "warning: {} event times are in January 1970: numbers are milliseconds since the epoch, and these look \
                 like seconds",
                self.in_january_1970
            ));
        }
        flows.iter().for_each(|flow| lines.extend(of_flow(flow)));
        let seconds = took.as_secs_f64();
        let rate = self.records as f64 / seconds.max(1e-3);
        let sources = if self.partitions == 1 { "partition" } else { "partitions" };
        let records = if self.records == 1 { "record" } else { "records" };
        let end = written.map_or("; no output was written".to_owned(), |written| format!(": {written}"));
        lines.push(format!(
            "{} {records} of {} {sources}, {} rejected, in {seconds:.1} s ({rate:.0} events/s){end}\n",
            self.records, self.partitions, self.rejected
        ));
        lines.join("\n")
    }
}

fn of_flow(flow: &FlowState) -> impl Iterator<Item = String> {
    let over_limit = flow.joins.as_ref().map_or(0, Joins::over_limit);
    let warning = format!(
        "warning: flow {}: {over_limit} views and clicks were counted without the join, because a value of join.on has more \
         live events than join.limit; check for a placeholder value, or increase the limit",
        flow.name()
    );
    let shown = |(outcome, count): &(Outcome, u64)| *count > 0 || *outcome == Outcome::Counted;
    let parts =
        flow.ledger.iter().filter(shown).map(|(outcome, count)| format!("{count} {}", outcome.as_str()));
    let parts: Vec<String> = parts.collect();
    let ledger = format!("flow {}: {} = {}", flow.name(), flow.ledger.total(), parts.join(" + "));
    (over_limit > 0).then_some(warning).into_iter().chain([ledger])
}

/// Seconds since the epoch, read as milliseconds, are in January 1970 until the year 2054.
fn looks_like_seconds(time: EventTime) -> bool {
    const FEBRUARY: EventTime = EventTime(31 * 86_400_000);
    (EventTime(0)..FEBRUARY).contains(&time)
}

fn note(first: &mut Vec<String>, at: At<'_>) {
    if first.len() < POSITIONS {
        first.push(at.to_string());
    }
}

/// The first positions, and how many more there are.
fn positions(count: u64, first: &[String]) -> String {
    let more = count - first.len() as u64;
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    first.join(", ") + &more
}

impl At<'_> {
    pub(super) fn kafka_time(self) -> Option<EventTime> {
        match self {
            Self::Line(..) => None,
            Self::Offset(_, _, time) => time,
        }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(file, line) => write!(f, "{file}:{line}"),
            Self::Offset(origin, offset, _) => write!(f, "{}@{offset}", origin.partition()),
        }
    }
}

#[cfg(test)]
mod tests {
    use flow::{Flow, FlowSettings};
    use processor::engine::Engine;

    use super::*;

    #[test]
    fn an_inconsistent_ledger_is_an_error() {
        let settings: FlowSettings = serde_json::from_str(
            r#"{"name": "box_ctr", "by": {"page": "/page"}, "window": {"size": "10m"},
                "views": {"/type": "view"}, "clicks": {"/type": "click"}}"#,
        )
        .expect("a flow");
        let events = serde_json::from_str(r#"{"time": "/time"}"#).expect("[events]");
        // Nothing was counted.
        let engine = Engine::new(&events, vec![Flow::try_from(settings).expect("a flow")]);
        let mut tally = Tally::new(1, 1);
        tally.check(engine.flows()).expect("nothing was read");
        (0..3).for_each(|_| tally.record());
        assert_eq!(
            tally.check(engine.flows()).expect_err("three were read").to_string(),
            "flow box_ctr accounts for 0 of 3 records, 0 of them pending; this is a bug, please report it \
             with these numbers"
        );
    }
}
