//! Digests: the values of each event that the flows need, without the rest of its payload.
//!
//! Reading an event depends on that event alone, so several threads can read. Applying it depends on the order of
//! events, so one thread applies. Digests carry the result from [`crate::read`] to [`crate::engine`].

use event::EventTime;
use flow::measure::{Feeds, Input};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

/// The digests of one batch of events, with a part for each flow. Its memory is reused for the next batch.
#[derive(Debug, Default)]
pub struct Digests {
    pub(crate) heads: Vec<Head>,
    /// The IDs of events that have one, or whose ID is invalid.
    pub(crate) ids: Vec<Id>,
    /// The parts of all events, one for each flow, in the order of the events.
    pub(crate) parts: Vec<Part>,
    pub(crate) joins: Vec<JoinValues>,
    /// The inputs of measures. Those of one part are contiguous.
    pub(crate) inputs: Vec<Input>,
    /// The texts of all keys, concatenated.
    pub(crate) keys: String,
    pub(crate) flows: usize,
}

/// The part of a digest that all flows share. It is small because it moves from one core's cache to another's.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) time: Result<EventTime, Box<Refusal>>,
    /// The index of its ID in [`Digests::ids`]; out of bounds if the event has none.
    pub(crate) id: u32,
}

/// The hash of an event's ID, or the reason why it is invalid.
pub(crate) type Id = Result<u128, Box<Refusal>>;

/// The part of a digest that belongs to one flow.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// The measures that the event feeds.
    pub(crate) feeds: Feeds,
    /// The range of its inputs in [`Digests::inputs`].
    pub(crate) inputs: (u32, u32),
    /// The range of its key in [`Digests::keys`].
    pub(crate) key: (u32, u32),
    pub(crate) hash: u64,
    /// Why the flow refuses the event.
    pub(crate) refusal: Option<Box<Refusal>>,
    /// The index of its join values in [`Digests::joins`], if the flow has a join.
    pub(crate) join: u32,
}

/// The hashed values by which views and clicks are joined; `None` if a value is missing or not a scalar.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct JoinValues {
    pub(crate) view: Option<u128>,
    pub(crate) click: Option<u128>,
}

/// Why an event is refused, and at which declared pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A stable reason code.
    pub reason: &'static str,
    /// The declared pointer, if the reason concerns one.
    pub pointer: Option<String>,
}

/// A key as the windows look it up: its text (see [`event::key`]) and the hash of the text.
#[derive(Clone, Copy, Debug)]
pub struct HashedKey<'a> {
    pub(crate) text: &'a str,
    pub(crate) hash: u64,
}

/// A borrowed digest of one event in a batch.
#[derive(Clone, Copy, Debug)]
pub struct Digest<'a> {
    pub(crate) head: &'a Head,
    parts: &'a [Part],
    batch: &'a Digests,
}

impl Digests {
    /// Removes all events and keeps the allocated memory.
    pub fn clear(&mut self) {
        self.heads.clear();
        self.ids.clear();
        self.parts.clear();
        self.joins.clear();
        self.inputs.clear();
        self.keys.clear();
    }

    pub(crate) fn add_id(&mut self, id: Id) -> u32 {
        self.ids.push(id);
        self.ids.len() as u32 - 1
    }

    /// The number of events.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }

    /// The digest of the event at this index.
    #[inline]
    pub fn get(&self, number: usize) -> Option<Digest<'_>> {
        let head = self.heads.get(number)?;
        let parts = &self.parts[number * self.flows..(number + 1) * self.flows];
        Some(Digest { head, parts, batch: self })
    }
}

impl<'a> Digest<'a> {
    /// The event time; `None` if the event has none that is valid.
    pub fn time(&self) -> Option<EventTime> {
        self.head.time.as_ref().ok().copied()
    }

    #[inline]
    pub(crate) fn part(&self, flow: usize) -> &'a Part {
        &self.parts[flow]
    }

    #[inline]
    pub(crate) fn id(&self) -> Option<&'a Id> {
        self.batch.ids.get(self.head.id as usize)
    }

    #[inline]
    pub(crate) fn key(&self, part: &Part) -> HashedKey<'a> {
        HashedKey { text: &self.batch.keys[part.key.0 as usize..part.key.1 as usize], hash: part.hash }
    }

    #[inline]
    pub(crate) fn inputs(&self, part: &Part) -> &'a [Input] {
        &self.batch.inputs[part.inputs.0 as usize..part.inputs.1 as usize]
    }

    pub(crate) fn join(&self, part: &Part) -> JoinValues {
        self.batch.joins.get(part.join as usize).copied().unwrap_or_default()
    }
}

impl<'a> HashedKey<'a> {
    /// The key with this text.
    #[inline]
    pub fn new(text: &'a str) -> Self {
        Self { text, hash: xxh3_64(text.as_bytes()) }
    }
}

/// The hash of a join value. It has 128 bits (XXH3), so with 10^9 live values the probability of any collision is below
/// 10^-20.
#[inline]
pub(crate) fn identity(text: &str) -> u128 {
    scoped_identity(text, SHARED)
}

/// The hash of an ID within its scope: equal IDs of different scopes have different hashes.
#[inline]
pub(crate) fn scoped_identity(text: &str, scope: u64) -> u128 {
    xxh3_128_with_seed(text.as_bytes(), scope)
}

/// The scope of IDs that all topics share.
pub(crate) const SHARED: u64 = 0;

/// The scope of IDs that are declared for one topic. It never equals [`SHARED`].
pub(crate) fn scope(topic: &str) -> u64 {
    xxh3_64(topic.as_bytes()).max(SHARED + 1)
}
