//! The stalled component is the one that is named.

use event::{EventTime, mark::Reason};
use flow::append::{Body, Table};

use report::judge::{Level, Station, stations, verdict};

use super::Survey;
use crate::{commands::reconcile::tests::survey, sections::components};

/// A healthy pipeline.
fn well() -> Survey {
    survey(&[0, 1, 3], &[(2, 3, Reason::Rejected("not-json".to_owned()))], (0, 4, Some(4)))
}

fn later(survey: &mut Survey, seconds: i64) -> EventTime {
    survey.at = EventTime(survey.at.0 + seconds * 1_000);
    survey.at
}

/// Checks the effect of a change on one component; all others are green.
#[track_caller]
fn check(change: impl FnOnce(&mut Survey), name: &str, level: Level, reason: &str) {
    let mut survey = well();
    change(&mut survey);
    let stations = judged(&survey);
    for Station { name: found, health, .. } in &stations {
        if *found == name {
            assert_eq!((health.level, health.reason.as_str()), (level, reason));
        } else {
            assert_eq!(health.level, Level::Green, "{found}: {health:?}");
        }
    }
    let expected = match level {
        Level::Red => format!("STALLED: {name}"),
        Level::Grey => format!("nothing is stalled; unknown: {name}"),
        Level::Amber | Level::Green => "nothing is stalled".to_owned(),
    };
    assert_eq!(verdict(&stations), expected);
    assert!(components(&stations).contains(reason), "{}", components(&stations));
}

fn judged(survey: &Survey) -> Vec<Station> {
    stations(&survey.status())
}

fn set_log(survey: &mut Survey, high: u64, committed: u64, members: usize) {
    let logs = survey.logs.as_mut().expect("Kafka answers");
    (logs.logs[0].high, logs.logs[0].committed, logs.members) = (high, Some(committed), Some(members));
}

#[test]
fn an_idle_pipeline_is_healthy() {
    check(|_| {}, "connector", Level::Green, "one member; all offsets are committed");
    check(|_| {}, "processor", Level::Green, "checkpoint 1, 0.0 s ago; watermark delay 40 s");
    check(|_| {}, "Kafka", Level::Green, "one partition with 4 offsets");
    check(|_| {}, "tables", Level::Green, "0 rows; none waiting");
}

#[test]
fn uncommitted_offsets_are_the_connectors() {
    let seen = "2 members; 3 offsets are not committed: events[0]";
    check(|survey| set_log(survey, 7, 4, 2), "connector", Level::Amber, seen);
    let seen = "the consumer group has no members: start `aqueduct connector`; 3 offsets are not committed: events[0]";
    check(|survey| set_log(survey, 7, 4, 0), "connector", Level::Red, seen);
}

#[test]
fn a_connector_without_marks_is_stalled() {
    let silent = |survey: &mut Survey| {
        let now = later(survey, 31);
        survey.state.written_at = Some(now);
    };
    let seen = "no mark for 31 s about events[0]; all offsets are committed";
    check(silent, "connector", Level::Red, seen);
}

#[test]
fn committed_offsets_not_received_are_in_pubsub() {
    let seen =
        "2 offsets were published and have not arrived: events[0]; they will count as lost after 10 min";
    check(|survey| set_log(survey, 6, 6, 1), "Pub/Sub", Level::Amber, seen);
}

#[test]
fn a_processor_without_a_checkpoint_is_stalled() {
    let old = |survey: &mut Survey| {
        later(survey, 200);
    };
    check(
        old,
        "processor",
        Level::Red,
        "no checkpoint for 3 min 20 s: start `aqueduct processor`, or check its log",
    );
    let mut survey = well();
    later(&mut survey, 200);
    set_log(&mut survey, 6, 6, 1);
    assert_eq!(judged(&survey)[2].health.reason, "2 offsets are waiting for the processor: events[0]");
    (survey.state.checkpoint, survey.state.written_at) = (None, None);
    let stations = judged(&survey);
    let processor = stations.iter().find(|station| station.id == "processor").expect("it is judged");
    assert_eq!(processor.health.level, Level::Grey, "it was never started");
}

#[test]
fn deleted_rows_are_missing_in_the_table() {
    let table = Table::Flow("f".into());
    let sent = |done: bool, there: u64| {
        let table = table.clone();
        move |survey: &mut Survey| {
            survey.writers[0].outbox.open(&table, "s".to_owned());
            survey.writers[0].outbox.push(&table, vec![Body { rows: 3, bytes: vec![1] }]);
            if done {
                survey.writers[0].outbox.done(0);
            }
            survey.writers[0].tables.as_mut().expect("it answers").rows.insert(table.clone(), Ok(there));
        }
    };
    check(sent(false, 0), "tables", Level::Green, "0 rows; 3 rows in flight");
    check(sent(true, 3), "tables", Level::Green, "3 rows; none waiting");
    let seen = "one row that was sent is missing: run `aqueduct reconcile`";
    check(sent(true, 2), "tables", Level::Red, seen);
}

#[test]
fn an_unreachable_service_is_not_healthy() {
    let mut survey = well();
    survey.logs = Err("Kafka does not answer".to_owned());
    survey.writers[0].tables = Err("the tables do not answer".to_owned());
    let levels: Vec<Level> = judged(&survey).iter().map(|station| station.health.level).collect();
    assert_eq!(levels, [Level::Grey, Level::Grey, Level::Green, Level::Green, Level::Grey]);
}
