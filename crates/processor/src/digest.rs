//! Events as the flows need them: what counts, under which key, and nothing else of the payload.
//!
//! Reading an event depends on that event alone, so that many can be read at once, in any thread; what they do to the
//! counts depends on their order. A digest is what goes from the first to the second. Not here: either of the two.

use event::EventTime;
use flow::measure::{Feeds, Input};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

/// Events of one batch, each with a part for each flow. Reused from batch to batch.
#[derive(Debug, Default)]
pub struct Digests {
    pub(crate) heads: Vec<Head>,
    /// Of the events that have an id, or should have.
    pub(crate) ids: Vec<Id>,
    /// Those of the first event, then those of the second.
    pub(crate) parts: Vec<Part>,
    pub(crate) joins: Vec<JoinValues>,
    /// Inputs of measures, those of one part side by side.
    pub(crate) inputs: Vec<Input>,
    /// All keys, one behind the other.
    pub(crate) keys: String,
    pub(crate) flows: usize,
}

/// What all flows see of an event. Small, as it goes from one thread's cache to another's.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) time: Result<EventTime, Box<Refusal>>,
    /// Where its id stands in [`Digests::ids`]; beyond them where it has none.
    pub(crate) id: u32,
}

/// An event's id, hashed, or why it cannot be told.
pub(crate) type Id = Result<u128, Box<Refusal>>;

/// What one flow sees of an event.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// The measures that it feeds.
    pub(crate) feeds: Feeds,
    /// Where its inputs are in [`Digests::inputs`].
    pub(crate) inputs: (u32, u32),
    /// Where its key stands in [`Digests::keys`].
    pub(crate) key: (u32, u32),
    pub(crate) hash: u64,
    /// Why the flow refuses it.
    pub(crate) refusal: Option<Box<Refusal>>,
    /// Where its values stand in [`Digests::joins`], if the flow has a join.
    pub(crate) join: u32,
}

/// What a view and a click share with their partners, hashed; nothing where it is missing or no scalar.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct JoinValues {
    pub(crate) view: Option<u128>,
    pub(crate) click: Option<u128>,
}

/// Why an event is refused, with the declared pointer that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A stable code.
    pub reason: &'static str,
    /// The declared pointer.
    pub pointer: Option<String>,
}

/// A key as the windows look it up: its text ([`event::key`]) and the hash of that.
#[derive(Clone, Copy, Debug)]
pub struct HashedKey<'a> {
    pub(crate) text: &'a str,
    pub(crate) hash: u64,
}

/// One event of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Digest<'a> {
    pub(crate) head: &'a Head,
    parts: &'a [Part],
    batch: &'a Digests,
}

impl Digests {
    /// Forgets the events and keeps the memory.
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

    /// The event with this number, counted from 0.
    #[inline]
    pub fn get(&self, number: usize) -> Option<Digest<'_>> {
        let head = self.heads.get(number)?;
        let parts = &self.parts[number * self.flows..(number + 1) * self.flows];
        Some(Digest { head, parts, batch: self })
    }
}

impl<'a> Digest<'a> {
    /// The event's own time, where it can be read.
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

/// A join's value: 128 bits (XXH3), so that with 10^9 alive the odds that any two meet are below 10^-20.
#[inline]
pub(crate) fn identity(text: &str) -> u128 {
    scoped_identity(text, SHARED)
}

/// An id: equal ids of different scopes have different hashes.
#[inline]
pub(crate) fn scoped_identity(text: &str, scope: u64) -> u128 {
    xxh3_128_with_seed(text.as_bytes(), scope)
}

/// The scope of ids that all topics share.
pub(crate) const SHARED: u64 = 0;

/// The scope of ids that are declared for a topic.
pub(crate) fn scope(topic: &str) -> u64 {
    // The shared scope is no topic's.
    xxh3_64(topic.as_bytes()).max(SHARED + 1)
}
