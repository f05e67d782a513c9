//! The scenarios, each with its faults.

use kafka::StartRule;

use crate::{
    dice::Dice,
    plan::{Config, Drawing, Plan, Step},
    shrink::check,
};

/// How long events are produced, in milliseconds.
const LENGTH: i64 = 30_000;

/// Events at random times on all partitions.
fn traffic(dice: Dice, events: u64) -> Drawing {
    let mut drawing = Drawing::new(dice, LENGTH);
    drawing.exactly("produce", events, |dice, _| Step::Produce(part(dice, 4), part(dice, 5)));
    drawing.some("poison", 10, |dice, _| Step::Poison(part(dice, 4), part(dice, 5)));
    drawing
}

fn part(dice: Dice, salt: u64) -> usize {
    (dice.roll("part", &[salt]) % 12) as usize
}

fn long(dice: Dice, from: i64, to: i64) -> i64 {
    dice.millis(from, to, "long", &[])
}

/// Faults that any run may have, up to this many of each.
fn accidents(drawing: &mut Drawing, replicas: u64, workers: u64) {
    drawing.some("crash replica", replicas, |d, n| Step::CrashReplica(n as usize, long(d, 200, 9_000)));
    drawing.some("stop replica", replicas, |d, n| Step::StopReplica(n as usize, long(d, 4_000, 9_000)));
    drawing.some("pause replica", replicas, |d, n| Step::PauseReplica(n as usize, long(d, 500, 14_000)));
    drawing.some("cut off", replicas, |d, n| Step::CutOffReplica(n as usize, long(d, 200, 9_000)));
    drawing.some("crash worker", workers, |d, n| Step::CrashWorker(n as usize, long(d, 200, 6_000)));
    drawing.some("stop worker", workers, |d, n| Step::StopWorker(n as usize, long(d, 3_000, 6_000)));
    drawing.some("pause worker", workers, |d, n| Step::PauseWorker(n as usize, long(d, 500, 12_000)));
}

/// Transactions that stay open for a while.
fn transactions(drawing: &mut Drawing, most: u64) {
    drawing.some("begin", most, |d, _| Step::Begin(part(d, 4), part(d, 5)));
    drawing.some("end", 2 * most, |d, _| Step::End(part(d, 4), part(d, 5), d.chance(600, "commit", &[])));
}

fn disorder(dice: Dice) -> Plan {
    traffic(dice, 60).plan(Config::simple(dice))
}

fn crashes(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 60);
    accidents(&mut drawing, 1, 3);
    drawing.plan(Config { redelivered: 200, acks_lost: 100, ..Config::simple(dice) })
}

fn rebalances(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 60);
    accidents(&mut drawing, 3, 0);
    drawing.plan(Config {
        replicas: 2,
        publish_lost: 60,
        partitions: 3,
        slowest: 900,
        ..Config::simple(dice)
    })
}

fn fencing(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 60);
    accidents(&mut drawing, 0, 4);
    let has_lock = dice.chance(500, "lock", &[]);
    drawing.plan(Config { workers: 2, has_lock, slowest: 1_500, store_faults: 60, ..Config::simple(dice) })
}

/// The ends of transactions are next to records that are rejected.
fn open_transactions(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 50);
    drawing.some("poison", 30, |dice, _| Step::Poison(part(dice, 4), part(dice, 5)));
    transactions(&mut drawing, 8);
    drawing.plan(Config::simple(dice))
}

/// Few events, some of which arrive long after the marks that mention them, and responses long after the request.
fn idleness(dice: Dice) -> Plan {
    let config =
        Config { partitions: 3, slowest_message: 12_000, slowest_ends: 9_000, ..Config::simple(dice) };
    traffic(dice, 20).plan(config)
}

/// Old events, one after another: the partition is not idle, although none of them is recent.
fn a_backfill(dice: Dice) -> Plan {
    let mut drawing = Drawing::new(dice, LENGTH);
    drawing.some("poison", 10, |dice, _| Step::Poison(part(dice, 4), part(dice, 5)));
    drawing.every("produce", 700, |_, _| Step::Produce(0, 0));
    drawing.plan(Config { partitions: 1, lag: 3_600_000, future: 0, ..Config::simple(dice) })
}

fn rejects_for_ever(dice: Dice) -> Plan {
    let config = Config { poison_for_ever: true, ..Config::simple(dice) };
    traffic(dice, 12).plan(config)
}

fn partitions_added(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 60);
    drawing.exactly("add", 3, |d, _| Step::AddPartition(part(d, 4)));
    drawing.plan(Config { replicas: 2, partitions: 1, slowest_topics: 14_000, ..Config::simple(dice) })
}

fn latest(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 60);
    accidents(&mut drawing, 3, 0);
    drawing.some("add", 2, |d, _| Step::AddPartition(part(d, 4)));
    drawing.plan(Config { rule: StartRule::Latest, slowest: 1_500, ..Config::simple(dice) })
}

/// Events of a topic's older incarnation arrive long after the marks that mention them.
fn recreated_topics(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 60);
    accidents(&mut drawing, 2, 0);
    drawing.exactly("remake", 2, |d, _| Step::Remake(part(d, 4)));
    drawing.plan(Config {
        topics: 2,
        replicas: 2,
        old_commits_stay: 500,
        slowest_message: 9_000,
        slow_data: 200,
        ..Config::simple(dice)
    })
}

/// Connectors crash with what they have read of a topic, and the topic is recreated before another one reads it again.
fn incarnations_cut_short(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 60);
    drawing.exactly("crash replica", 8, |d, n| Step::CrashReplica(n as usize, long(d, 2_000, 9_000)));
    drawing.exactly("remake", 3, |d, _| Step::Remake(part(d, 4)));
    drawing.plan(Config {
        topics: 2,
        partitions: 1,
        replicas: 2,
        old_commits_stay: 500,
        held_up: 300,
        ..Config::simple(dice)
    })
}

/// Incarnations that are cut short leave the watermark's minimum. Then processors restart, and messages of those
/// incarnations arrive.
fn restarts_around_retired_incarnations(dice: Dice) -> Plan {
    let mut drawing = Drawing::new(dice, 150_000);
    drawing.exactly("produce", 150, |dice, _| Step::Produce(part(dice, 4), part(dice, 5)));
    let early: Vec<i64> = (0..40).map(|n| 300 * n).collect();
    drawing.at("early", &early, |dice, _| Step::Produce(part(dice, 4), part(dice, 5)));
    let crashes = [3_600, 3_700, 8_600, 8_700];
    drawing.at("crash replica", &crashes, |d, n| Step::CrashReplica(n as usize, long(d, 500, 3_000)));
    drawing.at("remake", &[4_000, 9_000, 11_000], |d, _| Step::Remake(part(d, 4)));
    drawing.at("crash worker", &[50_000, 110_000], |d, _| Step::CrashWorker(0, long(d, 200, 3_000)));
    drawing.at("stop worker", &[80_000, 140_000], |d, _| Step::StopWorker(0, long(d, 3_000, 5_000)));
    drawing.plan(Config {
        topics: 2,
        partitions: 1,
        replicas: 2,
        old_commits_stay: 500,
        publish_lost: 200,
        stalled: 150,
        held_up: 300,
        troubled: 12_000,
        is_prompt: true,
        ..Config::simple(dice)
    })
}

/// Retention deletes what was read and published before anything was committed, and other replicas begin after it.
fn a_young_group(dice: Dice) -> Plan {
    let mut drawing = Drawing::new(dice, 12_000);
    drawing.exactly("produce", 50, |dice, _| Step::Produce(part(dice, 4), part(dice, 5)));
    drawing.some("poison", 10, |dice, _| Step::Poison(part(dice, 4), part(dice, 5)));
    drawing.exactly("cut off", 6, |d, n| Step::CutOffReplica(n as usize, long(d, 1_000, 6_000)));
    drawing.every("retain", 500, |d, _| Step::Retain(part(d, 4), part(d, 5), 1 + d.below(3, "records", &[])));
    drawing.plan(Config {
        replicas: 2,
        partitions: 4,
        publish_lost: 300,
        slowest: 2_000,
        slowest_message: 9_000,
        slow_data: 400,
        ..Config::simple(dice)
    })
}

/// Many events are ahead of their records, and older ones arrive later than they do.
fn clocks_ahead(dice: Dice) -> Plan {
    let partitions = 1 + dice.below(2, "partitions", &[]) as i32;
    let config =
        Config { partitions, ahead: 300, slowest_message: 9_000, slow_data: 300, ..Config::simple(dice) };
    traffic(dice, 60).plan(config)
}

/// Between the request for the ends of logs and its response, events are written that are as late as allowed, and they
/// are read after the mark that carries the response.
fn slow_answers(dice: Dice) -> Plan {
    traffic(dice, 12).plan(Config {
        partitions: 1,
        idle_after: 1_000,
        slowest_ends: 4_000,
        slow_ends: 1_000,
        slowest_message: 400,
        poll: 2_000,
        edge: 800,
        ..Config::simple(dice)
    })
}

/// Messages that are read, and published only after more time than a hole may last.
fn publishing_held_up(dice: Dice) -> Plan {
    let config = Config { hole_limit: 6_000, held_up: 150, ..Config::simple(dice) };
    traffic(dice, 60).plan(config)
}

/// A hole is given up while other messages of its partition are in transit.
fn holes_one_after_another(dice: Dice) -> Plan {
    traffic(dice, 80).plan(Config {
        hole_limit: 8_000,
        vanish: 60,
        slowest_message: 4_500,
        slow_data: 300,
        ..Config::simple(dice)
    })
}

/// A processor resumes when another one has written its checkpoint number and has since pruned it.
fn long_pauses(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 60);
    drawing.exactly("pause worker", 3, |d, n| Step::PauseWorker(n as usize, long(d, 12_000, 25_000)));
    drawing.plan(Config { workers: 2, part: 1 << 20, takeover_after: 2_000, ..Config::simple(dice) })
}

fn offsets_reset(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 60);
    accidents(&mut drawing, 2, 1);
    drawing.exactly("reset", 4, |d, _| Step::Reset(part(d, 4), part(d, 5), d.below(8, "back", &[])));
    drawing.plan(Config { replicas: 2, ..Config::simple(dice) })
}

fn a_topic_dropped(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 50);
    drawing.exactly("drop", 1, |_, _| Step::DropTopic);
    drawing.plan(Config { topics: 2, ..Config::simple(dice) })
}

/// The list of topics changes, and topics get partitions, while static members are down for less than their session.
fn changed_topics(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 60);
    drawing.some("add topic", 2, |_, _| Step::AddTopic);
    drawing.some("drop topic", 1, |_, _| Step::DropTopic);
    drawing.some("add partition", 2, |d, _| Step::AddPartitionUnseen(part(d, 4)));
    drawing.some("crash replica", 2, |d, n| Step::CrashReplica(n as usize, long(d, 200, 5_000)));
    drawing.plan(Config {
        is_static: true,
        topics: 2,
        replicas: 1 + dice.below(3, "replicas", &[]) as usize,
        ..Config::simple(dice)
    })
}

/// Pub/Sub refuses individual messages, often ones that are alone in their batch.
fn refusals(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 40);
    drawing.exactly("refused", 20, |d, _| Step::Refused(part(d, 4), part(d, 5)));
    accidents(&mut drawing, 2, 1);
    drawing.plan(Config { replicas: 2, publish_lost: 100, ..Config::simple(dice) })
}

/// Pub/Sub accepts nothing for a long time, while single records trickle in.
fn small_batches_in_an_outage(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 80);
    drawing.exactly("outage", 2, |d, _| Step::Outage(long(d, 5_000, 12_000)));
    drawing.some("refused", 10, |d, _| Step::Refused(part(d, 4), part(d, 5)));
    accidents(&mut drawing, 2, 0);
    drawing.plan(Config { replicas: 2, poll: 50, publish_lost: 200, ..Config::simple(dice) })
}

fn retention(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 60);
    accidents(&mut drawing, 3, 0);
    drawing.some("retain", 5, |d, _| Step::Retain(part(d, 4), part(d, 5), d.below(12, "records", &[])));
    drawing.plan(Config { replicas: 2, publish_lost: 200, ..Config::simple(dice) })
}

fn replicas_that_differ(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 60);
    accidents(&mut drawing, 3, 1);
    drawing.some("compact", 4, |d, _| Step::Compact(part(d, 4), part(d, 5)));
    drawing.plan(Config { replicas: 2, replicas_differ: true, contested: 400, ..Config::simple(dice) })
}

fn redrives(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 60);
    accidents(&mut drawing, 2, 4);
    drawing.exactly("redrive", 8, |_, _| Step::Redrive);
    let config = Config { replicas: 2, replicas_differ: true, contested: 500, ..Config::simple(dice) };
    drawing.plan(Config {
        redelivered: 200,
        acks_lost: 100,
        workers: 2,
        has_join: dice.chance(500, "join", &[]),
        ..config
    })
}

fn event_ids(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 70);
    accidents(&mut drawing, 1, 2);
    let config =
        Config { has_ids: true, copies: 300, size: 20_000, lateness: 20_000, ..Config::simple(dice) };
    drawing.plan(config)
}

fn a_backlog(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 90);
    drawing.exactly("crash worker", 1, |_, _| Step::CrashWorker(0, 29_000));
    drawing.plan(Config { pull: 1, hole_limit: 8_000, lateness: 0, ..Config::simple(dice) })
}

fn messages_that_never_arrive(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 60);
    accidents(&mut drawing, 1, 1);
    drawing.plan(Config { vanish: 40, stalled: 20, ..Config::simple(dice) })
}

fn streams_gone(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 60);
    drawing.exactly("gone", 6, |_, _| Step::StreamsGone);
    accidents(&mut drawing, 0, 3);
    let workers = 1 + dice.below(2, "workers", &[]) as usize;
    drawing.plan(Config { workers, appends_lost: 300, ..Config::simple(dice) })
}

/// Tables whose rows replace each other. They take requests several times, old ones after newer ones.
fn upserts(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 60);
    accidents(&mut drawing, 0, 3);
    let workers = 1 + dice.below(2, "workers", &[]) as usize;
    drawing.plan(Config {
        has_upserts: true,
        workers,
        appends_lost: 300,
        slowest: 1_500,
        ..Config::simple(dice)
    })
}

/// One writer after another does not answer for a long time, from the beginning or later. Both have all rows in the end, and
/// neither waits for the other.
fn several_writers(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 60);
    accidents(&mut drawing, 0, 3);
    drawing.at("down at first", &[0], |d, _| Step::WriterDown(part(d, 7), long(d, 100, 20_000)));
    drawing.some("down", 3, |d, _| Step::WriterDown(part(d, 7), long(d, 2_000, 15_000)));
    drawing.some("gone", 2, |_, _| Step::StreamsGone);
    let workers = 1 + dice.below(2, "workers", &[]) as usize;
    let has_upserts = dice.chance(300, "upserts", &[]);
    drawing.plan(Config { writers: 2, workers, has_upserts, appends_lost: 150, ..Config::simple(dice) })
}

fn joins(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 80);
    accidents(&mut drawing, 1, 2);
    drawing.plan(Config { has_join: true, redelivered: 200, ..Config::simple(dice) })
}

/// Clicks and views arrive while some of their windows still accept them, and shortly after none does.
fn joins_with_delayed_events(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 120);
    accidents(&mut drawing, 1, 3);
    drawing.plan(Config { has_join: true, delayed: 400, redelivered: 200, ..Config::simple(dice) })
}

/// Connectors and processors are upgraded one by one, in any order. A processor of the present version stops at
/// messages of a connector of the next one, until it is upgraded too.
fn two_versions(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 70);
    drawing.exactly("poison", 30, |dice, _| Step::Poison(part(dice, 4), part(dice, 5)));
    accidents(&mut drawing, 1, 1);
    drawing.exactly("upgrade replica", 2, |_, n| Step::UpgradeReplica(n as usize));
    let workers = 1 + dice.below(2, "workers", &[]) as usize;
    drawing.some("upgrade worker", workers as u64, |_, n| Step::UpgradeWorker(n as usize));
    drawing.plan(Config { replicas: 2, workers, has_versions: true, ..Config::simple(dice) })
}

fn rows_refused(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 60);
    accidents(&mut drawing, 0, 3);
    drawing.plan(Config { refuses: Some("p1"), workers: 2, appends_lost: 150, ..Config::simple(dice) })
}

/// A frozen replica that continues to read a log that was cut in the meantime is not among the faults: brokers refuse
/// such a read, and the simulated Kafka does not.
fn unclean_elections(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 60);
    drawing.some("crash replica", 3, |d, n| Step::CrashReplica(n as usize, long(d, 200, 9_000)));
    drawing.some("stop replica", 2, |d, n| Step::StopReplica(n as usize, long(d, 4_000, 9_000)));
    drawing.some("crash worker", 1, |d, n| Step::CrashWorker(n as usize, long(d, 200, 6_000)));
    drawing.exactly("cut", 6, |d, _| Step::Cut(part(d, 4), part(d, 5), 1 + d.below(4, "offsets", &[])));
    drawing.plan(Config { replicas: 2, ..Config::simple(dice) })
}

fn lost_state(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 60);
    drawing.exactly("lose", 1, |_, _| Step::LoseState);
    drawing.plan(Config { is_inexact: true, ..Config::simple(dice) })
}

/// All faults together.
fn mixed(dice: Dice) -> Plan {
    let mut drawing = traffic(dice, 70);
    accidents(&mut drawing, 2, 2);
    transactions(&mut drawing, 4);
    drawing.some("outage", 2, |d, _| Step::Outage(long(d, 1_000, 9_000)));
    drawing.some("add", 1, |d, _| Step::AddPartition(part(d, 4)));
    drawing.some("retain", 2, |d, _| Step::Retain(part(d, 4), part(d, 5), d.below(6, "records", &[])));
    drawing.some("remake", 1, |d, _| Step::Remake(part(d, 4)));
    drawing.plan(Config {
        topics: 1 + dice.below(2, "topics", &[]) as usize,
        replicas: 2,
        workers: 2,
        old_commits_stay: 500,
        has_lock: dice.chance(500, "lock", &[]),
        loose: 50,
        ..Config::simple(dice)
    })
}

macro_rules! scenarios {
    ($($name:ident, $plan:ident, $seeds:expr;)*) => {
        $(#[test]
        fn $name() {
            check(stringify!($name), $plan, $seeds);
        })*
    };
}

scenarios! {
    runs_disorder, disorder, 150;
    runs_crashes, crashes, 150;
    runs_rebalances, rebalances, 150;
    runs_fencing, fencing, 150;
    runs_long_pauses, long_pauses, 40;
    runs_open_transactions, open_transactions, 120;
    runs_idleness, idleness, 120;
    runs_slow_answers, slow_answers, 80;
    runs_clocks_ahead, clocks_ahead, 40;
    runs_a_backfill, a_backfill, 60;
    runs_rejects_for_ever, rejects_for_ever, 60;
    runs_partitions_added, partitions_added, 120;
    runs_latest, latest, 150;
    runs_recreated_topics, recreated_topics, 120;
    runs_incarnations_cut_short, incarnations_cut_short, 60;
    runs_restarts_around_retired_incarnations, restarts_around_retired_incarnations, 40;
    runs_offsets_reset, offsets_reset, 40;
    runs_a_topic_dropped, a_topic_dropped, 60;
    runs_changed_topics, changed_topics, 120;
    runs_refusals, refusals, 100;
    runs_small_batches_in_an_outage, small_batches_in_an_outage, 60;
    runs_retention, retention, 120;
    runs_a_young_group, a_young_group, 60;
    runs_replicas_that_differ, replicas_that_differ, 120;
    runs_redrives, redrives, 120;
    runs_event_ids, event_ids, 120;
    runs_a_backlog, a_backlog, 60;
    runs_messages_that_never_arrive, messages_that_never_arrive, 100;
    runs_holes_one_after_another, holes_one_after_another, 40;
    runs_publishing_held_up, publishing_held_up, 40;
    runs_streams_gone, streams_gone, 100;
    runs_upserts, upserts, 100;
    runs_several_writers, several_writers, 100;
    runs_joins, joins, 120;
    runs_joins_with_delayed_events, joins_with_delayed_events, 120;
    runs_rows_refused, rows_refused, 100;
    runs_two_versions, two_versions, 100;
    runs_unclean_elections, unclean_elections, 120;
    runs_lost_state, lost_state, 60;
    runs_mixed, mixed, 150;
}
