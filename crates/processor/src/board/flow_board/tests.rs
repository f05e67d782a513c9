//! The board compared with what a query of the table would return.

use std::collections::BTreeMap;

use flow::{FlowSettings, Windows};
use proptest::prelude::*;
use smallvec::smallvec;

use super::*;

const MINUTE: i64 = 60_000;

fn flow() -> Flow {
    let settings: FlowSettings = serde_json::from_value(serde_json::json!({
        "name": "box_ctr", "by": { "page": "/page", "box": "/box" },
        "views": { "/type": "view" }, "clicks": { "/type": "click" },
        "window": { "size": "10m", "period": "1m" },
    }))
    .expect("a flow");
    Flow::try_from(settings).expect("a flow")
}

fn key(page: u8, name: u8) -> Key {
    [Some(format!("/P{page}")), Some(format!("b{name}"))].into_iter().collect()
}

fn row(key: Key, end: i64, counts: (u64, u64), (pane, index): (Pane, u32)) -> Row {
    let end = EventTime(end * MINUTE);
    Row {
        key,
        window: Window { start: end - Millis(10 * MINUTE), end },
        values: smallvec![Value::Count(counts.0), Value::Count(counts.1)],
        pane,
        pane_index: index,
        watermark: end,
        emitted_at: end,
        replaced: flow::row::Replaced::default(),
    }
}

const ON_TIME: (Pane, u32) = (Pane::OnTime, 0);

fn ask(find: &str) -> Ask {
    Ask { by: None, find: find.to_owned(), limit: 10 }
}

#[test]
fn the_newest_complete_window_is_shown() {
    let mut board = FlowBoard::new(&flow(), 1 << 20);
    assert_eq!(board.busiest(&ask("")).window, None);
    board.add(&[row(key(1, 1), 12, (5, 0), (Pane::Early, 0)), row(key(1, 1), 11, (9, 0), (Pane::Early, 0))]);
    let busiest = board.busiest(&ask(""));
    assert_eq!((busiest.window.map(|w| w.end.0), busiest.is_complete), (Some(11 * MINUTE), false));
    board.add(&[row(key(1, 1), 11, (20, 1), (Pane::OnTime, 1)), row(key(2, 1), 11, (30, 2), ON_TIME)]);
    board.add(&[row(key(1, 1), 11, (40, 1), (Pane::Late, 2))]);
    let busiest = board.busiest(&ask(""));
    assert!(busiest.is_complete);
    let views: Vec<_> =
        busiest.rows.iter().map(|row| (row.key[0].as_deref(), weight(&row.measured.values))).collect();
    assert_eq!(views, [(Some("/P1"), 40), (Some("/P2"), 30)], "a late pane replaces what was on time");
    assert_eq!(board.busiest(&ask(" p2 ")).rows.len(), 1, "whatever the case");
    assert_eq!(board.busiest(&ask("nowhere")).found, 0);
}

#[test]
fn keys_of_one_page_are_added_up() {
    let mut board = FlowBoard::new(&flow(), 1 << 20);
    for end in 11..=12 {
        board.add(&[row(key(1, 1), end, (10, 1), ON_TIME), row(key(1, 2), end, (20, 3), ON_TIME)]);
    }
    board.add(&[row(key(2, 1), 12, (25, 1), ON_TIME)]);
    let pages = board.busiest(&Ask { by: Some(0), limit: 1, ..ask("") });
    assert_eq!((pages.found, pages.rows.len(), pages.rows[0].keys), (2, 1, 2));
    assert_eq!(pages.rows[0].measured.values[..], [Value::Count(30), Value::Count(4)]);
    let course: Vec<_> = pages.rows[0]
        .course
        .iter()
        .map(|point| (point.end.0 / MINUTE, weight(&point.measured.values)))
        .collect();
    assert_eq!(course, [(11, 30), (12, 30)]);
}

#[test]
fn the_panes_of_a_key_stand_side_by_side() {
    let mut board = FlowBoard::new(&flow(), 1 << 20);
    for index in 0..5 {
        board.add(&[row(key(1, 1), 11, (u64::from(index), 0), (Pane::Early, index))]);
    }
    board.add(&[row(key(1, 1), 11, (7, 0), (Pane::OnTime, 5)), row(key(1, 1), 11, (8, 0), (Pane::Late, 6))]);
    board.add(&[row(key(1, 1), 11, (8, 0), (Pane::Late, 6))]);
    let windows = board.windows(&key(1, 1));
    let panes: Vec<_> = windows[0].panes.iter().map(|pane| (pane.pane, pane.pane_index)).collect();
    assert_eq!(panes, [(Pane::Early, 4), (Pane::OnTime, 5), (Pane::Late, 6)]);
    assert!(board.windows(&key(9, 9)).is_empty());
}

#[test]
fn what_is_older_than_an_hour_is_forgotten() {
    let mut board = FlowBoard::new(&flow(), 1 << 20);
    for end in 11..=100 {
        board.add(&[row(key(1, 1), end, (1, 0), ON_TIME)]);
    }
    board.add(&[row(key(1, 1), 20, (1, 0), (Pane::Late, 1))]);
    let windows = board.windows(&key(1, 1));
    assert_eq!((windows.len(), windows[59].window.end.0), (60, 41 * MINUTE));
    assert_eq!(board.busiest(&ask("")).rows[0].course.len(), 60);
}

#[test]
fn long_windows_are_kept_for_longer() {
    let day = Millis(86_400_000);
    let windows = WindowKind::Aligned(Windows::sliding(day, day).expect("a day"));
    let board = FlowBoard::new(&Flow { windows, ..flow() }, 1 << 20);
    assert_eq!(board.keep, Millis(12 * day.0));
}

/// Two sessions, then a late event between them.
#[test]
fn merged_sessions_are_one() {
    let mut settings: serde_json::Value = serde_json::json!({ "session": "10m" });
    settings = serde_json::json!({
        "name": "visits", "by": { "page": "/page", "box": "/box" }, "window": settings,
        "measures": { "views": { "count": {} } },
    });
    let settings: FlowSettings = serde_json::from_value(settings).expect("a flow");
    let flow = Flow::try_from(settings).expect("a flow that makes sense");
    let session = |name, from: i64, to: i64, views, pane: (Pane, u32)| {
        let window = Window { start: EventTime(from * MINUTE), end: EventTime(to * MINUTE) };
        Row { window, values: smallvec![Value::Count(views)], ..row(key(1, name), to, (0, 0), pane) }
    };
    let mut board = FlowBoard::new(&flow, 1 << 20);
    board.add(&[
        session(1, 0, 10, 1, ON_TIME),
        session(1, 12, 22, 2, ON_TIME),
        session(2, 30, 40, 3, ON_TIME),
    ]);
    let shown = |board: &FlowBoard| -> Vec<_> {
        let rows = board.busiest(&ask("")).rows;
        rows.iter()
            .map(|row| (weight(&row.measured.values), row.session.map(|window| window.start.0 / MINUTE)))
            .collect()
    };
    assert_eq!(shown(&board), [(3, Some(30)), (2, Some(12))]);
    board.add(&[session(1, 0, 22, 4, (Pane::Late, 2))]);
    assert_eq!(shown(&board), [(4, Some(0)), (3, Some(30))]);
    assert_eq!(board.busiest(&ask("")).rows[0].course.len(), 1);
}

proptest! {
    /// With any number of keys, memory is bounded and the busiest keys are kept.
    #[test]
    fn the_busiest_keys_stay(views in prop::collection::vec(1u64..1000, 50..250)) {
        const MOST: u64 = 14_000;
        let mut board = FlowBoard::new(&flow(), MOST);
        let mut expected = BTreeMap::new();
        for (n, &views) in views.iter().enumerate() {
            let key = key((n / 250) as u8, (n % 250) as u8);
            board.add(&[row(key.clone(), 11, (views, 0), ON_TIME)]);
            prop_assert!(board.bytes() <= MOST + 1_000, "{}", board.bytes());
            expected.insert((std::cmp::Reverse(views), key), ());
        }
        let busiest = board.busiest(&Ask { limit: 5, ..ask("") });
        let expected: Vec<u64> = expected.keys().map(|(views, _)| views.0).take(5).collect();
        prop_assert_eq!(busiest.rows.iter().map(|row| weight(&row.measured.values)).collect::<Vec<_>>(), expected);
        prop_assert_eq!(busiest.left_out, busiest.found < views.len());
        prop_assert_eq!(board.bytes(), board.keys.iter().map(|(k, p)| size(k, p)).sum::<u64>());
    }
}
