//! The three predicates: which records a transform is for.

use super::{JavaRegex, Options};
use crate::{
    data::Record,
    define::{Importance, Key, Kind},
};

/// A kind of predicate.
pub struct Plugin {
    /// The name of its class.
    pub class: &'static str,
    /// Its keys, without the prefix.
    pub keys: fn() -> Vec<Key>,
    /// Creates one from valid keys.
    ///
    /// # Errors
    /// The key without its prefix, and what is wrong with its value.
    pub build: fn(&Options<'_>) -> Result<Predicate, (&'static str, String)>,
}

/// Whether a record is meant.
#[derive(Clone, Debug)]
pub enum Predicate {
    /// The whole name of the topic matches.
    TopicNameMatches(TopicPattern),
    /// It has a header of this name.
    HasHeaderKey(String),
    /// Its value is null.
    RecordIsTombstone,
}

/// The names of topics.
#[derive(Clone, Debug)]
pub struct TopicPattern(JavaRegex);

/// Every predicate.
pub const PLUGINS: &[Plugin] = &[
    Plugin {
        class: "org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
        keys: || {
            let pattern = Key::new("pattern", Kind::String)
                .not_empty()
                .custom(|text| JavaRegex::new(text).map(drop))
                .importance(Importance::Medium);
            vec![pattern.doc("The expression that the whole name of the topic must match.")]
        },
        build: |options| {
            let pattern = JavaRegex::new(options.text("pattern").unwrap_or_default());
            let pattern = pattern.map_err(|problem| ("pattern", problem))?;
            Ok(Predicate::TopicNameMatches(TopicPattern(pattern)))
        },
    },
    Plugin {
        class: "org.apache.kafka.connect.transforms.predicates.HasHeaderKey",
        keys: || {
            let name = Key::new("name", Kind::String).not_empty().importance(Importance::Medium);
            vec![name.doc("The name of the header.")]
        },
        build: |options| Ok(Predicate::HasHeaderKey(options.text("name").unwrap_or_default().to_owned())),
    },
    Plugin {
        class: "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone",
        keys: Vec::new,
        build: |_| Ok(Predicate::RecordIsTombstone),
    },
];

/// The predicate of a class, by its full or its simple name.
pub fn find(class: &str) -> Option<&'static Plugin> {
    PLUGINS.iter().find(|plugin| plugin.class == class || crate::converters::simple(plugin.class) == class)
}

impl Predicate {
    /// Whether the record is meant.
    pub fn holds(&self, record: &Record<'_>) -> bool {
        match self {
            Self::TopicNameMatches(TopicPattern(regex)) => regex.matches(&record.topic),
            Self::HasHeaderKey(name) => record.headers.iter().any(|(header, _)| header == name),
            Self::RecordIsTombstone => record.value.value.is_null(),
        }
    }

    /// Whether it reads headers.
    pub fn needs_headers(&self) -> bool {
        matches!(self, Self::HasHeaderKey(_))
    }
}
