//! The properties of topics, as the brokers report them, and new topics.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    error::RDKafkaErrorCode,
};

use super::plain_config;
use crate::{
    KafkaConfig,
    error::{Error, KafkaText},
};

/// A topic to create.
pub(crate) struct NewTopicSpec<'a> {
    pub(crate) name: &'a str,
    /// -1 for the brokers' default.
    pub(crate) partitions: i32,
    /// -1 for the brokers' default.
    pub(crate) replicas: i32,
    pub(crate) properties: BTreeMap<String, String>,
}

/// How long the brokers may take to create a topic.
const ANSWER: Duration = Duration::from_secs(10);

/// Creates a topic. One that exists already is no error. Blocks.
///
/// # Errors
/// [`Error::NotCreated`].
pub(crate) fn create_topic(config: &KafkaConfig, new: &NewTopicSpec<'_>) -> Result<(), Error> {
    let refused = |source: KafkaText| Error::NotCreated { topic: new.name.to_owned(), source };
    let admin: AdminClient<DefaultClientContext> =
        plain_config(config.client()).create().map_err(|error| Error::Questions { source: error.into() })?;
    let options = AdminOptions::new().request_timeout(Some(ANSWER)).operation_timeout(Some(ANSWER));
    let topic = NewTopic::new(new.name, new.partitions, TopicReplication::Fixed(new.replicas));
    let topic = new.properties.iter().fold(topic, |topic, (name, value)| topic.set(name, value));
    let answers = futures::executor::block_on(admin.create_topics(&[topic], &options));
    for answer in answers.map_err(|error| refused(error.into()))? {
        match answer {
            // Another process may have created it meanwhile.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(refused(KafkaText(code.to_string()))),
        }
    }
    Ok(())
}

/// The properties of these topics, by topic and name. A topic that this user may not describe is missing, and all are if
/// no broker answers within `timeout`. Blocks.
pub fn topic_properties(
    config: &KafkaConfig,
    topics: &[&str],
    timeout: Duration,
) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let Ok(admin) = plain_config(config.client()).create::<AdminClient<DefaultClientContext>>() else {
        return found;
    };
    let options = AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
    let resources: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    if resources.is_empty() {
        return found;
    }
    let answers = futures::executor::block_on(admin.describe_configs(&resources, &options));
    for (topic, answer) in topics.iter().zip(answers.unwrap_or_default()) {
        let Ok(answer) = answer else { continue };
        let entries = answer.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?)));
        found.insert((*topic).to_owned(), entries.collect());
    }
    found
}
