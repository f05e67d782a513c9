//! Which partitions the marks lead us to expect, and which known ones belong to older incarnations.
//!
//! The answer follows from the names alone, so it is computed when a name is added or removed, and not at every tick.

use std::{collections::BTreeMap, sync::Arc};

use event::{Incarnation, Partition};
use rustc_hash::FxHashMap;

use super::Topic;

/// The expectations that follow from the names of topics and partitions.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    /// The first named partition that has not been heard of.
    pub(super) unheard: Option<(Arc<str>, i32)>,
    /// Partitions of older incarnations, and of topics that are no longer named.
    pub(super) older: Vec<Partition>,
}

impl Shape {
    pub(super) fn of<'a>(
        topics: &BTreeMap<Arc<str>, Topic>,
        tracks: impl Iterator<Item = &'a Partition> + Clone,
    ) -> Self {
        let mut newest: FxHashMap<(&str, i32), u32> = FxHashMap::default();
        for partition in tracks.clone().filter(|partition| is_of_named(topics, partition)) {
            let newest = newest.entry((&*partition.topic, partition.partition)).or_default();
            *newest = generation(&partition.incarnation).max(*newest);
        }
        let is_current = |partition: &&Partition| {
            is_of_named(topics, partition)
                && newest.get(&(&*partition.topic, partition.partition))
                    == Some(&generation(&partition.incarnation))
        };
        let older = if topics.is_empty() {
            Vec::new()
        } else {
            tracks.filter(|partition| !is_current(partition)).cloned().collect()
        };
        let unheard = topics.iter().find_map(|(name, topic)| {
            let number = (0..topic.partitions).find(|number| !newest.contains_key(&(&**name, *number)))?;
            Some((name.clone(), number))
        });
        Self { unheard, older }
    }
}

/// Whether a partition belongs to a topic ID that the marks name, in any generation.
pub(super) fn is_of_named(topics: &BTreeMap<Arc<str>, Topic>, partition: &Partition) -> bool {
    topics
        .get(&partition.topic)
        .is_some_and(|topic| family(&partition.incarnation) == family(&topic.incarnation))
}

/// The length of a topic ID in base64, which may contain a `+` itself.
const TOPIC_ID: usize = 22;

/// The topic ID of an incarnation, without the number of elections that cut the log.
pub(super) fn family(incarnation: &Incarnation) -> &str {
    split(incarnation).0
}

/// The number of elections that cut the log.
fn generation(incarnation: &Incarnation) -> u32 {
    split(incarnation).1.and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn split(incarnation: &Incarnation) -> (&str, Option<&str>) {
    match incarnation.0.split_at_checked(TOPIC_ID) {
        Some((id, rest)) if rest.starts_with('+') => (id, Some(&rest[1..])),
        _ => (&incarnation.0, None),
    }
}
