//! CloudEvents: the whole event as one document, or its data as the value and its attributes as headers.

use base64::{Engine, engine::general_purpose::STANDARD};
use event::json::{Scanner, without_byte_order_mark};

use super::{NO_ENVELOPE, Splice, check_object, is_null, is_object, is_text, not_json, skip};
use crate::Reject;

const PREFIX: &str = "ce_";

/// Attributes that describe the envelope and not the event.
fn is_technical(name: &str) -> bool {
    matches!(name, "specversion" | "datacontenttype" | "dataschema")
}

pub(super) fn unwrap<'a>(
    value: &'a [u8],
    headers: &[(&str, &[u8])],
    out: &'a mut Vec<u8>,
) -> Result<&'a [u8], Reject> {
    let mut kinds = headers.iter().filter(|header| header.0.eq_ignore_ascii_case("content-type"));
    let is_structured = kinds.any(|(_, kind)| {
        let start = b"application/cloudevents";
        kind.get(..start.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(start))
    });
    if !is_structured && headers.iter().any(|header| header.0 == "ce_specversion") {
        binary(value, headers, out)
    } else {
        structured(value, out)
    }
}

fn binary<'a>(value: &[u8], headers: &[(&str, &[u8])], out: &'a mut Vec<u8>) -> Result<&'a [u8], Reject> {
    let mut scanner = Scanner::object(value).map_err(not_json)?;
    scanner.skip(event::json::Token::Object).map_err(not_json)?;
    scanner.finish().map_err(not_json)?;
    let mut event = Splice::new(out);
    event.members(without_byte_order_mark(value).trim_ascii());
    for (name, text) in headers {
        if name.strip_prefix(PREFIX).is_some_and(|attribute| !is_technical(attribute)) {
            event.text(name, text)?;
        }
    }
    Ok(event.end())
}

fn structured<'a>(value: &[u8], out: &'a mut Vec<u8>) -> Result<&'a [u8], Reject> {
    let mut scanner = Scanner::object(value).map_err(not_json)?;
    let mut event = Splice::new(out);
    let (mut version, mut data, mut encoded) = (None, None, None);
    while let Some(member) = scanner.next_member().map_err(not_json)? {
        let text = skip(value, &mut scanner)?;
        // An attribute that is null is absent.
        let is_twice = match &*member.name.decode() {
            "specversion" => version.replace(text).is_some(),
            "data" => data.replace(text).is_some(),
            "data_base64" => encoded.replace(text).is_some(),
            name if is_technical(name) || is_null(text) => false,
            _ => {
                event.member(PREFIX, member.name.raw(), text);
                false
            }
        };
        if is_twice {
            return Err(NO_ENVELOPE);
        }
    }
    scanner.finish().map_err(not_json)?;
    if !version.is_some_and(is_text) {
        return Err(NO_ENVELOPE);
    }
    match (data.filter(|data| !is_null(data)), encoded.filter(|data| !is_null(data))) {
        (Some(data), None) if is_object(data) => event.members(data),
        (None, Some(encoded)) => {
            let text: String = serde_json::from_slice(encoded).map_err(|_| NO_ENVELOPE)?;
            let bytes = STANDARD.decode(text).map_err(|_| NO_ENVELOPE)?;
            check_object(&bytes)?;
            event.members(without_byte_order_mark(&bytes).trim_ascii());
        }
        // An event without data has its attributes.
        (None, None) => {}
        _ => return Err(NO_ENVELOPE),
    }
    Ok(event.end())
}
