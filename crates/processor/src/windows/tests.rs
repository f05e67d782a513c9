//! A state that is saved and restored between any two steps gives the same rows, for every kind of windows.

use std::collections::BTreeMap;

use event::{EventTime, Key};
use flow::{
    FlowSettings,
    measure::Input,
    number::Amount,
    row::{Pane, weight},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    saved::{Place, SavedWindows},
    *,
};
use crate::{digest::HashedKey, saved::Room};

#[derive(Clone, Debug)]
enum Step {
    Count(i64, u8, u64),
    Advance(i64),
    Late,
    Early,
    Save(usize),
    /// With this budget for the part.
    Restart(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (-50i64..200, 0u8..4, 1u64..16).prop_map(|(time, key, feeds)| Step::Count(time, key, feeds)),
        3 => (-50i64..250).prop_map(Step::Advance),
        1 => Just(Step::Late),
        1 => Just(Step::Early),
        4 => prop_oneof![Just(1), 1usize..200].prop_map(Step::Save),
        2 => prop_oneof![Just(1), 1usize..200].prop_map(Step::Restart),
    ]
}

fn flow(window: &Value) -> Flow {
    let settings: FlowSettings = serde_json::from_value(json!({
        "name": "f", "by": { "page": "/page" }, "window": window, "allowed_lateness": "25ms", "early": "1s",
        "measures": {
            "a_views": { "count": { "/type": "view" } }, "b_sum": { "sum": "/n" }, "c_max": { "max": "/n" },
            "d_users": { "distinct": "/n", "sketch": true },
        },
    }))
    .expect("a flow");
    Flow::try_from(settings).expect("a flow that makes sense")
}

fn sliding() -> Flow {
    flow(&json!({ "size": "30ms", "period": "10ms" }))
}

fn sessions() -> Flow {
    flow(&json!({ "session": "20ms" }))
}

fn count(windows: &mut WindowSet, key: u8, time: i64, feeds: u64) -> Fate {
    let key: Key = [Some(key.to_string())].into_iter().collect();
    let number = Input::Number(Amount::parse(&format!("{}.5", time % 7)).expect("it fits"));
    let of_measure = [None, Some(number), Some(number), Some(Input::Item(time.unsigned_abs() % 5))];
    let inputs: Vec<Input> = (0..4)
        .filter(|measure| feeds >> measure & 1 == 1)
        .filter_map(|measure| of_measure[measure])
        .collect();
    let change = Change { feeds, inputs: &inputs, times: 1 };
    windows.count(HashedKey::new(key.as_pushed()), EventTime(time), &change)
}

fn run(flow: &Flow, steps: &[Step], restarts: bool) -> Vec<Row> {
    let mut windows = WindowSet::new(flow);
    // Since the first one of the last complete round; and those of the round since then.
    let (mut checkpoints, mut round) = (Vec::<SavedWindows>::new(), Vec::new());
    let mut place = Place::START;
    let mut rows = Vec::new();
    let now = EventTime(0);
    for step in steps {
        match step {
            Step::Count(time, key, feeds) => {
                count(&mut windows, *key, *time, *feeds);
            }
            Step::Advance(watermark) => windows.advance(EventTime(*watermark), now, &mut rows, &mut |_| ()),
            Step::Late => windows.fire_late(now, &mut rows),
            Step::Early => windows.fire_early(now, &mut rows),
            Step::Save(room) | Step::Restart(room) => {
                // As the driver does: panes fire before a checkpoint. After a restart early panes begin again, so all of
                // them have fired before.
                windows.fire_late(now, &mut rows);
                windows.fire_early(now, &mut rows);
                let mut saved = windows.save();
                let next = windows.walk(place, &mut Room::new(*room), &mut saved);
                checkpoints.push(saved.clone());
                round.push(saved);
                place = next.unwrap_or_else(|| {
                    checkpoints = std::mem::take(&mut round);
                    Place::START
                });
                if restarts && matches!(step, Step::Restart(_)) {
                    windows = WindowSet::new(flow);
                    checkpoints.iter().for_each(|saved| windows.restore(saved.clone()));
                    windows.restored();
                    (place, round) = (Place::START, Vec::new());
                }
            }
        }
    }
    windows.advance(EventTime::MAX, now, &mut rows, &mut |_| ());
    assert_eq!(windows.key_count(), 0, "everything is forgotten at the end");
    rows
}

/// Key numbers may differ after a restart, and with them the order within one window; and early panes fire again.
fn sorted(rows: Vec<Row>) -> Vec<String> {
    let mut rows: Vec<Row> = rows.into_iter().filter(|row| row.pane != Pane::Early).collect();
    rows.iter_mut().for_each(|row| row.pane_index = 0);
    rows.sort_by(|a, b| {
        (a.window, &a.key, a.watermark, a.pane).cmp(&(b.window, &b.key, b.watermark, b.pane))
    });
    rows.iter().map(|row| format!("{row:?}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn a_restart_changes_no_row(steps in proptest::collection::vec(step(), 0..60)) {
        for flow in [sliding(), sessions()] {
            prop_assert_eq!(sorted(run(&flow, &steps, true)), sorted(run(&flow, &steps, false)));
        }
    }

    /// Each session holds the events that a search finds for it, whatever the order of arrival.
    #[test]
    fn sessions_are_those_of_a_search(
        events in proptest::collection::vec((0i64..400, 0u8..3), 0..40), advances in proptest::collection::vec(0i64..60, 40),
    ) {
        let flow = sessions();
        let mut windows = WindowSet::new(&flow);
        let (mut rows, mut counted, mut watermark) = (Vec::new(), Vec::new(), i64::MIN);
        for ((time, key), advance) in events.iter().zip(advances) {
            let fate = count(&mut windows, *key, *time, 1);
            let is_late = watermark > i64::MIN && time + 20 + 25 <= watermark;
            prop_assert_eq!(fate, if is_late { Fate::Late } else { Fate::Counted });
            if !is_late {
                counted.push((*key, *time));
            }
            watermark = watermark.max(time - advance);
            windows.advance(EventTime(watermark), EventTime(0), &mut rows, &mut |_| ());
            windows.fire_late(EventTime(0), &mut rows);
        }
        windows.advance(EventTime::MAX, EventTime(0), &mut rows, &mut |_| ());
        counted.sort_unstable();
        let mut expected: Vec<(String, i64, i64, u64)> = Vec::new();
        for (key, time) in counted {
            match expected.last_mut() {
                Some((of, _, end, views)) if *of == key.to_string() && time < *end => {
                    *end = time + 20;
                    *views += 1;
                }
                _ => expected.push((key.to_string(), time, time + 20, 1)),
            }
        }
        // A pane is replaced by one with a higher index whose window overlaps.
        let is_last = |row: &&Row| !rows.iter().any(|other: &Row| {
            other.key == row.key && other.window.overlaps(row.window) && other.pane_index > row.pane_index
        });
        let mut finals: Vec<_> = rows.iter().filter(is_last).map(|row| {
            (row.key.get(0).unwrap_or_default().to_owned(), row.window.start.0, row.window.end.0, weight(&row.values))
        }).collect();
        finals.sort();
        prop_assert_eq!(finals, expected);
        let mut on_time: BTreeMap<_, u32> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.pane == Pane::OnTime) {
            *on_time.entry((row.key.clone(), row.window)).or_default() += 1;
        }
        prop_assert!(on_time.values().all(|panes| *panes == 1), "a window fires ON_TIME once");
        // A pane of a session that has ended is final once the watermark is the lateness and a gap past its end.
        for (number, row) in rows.iter().enumerate().filter(|(_, row)| row.pane != Pane::Early) {
            let replaces = |other: &&Row| other.key == row.key && other.window.overlaps(row.window);
            let next = rows[number + 1..].iter().find(replaces);
            prop_assert!(next.is_none_or(|next| next.watermark.0 < row.window.end.0 + 25 + 20), "{:?} {:?}", row, next);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    /// A table that keeps the newest change of each window and key, in whatever order changes arrive, has the sessions.
    #[test]
    fn replaced_windows_leave_one_row_for_each_session(steps in proptest::collection::vec(step(), 0..60)) {
        let flow = sessions();
        for restarts in [false, true] {
            let rows = run(&flow, &steps, restarts);
            let kept = |rows: &mut dyn Iterator<Item = &Row>| {
                let mut table: BTreeMap<(Key, Window), (u32, Option<Row>)> = BTreeMap::new();
                for row in rows {
                    let deletions = row.replaced.windows().iter().map(|window| (*window, None));
                    for (window, put) in deletions.chain([(row.window, Some(row.clone()))]) {
                        let newest = table.entry((row.key.clone(), window)).or_default();
                        if row.pane_index >= newest.0 {
                            *newest = (row.pane_index, put);
                        }
                    }
                }
                table.into_values().filter_map(|(_, row)| row).collect::<Vec<Row>>()
            };
            let table = kept(&mut rows.iter());
            prop_assert_eq!(&table, &kept(&mut rows.iter().rev()));
            let is_last = |row: &&Row| !rows.iter().any(|other: &Row| {
                other.key == row.key && other.window.overlaps(row.window) && other.pane_index > row.pane_index
            });
            let mut finals: Vec<Row> = rows.iter().filter(is_last).cloned().collect();
            finals.sort_by(|a, b| (&a.key, a.window).cmp(&(&b.key, b.window)));
            prop_assert_eq!(&table, &finals);
            let panes: u32 = table.iter().map(|row| row.pane_index + 1).sum();
            prop_assert_eq!(panes as usize, rows.len(), "the rows account for all panes");
        }
    }
}

/// A rare case of the law above: the border that the first late pane asked for outlived that pane.
#[test]
fn a_late_pane_leaves_no_border_behind() {
    let steps = [
        Step::Advance(70),
        Step::Count(20, 0, 1),
        Step::Restart(1),
        Step::Count(50, 0, 1),
        Step::Advance(75),
    ];
    let flow = sliding();
    assert_eq!(sorted(run(&flow, &steps, true)), sorted(run(&flow, &steps, false)));
}

#[test]
fn a_measure_that_was_added_is_null_in_older_windows() {
    let flow = sliding();
    let mut windows = WindowSet::new(&flow);
    count(&mut windows, 1, 5, 3);
    windows.set_since(Since::new(vec![
        EventTime::MIN,
        windows.end_of_events(),
        EventTime::MIN,
        EventTime::MIN,
    ]));
    count(&mut windows, 1, 15, 3);
    let mut rows = Vec::new();
    windows.advance(EventTime::MAX, EventTime(0), &mut rows, &mut |_| ());
    let known: Vec<_> =
        rows.iter().map(|row| (row.window.start.0, row.values[1] != flow::row::Value::Null)).collect();
    assert_eq!(known, [(-20, false), (-10, false), (0, false), (10, true)]);
}
