//! The frontier: exact de-duplication, and a watermark that knows idleness from ignorance.
//!
//! Pure: the processor's time is an argument, the leaders' times come with the marks.
//! The rules are those of ARCHITECTURE.md, "The frontier".

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

/// The bounds that the configuration sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A caught-up partition without new events moves with the clock after that long.
    pub idle_after: Millis,
    /// A hole is given up after that long.
    pub hole_limit: Millis,
    /// Without state: how long nothing lower may come before the start is believed.
    pub cold_start: Millis,
}

/// All partitions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Frontier {
    #[serde(with = "as_list")]
    tracks: BTreeMap<Partition, Track>,
    topics: BTreeMap<Arc<str>, Topic>,
    /// Never goes back.
    clocks: Clocks,
    /// Set while the processor began without state and some partition's beginning is unknown.
    cold: bool,
    /// Older incarnations that have left the watermark's minimum. They are saved, as what has left stays away, and kept
    /// for as long as Pub/Sub may deliver one of their messages again.
    #[serde(with = "as_list")]
    retired: BTreeMap<Partition, Retired>,
    /// Offsets of retired incarnations that are not kept any more.
    forgotten: u64,
    /// When holes were first seen, while the processor is caught up.
    #[serde(skip)]
    watches: BTreeMap<(Partition, u64, u64), EventTime>,
    /// Since when older incarnations wait to be retired, while the processor is caught up.
    #[serde(skip)]
    superseded: BTreeMap<Partition, EventTime>,
    /// `None` when names were added or have gone since it was computed.
    #[serde(skip)]
    shape: Option<Shape>,
}

/// A topic that marks name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Topic {
    incarnation: Incarnation,
    partitions: i32,
    asked_at: EventTime,
    /// When a mark named it last, by the processor's clock.
    named_at: EventTime,
}

/// An incarnation that has left the watermark's minimum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Retired {
    track: Track,
    at: EventTime,
}

/// Offsets that are newly accounted for without an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// Where.
    pub partition: Partition,
    /// Which offsets, all of them new.
    pub offsets: Range<u64>,
    /// Why.
    pub reason: Reason,
    /// The declared pointer of a reject.
    pub pointer: Option<String>,
}

/// A hole that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abandoned {
    /// Where.
    pub partition: Partition,
    /// Which offsets.
    pub offsets: Range<u64>,
    /// The beginning of a log whose earlier part a lost state had counted; nothing is missing.
    pub before_start: bool,
}

/// Which partition holds the watermark, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// No mark has named a topic yet.
    NoMark,
    /// A named partition has not been heard of.
    Unheard(Arc<str>, i32),
    /// A topic's partitions were counted that long ago.
    Topic(Arc<str>, EventTime),
    /// The partition with the lowest clock; whether it has a hole at its prefix, and where that ends.
    Partition(Partition, EventTime, Option<u64>),
}

impl Frontier {
    /// A frontier without state.
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
            shape: None,
        }
    }

    /// The frontier of a state of version 2, which did not save what had left.
    pub(crate) fn from_version_2(
        tracks: BTreeMap<Partition, Track>,
        topics: BTreeMap<Arc<str>, Topic>,
        clocks: Clocks,
        cold: bool,
    ) -> Self {
        Self { tracks, topics, clocks, cold, ..Self::new() }
    }

    /// What a data message at this position would be, changing nothing.
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

    fn track(&mut self, partition: &Partition) -> &mut Track {
        // Two look-ups, as a reference that one branch returns would be held in the other.
        if self.tracks.contains_key(partition) {
            return self.tracks.get_mut(partition).expect("it was just found");
        }
        if let Some(retired) = self.retired.get_mut(partition) {
            return &mut retired.track;
        }
        self.shape = None;
        self.tracks.entry(partition.clone()).or_default()
    }

    /// Applies a mark and returns what it newly accounts for. A leader was never asked later than
    /// the mark was published, whatever the connector's clock says.
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
                    Reason::Rejected(_) | Reason::Empty => Absence::Final,
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

    /// Lets the clocks of holes run and gives up those that stood for `hole_limit`. They run only while the
    /// processor is caught up: in a backlog a hole is only a message that comes later.
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

    /// Older incarnations leave once they are complete or have waited for `hole_limit`; so do topics that no mark names
    /// any more while others are named.
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
                // In a backlog what is missing of it may only be late.
                self.superseded.insert(partition.clone(), now);
            }
            remaining.push(partition);
        }
        self.shape().older = remaining;
        let forgotten = &mut self.forgotten;
        self.retired.retain(|_, retired| {
            let is_kept = now < retired.at + LONGEST_RETENTION;
            *forgotten += if is_kept { 0 } else { retired.track.accounted() };
            is_kept
        });
    }

    /// A topic that is named again, or whose newest generation went, is current again.
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

    /// Moves the pipeline's clocks as far as every partition allows, and returns them. They never go back.
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

    /// The clocks as they stand.
    pub fn clocks(&self) -> Clocks {
        self.clocks
    }

    /// The least over all partitions and topics, or the partition that has not been heard of.
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

    /// Which partition holds the event-time watermark, and why.
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

    /// Every partition that was heard of, retired incarnations among them.
    pub fn tracks(&self) -> impl Iterator<Item = (&Partition, &Track)> {
        self.tracks.iter().chain(self.retired.iter().map(|(partition, retired)| (partition, &retired.track)))
    }

    /// Since when the oldest hole of a partition has stood, while the processor is caught up.
    pub fn watched_since(&self, partition: &Partition) -> Option<EventTime> {
        let ends = (partition.clone(), 0, 0)..=(partition.clone(), u64::MAX, u64::MAX);
        self.watches.range(ends).map(|(_, since)| *since).min()
    }

    /// How many offsets are accounted for.
    pub fn accounted(&self) -> u64 {
        self.forgotten + self.tracks().map(|(_, track)| track.accounted()).sum::<u64>()
    }

    /// How many offsets of the logs are not accounted for, in Pub/Sub or still in Kafka; nothing unless marks tell how far
    /// every topic goes now.
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

/// A mark that asked not longer ago tells how far the logs go now: one comes every second, and clocks differ.
const FRESH: Millis = Millis(30_000);

/// The longest time for which a Pub/Sub subscription keeps a message.
const LONGEST_RETENTION: Millis = Millis(31 * 24 * 3_600_000);

/// A map whose keys are not text, as a list of pairs.
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
