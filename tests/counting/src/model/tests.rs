//! The model on cases that are counted by hand.

use super::*;
use crate::settings::{Events, Join, MINUTE, Matcher, Scalar};

/// Type, time in minutes, `on` or id.
type Line = (&'static str, i64, &'static str);

fn flow(lateness: i64, join: Option<i64>) -> Flow {
    let kind = |kind| Matcher(vec![("/type".to_owned(), vec![Scalar::Text(kind)])]);
    let on = || "/on".to_owned();
    Flow {
        name: "f".to_owned(),
        by: vec![("page".to_owned(), "/page".to_owned())],
        views: kind("view"),
        clicks: kind("click"),
        size: 10 * MINUTE,
        period: 10 * MINUTE,
        time: Kind::Event,
        out_of_orderness: 0,
        allowed_lateness: lateness * MINUTE,
        early: None,
        join: join.map(|within| Join { view: on(), click: on(), within: within * MINUTE }),
    }
}

/// Judges lines of one file; rows by the minute at which the window begins.
fn check(flow: Flow, id: Option<&str>, lines: &[Line], rows: &[(i64, [i64; 3])], outcomes: &[(&str, i64)]) {
    let events = Events {
        time: "/time".to_owned(),
        future: MINUTE,
        id: id.map(str::to_owned),
        id_within: 10 * MINUTE,
        topics: BTreeMap::new(),
    };
    let settings = Settings { topics: vec![("events".to_owned(), 1)], events, flows: vec![flow] };
    let record = |(number, (kind, minute, on)): (usize, &Line)| Record {
        number: number as u32,
        partition: 0,
        kafka_time: None,
        publish_time: 1_000 * MINUTE,
        content: Content::Object(vec![
            ("type".to_owned(), format!("{kind:?}")),
            ("time".to_owned(), (minute * MINUTE).to_string()),
            ("on".to_owned(), format!("{on:?}")),
            ("page".to_owned(), "\"a\"".to_owned()),
        ]),
    };
    let records: Vec<Record> = lines.iter().enumerate().map(record).collect();
    let read = (0..lines.len()).flat_map(|n| [Action::Data(n as u32, n as u64), Action::Tick]);
    let actions: Vec<Action> = read.chain([Action::EndOf(0), Action::Tick]).collect();
    let case = Case { seed: 0, settings, records, steps: Vec::new(), batched: false };
    let judged = judge(&case, &actions, true, |_| true);
    assert_eq!(judged.undecided, Vec::<u32>::new());
    let (_, found, ledger) = &judged.flows[0];
    let found = found.iter().filter(|(_, counts)| **counts != [0; 3]);
    let found: Vec<(i64, [i64; 3])> = found.map(|((start, _), counts)| (start / MINUTE, *counts)).collect();
    assert_eq!(found, rows);
    let outcomes: BTreeMap<&str, i64> = outcomes.iter().copied().collect();
    let ledger: BTreeMap<&str, i64> =
        ledger.iter().filter(|(_, count)| **count != 0).map(|(outcome, count)| (*outcome, *count)).collect();
    assert_eq!(ledger, outcomes);
}

#[test]
fn late_clicks_of_one_view_are_attributed_once() {
    let lines = [("view", 0, "v"), ("click", 1, "v"), ("other", 60, "x"), ("click", 5, "v")];
    check(flow(60, Some(30)), None, &lines, &[(0, [1, 2, 1])], &[("counted", 3), ("ignored", 1)]);
}

#[test]
fn a_click_counts_where_its_own_window_is_open() {
    let lines = [("view", 0, "v"), ("other", 87, "x"), ("click", 24, "v")];
    let rows = [(0, [1, 0, 0]), (20, [0, 1, 0])];
    check(flow(60, Some(25)), None, &lines, &rows, &[("counted", 2), ("ignored", 1)]);
}

#[test]
fn a_nearer_view_takes_a_click_over() {
    let lines = [("view", 0, "v"), ("click", 12, "v"), ("view", 11, "v"), ("click", 50, "v")];
    let rows = [(0, [1, 0, 0]), (10, [1, 1, 1])];
    check(flow(60, Some(30)), None, &lines, &rows, &[("counted", 3), ("unmatched", 1)]);
}

#[test]
fn what_is_over_takes_nothing() {
    let lines =
        [("view", 0, "v"), ("other", 29, "x"), ("view", 19, "v"), ("view", 20, "v"), ("click", 9, "v")];
    let rows = [(0, [1, 0, 0]), (20, [1, 0, 0])];
    check(flow(0, None), None, &lines, &rows, &[("counted", 2), ("ignored", 1), ("late", 2)]);
}

#[test]
fn an_id_has_all_its_times() {
    let lines = [("view", 0, "x"), ("view", 20, "x"), ("view", 0, "x"), ("view", 20, "x"), ("view", 10, "x")];
    let rows = [(0, [1, 0, 0]), (20, [1, 0, 0])];
    check(flow(60, None), Some("/on"), &lines, &rows, &[("counted", 2), ("duplicate", 3)]);
}

#[test]
fn an_ignored_event_takes_no_id() {
    let lines = [("other", 0, "x"), ("view", 0, "x"), ("view", 0, "x")];
    let outcomes = [("counted", 1), ("duplicate", 1), ("ignored", 1)];
    check(flow(60, None), Some("/on"), &lines, &[(0, [1, 0, 0])], &outcomes);
}
