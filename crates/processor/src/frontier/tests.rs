use std::cell::Cell;

use event::mark::{LogEnd, PartitionMark};

use super::*;

const LIMITS: Limits =
    Limits { idle_after: Millis(1_000), hole_limit: Millis(600_000), cold_start: Millis(1) };

fn at(time: i64) -> Clocks {
    Clocks::all(EventTime(time))
}

fn partition(incarnation: &str, number: i32) -> Partition {
    Partition { topic: "events".into(), incarnation: incarnation.into(), partition: number }
}

/// A mark that accounts for whole incarnations, of which the last one is current.
fn mark(entries: &[(&str, u64)], asked_at: i64) -> Mark {
    let partitions = entries.iter().map(|&(incarnation, position)| PartitionMark {
        partition: partition(incarnation, 0),
        ranges: Vec::new(),
        position,
        committed: Some(position),
        end: Some(LogEnd { offset: position, asked_at: EventTime(asked_at) }),
    });
    let (current, _) = entries.last().expect("an incarnation");
    let topic = TopicMark {
        topic: "events".into(),
        incarnation: (*current).into(),
        partitions: 1,
        asked_at: EventTime(asked_at),
    };
    Mark {
        version: Mark::VERSION,
        replica: "a".to_owned(),
        sequence: 1,
        partitions: partitions.collect(),
        topics: vec![topic],
        outputs: Vec::new(),
    }
}

/// Saves and loads the frontier, as at a restart.
fn restart(frontier: &Frontier) -> Frontier {
    let bytes = postcard::to_stdvec(frontier).expect("a frontier");
    postcard::from_bytes(&bytes).expect("what was written")
}

const OLD: &str = "AAAAAAAAAAAAAAAAAAAAAA";
const NEW: &str = "BBBBBBBBBBBBBBBBBBBBBB";

/// An old incarnation, of which offset 1 never arrives, and a new one that is read to its end.
fn recreated() -> Frontier {
    let mut frontier = Frontier::new();
    for offset in [0, 2] {
        frontier.data(&partition(OLD, 0), offset, at(10));
    }
    frontier.data(&partition(NEW, 0), 0, at(5_000));
    frontier.mark(&mark(&[(OLD, 3), (NEW, 1)], 6_000), EventTime(6_000), EventTime(6_000));
    frontier
}

fn tick(frontier: &mut Frontier, now: i64, caught_up: bool) -> EventTime {
    frontier.tick(EventTime(now), caught_up, &LIMITS);
    frontier.advance(&LIMITS).event
}

#[test]
fn a_retired_incarnation_stays_away_after_a_restart() {
    let mut frontier = recreated();
    assert_eq!(tick(&mut frontier, 6_000, true), EventTime(10), "the old incarnation is not complete");
    // The hole would be abandoned at the same time, so only the limit of the incarnation is tested here.
    frontier.watches.clear();
    assert_eq!(tick(&mut frontier, 606_000, true), EventTime(5_000));
    let mut frontier = restart(&frontier);
    assert!(!frontier.tracks.contains_key(&partition(OLD, 0)));
    frontier.mark(&mark(&[(NEW, 1)], 700_000), EventTime(700_000), EventTime(700_000));
    assert_eq!(tick(&mut frontier, 700_000, false), EventTime(700_000), "idle, and nothing holds it");
}

#[test]
fn a_retired_incarnation_still_recognises_copies() {
    let mut frontier = recreated();
    tick(&mut frontier, 6_000, true);
    tick(&mut frontier, 606_000, true);
    let accounted = frontier.accounted();
    let mut frontier = restart(&frontier);
    assert_eq!(frontier.peek(&partition(OLD, 0), 2), Arrival::Seen);
    assert_eq!(frontier.data(&partition(OLD, 0), 0, at(10)), Arrival::Seen);
    assert_eq!(frontier.accounted(), accounted);
    // A message is kept for at most 31 days; after that, only the total contains its offsets.
    tick(&mut frontier, 40 * 24 * 3_600_000, true);
    assert_eq!(frontier.tracks().count(), 1);
    assert_eq!(frontier.accounted(), accounted);
}

#[test]
fn an_incomplete_incarnation_waits_while_there_is_a_backlog() {
    let mut frontier = recreated();
    for now in [6_000, 606_000, 1_206_000] {
        assert_eq!(tick(&mut frontier, now, false), EventTime(10));
    }
    frontier.data(&partition(OLD, 0), 1, at(20));
    assert_eq!(tick(&mut frontier, 1_207_000, false), EventTime(5_000), "complete");
}

#[test]
fn a_topic_that_is_named_again_is_current_again() {
    let mut frontier = recreated();
    let mut other = mark(&[(NEW, 1)], 6_000);
    other.topics[0].topic = "other".into();
    other.topics[0].partitions = 0;
    other.partitions.clear();
    for now in [700_000, 1_400_000, 1_400_001, 2_100_000] {
        other.topics[0].asked_at = EventTime(now);
        frontier.mark(&other, EventTime(now), EventTime(now));
        tick(&mut frontier, now, true);
    }
    assert!(frontier.tracks.is_empty(), "nothing of a topic that was taken out is active");
    frontier.mark(&mark(&[(NEW, 1)], 2_200_000), EventTime(2_200_000), EventTime(2_200_000));
    tick(&mut frontier, 2_200_000, true);
    assert_eq!(frontier.tracks.keys().collect::<Vec<_>>(), [&partition(NEW, 0)]);
}

/// Counts how many partitions a tick visits, for 100 and for 800 of them.
#[test]
fn the_shape_of_many_partitions_takes_linear_time() {
    let looks = |partitions: i32| {
        let topic =
            Topic { incarnation: NEW.into(), partitions, asked_at: EventTime(0), named_at: EventTime(0) };
        let topics = BTreeMap::from([(Arc::from("events"), topic)]);
        let names: Vec<Partition> = (0..partitions).map(|number| partition(NEW, number)).collect();
        let count = Cell::new(0);
        let shape = Shape::of(&topics, names.iter().inspect(|_| count.set(count.get() + 1)));
        assert!(shape.older.is_empty() && shape.unheard.is_none());
        count.get()
    };
    assert_eq!(looks(800), 8 * looks(100));
}

/// A tick computes the shape again only when names were added or removed.
#[test]
fn a_tick_without_news_keeps_the_shape() {
    let mut frontier = recreated();
    assert!(frontier.shape.is_none());
    tick(&mut frontier, 6_000, true);
    let marker = partition("marker", 9);
    frontier.shape().unheard = Some((marker.topic.clone(), 9));
    frontier.data(&partition(NEW, 0), 1, at(5_000));
    frontier.mark(&mark(&[(OLD, 3), (NEW, 2)], 7_000), EventTime(7_000), EventTime(7_000));
    tick(&mut frontier, 7_000, true);
    assert!(frontier.shape().unheard.is_some(), "the same shape as before");
    frontier.data(&marker, 0, at(5_000));
    tick(&mut frontier, 8_000, true);
    assert!(frontier.shape().unheard.is_none(), "computed again");
}
