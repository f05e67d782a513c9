//! Java's regular expressions, as far as they mean the same in Rust's.

use regex::Regex;

/// An expression that is matched against a whole text.
#[derive(Clone, Debug)]
pub(crate) struct JavaRegex(Regex);

/// The text that takes the place of a match, with references to its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replacement(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(usize),
    Named(String),
}

impl JavaRegex {
    /// An expression that takes linear time. Look-around, back-references, atomic groups and possessive quantifiers have
    /// none, and are refused.
    ///
    /// # Errors
    /// Why it is refused.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        // `(?<name>...)` is the same in both. Java's own way to quote is not known in Rust.
        if text.contains("\\Q") || text.contains("++") || text.contains("*+") || text.contains("?+") {
            return Err(format!(
                "Invalid regex {text}: \\Q...\\E and possessive quantifiers are not supported; escape the characters, or leave the + out"
            ));
        }
        let anchored = format!("^(?:{text})$");
        let regex = Regex::new(&anchored).map_err(|_| {
            format!(
                "Invalid regex {text}: it is not valid, or has look-around or back-references, which are not supported"
            )
        })?;
        Ok(Self(regex))
    }

    /// Whether it matches the whole text.
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// A text that it matches, with the replacement in its place; `None` if it does not match.
    pub(crate) fn replaced(&self, text: &str, with: &Replacement) -> Option<String> {
        let captures = self.0.captures(text)?;
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Group(number) => captures.get(*number).map_or("", |found| found.as_str()).to_owned(),
            Piece::Named(name) => captures.name(name).map_or("", |found| found.as_str()).to_owned(),
        };
        Some(with.0.iter().map(piece).collect())
    }

    /// The text of a replacement for this expression: `$1`, `${name}`, and `\` before a character that means itself.
    ///
    /// # Errors
    /// A group that the expression does not have, or a `$` or `\` that means nothing.
    pub(crate) fn replacement(&self, text: &str) -> Result<Replacement, String> {
        let invalid = || {
            format!(
                "Invalid replacement {text}: expected $1 or ${{name}} with a group of the regex, or \\ before a character"
            )
        };
        let mut pieces = Vec::new();
        let mut chars = text.chars().peekable();
        let mut plain = String::new();
        while let Some(c) = chars.next() {
            match c {
                '\\' => plain.push(chars.next().ok_or_else(invalid)?),
                '$' => {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    if chars.peek() == Some(&'{') {
                        let name: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                        let is_known = self.0.capture_names().flatten().any(|known| known == name);
                        pieces.push(is_known.then_some(Piece::Named(name)).ok_or_else(invalid)?);
                        continue;
                    }
                    let first = chars.next().and_then(|c| c.to_digit(10)).ok_or_else(invalid)?;
                    let mut group = first as usize;
                    // Java takes another digit as long as there is such a group.
                    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                        let longer = group * 10 + digit as usize;
                        if longer >= self.0.captures_len() {
                            break;
                        }
                        group = longer;
                        chars.next();
                    }
                    if group >= self.0.captures_len() {
                        return Err(invalid());
                    }
                    pieces.push(Piece::Group(group));
                }
                plain_char => plain.push(plain_char),
            }
        }
        pieces.push(Piece::Text(plain));
        Ok(Replacement(pieces))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_are_those_of_java() {
        let check = |regex: &str, with: &str, text: &str, expected: Option<&str>| {
            let regex = JavaRegex::new(regex).expect("a regex");
            let with = regex.replacement(with).expect("a replacement");
            assert_eq!(regex.replaced(text, &with).as_deref(), expected);
        };
        check("db\\.(.*)", "$1-x", "db.users", Some("users-x"));
        check("db\\.(.*)", "$1", "my-db.users", None);
        check("(?<a>.)(.)", "${a}\\$$20", "xy", Some("x$y0"));
        check("a|b.*", "c", "ab", None);
        check(".*", "", "ab", Some(""));
        let regex = JavaRegex::new("(a)").expect("a regex");
        assert!(
            regex.replacement("$2").is_err()
                && regex.replacement("$").is_err()
                && regex.replacement("\\").is_err()
        );
    }

    #[test]
    fn what_takes_more_than_linear_time_is_refused() {
        for regex in ["(?=a)b", "(a)\\1", "a++", "(?>a)b", "\\Qa\\E", "("] {
            assert!(JavaRegex::new(regex).is_err(), "{regex}");
        }
    }
}
