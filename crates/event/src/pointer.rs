//! JSON pointers (RFC 6901), which lead to a value in an event.
//!
//! A [`Pointer`] leads to one field. A [`Pattern`] may also contain `*`, which matches any element of an array and
//! any member of an object; only the lists of `[anonymise]` accept patterns. See [`crate::pick`] for reading the
//! values.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// One field of an event, such as `/session/user` or `/items/0`; never the whole event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pointer {
    text: Arc<str>,
    names: Arc<[Box<str>]>,
}

/// One or many fields of an event, such as `/items/*/seller_id`; never the whole event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: Arc<str>,
    steps: Arc<[Step]>,
}

/// One step down from an object or array.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// To the member with this name or, if the name is a number, to the element of an array with this index.
    Name(Box<str>),
    /// To every member or element.
    Any,
}

/// Why a text is not a pointer. The text is from the configuration, never from an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// The text is empty or does not start with a slash.
    #[error(
        "invalid JSON pointer {0:?}; write a \"/\" before each name, such as \"/user_id\" or \"/session/user\""
    )]
    NoSlash(String),
    /// A tilde that does not begin an escape.
    #[error("{0:?} has a stray \"~\"; write \"~0\" for a \"~\" and \"~1\" for a \"/\" inside a name")]
    Escape(String),
    /// A star where a single field is required.
    #[error("{0:?} has a \"*\", which is not allowed here; write the name or index")]
    Star(String),
}

impl Pointer {
    /// The pointer as it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The pointer as it is written, shared.
    pub fn text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// The names along the path, unescaped; at least one.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }
}

impl Pattern {
    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The pattern as it is written, shared.
    pub fn text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// The steps along the path; at least one.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

/// The array index in a pointer: digits without leading zeros.
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

/// A name with `~0` and `~1` decoded; `None` if it contains any other `~`.
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
    fn errors_name_the_expected_form() {
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
            ("/a/*", "\"/a/*\" has a \"*\", which is not allowed here; write the name or index"),
        ] {
            assert_eq!(text.parse::<Pointer>().expect_err("no pointer").to_string(), expect);
        }
    }

    #[test]
    fn patterns_may_have_wildcards() {
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
