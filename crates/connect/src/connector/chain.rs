//! The transforms and predicates of a connector.

use super::keys;
use crate::{
    converters::simple,
    data::Record,
    define::{Config, Importance, Key, Kind, Values},
    transforms::{self, Options, Part, Transform, predicates},
};

/// A transform, and the records that it is for.
pub struct Step {
    /// The transform.
    pub transform: Box<dyn Transform>,
    /// Its name, for errors.
    pub alias: String,
    /// Whether it changes keys only.
    pub is_for_keys: bool,
    /// Which records, and whether all others are meant.
    predicate: Option<(predicates::Predicate, bool)>,
}

impl Step {
    /// Whether it is for this record.
    pub fn is_for(&self, record: &Record<'_>) -> bool {
        self.predicate.as_ref().is_none_or(|(predicate, is_negated)| predicate.holds(record) != *is_negated)
    }

    /// Whether it reads headers.
    pub fn needs_headers(&self) -> bool {
        self.predicate.as_ref().is_some_and(|(predicate, _)| predicate.needs_headers())
    }
}

/// Adds the keys of all transforms and predicates.
pub(super) fn add(values: &mut Values, config: &Config, groups: &mut Vec<String>) {
    for alias in aliases(values, "transforms") {
        let prefix = format!("transforms.{alias}.");
        let group = format!("Transforms: {alias}");
        let class = class_key(&prefix, &group, "transformation");
        let given = config.get(&format!("{prefix}type")).cloned();
        values.add(&[class, keys::plugin_version(&group, given.as_ref())], config, &prefix);
        if let Some(class) = &given {
            match transforms::find(class) {
                Some(found) => values.add(&in_group((found.plugin.keys)(), &group), config, &prefix),
                None => invalid_class(values, &format!("{prefix}type"), class, &transforms::refusal(class)),
            }
        }
        let predicate = Key::new("predicate", Kind::String).with_default("").group(
            group.clone(),
            100,
            "MEDIUM",
            "Predicate",
        );
        let negate = Key::new("negate", Kind::Boolean).with_default("false").group(
            group.clone(),
            101,
            "MEDIUM",
            "Negate",
        );
        let doc = "Name of the predicate that decides for which records the transform is.";
        let keys = [predicate.doc(doc), negate.doc("Whether it is for all other records.")];
        values.add(&keys.map(|key| key.importance(Importance::Medium)), config, &prefix);
        groups.push(group);
    }
    for alias in aliases(values, "predicates") {
        let prefix = format!("predicates.{alias}.");
        let group = format!("Predicates: {alias}");
        let class = class_key(&prefix, &group, "predicate");
        let given = config.get(&format!("{prefix}type")).cloned();
        values.add(&[class, keys::plugin_version(&group, given.as_ref())], config, &prefix);
        if let Some(class) = given {
            match predicates::find(&class) {
                Some(found) => values.add(&in_group((found.keys)(), &group), config, &prefix),
                None => {
                    let problem = format!(
                        "Class {class} could not be found; supported are TopicNameMatches, HasHeaderKey, RecordIsTombstone"
                    );
                    invalid_class(values, &format!("{prefix}type"), &class, &problem);
                }
            }
        }
        groups.push(group);
    }
    let known = aliases(values, "predicates");
    for alias in aliases(values, "transforms") {
        let key = format!("transforms.{alias}.predicate");
        let name = values.text(&key).unwrap_or_default().to_owned();
        if !name.is_empty() && !known.contains(&name) {
            values.note(&key, format!("Invalid value {name} for configuration {key}: there is no such predicate; add it to predicates"));
        }
    }
}

/// The names in a list, each once.
pub(super) fn aliases(values: &Values, key: &str) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    values.list(key).into_iter().filter(|alias| !alias.is_empty() && seen.insert(alias.clone())).collect()
}

fn invalid_class(values: &mut Values, key: &str, class: &str, problem: &str) {
    values.note(key, format!("Invalid value {class} for configuration {key}: {problem}"));
}

/// The key `type`. Kafka's message for a missing one has the whole name, so it is added with it.
fn class_key(prefix: &str, group: &str, what: &str) -> Key {
    let key = Key::new("type", Kind::Class).importance(Importance::High).shown_as(format!("{prefix}type"));
    key.group(group.to_owned(), 0, "LONG", "Class").doc(format!("Class of the {what}."))
}

fn in_group(keys: Vec<Key>, group: &str) -> Vec<Key> {
    let place = |(order, key): (usize, Key)| {
        let title = key.display_name.clone();
        key.group(group.to_owned(), order as i32 + 1, "NONE", title)
    };
    keys.into_iter().enumerate().map(place).collect()
}

/// Creates every transform once, so that what only its code finds is an error of the configuration.
pub(super) fn try_to_build(values: &mut Values) {
    if let Err((key, problem)) = build(values) {
        values.note(&key, problem);
    }
}

/// Whether a transform is for every record with a value: without a predicate, or for all but tombstones.
pub(super) fn is_for_every_value(values: &Values, alias: &str) -> bool {
    let name = values.text(&format!("transforms.{alias}.predicate")).unwrap_or_default();
    let class = values.text(&format!("predicates.{name}.type")).unwrap_or_default();
    let is_negated = values.is_true(&format!("transforms.{alias}.negate"));
    name.is_empty() || (simple(class) == "RecordIsTombstone" && is_negated)
}

/// The options of a transform.
pub(super) fn options<'v>(values: &'v Values, alias: &str, part: Part) -> Options<'v> {
    Options {
        values,
        prefix: format!("transforms.{alias}."),
        part,
        keyring: values.text("aqueduct.keyring"),
        is_hmac: values.text("aqueduct.hash") == Some("hmac"),
    }
}

/// The transforms in their order. The error has the key.
pub(super) fn build(values: &Values) -> Result<Vec<Step>, (String, String)> {
    aliases(values, "transforms").into_iter().map(|alias| step(values, alias)).collect()
}

fn step(values: &Values, alias: String) -> Result<Step, (String, String)> {
    let prefix = format!("transforms.{alias}.");
    let class = values.text(&format!("{prefix}type")).unwrap_or_default();
    let found =
        transforms::find(class).ok_or_else(|| (format!("{prefix}type"), transforms::refusal(class)))?;
    let options = options(values, &alias, found.part);
    let transform =
        (found.plugin.build)(&options).map_err(|(key, problem)| (format!("{prefix}{key}"), problem))?;
    let name = values.text(&format!("{prefix}predicate")).unwrap_or_default();
    let predicate = match name.is_empty() {
        true => None,
        false => Some((predicate(values, name)?, values.is_true(&format!("{prefix}negate")))),
    };
    if predicate.is_none() && values.is_true(&format!("{prefix}negate")) {
        let problem = "negate=true needs a predicate; set one, or remove it";
        return Err((format!("{prefix}negate"), problem.to_owned()));
    }
    if predicate.is_none() && simple(found.plugin.class) == "Filter" {
        let problem = "Filter without a predicate drops every record; set a predicate";
        return Err((format!("{prefix}predicate"), problem.to_owned()));
    }
    let is_for_keys = found.plugin.has_parts && found.part == Part::Key;
    Ok(Step { transform, alias, is_for_keys, predicate })
}

fn predicate(values: &Values, alias: &str) -> Result<predicates::Predicate, (String, String)> {
    let prefix = format!("predicates.{alias}.");
    let class = values.text(&format!("{prefix}type")).unwrap_or_default();
    let unknown = || (format!("{prefix}type"), format!("Class {class} could not be found"));
    let found = predicates::find(class).ok_or_else(unknown)?;
    let options =
        Options { values, prefix: prefix.clone(), part: Part::Value, keyring: None, is_hmac: false };
    (found.build)(&options).map_err(|(key, problem)| (format!("{prefix}{key}"), problem))
}
