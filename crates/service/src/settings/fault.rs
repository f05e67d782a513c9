//! An error in a value while it is being read: collects the key on the way up, and keeps secrets out of the message.
//!
//! A value that was expanded from `${...}` is never quoted. If a type rejected the value itself, its message is
//! omitted; if the message is about an enclosing value, the secret is blotted out.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::{
    expand::{Context, is_template},
    key::{Key, Segment},
    tree::{Entry, Node, Origin, Value},
};

/// A serde error with its place.
#[derive(Debug)]
pub(crate) struct Fault {
    /// From the innermost segment outwards.
    path: Vec<Segment>,
    origin: Option<Origin>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    UnknownKey {
        key: String,
        known: &'static [&'static str],
    },
    MissingKey(&'static str),
    UnknownName {
        name: String,
        known: &'static [&'static str],
    },
    /// A message of serde or of a type, which may quote the value.
    Foreign(String),
    /// A message of our own, which quotes nothing.
    Own(String),
}

impl Fault {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self::of(Kind::Own(problem.into()))
    }

    fn of(kind: Kind) -> Self {
        Self { path: Vec::new(), origin: None, kind }
    }

    /// The error occurred while `node` was read: records its place, unless an inner one is known.
    pub(crate) fn within(mut self, node: &Node, context: &Context) -> Self {
        if self.origin.is_none() {
            self.origin = Some(self.kind.origin(node));
            self.kind = self.kind.without_secrets(node, context);
        }
        self
    }

    /// The key of an entry is invalid. That it is unknown is reported by the enclosing table.
    pub(crate) fn at_key(mut self, entry: &Entry) -> Self {
        if !matches!(self.kind, Kind::UnknownKey { .. }) {
            self.origin = Some(entry.origin.clone());
            self.path.push(Segment::Key(entry.key.clone()));
        }
        self
    }

    /// The node is at `segment` of the enclosing value.
    pub(crate) fn below(mut self, segment: Segment) -> Self {
        self.path.push(segment);
        self
    }

    /// The path of the value to omit, so that the values beside it can be read.
    pub(crate) fn rejected(&self) -> Vec<Segment> {
        let unknown = match &self.kind {
            Kind::UnknownKey { key, .. } => Some(Segment::Key(key.clone())),
            _ => None,
        };
        self.path.iter().rev().cloned().chain(unknown).collect()
    }

    /// Whether this is no consequence of values that were omitted: a table is incomplete, or rejected by its type, only
    /// because they are missing.
    pub(crate) fn is_independent(&self, rest: &Node) -> bool {
        let at = |path: &[Segment]| rest.at(path);
        match &self.kind {
            Kind::UnknownKey { .. } => true,
            Kind::MissingKey(name) => {
                let mut path = self.rejected();
                path.push(Segment::Key((*name).to_owned()));
                at(&path).is_none()
            }
            _ => !at(&self.rejected()).is_some_and(Node::has_omitted),
        }
    }

    /// Whether a key is only missing because `other` found it under a name with a typing error.
    pub(crate) fn follows_from(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::MissingKey(missing), Kind::UnknownKey { key, known }) => {
                self.path == other.path && nearest(key, known) == Some(missing)
            }
            _ => false,
        }
    }

    /// The place, and a message with the full key.
    pub(crate) fn explain(self, section: &str) -> (Origin, String) {
        let mut key = Key(vec![Segment::Key(section.to_owned())]);
        key.0.extend(self.path.into_iter().rev());
        let problem = match self.kind {
            Kind::UnknownKey { key: name, known } => {
                let hint = hint(&name, known, "keys");
                key.0.push(Segment::Key(name));
                format!("unknown key {key}; {hint}")
            }
            Kind::MissingKey(name) => {
                key.0.push(Segment::Key(name.to_owned()));
                format!("missing key {key}")
            }
            Kind::UnknownName { name, known } => {
                format!("{key}: unknown value {name:?}; {}", hint(&name, known, "values"))
            }
            Kind::Foreign(message) | Kind::Own(message) => format!("{key}: {message}"),
        };
        (self.origin.unwrap_or(Origin::File), problem)
    }
}

impl Kind {
    fn origin(&self, node: &Node) -> Origin {
        match (self, &node.value) {
            (Self::UnknownKey { key, .. }, Value::Table(table)) => {
                table.get(key).map_or_else(|| node.origin.clone(), |entry| entry.origin.clone())
            }
            _ => node.origin.clone(),
        }
    }

    fn without_secrets(self, node: &Node, context: &Context) -> Self {
        if matches!(self, Self::Own(_) | Self::UnknownKey { .. } | Self::MissingKey(_)) {
            return self;
        }
        if let Value::Text(text) | Value::Untyped(text) = &node.value
            && is_template(text)
        {
            return Self::Own("invalid value (from ${...}, not shown)".to_owned());
        }
        let mut secrets = Vec::new();
        collect_secrets(node, context, &mut secrets);
        match self {
            Self::Foreign(message) => Self::Foreign(blot(message, &secrets)),
            Self::UnknownName { name, known } => Self::UnknownName { name: blot(name, &secrets), known },
            other => other,
        }
    }
}

fn collect_secrets(node: &Node, context: &Context, secrets: &mut Vec<String>) {
    match &node.value {
        Value::Text(text) | Value::Untyped(text) if is_template(text) => secrets.extend(context.expand(text)),
        Value::List(items) => items.iter().for_each(|item| collect_secrets(item, context, secrets)),
        Value::Table(table) => {
            table.entries.iter().for_each(|entry| collect_secrets(&entry.node, context, secrets));
        }
        _ => {}
    }
}

/// The message without any of these texts, plain or quoted.
fn blot(message: String, secrets: &[String]) -> String {
    let mut message = message;
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        let quoted = format!("{secret:?}");
        message = message.replace(quoted.trim_matches('"'), "***").replace(secret.as_str(), "***");
    }
    message
}

/// Names that an error lists.
const LISTED: usize = 20;

/// The most similar known name, or the known names; for the end of an error about an unknown one.
pub fn hint(name: &str, known: &[&str], what: &str) -> String {
    if let Some(nearest) = nearest(name, known) {
        return format!("did you mean {nearest}?");
    }
    match known {
        [] => format!("no {what} are allowed here"),
        _ if known.len() > LISTED => {
            let listed = known[..LISTED].join(", ");
            format!("known {what}: {listed} and {} more", known.len() - LISTED)
        }
        _ => format!("known {what}: {}", known.join(", ")),
    }
}

/// The known name that is similar enough to be meant.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase().replace('-', "_");
    let allowed = (name.chars().count() / 3).max(1);
    let distances = known.iter().map(|other| (strsim::damerau_levenshtein(&name, other), *other));
    let (distance, closest) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= allowed).then_some(closest)
}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::of(Kind::Foreign(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {}, found {}", wanted(expected), kind_of(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::of(Kind::Foreign(match found {
            Unexpected::Signed(_) | Unexpected::Unsigned(_) | Unexpected::Float(_) => {
                format!("expected {}, found {}", wanted(expected), number(found))
            }
            _ => format!("expected {}, found {}", wanted(expected), kind_of(found)),
        }))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::of(Kind::UnknownKey { key: field.to_owned(), known: expected })
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::of(Kind::UnknownName { name: variant.to_owned(), known: expected })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::of(Kind::MissingKey(field))
    }
}

/// A number, as it is written in the file.
fn number(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Signed(number) => number.to_string(),
        Unexpected::Unsigned(number) => number.to_string(),
        Unexpected::Float(number) => number.to_string(),
        other => kind_of(other).to_owned(),
    }
}

/// The type that was found, without its value.
fn kind_of(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
        Unexpected::Float(_) => "a fraction",
        Unexpected::Char(_) | Unexpected::Str(_) => "a string",
        Unexpected::Bytes(_) => "a date or time without quotes; write it in quotes",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a table",
        _ => "another type",
    }
}

/// The type that serde expected, in the terms of TOML.
fn wanted(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "a sequence" => "a list".to_owned(),
        "a map" => "a table".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "u8" => format!("an integer from 0 to {}", u8::MAX),
        "u16" => format!("an integer from 0 to {}", u16::MAX),
        "u32" => format!("an integer from 0 to {}", u32::MAX),
        "u64" | "usize" => "an integer of at least 0".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "an integer".to_owned(),
        _ if text.starts_with("struct ") || text.contains("tagged enum") => "a table".to_owned(),
        _ if text.starts_with("a nonzero u") => "an integer of at least 1".to_owned(),
        _ if text.starts_with("a nonzero ") => "an integer other than 0".to_owned(),
        _ => text,
    }
}

impl fmt::Display for Fault {
    /// Only for code that wraps one serde error in another.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::UnknownKey { key, .. } => write!(f, "unknown key {key}"),
            Kind::MissingKey(key) => write!(f, "missing key {key}"),
            Kind::UnknownName { .. } => f.write_str("unknown value"),
            Kind::Foreign(message) | Kind::Own(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Fault {}
