//! `aqueduct.Pseudonymise`: the rules of `[anonymise]` in a chain of transforms.
//!
//! The value is one JSON object: without a schema, or as the bytes or the text of a converter that does not parse it.
//! Bytes are the fastest, because they are read once and not written again.

use std::borrow::Cow;

use connector::anonymise::{AnonymiseSettings, Anonymiser, Raw};
use event::EventsSettings;
use serde::Deserialize as _;

use super::{Built, Options, Plugin, Transform, Verdict, hash::keyring};
use crate::{
    converters::object_of,
    data::{DataError, Datum, Member, Record, Value, write_json},
    define::{Importance, Key, Kind},
};

const STEP: &str = "aqueduct.Pseudonymise";

pub(super) const PLUGIN: Plugin = Plugin {
    class: "aqueduct.Pseudonymise",
    has_parts: false,
    keys: || {
        let list = |name: &'static str, doc: &'static str| {
            Key::new(name, Kind::List).with_default("").importance(Importance::Medium).doc(doc)
        };
        vec![
            list(
                "pseudonymise",
                "JSON pointers to texts and numbers that are replaced with their pseudonym.",
            ),
            list("remove", "JSON pointers to values that are removed."),
            list("strip_query", "JSON pointers to URLs whose query is removed."),
            Key::new("forward", Kind::List)
                .not_empty()
                .importance(Importance::High)
                .doc("JSON pointers to what may pass, or `all`."),
            Key::new("time", Kind::String)
                .optional()
                .importance(Importance::Low)
                .doc("JSON pointer to the event's time. Required if the keyring has several keys."),
        ]
    },
    build,
    protects: |options| {
        ["pseudonymise", "remove"].iter().any(|key| !options.list(key).is_empty())
            || options.list("forward").iter().all(|pointer| pointer != "all" && pointer != "/*")
    },
};

struct Pseudonymise {
    anonymiser: Anonymiser,
    json: Vec<u8>,
}

fn build(options: &Options<'_>) -> Built {
    let array =
        |key: &str| toml::Value::Array(options.list(key).into_iter().map(toml::Value::String).collect());
    let forward = options.list("forward");
    let mut table = toml::Table::new();
    for key in ["pseudonymise", "remove", "strip_query"] {
        table.insert(key.to_owned(), array(key));
    }
    let forward = if forward == ["all"] { toml::Value::String("all".to_owned()) } else { array("forward") };
    table.insert("forward".to_owned(), forward);
    let settings = AnonymiseSettings::deserialize(table).map_err(|error| ("forward", error.to_string()))?;
    let events = match options.text("time").filter(|time| !time.is_empty()) {
        None => None,
        Some(time) => {
            let table = toml::Table::from_iter([("time".to_owned(), toml::Value::String(time.to_owned()))]);
            Some(EventsSettings::deserialize(table).map_err(|error| ("time", error.to_string()))?)
        }
    };
    let keyring = match settings.needs_keyring() {
        true => Some(keyring(options).map_err(|problem| ("pseudonymise", problem))?),
        false => None,
    };
    let anonymiser = Anonymiser::new(&settings, events.as_ref(), keyring);
    let anonymiser = anonymiser.map_err(|error| ("pseudonymise", error.to_string()))?;
    Ok(Box::new(Pseudonymise { anonymiser, json: Vec::new() }))
}

impl Transform for Pseudonymise {
    fn apply(&mut self, record: &mut Record<'_>) -> Result<Verdict, DataError> {
        let topic = record.topic.clone();
        let Datum { schema, value } = &mut record.value;
        *value = match value {
            Value::Bytes(bytes) => Value::Bytes(Cow::Owned(self.anonymised(&topic, bytes)?)),
            Value::Text(text) => {
                let json = self.anonymised(&topic, text.as_bytes())?;
                let text = String::from_utf8(json).map_err(|_| DataError::new(STEP, "invalid UTF-8"))?;
                Value::Text(Cow::Owned(text))
            }
            Value::Object(_) => {
                let mut json = std::mem::take(&mut self.json);
                json.clear();
                write_json(value, schema.as_deref(), &mut json);
                let anonymised = self.anonymised(&topic, &json);
                self.json = json;
                let text =
                    String::from_utf8(anonymised?).map_err(|_| DataError::new(STEP, "invalid UTF-8"))?;
                let members = object_of(&text).ok_or_else(|| DataError::new(STEP, "not an object"))?;
                Value::Object(members.into_iter().map(Member::into_owned).collect())
            }
            other => {
                let found = other.type_name();
                return Err(DataError::new(STEP, format!("expected a JSON object and found {found}")));
            }
        };
        Ok(Verdict::Keep)
    }
}

impl Pseudonymise {
    fn anonymised(&mut self, topic: &str, value: &[u8]) -> Result<Vec<u8>, DataError> {
        let raw = Raw { topic, value: Some(value), key: None, headers: &[] };
        let anonymised = self.anonymiser.anonymise(&raw);
        let anonymised = anonymised.map_err(|reject| DataError::new(STEP, reject.code.as_str()))?;
        Ok(anonymised.data().to_vec())
    }
}
