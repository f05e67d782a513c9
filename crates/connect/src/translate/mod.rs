//! A connector's configuration as an `aqueduct.toml` that does the same with [`aqueduct connector`], for teams that want
//! the processor, too. Pure.
//!
//! What has no counterpart is a comment at the top of the file, with what to do instead. Secrets are never copied: the file
//! refers to environment variables, which the comments name.

mod transforms;

use std::fmt::Write as _;

use kafka::StartRule;
use toml::Value;

use crate::{
    client_properties,
    connector::ENDPOINT,
    converters::simple,
    define::{Config, list},
};

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
    kafka(connector, worker, &mut draft);
    format(connector, worker, &mut draft);
    pubsub(connector, &mut draft);
    transforms::anonymise(connector, &mut draft);
    errors(connector, &mut draft);
    unknown(connector, &mut draft);
    text(connector, &draft)
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

fn kafka(connector: &Config, worker: &Config, draft: &mut Draft) {
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

/// A reference to an environment variable, which a note names.
fn secret(draft: &mut Draft, name: &str) -> String {
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    draft.notes.push(format!("the environment variable {name} must have the secret, which is not copied"));
    format!("${{env:{name}}}")
}

/// The converters of keys and values, as formats.
fn format(connector: &Config, worker: &Config, draft: &mut Draft) {
    let value = converter(connector, worker, "value.converter");
    let key = converter(connector, worker, "key.converter");
    let of = |class: &str| match simple(class) {
        "AvroConverter" => Some("avro"),
        "ProtobufConverter" => Some("protobuf"),
        "JsonSchemaConverter" => Some("json-schema"),
        _ => None,
    };
    match (of(&value.0), simple(&value.0)) {
        (Some(format), _) => {
            draft.format.push(("value".to_owned(), string(format)));
            note(
                draft,
                "value.converter",
                "the event is published as JSON in the data of the message, and not as attributes of its fields",
            );
        }
        (None, "JsonConverter")
            if !value
                .1
                .get("schemas.enable")
                .is_some_and(|text| text.trim().eq_ignore_ascii_case("false")) =>
        {
            draft.format.push(("unwrap".to_owned(), string("/payload")));
            note(
                draft,
                "value.converter.schemas.enable",
                "the payload is published as JSON in the data of the message, and not as attributes of its fields",
            );
        }
        (None, "JsonConverter") => {}
        (None, "StringConverter" | "ByteArrayConverter") => {
            note(draft, "value.converter", "each value must be a JSON object; anything else is rejected");
        }
        (None, _) => note(
            draft,
            "value.converter",
            "has no counterpart; values must be JSON, Avro, Protobuf or JSON Schema",
        ),
    }
    if let Some(format) = of(&key.0) {
        draft.format.push(("key".to_owned(), string(format)));
    } else if !matches!(simple(&key.0), "StringConverter" | "ByteArrayConverter" | "") {
        note(draft, "key.converter", "keys are read as text");
    }
    let with_registry = [&value, &key].into_iter().find(|(class, _)| of(class).is_some());
    if let Some((_, keys)) = with_registry {
        registry(keys, draft);
    }
}

/// The class of a converter and its keys: the connector's, or the worker's if it has none.
fn converter(connector: &Config, worker: &Config, part: &str) -> (String, Config) {
    let from = if connector.contains_key(part) { connector } else { worker };
    let prefix = format!("{part}.");
    let keys =
        from.iter().filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?.to_owned(), value.clone())));
    (given(from, part).unwrap_or_default().to_owned(), keys.collect())
}

fn registry(keys: &Config, draft: &mut Draft) {
    let urls = list(given(keys, "schema.registry.url").unwrap_or_default());
    let without_user = |url: &String| match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) =
                rest.split_once('/').map_or((rest, String::new()), |(host, path)| (host, format!("/{path}")));
            format!("{scheme}://{}{path}", host.rsplit_once('@').map_or(host, |(_, host)| host))
        }
        None => url.clone(),
    };
    let has_user = urls.iter().any(|url| url.contains('@'));
    let mut urls: Vec<String> = urls.iter().map(without_user).collect();
    if urls.is_empty() {
        note(draft, "schema.registry.url", "is missing; correct [schema_registry] url");
        urls.push("http://localhost:8081".to_owned());
    }
    draft.registry.push(("url".to_owned(), strings(urls)));
    let user_info = given(keys, "basic.auth.user.info").is_some();
    if has_user || user_info {
        let user = secret(draft, "REGISTRY_USER");
        let password = secret(draft, "REGISTRY_PASSWORD");
        let table = toml::Table::from_iter([
            ("user".to_owned(), string(user)),
            ("password".to_owned(), string(password)),
        ]);
        draft.registry.push(("basic_auth".to_owned(), Value::Table(table)));
    }
    match given(keys, "bearer.auth.credentials.source") {
        Some("STATIC_TOKEN") => {
            let token = secret(draft, "REGISTRY_TOKEN");
            draft.registry.push(("bearer_token".to_owned(), string(token)));
        }
        Some(_) => note(draft, "bearer.auth.*", "write [schema_registry] oauth"),
        None => {}
    }
    for (key, ours) in [
        ("schema.registry.ssl.truststore.location", "ca"),
        ("schema.registry.ssl.keystore.location", "certificate"),
    ] {
        if let Some(path) = given(keys, key) {
            draft.registry.push((ours.to_owned(), string(path)));
        }
    }
}

fn pubsub(connector: &Config, draft: &mut Draft) {
    for (key, ours) in [("cps.project", "project"), ("cps.topic", "topic")] {
        let value = given(connector, key);
        if value.is_none() {
            note(draft, key, "is missing");
        }
        draft.pubsub.push((ours.to_owned(), string(value.unwrap_or("set-me"))));
    }
    let endpoint = given(connector, "cps.endpoint").filter(|endpoint| *endpoint != ENDPOINT);
    match (is_true(connector, "cps.useEmulator"), endpoint) {
        (true, Some(host)) => draft.pubsub.push(("emulator_host".to_owned(), string(host))),
        (true, None) => note(
            draft,
            "cps.useEmulator",
            "PUBSUB_EMULATOR_HOST, or [pubsub] emulator_host, names the emulator",
        ),
        (false, Some(_)) => {
            note(draft, "cps.endpoint", "is not configurable; the client uses Google's global endpoint");
        }
        (false, None) => {}
    }
    if let Some(bytes) =
        given(connector, "maxOutstandingRequestBytes").and_then(|text| text.parse::<u64>().ok())
        && bytes < 1 << 40
    {
        let mebibytes = (bytes >> 20).max(1);
        draft.pubsub.push(("in_flight".to_owned(), string(format!("{mebibytes}MiB"))));
    }
    for key in ["gcp.credentials.file.path", "gcp.sa.credentials.file.path"] {
        if let Some(path) = given(connector, key) {
            note(draft, key, &format!("set GOOGLE_APPLICATION_CREDENTIALS={path}"));
        }
    }
    for key in ["gcp.credentials.json", "gcp.sa.credentials.json"] {
        if given(connector, key).is_some() {
            note(
                draft,
                key,
                "write the credentials to a file, and set GOOGLE_APPLICATION_CREDENTIALS to its path",
            );
        }
    }
    match given(connector, "orderingKeySource") {
        Some("key") => note(
            draft,
            "orderingKeySource=key",
            "an ordering key is a field of the event here; set [pubsub] ordering_key to the pointer of the field that is the Kafka key",
        ),
        Some("partition") => note(
            draft,
            "orderingKeySource=partition",
            "is not needed by the processor, which orders by offset; set [pubsub] ordering_key to a field if other subscribers need an order",
        ),
        _ => {}
    }
    if !is_true(connector, "metadata.publish") {
        note(
            draft,
            "metadata.publish",
            "messages always have the attributes kafka.topic, kafka.partition, kafka.offset and kafka.timestamp: the processor counts by them",
        );
    }
    if is_true(connector, "enableCompression") {
        note(
            draft,
            "enableCompression",
            "has no counterpart for single messages; [pubsub] pack = true compresses many records into one, for topics that only Aqueduct reads",
        );
    }
    let batching = [
        "maxBufferSize",
        "maxBufferBytes",
        "maxOutstandingMessages",
        "delayThresholdMs",
        "maxRequestTimeoutMs",
        "maxTotalTimeoutMs",
        "maxShutdownTimeoutMs",
    ];
    let set: Vec<&str> = batching.into_iter().filter(|key| connector.contains_key(*key)).collect();
    if !set.is_empty() {
        note(draft, &set.join(", "), "batches and retries need no configuration");
    }
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

/// The file.
fn text(connector: &Config, draft: &Draft) -> String {
    let name = given(connector, "name").unwrap_or("the connector");
    let mut out =
        format!("# The connector {} as a configuration of `aqueduct connector`.\n#\n", one_line(name));
    out.push_str(
        "# Stop the connector before you start this: both use one consumer group, and this one continues at its offsets.\n\
         # `aqueduct setup` creates the topic for marks, <topic>-marks. With marks the processor knows which offsets have\n\
         # no event and why, counts every event once after any restart, and knows when a window is complete. Connect\n\
         # has nothing like them: to a subscriber a lost message looks like one that never existed.\n",
    );
    if !draft.notes.is_empty() {
        out.push_str("#\n# What differs, or is left to do:\n");
        for note in &draft.notes {
            wrap(&mut out, note);
        }
    }
    let sections = [
        ("kafka", &draft.kafka),
        ("kafka.properties", &draft.properties),
        ("kafka.format", &draft.format),
        ("schema_registry", &draft.registry),
        ("pubsub", &draft.pubsub),
        ("anonymise", &draft.anonymise),
    ];
    for (name, entries) in sections.into_iter().filter(|(_, entries)| !entries.is_empty()) {
        let _ = writeln!(out, "\n[{name}]");
        for (key, value) in entries {
            let key = toml::Value::String(key.clone());
            let plain =
                key.as_str().is_some_and(|key| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
            let key = if plain { key.as_str().unwrap_or_default().to_owned() } else { key.to_string() };
            let _ = writeln!(out, "{key} = {value}");
        }
    }
    out.push_str(
        "\n# For the processor: where an event has its time, what is counted, and where rows go.\n\
         # [events]\n# time = \"/time\"\n#\n\
         # [[flows]]\n# name = \"events\"\n# by = { page = \"/page\" }\n# measures = { events = { count = {} } }\n# window = { size = \"1m\" }\n#\n\
         # [writer]\n# kind = \"sqlite\"\n# path = \"aqueduct.db\"\n",
    );
    out
}

/// A text that ends no comment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A note as a comment, in lines of readable length.
fn wrap(out: &mut String, note: &str) {
    let mut line = String::from("# -");
    for word in one_line(note).split_whitespace() {
        if line.len() + word.len() > 116 && line.len() > 4 {
            let _ = writeln!(out, "{line}");
            line = "#  ".to_owned();
        }
        let _ = write!(line, " {word}");
    }
    let _ = writeln!(out, "{line}");
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
