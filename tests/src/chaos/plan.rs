//! What goes wrong in a run, and when: all of it follows from the seed.

use std::{fmt, time::Duration};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Longer than the consumer group waits for a silent member, and than a stand-by for the one that holds the state.
const FROZEN: Duration = Duration::from_millis(7_500);
/// When the last fault begins at the latest.
const SPAN_MS: u64 = 7_000;

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it comes from.
    pub seed: u64,
    /// Whether Pub/Sub is the stand-in, which repeats and shuffles far more than the emulator.
    pub stand_in: bool,
    /// Partitions of the topic.
    pub partitions: i32,
    /// Records besides duplicates.
    pub events: u64,
    /// What happens, in order of time since the start.
    pub actions: Vec<(Duration, Action)>,
}

/// One of the two services in front of which a proxy stands.
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

/// Something that is done to the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// SIGKILL to the oldest, and a new one at once.
    Kill(Program),
    /// SIGSTOP to the oldest.
    Freeze(Program),
    /// SIGCONT to those that were stopped: zombies, if another one took their place.
    Thaw(Program),
    /// One more.
    Join(Program),
    /// SIGTERM to the newest of several.
    Leave(Program),
    /// Connections are reset and refused, as if the service were gone.
    Close(Side),
    /// The service is back.
    Open(Side),
    /// Connections stay and are silent.
    Hold(Side),
    /// They speak again.
    Release(Side),
    /// Connections are reset once.
    Reset(Side),
    /// The broker ends and starts again on the same log.
    RestartBroker,
    /// So many publish requests are done and answered with an error.
    LoseAnswers(u64),
    /// Every pull stream ends.
    CutStreams,
}

impl Action {
    /// To whose processes it is done, if to any.
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
        actions.sort_by_key(|(at, _)| *at);
        Self { seed, stand_in, partitions, events, actions }
    }
}

/// A fault and, where it has one, its end.
fn fault(random: &mut ChaCha8Rng, start: Duration, stand_in: bool) -> Vec<(Duration, Action)> {
    let side = if random.random_bool(0.5) { Side::Kafka } else { Side::PubSub };
    let program = if random.random_bool(0.5) { Program::Connector } else { Program::Processor };
    let while_ms = Duration::from_millis(random.random_range(200..4_000));
    let kinds = if stand_in { 9 } else { 7 };
    match random.random_range(0..kinds) {
        0 => vec![(start, Action::Kill(program))],
        1 => vec![
            // Somebody must be there to take over, or there is no zombie.
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
        write!(f, "{} events in {} partitions, {pubsub}:", self.events, self.partitions)?;
        self.actions.iter().try_for_each(|(at, action)| write!(f, " {:.1}s {action:?}", at.as_secs_f64()))
    }
}
