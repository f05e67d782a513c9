//! The values of a row's `by` columns as one text, which is compared, hashed and cloned as a whole.
//!
//! Each value is its length followed by its characters; NULL is a length of its own. Two keys are the same text exactly
//! if their values are equal, so a lookup compares bytes. The names of the columns are in the flow.

use std::{cmp::Ordering, fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeSeq as _};

/// The values of a flow's `by` columns, in the order of its columns; `None` is NULL. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key(Arc<str>);

/// The values of a [`Key`].
#[derive(Clone, Debug)]
pub struct Values<'a>(&'a str);

/// Lengths are written in digits of six bits, the lowest first, so that they stay ASCII and the result stays valid
/// UTF-8.
const DIGIT: u32 = 6;
/// Set in every digit except the last.
const MORE: u8 = 1 << DIGIT;

impl Key {
    /// The key that [`push`] wrote.
    pub fn from_pushed(text: &str) -> Self {
        Self(text.into())
    }

    /// The text as [`push`] writes it.
    pub fn as_pushed(&self) -> &str {
        &self.0
    }

    /// The values, in the order of the columns.
    pub fn iter(&self) -> Values<'_> {
        Values(&self.0)
    }

    /// The value of a column.
    pub fn get(&self, column: usize) -> Option<&str> {
        self.iter().nth(column).flatten()
    }
}

/// Appends one value to a key that is being built.
#[inline]
pub fn push(value: Option<&str>, key: &mut String) {
    let mut rest = value.map_or(0, |text| text.len() + 1);
    while rest >= usize::from(MORE) {
        key.push(char::from(rest as u8 & (MORE - 1) | MORE));
        rest >>= DIGIT;
    }
    key.push(char::from(rest as u8));
    key.push_str(value.unwrap_or_default());
}

impl<'a> Iterator for Values<'a> {
    type Item = Option<&'a str>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut length, mut shift) = (0, 0);
        loop {
            let (digit, rest) = self.0.split_at_checked(1)?;
            let digit = digit.as_bytes()[0];
            self.0 = rest;
            length |= usize::from(digit & (MORE - 1)) << shift;
            shift += DIGIT;
            if digit < MORE {
                break;
            }
        }
        if length == 0 {
            return Some(None);
        }
        let (value, rest) = self.0.split_at_checked(length - 1)?;
        self.0 = rest;
        Some(Some(value))
    }
}

impl<T: AsRef<str>> FromIterator<Option<T>> for Key {
    fn from_iter<I: IntoIterator<Item = Option<T>>>(values: I) -> Self {
        let mut text = String::new();
        for value in values {
            push(value.as_ref().map(AsRef::as_ref), &mut text);
        }
        Self(text.into())
    }
}

impl<const N: usize> From<[Option<Box<str>>; N]> for Key {
    fn from(values: [Option<Box<str>>; N]) -> Self {
        values.into_iter().collect()
    }
}

impl<'a> IntoIterator for &'a Key {
    type Item = Option<&'a str>;
    type IntoIter = Values<'a>;
    fn into_iter(self) -> Values<'a> {
        self.iter()
    }
}

/// Ordered by the values, NULL first.
impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// A list of texts and nulls, as in a saved state.
impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.iter().count()))?;
        for value in self {
            list.serialize_element(&value)?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Option<String>>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Vec<Option<String>>> {
        let text = prop_oneof![4 => "[a-c\u{0}\u{40}é☃]{0,3}", 1 => "[ab]{60,70}", 1 => "x{4090,4100}"];
        proptest::collection::vec(proptest::option::of(text), 0..4)
    }

    proptest! {
        #[test]
        fn keys_are_equal_by_value(one in values(), other in values()) {
            let (a, b): (Key, Key) = (one.iter().cloned().collect(), other.iter().cloned().collect());
            let read: Vec<_> = a.iter().map(|value| value.map(str::to_owned)).collect();
            prop_assert_eq!(&read, &one);
            prop_assert_eq!(a == b, one == other);
            prop_assert_eq!(a.cmp(&b), one.cmp(&other));
            prop_assert_eq!(a.get(1), one.get(1).and_then(|v| v.as_deref()));
            let again: Key = serde_json::from_value(serde_json::json!(one)).expect("a list of texts and nulls");
            prop_assert_eq!(&again, &a);
            prop_assert_eq!(serde_json::to_value(&a).expect("a list"), serde_json::json!(one));
        }
    }
}
