//! A connector's configuration as an `aqueduct.toml` that does the same with [`aqueduct connector`], for teams that want
//! the processor, too. Pure.
//!
//! What has no counterpart is a comment at the top of the file, with what to do instead. Secrets are never copied: the file
//! refers to environment variables, which the comments name.

mod format;
mod kafka;
mod pubsub;
mod text;
mod transforms;

use toml::Value;

use crate::define::Config;

/// The sections that are known, and what is left to do.
#[derive(Default)]
struct Draft {
    kafka: Vec<(String, Value)>,
    properties: Vec<(String, Value)>,
    format: Vec<(String, Value)>,
    registry: Vec<(String, Value)>,
    pubsub: Vec<(String, Value)>,
    anonymise: Vec<(String, Value)>,
    /// Sentences about what differs, or has to be done.
    notes: Vec<String>,
}

/// Which part of the configuration has a key, for notes.
fn note(draft: &mut Draft, key: &str, text: &str) {
    draft.notes.push(format!("{key}: {text}"));
}

/// The text of the file. `worker` are the properties of the worker, from which a connector takes its brokers and, if it has
/// none, its converters.
pub fn translate(connector: &Config, worker: &Config) -> String {
    let mut draft = Draft::default();
    kafka::kafka(connector, worker, &mut draft);
    format::format(connector, worker, &mut draft);
    pubsub::pubsub(connector, &mut draft);
    transforms::anonymise(connector, &mut draft);
    errors(connector, &mut draft);
    unknown(connector, &mut draft);
    text::text(connector, &draft)
}

fn given<'c>(config: &'c Config, key: &str) -> Option<&'c str> {
    config.get(key).map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn is_true(config: &Config, key: &str) -> bool {
    given(config, key).is_some_and(|text| text.eq_ignore_ascii_case("true"))
}

fn string(text: impl Into<String>) -> Value {
    Value::String(text.into())
}

fn strings(texts: impl IntoIterator<Item = String>) -> Value {
    Value::Array(texts.into_iter().map(Value::String).collect())
}

/// A reference to an environment variable, which a note names.
fn secret(draft: &mut Draft, name: &str) -> String {
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    draft.notes.push(format!("the environment variable {name} must have the secret, which is not copied"));
    format!("${{env:{name}}}")
}

fn errors(connector: &Config, draft: &mut Draft) {
    match given(connector, "errors.tolerance") {
        Some("all") => note(
            draft,
            "errors.tolerance=all",
            "a record that cannot be published is rejected: it is counted by its reason, and the processor knows its offset. The connector stops if there are too many; see [anonymise] max_rejects",
        ),
        _ => note(
            draft,
            "errors.tolerance=none",
            "a record that cannot be published is rejected and counted, and does not stop the connector unless there are more than [anonymise] max_rejects",
        ),
    }
    if given(connector, "errors.deadletterqueue.topic.name").is_some() {
        note(
            draft,
            "errors.deadletterqueue.*",
            "`aqueduct dead-letters` lists the rejected records by their offsets and sends them again; no topic is needed",
        );
    }
    if given(connector, "tasks.max").is_some_and(|tasks| tasks != "1") {
        note(
            draft,
            "tasks.max",
            "start as many connectors as there are to be tasks, on hosts of their own or with [kafka] group_instance_id",
        );
    }
}

/// Keys that nothing above has read.
fn unknown(connector: &Config, draft: &mut Draft) {
    const KNOWN: [&str; 30] = [
        "name",
        "connector.class",
        "connector.plugin.version",
        "tasks.max",
        "tasks.max.enforce",
        "topics",
        "topics.regex",
        "key.converter",
        "value.converter",
        "header.converter",
        "transforms",
        "predicates",
        "config.action.reload",
        "cps.project",
        "cps.topic",
        "cps.endpoint",
        "cps.useEmulator",
        "metadata.publish",
        "headers.publish",
        "orderingKeySource",
        "messageBodyName",
        "enableCompression",
        "compressionBytesThreshold",
        "maxBufferSize",
        "maxBufferBytes",
        "maxOutstandingRequestBytes",
        "maxOutstandingMessages",
        "delayThresholdMs",
        "maxRequestTimeoutMs",
        "maxTotalTimeoutMs",
    ];
    const PREFIXES: [&str; 10] = [
        "consumer.override.",
        "key.converter.",
        "value.converter.",
        "header.converter.",
        "transforms.",
        "predicates.",
        "errors.",
        "gcp.",
        "aqueduct.",
        "maxShutdownTimeoutMs",
    ];
    let is_known = |key: &str| KNOWN.contains(&key) || PREFIXES.iter().any(|prefix| key.starts_with(prefix));
    let unknown: Vec<&String> = connector.keys().filter(|key| !is_known(key)).collect();
    for key in unknown {
        note(draft, key, "is not a key of the connector, and has no counterpart");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(entries: &[(&str, &str)]) -> Config {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn sink(more: &[(&str, &str)]) -> Config {
        let base = [
            ("name", "sink"),
            ("connector.class", "CloudPubSubSinkConnector"),
            ("topics", "views, clicks"),
            ("cps.project", "shop-analytics"),
            ("cps.topic", "events"),
        ];
        config(&[&base[..], more].concat())
    }

    fn table(text: &str) -> toml::Table {
        text.parse().unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    fn at<'t>(table: &'t toml::Table, section: &str, key: &str) -> Option<&'t Value> {
        table.get(section)?.get(key)
    }

    #[test]
    fn topics_and_group_are_kept() {
        let worker = config(&[
            ("bootstrap.servers", "k:9092"),
            ("value.converter", "io.confluent.connect.avro.AvroConverter"),
            ("value.converter.schema.registry.url", "http://u:hidden@r:8081"),
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.jaas.config", "x.PlainLoginModule required username=\"u\" password=\"hidden\";"),
        ]);
        let text = translate(&sink(&[("consumer.override.auto.offset.reset", "latest")]), &worker);
        assert!(!text.contains("hidden"), "{text}");
        let table = table(&text);
        let is = |section: &str, key: &str, expected: &str| {
            assert_eq!(
                at(&table, section, key).map(ToString::to_string).as_deref(),
                Some(expected),
                "{text}"
            );
        };
        is("kafka", "bootstrap_servers", "\"k:9092\"");
        is("kafka", "topics", "[\"views\", \"clicks\"]");
        is("kafka", "group_id", "\"connect-sink\"");
        is("kafka", "start", "\"latest\"");
        is("schema_registry", "url", "[\"http://r:8081\"]");
        is("pubsub", "project", "\"shop-analytics\"");
        let properties = &table["kafka"]["properties"];
        assert_eq!(properties["sasl.password"].as_str(), Some("${env:KAFKA_SASL_PASSWORD}"));
        assert_eq!(properties["sasl.username"].as_str(), Some("u"));
        assert_eq!(table["kafka"]["format"]["value"].as_str(), Some("avro"));
    }

    #[test]
    fn what_has_no_counterpart_is_named() {
        let more = [
            ("orderingKeySource", "key"),
            ("headers.publish", "true"),
            ("gcp.credentials.json", "{hidden}"),
            ("label.team", "x"),
            ("transforms", "r,c"),
            ("transforms.r.type", "org.apache.kafka.connect.transforms.RegexRouter"),
            ("transforms.c.type", "org.apache.kafka.connect.transforms.Cast$Value"),
            ("consumer.override.interceptor.classes", "x"),
        ];
        let text = translate(&sink(&more), &Config::new());
        drop(table(&text));
        for name in [
            "orderingKeySource",
            "headers.publish",
            "gcp.credentials.json",
            "label.team",
            "transforms.r",
            "transforms.c",
            "interceptor.classes",
            "bootstrap.servers",
        ] {
            assert!(
                text.contains(&format!("# - {name}")) || text.contains(&format!("{name}:")),
                "{name} in {text}"
            );
        }
        assert!(!text.contains("hidden"), "{text}");
    }

    /// A name cannot end a comment, and no value a string.
    #[test]
    fn nothing_escapes_from_its_place() {
        let mut config = sink(&[("topics", "a\"b,c\nd"), ("cps.topic", "t\"\n[service]")]);
        config.insert("name".to_owned(), "x\n[service]\nlisten=\"0.0.0.0:1\"".to_owned());
        let table = table(&translate(&config, &Config::new()));
        assert!(!table.contains_key("service"));
    }
}
