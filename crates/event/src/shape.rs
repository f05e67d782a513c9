//! Settings that have an order, or one of two shapes: a table as pairs, and a string or another value.
//!
//! `expected` follows "expected" in an error, as in `a table of columns such as { page = "/page" }`.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{
        self, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};

/// Reads a table as pairs, in the order of the file.
///
/// # Errors
/// It is not a table, or a key or value is invalid.
pub fn pairs<'de, D, K, V>(deserializer: D, expected: &'static str) -> Result<Vec<(K, V)>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de>,
    V: Deserialize<'de>,
{
    deserializer.deserialize_map(Pairs { expected, pairs: PhantomData })
}

/// Reads a string with `text`, or a list or table as a `V`, of which `other` makes the value.
///
/// # Errors
/// It is none of these, or invalid.
pub fn text_or<'de, D, T, V>(
    deserializer: D,
    expected: &'static str,
    text: fn(&str) -> Result<T, String>,
    other: fn(V) -> T,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    deserializer.deserialize_any(TextOr { expected, text, other })
}

struct Pairs<K, V> {
    expected: &'static str,
    pairs: PhantomData<(K, V)>,
}

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for Pairs<K, V> {
    type Value = Vec<(K, V)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}

struct TextOr<T, V> {
    expected: &'static str,
    text: fn(&str) -> Result<T, String>,
    other: fn(V) -> T,
}

impl<'de, T, V: Deserialize<'de>> Visitor<'de> for TextOr<T, V> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.text)(text).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        V::deserialize(SeqAccessDeserializer::new(list)).map(self.other)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        V::deserialize(MapAccessDeserializer::new(map)).map(self.other)
    }
}
