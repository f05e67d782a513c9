//! What is known of the registry's schemas. Pure: the caller passes the time.
//!
//! A schema stays for good, because an ID never gets another one. That an ID is unknown is believed for a while only,
//! because a producer can register a schema after its first record was read.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rustc_hash::FxHashMap;

use crate::{Format, SchemaId};

/// How long an unknown ID stays unknown without another request.
pub(crate) const MISS: Duration = Duration::from_secs(30);
/// Misses are swept out when there are this many, so that a topic of garbage takes no more memory.
const MISSES: usize = 10_000;

/// The registry's answer about an ID.
pub(crate) enum Answer<S: ?Sized> {
    /// A schema.
    Found(Format, Arc<S>),
    /// A schema that does not parse, or of a format that is not known here.
    Unusable,
    /// There is none.
    Unknown,
}

/// The state of an ID.
pub(crate) enum State<S: ?Sized> {
    /// It has an answer.
    Answered(Answer<S>),
    /// It was asked for, and has none yet.
    Pending,
    /// It has to be asked for.
    Missing,
}

/// The answers so far, and the IDs that wait for one.
pub(crate) struct Cache<S: ?Sized> {
    entries: FxHashMap<SchemaId, Entry<S>>,
    found: usize,
    misses: usize,
    pending: usize,
}

enum Entry<S: ?Sized> {
    Found(Format, Arc<S>),
    Unusable,
    Unknown { until: Instant },
    Pending,
}

impl<S: ?Sized> Default for Cache<S> {
    fn default() -> Self {
        Self { entries: FxHashMap::default(), found: 0, misses: 0, pending: 0 }
    }
}

impl<S: ?Sized> Cache<S> {
    /// The state of an ID.
    pub(crate) fn get(&self, id: &SchemaId, now: Instant) -> State<S> {
        match self.entries.get(id) {
            Some(Entry::Found(format, schema)) => State::Answered(Answer::Found(*format, schema.clone())),
            Some(Entry::Unusable) => State::Answered(Answer::Unusable),
            Some(Entry::Unknown { until }) if now < *until => State::Answered(Answer::Unknown),
            Some(Entry::Pending) => State::Pending,
            Some(Entry::Unknown { .. }) | None => State::Missing,
        }
    }

    /// The ID was asked for.
    pub(crate) fn asked(&mut self, id: SchemaId) {
        self.put(id, Entry::Pending);
    }

    /// The registry answered.
    pub(crate) fn answered(&mut self, id: SchemaId, answer: Answer<S>, now: Instant) {
        let entry = match answer {
            Answer::Found(format, schema) => Entry::Found(format, schema),
            Answer::Unusable => Entry::Unusable,
            Answer::Unknown => {
                self.sweep(now);
                Entry::Unknown { until: now + MISS }
            }
        };
        self.put(id, entry);
    }

    /// Schemas that are here, usable or not.
    pub(crate) fn schemas(&self) -> usize {
        self.found
    }

    /// IDs that wait for an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.pending
    }

    fn put(&mut self, id: SchemaId, entry: Entry<S>) {
        *self.count(&entry) += 1;
        if let Some(before) = self.entries.insert(id, entry) {
            *self.count(&before) -= 1;
        }
    }

    fn count(&mut self, entry: &Entry<S>) -> &mut usize {
        match entry {
            Entry::Found(..) | Entry::Unusable => &mut self.found,
            Entry::Unknown { .. } => &mut self.misses,
            Entry::Pending => &mut self.pending,
        }
    }

    /// Keeps the number of misses bounded: forgets those that have expired, or all if that is not enough.
    fn sweep(&mut self, now: Instant) {
        if self.misses < MISSES {
            return;
        }
        self.entries.retain(|_, entry| !matches!(entry, Entry::Unknown { until } if *until <= now));
        self.misses = self.entries.values().filter(|entry| matches!(entry, Entry::Unknown { .. })).count();
        if self.misses >= MISSES / 2 {
            self.entries.retain(|_, entry| !matches!(entry, Entry::Unknown { .. }));
            self.misses = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Schema;

    #[test]
    fn a_miss_expires() {
        let (mut cache, now) = (Cache::<dyn Schema>::default(), Instant::now());
        let id = SchemaId::Id(1);
        assert!(matches!(cache.get(&id, now), State::Missing));
        cache.asked(id.clone());
        assert!(matches!(cache.get(&id, now), State::Pending));
        assert_eq!(cache.waiting(), 1);
        cache.answered(id.clone(), Answer::Unknown, now);
        assert!(matches!(cache.get(&id, now + MISS / 2), State::Answered(Answer::Unknown)));
        assert!(matches!(cache.get(&id, now + MISS), State::Missing));
        assert_eq!((cache.waiting(), cache.schemas()), (0, 0));
    }

    #[test]
    fn an_answer_about_a_schema_stays() {
        let (mut cache, now) = (Cache::<dyn Schema>::default(), Instant::now());
        cache.answered(SchemaId::Id(1), Answer::Unusable, now);
        assert!(matches!(cache.get(&SchemaId::Id(1), now + MISS * 1_000), State::Answered(Answer::Unusable)));
        assert_eq!(cache.schemas(), 1);
    }

    #[test]
    fn misses_are_bounded() {
        let (mut cache, mut now) = (Cache::<dyn Schema>::default(), Instant::now());
        cache.asked(SchemaId::Guid([0; 16]));
        cache.answered(SchemaId::Guid([1; 16]), Answer::Unusable, now);
        for id in 0..10 * MISSES as u32 {
            cache.answered(SchemaId::Id(id), Answer::Unknown, now);
            now += Duration::from_millis(1);
            assert!(cache.entries.len() <= MISSES + 2);
        }
        assert!(matches!(cache.get(&SchemaId::Guid([0; 16]), now), State::Pending));
        assert!(matches!(cache.get(&SchemaId::Guid([1; 16]), now), State::Answered(Answer::Unusable)));
    }
}
