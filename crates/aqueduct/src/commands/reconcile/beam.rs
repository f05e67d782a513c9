//! The findings about a pipeline of `engines/beam`. Pure.
//!
//! All flows count the same offsets, so the newest row of progress knows them best, and the others have to add up to the same
//! number. A row of progress may be up to a minute older than the rows; what is newer is not compared, and so not complete.

use flow::row::DEAD_LETTERS;
use report::words::counted;

use super::findings::{Findings, FlowFinding, PartitionFinding, TableFinding, not_compared, unread};
use crate::survey::beam::{Progress, Survey};

const VALUES: &str = "the values in the rows, because this engine keeps no state that could be read; \
                      `aqueduct replay --kafka --final` computes them again";

pub(super) fn findings(survey: &Survey) -> Findings {
    let topics = survey.topics.iter().map(|topic| not_compared(topic));
    let refusals = survey.written().next().map(|(_, written)| &*written.refusals).unwrap_or_default();
    let is_available = survey.logs.is_ok();
    let partitions = survey.tracks().into_iter();
    let mut findings = Findings {
        nothing_missing: false,
        unreachable: unread(&survey.logs),
        not_compared: topics.chain([VALUES.to_owned()]).collect(),
        partitions: partitions
            .map(|(of, (track, log))| PartitionFinding::of(of, (&track, log), refusals, is_available))
            .collect(),
        refused: refusals.to_vec(),
        flows: Vec::new(),
        tables: Vec::new(),
        windows: Vec::new(),
        stations: Vec::new(),
    };
    if survey.outputs.is_empty() {
        findings.unreachable.push("no writer has tables, so no row of progress can be read".to_owned());
    }
    for (name, output) in &survey.outputs {
        let written = match output {
            Ok(written) => written,
            Err(reason) => {
                findings.unreachable.push(format!("{name}: {reason}"));
                continue;
            }
        };
        for flow in &survey.flows {
            let Some((progress, newest)) = written.progress.get(flow).zip(survey.newest()) else {
                findings.unreachable.push(format!("{name}: flow {flow} has no row of progress"));
                continue;
            };
            findings.flows.push(of_flow(flow, progress, newest));
            let rows = written.panes.get(flow).copied().unwrap_or_default();
            findings.compare((name, flow), progress.detail.panes, rows);
        }
        if let Some(progress) = written.newest() {
            findings.compare((name, DEAD_LETTERS), progress.detail.dead_letters, written.dead_letters());
        }
    }
    findings.judged()
}

fn of_flow(flow: &str, progress: &Progress, newest: &Progress) -> FlowFinding {
    let (total, accounted) = (progress.row.ledger.total(), newest.detail.accounted);
    FlowFinding {
        flow: flow.to_owned(),
        is_new: false,
        ledger: progress.row.ledger,
        total,
        accounted,
        balanced: total == accounted,
    }
}

impl Findings {
    /// Compares a table with the number of its rows that progress knows of.
    fn compare(&mut self, (output, table): (&str, &str), sent: u64, rows: u64) {
        if rows > sent {
            self.unreachable.push(format!(
                "{output}: no row of progress covers the newest {} of {table}; one is written each minute",
                counted(rows - sent, "row", "rows")
            ));
        }
        self.tables.push(TableFinding {
            writer: output.to_owned(),
            table: table.to_owned(),
            sent,
            waiting: 0,
            rows: Some(rows),
            missing: sent.saturating_sub(rows),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use event::{EventTime, Ledger, Partition, ledger::Outcome};
    use flow::row::ProgressRow;
    use kafka::survey::{Log, Survey as Logs};
    use serde_json::json;
    use writer::Refusals;

    use super::*;
    use crate::{commands::reconcile::text, survey::beam::Written};

    fn row(at: i64, counted: u64, panes: u64) -> Progress {
        let mut ledger = Ledger::default();
        ledger.add(Outcome::Counted, counted);
        ledger.add(Outcome::Rejected, 2);
        let detail = json!({
            "panes": panes, "dead_letters": 2, "accounted": counted + 2,
            "partitions": [{
                "topic": "t", "incarnation": "i", "partition": 0, "accounted": [[0, counted + 2]], "lost": [],
            }],
        });
        let detail = serde_json::from_value(detail).expect("the column");
        Progress { row: ProgressRow { at: EventTime(at), watermark: EventTime(at), ledger }, detail }
    }

    /// Ten offsets are accounted for, and committed: eight counted and two rejected, in two flows.
    fn complete() -> Survey {
        let partition = Partition { topic: "t".into(), incarnation: "i".into(), partition: 0 };
        let refusal = |partition, rows| Refusals {
            topic: "t".to_owned(),
            partition,
            stage: "processor".to_owned(),
            reason: "time".to_owned(),
            rows,
        };
        let written = Written {
            progress: BTreeMap::from(["f", "g"].map(|flow| (flow.to_owned(), row(1, 8, 3)))),
            panes: BTreeMap::from(["f", "g"].map(|flow| (flow.to_owned(), 3))),
            // Of messages without a position, it is not known whether they are repetitions.
            refusals: vec![refusal(-1, 7), refusal(0, 2)],
        };
        let log = Log { partition, low: 0, high: 10, committed: Some(10) };
        Survey {
            at: EventTime(2),
            logs: Ok(Logs { logs: vec![log], missing: Vec::new(), members: Some(1) }),
            flows: vec!["f".to_owned(), "g".to_owned()],
            outputs: vec![("folder".to_owned(), Ok(written))],
            topics: Vec::new(),
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Survey, &mut Written), verdict: &str) {
        let mut survey = complete();
        let mut written = survey.outputs.remove(0).1.expect("it can be read");
        change(&mut survey, &mut written);
        survey.outputs.insert(0, ("folder".to_owned(), Ok(written)));
        let findings = findings(&survey);
        assert_eq!(findings.nothing_missing, verdict == "nothing is missing", "{findings:?}");
        let text = text::of(&findings);
        assert!(text.ends_with(&format!("\n{verdict}\n")), "{text}");
        assert!(text.contains("not compared: the values in the rows"), "{text}");
    }

    #[test]
    fn what_agrees_is_complete() {
        check(|_, _| {}, "nothing is missing");
    }

    #[test]
    fn offsets_are_compared_with_the_newest_progress() {
        let behind = |written: &mut Written, flow: &str| {
            written.progress.insert(flow.to_owned(), row(0, 5, 3));
        };
        check(|_, written| behind(written, "f"), "missing: one flow out of balance");
        check(
            |survey, written| {
                ["f", "g"].iter().for_each(|flow| behind(written, flow));
                survey.logs.as_mut().expect("logs").logs[0].committed = Some(9);
            },
            "missing: one offset not committed by the connector, \
             2 offsets committed and not received by the pipeline",
        );
        // Another incarnation of the topic was counted.
        check(
            |survey, _| survey.logs.as_mut().expect("logs").logs[0].partition.incarnation = "j".into(),
            "missing: 10 offsets committed and not received by the pipeline",
        );
    }

    #[test]
    fn every_row_and_dead_letter_is_missed() {
        check(|_, written| *written.panes.get_mut("g").expect("rows") -= 1, "missing: one row");
        check(|_, written| written.panes.clear(), "missing: 6 rows");
        check(|_, written| written.refusals[1].rows -= 1, "missing: one row");
    }

    #[test]
    fn newer_rows_are_not_complete() {
        let newer = |_: &mut Survey, written: &mut Written| *written.panes.get_mut("g").expect("rows") += 1;
        check(newer, "incomplete: 1 source could not be read");
    }

    #[test]
    fn what_cannot_be_read_is_not_complete() {
        let progress = |_: &mut Survey, written: &mut Written| drop(written.progress.remove("g"));
        check(progress, "incomplete: 1 source could not be read");
        check(
            |survey, _| survey.logs = Err("no answer".to_owned()),
            "incomplete: 1 source could not be read",
        );
        let other = |survey: &mut Survey, _: &mut Written| {
            survey.outputs.push(("other".to_owned(), Err("no answer".to_owned())));
        };
        check(other, "incomplete: 1 source could not be read");
        let mut nowhere = complete();
        nowhere.outputs.clear();
        assert!(!findings(&nowhere).nothing_missing);
    }
}
