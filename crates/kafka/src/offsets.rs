//! The committed offsets of a group that has no members: set by an operator, or deleted. See [`crate::survey`] for
//! reading them.

use std::time::Duration;

use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::{
    KafkaConfig, TopicPartition,
    client::plain_config,
    error::{Error, KafkaText},
};

/// How long the coordinator may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Commits these offsets for the group of the configuration, without an incarnation in their metadata, so that a member
/// reads from them whatever it had read before. Blocks.
///
/// # Errors
/// [`Error::OffsetsRefused`]: the group has members, or a partition does not exist.
pub fn set(config: &KafkaConfig, offsets: &[(TopicPartition, u64)]) -> Result<(), Error> {
    let mut properties = plain_config(config.consumer());
    properties.remove("group.instance.id");
    let consumer: BaseConsumer =
        properties.create().map_err(|error| Error::Client { source: error.into() })?;
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    let mut commit = || {
        for ((topic, partition), offset) in offsets {
            let offset = Offset::Offset(i64::try_from(*offset).unwrap_or(i64::MAX));
            list.add_partition_offset(topic, *partition, offset)?;
        }
        consumer.commit(&list, CommitMode::Sync)
    };
    commit().map_err(|error| refused(config, &error))
}

/// Deletes the group of the configuration with all its offsets. A group that does not exist is no error. Blocks.
///
/// # Errors
/// [`Error::OffsetsRefused`]: the group has members.
pub fn delete(config: &KafkaConfig) -> Result<(), Error> {
    let admin: AdminClient<DefaultClientContext> =
        plain_config(config.client()).create().map_err(|error| Error::Questions { source: error.into() })?;
    let options = AdminOptions::new().request_timeout(Some(ANSWER)).operation_timeout(Some(ANSWER));
    let answers = futures::executor::block_on(admin.delete_groups(&[&config.group_id], &options));
    for answer in answers.map_err(|error| refused(config, &error))? {
        match answer {
            Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound)) => {}
            Err((_, code)) => {
                let source = KafkaText(code.to_string());
                return Err(Error::OffsetsRefused { group: config.group_id.clone(), source });
            }
        }
    }
    Ok(())
}

fn refused(config: &KafkaConfig, error: &KafkaError) -> Error {
    Error::OffsetsRefused { group: config.group_id.clone(), source: error.into() }
}
