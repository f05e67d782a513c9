//! Reads on after a syntax error. The parser gives up at the first one, or takes what follows for a part of the broken
//! value. So each statement with an error is replaced by one that has the same key and no value, and the rest is parsed as
//! it was meant.

use toml::de::DeTable;

/// In place of a value that cannot be parsed. A private character, so that no one means it.
pub(super) const OMITTED: &str = "\u{f8ff}";

/// A syntax error. Lines count from 0.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// The line of the error.
    pub(super) line: usize,
    /// The first line of its statement, on which the replacement is.
    pub(super) statement: usize,
    pub(super) problem: String,
}

/// Errors that are reported at most. A file with more is not TOML.
const MOST: usize = 20;

/// The document without its syntax errors, on the same lines.
pub(super) fn repair(text: &str) -> (String, Vec<SyntaxError>) {
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let mut errors = Vec::new();
    while let Some((line, problem)) = first_error(&lines) {
        let line = line.min(lines.len() - 1);
        // What is before a statement is valid without it, and what is before its second line is not.
        let start = (0..=line).rev().find(|start| first_error(&lines[..*start]).is_none()).unwrap_or(0);
        let is_header = lines[start].trim_start().starts_with('[');
        let end = if is_header { start } else { end_of(&lines, start) };
        // The first error may be in a later statement, which an open bracket has made a part of this one.
        let (line, problem) = first_error(&lines[..=end]).unwrap_or((line.min(end), problem));
        errors.push(SyntaxError { line: line.min(end), statement: start, problem });
        let replacement = replacement(&lines[start]);
        blank(&mut lines[start..=end]);
        lines[start] = replacement;
        if first_error(&lines[..=end]).is_some() {
            // A duplicate, for example. Without its header a section would belong to the one before it.
            let is_next = |line: &String| line.trim_start().starts_with('[');
            let next = (end + 1..lines.len()).find(|line| is_next(&lines[*line]));
            let end = if is_header { next.unwrap_or(lines.len()) - 1 } else { end };
            blank(&mut lines[start..=end]);
        }
        if errors.len() == MOST {
            lines.truncate(start);
        }
    }
    (lines.join("\n"), errors)
}

/// The line of the first error, and the problem.
fn first_error(lines: &[String]) -> Option<(usize, String)> {
    // A carriage return before the end of the text would be an error.
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    let (_, errors) = DeTable::parse_recoverable(&text);
    // An error without a place is about the depth of nested values.
    let place = |error: &toml::de::Error| error.span().map_or(text.len(), |span| span.start);
    let first = errors.iter().min_by_key(|error| place(error))?;
    let before = text.as_bytes()[..place(first)].iter();
    Some((before.filter(|byte| **byte == b'\n').count(), first.message().to_owned()))
}

/// The last line of a statement: that of its last closing quote or bracket, or the one before the next statement if there
/// is none.
fn end_of(lines: &[String], start: usize) -> usize {
    let after = &lines[start + 1..];
    let is_open = |quote: &&str| lines[start].matches(*quote).count() % 2 == 1;
    if let Some(quote) = ["\"\"\"", "'''"].into_iter().find(is_open)
        && let Some(count) = after.iter().position(|line| line.contains(quote))
    {
        return start + 1 + count;
    }
    let mut depth = 0;
    let closed = lines[start..].iter().position(|line| {
        depth += brackets(line);
        depth <= 0
    });
    let next = || after.iter().position(|line| begins_statement(line));
    closed.or_else(next).map_or(lines.len() - 1, |count| start + count)
}

/// Opening less closing brackets of a line, outside of strings and comments.
fn brackets(line: &str) -> i32 {
    let (mut depth, mut quote) = (0, None);
    for c in line.chars() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, '#') => break,
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth -= 1,
            _ => {}
        }
    }
    depth
}

fn begins_statement(line: &str) -> bool {
    let line = line.trim_start();
    let is_key = |key: &str| !key.trim().is_empty() && !key.contains(['[', ']', '{', '}', ',', '#']);
    line.starts_with('[') || line.split_once('=').is_some_and(|(key, _)| is_key(key))
}

/// A valid statement with the key of a broken one.
fn replacement(line: &str) -> String {
    let line = line.trim();
    let part = |c: &char| c.is_alphanumeric() || "_-.\"'".contains(*c);
    if line.starts_with('[') {
        let name: String = line.split('#').next().unwrap_or_default().chars().filter(part).collect();
        return if line.starts_with("[[") { format!("[[{name}]]") } else { format!("[{name}]") };
    }
    let key = match line.split_once('=') {
        Some((key, _)) => key,
        None => line.split_whitespace().next().unwrap_or_default(),
    };
    format!("{} = '{OMITTED}'", key.trim())
}

fn blank(lines: &mut [String]) {
    lines.iter_mut().for_each(String::clear);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The lines of the errors and of their statements, from 1, and what is left.
    fn check(text: &str, errors: &[(usize, usize)], rest: &str) {
        let (repaired, found) = repair(text);
        let found: Vec<_> = found.iter().map(|error| (error.line + 1, error.statement + 1)).collect();
        assert_eq!((found.as_slice(), repaired.replace(OMITTED, "-").as_str()), (errors, rest), "{text}");
    }

    #[test]
    fn a_broken_statement_keeps_its_key() {
        check("a = 1\n", &[], "a = 1\n");
        check("a = x\nb = 2", &[(1, 1)], "a = '-'\nb = 2");
        check("a 1\nb = = 2\nc = 3", &[(1, 1), (2, 2)], "a = '-'\nb = '-'\nc = 3");
        check("a = \"x\nb = 2", &[(1, 1)], "a = '-'\nb = 2");
        check("a = [\n  1,\n  2 3,\n]\nb = 2", &[(3, 1)], "a = '-'\n\n\n\nb = 2");
        check("a = [\n  1,\nb = 2\n[c]\nd = 1 2", &[(2, 1), (5, 5)], "a = '-'\n\nb = 2\n[c]\nd = '-'");
        check("a = { b = 1 c = 2 }\nd = 4", &[(1, 1)], "a = '-'\nd = 4");
        check("a = '''x\nb = 2", &[(1, 1)], "a = '-'\nb = 2");
        check("a = \"\"\"\n\\q\n\"\"\"\nb = 2", &[(2, 1)], "a = '-'\n\n\nb = 2");
        check("a = 1\r\nb = x\r\nc = 3\r\n", &[(2, 2)], "a = 1\r\nb = '-'\nc = 3\r\n");
    }

    #[test]
    fn a_broken_header_keeps_its_section() {
        check("[a\nb = 1", &[(1, 1)], "[a]\nb = 1");
        check("[[a]\nb = 1\n[[a]]", &[(1, 1)], "[[a]]\nb = 1\n[[a]]");
        check("[a]\nb = 1\n[a]\nb = 2\n[c]", &[(3, 3)], "[a]\nb = 1\n\n\n[c]");
    }

    #[test]
    fn what_has_no_key_is_left_out() {
        check("a = 1\n]\na = 2\n= 3\nb = 4", &[(2, 2), (3, 3), (4, 4)], "a = 1\n\n\n\nb = 4");
    }

    proptest! {
        #[test]
        fn every_text_can_be_repaired(text in "(?s)([a-c]|[\\[\\]{}=,.\"'#\n 0-9]|\n[a-c] = ){0,60}") {
            let (repaired, errors) = repair(&text);
            prop_assert!(toml::de::DeTable::parse(&repaired).is_ok(), "{}", repaired);
            prop_assert_eq!(errors.is_empty(), toml::de::DeTable::parse(&text).is_ok());
            prop_assert!(errors.len() == MOST || repaired.split('\n').count() == text.split('\n').count());
        }
    }
}
