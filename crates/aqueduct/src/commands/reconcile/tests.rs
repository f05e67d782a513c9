//! Missing offsets and rows are found, with the stage.

use event::{
    EventTime, Mark, Millis, Partition,
    mark::{LogEnd, MarkRange, PartitionMark, Reason, TopicMark},
};
use flow::{
    Flow, FlowSettings,
    append::{Body, Table},
};
use kafka::survey::{Log, Survey as Logs};
use processor::{
    core::{Core, Data},
    frontier::Limits,
    outbox::Outbox,
};

use super::{
    findings::{Findings, Missing, Stage},
    text,
};
use crate::survey::{State, Survey, Tables, WriterSurvey};

const NOW: EventTime = EventTime(1_000_000);

fn partition() -> Partition {
    Partition { topic: "events".into(), incarnation: "a".into(), partition: 0 }
}

fn core() -> Core {
    let events = serde_json::from_value(serde_json::json!({ "time": "/t" })).expect("the section");
    let flow: FlowSettings = serde_json::from_value(serde_json::json!({
        "name": "f", "by": { "page": "/p" }, "views": { "/k": "v" }, "clicks": { "/k": "c" }, "window": { "size": "10s" },
    }))
    .expect("the flow");
    let flow = Flow::try_from(flow).expect("the flow makes sense");
    let limits = Limits { idle_after: Millis(1), hole_limit: Millis(600_000), cold_start: Millis(1) };
    Core::new(&events, vec![flow], limits, NOW)
}

/// A state with these offsets received, and one mark with these ranges.
pub(crate) fn survey(
    received: &[u64],
    ranges: &[(u64, u64, Reason)],
    log: (u64, u64, Option<u64>),
) -> Survey {
    let mut core = core();
    let partition = partition();
    for &offset in received {
        let payload = br#"{"t":990000,"k":"v","p":"x"}"#;
        let data =
            Data { position: Some((&partition, offset)), kafka_time: None, publish_time: NOW, payload };
        core.data(&data, NOW);
    }
    let (low, high, committed) = log;
    let range = |(from, to, reason): &(u64, u64, Reason)| MarkRange {
        from: *from,
        to: *to,
        reason: reason.clone(),
        pointer: None,
    };
    let entry = PartitionMark {
        partition: partition.clone(),
        ranges: ranges.iter().map(range).collect(),
        position: high,
        committed,
        end: Some(LogEnd { offset: high, asked_at: NOW }),
    };
    let topic = TopicMark { topic: "events".into(), incarnation: "a".into(), partitions: 1, asked_at: NOW };
    let mark = Mark {
        version: 1,
        replica: "r".into(),
        sequence: 1,
        partitions: vec![entry],
        topics: vec![topic],
        outputs: Vec::new(),
    };
    core.mark(&mark, NOW, NOW);
    core.tick(NOW);
    let state = State {
        place: "memory".to_owned(),
        checkpoint: Some(1),
        written_at: Some(NOW),
        core,
        added: Vec::new(),
        takeover_after: Millis(15_000),
        memory: 1 << 30,
    };
    let logs =
        Logs { logs: vec![Log { partition, low, high, committed }], missing: Vec::new(), members: Some(1) };
    let outbox = Outbox::default();
    let writers = vec![WriterSurvey { name: "sqlite".into(), outbox, tables: Ok(Tables::default()) }];
    Survey { at: NOW, state, logs: Ok(logs), writers, parked: Vec::new() }
}

#[track_caller]
fn check(survey: &Survey, expected: &[(u64, u64, Stage)], verdict: &str) {
    let findings = Findings::of(survey);
    let expected: Vec<Missing> =
        expected.iter().map(|&(from, to, stage)| Missing { from, to, stage }).collect();
    assert_eq!(findings.partitions[0].missing, expected);
    assert_eq!(findings.nothing_missing, verdict == "nothing is missing");
    let text = text::of(&findings);
    assert!(text.ends_with(&format!("\n{verdict}\n")), "{text}");
}

#[test]
fn an_accounted_log_is_complete() {
    let rejected = Reason::Rejected("not-json".to_owned());
    // The tail is a control record, which no message carries.
    let ranges = [(0, 10, Reason::Before), (12, 13, rejected), (15, 16, Reason::Empty)];
    let complete = survey(&[10, 11, 13, 14], &ranges, (10, 16, Some(16)));
    check(&complete, &[], "nothing is missing");
    let finding = &Findings::of(&complete).flows[0];
    assert_eq!((finding.total, finding.accounted, finding.balanced), (16, 16, true));
    assert_eq!(finding.ledger.get(event::ledger::Outcome::Rejected), 1);
}

#[test]
fn missing_offsets_are_reported_by_stage() {
    let gaps = survey(&[0, 1, 4, 7], &[(2, 3, Reason::Lost)], (1, 9, Some(6)));
    let expected = [
        (2, 3, Stage::Lost),
        (3, 4, Stage::NotReceived),
        (5, 6, Stage::NotReceived),
        (6, 7, Stage::NotCommitted),
        (8, 9, Stage::NotCommitted),
    ];
    let verdict = "missing: 2 offsets not committed by the connector, \
                   2 offsets committed and not received by the processor, one offset lost";
    check(&gaps, &expected, verdict);
}

#[test]
fn records_deleted_by_retention_are_lost() {
    let taken = survey(&[0], &[], (3, 5, Some(1)));
    check(
        &taken,
        &[(1, 3, Stage::Lost), (3, 5, Stage::NotCommitted)],
        "missing: 2 offsets not committed by the connector, 2 offsets lost",
    );
}

#[test]
fn earlier_incarnations_are_not_expected() {
    let mut remade = survey(&[0, 2], &[], (0, 3, Some(3)));
    let other = Partition { incarnation: "b".into(), ..partition() };
    let log = Log { partition: other, low: 0, high: 0, committed: None };
    remade.logs = Ok(Logs { logs: vec![log], missing: Vec::new(), members: Some(1) });
    check(&remade, &[(1, 2, Stage::Lost)], "missing: one offset lost");
}

#[test]
fn sent_rows_must_be_in_the_table() {
    let mut rows = survey(&[0], &[], (0, 1, Some(1)));
    let table = Table::Flow("f".into());
    rows.writers[0].outbox.open(&table, "s".to_owned());
    rows.writers[0]
        .outbox
        .push(&table, vec![Body { rows: 3, bytes: vec![1] }, Body { rows: 2, bytes: vec![2] }]);
    rows.writers[0].outbox.done(0);
    for (there, verdict) in [
        (2, "missing: 3 rows"),
        // The last request may have arrived without a recorded response.
        (5, "nothing is missing"),
    ] {
        rows.writers[0].tables.as_mut().expect("it answers").rows.insert(table.clone(), Ok(there));
        check(&rows, &[], verdict);
    }
    let finding = &Findings::of(&rows).tables[0];
    assert_eq!((finding.sent, finding.waiting), (5, 2));

    // A new stream receives the waiting rows; those of the old one must still be in the table.
    rows.writers[0].outbox.open(&table, "t".to_owned());
    for (there, verdict) in [(4, "missing: one row"), (5, "nothing is missing")] {
        rows.writers[0].tables.as_mut().expect("it answers").rows.insert(table.clone(), Ok(there));
        check(&rows, &[], verdict);
    }
    let finding = &Findings::of(&rows).tables[0];
    assert_eq!((finding.sent, finding.waiting), (5, 2));
}

#[test]
fn an_unreachable_service_is_not_complete() {
    let mut deaf = survey(&[0, 2], &[], (0, 3, Some(3)));
    deaf.logs = Err("Kafka does not answer".to_owned());
    let verdict = "missing: one offset committed and not received by the processor; incomplete: 1 source could not be read";
    check(&deaf, &[(1, 2, Stage::NotReceived)], verdict);
    assert!(text::of(&Findings::of(&deaf)).starts_with("not available: Kafka does not answer\n"));
}
