//! Values of an event as the model reads them.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::settings::Scalar;

pub(super) type Members<'a> = BTreeMap<String, &'a RawValue>;

/// The value at a pointer; numbers and booleans as written.
pub(super) enum Value {
    Absent,
    Text(String),
    Number(String),
    Bool(bool),
    Container,
}

pub(super) fn at(members: &Members<'_>, pointer: &str) -> Value {
    let (name, rest) = match pointer[1..].split_once('/') {
        Some((name, rest)) => (name, Some(format!("/{rest}"))),
        None => (&pointer[1..], None),
    };
    let Some(raw) = members.get(name).map(|raw| raw.get()) else { return Value::Absent };
    if let Some(rest) = rest {
        let inner: Option<Members<'_>> = serde_json::from_str(raw).ok();
        return inner.map_or(Value::Absent, |inner| at(&inner, &rest));
    }
    match raw.as_bytes()[0] {
        b'{' | b'[' => Value::Container,
        b'"' => serde_json::from_str(raw).map_or(Value::Absent, Value::Text),
        b't' | b'f' => Value::Bool(raw == "true"),
        b'n' => Value::Absent,
        _ => Value::Number(raw.to_owned()),
    }
}

impl Value {
    pub(super) fn scalar(self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text),
            Self::Bool(value) => Some(value.to_string()),
            Self::Absent | Self::Container => None,
        }
    }
}

pub(super) fn holds((subject, any_of): &(String, Vec<Scalar>), members: &Members<'_>, topic: &str) -> bool {
    let found = if subject == "topic" { Value::Text(topic.to_owned()) } else { at(members, subject) };
    any_of.iter().any(|scalar| match (scalar, &found) {
        (Scalar::Text(expected), Value::Text(found)) => expected == found,
        (Scalar::Number(expected), Value::Number(found)) => decimal(expected) == decimal(found),
        (Scalar::Bool(expected), Value::Bool(found)) => expected == found,
        _ => false,
    })
}

/// A number's sign, digits without leading or trailing zeros, and power of ten: equal if the decimal values are equal.
fn decimal(text: &str) -> (bool, String, i64) {
    let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{}{fraction}", whole.trim_start_matches('-'));
    let digits = digits.trim_start_matches('0');
    let short = digits.trim_end_matches('0');
    if short.is_empty() {
        return (false, String::new(), 0);
    }
    let power: i64 = power.trim_start_matches('+').parse().expect("generated powers are small");
    let zeros = digits.len() as i64 - short.len() as i64;
    (text.starts_with('-'), short.to_owned(), power - fraction.len() as i64 + zeros)
}

/// A number in billionths; `None` with more than nine digits after the point or 29 before it.
pub(super) fn billionths(text: &str) -> Option<i128> {
    let (is_negative, digits, power) = decimal(text);
    let zeros = usize::try_from(if digits.is_empty() { 0 } else { power + 9 }).ok()?;
    if digits.len() + zeros > 38 {
        return None;
    }
    let value: i128 = format!("0{digits}{}", "0".repeat(zeros)).parse().ok()?;
    Some(if is_negative { -value } else { value })
}

/// The sum of billionths with their multiplicities, as a decimal without trailing zeros.
pub(super) fn decimal_text(terms: &[(i128, i64)]) -> String {
    const ONE: i128 = 1_000_000_000;
    // Whole numbers and fractions apart, so that many large ones fit.
    let sum =
        |part: fn(i128) -> i128| terms.iter().map(|(of, times)| part(*of) * i128::from(*times)).sum::<i128>();
    let (whole, fraction) = (sum(|of| of.div_euclid(ONE)), sum(|of| of.rem_euclid(ONE)));
    let (whole, fraction) = (whole + fraction.div_euclid(ONE), fraction.rem_euclid(ONE));
    let (sign, whole, fraction) = match (whole < 0, fraction) {
        (false, _) => ("", whole, fraction),
        (true, 0) => ("-", -whole, 0),
        (true, _) => ("-", -whole - 1, ONE - fraction),
    };
    let text = format!("{sign}{whole}.{fraction:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Milliseconds since the epoch, from a number or a text such as `2026-01-01T10:00:00.123456Z`; further digits are
/// truncated.
pub(super) fn millis(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.split('.').next()?.parse().ok(),
        Value::Text(text) => {
            let part = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
            let (year, month, day) = (part(0..4)?, part(5..7)?, part(8..10)?);
            let (hour, minute, second) = (part(11..13)?, part(14..16)?, part(17..19)?);
            let fraction = text.get(19..)?.strip_suffix('Z')?.trim_start_matches('.');
            let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
            // Years begin in March, so that a leap day is the last day of one.
            let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
            let days =
                365 * years + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day - 719_469;
            let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
            (1..=12).contains(&month).then_some(seconds * 1_000 + millis)
        }
        Value::Absent | Value::Bool(_) | Value::Container => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_decimal_value() {
        for (one, other, are_equal) in [
            ("0.1", "1e-1", true),
            ("0.10", "10E-2", true),
            ("100", "1E+2", true),
            ("-0", "0e5", true),
            ("12345678901234567890E-1", "1234567890123456789.0", true),
            ("1234567890123456789", "1234567890123456790", false),
            ("0.1", "0.1000000000000000055511151231257827", false),
            ("-0.5", "0.5", false),
            ("0", "1e-400", false),
        ] {
            assert_eq!(decimal(one) == decimal(other), are_equal, "{one} and {other}");
        }
    }

    #[test]
    fn sums_are_exact() {
        let largest = "99999999999999999999999999999.999999999";
        assert_eq!(billionths("1e-10"), None);
        assert_eq!(billionths("1e29"), None);
        assert_eq!(billionths("-0"), Some(0));
        let number = |text: &str| billionths(text).expect("it fits");
        assert_eq!(decimal_text(&[(number(largest), 2)]), "199999999999999999999999999999.999999998");
        assert_eq!(decimal_text(&[(number("-0.5"), 1), (number("0.25"), 1)]), "-0.25");
        assert_eq!(decimal_text(&[(number("1.50e1"), 1), (number("-3"), 5)]), "0");
        assert_eq!(decimal_text(&[(number("-1e-9"), 1)]), "-0.000000001");
    }

    #[test]
    fn times_are_read() {
        let text = |text: &str| millis(&Value::Text(text.to_owned()));
        assert_eq!(text("1970-01-01T00:00:01Z"), Some(1_000));
        assert_eq!(text("2024-02-29T00:00:00.1239999999999Z"), Some(1_709_164_800_123));
        assert_eq!(text("2023-13-01T00:00:00Z"), None);
        assert_eq!(text("yesterday"), None);
        assert_eq!(millis(&Value::Number("1700000400000.75".to_owned())), Some(1_700_000_400_000));
    }
}
