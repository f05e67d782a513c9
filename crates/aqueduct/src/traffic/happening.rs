//! One event before it is encoded: small, and sufficient to write the same bytes again.

use std::num::NonZeroU32;

use rand_chacha::{ChaCha8Rng, rand_core::Rng as _};

use super::world::{World, below};

/// The action of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Viewed a box on a page: `"type":"view"`.
    View,
    /// Clicked it: `"type":"click"`.
    Click,
    /// Searched; no flow counts it: `"type":"search"`.
    Search,
    /// Wrote to a seller; no flow counts it: `"type":"contact"`.
    Contact,
}

/// How an event is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Defect {
    /// The JSON ends in the middle.
    Truncated,
    /// JSON, but no object.
    Array,
    /// No bytes at all: in Kafka a null value.
    Tombstone,
    /// The time is missing.
    NoTime,
    /// The time is a word.
    WordTime,
    /// The time lies far in the future.
    FutureTime,
    /// The user's id is an array.
    ArrayUser,
    /// The box is an object.
    ObjectBox,
    /// A byte that is not UTF-8.
    NotUtf8,
}

/// One event before it is text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Happening {
    pub(super) kind: Kind,
    /// Counts the events; their ids are made from it.
    pub(super) number: u64,
    /// The number of the view that a click belongs to; its own for everything else.
    pub(super) view: u64,
    pub(super) time: i64,
    pub(super) user: u32,
    pub(super) page: u32,
    pub(super) slot: u32,
    /// What else varies: the page's query, the items.
    pub(super) detail: u32,
}

/// The smallest user id.
const FIRST_USER_ID: u64 = 100_000_000;

/// Of 100 happenings without clicks, how many are searches, and how many beyond that are contacts.
const SEARCHES: u64 = 4;
const CONTACTS: u64 = 1;

impl Defect {
    const ALL: [Self; 9] = [
        Self::Truncated,
        Self::Array,
        Self::Tombstone,
        Self::NoTime,
        Self::WordTime,
        Self::FutureTime,
        Self::ArrayUser,
        Self::ObjectBox,
        Self::NotUtf8,
    ];

    pub(super) fn at(number: usize) -> Self {
        Self::ALL[number % Self::ALL.len()]
    }
}

/// How often a click is followed by another on the same view.
const SECOND_CLICK: u32 = u32::MAX / 20;

impl Happening {
    pub(super) fn new(
        number: u64,
        time: i64,
        world: &World,
        users: NonZeroU32,
        random: &mut ChaCha8Rng,
    ) -> Self {
        let kind = match below(100, random.next_u64()) {
            n if n < SEARCHES => Kind::Search,
            n if n < SEARCHES + CONTACTS => Kind::Contact,
            _ => Kind::View,
        };
        // The square makes low numbers common: a few users are frequent, most are rare.
        let uniform = f64::from(random.next_u32()) / (f64::from(u32::MAX) + 1.0);
        Self {
            kind,
            number,
            view: number,
            time,
            user: (f64::from(users.get()) * uniform * uniform) as u32,
            page: world.draw_page(random.next_u64()),
            slot: world.draw_box(random.next_u64()),
            detail: random.next_u32(),
        }
    }

    /// A random 32-bit number below it means that a click follows.
    pub(super) fn click_threshold(&self, world: &World) -> u32 {
        match self.kind {
            Kind::View => world.clicks(self.slot),
            Kind::Click => SECOND_CLICK,
            Kind::Search | Kind::Contact => 0,
        }
    }

    /// A click on what this shows, at a time that is still to be set.
    pub(super) fn click(&self, number: u64) -> Self {
        Self { kind: Kind::Click, number, ..*self }
    }

    /// The user's id.
    pub(super) fn user_id(&self) -> u64 {
        FIRST_USER_ID + u64::from(self.user)
    }
}
