//! Debezium's change events: the row after a change, or before a delete, with what the envelope knows of it.

use event::json::{Scanner, Token};

use super::{Members, NO_ENVELOPE, Splice, check_object, is_null, is_object, is_text, not_json, skip};
use crate::Reject;

const NAMES: [&str; 5] = ["before", "after", "op", "ts_ms", "source"];

pub(super) fn unwrap<'a>(value: &'a [u8], out: &'a mut Vec<u8>) -> Result<Option<&'a [u8]>, Reject> {
    // A converter may write a tombstone so.
    if value.trim_ascii() == b"null" {
        return Ok(None);
    }
    let mut scanner = Scanner::object(value).map_err(not_json)?;
    let (mut outer, mut inner) = (Members::new(NAMES), Members::new(NAMES));
    // With `schema` the change is inside of `payload`.
    let mut payload = None;
    while let Some(member) = scanner.next_member().map_err(not_json)? {
        let name = member.name.decode();
        if name != "payload" {
            let text = skip(value, &mut scanner)?;
            outer.note(&name, text)?;
            continue;
        }
        let token = scanner.value().map_err(not_json)?;
        if payload.replace(token).is_some() {
            return Err(NO_ENVELOPE);
        }
        match token {
            Token::Object => inner.read(value, &mut scanner)?,
            other => scanner.skip(other).map_err(not_json)?,
        }
    }
    scanner.finish().map_err(not_json)?;
    let is_bare = outer.found.iter().any(Option::is_some);
    match payload {
        None => change(outer.found, out).map(Some),
        Some(_) if is_bare => Err(NO_ENVELOPE),
        Some(Token::Object) => change(inner.found, out).map(Some),
        Some(Token::Null) => Ok(None),
        Some(_) => Err(NO_ENVELOPE),
    }
}

fn change<'a>(found: [Option<&[u8]>; 5], out: &'a mut Vec<u8>) -> Result<&'a [u8], Reject> {
    let [before, after, op, ts_ms, source] = found;
    let op = op.filter(|op| is_text(op)).ok_or(NO_ENVELOPE)?;
    let (row, is_deleted) = match op {
        // Created, read by a snapshot, updated.
        b"\"c\"" | b"\"r\"" | b"\"u\"" => (Some(after.ok_or(NO_ENVELOPE)?), false),
        // A database that does not log old rows has none.
        b"\"d\"" => (before.filter(|row| !is_null(row)), true),
        // The table was truncated.
        b"\"t\"" => (None, false),
        _ => return Err(NO_ENVELOPE),
    };
    let mut event = Splice::new(out);
    match row {
        None => {}
        Some(row) if is_object(row) => event.members(row),
        // MongoDB's documents are JSON in a string.
        Some(row) if is_text(row) => {
            let document: String = serde_json::from_slice(row).map_err(|_| NO_ENVELOPE)?;
            let document = document.trim_ascii().as_bytes();
            check_object(document)?;
            event.members(document);
        }
        Some(_) => return Err(NO_ENVELOPE),
    }
    for (name, text) in [("op", Some(op)), ("ts_ms", ts_ms), ("source", source)] {
        if let Some(text) = text {
            event.member("__", name, text);
        }
    }
    event.member("__", "deleted", if is_deleted { b"\"true\"" } else { b"\"false\"" });
    Ok(event.end())
}
