//! What is green, amber and red.

use super::*;
use crate::facts::{Condition, Connector, Flow, Outcome, Partition, Processor};

fn flow() -> Flow {
    Flow {
        name: "box_ctr".into(),
        out_of_orderness_ms: 2_000,
        delay_ms: Some(3_000),
        ledger: vec![Outcome { outcome: "counted", offsets: 10 }, Outcome { outcome: "lost", offsets: 0 }],
        total: 10,
        ..Flow::default()
    }
}

fn processor() -> Processor {
    Processor {
        told_ms: Some(100),
        is_caught_up: true,
        accounted: 10,
        last_mark_ms: Some(500),
        memory_bytes: 1_000,
        held_by: "events[2]".into(),
        flows: vec![flow()],
        ..Processor::default()
    }
}

fn connector() -> Connector {
    Connector { is_known: true, partitions: 6, records: 1_000, ..Connector::default() }
}

fn facts(connector: Option<Connector>, processor: Option<Processor>) -> Facts {
    Facts {
        at: event::EventTime(1_000_000),
        version: "0",
        command: "demo",
        started_at: event::EventTime(0),
        conditions: Vec::new(),
        connector,
        processor,
    }
}

#[track_caller]
fn check(facts: &Facts, id: &str, level: Level, case: &str) {
    let stations = stations(facts);
    let station = stations.iter().find(|station| station.id == id).expect("a station");
    assert_eq!(station.health.level, level, "{case}: {}", station.health.reason);
    assert_eq!(overall(facts, &stations).level, level, "{case}: it is the worst");
}

#[test]
fn a_pipe_that_flows_is_green() {
    let facts = facts(Some(connector()), Some(processor()));
    for id in ["kafka", "connector", "pubsub", "processor", "tables"] {
        check(&facts, id, Level::Green, "");
    }
    assert_eq!(overall(&facts, &stations(&facts)).level, Level::Green);
}

#[test]
fn each_trouble_has_its_colour() {
    use Level::{Amber, Grey, Red};
    type Change = fn(&mut Connector, &mut Processor);
    let cases: [(Change, &str, Level); 17] = [
        (|c, _| c.partitions = 0, "kafka", Amber),
        (|c, _| c.unread = 5, "kafka", Amber),
        (|c, _| (c.unread, c.rate.per_second) = (4_000, 100.0), "kafka", Amber),
        (|c, _| (c.unread, c.rate.per_second) = (40_000, 100.0), "kafka", Red),
        (|c, _| c.oldest_ms = Some(20_000), "connector", Amber),
        (|c, _| c.rejected = [("not-json".to_owned(), 11)].into(), "connector", Amber),
        (|c, _| c.without_record = [("lost".to_owned(), 1)].into(), "connector", Red),
        (|c, _| c.outage_ms = Some(3_000), "pubsub", Red),
        (|_, p| p.partitions = hole(70_000), "pubsub", Red),
        (|_, p| p.last_mark_ms = Some(20_000), "processor", Red),
        (|_, p| p.last_mark_ms = None, "processor", Grey),
        (|_, p| p.told_ms = Some(11_000), "processor", Red),
        (|_, p| p.state_bytes = 800, "processor", Amber),
        (|_, p| p.flows[0].delay_ms = Some(100_000), "processor", Amber),
        (|_, p| (p.flows[0].delay_ms, p.is_caught_up) = (Some(72_000_000), false), "processor", Amber),
        (|_, p| p.flows[0].delay_ms = Some(72_000_000), "processor", Red),
        (|_, p| p.oldest_request_ms = Some(61_000), "tables", Red),
    ];
    for (number, (change, id, level)) in cases.into_iter().enumerate() {
        let (mut connector, mut processor) = (connector(), processor());
        change(&mut connector, &mut processor);
        check(&facts(Some(connector), Some(processor)), id, level, &format!("case {number}"));
    }
}

fn hole(age: u64) -> Vec<Partition> {
    vec![Partition { hole_count: 1, hole_offsets: 3, hole_ms: Some(age), ..Partition::default() }]
}

#[test]
fn a_connector_does_not_claim_to_publish_while_pubsub_is_away() {
    let connector = Connector { outage_ms: Some(3_000), ..connector() };
    let stations = stations(&facts(Some(connector), None));
    let health = &stations.iter().find(|station| station.id == "connector").expect("a station").health;
    assert_eq!(health.level, Level::Amber);
}

#[test]
fn a_condition_that_is_not_met_makes_its_station_red() {
    let mut facts = facts(Some(connector()), Some(processor()));
    facts.conditions = vec![Condition { name: "kafka", trouble: Some("no broker answers".into()) }];
    check(&facts, "kafka", Level::Red, "no broker answers");
    facts.conditions = vec![Condition {
        name: "state",
        trouble: Some("another processor holds the state; standing by".into()),
    }];
    check(&facts, "processor", Level::Amber, "standing by");
}

#[test]
fn a_ledger_balances_or_not() {
    let mut flow = flow();
    assert_eq!(ledger(&processor(), &flow).level, Level::Green);
    flow.before = 1;
    assert_eq!(ledger(&processor(), &flow).level, Level::Red, "11 are not 10");
    flow.before = 0;
    flow.ledger[1].offsets = 1;
    let health = ledger(&processor(), &flow);
    assert_eq!(health.level, Level::Red, "one offset is lost");
    let unpositioned = Processor { has_unpositioned: true, ..processor() };
    assert_eq!(ledger(&unpositioned, &Flow { total: 3, ..super::tests::flow() }).level, Level::Green);
}

#[test]
fn records_are_published_refused_or_on_their_way() {
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
