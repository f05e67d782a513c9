//! A strict JSON scanner (RFC 8259) over the bytes of one event: one pass, no tree, no copies.
//!
//! It rejects what RFC 8259 rejects, and also lone surrogates in escapes, invalid UTF-8, and nesting deeper than
//! [`MAX_DEPTH`]. A byte order mark before the text is skipped, as the RFC allows. Numbers are checked by their grammar
//! and returned as text, so that none loses a digit. Errors have a kind and a byte position, never any content.
//!
//! Duplicate member names are legal JSON and are not checked. The anonymiser rejects them, and [`crate::pick`] takes
//! the first.

mod error;
mod scan;
mod text;

pub use error::{Error, ErrorKind};
pub use scan::{Member, Scanner, Token};
pub use text::{Text, plain_end};

/// The byte order mark in UTF-8, which some editors and producers write before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The text without a leading byte order mark. Records and lines of files both use this rule.
pub fn without_byte_order_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Maximum nesting of objects and arrays, including the outermost.
pub const MAX_DEPTH: u32 = 128;

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    /// Any JSON value. There are few names, so that pointers often match.
    pub(crate) fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::hash_map(name(), inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// Any JSON object.
    pub(crate) fn object() -> impl Strategy<Value = Value> {
        proptest::collection::hash_map(name(), value(), 0..5)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    }

    /// The name of a member: usually one of a few, sometimes a difficult one.
    pub(crate) fn name() -> impl Strategy<Value = String> {
        let few =
            ["a", "b", "c", "0", "1", "01", "", "a/b", "m~n", "\"", "ü", "\u{1}", "\\"].map(str::to_owned);
        prop_oneof![4 => proptest::sample::select(few.to_vec()), 1 => any::<String>()]
    }
}
