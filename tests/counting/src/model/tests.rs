//! The model on cases that were counted by hand.

use super::*;
use crate::settings::{Events, Join, MINUTE, Matcher, Measure, Scalar, Unit, What, Window};

/// Type, time in minutes, `on` or id.
type Line = (&'static str, i64, &'static str);
/// The minute at which a window begins, and its values.
type Counted<'a> = (i64, &'a [i64]);

fn flow(lateness: i64, join: Option<i64>) -> Flow {
    let kind = |kind| Matcher(vec![("/type".to_owned(), vec![Scalar::Text(kind)])]);
    let on = || "/on".to_owned();
    Flow {
        name: "f".to_owned(),
        by: vec![("page".to_owned(), "/page".to_owned())],
        events: None,
        ctr: Some([kind("view"), kind("click")]),
        measures: Vec::new(),
        ratios: Vec::new(),
        window: Window::Sliding(10 * MINUTE, 10 * MINUTE),
        time: Kind::Event,
        out_of_orderness: 0,
        allowed_lateness: lateness * MINUTE,
        early: None,
        join: join.map(|within| Join { view: on(), click: on(), within: within * MINUTE }),
    }
}

/// Evaluates the lines of one file; rows by the minute at which the window begins.
fn check(flow: Flow, id: Option<&str>, lines: &[Line], rows: &[Counted<'_>], outcomes: &[(&str, i64)]) {
    let events = Events {
        time: "/time".to_owned(),
        future: MINUTE,
        id: id.map(str::to_owned),
        id_within: 10 * MINUTE,
        topics: BTreeMap::new(),
    };
    let settings = Settings { topics: vec![("events".to_owned(), 1)], events, editions: vec![vec![flow]] };
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
            ("price".to_owned(), minute.to_string()),
        ]),
    };
    let records: Vec<Record> = lines.iter().enumerate().map(record).collect();
    let read = (0..lines.len()).flat_map(|n| [Action::Data(n as u32, n as u64), Action::Tick]);
    let actions: Vec<Action> = read.chain([Action::EndOf(0), Action::Tick]).collect();
    let case = Case { seed: 0, settings, records, steps: Vec::new(), batched: false };
    let judged = judge(&case, &actions, true, |_| true);
    assert_eq!(judged.undecided, Vec::<u32>::new());
    let flow = &judged.flows[0];
    let mut found: Vec<(i64, Vec<i64>)> = Vec::new();
    for (place, changes) in flow.places() {
        let values = flow.epoch.values(&place, &changes).into_iter().map(|value| match value {
            Expected::Count(count) => count,
            Expected::Number(number) => number.parse().expect("prices are whole"),
            Expected::Distinct(items) => items.len() as i64,
            Expected::Null => -1,
        });
        let values: Vec<i64> = values.collect();
        if values.iter().any(|value| *value != 0) {
            found.push((place.0.0 / MINUTE, values));
        }
    }
    let rows: Vec<(i64, Vec<i64>)> = rows.iter().map(|(start, values)| (*start, values.to_vec())).collect();
    assert_eq!(found, rows);
    let outcomes: BTreeMap<&str, i64> = outcomes.iter().copied().collect();
    let ledger = flow.ledger.iter().filter(|(_, count)| **count != 0);
    let ledger: BTreeMap<&str, i64> = ledger.map(|(outcome, count)| (*outcome, *count)).collect();
    assert_eq!(ledger, outcomes);
}

#[test]
fn late_clicks_of_one_view_are_attributed_once() {
    let lines = [("view", 0, "v"), ("click", 1, "v"), ("other", 60, "x"), ("click", 5, "v")];
    check(flow(60, Some(30)), None, &lines, &[(0, &[1, 2, 1])], &[("counted", 3), ("ignored", 1)]);
}

#[test]
fn a_click_counts_where_its_own_window_is_open() {
    let lines = [("view", 0, "v"), ("other", 87, "x"), ("click", 24, "v")];
    let rows: [Counted<'_>; 2] = [(0, &[1, 0, 0]), (20, &[0, 1, 0])];
    check(flow(60, Some(25)), None, &lines, &rows, &[("counted", 2), ("ignored", 1)]);
}

#[test]
fn a_nearer_view_takes_a_click_over() {
    let lines = [("view", 0, "v"), ("click", 12, "v"), ("view", 11, "v"), ("click", 50, "v")];
    let rows: [Counted<'_>; 2] = [(0, &[1, 0, 0]), (10, &[1, 1, 1])];
    check(flow(60, Some(30)), None, &lines, &rows, &[("counted", 3), ("unmatched", 1)]);
}

#[test]
fn closed_windows_change_no_count() {
    let lines =
        [("view", 0, "v"), ("other", 29, "x"), ("view", 19, "v"), ("view", 20, "v"), ("click", 9, "v")];
    let rows: [Counted<'_>; 2] = [(0, &[1, 0]), (20, &[1, 0])];
    check(flow(0, None), None, &lines, &rows, &[("counted", 2), ("ignored", 1), ("late", 2)]);
}

#[test]
fn an_id_keeps_all_its_times() {
    let lines = [("view", 0, "x"), ("view", 20, "x"), ("view", 0, "x"), ("view", 20, "x"), ("view", 10, "x")];
    let rows: [Counted<'_>; 2] = [(0, &[1, 0]), (20, &[1, 0])];
    check(flow(60, None), Some("/on"), &lines, &rows, &[("counted", 2), ("duplicate", 3)]);
}

#[test]
fn an_ignored_event_takes_no_id() {
    let lines = [("other", 0, "x"), ("view", 0, "x"), ("view", 0, "x")];
    let outcomes = [("counted", 1), ("duplicate", 1), ("ignored", 1)];
    check(flow(60, None), Some("/on"), &lines, &[(0, &[1, 0])], &outcomes);
}

/// The value of a measure over events at these minutes.
fn priced(what: What, join: Option<i64>) -> Flow {
    let mut flow = flow(60, join);
    flow.measures.push(Measure { name: "m".to_owned(), what, events: None });
    flow
}

#[test]
fn further_measures_move_with_their_click() {
    let lines = [("view", 0, "v"), ("click", 13, "v"), ("view", 12, "v"), ("click", 44, "w")];
    for (what, first, second) in [
        (What::Count, 1, 2),
        (What::Sum("/price"), 0, 25),
        (What::Min("/price"), 0, 12),
        (What::Max("/price"), 0, 13),
        (What::Distinct("/on", false), 1, 1),
    ] {
        let rows: [Counted<'_>; 2] = [(0, &[1, 0, 0, first]), (10, &[1, 1, 1, second])];
        check(priced(what, Some(30)), None, &lines, &rows, &[("counted", 3), ("unmatched", 1)]);
    }
}

#[test]
fn sessions_merge_where_they_overlap() {
    let mut flow = priced(What::Sum("/price"), None);
    flow.window = Window::Session(5 * MINUTE);
    let lines = [
        ("view", 0, ""),
        ("view", 8, ""),
        ("view", 13, ""),
        ("view", 4, ""),
        ("view", 75, ""),
        ("view", 9, ""),
    ];
    let rows: [Counted<'_>; 3] = [(0, &[3, 0, 12]), (13, &[1, 0, 13]), (75, &[1, 0, 75])];
    check(flow, None, &lines, &rows, &[("counted", 5), ("late", 1)]);
}

#[test]
fn a_day_can_have_25_hours() {
    const HOUR: i64 = 60 * MINUTE;
    let start = 1_698_267_600_000;
    assert_eq!(calendar::holding(Unit::Day, "Africa/Cairo", start), (start, start + 25 * HOUR));
    assert_eq!(
        calendar::holding(Unit::Day, "Africa/Cairo", start + 25 * HOUR - 1),
        (start, start + 25 * HOUR)
    );
    let warsaw = calendar::holding(Unit::Day, "Europe/Warsaw", 1_698_541_200_000);
    assert_eq!(warsaw.1 - warsaw.0, 25 * HOUR);
    let week = calendar::holding(Unit::Week, "America/Toronto", 1_699_164_000_000);
    assert_eq!(week.1 - week.0, (7 * 24 + 1) * HOUR);
    let month = calendar::holding(Unit::Month, "Asia/Kathmandu", 1_699_164_000_000);
    assert_eq!(month.1 - month.0, 30 * 24 * HOUR);
}
