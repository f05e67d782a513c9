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
fn check(facts: &Facts, id: &str, level: Level, words: &str) {
    let stations = stations(facts);
    let station = stations.iter().find(|station| station.id == id).expect("a station");
    assert_eq!(station.health.level, level, "{}", station.health.reason);
    assert!(station.health.reason.contains(words), "{}", station.health.reason);
    assert_eq!(overall(facts, &stations).level, level, "it is the worst");
}

#[test]
fn a_pipe_that_flows_is_green() {
    let facts = facts(Some(connector()), Some(processor()));
    for id in ["kafka", "connector", "pubsub", "processor", "tables"] {
        check(&facts, id, Level::Green, "");
    }
    assert_eq!(overall(&facts, &stations(&facts)).reason, "all is well");
}

#[test]
fn each_trouble_has_its_colour_and_its_words() {
    use Level::{Amber, Grey, Red};
    type Change = fn(&mut Connector, &mut Processor);
    let cases: [(Change, &str, Level, &str); 17] = [
        (|c, _| c.partitions = 0, "kafka", Amber, "no partition is assigned"),
        (|c, _| c.unread = 5, "kafka", Amber, "none is read"),
        (|c, _| (c.unread, c.rate.per_second) = (4_000, 100.0), "kafka", Amber, "40 s of reading behind"),
        (|c, _| (c.unread, c.rate.per_second) = (40_000, 100.0), "kafka", Red, "6 min 40 s"),
        (|c, _| c.oldest_ms = Some(20_000), "connector", Amber, "read 20 s ago is not in Pub/Sub"),
        (
            |c, _| c.rejected = [("not-json".to_owned(), 11)].into(),
            "connector",
            Amber,
            "most of them as not-json",
        ),
        (
            |c, _| c.without_record = [("lost".to_owned(), 1)].into(),
            "connector",
            Red,
            "retention took one offset before it was read: keep records longer",
        ),
        (|c, _| c.outage_ms = Some(3_000), "pubsub", Red, "has not answered for 3.0 s: look at the network"),
        (|_, p| p.partitions = hole(70_000), "pubsub", Red, "3 messages in one range"),
        (|_, p| p.last_mark_ms = Some(20_000), "processor", Red, "no mark for 20 s"),
        (|_, p| p.last_mark_ms = None, "processor", Grey, "no mark has come yet"),
        (|_, p| p.told_ms = Some(11_000), "processor", Red, "told nothing of itself"),
        (|_, p| p.state_bytes = 800, "processor", Amber, "80 % of [state] memory"),
        (|_, p| p.flows[0].delay_ms = Some(100_000), "processor", Amber, "held by events[2]"),
        (
            |_, p| (p.flows[0].delay_ms, p.is_caught_up) = (Some(72_000_000), false),
            "processor",
            Amber,
            "reads a backlog",
        ),
        (|_, p| p.flows[0].delay_ms = Some(72_000_000), "processor", Red, "20 h behind"),
        (|_, p| p.oldest_request_ms = Some(61_000), "tables", Red, "1 min 1 s; they are safe"),
    ];
    for (change, id, level, words) in cases {
        let (mut connector, mut processor) = (connector(), processor());
        change(&mut connector, &mut processor);
        check(&facts(Some(connector), Some(processor)), id, level, words);
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
    assert_eq!(*health, Health::amber("waits for Pub/Sub; nothing is lost"));
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
    assert!(health.level == Level::Red && health.reason.contains("one offset is lost"), "{}", health.reason);
    let unpositioned = Processor { has_unpositioned: true, ..processor() };
    assert_eq!(ledger(&unpositioned, &Flow { total: 3, ..super::tests::flow() }).level, Level::Green);
}

#[test]
fn records_are_published_refused_or_on_their_way() {
    let check = |published, level, words: &str| {
        let rejected = [("not-json".to_owned(), 100)].into();
        let health = records(&Connector { published, rejected, ..connector() });
        assert!(health.level == level && health.reason.contains(words), "{health:?}");
    };
    check(900, Level::Green, "every record is published or refused");
    check(850, Level::Green, "with 50 on their way");
    check(901, Level::Red, "1,000 records were read and 1,001 are published or refused");
    assert_eq!(records(&Connector::default()).level, Level::Grey);
}
