//! Which topics were recreated since the current Kafka client was opened, so that it must be replaced by a new one.
//!
//! librdkafka keeps the leader epoch of every partition for the lifetime of a client, and treats metadata with a lower
//! epoch as outdated (KIP-320). A recreated topic begins at epoch 0. If the deleted one had a higher epoch, because its
//! leader had changed or restarted, the client requests records under the old epoch, is refused because it knows more than
//! the broker, and ignores the metadata that would correct it. This never ends: the topic stays unread, and joining the
//! group again does not help. Only a new client has forgotten the old epoch.
//!
//! Pure. See `rebalance` for replacing the client.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// For how long a broker may still describe a topic as it was before. The ID is trusted again afterwards, because the
/// report that it had changed may have been wrong.
const PROPAGATION: Duration = Duration::from_secs(10);

/// The IDs of topics, as each client in turn has seen them.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopicIds {
    /// The ID under which the current client reads a topic, from its first partition on.
    read: BTreeMap<Arc<str>, String>,
    /// Topics that were recreated since the current client was opened, with their new IDs.
    renewed: BTreeMap<Arc<str>, String>,
    /// The last ID that a recreated topic had under an earlier client, and when that client was replaced.
    outdated: BTreeMap<Arc<str>, (String, Instant)>,
}

impl TopicIds {
    /// A partition of the topic is to be read under this ID. Returns whether the current client can read it.
    pub(crate) fn read(&mut self, topic: &Arc<str>, id: &str) -> bool {
        let known = self.read.entry(topic.clone()).or_insert_with(|| id.to_owned());
        let is_same = known == id;
        if !is_same {
            self.renew(topic, id);
        }
        is_same
    }

    /// The brokers describe the topic with this ID.
    pub(crate) fn described(&mut self, topic: &Arc<str>, id: &str) {
        let is_another = self.read.get(topic).is_some_and(|known| known != id);
        let is_outdated = self.outdated.get(topic).is_some_and(|(old, _)| old == id);
        if is_another && !is_outdated {
            self.renew(topic, id);
        }
    }

    /// The current client has seen the topic change to this ID, or to one for which it was not opened.
    pub(crate) fn renew(&mut self, topic: &Arc<str>, id: &str) {
        self.renewed.insert(topic.clone(), id.to_owned());
    }

    /// Whether any topic was recreated, so that the client must be replaced.
    pub(crate) fn any_renewed(&self) -> bool {
        !self.renewed.is_empty()
    }

    /// Whether this topic was recreated: records of it may be of either incarnation.
    pub(crate) fn is_renewed(&self, topic: &str) -> bool {
        !self.renewed.is_empty() && self.renewed.contains_key(topic)
    }

    /// Whether the topic was recreated, and this is not its new ID.
    pub(crate) fn is_gone(&self, topic: &str, id: &str) -> bool {
        self.renewed.get(topic).is_some_and(|new| new != id)
    }

    /// A new client replaces the current one. Returns the topics that were recreated.
    pub(crate) fn replace_client(&mut self, now: Instant) -> Vec<Arc<str>> {
        let renewed = std::mem::take(&mut self.renewed);
        for (topic, old) in std::mem::take(&mut self.read) {
            if renewed.get(&topic).is_some_and(|new| *new != old) {
                self.outdated.insert(topic, (old, now));
            }
        }
        renewed.into_keys().collect()
    }

    /// The IDs that topics no longer have, although a broker may still return them.
    pub(crate) fn outdated(&self, now: Instant) -> BTreeMap<Arc<str>, String> {
        let is_recent = |since: &Instant| now.saturating_duration_since(*since) < PROPAGATION;
        let recent = self.outdated.iter().filter(|(_, (_, since))| is_recent(since));
        recent.map(|(topic, (id, _))| (topic.clone(), id.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic() -> Arc<str> {
        "events".into()
    }

    #[test]
    fn a_client_reads_a_topic_under_one_id() {
        let mut ids = TopicIds::default();
        assert!(ids.read(&topic(), "a"));
        assert!(ids.read(&topic(), "a"));
        ids.described(&topic(), "a");
        assert!(!ids.any_renewed());
        assert!(!ids.read(&topic(), "b"), "assigned again after it was recreated");
        assert!(ids.is_renewed("events") && ids.is_gone("events", "a") && !ids.is_gone("events", "b"));
        assert_eq!(ids.replace_client(Instant::now()), [topic()]);
        assert!(!ids.any_renewed() && ids.read(&topic(), "b"));
    }

    #[test]
    fn an_outdated_id_is_refused_for_a_while() {
        let mut ids = TopicIds::default();
        let now = Instant::now();
        ids.read(&topic(), "a");
        ids.described(&topic(), "b");
        ids.replace_client(now);
        assert_eq!(ids.outdated(now), BTreeMap::from([(topic(), "a".to_owned())]));
        assert_eq!(ids.outdated(now + PROPAGATION), BTreeMap::new());
        ids.read(&topic(), "b");
        ids.described(&topic(), "a");
        assert!(!ids.any_renewed(), "a broker is behind");
        ids.described(&topic(), "c");
        assert!(ids.any_renewed());
    }

    #[test]
    fn a_client_with_an_older_id_is_replaced() {
        let mut ids = TopicIds::default();
        let now = Instant::now();
        ids.read(&topic(), "b");
        // A broker that was behind described the topic with "a", and now with "b".
        ids.renew(&topic(), "b");
        assert!(ids.any_renewed() && !ids.is_gone("events", "b"));
        assert_eq!(ids.replace_client(now), [topic()]);
        assert_eq!(ids.outdated(now), BTreeMap::new());
    }
}
