//! How far the logs and the group are, for commands that only look: joins no group and changes nothing.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use event::{Incarnation, Partition};
use rdkafka::error::KafkaError;

use crate::{
    error::{ConnectorError, KafkaText},
    io::{
        brokers::{self, Brokers, End, Places},
        context::Context,
        faults,
        lookup::Lookup,
    },
    settings::KafkaConfig,
    start::{self, Committed},
};

/// What the brokers say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Every partition of the configured topics that exist.
    pub logs: Vec<Log>,
    /// Configured topics that do not exist.
    pub missing: Vec<Arc<str>>,
    /// How many connectors are in the consumer group; nothing where the brokers do not tell. One that was killed is in
    /// it until its session ends.
    pub members: Option<usize>,
}

/// What the brokers say about one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Which one, in its present life.
    pub partition: Partition,
    /// The first offset.
    pub low: u64,
    /// One past the last record, open transactions included.
    pub high: u64,
    /// What the group committed in this life.
    pub committed: Option<u64>,
}

/// Asks the brokers. Blocks for some seconds where they do not answer.
///
/// # Errors
/// The configuration makes no client; the brokers do not answer, or refuse.
pub fn survey(config: &KafkaConfig) -> Result<Survey, ConnectorError> {
    let group = brokers::create(&brokers::client_config(config.consumer()), Context::default())?;
    let brokers = Brokers::new(config)?;
    reach(&brokers, config)?;
    let outdated = BTreeMap::new();
    let lookup = Lookup { consumer: &group, brokers: &brokers, rule: config.start, outdated: &outdated };
    ask(&lookup, &config.group_id).map_err(|error| match faults::judge(&error, config) {
        faults::Fault::Final(end) => end,
        _ => unanswered(&brokers, &error, config),
    })
}

/// Waits for the first answer, and no longer where the brokers refuse us.
fn reach(brokers: &Brokers, config: &KafkaConfig) -> Result<(), ConnectorError> {
    let asked = Instant::now();
    let mut patience = brokers::FIRST_LOOK;
    while let Err(code) = brokers.describe_within(patience) {
        let why = unanswered(brokers, &KafkaError::MetadataFetch(code), config);
        let left = brokers::ASK_TIMEOUT.saturating_sub(asked.elapsed());
        if left.is_zero() || !matches!(why, ConnectorError::Unanswered { .. }) {
            return Err(why);
        }
        patience = (patience * 2).min(left);
    }
    Ok(())
}

/// Why there was no answer, as far as the client was told.
fn unanswered(brokers: &Brokers, error: &KafkaError, config: &KafkaConfig) -> ConnectorError {
    let failure = brokers.take_failure();
    let refusal = failure.as_ref().and_then(|(code, said)| faults::refusal(*code, said, config));
    refusal.unwrap_or_else(|| ConnectorError::Unanswered {
        brokers: config.bootstrap_servers.clone(),
        source: failure.map_or_else(|| faults::text(error), |(_, said)| KafkaText(said)),
    })
}

fn ask(lookup: &Lookup<'_>, group: &str) -> Result<Survey, KafkaError> {
    let described = lookup.brokers.describe().map_err(KafkaError::MetadataFetch)?;
    let mut survey = Survey { members: lookup.brokers.members(group), ..Survey::default() };
    let (mut places, mut ids) = (Places::new(), Vec::new());
    for (name, topic) in lookup.brokers.topics().iter().zip(described) {
        match topic {
            Ok(topic) => {
                let numbers = 0..topic.partitions;
                places.extend(numbers.clone().map(|number| (name.clone(), number)));
                ids.extend(numbers.map(|_| topic.id.clone()));
            }
            Err(_) => survey.missing.push(name.clone()),
        }
    }
    if places.is_empty() {
        return Ok(survey);
    }
    let committed = lookup.committed(&places)?;
    let low = lookup.brokers.ends(&places, End::Low)?;
    let high = lookup.brokers.ends(&places, End::High)?;
    for (place, id) in places.into_iter().zip(ids) {
        let high = high.get(&place).copied().unwrap_or_default();
        let (incarnation, committed) = present(&id, committed.get(&place));
        survey.logs.push(Log {
            low: low.get(&place).copied().unwrap_or_default(),
            high,
            committed,
            partition: Partition { topic: place.0, incarnation, partition: place.1 },
        });
    }
    Ok(survey)
}

/// The present life of a topic, and the committed offset where it belongs to that life.
fn present(id: &str, committed: Option<&Committed>) -> (Incarnation, Option<u64>) {
    let of_topic = || Incarnation::from(id);
    match committed {
        None => (of_topic(), None),
        Some(Committed { offset, incarnation: None, .. }) => (of_topic(), Some(*offset)),
        Some(Committed { offset, incarnation: Some(own), .. }) if start::topic_id(own) == id => {
            (own.clone(), Some(*offset))
        }
        Some(_) => (of_topic(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_counts_in_its_own_life_only() {
        const ID: &str = "abcdefghijklmnopqrst+/";
        const CUT: &str = "abcdefghijklmnopqrst+/+1";
        for (metadata, expected) in [
            (ID, (ID, Some(7))),
            (CUT, (CUT, Some(7))),
            ("", (ID, Some(7))),
            ("zzzzzzzzzzzzzzzzzzzzzz", (ID, None)),
        ] {
            let (incarnation, committed) = present(ID, Some(&Committed::parse(7, metadata.as_bytes())));
            assert_eq!((&*incarnation.0, committed), expected, "{metadata}");
        }
        assert_eq!(present(ID, None), (Incarnation::from(ID), None));
    }
}
