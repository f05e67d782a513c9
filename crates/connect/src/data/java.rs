//! The text that Java's `toString` makes of a value: it becomes an attribute of the message.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use event::EventTime;

use super::{Decimal, Schema, Value, json, logical};

/// The text of a value. Differs from Java where Java's text is of no use: bytes are base64 instead of an address in
/// memory, dates and times are those of ISO 8601 in UTC instead of the worker's time zone, and what has no schema is JSON.
pub fn text(value: &Value<'_>, schema: Option<&Schema>) -> String {
    let mut out = String::new();
    write(value, schema, &mut out);
    out
}

fn write(value: &Value<'_>, schema: Option<&Schema>, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(number) => match schema.filter(|schema| schema.is_temporal()) {
            Some(schema) => temporal(*number, schema, out),
            None => out.push_str(itoa::Buffer::new().format(*number)),
        },
        Value::Single(number) => out.push_str(&single_text(*number)),
        Value::Double(number) => out.push_str(&double_text(*number)),
        Value::Decimal(decimal) => out.push_str(&decimal_text(decimal)),
        Value::Number(text) | Value::Text(text) => out.push_str(text),
        Value::Json(text) => out.push_str(text),
        Value::Bytes(bytes) => out.push_str(&STANDARD.encode(bytes)),
        Value::Object(_) => {
            let mut json = Vec::new();
            json::write(value, schema, &mut json);
            out.push_str(&String::from_utf8_lossy(&json));
        }
        Value::List(values) => {
            let inner = schema.and_then(|schema| schema.values.as_deref());
            out.push('[');
            for (place, value) in values.iter().enumerate() {
                out.push_str(if place > 0 { ", " } else { "" });
                write(value, inner, out);
            }
            out.push(']');
        }
        Value::Map(entries) => {
            let keys = schema.and_then(|schema| schema.keys.as_deref());
            let values = schema.and_then(|schema| schema.values.as_deref());
            out.push('{');
            for (place, (key, value)) in entries.iter().enumerate() {
                out.push_str(if place > 0 { ", " } else { "" });
                write(key, keys, out);
                out.push('=');
                write(value, values, out);
            }
            out.push('}');
        }
        Value::Struct(values) => {
            let fields = schema.map(|schema| &schema.fields[..]).unwrap_or_default();
            let present = fields.iter().zip(values).filter(|(_, value)| !value.is_null());
            out.push_str("Struct{");
            for (place, (field, value)) in present.enumerate() {
                out.push_str(if place > 0 { "," } else { "" });
                out.push_str(&field.name);
                out.push('=');
                write(value, Some(&field.schema), out);
            }
            out.push('}');
        }
    }
}

const DAY: i64 = 86_400_000;

fn temporal(number: i64, schema: &Schema, out: &mut String) {
    let date = schema.is_named(logical::DATE);
    let millis = if date { number.saturating_mul(DAY) } else { number };
    let text = EventTime(millis).to_string();
    let shown = match text.split_once('T') {
        Some((day, _)) if date => day,
        Some((_, time)) if schema.is_named(logical::TIME) => time,
        _ => &text,
    };
    out.push_str(shown);
}

/// A `float32` as `Float.toString` writes it since Java 19: the shortest digits that name the number.
pub(crate) fn single_text(number: f32) -> String {
    java_float(number.is_nan(), f64::from(number), &format!("{number:e}"))
}

/// A `float64` as `Double.toString` writes it.
pub(crate) fn double_text(number: f64) -> String {
    java_float(number.is_nan(), number, &format!("{number:e}"))
}

/// Java's form of a number that Rust writes as `1.5e-7`.
fn java_float(is_nan: bool, number: f64, scientific: &str) -> String {
    if is_nan {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() };
    }
    if number == 0.0 {
        return if number.is_sign_negative() { "-0.0".to_owned() } else { "0.0".to_owned() };
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let mut out = sign.to_owned();
    match exponent {
        0..=6 => {
            let whole = exponent as usize + 1;
            let padded = format!("{digits:0<whole$}");
            let fraction = padded.get(whole..).filter(|rest| !rest.is_empty()).unwrap_or("0");
            let _ = write!(out, "{}.{fraction}", &padded[..whole]);
        }
        -3..=-1 => {
            let zeros = "0".repeat((-exponent - 1) as usize);
            let _ = write!(out, "0.{zeros}{digits}");
        }
        _ => {
            let fraction = if digits.len() > 1 { &digits[1..] } else { "0" };
            let _ = write!(out, "{}.{fraction}E{exponent}", &digits[..1]);
        }
    }
    out
}

/// As `BigDecimal.toString`, except that the exponent is never used: all digits are written.
pub(crate) fn decimal_text(decimal: &Decimal) -> String {
    let is_negative = decimal.unscaled.first().is_some_and(|byte| byte & 0x80 != 0);
    let mut magnitude = decimal.unscaled.clone();
    if is_negative {
        // Two's complement: invert, and add one.
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            let (sum, over) = (!*byte).overflowing_add(u8::from(carry));
            (*byte, carry) = (sum, over);
        }
    }
    let mut digits = decimal_digits(magnitude);
    let scale = decimal.scale;
    if scale > 0 {
        let scale = scale as usize;
        let width = scale + 1;
        digits = format!("{digits:0>width$}");
        digits.insert(digits.len() - scale, '.');
    } else if scale < 0 && digits != "0" {
        digits.push_str(&"0".repeat(scale.unsigned_abs() as usize));
    }
    if is_negative { format!("-{digits}") } else { digits }
}

/// Bytes, most significant first, in decimal. Quadratic in their number, which the caller bounds.
fn decimal_digits(mut bytes: Vec<u8>) -> String {
    const BASE: u64 = 1_000_000_000;
    let mut parts: Vec<u64> = Vec::new();
    while bytes.iter().any(|byte| *byte != 0) {
        let mut rest = 0;
        for byte in &mut bytes {
            let value = rest * 256 + u64::from(*byte);
            *byte = (value / BASE) as u8;
            rest = value % BASE;
        }
        parts.push(rest);
    }
    let mut out = parts.pop().unwrap_or_default().to_string();
    for part in parts.iter().rev() {
        let _ = write!(out, "{part:09}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_java_writes_them() {
        for (number, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (1234567.0, "1234567.0"),
            (12345678.0, "1.2345678E7"),
            (0.001, "0.001"),
            (0.00012, "1.2E-4"),
            (1e10, "1.0E10"),
            (-2.5, "-2.5"),
            (1.0 / 3.0, "0.3333333333333333"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
        ] {
            assert_eq!(double_text(number), expected);
        }
        assert_eq!(single_text(0.1), "0.1");
        assert_eq!(single_text(16_777_216.0), "1.6777216E7");
    }

    #[test]
    fn decimals_are_exact() {
        let text = |unscaled: &[u8], scale| decimal_text(&Decimal { unscaled: unscaled.to_vec(), scale });
        assert_eq!(text(&[0x04, 0xd2], 2), "12.34");
        assert_eq!(text(&[0xfb, 0x2e], 2), "-12.34");
        assert_eq!(text(&[5], 3), "0.005");
        assert_eq!(text(&[], 0), "0");
        assert_eq!(text(&[1], -2), "100");
        assert_eq!(text(&[0x80], 0), "-128");
        assert_eq!(text(&[0x01, 0, 0, 0, 0, 0, 0, 0, 0], 0), "18446744073709551616");
    }
}
