//! The questions that decide where partitions are read from: the IDs of their topics, the ends of their logs, and the
//! committed offsets. See [`crate::group::plan`] for the decision.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use event::Partition;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    types::RDKafkaErrorCode,
};

use crate::{
    TopicPartition,
    client::{self, ANSWER_TIMEOUT, End, brokers::Brokers, context::Context, unwrapped},
    group::{
        plan::{self, Answers},
        slot::Commit,
        start::{Committed, Start, StartRule},
    },
};

/// A question about starts.
pub(crate) struct Lookup<'a> {
    pub(crate) consumer: &'a BaseConsumer<Context>,
    pub(crate) brokers: &'a Brokers,
    pub(crate) rule: StartRule,
    /// IDs that topics no longer have, although a broker may still return them.
    pub(crate) outdated: &'a BTreeMap<Arc<str>, String>,
}

/// How long the coordinator may take to answer a synchronous commit.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(4);

type Found<T> = BTreeMap<TopicPartition, T>;
/// The topics with their numbers of partitions and IDs.
type Topics = BTreeMap<Arc<str>, (i32, String)>;

impl Lookup<'_> {
    /// Where these partitions are read from. Starts that must be fixed before anything is read are committed here. `read`
    /// is the next offset of partitions that were read beyond their committed offset.
    pub(crate) fn starts(
        &self,
        partitions: &[TopicPartition],
        read: &Found<u64>,
    ) -> Result<Vec<Start>, KafkaError> {
        let topics = self.topics()?;
        let everything: Vec<TopicPartition> =
            topics.iter().flat_map(|(name, topic)| (0..topic.0).map(|n| (name.clone(), n))).collect();
        let committed = self.committed(&everything)?;
        let low = self.brokers.ends(partitions, End::Low)?;
        let high = self.brokers.ends(partitions, End::High)?;
        // The ends that are committed are those that are read from.
        let wanted = if plan::fixes_all(self.rule, &committed) { everything.as_slice() } else { partitions };
        let stable = client::ends(self.consumer, wanted, End::High)?;
        let answers = Answers { topics, committed, low, stable, high };
        let planned = plan::plan(partitions, &answers, self.rule, read)
            .ok_or(KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownTopicOrPartition))?;
        self.commit_first(&planned.commits)?;
        Ok(planned.starts)
    }

    /// Those of these partitions that exist.
    pub(crate) fn existing(&self, partitions: &[TopicPartition]) -> Result<Vec<TopicPartition>, KafkaError> {
        let topics = self.topics()?;
        let exists = |(topic, partition): &&TopicPartition| {
            topics.get(topic).is_some_and(|(count, _)| partition < count)
        };
        Ok(partitions.iter().filter(exists).cloned().collect())
    }

    /// The topics by name, with their numbers of partitions and IDs.
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

    /// The committed offsets of these partitions; those without one are missing.
    pub(crate) fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Committed>, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            list.add_partition(topic, *partition);
        }
        let answer = self.consumer.committed_offsets(list, ANSWER_TIMEOUT)?;
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

    fn commit_first(&self, commits: &[(TopicPartition, u64, String)]) -> Result<(), KafkaError> {
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

/// Commits with the incarnation as metadata, and waits for the coordinator, at most [`COMMIT_TIMEOUT`].
pub(crate) fn commit(
    consumer: &BaseConsumer<Context>,
    commits: &[(Commit, Partition)],
) -> Result<(), KafkaError> {
    unwrapped::commit(consumer, &offsets(commits)?, COMMIT_TIMEOUT).map_err(KafkaError::ConsumerCommit)
}

/// Commits with the incarnation as metadata. A later poll returns the answer.
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
