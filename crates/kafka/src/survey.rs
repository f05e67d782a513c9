//! How far the logs and the consumer group are, seen from outside: joins no group and changes nothing.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use event::{Incarnation, Partition};
use rdkafka::error::KafkaError;

use crate::{
    TopicPartition,
    client::{
        self, ANSWER_TIMEOUT, End,
        brokers::{Brokers, FIRST_WAIT},
        context::Context,
        faults,
    },
    error::{Error, KafkaText},
    group::{
        lookup::Lookup,
        start::{self, Committed},
    },
    settings::KafkaConfig,
};

/// The state of the configured topics and of the group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Every partition of the configured topics that exist.
    pub logs: Vec<Log>,
    /// Configured topics that do not exist.
    pub missing: Vec<Arc<str>>,
    /// How many connectors are in the consumer group; `None` if the brokers do not say. A connector that was killed is in
    /// it until its session ends.
    pub members: Option<usize>,
}

/// The state of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Topic, current incarnation and number.
    pub partition: Partition,
    /// The first offset.
    pub low: u64,
    /// One past the last record, open transactions included.
    pub high: u64,
    /// What the group committed under this incarnation.
    pub committed: Option<u64>,
}

/// Asks the brokers. Blocks for some seconds if they do not answer.
///
/// # Errors
/// [`Error::Client`] if librdkafka rejects the configuration, [`Error::Unanswered`] if no broker answers, and
/// [`Error::Authentication`] or [`Error::Authorization`] if the brokers reject this user.
pub fn survey(config: &KafkaConfig) -> Result<Survey, Error> {
    let group = client::create(&client::client_config(config.consumer()), Context::default())
        .map_err(|error| Error::Client { source: error.into() })?;
    let brokers = Brokers::new(config)?;
    reach(&brokers, config)?;
    let outdated = BTreeMap::new();
    let lookup = Lookup { consumer: &group, brokers: &brokers, rule: config.start, outdated: &outdated };
    ask(&lookup, &config.group_id).map_err(|error| match faults::judge(&error, config) {
        faults::Fault::Final(end) => end,
        _ => unanswered(&brokers, &error, config),
    })
}

/// Waits for the first answer; returns at once if the brokers reject this user.
fn reach(brokers: &Brokers, config: &KafkaConfig) -> Result<(), Error> {
    let start = Instant::now();
    let mut patience = FIRST_WAIT;
    while let Err(code) = brokers.describe_within(patience) {
        let why = unanswered(brokers, &KafkaError::MetadataFetch(code), config);
        let left = ANSWER_TIMEOUT.saturating_sub(start.elapsed());
        if left.is_zero() || !matches!(why, Error::Unanswered { .. }) {
            return Err(why);
        }
        patience = (patience * 2).min(left);
    }
    Ok(())
}

/// Why there was no answer, as far as the client knows.
fn unanswered(brokers: &Brokers, error: &KafkaError, config: &KafkaConfig) -> Error {
    let failure = brokers.take_failure();
    let refusal = failure.as_ref().and_then(|(code, reason)| faults::refusal(*code, reason, config));
    refusal.unwrap_or_else(|| Error::Unanswered {
        brokers: config.bootstrap_servers.clone(),
        source: failure.map_or_else(|| KafkaText::from(error), |(_, reason)| KafkaText(reason)),
    })
}

fn ask(lookup: &Lookup<'_>, group: &str) -> Result<Survey, KafkaError> {
    let described = lookup.brokers.describe().map_err(KafkaError::MetadataFetch)?;
    let mut survey = Survey { members: lookup.brokers.members(group), ..Survey::default() };
    let (mut partitions, mut ids) = (Vec::<TopicPartition>::new(), Vec::new());
    for (name, topic) in lookup.brokers.topics().iter().zip(described) {
        match topic {
            Ok(topic) => {
                let numbers = 0..topic.partitions;
                partitions.extend(numbers.clone().map(|number| (name.clone(), number)));
                ids.extend(numbers.map(|_| topic.id.clone()));
            }
            Err(_) => survey.missing.push(name.clone()),
        }
    }
    if partitions.is_empty() {
        return Ok(survey);
    }
    let committed = lookup.committed(&partitions)?;
    let low = lookup.brokers.ends(&partitions, End::Low)?;
    let high = lookup.brokers.ends(&partitions, End::High)?;
    for (partition, id) in partitions.into_iter().zip(ids) {
        let high = high.get(&partition).copied().unwrap_or_default();
        let (incarnation, committed) = present(&id, committed.get(&partition));
        survey.logs.push(Log {
            low: low.get(&partition).copied().unwrap_or_default(),
            high,
            committed,
            partition: Partition { topic: partition.0, incarnation, partition: partition.1 },
        });
    }
    Ok(survey)
}

/// The current incarnation of a topic, and the committed offset if it belongs to it.
fn present(id: &str, committed: Option<&Committed>) -> (Incarnation, Option<u64>) {
    let of_topic = || Incarnation::from(id);
    match committed {
        None => (of_topic(), None),
        Some(Committed { offset, incarnation: None, .. }) => (of_topic(), Some(*offset)),
        Some(Committed { offset, incarnation: Some(committed), .. }) if start::topic_id(committed) == id => {
            (committed.clone(), Some(*offset))
        }
        Some(_) => (of_topic(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_counts_under_its_incarnation_only() {
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
