//! The plan of one run: its configuration, and the steps of producers, operators and accidents, all drawn from a seed.

use std::collections::BTreeMap;

use event::{Millis, events::EventsSettings};
use flow::{Flow, FlowSettings};
use kafka::StartRule;
use serde_json::json;

use crate::dice::Dice;

/// The flow with a join.
pub(crate) const JOINED: &str = "joined";
/// Maximum time from a view to its click, milliseconds.
pub(crate) const JOIN_WITHIN: i64 = 5_000;

/// The parameters of a run.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Start time, which determines the minute boundaries.
    pub(crate) epoch: i64,
    pub(crate) topics: usize,
    pub(crate) partitions: i32,
    pub(crate) replicas: usize,
    pub(crate) workers: usize,
    pub(crate) rule: StartRule,
    pub(crate) idle_after: i64,
    pub(crate) hole_limit: i64,
    pub(crate) cold_start: i64,
    pub(crate) takeover_after: i64,
    pub(crate) out_of_orderness: i64,
    pub(crate) lateness: i64,
    pub(crate) size: i64,
    pub(crate) has_ids: bool,
    pub(crate) id_within: i64,
    /// A standby learns at once when the holder has died.
    pub(crate) has_lock: bool,
    /// Replicas differ in which records they accept.
    pub(crate) replicas_differ: bool,
    /// The slowest request or response, milliseconds.
    pub(crate) slowest: i64,
    /// The slowest response about topics.
    pub(crate) slowest_topics: i64,
    /// The slowest response about log ends.
    pub(crate) slowest_ends: i64,
    /// The slowest delivery of a message.
    pub(crate) slowest_message: i64,
    /// How often a replica reads.
    pub(crate) poll: i64,
    /// Messages of each kind per pull.
    pub(crate) pull: u64,
    /// Bytes of a full copy of the state that each checkpoint takes: from one entry to everything.
    pub(crate) part: usize,
    // In this many of a thousand cases:
    pub(crate) publish_lost: u64,
    pub(crate) redelivered: u64,
    pub(crate) acks_lost: u64,
    pub(crate) store_faults: u64,
    pub(crate) appends_lost: u64,
    pub(crate) vanish: u64,
    pub(crate) stalled: u64,
    /// A data message takes any time up to the slowest delivery.
    pub(crate) slow_data: u64,
    /// Polls of a partition that are published in packs.
    pub(crate) packs: u64,
    /// A response about log ends takes any time up to the slowest.
    pub(crate) slow_ends: u64,
    /// Pub/Sub accepts a batch only after many attempts, but accepts all others.
    pub(crate) held_up: u64,
    /// When nothing is stalled or delayed any more, milliseconds from the beginning.
    pub(crate) troubled: i64,
    pub(crate) loose: u64,
    pub(crate) contested: u64,
    pub(crate) copies: u64,
    pub(crate) future: u64,
    /// An event is as late as allowed.
    pub(crate) edge: u64,
    /// An event is ahead of its record, but within `events.future`.
    pub(crate) ahead: u64,
    /// An event with the ID of an earlier view, about as late as a window of a join still accepts.
    pub(crate) delayed: u64,
    pub(crate) old_commits_stay: u64,
    /// Final rows may differ, because a state was lost on purpose.
    pub(crate) is_inexact: bool,
    /// Rejected records keep arriving on the first partition until the end.
    pub(crate) poison_for_ever: bool,
    /// Events are this much older than their records, and none is in the future.
    pub(crate) lag: i64,
    /// Adds a third flow, with a join.
    pub(crate) has_join: bool,
    /// Rows go to this many writers.
    pub(crate) writers: usize,
    /// Rows replace each other, and requests arrive several times, in any order.
    pub(crate) has_upserts: bool,
    /// The key that every table rejects.
    pub(crate) refuses: Option<&'static str>,
    /// Connectors are static members: one that returns within its session receives its old assignment.
    pub(crate) is_static: bool,
    /// A retired incarnation never holds the watermark again: once everything has arrived, the watermark follows the
    /// time.
    pub(crate) is_prompt: bool,
    /// Programs of two versions run. At the end every processor has the next one.
    pub(crate) has_versions: bool,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// An event, by topic and partition.
    Produce(usize, usize),
    /// A record that every connector rejects.
    Poison(usize, usize),
    /// A record that connectors accept and Pub/Sub rejects.
    Refused(usize, usize),
    Begin(usize, usize),
    End(usize, usize, bool),
    Compact(usize, usize),
    /// Retention deletes this many records.
    Retain(usize, usize, u64),
    AddPartition(usize),
    Remake(usize),
    /// The last topic is removed from the configuration.
    DropTopic,
    /// A topic is created and added to the configuration.
    AddTopic,
    /// While every connector is down a topic gets another partition.
    AddPartitionUnseen(usize),
    /// An unclean election truncates this many committed offsets.
    Cut(usize, usize, u64),
    /// An operator stops all connectors, sets the group's offset to at most this far from the readable end, and starts
    /// them again.
    Reset(usize, usize, u64),
    CrashReplica(usize, i64),
    StopReplica(usize, i64),
    PauseReplica(usize, i64),
    CutOffReplica(usize, i64),
    CrashWorker(usize, i64),
    StopWorker(usize, i64),
    PauseWorker(usize, i64),
    /// A connector restarts with the next version.
    UpgradeReplica(usize),
    /// A processor restarts with the next version.
    UpgradeWorker(usize),
    /// Rejected records that are good by now are published again.
    Redrive,
    /// Pub/Sub accepts nothing for this long.
    Outage(i64),
    StreamsGone,
    /// A writer does not answer for this long.
    WriterDown(usize, i64),
    LoseState,
}

/// A run without its seed.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) config: Config,
    /// Time, a stable number, and the step.
    pub(crate) steps: Vec<(i64, u64, Step)>,
    /// When the faults are over.
    pub(crate) calm_at: i64,
}

pub(crate) fn millis(millis: i64) -> Millis {
    Millis(millis)
}

impl Config {
    /// One connector, one processor, disorder and redelivery.
    pub(crate) fn simple(dice: Dice) -> Self {
        Self {
            epoch: 1_700_000_000_000 + dice.millis(0, 60_000, "epoch", &[]),
            topics: 1,
            partitions: 2,
            replicas: 1,
            workers: 1,
            rule: StartRule::Earliest,
            idle_after: 3_000,
            hole_limit: 25_000,
            cold_start: 6_000,
            takeover_after: 4_000,
            out_of_orderness: 3_000,
            lateness: 1_000 * dice.millis(0, 6, "lateness", &[]),
            size: 8_000,
            has_ids: false,
            id_within: 5_000,
            has_lock: true,
            replicas_differ: false,
            slowest: 400,
            slowest_topics: 400,
            slowest_ends: 400,
            slowest_message: 3_000,
            poll: 200,
            pull: 40,
            part: [1, 200, 2_000, 1 << 20][dice.below(4, "part", &[]) as usize],
            publish_lost: 20,
            redelivered: 50,
            acks_lost: 20,
            store_faults: 20,
            appends_lost: 40,
            vanish: 0,
            stalled: 0,
            slow_data: 0,
            packs: 250,
            slow_ends: 0,
            held_up: 0,
            troubled: i64::MAX,
            loose: 0,
            contested: 0,
            copies: 0,
            future: 20,
            edge: 200,
            ahead: 0,
            delayed: 0,
            old_commits_stay: 0,
            is_inexact: false,
            poison_for_ever: false,
            lag: 0,
            has_join: false,
            writers: 1,
            has_upserts: false,
            refuses: None,
            is_static: false,
            is_prompt: false,
            has_versions: false,
        }
    }

    /// The maximum age of an event when it is written. Slightly less than what a window of its view or click accepts.
    pub(crate) fn longest_delay(&self) -> i64 {
        JOIN_WITHIN + self.size + self.lateness_of_join() + 2 * self.out_of_orderness
    }

    /// The allowed lateness of the flow with a join.
    pub(crate) fn lateness_of_join(&self) -> i64 {
        self.lateness.max(JOIN_WITHIN)
    }

    pub(crate) fn events(&self) -> EventsSettings {
        let mut settings =
            json!({ "time": "/t", "future": "10s", "id_within": format!("{}ms", self.id_within) });
        if self.has_ids {
            settings["id"] = json!("/id");
        }
        serde_json::from_value(settings).expect("the section is complete")
    }

    /// A sliding flow in event time that accepts late events, and a fixed one that accepts none: in event time if
    /// events are duplicated, otherwise in Kafka time. Optionally a flow with a join.
    pub(crate) fn flows(&self) -> Vec<Flow> {
        let time = if self.has_ids { "event" } else { "kafka" };
        let size = self.size;
        let flow = |name: &str, time: &str, period: i64, lateness: i64| {
            let mut settings = json!({
                "name": name, "by": { "page": "/p" }, "views": { "/k": "v" }, "clicks": { "/k": "c" },
                "window": { "size": format!("{size}ms"), "period": format!("{period}ms") },
                "time": time, "out_of_orderness": format!("{}ms", self.out_of_orderness),
                "allowed_lateness": format!("{lateness}ms"),
            });
            if name == JOINED {
                settings["join"] = json!({ "on": "/v", "within": format!("{JOIN_WITHIN}ms") });
            }
            let settings: FlowSettings = serde_json::from_value(settings).expect("the flow is complete");
            Flow::try_from(settings).expect("the flow makes sense")
        };
        let mut flows = vec![flow("sliding", "event", size / 2, self.lateness), flow("fixed", time, size, 0)];
        if self.has_join {
            flows.push(flow(JOINED, "event", size, self.lateness_of_join()));
        }
        flows
    }
}

/// Draws the steps of a kind: their mean number in the whole run, and the step.
pub(crate) struct Drawing {
    pub(crate) dice: Dice,
    pub(crate) length: i64,
    steps: Vec<(i64, u64, Step)>,
    kinds: BTreeMap<&'static str, u64>,
}

impl Drawing {
    pub(crate) fn new(dice: Dice, length: i64) -> Self {
        Self { dice, length, steps: Vec::new(), kinds: BTreeMap::new() }
    }

    /// Up to `most` steps of a kind, at regular times.
    pub(crate) fn some(
        &mut self,
        kind: &'static str,
        most: u64,
        make: impl Fn(Dice, u64) -> Step,
    ) -> &mut Self {
        let count = self.dice.below(most + 1, kind, &[]);
        self.exactly(kind, count, make)
    }

    pub(crate) fn exactly(
        &mut self,
        kind: &'static str,
        count: u64,
        make: impl Fn(Dice, u64) -> Step,
    ) -> &mut Self {
        let first = *self.kinds.entry(kind).and_modify(|n| *n += 1_000).or_insert(0);
        for n in first..first + count {
            let at = self.dice.millis(0, self.length, kind, &[n, 1]);
            let salt = self.dice.roll(kind, &[n, 2]);
            self.steps.push((at, salt, make(Dice(salt), n)));
        }
        self
    }

    /// A step of a kind at each of these times.
    pub(crate) fn at(&mut self, kind: &'static str, times: &[i64], make: impl Fn(Dice, u64) -> Step) {
        for (n, at) in (0u64..).zip(times) {
            let salt = self.dice.roll(kind, &[n, 2]);
            self.steps.push((*at, salt, make(Dice(salt), n)));
        }
    }

    /// A step of a kind at this interval in milliseconds.
    pub(crate) fn every(&mut self, kind: &'static str, millis: i64, make: impl Fn(Dice, u64) -> Step) {
        for (n, at) in (0..self.length).step_by(millis.unsigned_abs() as usize).enumerate() {
            let salt = self.dice.roll(kind, &[n as u64, 2]);
            self.steps.push((at, salt, make(Dice(salt), n as u64)));
        }
    }

    pub(crate) fn plan(&mut self, config: Config) -> Plan {
        self.steps.sort_by_key(|(at, salt, _)| (*at, *salt));
        Plan { config, steps: std::mem::take(&mut self.steps), calm_at: self.length + 1_000 }
    }
}
