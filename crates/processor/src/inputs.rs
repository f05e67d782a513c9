//! Whether this processor reads every Pub/Sub topic to which the connector publishes.
//!
//! A mark accounts for what is not published, and states how far everything else is. If a processor does not read one of
//! the topics, the offsets of its messages become holes and then count as lost. So the connector names its topics in
//! each mark, and a mark with other topics stops the processor before anything is acknowledged.

use std::sync::Arc;

use event::Mark;

/// What a processor reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// The topics among which a field selects one.
    pub selected: Vec<Arc<str>>,
    /// Whether it reads a topic that no field selects: the only one, or the one of an earlier configuration.
    pub single: bool,
}

/// Why a mark must not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// A topic is not read.
    #[error(
        "the connector publishes to topic {0:?}, which this processor does not read; add it to pubsub.topics, run `aqueduct setup`, and restart the processor; no message was acknowledged, so nothing is lost"
    )]
    Topic(Arc<str>),
    /// The one topic of a connector that does not select topics is not read.
    #[error(
        "received a mark of a connector that publishes to one topic, but this processor reads only topics that a field selects; give the connector the same [pubsub] section, or add the earlier topic to pubsub.topics until nothing is left in it; no message was acknowledged, so nothing is lost"
    )]
    Single,
}

/// The only topic.
impl Default for Inputs {
    fn default() -> Self {
        Self { selected: Vec::new(), single: true }
    }
}

impl Inputs {
    /// Why the mark must not be used, if it must not.
    pub(crate) fn unread(&self, mark: &Mark) -> Option<Unread> {
        if mark.outputs.is_empty() {
            return (!self.single).then_some(Unread::Single);
        }
        let unread = mark.outputs.iter().find(|output| !self.selected.contains(output));
        unread.cloned().map(Unread::Topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(selected: &[&str], single: bool, outputs: &[&str], expected: Option<&Unread>) {
        let list = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<Arc<str>>>();
        let mark = Mark {
            version: Mark::ROUTED,
            replica: String::new(),
            sequence: 1,
            partitions: Vec::new(),
            topics: Vec::new(),
            outputs: list(outputs),
        };
        let inputs = Inputs { selected: list(selected), single };
        assert_eq!(inputs.unread(&mark).as_ref(), expected, "{inputs:?} {outputs:?}");
    }

    #[test]
    fn every_topic_of_the_connector_must_be_read() {
        check(&[], true, &[], None);
        check(&[], true, &["a"], Some(&Unread::Topic("a".into())));
        check(&["a", "b"], false, &["b"], None);
        check(&["a", "b"], false, &["b", "c"], Some(&Unread::Topic("c".into())));
        check(&["a", "b"], false, &[], Some(&Unread::Single));
        check(&["a", "b"], true, &[], None);
    }
}
