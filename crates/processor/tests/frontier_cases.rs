//! Cases of the frontier as JSON, so that the frontier of `engines/beam` is held to the same outcomes: messages and ticks in,
//! clocks and outcomes out. The file is in the repository; this test fails if it is not what the frontier does today.
//! `AQUEDUCT_WRITE=1 cargo test --package processor --test frontier_cases` writes it again.

use std::{fmt::Write as _, path::Path, sync::Arc};

use event::{
    EventTime, Incarnation, Mark, Millis, Partition,
    mark::{LogEnd, MarkRange, PartitionMark, Reason, TopicMark},
};
use processor::frontier::{Clocks, Frontier, Limits};
use serde_json::{Value, json};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/frontier_cases.json");
const LIMITS: Limits =
    Limits { idle_after: Millis(2_000), hole_limit: Millis(20_000), cold_start: Millis(8_000) };
const CASES: u64 = 20;
const STEPS: u64 = 50;
/// Two topic IDs, of which the first had an election that cut its log.
const INCARNATIONS: [&str; 3] =
    ["AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAA+1", "BBBBBBBBBBBBBBBBBBBBB+"];

/// A linear congruential generator (Knuth, MMIX): the same numbers wherever the test runs.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What the topics are at a moment.
struct World {
    now: i64,
    incarnation: usize,
    partitions: i32,
    /// The highest offset so far.
    high: u64,
}

fn partition(dice: &mut Dice, world: &World) -> Partition {
    let older =
        if dice.percent(15) { dice.below(world.incarnation as u64 + 1) as usize } else { world.incarnation };
    Partition {
        topic: if dice.percent(80) { "a".into() } else { "b".into() },
        incarnation: Incarnation(INCARNATIONS[older].into()),
        partition: dice.below(world.partitions as u64) as i32,
    }
}

fn mark(dice: &mut Dice, world: &World) -> Mark {
    let asked_at = EventTime(world.now - dice.below(1_500) as i64 + if dice.percent(5) { 3_000 } else { 0 });
    let entry = |dice: &mut Dice| {
        let position = world.high + dice.below(4);
        let committed = dice.percent(70).then(|| position.saturating_sub(dice.below(6)));
        let end =
            dice.percent(80).then(|| LogEnd { offset: position + dice.below(2) * dice.below(5), asked_at });
        let from = position.saturating_sub(dice.below(8));
        let reason = match dice.below(5) {
            0 => Reason::Lost,
            1 => Reason::Before,
            2 => Reason::Filtered,
            3 => Reason::Empty,
            _ => Reason::Rejected("not-json".to_owned()),
        };
        let range = MarkRange { from, to: from + 1 + dice.below(3), reason, pointer: None };
        let ranges = if dice.percent(60) { vec![range] } else { Vec::new() };
        PartitionMark { partition: partition(dice, world), ranges, position, committed, end }
    };
    let partitions = (0..1 + dice.below(3)).map(|_| entry(dice)).collect();
    let named = if dice.percent(75) { &["a", "b"][..] } else { &["a"][..] };
    let topic = |name: &&str| TopicMark {
        topic: Arc::from(*name),
        incarnation: Incarnation(INCARNATIONS[world.incarnation].into()),
        partitions: world.partitions,
        asked_at,
    };
    let topics = named.iter().map(topic).collect();
    Mark {
        version: Mark::VERSION,
        replica: String::new(),
        sequence: 1,
        partitions,
        topics,
        outputs: Vec::new(),
    }
}

fn clocks(clocks: Clocks) -> Value {
    json!([clocks.event.0, clocks.kafka.0, clocks.published.0])
}

fn place(partition: &Partition) -> String {
    format!("{}/{}/{}", partition.topic, partition.incarnation.0, partition.partition)
}

/// One step and its outcome.
fn step(dice: &mut Dice, world: &mut World, frontier: &mut Frontier) -> Value {
    world.now += dice.below(1_500) as i64;
    if dice.percent(4) {
        world.incarnation = (world.incarnation + 1).min(INCARNATIONS.len() - 1);
    }
    if dice.percent(3) {
        world.partitions += 1;
    }
    let now = EventTime(world.now);
    match dice.below(10) {
        0..=4 => {
            let partition = partition(dice, world);
            let offset = (world.high + dice.below(3)).saturating_sub(dice.below(10));
            world.high = world.high.max(offset + 1);
            let kafka = dice.percent(90).then(|| EventTime(world.now - dice.below(3_000) as i64));
            let event = dice.percent(90).then(|| EventTime(world.now - dice.below(9_000) as i64 + 2_000));
            let arrival = frontier.data(&partition, offset, Clocks::of(event, kafka, now));
            json!({
                "data": [partition.topic, partition.incarnation, partition.partition, offset],
                "times": [event.map(|time| time.0), kafka.map(|time| time.0), now.0],
                "arrival": format!("{arrival:?}"),
            })
        }
        5..=7 => {
            let mark = mark(dice, world);
            let covered = frontier.mark(&mark, now, now).into_iter().map(|covered| {
                let reason = String::from(covered.reason);
                format!(
                    "{} {}..{} {reason}",
                    place(&covered.partition),
                    covered.offsets.start,
                    covered.offsets.end
                )
            });
            json!({ "mark": mark, "now": now.0, "covered": covered.collect::<Vec<_>>() })
        }
        _ => {
            world.now += dice.below(12_000) as i64;
            let caught_up = dice.percent(80);
            let abandoned = frontier.tick(EventTime(world.now), caught_up, &LIMITS).into_iter().map(|hole| {
                let what = if hole.before_start { "before" } else { "lost" };
                format!("{} {}..{} {what}", place(&hole.partition), hole.offsets.start, hole.offsets.end)
            });
            json!({ "tick": world.now, "caught_up": caught_up, "abandoned": abandoned.collect::<Vec<_>>() })
        }
    }
}

fn case(seed: u64) -> Vec<Value> {
    let mut dice = Dice(seed);
    let mut world = World {
        now: 1_790_000_000_000,
        incarnation: 0,
        partitions: 1 + dice.below(2) as i32,
        high: dice.below(6),
    };
    let mut frontier = Frontier::new();
    let steps = (0..STEPS).map(|_| {
        let mut step = step(&mut dice, &mut world, &mut frontier);
        step["clocks"] = clocks(frontier.advance(&LIMITS));
        step["accounted"] = frontier.accounted().into();
        step
    });
    steps.collect()
}

#[test]
fn cases_are_what_the_frontier_does() {
    let mut text = format!(
        "{{\"idle_after\":{},\"hole_limit\":{},\"cold_start\":{},\"cases\":[\n",
        LIMITS.idle_after.0, LIMITS.hole_limit.0, LIMITS.cold_start.0
    );
    let mut all = Vec::new();
    for seed in 1..=CASES {
        let steps = case(seed);
        let end = if seed < CASES { "," } else { "" };
        writeln!(text, "{}{end}", Value::Array(steps.clone())).expect("a string takes any text");
        all.extend(steps);
    }
    text.push_str("]}\n");
    let has = |found: &dyn Fn(&Value) -> bool| all.iter().any(found);
    for arrival in ["New", "Seen", "Retaken(Lost)", "Retaken(Before)"] {
        assert!(has(&|step| step["arrival"] == arrival), "no case of {arrival}");
    }
    for reason in ["lost", "before"] {
        let is_of = |hole: &Value| hole.as_str().is_some_and(|hole| hole.ends_with(reason));
        assert!(
            has(&|step| step["abandoned"].as_array().is_some_and(|holes| holes.iter().any(is_of))),
            "{reason}"
        );
    }
    assert!(has(&|step| step["clocks"][0].as_i64() > Some(0)), "a clock is known");
    if std::env::var_os("AQUEDUCT_WRITE").is_some() {
        std::fs::write(FILE, &text).expect("the repository can be written");
    }
    let known = std::fs::read_to_string(Path::new(FILE)).expect("the file is in the repository");
    assert!(known == text, "{FILE} is out of date: see the head of this test");
}
