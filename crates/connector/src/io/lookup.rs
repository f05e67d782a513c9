//! Looking up where partitions are to be read from: their topics' ids, the bounds of their logs, and what the group
//! committed. The decision itself is [`crate::plan`]'s.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use event::Partition;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    types::RDKafkaErrorCode,
};

use crate::{
    io::{
        brokers::{self, ASK_TIMEOUT, Brokers, End, Places},
        context::Context,
        unwrapped,
    },
    plan::{self, Answers, Place},
    slot::Commit,
    start::{Committed, Start, StartRule},
};

/// A question about starts.
pub(crate) struct Lookup<'a> {
    pub(crate) consumer: &'a BaseConsumer<Context>,
    pub(crate) brokers: &'a Brokers,
    pub(crate) rule: StartRule,
    /// Ids that topics are known to have no more; a broker may be behind.
    pub(crate) outdated: &'a BTreeMap<Arc<str>, String>,
}

/// How long the coordinator may take to answer a commit that is waited for.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(4);

type Found<T> = BTreeMap<(Arc<str>, i32), T>;
/// The topics with their numbers of partitions and ids.
type Topics = BTreeMap<Arc<str>, (i32, String)>;

impl Lookup<'_> {
    /// Where these partitions are to be read from. Starts that must stand before anything is read are committed.
    /// `read` tells how far a partition was read already, where that may be beyond its committed offset.
    pub(crate) fn starts(&self, places: &Places, read: &Found<u64>) -> Result<Vec<Start>, KafkaError> {
        let topics = self.topics()?;
        let everything: Places =
            topics.iter().flat_map(|(name, topic)| (0..topic.0).map(|n| (name.clone(), n))).collect();
        let committed = self.committed(&everything)?;
        let low = self.brokers.ends(places, End::Low)?;
        let high = self.brokers.ends(places, End::High)?;
        // The ends that are committed are those that are read from.
        let wanted = if plan::fixes_all(self.rule, &committed) { &everything } else { places };
        let stable = brokers::ends(self.consumer, wanted, End::High)?;
        let answers = Answers { topics, committed, low, stable, high };
        let planned = plan::plan(places, &answers, self.rule, read)
            .ok_or(KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownTopicOrPartition))?;
        self.commit_first(&planned.commits)?;
        Ok(planned.starts)
    }

    /// Those of these partitions that exist.
    pub(crate) fn existing(&self, places: &Places) -> Result<Places, KafkaError> {
        let topics = self.topics()?;
        let exists =
            |(topic, partition): &&Place| topics.get(topic).is_some_and(|(count, _)| partition < count);
        Ok(places.iter().filter(exists).cloned().collect())
    }

    /// The topics by name, with partitions and id.
    fn topics(&self) -> Result<Topics, KafkaError> {
        let described = self.brokers.describe().map_err(KafkaError::MetadataFetch)?;
        let entry = |topic: unwrapped::Topic| (topic.name.as_str().into(), (topic.partitions, topic.id));
        let topics: Topics = described.into_iter().flatten().map(entry).collect();
        let is_outdated = |(name, (_, id)): (&Arc<str>, &(i32, String))| self.outdated.get(name) == Some(id);
        if topics.iter().any(is_outdated) {
            return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicId));
        }
        Ok(topics)
    }

    /// What the group committed, of every partition of its topics.
    pub(crate) fn committed(&self, places: &Places) -> Result<Found<Committed>, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(places.len());
        for (topic, partition) in places {
            list.add_partition(topic, *partition);
        }
        let answer = self.consumer.committed_offsets(list, ASK_TIMEOUT)?;
        let mut found = BTreeMap::new();
        for (n, element) in answer.elements().into_iter().enumerate() {
            element.error()?;
            if let Offset::Offset(offset) = element.offset() {
                let committed = Committed::parse(offset.unsigned_abs(), &unwrapped::metadata(&answer, n));
                found.insert((element.topic().into(), element.partition()), committed);
            }
        }
        Ok(found)
    }

    fn commit_first(&self, commits: &[(Place, u64, String)]) -> Result<(), KafkaError> {
        if commits.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(commits.len());
        for ((topic, partition), offset, metadata) in commits {
            add(&mut list, topic, *partition, *offset, metadata)?;
        }
        unwrapped::commit(self.consumer, &list, COMMIT_TIMEOUT).map_err(KafkaError::ConsumerCommit)
    }
}

/// Commits with the incarnation as metadata, and waits until the coordinator has it, but not for ever.
pub(crate) fn commit(
    consumer: &BaseConsumer<Context>,
    commits: &[(Commit, Partition)],
) -> Result<(), KafkaError> {
    unwrapped::commit(consumer, &offsets(commits)?, COMMIT_TIMEOUT).map_err(KafkaError::ConsumerCommit)
}

/// Commits with the incarnation as metadata; the answer comes with a later poll.
pub(crate) fn commit_later(
    consumer: &BaseConsumer<Context>,
    commits: &[(Commit, Partition)],
) -> Result<(), KafkaError> {
    unwrapped::commit_later(consumer, &offsets(commits)?).map_err(KafkaError::ConsumerCommit)
}

fn offsets(commits: &[(Commit, Partition)]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(commits.len());
    for (Commit { slot, offset }, partition) in commits {
        add(&mut list, &slot.topic, slot.partition, *offset, &partition.incarnation.0)?;
    }
    Ok(list)
}

fn add(
    list: &mut TopicPartitionList,
    topic: &str,
    partition: i32,
    offset: u64,
    metadata: &str,
) -> Result<(), KafkaError> {
    let mut element = list.add_partition(topic, partition);
    let offset = i64::try_from(offset)
        .map_err(|_| KafkaError::SetPartitionOffset(RDKafkaErrorCode::InvalidArgument))?;
    element.set_offset(Offset::Offset(offset))?;
    element.set_metadata(metadata);
    Ok(())
}
