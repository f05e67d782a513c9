//! JSON without a schema.

use std::{borrow::Cow, collections::HashMap};

use event::json::{Scanner, Token, without_byte_order_mark};

use super::{error, malformed};
use crate::data::{DataError, Member, Value};

/// From this number of members on, a name is found by its hash.
const MANY: usize = 32;

/// Any JSON value.
pub(super) fn value_of(bytes: &[u8]) -> Result<Value<'_>, DataError> {
    let bytes = without_byte_order_mark(bytes);
    if bytes.trim_ascii_start().first() == Some(&b'{') {
        return members(bytes).map(Value::Object);
    }
    // The scanner reads objects only, and hardly any record is something else.
    let text: &serde_json::value::RawValue = serde_json::from_slice(bytes).map_err(|found| {
        error(format!("invalid JSON at line {}, column {}", found.line(), found.column()))
    })?;
    let text = text.get();
    Ok(match text.as_bytes().first() {
        Some(b'n') => Value::Null,
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'[') => Value::Json(Cow::Borrowed(text)),
        Some(b'"') => {
            let text: String = serde_json::from_str(text).map_err(|_| error("invalid JSON string"))?;
            Value::Text(Cow::Owned(text))
        }
        _ => Value::Number(Cow::Borrowed(text)),
    })
}

/// The members of an object that was not parsed before; `None` if it is something else.
pub(crate) fn object_of(text: &str) -> Option<Vec<Member<'_>>> {
    text.starts_with('{').then(|| members(text.as_bytes()).ok()).flatten()
}

/// The members of an object. Of equal names the last one counts, at the place of the first, as in Java's maps.
fn members(bytes: &[u8]) -> Result<Vec<Member<'_>>, DataError> {
    let malformed = |error| malformed(&error);
    let mut scanner = Scanner::object(bytes).map_err(malformed)?;
    let text = std::str::from_utf8(bytes).map_err(|_| error("invalid UTF-8"))?;
    let mut members: Vec<Member<'_>> = Vec::with_capacity(16);
    // Most names differ in their tags, which are compared faster.
    let mut tags = [0; MANY];
    // Names are of a record, so their hashes need a secret.
    let mut places: HashMap<Cow<'_, str>, usize> = HashMap::new();
    while let Some(member) = scanner.next_member().map_err(malformed)? {
        let name = member.name.decode();
        let start = scanner.position();
        let token = scanner.value().map_err(malformed)?;
        let value = match token {
            Token::Object | Token::Array => {
                scanner.skip(token).map_err(malformed)?;
                Value::Json(Cow::Borrowed(&text[start..scanner.position()]))
            }
            Token::Text(text) => Value::Text(text.decode()),
            Token::Number(text) => Value::Number(Cow::Borrowed(text)),
            Token::True => Value::Bool(true),
            Token::False => Value::Bool(false),
            Token::Null => Value::Null,
        };
        if members.len() == MANY {
            places = members.iter().enumerate().map(|(place, member)| (member.name.clone(), place)).collect();
        }
        let tag = tag(&name);
        let before = match members.len() < MANY {
            true => {
                let mut known = members.iter().zip(&tags);
                known.position(|(member, known)| *known == tag && member.name == name)
            }
            false => places.get(&name).copied(),
        };
        match before {
            Some(place) => members[place].value = value,
            None => {
                match tags.get_mut(members.len()) {
                    Some(place) => *place = tag,
                    None => drop(places.insert(name.clone(), members.len())),
                }
                members.push(Member { name, value });
            }
        }
    }
    scanner.finish().map_err(malformed)?;
    Ok(members)
}

/// The length of a name and its first bytes.
fn tag(name: &str) -> u64 {
    let mut tag = [0; 8];
    let taken = name.len().min(7);
    tag[..taken].copy_from_slice(&name.as_bytes()[..taken]);
    tag[7] = name.len() as u8;
    u64::from_le_bytes(tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::write_json;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let found = value_of(text.as_bytes()).ok().map(|value| {
            let mut out = Vec::new();
            write_json(&value, None, &mut out);
            String::from_utf8(out).expect("text")
        });
        assert_eq!(found.as_deref(), expected, "{text}");
    }

    #[test]
    fn values_keep_their_text() {
        check(
            r#"{ "a" : 1.50, "b":[1, 2], "c":{"d" : "\u00fc"}, "e":"\u00fc\n", "f":null }"#,
            Some(r#"{"a":1.50,"b":[1, 2],"c":{"d" : "\u00fc"},"e":"ü\n","f":null}"#),
        );
        check("\u{feff}{}", Some("{}"));
        check(" [1, 2] ", Some("[1, 2]"));
        check("\"a\"", Some("\"a\""));
        check("12345678901234567890", Some("12345678901234567890"));
        check("{\"a\":1} x", None);
        check("{\"a\":1,}", None);
        check("nope", None);
        check("", None);
    }

    #[test]
    fn the_last_of_equal_names_counts() {
        check(r#"{"a":1,"b":2,"\u0061":3}"#, Some(r#"{"a":3,"b":2}"#));
        let many: Vec<String> = (0..100).map(|n| format!("\"{n}\":0")).collect();
        let text = format!("{{{},\"7\":1,\"99\":1,\"99\":2}}", many.join(","));
        let expected =
            format!("{{{}}}", many.join(",")).replace("\"7\":0", "\"7\":1").replace("\"99\":0", "\"99\":2");
        check(&text, Some(&expected));
    }
}
