//! The properties of topics, as the brokers report them.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    client::DefaultClientContext,
};

use super::plain_config;
use crate::KafkaConfig;

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
