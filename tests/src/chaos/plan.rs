//! The faults of a run and their times, derived from the seed.

use std::{fmt, time::Duration};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Longer than the session timeout of the consumer group, and than `takeover_after`.
const FROZEN: Duration = Duration::from_millis(7_500);
/// Latest start of the last fault.
const SPAN_MS: u64 = 7_000;

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Whether Pub/Sub is the stand-in, which repeats and reorders far more than the emulator.
    pub stand_in: bool,
    /// Number of partitions of the topic.
    pub partitions: i32,
    /// Number of records without duplicates.
    pub events: u64,
    /// Whether connectors are static members of their group.
    pub static_members: bool,
    /// Whether records are published in packs at first.
    pub packs: bool,
    /// The actions, ordered by time since the start.
    pub actions: Vec<(Duration, Action)>,
    /// Changes to the topics once the faults are over and everything was read.
    pub last: Option<Change>,
}

/// One of the two services behind a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The brokers.
    Kafka,
    /// The emulator, or the stand-in.
    PubSub,
}

/// One of the two programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `aqueduct connector`
    Connector,
    /// `aqueduct processor`
    Processor,
}

/// A store on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The SQLite file.
    Rows,
    /// The directory with the checkpoints.
    State,
}

/// Changes to a topic whose records have all been read; before that, records would be lost on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The newest topic is removed from the configuration, and the connectors restart one after the other.
    Remove,
    /// The newest topic is deleted and recreated with this many partitions, under running connectors.
    Recreate(i32),
}

/// An action on the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// SIGKILL to the oldest process, and an immediate restart.
    Kill(Program),
    /// SIGSTOP to the oldest process.
    Freeze(Program),
    /// SIGCONT to all suspended processes, which may have been overtaken.
    Thaw(Program),
    /// Starts one more process.
    Join(Program),
    /// SIGTERM to the newest of several processes.
    Leave(Program),
    /// Connections are reset and refused, as if the service were down.
    Close(Side),
    /// The service is reachable again.
    Open(Side),
    /// Connections stay open without traffic.
    Hold(Side),
    /// Traffic resumes.
    Release(Side),
    /// Connections are reset once.
    Reset(Side),
    /// The broker restarts with the same log.
    RestartBroker,
    /// This many publish requests succeed and return an error.
    LoseAnswers(u64),
    /// All pull streams are closed.
    CutStreams,
    /// A topic with this many partitions and events of its own is added to the configuration, and the connectors
    /// restart one after the other.
    AddTopic(i32, u64),
    /// The newest topic gains this many partitions, and more events in all of them.
    AddPartitions(i32),
    /// A topic is added as above, other keys change too, and all processes restart one after the other.
    Upgrade(i32, u64),
    /// The connectors restart one after the other, with packs or without.
    Pack(bool),
    /// A store is moved away while the one processor uses it, which must exit; then it is restored.
    Lose(Kept),
    /// No file of the processors can be larger than this many bytes.
    Fill(u64),
    /// The disk has space again.
    MakeRoom,
}

impl Action {
    /// The program that the action affects, if any.
    pub fn program(self) -> Option<Program> {
        match self {
            Self::Kill(program)
            | Self::Freeze(program)
            | Self::Thaw(program)
            | Self::Join(program)
            | Self::Leave(program) => Some(program),
            _ => None,
        }
    }
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let stand_in = random.random_bool(0.5);
        let partitions = random.random_range(1..=4);
        let events = random.random_range(6_000..12_000);
        let mut actions = Vec::new();
        for _ in 0..random.random_range(2..=4) {
            let start = Duration::from_millis(random.random_range(300..SPAN_MS));
            actions.extend(fault(&mut random, start, stand_in));
        }
        let (more, last) = happening(&mut random);
        actions.extend(more);
        let static_members = random.random_bool(0.5);
        let packs = random.random_bool(0.5);
        if random.random_bool(0.3) {
            let start = Duration::from_millis(random.random_range(300..SPAN_MS));
            actions.push((start, Action::Pack(!packs)));
        }
        actions.sort_by_key(|(at, _)| *at);
        Self { seed, stand_in, partitions, events, static_members, packs, actions, last }
    }

    /// Whether topics are added; their events are older than the watermark.
    pub(super) fn adds_topics(&self) -> bool {
        let adds = |action: &Action| {
            matches!(action, Action::AddTopic(..) | Action::AddPartitions(_) | Action::Upgrade(..))
        };
        self.last.is_some() || self.actions.iter().any(|(_, action)| adds(action))
    }
}

/// Actions besides faults: changes to topics, configuration or disk.
fn happening(random: &mut ChaCha8Rng) -> (Vec<(Duration, Action)>, Option<Change>) {
    let start = Duration::from_millis(random.random_range(300..SPAN_MS));
    let while_ms = Duration::from_millis(random.random_range(1_000..5_000));
    let topic = (random.random_range(1..=3), random.random_range(1_000..4_000));
    let last = match random.random_range(0..3) {
        0 => None,
        1 => Some(Change::Remove),
        _ => Some(Change::Recreate(random.random_range(1..=4))),
    };
    let add = (start, Action::AddTopic(topic.0, topic.1));
    let grow = Action::AddPartitions(random.random_range(1..=3));
    match random.random_range(0..7) {
        0 => (vec![add], last),
        1 => (vec![add, (start + while_ms, grow)], last),
        2 => (vec![(start, grow)], last.filter(|change| *change != Change::Remove)),
        3 => {
            let joined = |program| (start.saturating_sub(while_ms), Action::Join(program));
            let upgrade = (start, Action::Upgrade(topic.0, topic.1));
            (vec![joined(Program::Connector), joined(Program::Processor), upgrade], None)
        }
        4 => (vec![(start, Action::Lose(Kept::Rows))], None),
        5 => (vec![(start, Action::Lose(Kept::State))], None),
        _ => {
            let bytes = random.random_range(0..16) << 10;
            (vec![(start, Action::Fill(bytes)), (start + while_ms, Action::MakeRoom)], None)
        }
    }
}

/// A fault, and its end if it has one.
fn fault(random: &mut ChaCha8Rng, start: Duration, stand_in: bool) -> Vec<(Duration, Action)> {
    let side = if random.random_bool(0.5) { Side::Kafka } else { Side::PubSub };
    let program = if random.random_bool(0.5) { Program::Connector } else { Program::Processor };
    let while_ms = Duration::from_millis(random.random_range(200..4_000));
    let kinds = if stand_in { 9 } else { 7 };
    match random.random_range(0..kinds) {
        0 => vec![(start, Action::Kill(program))],
        1 => vec![
            // Without another process to take over, no process is overtaken.
            (start, Action::Join(program)),
            (start + Duration::from_millis(800), Action::Freeze(program)),
            (start + Duration::from_millis(800) + FROZEN, Action::Thaw(program)),
        ],
        2 => vec![(start, Action::Join(program)), (start + while_ms, Action::Leave(program))],
        3 => vec![(start, Action::Close(side)), (start + while_ms, Action::Open(side))],
        4 => vec![(start, Action::Hold(side)), (start + while_ms, Action::Release(side))],
        5 => vec![(start, Action::Reset(side)), (start + while_ms, Action::Reset(side))],
        6 => vec![(start, Action::RestartBroker)],
        7 => vec![(start, Action::LoseAnswers(random.random_range(1..20)))],
        _ => vec![(start, Action::CutStreams)],
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pubsub = if self.stand_in { "stand-in" } else { "emulator" };
        let members = if self.static_members { "static" } else { "regular" };
        let form = if self.packs { "packs" } else { "single messages" };
        write!(f, "{} events in {} partitions, {pubsub}, {members}, {form}:", self.events, self.partitions)?;
        self.actions.iter().try_for_each(|(at, action)| write!(f, " {:.1}s {action:?}", at.as_secs_f64()))?;
        self.last.iter().try_for_each(|change| write!(f, " last {change:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_cover_every_accident() {
        let plans: Vec<String> = (1..=200).map(|seed| Plan::of(seed).to_string()).collect();
        let again: Vec<String> = (1..=200).map(|seed| Plan::of(seed).to_string()).collect();
        assert_eq!(plans, again);
        let kinds = [
            "Kill",
            "Freeze",
            "Join",
            "Close",
            "Hold",
            "Reset",
            "RestartBroker",
            "LoseAnswers",
            "CutStreams",
            "AddTopic",
            "AddPartitions",
            "Upgrade",
            "Lose(Rows)",
            "Lose(State)",
            "Fill",
            "last Remove",
            "last Recreate",
            "static",
            "regular",
            "single messages:",
            "packs:",
            "Pack(",
        ];
        for kind in kinds {
            assert!(plans.iter().filter(|plan| plan.contains(kind)).count() >= 10, "{kind} is rare");
        }
    }
}
