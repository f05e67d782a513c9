//! Regression cases, each with the correct rows and ledger.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use counting::{configured, ledger_of};
use event::{EventTime, Incarnation, Mark, Millis, Partition, mark::TopicMark};
use flow::row::{Pane, Row, Value};
use processor::{
    core::{Core, Data},
    frontier::Limits,
    replay::{Record, Replay},
};

/// After all events.
const NOW: i64 = 1_800_000_000_000;
const MINUTE: i64 = 60_000;
/// The first event of `join-late`.
const JOIN_LATE: i64 = 1_700_000_400_000;

/// By start of the window and first column: views, clicks, attributed clicks of the last pane.
type Rows = BTreeMap<(i64, String), (u64, u64, u64)>;
type Ledger = BTreeMap<&'static str, u64>;

fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// As `aqueduct replay --config CONFIG [TOPIC=]FILE ...`: all panes, and the ledger.
fn replay(config: &str, files: &[(&str, &str)]) -> (Vec<Row>, Ledger) {
    let (events, flows) = configured(&text(config)).expect("the configuration is right");
    let texts: Vec<String> = files.iter().map(|(_, file)| text(file)).collect();
    let mut lines: Vec<_> = texts.iter().map(|text| text.lines()).collect();
    let mut replay = Replay::new(&events, flows, files.len(), EventTime(NOW));
    let mut rows = Vec::new();
    while let Some(partition) = replay.next_partition() {
        match lines[partition].next() {
            Some(line) => {
                let topic = files[partition].0;
                replay.event(&Record { partition, topic, kafka_time: None, payload: line.as_bytes() });
            }
            None => replay.end(partition),
        }
        replay.advance(&mut |_, fired| rows.append(fired));
    }
    let ledger = ledger_of(&replay.engine().flows()[0].ledger);
    (rows, ledger)
}

fn finals(rows: &[Row]) -> Rows {
    let last = rows.iter().map(|row| {
        let key = row.key.get(0).unwrap_or_default().to_owned();
        let count = |number: usize| row.values.get(number).and_then(Value::count).unwrap_or_default();
        ((row.window.start.0, key), (count(0), count(1), count(2)))
    });
    last.collect()
}

/// Checks the sum of all final rows, and the ledger.
fn check(config: &str, files: &[(&str, &str)], expected: (u64, u64), outcomes: &[(&'static str, u64)]) {
    let (rows, ledger) = replay(config, files);
    let finals = finals(&rows);
    let sum = finals.values().fold((0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1));
    assert_eq!(sum, expected, "{config}: {finals:?}");
    let outcomes: Ledger = outcomes.iter().copied().collect();
    assert_eq!(ledger, outcomes, "{config}");
}

#[test]
fn a_corrected_copy_counts() {
    let files = [("", "corrected-copy/e.ndjson")];
    check("corrected-copy/a.toml", &files, (1, 0), &[("counted", 1), ("rejected", 1)]);
}

#[test]
fn fractions_have_any_number_of_digits() {
    check("fraction-digits/a.toml", &[("", "fraction-digits/e.ndjson")], (2, 0), &[("counted", 2)]);
}

#[test]
fn distant_events_share_an_id() {
    let files = [("", "ids-alternate/e.ndjson")];
    check("ids-alternate/a.toml", &files, (2, 0), &[("counted", 2), ("duplicate", 2)]);
}

#[test]
fn ids_of_a_topic_identify_its_events_only() {
    let files = [("views", "ids-of-two-topics/views.ndjson"), ("clicks", "ids-of-two-topics/clicks.ndjson")];
    check("ids-of-two-topics/a.toml", &files, (2, 2), &[("counted", 4)]);
}

#[test]
fn numbers_match_by_decimal_value() {
    let files = [("", "matcher-large-number/e.ndjson")];
    check("matcher-large-number/a.toml", &files, (1, 0), &[("counted", 1), ("ignored", 2)]);
}

#[test]
fn a_view_clicked_twice_is_attributed_once() {
    let (rows, ledger) = replay("join-late/a.toml", &[("", "join-late/twice.ndjson")]);
    let place = (JOIN_LATE, "/a".to_owned());
    assert_eq!(finals(&rows).get(&place), Some(&(1, 2, 1)));
    let last = rows.iter().rfind(|row| row.key.get(0) == Some("/a")).expect("it fired");
    assert_eq!(last.pane, Pane::Late);
    assert_eq!(ledger.get("unmatched"), None);
}

#[test]
fn a_late_click_finds_its_view() {
    let (rows, ledger) = replay("join-late/b.toml", &[("", "join-late/unmatched.ndjson")]);
    let finals = finals(&rows);
    let of = |minute: i64| finals.get(&(JOIN_LATE + minute * MINUTE, "/a".to_owned()));
    // The window of the view is closed when the click arrives.
    assert_eq!(of(0), Some(&(1, 0, 0)));
    assert_eq!(of(20), Some(&(0, 1, 0)));
    assert_eq!(ledger.get("unmatched"), None);
}

/// A device that was offline for two days writes an event twice; the flow goes by Kafka's timestamps.
#[test]
fn ids_of_old_events_are_kept_by_kafka_time() {
    let (events, flows) = configured(&text("ids-of-old-events/a.toml")).expect("the configuration is right");
    let limit = Millis(3_600_000);
    let limits = Limits { idle_after: limit, hole_limit: limit, cold_start: limit };
    let mut core = Core::new(&events, flows, limits, EventTime(NOW));
    let incarnation = Incarnation::from("AAAAAAAAAAAAAAAAAAAAAQ");
    let partition = Partition { topic: Arc::from("fz-b05"), incarnation: incarnation.clone(), partition: 0 };
    let now = EventTime(NOW);
    let topic = TopicMark { topic: partition.topic.clone(), incarnation, partitions: 1, asked_at: now };
    let (replica, partitions, topics) = ("connector".to_owned(), Vec::new(), vec![topic]);
    core.mark(
        &Mark { version: Mark::VERSION, replica, sequence: 1, partitions, topics, outputs: Vec::new() },
        now,
        now,
    );
    let start = 1_789_999_800_000;
    let lines = text("ids-of-old-events/e.ndjson");
    for ((offset, line), after) in (0..).zip(lines.lines()).zip([0, 1_000, 1_500, 2_000]) {
        let data = Data {
            position: Some((&partition, offset)),
            kafka_time: Some(EventTime(start + after)),
            publish_time: now,
            payload: line.as_bytes(),
        };
        core.data(&data, now);
        core.tick(now);
    }
    let state = &core.engine().flows()[0];
    assert_eq!(ledger_of(&state.ledger), BTreeMap::from([("counted", 3), ("duplicate", 1)]));
    // After the end of the window, so that it fires.
    let after = EventTime(start + 86_400_000);
    let data =
        Data { position: Some((&partition, 4)), kafka_time: Some(after), publish_time: now, payload: b"{}" };
    core.data(&data, now);
    core.tick(now);
    let rows: Vec<Row> = core.take_effects().output.rows.into_iter().flat_map(|(_, rows)| rows).collect();
    let views: Vec<_> = rows.iter().map(|row| (row.key.get(0), row.values[0].count())).collect();
    assert_eq!(views, [(Some("a"), Some(2)), (Some("b"), Some(1))]);
}
