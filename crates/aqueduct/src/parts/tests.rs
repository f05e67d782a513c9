//! Each part that stands still is the one that is named.

use event::{EventTime, mark::Reason};
use flow::append::{Body, Table};

use super::{Stand, parts, text, verdict};
use crate::{commands::reconcile::tests::survey, survey::Survey};

/// A pipe in which every part does what it should.
fn well() -> Survey {
    survey(&[0, 1, 3], &[(2, 3, Reason::Rejected("not-json".to_owned()))], (0, 4, Some(4)))
}

fn later(survey: &mut Survey, seconds: i64) -> EventTime {
    survey.at = EventTime(survey.at.0 + seconds * 1_000);
    survey.at
}

/// Looks at what a change made of one part; all others are well.
#[track_caller]
fn check(change: impl FnOnce(&mut Survey), part: &str, is: Stand, seen: &str) {
    let mut survey = well();
    change(&mut survey);
    let parts = parts(&survey);
    for found in &parts {
        if found.part == part {
            assert_eq!((found.is, found.seen.as_str()), (is, seen));
        } else {
            assert_eq!(found.is, Stand::Well, "{found:?}");
        }
    }
    let expected =
        if is == Stand::Still { format!("STALLED: {part}") } else { "nothing is stalled".to_owned() };
    assert_eq!(verdict(&parts), expected);
    assert!(text(&parts).contains(seen), "{}", text(&parts));
}

fn set_log(survey: &mut Survey, high: u64, committed: u64, members: usize) {
    let logs = survey.logs.as_mut().expect("Kafka answers");
    (logs.logs[0].high, logs.logs[0].committed, logs.members) = (high, Some(committed), Some(members));
}

#[test]
fn where_nothing_waits_all_is_well() {
    check(|_| {}, "connector", Stand::Well, "one member; everything is committed");
    check(|_| {}, "processor", Stand::Well, "checkpoint 1, 0s ago");
    check(|_| {}, "Kafka", Stand::Well, "1 partitions with 4 offsets");
    check(|_| {}, "tables", Stand::Well, "0 rows; none waiting");
}

#[test]
fn what_is_not_committed_waits_for_the_connector() {
    let seen = "2 members; 3 offsets are not committed: events[0]";
    check(|survey| set_log(survey, 7, 4, 2), "connector", Stand::Working, seen);
    let seen = "the consumer group has no members: start `aqueduct connector`; 3 offsets are not committed: events[0]";
    check(|survey| set_log(survey, 7, 4, 0), "connector", Stand::Still, seen);
}

#[test]
fn a_connector_without_marks_stands_still_although_it_is_in_the_group() {
    let silent = |survey: &mut Survey| {
        let now = later(survey, 31);
        survey.state.written_at = Some(now);
    };
    let seen = "no mark for 30s about events[0]; everything is committed";
    check(silent, "connector", Stand::Still, seen);
}

#[test]
fn what_was_committed_and_did_not_come_is_in_pubsub() {
    let seen = "2 offsets were published and have not arrived: events[0]; they count as lost after 10m";
    check(|survey| set_log(survey, 6, 6, 1), "Pub/Sub", Stand::Working, seen);
}

#[test]
fn a_processor_without_a_checkpoint_stands_still() {
    let old = |survey: &mut Survey| {
        later(survey, 200);
    };
    check(
        old,
        "processor",
        Stand::Still,
        "no checkpoint for 3m20s: start `aqueduct processor`, or check its log",
    );
    let mut survey = well();
    later(&mut survey, 200);
    set_log(&mut survey, 6, 6, 1);
    let pubsub = parts(&survey).remove(2);
    assert_eq!(pubsub.seen, "2 offsets wait for the processor: events[0]");
    (survey.state.checkpoint, survey.state.written_at) = (None, None);
    assert_eq!(verdict(&parts(&survey)), "STALLED: processor");
}

#[test]
fn rows_that_their_table_took_and_lost_are_missing_there() {
    let table = Table::Flow("f".into());
    let sent = |done: bool, there: u64| {
        let table = table.clone();
        move |survey: &mut Survey| {
            survey.state.outbox.open(&table, "s".to_owned());
            survey.state.outbox.push(&table, vec![Body { rows: 3, bytes: vec![1] }]);
            if done {
                survey.state.outbox.done(0);
            }
            survey.tables.as_mut().expect("it answers").rows.insert(table.clone(), Ok(there));
        }
    };
    check(sent(false, 0), "tables", Stand::Working, "3 rows in flight");
    check(sent(true, 3), "tables", Stand::Well, "3 rows; none waiting");
    let seen = "1 rows were sent and are missing: run `aqueduct reconcile`";
    check(sent(true, 2), "tables", Stand::Still, seen);
}

#[test]
fn what_could_not_be_asked_is_not_called_well() {
    let mut survey = well();
    survey.logs = Err("Kafka does not answer".to_owned());
    survey.tables = Err("the tables do not answer".to_owned());
    let stands: Vec<Stand> = parts(&survey).iter().map(|part| part.is).collect();
    assert_eq!(stands, [Stand::Unknown, Stand::Unknown, Stand::Well, Stand::Well, Stand::Unknown]);
}
