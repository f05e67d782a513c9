//! What is green, amber and red.

use ::processor::view::{Detail, FlowView, Own, PartitionView};
use event::{EventTime, Incarnation, Ledger, Millis, Partition, ledger::Outcome};
use flow::window::WindowKind;

use super::*;
use crate::status::{Condition, ConditionState, Connector, Processor};

const NOW: EventTime = EventTime(100_000_000);

fn ago(millis: i64) -> Option<EventTime> {
    Some(NOW - Millis(millis))
}

fn flow() -> FlowView {
    let mut ledger = Ledger::default();
    ledger.add(Outcome::Counted, 10);
    FlowView {
        name: "box_ctr".into(),
        columns: Vec::new(),
        measures: [].into(),
        windows: WindowKind::Sessions { gap: Millis(60_000) },
        out_of_orderness: Millis(2_000),
        allowed_lateness: Millis(0),
        watermark: ago(3_000),
        delay_ms: Some(3_000),
        ledger,
        before: 0,
        keys: 0,
        over_limit: 0,
        imbalances: 0,
    }
}

fn processor() -> Processor {
    let detail = Detail {
        at: ago(100),
        accounted: 10,
        held_by: "events[2]".into(),
        flows: vec![flow()],
        own: Own { last_mark: ago(500), memory: 1_000, ..Own::default() },
        ..Detail::default()
    };
    Processor { is_caught_up: true, detail, ..Processor::default() }
}

fn connector() -> Connector {
    Connector { is_known: true, partitions: 6, records: 1_000, ..Connector::default() }
}

fn status(connector: Option<Connector>, processor: Option<Processor>) -> Status {
    Status {
        at: NOW,
        version: "0",
        command: "demo",
        started_at: EventTime(0),
        conditions: Vec::new(),
        connector,
        processor,
        survey: None,
    }
}

#[track_caller]
fn check(status: &Status, id: &str, level: Level, case: &str) {
    let stations = stations(status);
    let station = stations.iter().find(|station| station.id == id).expect("a station");
    assert_eq!(station.health.level, level, "{case}: {}", station.health.reason);
    assert_eq!(overall(status, &stations).level, level, "{case}: it is the worst");
}

#[test]
fn a_healthy_pipeline_is_green() {
    let status = status(Some(connector()), Some(processor()));
    for id in ["kafka", "connector", "pubsub", "processor", "tables"] {
        check(&status, id, Level::Green, "");
    }
    assert_eq!(overall(&status, &stations(&status)).level, Level::Green);
}

#[test]
fn each_problem_has_its_level() {
    use Level::{Amber, Grey, Red};
    type Change = fn(&mut Connector, &mut Processor);
    let cases: [(Change, &str, Level); 18] = [
        (|c, _| c.partitions = 0, "kafka", Amber),
        (|c, _| c.unread = 5, "kafka", Amber),
        (|c, _| (c.unread, c.rate.per_second) = (4_000, 100.0), "kafka", Amber),
        (|c, _| (c.unread, c.rate.per_second) = (40_000, 100.0), "kafka", Red),
        (|c, _| c.oldest_ms = Some(20_000), "connector", Amber),
        (|c, _| c.rejected = [("not-json".to_owned(), 11)].into(), "connector", Amber),
        (|c, _| c.without_record = [("lost".to_owned(), 1)].into(), "connector", Red),
        (|c, _| c.outage_ms = Some(3_000), "pubsub", Red),
        (|_, p| p.detail.partitions = hole(70_000), "pubsub", Red),
        (|_, p| p.detail.own.last_mark = ago(31_000), "connector", Red),
        (|_, p| p.detail.own.last_mark = None, "connector", Grey),
        (|_, p| p.detail.partitions = requested(31_000), "connector", Red),
        (|_, p| p.detail.at = ago(11_000), "processor", Red),
        (|_, p| p.detail.state_bytes = 800, "processor", Amber),
        (|_, p| p.detail.flows[0].delay_ms = Some(100_000), "processor", Amber),
        (|_, p| (p.detail.flows[0].delay_ms, p.is_caught_up) = (Some(72_000_000), false), "processor", Amber),
        (|_, p| p.detail.flows[0].delay_ms = Some(72_000_000), "processor", Red),
        (|_, p| p.detail.own.oldest_request = ago(61_000), "tables", Red),
    ];
    for (number, (change, id, level)) in cases.into_iter().enumerate() {
        let (mut connector, mut processor) = (connector(), processor());
        change(&mut connector, &mut processor);
        check(&status(Some(connector), Some(processor)), id, level, &format!("case {number}"));
    }
}

fn requested(age: i64) -> Vec<PartitionView> {
    let partition = Partition { topic: "events".into(), incarnation: Incarnation::from("a"), partition: 0 };
    vec![PartitionView {
        partition,
        frontier: 0,
        committed: None,
        log_end: None,
        asked_at: ago(age),
        lag: None,
        holes: Vec::new(),
        hole_count: 0,
        hole_offsets: 0,
        hole_since: None,
        clock: None,
        is_idle: false,
    }]
}

fn hole(age: i64) -> Vec<PartitionView> {
    let mut partitions = requested(0);
    (partitions[0].hole_count, partitions[0].hole_offsets, partitions[0].hole_since) = (1, 3, ago(age));
    partitions
}

#[test]
fn a_connector_without_pubsub_is_not_publishing() {
    let connector = Connector { outage_ms: Some(3_000), ..connector() };
    let stations = stations(&status(Some(connector), None));
    let health = &stations.iter().find(|station| station.id == "connector").expect("a station").health;
    assert_eq!(health.level, Level::Amber);
}

#[test]
fn an_unmet_condition_is_red() {
    let mut status = status(Some(connector()), Some(processor()));
    status.conditions =
        vec![Condition { name: "kafka", state: ConditionState::Unmet("no broker answers".into()) }];
    check(&status, "kafka", Level::Red, "no broker answers");
    status.conditions = vec![Condition {
        name: "state",
        state: ConditionState::Idle("another processor holds the state".into()),
    }];
    check(&status, "processor", Level::Amber, "another processor");
}

#[test]
fn an_unbalanced_ledger_is_reported() {
    let (mut flow, detail) = (flow(), processor().detail);
    assert_eq!(ledger(&detail, &flow).level, Level::Green);
    flow.before = 1;
    assert_eq!(ledger(&detail, &flow).level, Level::Red, "11 are not 10");
    let unpositioned = Detail { has_unpositioned: true, ..detail.clone() };
    assert_eq!(ledger(&unpositioned, &flow).level, Level::Green);
    flow.before = 0;
    flow.ledger.shift(Outcome::Counted, Outcome::Lost, 1).expect("there are ten");
    assert_eq!(ledger(&detail, &flow).level, Level::Red, "one offset is lost");
}

#[test]
fn records_are_published_rejected_or_in_flight() {
    let check = |published, level| {
        let rejected = [("not-json".to_owned(), 100)].into();
        let health = records(&Connector { published, rejected, ..connector() });
        assert_eq!(health.level, level, "{published}: {health:?}");
    };
    check(900, Level::Green);
    check(850, Level::Green);
    check(901, Level::Red);
    assert_eq!(records(&Connector::default()).level, Level::Grey);
}
