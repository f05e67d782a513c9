//! Brokers, topics and the consumer of a connector as `[kafka]`.

use kafka::StartRule;

use super::{Draft, given, note, secret, string, strings};
use crate::{
    client_properties,
    define::{Config, list},
};

pub(super) fn kafka(connector: &Config, worker: &Config, draft: &mut Draft) {
    let name = given(connector, "name").unwrap_or("connector");
    let bootstrap = given(worker, "bootstrap.servers");
    if bootstrap.is_none() {
        note(
            draft,
            "bootstrap.servers",
            "is in the worker's properties; give them behind the connector's file, or correct [kafka] bootstrap_servers",
        );
    }
    let mut topics = list(given(connector, "topics").unwrap_or_default());
    if topics.is_empty() {
        note(
            draft,
            "topics.regex",
            "topics are named one by one here; replace the one in [kafka] topics with those that the expression selects",
        );
        topics.push("set-the-topics".to_owned());
    }
    let inherited = worker.iter().filter_map(|(key, value)| {
        let is_common = key.starts_with("ssl.") || key.starts_with("sasl.") || key == "security.protocol";
        Some((key.strip_prefix("consumer.").or(is_common.then_some(key.as_str()))?, value.as_str()))
    });
    let own = connector
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("consumer.override.")?, value.as_str())));
    let (inherited, mut problems) = client_properties::of_java(inherited);
    let (own, more) = client_properties::of_java(own);
    problems.extend(more);
    let consumer = inherited.with(&own);
    let group = consumer.group_id.clone().unwrap_or_else(|| format!("connect-{name}"));
    draft.kafka = vec![
        ("bootstrap_servers".to_owned(), string(bootstrap.unwrap_or("localhost:9092"))),
        ("topics".to_owned(), strings(topics)),
        ("group_id".to_owned(), string(group)),
        ("group_instance_id".to_owned(), string(consumer.instance.clone().unwrap_or_default())),
    ];
    if consumer.start == Some(StartRule::Latest) {
        draft.kafka.push(("start".to_owned(), string("latest")));
    }
    for (key, problem) in problems {
        note(draft, &format!("consumer.override.{key}"), &problem);
    }
    for (key, value) in &consumer.properties.0 {
        let is_secret = ["password", "secret", "key.pem"].iter().any(|part| key.contains(part));
        let value = if is_secret { secret(draft, &format!("KAFKA_{key}")) } else { value.clone() };
        draft.properties.push((key.clone(), string(value)));
    }
}
