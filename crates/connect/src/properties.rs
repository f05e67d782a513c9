//! Java's `.properties` files, as `java.util.Properties` reads them: Latin-1, escapes, continued lines.
//!
//! ```
//! let entries = connect::properties::parse(b"# a comment\ntopics = a, \\\n    b\n").expect("valid");
//! assert_eq!((entries[0].line, &*entries[0].key, &*entries[0].value), (2, "topics", "a, b"));
//! ```

use std::collections::BTreeMap;

/// One key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The line on which it begins, from 1.
    pub line: usize,
    /// The key.
    pub key: String,
    /// The value; empty if there is none.
    pub value: String,
}

/// An escape that is not `\uXXXX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: invalid escape; expected \\u and four hexadecimal digits")]
pub struct BadEscape {
    /// The line on which the entry begins.
    pub line: usize,
}

/// The entries of a file, in its order. A key can occur several times.
///
/// # Errors
/// [`BadEscape`].
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, BadEscape> {
    logical_lines(bytes).into_iter().map(|(line, text)| entry(line, &text)).collect()
}

/// The entries as a map. Of a key that occurs several times the last one counts, as in Java.
pub fn map(entries: Vec<Entry>) -> BTreeMap<String, String> {
    entries.into_iter().map(|entry| (entry.key, entry.value)).collect()
}

/// The lines that are neither blank nor comments, with continued lines joined.
fn logical_lines(bytes: &[u8]) -> Vec<(usize, Vec<char>)> {
    let text: Vec<char> = bytes.iter().map(|byte| char::from(*byte)).collect();
    let mut lines = Vec::new();
    let mut pending: Option<(usize, Vec<char>)> = None;
    let mut naturals = natural_lines(&text).enumerate().peekable();
    while let Some((number, natural)) = naturals.next() {
        let start = natural.iter().position(|c| !is_blank(*c)).unwrap_or(natural.len());
        let natural = &natural[start..];
        // A comment cannot be continued, but what looks like one can continue a line.
        if pending.is_none() && matches!(natural.first(), None | Some('#' | '!')) {
            continue;
        }
        let backslashes = natural.iter().rev().take_while(|c| **c == '\\').count();
        let is_continued = backslashes % 2 == 1;
        let (_, joined) = pending.get_or_insert_with(|| (number + 1, Vec::new()));
        joined.extend(&natural[..natural.len() - usize::from(is_continued)]);
        if is_continued && naturals.peek().is_none() {
            // A backslash at the end of the file continues nothing, and is an entry even if it is alone.
            lines.extend(pending.take());
        } else if joined.is_empty() {
            // Nothing is continued yet, so that a comment may follow.
            pending = None;
            continue;
        }
        if !is_continued {
            lines.extend(pending.take());
        }
    }
    lines.extend(pending);
    lines
}

/// Lines that end with `\n`, `\r` or `\r\n`.
fn natural_lines(text: &[char]) -> impl Iterator<Item = &[char]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.iter().position(|c| matches!(c, '\n' | '\r')) else {
            rest = None;
            return Some(text);
        };
        let is_pair = text[end] == '\r' && text.get(end + 1) == Some(&'\n');
        // What ends the last line begins no other.
        rest = Some(&text[end + 1 + usize::from(is_pair)..]).filter(|rest| !rest.is_empty());
        Some(&text[..end])
    })
}

fn entry(line: usize, text: &[char]) -> Result<Entry, BadEscape> {
    let mut end = 0;
    while end < text.len() && !is_blank(text[end]) && !is_separator(text[end]) {
        end += if text[end] == '\\' { 2 } else { 1 };
    }
    let end = end.min(text.len());
    let mut start = end;
    let mut has_separator = false;
    while start < text.len() && (is_blank(text[start]) || (is_separator(text[start]) && !has_separator)) {
        has_separator |= is_separator(text[start]);
        start += 1;
    }
    let unescape = |text| unescape(text).ok_or(BadEscape { line });
    Ok(Entry { line, key: unescape(&text[..end])?, value: unescape(&text[start..])? })
}

fn unescape(text: &[char]) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.iter();
    while let Some(c) = chars.next() {
        let unit = match (c, if *c == '\\' { chars.next() } else { None }) {
            ('\\', None) => continue,
            ('\\', Some('t')) => u16::from(b'\t'),
            ('\\', Some('n')) => u16::from(b'\n'),
            ('\\', Some('r')) => u16::from(b'\r'),
            ('\\', Some('f')) => 0x0c,
            ('\\', Some('u')) => {
                let digits: String = chars.by_ref().take(4).collect();
                let is_whole = digits.len() == 4 && digits.chars().all(|c| c.is_ascii_hexdigit());
                u16::from_str_radix(&digits, 16).ok().filter(|_| is_whole)?
            }
            (_, Some(other)) => *other as u16,
            (plain, None) => *plain as u16,
        };
        units.push(unit);
    }
    // Two escapes can be one character; half of a pair is a replacement character.
    Some(String::from_utf16_lossy(&units))
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

fn is_separator(c: char) -> bool {
    matches!(c, '=' | ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(usize, &str, &str)]) {
        let entries = parse(text.as_bytes()).expect("valid");
        let found: Vec<_> = entries.iter().map(|entry| (entry.line, &*entry.key, &*entry.value)).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn files_are_read_as_java_reads_them() {
        check("a=1\nb:2\nc 3\nd", &[(1, "a", "1"), (2, "b", "2"), (3, "c", "3"), (4, "d", "")]);
        check("# c\n\n ! c\r\n  a = b = c \r", &[(4, "a", "b = c ")]);
        check("a=1,\\\n   2,\\\r\n\t3\nb=\\\\\nc=1", &[(1, "a", "1,2,3"), (4, "b", "\\"), (5, "c", "1")]);
        check("a\\ b\\=c=d\\te\\u00fc\\z", &[(1, "a b=c", "d\teüz")]);
        check("a=\\ud83d\\ude00", &[(1, "a", "😀")]);
        check("a=\\\n#b\nc=\\", &[(1, "a", "#b"), (3, "c", "")]);
        check("\\\n\n#c\n\\\n!d\na", &[(6, "a", "")]);
        check("a\n\\", &[(1, "a", ""), (2, "", "")]);
        check("a\n\\\r\n", &[(1, "a", ""), (2, "", "")]);
        check("a==b\n:c", &[(1, "a", "=b"), (2, "", "c")]);
        assert_eq!(parse(b"a=\xfc").expect("valid")[0].value, "ü");
    }

    #[test]
    fn a_bad_escape_has_a_line() {
        assert_eq!(parse(b"a=1\nb=\\u12x4"), Err(BadEscape { line: 2 }));
        assert_eq!(parse(b"a=\\u12"), Err(BadEscape { line: 1 }));
    }

    #[test]
    fn the_last_of_equal_keys_counts() {
        assert_eq!(map(parse(b"a=1\na=2").expect("valid"))["a"], "2");
    }
}
