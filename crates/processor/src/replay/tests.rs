//! Replay over a file compared with a naive count.

use std::collections::BTreeMap;

use event::{EventTime, ledger::Outcome};
use flow::{
    FlowSettings,
    row::{Pane, Value, Values},
};
use proptest::prelude::*;

use super::*;

fn events() -> EventsSettings {
    serde_json::from_value(serde_json::json!({ "time": "/t" })).expect("the section is complete")
}

fn flow(extra: &serde_json::Value) -> Flow {
    let mut settings = serde_json::json!({
        "name": "f",
        "by": { "page": "/p" },
        "views": { "/k": "v" },
        "clicks": { "/k": "c" },
        "window": { "size": "10s", "period": "4s" },
        "out_of_orderness": "0s",
        "allowed_lateness": "5s",
    });
    for (key, value) in extra.as_object().expect("extra keys are an object") {
        settings[key] = value.clone();
    }
    let settings: FlowSettings = serde_json::from_value(settings).expect("the flow is complete");
    settings.try_into().expect("the flow makes sense")
}

fn payload(time: i64, page: Option<u8>, kind: &str) -> String {
    let page = page.map_or("null".to_owned(), |page| format!("\"{page}\""));
    format!(r#"{{"t":{time},"p":{page},"k":"{kind}","on":{}}}"#, time / 1000 % 5)
}

fn run(flow: Flow, payloads: &[String]) -> (Vec<Row>, Replay) {
    let mut replay = Replay::new(&events(), vec![flow], 1, EventTime(1_000_000_000));
    let mut rows = Vec::new();
    for payload in payloads {
        replay.event(&Record { partition: 0, topic: "", kafka_time: None, payload: payload.as_bytes() });
        replay.advance(&mut |_, fired| rows.append(fired));
    }
    replay.end(0);
    replay.advance(&mut |_, fired| rows.append(fired));
    (rows, replay)
}

type Final = BTreeMap<(i64, i64, Option<String>), (u64, u64)>;

fn number(values: &Values, measure: usize) -> u64 {
    values.get(measure).and_then(Value::count).expect("a count")
}

fn finals(rows: &[Row]) -> Final {
    let mut finals = Final::new();
    for row in rows {
        let page = row.key.get(0).map(str::to_owned);
        finals.insert(
            (row.window.start.0, row.window.end.0, page),
            (number(&row.values, 0), number(&row.values, 1)),
        );
    }
    finals
}

/// Counts every event in every window that was still open under the exact watermark at its arrival.
fn recount(events: &[(i64, Option<u8>, bool)], lateness: i64) -> (Final, u64) {
    let (mut finals, mut late, mut clock) = (Final::new(), 0, i64::MIN);
    for &(time, page, view) in events {
        let mut taken = false;
        for start in (time - 10_000 + 1..=time).filter(|start| start.rem_euclid(4_000) == 0) {
            if start + 10_000 + lateness > clock {
                taken = true;
                let count = finals.entry((start, start + 10_000, page.map(|p| p.to_string()))).or_default();
                if view { count.0 += 1 } else { count.1 += 1 }
            }
        }
        late += u64::from(!taken);
        clock = clock.max(time);
    }
    (finals, late)
}

proptest! {
    #[test]
    fn final_rows_are_those_of_a_recount(
        events in proptest::collection::vec(
            (-60_000i64..60_000, proptest::option::of(0u8..3), any::<bool>()), 0..60),
        sorted in any::<bool>(),
    ) {
        let mut events = events;
        if sorted {
            events.sort_by_key(|(time, _, _)| *time);
        }
        let payloads: Vec<String> =
            events.iter().map(|&(t, p, view)| payload(t, p, if view { "v" } else { "c" })).collect();
        let (rows, replay) = run(flow(&serde_json::json!({})), &payloads);
        let (expected, late) = recount(&events, 5_000);
        prop_assert_eq!(finals(&rows), expected);
        prop_assert_eq!(replay.engine().flows()[0].ledger.get(Outcome::Late), late);
        prop_assert_eq!(replay.engine().flows()[0].ledger.total(), events.len() as u64);
        // At most one ON_TIME pane, only LATE panes after it, and indexes without a gap from 0.
        let mut panes: BTreeMap<_, Vec<(u32, Pane)>> = BTreeMap::new();
        for row in &rows {
            panes.entry((row.window, row.key.clone())).or_default().push((row.pane_index, row.pane));
        }
        for fired in panes.values() {
            for (n, (index, pane)) in fired.iter().enumerate() {
                prop_assert_eq!(*index as usize, n);
                prop_assert!(n == 0 || *pane == Pane::Late);
            }
        }
        if sorted {
            prop_assert!(rows.iter().all(|row| row.pane == Pane::OnTime));
        }
    }

    #[test]
    fn a_join_does_not_depend_on_the_order_within_lateness(
        events in proptest::collection::vec((0i64..20_000, 0u8..3, any::<bool>()), 0..30)
            .prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
    ) {
        let join = serde_json::json!({
            "join": { "on": "/on", "within": "3s" }, "allowed_lateness": "60s", "out_of_orderness": "60s",
        });
        let rows = |events: &[(i64, u8, bool)]| {
            let payloads: Vec<String> =
                events.iter().map(|&(t, p, view)| payload(t, Some(p), if view { "v" } else { "c" })).collect();
            let (rows, replay) = run(flow(&join), &payloads);
            let mut last: BTreeMap<_, Values> = BTreeMap::new();
            for row in rows {
                last.insert((row.window, row.key.clone()), row.values);
            }
            (last, replay.engine().flows()[0].ledger)
        };
        let (one, other) = (rows(&events.0), rows(&events.1));
        prop_assert_eq!(&one, &other);
        prop_assert_eq!(one.1.get(Outcome::Pending), 0);
        let is_share = one.0.values().all(|values| {
            let [views, clicks, attributed] = [0, 1, 2].map(|measure| number(values, measure));
            attributed <= views && attributed <= clicks + views
        });
        prop_assert!(is_share);
    }
}

#[test]
fn lateness_is_judged_for_each_window() {
    // FIELD of the problem: size 180, period 60, lateness 60, watermark 130, event at 30.
    let settings = serde_json::json!({
        "window": { "size": "180s", "period": "60s" }, "allowed_lateness": "60s",
    });
    let payloads = [payload(130_000, Some(1), "v"), payload(30_000, Some(2), "v")];
    let (rows, _) = run(flow(&settings), &payloads);
    let panes: Vec<(i64, Pane)> = rows
        .iter()
        .filter(|row| row.key.get(0) == Some("2"))
        .map(|row| (row.window.start.0 / 1000, row.pane))
        .collect();
    assert_eq!(panes, vec![(-60, Pane::Late), (0, Pane::OnTime)]);
}
