//! Transforms: each is one file with a [`Plugin`], and one line in [`PLUGINS`].
//!
//! A transform does to a record what the class of its name does. `tests/connect` compares them with Kafka's own.

mod extract_field;
mod extract_new_record_state;
mod field_path;
mod filter;
mod hash;
mod insert_field;
mod java_regex;
mod mask_field;
pub mod predicates;
mod pseudonymise;
mod regex_router;
mod replace_field;
mod tombstone_handler;
mod updates;

use std::fmt;

use crate::{
    data::{DataError, Datum, Record},
    define::{Importance, Key, Kind, Values},
};

pub(crate) use hash::keyring;
pub(crate) use java_regex::JavaRegex;

/// Changes a record on its way to the sink, on one thread.
pub trait Transform: Send {
    /// Changes the record.
    ///
    /// # Errors
    /// If the record is not what the transform expects. The error has no content of the record.
    fn apply(&mut self, record: &mut Record<'_>) -> Result<Verdict, DataError>;
}

/// Whether a record is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is passed on.
    Keep,
    /// It ends here, as configured.
    Drop,
}

/// The part of a record that a transform changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The key.
    Key,
    /// The value.
    Value,
}

/// A kind of transform.
pub struct Plugin {
    /// The name of its class, without `$Key` or `$Value`.
    pub class: &'static str,
    /// Whether there is a class for keys and one for values.
    pub has_parts: bool,
    /// Its keys, without the prefix.
    pub keys: fn() -> Vec<Key>,
    /// Creates one from valid keys.
    ///
    /// # Errors
    /// The key without its prefix, and what is wrong with its value.
    pub build: fn(&Options<'_>) -> Built,
    /// Whether it removes or replaces data in the part that it changes, with these keys.
    pub protects: fn(&Options<'_>) -> bool,
}

/// What [`Plugin::build`] returns.
pub type Built = Result<Box<dyn Transform>, (&'static str, String)>;

/// Every transform.
pub const PLUGINS: &[Plugin] = &[
    mask_field::PLUGIN,
    replace_field::PLUGIN,
    extract_field::PLUGIN,
    insert_field::PLUGIN,
    regex_router::PLUGIN,
    filter::PLUGIN,
    hash::PLUGIN,
    tombstone_handler::PLUGIN,
    extract_new_record_state::PLUGIN,
    pseudonymise::PLUGIN,
];

/// Keys that a connector must not use for a transform that is not here, and what to use instead.
const INSTEAD: [(&str, &str); 8] = [
    ("TimestampConverter", "leave the time as it is, and convert it where it is read"),
    ("Flatten", "use the JsonConverter with schemas.enable=false: nested values are published as JSON"),
    ("Cast", "leave the value as it is, and convert it where it is read"),
    ("HoistField", "leave the value as it is"),
    ("ValueToKey", "use aqueduct.key=pseudonymise if the key is needed"),
    ("TimestampRouter", "use metadata.publish=true: the attribute kafka.timestamp has the time"),
    ("HeaderFrom", "leave the field in the value"),
    ("FilterByFieldValue", "use `aqueduct connector` with pubsub.filter"),
];

/// The configuration of one transform.
pub struct Options<'v> {
    /// The values of all keys of the connector.
    pub values: &'v Values,
    /// The prefix of the transform's keys: `transforms.mask.`.
    pub prefix: String,
    /// What it changes.
    pub part: Part,
    /// `aqueduct.hash=hmac` or `aqueduct.key=pseudonymise`, and the transform of our own: where the secrets are.
    pub keyring: Option<&'v str>,
    /// Whether hashes need a secret.
    pub is_hmac: bool,
}

/// A class with the part that it changes.
pub struct Found {
    /// Its kind.
    pub plugin: &'static Plugin,
    /// The part.
    pub part: Part,
}

impl Options<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A text; `None` if it is null.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.text(&self.key(name))
    }

    /// A boolean.
    pub fn is_true(&self, name: &str) -> bool {
        self.values.is_true(&self.key(name))
    }

    /// A list.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.values.list(&self.key(name))
    }
}

impl Part {
    fn of<'r, 'a>(self, record: &'r mut Record<'a>) -> &'r mut Datum<'a> {
        match self {
            Self::Key => &mut record.key,
            Self::Value => &mut record.value,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Value => "value",
        })
    }
}

/// The transform of a class, by its full or its simple name.
pub fn find(class: &str) -> Option<Found> {
    let (base, part) = match class.rsplit_once('$') {
        Some((base, "Key")) => (base, Some(Part::Key)),
        Some((base, "Value")) => (base, Some(Part::Value)),
        Some(_) => return None,
        None => (class, None),
    };
    let is_it = |plugin: &&Plugin| {
        (plugin.class == base || crate::converters::simple(plugin.class) == base)
            && plugin.has_parts == part.is_some()
    };
    PLUGINS.iter().find(is_it).map(|plugin| Found { plugin, part: part.unwrap_or(Part::Value) })
}

/// The transform of this simple name, without its part.
pub(crate) fn named(simple: &str) -> Option<&'static Plugin> {
    PLUGINS.iter().find(|plugin| plugin.class == simple || crate::converters::simple(plugin.class) == simple)
}

/// The names of the classes of a kind.
pub fn classes(plugin: &Plugin) -> Vec<String> {
    match plugin.has_parts {
        true => ["Key", "Value"].map(|part| format!("{}${part}", plugin.class)).into(),
        false => vec![plugin.class.to_owned()],
    }
}

/// Why a class is refused, with what to write instead.
pub fn refusal(class: &str) -> String {
    let simple = crate::converters::simple(class);
    let base = simple.split_once('$').map_or(simple, |(base, _)| base);
    let known: Vec<&str> = PLUGINS.iter().map(|plugin| crate::converters::simple(plugin.class)).collect();
    match INSTEAD.iter().find(|(name, _)| *name == base) {
        Some((_, instead)) => format!("Class {class} is not supported here; {instead}"),
        None => format!("Class {class} could not be found; supported are {}", known.join(", ")),
    }
}

/// The key of Kafka's transforms that read fields.
fn replace_null_with_default() -> Key {
    Key::new("replace.null.with.default", Kind::Boolean)
        .with_default("true")
        .importance(Importance::Medium)
        .doc("Whether a null field with a default is read as its default.")
}

fn no_protection(_: &Options<'_>) -> bool {
    false
}
