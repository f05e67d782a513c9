//! JSON pointers (RFC 6901): where a value stands in an event.
//!
//! A [`Pointer`] names one place. A [`Pattern`] may also hold `*`, which stands for any element of an
//! array and any member of an object; only the lists of `[anonymise]` take patterns.
//!
//! Not here: reading JSON ([`crate::json`]) and looking places up in it ([`crate::pick`]).

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// One place in an event, such as `/session/user` or `/items/0`; never the whole event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pointer {
    text: Arc<str>,
    names: Arc<[Box<str>]>,
}

/// One or many places in an event, such as `/items/*/seller_id`; never the whole event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: Arc<str>,
    steps: Arc<[Step]>,
}

/// One step down from an object or array.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// To the member of that name, or, when it is a number, to that element of an array.
    Name(Box<str>),
    /// To every member or element.
    Any,
}

/// Why a text is no pointer; the text comes from the configuration, never from an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// Nothing, or no slash at the start.
    #[error(
        "invalid JSON pointer {0:?}; write a \"/\" before each name, such as \"/user_id\" or \"/session/user\""
    )]
    NoSlash(String),
    /// A tilde that escapes nothing.
    #[error("{0:?} has a stray \"~\"; write \"~0\" for a \"~\" and \"~1\" for a \"/\" inside a name")]
    Escape(String),
    /// A star where one place is needed.
    #[error(
        "{0:?} has a \"*\", but one place is needed here; write the name or number of the member or element"
    )]
    Star(String),
}

impl Pointer {
    /// The pointer as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The pointer as it was written, shared.
    pub fn text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// The names on the way down, unescaped; at least one.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }
}

impl Pattern {
    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The pattern as it was written, shared.
    pub fn text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// The steps on the way down; at least one.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

/// The element of an array that a name stands for: digits without leading zeros.
pub fn array_index(name: &str) -> Option<usize> {
    let canonical = name == "0" || !name.starts_with(['0', '+']);
    canonical.then(|| name.parse().ok())?
}

impl FromStr for Pattern {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, PointerError> {
        let rest = text.strip_prefix('/').ok_or_else(|| PointerError::NoSlash(text.to_owned()))?;
        let steps = rest.split('/').map(|step| match step {
            "*" => Ok(Step::Any),
            name => unescape(name).map(Step::Name).ok_or_else(|| PointerError::Escape(text.to_owned())),
        });
        Ok(Self { text: text.into(), steps: steps.collect::<Result<_, _>>()? })
    }
}

impl FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, PointerError> {
        let pattern: Pattern = text.parse()?;
        let names = pattern.steps.iter().map(|step| match step {
            Step::Name(name) => Ok(name.clone()),
            Step::Any => Err(PointerError::Star(text.to_owned())),
        });
        let names = names.collect::<Result<_, _>>()?;
        Ok(Self { text: pattern.text, names })
    }
}

/// A name without its `~0` and `~1`, or nothing when another `~` stands in it.
fn unescape(name: &str) -> Option<Box<str>> {
    let mut parts = name.split('~');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push(match part.as_bytes().first() {
            Some(b'0') => '~',
            Some(b'1') => '/',
            _ => return None,
        });
        plain.push_str(&part[1..]);
    }
    Some(plain.into())
}

impl From<Pointer> for Pattern {
    fn from(pointer: Pointer) -> Self {
        Self { steps: pointer.names.iter().cloned().map(Step::Name).collect(), text: pointer.text }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Pointer {
    type Error = PointerError;

    fn try_from(text: String) -> Result<Self, PointerError> {
        text.parse()
    }
}

impl TryFrom<String> for Pattern {
    type Error = PointerError;

    fn try_from(text: String) -> Result<Self, PointerError> {
        text.parse()
    }
}

impl From<Pointer> for String {
    fn from(pointer: Pointer) -> Self {
        pointer.text.as_ref().to_owned()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[&str]) {
        let pointer: Pointer = text.parse().expect("a pointer");
        assert_eq!(pointer.names().collect::<Vec<_>>(), expect, "{text}");
        assert_eq!(pointer.to_string(), text);
    }

    #[test]
    fn pointers_are_read() {
        check("/a", &["a"]);
        check("/a/b/0", &["a", "b", "0"]);
        check("/", &[""]);
        check("/a~1b/m~0n/~01", &["a/b", "m~n", "~1"]);
        check("/a b/ü/a*", &["a b", "ü", "a*"]);
    }

    #[test]
    fn errors_say_what_to_write() {
        for (text, expect) in [
            (
                "",
                "invalid JSON pointer \"\"; write a \"/\" before each name, such as \"/user_id\" or \"/session/user\"",
            ),
            (
                "user",
                "invalid JSON pointer \"user\"; write a \"/\" before each name, such as \"/user_id\" or \"/session/user\"",
            ),
            (
                "/a~2",
                "\"/a~2\" has a stray \"~\"; write \"~0\" for a \"~\" and \"~1\" for a \"/\" inside a name",
            ),
            (
                "/a~",
                "\"/a~\" has a stray \"~\"; write \"~0\" for a \"~\" and \"~1\" for a \"/\" inside a name",
            ),
            (
                "/a~ü",
                "\"/a~ü\" has a stray \"~\"; write \"~0\" for a \"~\" and \"~1\" for a \"/\" inside a name",
            ),
            (
                "/a/*",
                "\"/a/*\" has a \"*\", but one place is needed here; write the name or number of the member or element",
            ),
        ] {
            assert_eq!(text.parse::<Pointer>().expect_err("no pointer").to_string(), expect);
        }
    }

    #[test]
    fn patterns_hold_stars() {
        let pattern: Pattern = serde_json::from_str("\"/items/*/id\"").expect("a pattern");
        assert_eq!(pattern.steps(), [Step::Name("items".into()), Step::Any, Step::Name("id".into())]);
        assert_eq!(serde_json::to_string(&pattern).expect("text"), "\"/items/*/id\"");
    }

    #[test]
    fn indexes_are_plain_numbers() {
        for (name, expect) in [
            ("0", Some(0)),
            ("10", Some(10)),
            ("01", None),
            ("+1", None),
            ("-1", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(array_index(name), expect, "{name}");
        }
    }
}
