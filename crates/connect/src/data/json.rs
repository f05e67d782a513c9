//! Values as JSON text.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Schema, Value, java};

/// Appends a value as JSON: objects and arrays as they were written, structs and maps with text keys as objects, bytes as
/// base64, decimals as exact numbers, dates and times as numbers.
pub fn write(value: &Value<'_>, schema: Option<&Schema>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
        Value::Single(number) if number.is_finite() => write_float(&java::single_text(*number), out),
        Value::Double(number) if number.is_finite() => write_float(&java::double_text(*number), out),
        // JSON has no word for these.
        Value::Single(_) | Value::Double(_) => out.extend_from_slice(b"null"),
        Value::Decimal(decimal) => out.extend_from_slice(java::decimal_text(decimal).as_bytes()),
        Value::Number(text) => out.extend_from_slice(text.as_bytes()),
        Value::Json(text) => out.extend_from_slice(text.as_bytes()),
        Value::Text(text) => write_text(text, out),
        Value::Bytes(bytes) => write_text(&STANDARD.encode(bytes), out),
        Value::Object(members) => {
            let members = members.iter().map(|member| (&*member.name, &member.value, None));
            write_object(members, out);
        }
        Value::Struct(values) => {
            let fields = schema.map(|schema| &schema.fields[..]).unwrap_or_default();
            let members = fields.iter().zip(values);
            write_object(members.map(|(field, value)| (&*field.name, value, Some(&*field.schema))), out);
        }
        Value::List(values) => {
            let inner = schema.and_then(|schema| schema.values.as_deref());
            write_list(values.iter(), out, |value, out| write(value, inner, out));
        }
        Value::Map(entries) => write_map(entries, schema, out),
    }
}

fn write_map(entries: &[(Value<'_>, Value<'_>)], schema: Option<&Schema>, out: &mut Vec<u8>) {
    let values = schema.and_then(|schema| schema.values.as_deref());
    let keys = schema.and_then(|schema| schema.keys.as_deref());
    if entries.iter().all(|(key, _)| matches!(key, Value::Text(_))) {
        let members = entries.iter().filter_map(|(key, value)| match key {
            Value::Text(name) => Some((&**name, value, values)),
            _ => None,
        });
        return write_object(members, out);
    }
    write_list(entries.iter(), out, |(key, value), out| {
        out.push(b'[');
        write(key, keys, out);
        out.push(b',');
        write(value, values, out);
        out.push(b']');
    });
}

fn write_object<'v>(
    members: impl Iterator<Item = (&'v str, &'v Value<'v>, Option<&'v Schema>)>,
    out: &mut Vec<u8>,
) {
    let mut separator = b'{';
    for (name, value, schema) in members {
        out.push(separator);
        write_text(name, out);
        out.push(b':');
        write(value, schema, out);
        separator = b',';
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
}

fn write_list<T>(values: impl Iterator<Item = T>, out: &mut Vec<u8>, mut write: impl FnMut(T, &mut Vec<u8>)) {
    out.push(b'[');
    for (place, value) in values.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(value, out);
    }
    out.push(b']');
}

/// Java writes `1.0E10`, which is JSON as well.
fn write_float(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
}

/// A string with its quotes.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    // Without an early end, so that it takes many bytes at a time.
    if text.bytes().fold(true, |all, byte| all & is_plain(byte)) {
        out.extend_from_slice(text.as_bytes());
        return out.push(b'"');
    }
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if is_plain(byte) {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => out.extend_from_slice(format!("\\u{other:04x}").as_bytes()),
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}
