//! Transforms as rules of `[anonymise]`, as far as they correspond.

use toml::Value;

use super::{Draft, given, is_true, note, string, strings};
use crate::{
    converters::simple,
    define::{Config, list},
};

/// Rules for the fields of an event.
#[derive(Default)]
struct Rules {
    pseudonymise: Vec<String>,
    remove: Vec<String>,
    strip_query: Vec<String>,
    /// What may pass, if a transform keeps only that.
    only: Option<Vec<String>>,
    /// Whether a transform removes or replaces something.
    protects: bool,
}

pub(super) fn anonymise(connector: &Config, draft: &mut Draft) {
    let mut rules = Rules::default();
    for alias in list(given(connector, "transforms").unwrap_or_default()) {
        transform(connector, &alias, &mut rules, draft);
    }
    let is_all = given(connector, "aqueduct.forward") == Some("all") || rules.protects;
    let forward = match rules.only.take() {
        Some(only) => strings(only),
        None if is_all => string("all"),
        None => {
            draft.notes.push("no transform protects personal data, and aqueduct.forward=all is not set: [anonymise] forward is empty, so that no field passes; name those that may".to_owned());
            strings([])
        }
    };
    let lists =
        [("pseudonymise", rules.pseudonymise), ("remove", rules.remove), ("strip_query", rules.strip_query)];
    for (key, pointers) in lists.into_iter().filter(|(_, pointers)| !pointers.is_empty()) {
        draft.anonymise.push((key.to_owned(), strings(pointers)));
    }
    draft.anonymise.push(("forward".to_owned(), forward));
    if let Some(key) = given(connector, "aqueduct.key").filter(|key| *key != "drop") {
        draft.anonymise.push(("key".to_owned(), string(key)));
        note(draft, "aqueduct.key", "the Kafka key is the attribute kafka.key, and not key");
    } else {
        note(
            draft,
            "aqueduct.key",
            "the Kafka key is not published, as by `aqueduct connect`; set [anonymise] key if subscribers need it",
        );
    }
    headers(connector, draft);
    if let Some(path) = given(connector, "aqueduct.keyring") {
        draft.anonymise.push(("keyring".to_owned(), string(path)));
    }
}

fn headers(connector: &Config, draft: &mut Draft) {
    if !is_true(connector, "headers.publish") {
        return;
    }
    let names: Vec<String> = list(given(connector, "aqueduct.headers").unwrap_or_default())
        .into_iter()
        .filter(|name| name != "*")
        .collect();
    match names.is_empty() {
        true => note(draft, "headers.publish", "name the headers that may pass in [anonymise] headers"),
        false => draft.anonymise.push(("headers".to_owned(), strings(names))),
    }
}

/// A JSON pointer to a field at the top level.
fn pointer(field: &str) -> String {
    format!("/{}", field.replace('~', "~0").replace('/', "~1"))
}

/// A field or a path of fields, as `ExtractField` has it.
fn path(field: &str, is_dotted: bool) -> String {
    match is_dotted {
        true => field.split('.').map(|part| pointer(part.trim_matches('`'))).collect(),
        false => pointer(field),
    }
}

fn transform(connector: &Config, alias: &str, rules: &mut Rules, draft: &mut Draft) {
    let key = format!("transforms.{alias}");
    let option = |name: &str| given(connector, &format!("{key}.{name}"));
    let fields = |name: &str| list(option(name).unwrap_or_default());
    let pointers = |name: &str| fields(name).iter().map(|field| pointer(field)).collect::<Vec<_>>();
    let class = option("type").unwrap_or_default();
    let (base, part) = simple(class).split_once('$').unwrap_or((simple(class), ""));
    if part == "Key" {
        return note(
            draft,
            &key,
            "changes the key, which [anonymise] key drops, pseudonymises or forwards as a whole",
        );
    }
    if option("predicate").is_some() && base != "Filter" {
        note(draft, &key, "its predicate has no counterpart: the rule is for every event");
    }
    match base {
        "MaskField" => {
            rules.protects = true;
            rules.remove.extend(pointers("fields"));
            note(draft, &key, "the fields are removed, and not replaced with an empty value");
        }
        "ReplaceField" => {
            let (exclude, include) = (pointers("exclude"), pointers("include"));
            rules.protects |= !exclude.is_empty() || !include.is_empty();
            rules.remove.extend(exclude);
            if !include.is_empty() {
                rules.only = Some(include);
            }
            if option("renames").is_some() {
                note(draft, &key, "fields keep their names; rename them where they are read");
            }
        }
        "Hash" => {
            rules.protects = true;
            match option("field.name") {
                Some(field) => rules.pseudonymise.push(pointer(field)),
                None => note(
                    draft,
                    &key,
                    "a whole value cannot be hashed: events are JSON objects; name its fields in [anonymise] pseudonymise",
                ),
            }
            note(
                draft,
                &key,
                "the hash is keyed (HMAC), so that its values are others than those of the plain digest; create the key with `aqueduct keys new`",
            );
        }
        "Pseudonymise" => {
            rules.protects = true;
            rules.pseudonymise.extend(fields("pseudonymise"));
            rules.remove.extend(fields("remove"));
            rules.strip_query.extend(fields("strip_query"));
            let forward = fields("forward");
            if forward != ["all"] {
                rules.only = Some(forward);
            }
            if let Some(time) = option("time") {
                note(
                    draft,
                    &format!("{key}.time"),
                    &format!("write [events] time = {}", Value::String(time.to_owned())),
                );
            }
        }
        "ExtractField" => {
            let is_dotted =
                option("field.syntax.version").is_some_and(|version| version.eq_ignore_ascii_case("v2"));
            unwrap(draft, &key, &path(option("field").unwrap_or_default(), is_dotted));
        }
        "ExtractNewRecordState" => unwrap(draft, &key, "debezium"),
        "TombstoneHandler" => note(
            draft,
            &key,
            "is not needed: a record without a value is a `tombstone`, which is not published and whose offset is accounted for",
        ),
        "Filter" => filter(connector, &key, draft),
        "RegexRouter" => note(
            draft,
            &key,
            "has no counterpart: the attribute kafka.topic is the topic from which the record was read",
        ),
        "InsertField" => note(
            draft,
            &key,
            "has no counterpart: topic, partition, offset and timestamp are attributes of the message, and a text can be added where it is read",
        ),
        _ => note(
            draft,
            &key,
            &format!("{class} has no counterpart; change the producer, or the place where the event is read"),
        ),
    }
}

/// The event is inside of an envelope.
fn unwrap(draft: &mut Draft, key: &str, place: &str) {
    if draft.format.iter().any(|(name, _)| name == "unwrap") {
        let payload = draft
            .format
            .iter_mut()
            .find(|(name, value)| name == "unwrap" && value.as_str() == Some("/payload"));
        match payload {
            // The envelope of Debezium can have Connect's around it.
            Some((_, value)) if place == "debezium" => *value = string(place),
            Some((_, value)) => *value = string(format!("/payload{place}")),
            None => note(draft, key, "only one envelope can be taken off; see [kafka.format] unwrap"),
        }
        return;
    }
    draft.format.push(("unwrap".to_owned(), string(place)));
}

fn filter(connector: &Config, key: &str, draft: &mut Draft) {
    let predicate = given(connector, &format!("{key}.predicate")).unwrap_or_default();
    let class = given(connector, &format!("predicates.{predicate}.type")).unwrap_or_default();
    let text = match (simple(class), is_true(connector, &format!("{key}.negate"))) {
        ("RecordIsTombstone", false) => {
            "is not needed: a record without a value is a `tombstone`, which is not published and whose offset is accounted for"
        }
        ("TopicNameMatches", _) => "leave the topics that it drops out of [kafka] topics",
        _ => "has no counterpart; [pubsub] filter decides by the fields of the event",
    };
    note(draft, key, text);
}
