//! Dotted keys: `flows[0].window.period`, `kafka.properties."sasl.password"`.

use std::fmt;

/// The path from the root to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Key(pub(crate) Vec<Segment>);

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// Into a table.
    Key(String),
    /// Into a list.
    Index(usize),
}

impl Key {
    /// Parses what `Display` writes. Lenient, because the text is from our own code: what is not an index is part of a
    /// name.
    pub(crate) fn parse(text: &str) -> Self {
        let mut segments = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (segment, after) = step(rest);
            segments.push(segment);
            rest = after.strip_prefix('.').unwrap_or(after);
        }
        Self(segments)
    }
}

fn step(text: &str) -> (Segment, &str) {
    if let Some(quoted) = text.strip_prefix('"') {
        return unquote(quoted);
    }
    if let Some((index, after)) = text.strip_prefix('[').and_then(|inner| inner.split_once(']'))
        && let Ok(index) = index.parse()
    {
        return (Segment::Index(index), after);
    }
    let end =
        text.char_indices().skip(1).find(|(_, c)| matches!(c, '.' | '[')).map_or(text.len(), |(at, _)| at);
    (Segment::Key(text[..end].to_owned()), &text[end..])
}

fn unquote(text: &str) -> (Segment, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (Segment::Key(name), &text[at + 1..]),
            '\\' => name.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => name.push(c),
        }
    }
    (Segment::Key(name), "")
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, segment) in self.0.iter().enumerate() {
            if place > 0 && matches!(segment, Segment::Key(_)) {
                f.write_str(".")?;
            }
            write!(f, "{segment}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "[{index}]"),
            Self::Key(name) if is_bare(name) => f.write_str(name),
            Self::Key(name) => write!(f, "\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")),
        }
    }
}

/// Whether TOML accepts it as a key without quotes.
fn is_bare(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_round_trip(
            segments in prop::collection::vec(
                prop_oneof![".{0,6}".prop_map(Segment::Key), any::<usize>().prop_map(Segment::Index)],
                0..6,
            ),
        ) {
            let key = Key(segments);
            prop_assert_eq!(Key::parse(&key.to_string()), key);
        }

        #[test]
        fn any_text_parses_as_a_key(text in ".{0,30}") {
            Key::parse(&text);
        }
    }
}
