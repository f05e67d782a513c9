//! Generated page views and clicks of a marketplace: few pages and boxes get most of the views, each box has its own
//! click-through rate, a click follows its view by seconds, and some events are neither.
//!
//! Pure: the same [`Shape`] and seed produce the same bytes. Optimised for speed: bytes are written directly,
//! millions of events per second. The `generate` command writes them to files and Kafka.
//!
//! | module | idea |
//! |---|---|
//! | [`share`] | probabilities such as `1%` |
//! | `world` | the pages, boxes and users, and how often each is seen |
//! | `happening` | one event before it is text |
//! | `schedule` | what is written later: clicks, late events, duplicates |
//! | `render` | an event as JSON, and how it is broken |
//! | `encode` | an event as Avro or Protobuf |

use std::num::{NonZeroU32, NonZeroU64};

use event::EventTime;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

mod encode;
mod happening;
mod render;
mod schedule;
mod share;
mod world;

pub use encode::{AVRO, Encoder, PROTOBUF};
pub use happening::{Defect, Kind};
pub use share::{Share, ShareError};

use happening::Happening;
use render::Renderer;
use schedule::{Pending, Schedule};
use world::World;

/// The properties of the traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Number of users.
    pub users: NonZeroU32,
    /// Number of pages; the first ones have the most views.
    pub pages: NonZeroU32,
    /// Number of boxes; the first ones have the most views.
    pub boxes: NonZeroU32,
    /// Events a second.
    pub rate: NonZeroU64,
    /// When the first event is written.
    pub start: EventTime,
    /// The share of events that are written one second to ten minutes after their time.
    pub late: Share,
    /// The share of events that are written twice, at most a minute apart.
    pub duplicates: Share,
    /// The share of events that are broken, each with one [`Defect`].
    pub broken: Share,
}

/// An endless sequence of events.
#[derive(Debug)]
pub struct Traffic {
    shape: Shape,
    world: World,
    random: ChaCha8Rng,
    schedule: Schedule,
    renderer: Renderer,
    pace: Pace,
    events: u64,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The event's own time.
    pub time: EventTime,
    /// When it is written: later than its time where it is late or a duplicate.
    pub written: EventTime,
    /// Whose event it is; also its Kafka key.
    pub user: u64,
    /// What happened.
    pub kind: Kind,
    /// What is wrong with it.
    pub defect: Option<Defect>,
    /// Whether it is one of the late events.
    pub late: bool,
    /// Whether the same bytes were written before.
    pub duplicate: bool,
}

/// When the n-th event is written.
#[derive(Clone, Copy, Debug)]
struct Pace {
    start: EventTime,
    rate: NonZeroU64,
    written: u64,
}

impl Default for Shape {
    fn default() -> Self {
        const fn count(n: u32) -> NonZeroU32 {
            NonZeroU32::new(n).expect("not 0")
        }
        Self {
            users: count(100_000),
            pages: count(200),
            boxes: count(20),
            rate: NonZeroU64::new(1000).expect("not 0"),
            start: DEFAULT_START,
            late: Share::NEVER,
            duplicates: Share::NEVER,
            broken: Share::NEVER,
        }
    }
}

/// The most consecutive events that are held back. Even if all are to be late, one after them is written
/// immediately.
const MOST_LATE_AT_ONCE: usize = 16;

/// Default time of the first event: 2026-01-01T00:00:00Z.
pub const DEFAULT_START: EventTime = EventTime(1_767_225_600_000);

impl Traffic {
    /// Traffic with these properties; another seed generates other events.
    pub fn new(shape: Shape, seed: u64) -> Self {
        Self {
            world: World::new(shape.pages, shape.boxes),
            random: ChaCha8Rng::seed_from_u64(seed),
            schedule: Schedule::default(),
            renderer: Renderer::new(seed),
            pace: Pace { start: shape.start, rate: shape.rate, written: 0 },
            events: 0,
            shape,
        }
    }

    /// Appends the JSON of the next event, without a line end. A tombstone ([`Defect::Tombstone`]) appends
    /// nothing.
    ///
    /// Events are returned in the order in which they are written, `rate` per second.
    pub fn next(&mut self, out: &mut Vec<u8>) -> Meta {
        let now = self.pace.next();
        let pending = self.due(now);
        if !pending.duplicate && self.draws(self.shape.duplicates.threshold()) {
            self.schedule.duplicate(pending.happening, now, self.random.next_u64());
        }
        let broken = self.draws(self.shape.broken.threshold());
        let defect = broken.then(|| Defect::at(self.random.next_u32() as usize));
        self.renderer.write(&self.world, &pending.happening, defect, out);
        Meta {
            time: EventTime(pending.happening.time),
            written: now,
            user: pending.happening.user_id(),
            kind: pending.happening.kind,
            defect,
            late: pending.late,
            duplicate: pending.duplicate,
        }
    }

    /// When the next event will be written.
    pub fn next_written(&self) -> EventTime {
        self.pace.peek()
    }

    /// What has waited long enough, or else something new.
    fn due(&mut self, now: EventTime) -> Pending {
        if let Some(pending) = self.schedule.due(now) {
            if pending.happening.kind == Kind::Click {
                self.follow(&pending.happening);
            }
            return pending;
        }
        for _ in 0..MOST_LATE_AT_ONCE {
            let happening = self.happen(now);
            if !self.draws(self.shape.late.threshold()) {
                return Pending::new(happening);
            }
            self.schedule.late(happening, now, self.random.next_u64());
        }
        Pending::new(self.happen(now))
    }

    /// Something new: a view mostly, sometimes something that no flow counts.
    fn happen(&mut self, now: EventTime) -> Happening {
        let number = self.number();
        let happening = Happening::new(number, now.0, &self.world, self.shape.users, &mut self.random);
        self.follow(&happening);
        happening
    }

    /// A click on a view, or another one after a click. A click does not wait for a view that is late.
    fn follow(&mut self, happening: &Happening) {
        if self.draws(happening.click_threshold(&self.world)) {
            let number = self.number();
            self.schedule.click(happening.click(number), self.random.next_u64());
        }
    }

    fn draws(&mut self, threshold: u32) -> bool {
        self.random.next_u32() < threshold
    }

    fn number(&mut self) -> u64 {
        self.events += 1;
        self.events
    }
}

impl Meta {
    /// Appends the Kafka key: the user's id as decimal digits.
    pub fn write_key(&self, out: &mut Vec<u8>) {
        render::decimal(self.user, out);
    }
}

impl Pace {
    fn next(&mut self) -> EventTime {
        let time = self.peek();
        self.written += 1;
        time
    }

    fn peek(&self) -> EventTime {
        // In 128 bits, as a long run at a high rate passes 2^64 / 1000 events' worth of milliseconds.
        let passed = u128::from(self.written) * 1000 / u128::from(self.rate.get());
        EventTime(self.start.0.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests;
