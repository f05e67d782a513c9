//! The frontier: exact de-duplication, and a watermark that knows idleness from ignorance.
//!
//! Pure: the processor's time is an argument, the leaders' times come with the marks.
//! The rules are those of ARCHITECTURE.md, "The frontier".

pub mod caught_up;
pub mod clocks;
pub mod track;

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use event::{
    EventTime, Incarnation, Mark, Millis, Partition,
    mark::{Reason, TopicMark},
};
use serde::{Deserialize, Serialize};

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
    #[serde(skip)]
    watches: BTreeMap<(Partition, u64, u64), EventTime>,
    #[serde(skip)]
    superseded: BTreeMap<Partition, EventTime>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Topic {
    incarnation: Incarnation,
    partitions: i32,
    asked_at: EventTime,
    /// When a mark named it last, by the processor's clock.
    named_at: EventTime,
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
            watches: BTreeMap::new(),
            superseded: BTreeMap::new(),
        }
    }

    /// What a data message at this position would be, changing nothing.
    pub fn peek(&self, partition: &Partition, offset: u64) -> Arrival {
        self.tracks.get(partition).map_or(Arrival::New, |track| track.peek(offset))
    }

    /// Accounts for a data message.
    pub fn data(&mut self, partition: &Partition, offset: u64, clocks: Clocks) -> Arrival {
        match self.tracks.get_mut(partition) {
            Some(track) => track.data(offset, clocks),
            None => self.tracks.entry(partition.clone()).or_default().data(offset, clocks),
        }
    }

    /// Applies a mark and returns what it newly accounts for. A leader was never asked later than
    /// the mark was published, whatever the connector's clock says.
    pub fn mark(&mut self, mark: &Mark, published: EventTime, now: EventTime) -> Vec<Covered> {
        let mut covered = Vec::new();
        for topic in &mark.topics {
            self.name_topic(topic, published, now);
        }
        for entry in &mark.partitions {
            let track = self.tracks.entry(entry.partition.clone()).or_default();
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
        self.topics.insert(topic.topic.clone(), named);
    }

    /// Lets the clocks of holes run and gives up those that stood for `hole_limit`. They run only while the
    /// processor is caught up: in a backlog a hole is only a message that comes later.
    pub fn tick(&mut self, now: EventTime, caught_up: bool, limits: &Limits) -> Vec<Abandoned> {
        self.retire(now, limits);
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

    /// Older lives of a partition leave once they are complete or stood for `hole_limit`; so do topics that no
    /// mark names any more while others are named.
    fn retire(&mut self, now: EventTime, limits: &Limits) {
        let newest_naming = self.topics.values().map(|t| t.named_at).max();
        if let Some(newest) = newest_naming {
            let gone: Vec<Arc<str>> = self
                .topics
                .iter()
                .filter(|(_, topic)| newest >= topic.named_at + limits.hole_limit)
                .map(|(name, _)| name.clone())
                .collect();
            for name in gone {
                self.topics.remove(&name);
            }
        }
        let older: Vec<Partition> =
            self.tracks.keys().filter(|p| !self.topics.is_empty() && !self.is_current(p)).cloned().collect();
        self.superseded.retain(|partition, _| older.contains(partition));
        for partition in older {
            let since = *self.superseded.entry(partition.clone()).or_insert(now);
            let complete = self.tracks.get(&partition).is_some_and(|t| t.prefix() >= t.heard_to());
            if (complete && now > since) || now >= since + limits.hole_limit {
                self.superseded.insert(partition, EventTime::MIN);
            }
        }
    }

    /// Whether a partition belongs to the newest life of a named topic.
    fn is_current(&self, partition: &Partition) -> bool {
        let Some(topic) = self.topics.get(&partition.topic) else { return false };
        family(&partition.incarnation) == family(&topic.incarnation)
            && !self.lives(&partition.topic, partition.partition).any(|other| {
                family(&other.incarnation) == family(&partition.incarnation)
                    && generation(&other.incarnation) > generation(&partition.incarnation)
            })
    }

    fn lives(&self, topic: &str, number: i32) -> impl Iterator<Item = &Partition> {
        self.tracks.keys().filter(move |p| &*p.topic == topic && p.partition == number)
    }

    /// Moves the pipeline's clocks as far as every partition allows, and returns them. They never go back.
    pub fn advance(&mut self, limits: &Limits) -> Clocks {
        if let Ok(clocks) = self.bound(limits) {
            self.clocks = self.clocks.max(clocks);
        }
        self.clocks
    }

    /// The clocks as they stand.
    pub fn clocks(&self) -> Clocks {
        self.clocks
    }

    /// The least over all partitions and topics, or the partition that has not been heard of.
    fn bound(&self, limits: &Limits) -> Result<Clocks, Holder> {
        let mut least = Clocks::both(EventTime::MAX);
        if self.topics.is_empty() {
            return Err(Holder::NoMark);
        }
        for (name, topic) in &self.topics {
            least = least.min(Clocks::both(topic.asked_at));
            for number in 0..topic.partitions {
                if !self.lives(name, number).any(|p| family(&p.incarnation) == family(&topic.incarnation)) {
                    return Err(Holder::Unheard(name.clone(), number));
                }
            }
        }
        for (_, track) in self.active() {
            least = least.min(track.clocks(limits.idle_after));
        }
        Ok(least)
    }

    fn active(&self) -> impl Iterator<Item = (&Partition, &Track)> {
        self.tracks.iter().filter(|(p, _)| self.superseded.get(*p) != Some(&EventTime::MIN))
    }

    /// Which partition holds the event-time watermark, and why.
    pub fn holder(&self, limits: &Limits) -> Holder {
        if let Err(holder) = self.bound(limits) {
            return holder;
        }
        let topic = self.topics.iter().min_by_key(|(_, t)| t.asked_at);
        let partition = self
            .active()
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

    /// Every partition that was heard of.
    pub fn tracks(&self) -> impl Iterator<Item = (&Partition, &Track)> {
        self.tracks.iter()
    }

    /// Since when the oldest hole of a partition has stood, while the processor is caught up.
    pub fn watched_since(&self, partition: &Partition) -> Option<EventTime> {
        let ends = (partition.clone(), 0, 0)..=(partition.clone(), u64::MAX, u64::MAX);
        self.watches.range(ends).map(|(_, since)| *since).min()
    }

    /// How many offsets are accounted for.
    pub fn accounted(&self) -> u64 {
        self.tracks.values().map(Track::accounted).sum()
    }

    /// How many offsets of the logs are not accounted for, in Pub/Sub or still in Kafka; nothing unless marks tell how far
    /// every topic goes now.
    pub fn missing(&self, now: EventTime) -> Option<u64> {
        let is_told = |topic: &Topic| now <= topic.asked_at + FRESH;
        (!self.topics.is_empty() && self.topics.values().all(is_told))
            .then(|| self.active().map(|(_, track)| track.missing()).sum())
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> u64 {
        self.tracks.values().map(|track| 400 + 80 * track.islands() as u64).sum()
    }
}

impl Default for Frontier {
    fn default() -> Self {
        Self::new()
    }
}

/// A mark that asked not longer ago tells how far the logs go now: one comes every second, and clocks differ.
const FRESH: Millis = Millis(30_000);

/// A topic id in base64; it may hold a `+` itself.
const TOPIC_ID: usize = 22;

/// The topic id of an incarnation, without the count of elections that cut the log.
fn family(incarnation: &Incarnation) -> &str {
    split(incarnation).0
}

/// How many elections cut the log.
fn generation(incarnation: &Incarnation) -> u32 {
    split(incarnation).1.and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn split(incarnation: &Incarnation) -> (&str, Option<&str>) {
    match incarnation.0.split_at_checked(TOPIC_ID) {
        Some((id, rest)) if rest.starts_with('+') => (id, Some(&rest[1..])),
        _ => (&incarnation.0, None),
    }
}

/// A map whose keys are no texts, as a list of pairs.
mod as_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Partition, Track};

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<Partition, Track>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<BTreeMap<Partition, Track>, D::Error> {
        Ok(Vec::<(Partition, Track)>::deserialize(d)?.into_iter().collect())
    }
}
