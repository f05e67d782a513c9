//! `views = { "/type" = "view" }`: all pairs must match, a list means any of.

use std::{collections::BTreeMap, fmt, str::FromStr};

use event::{pick::Value, pointer::Pointer};
use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};

/// A conjunction of terms. Without terms it matches nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// All of these must hold.
    pub terms: Vec<Term>,
}

/// One pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// Where to look.
    pub subject: Subject,
    /// The value must be one of these.
    pub any_of: Vec<Scalar>,
}

/// What a term looks at.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// The record's Kafka topic.
    Topic,
    /// A value of the event.
    At(Pointer),
}

/// A value in a configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Equals a JSON string.
    Text(String),
    /// Equals a JSON number of the same value.
    Number(f64),
    /// Equals a JSON boolean.
    Bool(bool),
}

impl Scalar {
    /// Whether an event's value is this one.
    pub fn is(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Text(expected), Value::Text(found)) => expected == found,
            (Self::Number(expected), Value::Number(found)) => found.parse() == Ok(*expected),
            (Self::Bool(expected), Value::Bool(found)) => expected == found,
            _ => false,
        }
    }
}

/// The section's raw form: pointers, or the word `topic`, to a value or a list of values.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct MatchSettings(BTreeMap<Key, OneOrMany>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key(Option<Pointer>);

#[derive(Clone, Debug)]
struct OneOrMany(Vec<Scalar>);

impl MatchSettings {
    /// The match, or nothing when it is empty.
    pub fn resolve(&self) -> Option<Match> {
        let terms = self.0.iter().map(|(key, values)| Term {
            subject: key.0.clone().map_or(Subject::Topic, Subject::At),
            any_of: values.0.clone(),
        });
        Some(Match { terms: terms.collect() }).filter(|m: &Match| !m.terms.is_empty())
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "topic" {
            return Ok(Self(None));
        }
        Pointer::from_str(&text).map(|p| Self(Some(p))).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarsVisitor)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let OneOrMany(mut scalars) = deserializer.deserialize_any(ScalarsVisitor)?;
        scalars.pop().filter(|_| scalars.is_empty()).ok_or_else(|| de::Error::custom("a list inside a list"))
    }
}

struct ScalarsVisitor;

impl<'de> Visitor<'de> for ScalarsVisitor {
    type Value = OneOrMany;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true, false, or a list of them")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
        Ok(OneOrMany(vec![Scalar::Text(text.to_owned())]))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<OneOrMany, E> {
        Ok(OneOrMany(vec![Scalar::Bool(value)]))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<OneOrMany, E> {
        Ok(OneOrMany(vec![Scalar::Number(value as f64)]))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<OneOrMany, E> {
        Ok(OneOrMany(vec![Scalar::Number(value as f64)]))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<OneOrMany, E> {
        Ok(OneOrMany(vec![Scalar::Number(value)]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMany, A::Error> {
        let mut scalars = Vec::new();
        while let Some(scalar) = list.next_element::<Scalar>()? {
            scalars.push(scalar);
        }
        if scalars.is_empty() {
            return Err(de::Error::custom("an empty list matches nothing; name at least one value"));
        }
        Ok(OneOrMany(scalars))
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, term) in self.terms.iter().enumerate() {
            let join = if n > 0 { " and " } else { "" };
            match &term.subject {
                Subject::Topic => write!(f, "{join}topic in {:?}", term.any_of)?,
                Subject::At(pointer) => write!(f, "{join}{pointer} in {:?}", term.any_of)?,
            }
        }
        Ok(())
    }
}
