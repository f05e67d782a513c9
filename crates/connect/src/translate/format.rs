//! Converters as `[kafka.format]`, and their registry as `[schema_registry]`.

use toml::Value;

use super::{Draft, given, note, secret, string, strings};
use crate::{
    converters::simple,
    define::{Config, list},
};

/// The converters of keys and values, as formats.
pub(super) fn format(connector: &Config, worker: &Config, draft: &mut Draft) {
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
