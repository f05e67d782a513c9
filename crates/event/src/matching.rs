//! `views = { "/type" = "view" }`: all pairs must match, a list means any of.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};

use crate::{number::Decimal, pick::Value, pointer::Pointer};

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
    /// The values of which the subject must have one.
    pub any_of: AnyOf,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// Equals a JSON string.
    Text(String),
    /// Equals a JSON number of the same decimal value.
    Number(Decimal<'static>),
    /// Equals a JSON boolean.
    Bool(bool),
}

/// A list of values, to be looked up in a time that hardly depends on its length.
#[derive(Clone, PartialEq)]
pub struct AnyOf {
    /// As the file has them.
    written: Vec<Scalar>,
    /// In order.
    texts: Vec<String>,
    /// In order.
    numbers: Vec<Decimal<'static>>,
}

impl AnyOf {
    fn new(written: Vec<Scalar>) -> Self {
        let (mut texts, mut numbers) = (Vec::new(), Vec::new());
        for scalar in &written {
            match scalar {
                Scalar::Text(text) => texts.push(text.clone()),
                Scalar::Number(number) => numbers.push(number.clone()),
                Scalar::Bool(_) => {}
            }
        }
        texts.sort_unstable();
        numbers.sort_unstable();
        Self { written, texts, numbers }
    }

    /// The texts among the values, in order.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Whether an event's value is one of these.
    #[inline]
    pub fn contains(&self, value: &Value<'_>) -> bool {
        match value {
            Value::Text(text) => self.contains_text(text),
            Value::Number(number) if !self.numbers.is_empty() => Decimal::parse(number)
                .is_some_and(|number| self.numbers.binary_search_by(|known| known.cmp(&number)).is_ok()),
            Value::Bool(found) => self.written.contains(&Scalar::Bool(*found)),
            _ => false,
        }
    }

    /// Whether a text is one of these.
    #[inline]
    pub fn contains_text(&self, text: &str) -> bool {
        match &*self.texts {
            [] => false,
            [only] => only == text,
            texts => texts.binary_search_by(|known| known.as_str().cmp(text)).is_ok(),
        }
    }
}

impl fmt::Debug for AnyOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.written.fmt(f)
    }
}

/// The section's raw form: pointers, or the word `topic`, to a value or a list of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchSettings(BTreeMap<Key, OneOrMany>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key(Option<Pointer>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct OneOrMany(Vec<Scalar>);

impl MatchSettings {
    /// The match, or nothing when it is empty.
    pub fn resolve(&self) -> Option<Match> {
        let terms = self.0.iter().map(|(key, values)| Term {
            subject: key.0.clone().map_or(Subject::Topic, Subject::At),
            any_of: AnyOf::new(values.0.clone()),
        });
        Some(Match { terms: terms.collect() }).filter(|m: &Match| !m.terms.is_empty())
    }
}

impl<'de> Deserialize<'de> for MatchSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MatchVisitor;
        impl<'de> Visitor<'de> for MatchVisitor {
            type Value = MatchSettings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of conditions such as { \"/type\" = \"view\" }")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MatchSettings, A::Error> {
                let mut terms = BTreeMap::new();
                while let Some(key) = map.next_key::<Key>()? {
                    let values = map.next_value_seed(ScalarsOf(&key))?;
                    terms.insert(key, values);
                }
                Ok(MatchSettings(terms))
            }
        }
        deserializer.deserialize_map(MatchVisitor)
    }
}

/// Reads the values of a term.
struct ScalarsOf<'a>(&'a Key);

impl<'de> DeserializeSeed<'de> for ScalarsOf<'_> {
    type Value = OneOrMany;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<OneOrMany, D::Error> {
        let values = OneOrMany::deserialize(deserializer)?;
        let is_text = |scalar: &Scalar| matches!(scalar, Scalar::Text(_));
        if self.0.0.is_none() && !values.0.iter().all(is_text) {
            return Err(de::Error::custom("expected the name of a topic in quotes"));
        }
        Ok(values)
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
        deserializer.deserialize_any(ScalarsVisitor { may_be_list: true })
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let OneOrMany(mut scalars) = deserializer.deserialize_any(ScalarsVisitor { may_be_list: false })?;
        scalars.pop().filter(|_| scalars.is_empty()).ok_or_else(|| de::Error::custom("a list inside a list"))
    }
}

struct ScalarsVisitor {
    may_be_list: bool,
}

impl<'de> Visitor<'de> for ScalarsVisitor {
    type Value = OneOrMany;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a number, true, false, or a list of them")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
        Ok(OneOrMany(vec![Scalar::Text(text.to_owned())]))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<OneOrMany, E> {
        Ok(OneOrMany(vec![Scalar::Bool(value)]))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<OneOrMany, E> {
        Ok(OneOrMany(vec![Scalar::Number(Decimal::from(value))]))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<OneOrMany, E> {
        let number = Decimal::parse(&value.to_string()).map(Decimal::into_owned);
        number
            .map(|number| OneOrMany(vec![Scalar::Number(number)]))
            .ok_or_else(|| E::custom("invalid number"))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<OneOrMany, E> {
        let number = Decimal::from_double(value);
        number
            .map(|number| OneOrMany(vec![Scalar::Number(number)]))
            .ok_or_else(|| E::custom("infinity and NaN equal no JSON number; write a finite number"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMany, A::Error> {
        if !self.may_be_list {
            return Err(de::Error::custom("a list inside a list; write one list of values"));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn any_of(json: &str) -> AnyOf {
        AnyOf::new(serde_json::from_str::<OneOrMany>(json).expect("a scalar or a list of them").0)
    }

    #[test]
    fn numbers_are_equal_when_their_decimal_values_are() {
        let large = any_of("1234567890123456789");
        for (number, expect) in [
            ("1234567890123456789", true),
            ("1234567890123456789.0", true),
            ("1234567890123456790", false),
            ("1234567890123456700", false),
        ] {
            assert_eq!(large.contains(&Value::Number(number)), expect, "{number}");
        }
        let list = any_of(r#"[0.1, 5, "a", true, -2]"#);
        for (value, expect) in [
            (Value::Number("1e-1"), true),
            (Value::Number("0.10000000000000001"), false),
            (Value::Number("5.00"), true),
            (Value::Number("-2"), true),
            (Value::Number("2"), false),
            (Value::Text("a".into()), true),
            (Value::Text("5".into()), false),
            (Value::Bool(true), true),
            (Value::Bool(false), false),
            (Value::Null, false),
            (Value::Array, false),
        ] {
            assert_eq!(list.contains(&value), expect, "{value:?}");
        }
    }

    /// The fingerprints of flows in existing states hold this text.
    #[test]
    fn values_print_as_in_existing_states() {
        assert_eq!(
            format!("{:?}", any_of(r#"[1, "a", false, 0.5]"#)),
            r#"[Number(1.0), Text("a"), Bool(false), Number(0.5)]"#
        );
    }
}
