//! The frontier: exact deduplication by offset, and a watermark that distinguishes an idle partition from an unknown
//! one.
//!
//! Pure: the processor's time is an argument, and the leaders' times arrive with the marks. See "The frontier" in
//! ARCHITECTURE.md for the rules.

pub mod caught_up;
pub mod clocks;
mod shape;
pub mod track;
pub(crate) mod version_2;

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use event::{
    EventTime, Incarnation, Mark, Millis, Partition,
    mark::{Reason, TopicMark},
};
use serde::{Deserialize, Serialize};

use self::shape::{Shape, is_of_named};

pub use self::{
    caught_up::CaughtUp,
    clocks::Clocks,
    track::{Absence, Arrival, Track},
};

/// The limits that the configuration sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A partition that is read to its end and has no new events for this long advances with the clock.
    pub idle_after: Millis,
    /// A hole is abandoned after this long.
    pub hole_limit: Millis,
    /// Without a state: how long no lower offset may arrive before the lowest one counts as the start.
    pub cold_start: Millis,
}

/// The tracks of all partitions, and the clocks that follow from them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Frontier {
    #[serde(with = "as_list")]
    tracks: BTreeMap<Partition, Track>,
    topics: BTreeMap<Arc<str>, Topic>,
    /// The clocks of the pipeline. They never move back.
    clocks: Clocks,
    /// Whether the processor started without a state and the start of some partition is still unknown.
    cold: bool,
    /// Older incarnations that no longer hold the watermark back. They are saved, because they must not hold it back
    /// again after a restart, and kept for as long as Pub/Sub may redeliver one of their messages.
    #[serde(with = "as_list")]
    retired: BTreeMap<Partition, Retired>,
    /// The number of offsets of retired incarnations that were dropped.
    forgotten: u64,
    /// When each hole was first seen while the processor was caught up.
    #[serde(skip)]
    watches: BTreeMap<(Partition, u64, u64), EventTime>,
    /// Since when each older incarnation has waited to be retired while the processor was caught up.
    #[serde(skip)]
    superseded: BTreeMap<Partition, EventTime>,
    /// Whether a retired incarnation was dropped since this was last asked.
    #[serde(skip)]
    has_forgotten: bool,
    /// `None` if names were added or removed since it was computed.
    #[serde(skip)]
    shape: Option<Shape>,
}

/// A topic that marks name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Topic {
    incarnation: Incarnation,
    partitions: i32,
    asked_at: EventTime,
    /// When a mark last named the topic, by the processor's clock.
    named_at: EventTime,
}

/// An incarnation that no longer holds the watermark back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Retired {
    track: Track,
    at: EventTime,
}

/// Offsets without an event that are newly accounted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// Their partition.
    pub partition: Partition,
    /// The offsets, all of them new.
    pub offsets: Range<u64>,
    /// Why they have no event.
    pub reason: Reason,
    /// The declared pointer of a reject.
    pub pointer: Option<String>,
}

/// A hole that was abandoned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abandoned {
    /// Its partition.
    pub partition: Partition,
    /// Its offsets.
    pub offsets: Range<u64>,
    /// Whether it is the start of a log that a lost state had counted, so that nothing is missing.
    pub before_start: bool,
}

/// What holds the watermark back, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// No mark has named a topic yet.
    NoMark,
    /// A named partition has not been heard of.
    Unheard(Arc<str>, i32),
    /// The time at which a topic's partitions were last counted.
    Topic(Arc<str>, EventTime),
    /// The partition with the lowest clock, that clock, and the end of the hole after its prefix, if there is one.
    Partition(Partition, EventTime, Option<u64>),
}

impl Frontier {
    /// Creates a frontier without a state.
    pub fn new() -> Self {
        Self {
            tracks: BTreeMap::new(),
            topics: BTreeMap::new(),
            clocks: Clocks::NONE,
            cold: true,
            retired: BTreeMap::new(),
            forgotten: 0,
            watches: BTreeMap::new(),
            superseded: BTreeMap::new(),
            has_forgotten: false,
            shape: None,
        }
    }

    /// Converts the frontier of a version 2 state, which did not save retired incarnations.
    pub(crate) fn from_version_2(
        tracks: BTreeMap<Partition, Track>,
        topics: BTreeMap<Arc<str>, Topic>,
        clocks: Clocks,
        cold: bool,
    ) -> Self {
        Self { tracks, topics, clocks, cold, ..Self::new() }
    }

    /// Classifies a data message at this position without changing anything.
    pub fn peek(&self, partition: &Partition, offset: u64) -> Arrival {
        self.known(partition).map_or(Arrival::New, |track| track.peek(offset))
    }

    /// Accounts for a data message.
    pub fn data(&mut self, partition: &Partition, offset: u64, clocks: Clocks) -> Arrival {
        match self.tracks.get_mut(partition) {
            Some(track) => track.data(offset, clocks),
            None => self.track(partition).data(offset, clocks),
        }
    }

    fn known(&self, partition: &Partition) -> Option<&Track> {
        self.tracks.get(partition).or_else(|| self.retired.get(partition).map(|retired| &retired.track))
    }

    /// The track of a partition, which may be new.
    pub(crate) fn track(&mut self, partition: &Partition) -> &mut Track {
        // Two look-ups: the borrow checker would extend a reference that one branch returns into the other.
        if self.tracks.contains_key(partition) {
            return self.tracks.get_mut(partition).expect("it was just found");
        }
        if let Some(retired) = self.retired.get_mut(partition) {
            return &mut retired.track;
        }
        self.shape = None;
        self.tracks.entry(partition.clone()).or_default()
    }

    /// Applies a mark and returns the offsets that it newly accounts for. The time of a leader's answer is capped at
    /// the mark's publish time, whatever the connector's clock shows.
    pub fn mark(&mut self, mark: &Mark, published: EventTime, now: EventTime) -> Vec<Covered> {
        let mut covered = Vec::new();
        for topic in &mark.topics {
            self.name_topic(topic, published, now);
        }
        for entry in &mark.partitions {
            let track = self.track(&entry.partition);
            let end = entry.end.map(|mut end| {
                end.asked_at = end.asked_at.min(published);
                end
            });
            track.heard(entry.position, entry.committed, end);
            for range in &entry.ranges {
                let absence = match range.reason {
                    Reason::Lost => Absence::Lost,
                    Reason::Before => Absence::Before,
                    Reason::Rejected(_) | Reason::Filtered | Reason::Empty => Absence::Final,
                };
                covered.extend(track.absent(range.offsets(), absence).into_iter().map(|offsets| Covered {
                    partition: entry.partition.clone(),
                    offsets,
                    reason: range.reason.clone(),
                    pointer: range.pointer.clone(),
                }));
            }
        }
        covered
    }

    fn name_topic(&mut self, topic: &TopicMark, published: EventTime, now: EventTime) {
        let asked_at = topic.asked_at.min(published);
        let known = self.topics.get(&topic.topic);
        if let Some(known) = known
            && known.asked_at > asked_at
        {
            return;
        }
        let named = Topic {
            incarnation: topic.incarnation.clone(),
            partitions: topic.partitions,
            asked_at,
            named_at: now,
        };
        let is_same =
            |known: &Topic| known.incarnation == named.incarnation && known.partitions == named.partitions;
        if !known.is_some_and(is_same) {
            self.shape = None;
        }
        self.topics.insert(topic.topic.clone(), named);
    }

    /// Advances the clocks of holes and abandons holes that are older than `hole_limit`. These clocks run only while
    /// the processor is caught up: in a backlog, a hole may be a message that arrives later.
    pub fn tick(&mut self, now: EventTime, caught_up: bool, limits: &Limits) -> Vec<Abandoned> {
        self.retire(now, caught_up, limits);
        if !caught_up {
            self.watches.clear();
            return Vec::new();
        }
        let mut watches = BTreeMap::new();
        let mut abandoned = Vec::new();
        for (partition, track) in &mut self.tracks {
            let leading = track.leading_hole().filter(|_| self.cold);
            for hole in leading.iter().cloned().chain(track.holes()) {
                let before_start = leading.as_ref().is_some_and(|l| hole.start == l.start);
                let limit = if before_start { limits.cold_start } else { limits.hole_limit };
                let watch = (partition.clone(), hole.start, hole.end);
                let since = self.watches.get(&watch).copied().unwrap_or(now);
                if now < since + limit {
                    watches.insert(watch, since);
                } else {
                    let absence = if before_start { Absence::Before } else { Absence::Lost };
                    let given_up = track.absent(hole, absence).into_iter();
                    abandoned.extend(given_up.map(|offsets| Abandoned {
                        partition: partition.clone(),
                        offsets,
                        before_start,
                    }));
                }
            }
        }
        self.watches = watches;
        let begun = |track: &Track| track.prefix() > 0 || track.heard_to() == 0;
        if self.cold && self.bound(limits).is_ok() && self.tracks.values().all(begun) {
            self.cold = false;
        }
        abandoned
    }

    /// Retires older incarnations that are complete or have waited for `hole_limit`, and topics that no mark names any
    /// more while marks name others.
    fn retire(&mut self, now: EventTime, caught_up: bool, limits: &Limits) {
        if let Some(newest) = self.topics.values().map(|topic| topic.named_at).max() {
            let named = self.topics.len();
            self.topics.retain(|_, topic| newest < topic.named_at + limits.hole_limit);
            if self.topics.len() < named {
                self.shape = None;
            }
        }
        if self.shape.is_none() {
            self.take_back_current();
        }
        let older = std::mem::take(&mut self.shape().older);
        self.superseded.retain(|partition, _| older.binary_search(partition).is_ok());
        let mut remaining = Vec::new();
        for partition in older {
            let since = *self.superseded.entry(partition.clone()).or_insert(now);
            let is_complete = self.tracks.get(&partition).is_some_and(|t| t.prefix() >= t.heard_to());
            if (is_complete && now > since) || (caught_up && now >= since + limits.hole_limit) {
                self.superseded.remove(&partition);
                if let Some(track) = self.tracks.remove(&partition) {
                    self.retired.insert(partition, Retired { track, at: now });
                }
                continue;
            }
            if !caught_up {
                // In a backlog, its missing messages may only be late.
                self.superseded.insert(partition.clone(), now);
            }
            remaining.push(partition);
        }
        self.shape().older = remaining;
        let (forgotten, retired) = (&mut self.forgotten, self.retired.len());
        self.retired.retain(|_, retired| {
            let is_kept = now < retired.at + LONGEST_RETENTION;
            *forgotten += if is_kept { 0 } else { retired.track.accounted() };
            is_kept
        });
        self.has_forgotten |= self.retired.len() < retired;
    }

    /// Whether a partition was heard of and not dropped.
    pub(crate) fn knows(&self, partition: &Partition) -> bool {
        self.known(partition).is_some()
    }

    /// Whether a partition was dropped since the last call.
    pub(crate) fn take_forgotten(&mut self) -> bool {
        std::mem::take(&mut self.has_forgotten)
    }

    /// A topic that is named again becomes current again, and so does the older generation when the newest one is gone.
    fn take_back_current(&mut self) {
        let topics = &self.topics;
        let named: Vec<Partition> =
            self.retired.keys().filter(|partition| is_of_named(topics, partition)).cloned().collect();
        if named.is_empty() {
            return;
        }
        let older = Shape::of(topics, self.tracks.keys().chain(&named)).older;
        for partition in named.into_iter().filter(|partition| !older.contains(partition)) {
            if let Some(Retired { track, .. }) = self.retired.remove(&partition) {
                self.tracks.insert(partition, track);
            }
        }
    }

    fn shape(&mut self) -> &mut Shape {
        let (topics, tracks) = (&self.topics, &self.tracks);
        self.shape.get_or_insert_with(|| Shape::of(topics, tracks.keys()))
    }

    /// Advances the pipeline's clocks as far as every partition allows, and returns them. They never move back.
    pub fn advance(&mut self, limits: &Limits) -> Clocks {
        if let Ok(clocks) = self.bound(limits) {
            self.clocks = self.clocks.max(clocks);
        }
        self.clocks
    }

    /// Whether a mark has named a topic yet.
    pub fn is_marked(&self) -> bool {
        !self.topics.is_empty()
    }

    /// The current clocks.
    pub fn clocks(&self) -> Clocks {
        self.clocks
    }

    /// The minimum over all partitions and topics, or the holder for which there is no clock yet.
    fn bound(&self, limits: &Limits) -> Result<Clocks, Holder> {
        let mut least = Clocks::all(EventTime::MAX);
        if self.topics.is_empty() {
            return Err(Holder::NoMark);
        }
        for topic in self.topics.values() {
            least = least.min(Clocks::all(topic.asked_at));
        }
        let computed;
        let shape = match &self.shape {
            Some(shape) => shape,
            None => {
                computed = Shape::of(&self.topics, self.tracks.keys());
                &computed
            }
        };
        if let Some((topic, number)) = &shape.unheard {
            return Err(Holder::Unheard(topic.clone(), *number));
        }
        for track in self.tracks.values() {
            least = least.min(track.clocks(limits.idle_after));
        }
        Ok(least)
    }

    /// What holds the event-time watermark back, and why.
    pub fn holder(&self, limits: &Limits) -> Holder {
        if let Err(holder) = self.bound(limits) {
            return holder;
        }
        let topic = self.topics.iter().min_by_key(|(_, t)| t.asked_at);
        let partition = self
            .tracks
            .iter()
            .map(|(partition, track)| (track.clocks(limits.idle_after).event, partition, track))
            .min_by_key(|(clock, _, _)| *clock);
        match (topic, partition) {
            (Some((name, topic)), Some((clock, _, _))) if topic.asked_at < clock => {
                Holder::Topic(name.clone(), topic.asked_at)
            }
            (_, Some((clock, partition, track))) => {
                Holder::Partition(partition.clone(), clock, track.holes().first().map(|hole| hole.end))
            }
            _ => Holder::NoMark,
        }
    }

    /// All partitions that were heard of, with retired incarnations.
    pub fn tracks(&self) -> impl Iterator<Item = (&Partition, &Track)> {
        self.tracks.iter().chain(self.retired.iter().map(|(partition, retired)| (partition, &retired.track)))
    }

    /// Since when the oldest hole of a partition has been watched while the processor was caught up; `None` if
    /// none is being watched.
    pub fn watched_since(&self, partition: &Partition) -> Option<EventTime> {
        let ends = (partition.clone(), 0, 0)..=(partition.clone(), u64::MAX, u64::MAX);
        self.watches.range(ends).map(|(_, since)| *since).min()
    }

    /// The number of offsets that are accounted for.
    pub fn accounted(&self) -> u64 {
        self.forgotten + self.tracks().map(|(_, track)| track.accounted()).sum::<u64>()
    }

    /// The number of offsets in the logs that are not accounted for, in Pub/Sub or still in Kafka; `None` unless recent
    /// marks report the end of every log.
    pub fn missing(&self, now: EventTime) -> Option<u64> {
        let is_told = |topic: &Topic| now <= topic.asked_at + FRESH;
        (!self.topics.is_empty() && self.topics.values().all(is_told))
            .then(|| self.tracks.values().map(Track::missing).sum())
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> u64 {
        self.tracks().map(|(_, track)| 400 + 80 * track.islands() as u64).sum()
    }
}

impl Default for Frontier {
    fn default() -> Self {
        Self::new()
    }
}

/// A mark whose question is no older than this is recent. One arrives every quarter of a second, and clocks differ.
const FRESH: Millis = Millis(30_000);

/// The longest message retention of a Pub/Sub subscription.
const LONGEST_RETENTION: Millis = Millis(31 * 24 * 3_600_000);

/// Serialises a map whose keys are not text as a list of pairs.
pub(crate) mod as_list {
    use std::collections::BTreeMap;

    use event::Partition;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer, T: Serialize>(
        map: &BTreeMap<Partition, T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Partition, T>, D::Error> {
        Ok(Vec::<(Partition, T)>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
