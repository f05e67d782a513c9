//! Writing JSON values, the same for every format: escaped strings, base64, shortest floats, times.
//!
//! Everything is appended to the caller's buffer; nothing allocates but the growth of that buffer.

use base64::{Engine, engine::general_purpose::STANDARD};
use event::{calendar, json::plain_end};

/// Containers that may be open at once in a decoded value. JSON allows more ([`event::json::MAX_DEPTH`]), so that an
/// envelope may add levels.
pub(crate) const MAX_DEPTH: u32 = 64;

/// The longest JSON of one value: twice the largest message of Pub/Sub, because an anonymiser may cut it.
pub(crate) const MAX_OUTPUT: usize = 20_000_000;

/// Seconds of a day.
pub(crate) const DAY: i64 = 86_400;

/// Digits after the point of a second, by the unit of a schema. They are all written, so that texts of one field have
/// one length and sort as the times do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    /// Units of a second.
    pub(crate) fn per_second(self) -> i64 {
        match self {
            Self::Millis => 1_000,
            Self::Micros => 1_000_000,
            Self::Nanos => 1_000_000_000,
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::Millis => 3,
            Self::Micros => 6,
            Self::Nanos => 9,
        }
    }
}

/// The escape of a character below 0x20, a quote or a backslash: the letter after the backslash, or `u`.
const ESCAPES: [u8; 0x20] = {
    let mut escapes = [b'u'; 0x20];
    escapes[0x08] = b'b';
    escapes[0x09] = b't';
    escapes[0x0a] = b'n';
    escapes[0x0c] = b'f';
    escapes[0x0d] = b'r';
    escapes
};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The index of the first byte that is not part of UTF-8, as the error. Most strings are short and ASCII, which is by far
/// the fastest to check.
#[inline]
pub(crate) fn check_utf8(bytes: &[u8]) -> Result<(), usize> {
    if bytes.is_ascii() || simdutf8::basic::from_utf8(bytes).is_ok() {
        return Ok(());
    }
    Err(std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len))
}

/// A string, which is UTF-8, with its quotes. Returns false, with the string incomplete, once `out` is longer than `limit`.
pub(crate) fn string(out: &mut Vec<u8>, text: &[u8], limit: usize) -> bool {
    let mut rest = text;
    out.push(b'"');
    loop {
        let plain = plain_end(rest, 0);
        if out.len() + plain > limit {
            return false;
        }
        out.extend_from_slice(&rest[..plain]);
        let Some(&special) = rest.get(plain) else { break };
        match ESCAPES.get(usize::from(special)) {
            Some(b'u') => {
                let [high, low] = hex(special);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
            Some(&letter) => out.extend_from_slice(&[b'\\', letter]),
            None => out.extend_from_slice(&[b'\\', special]),
        }
        rest = &rest[plain + 1..];
    }
    out.push(b'"');
    true
}

/// Bytes as a base64 string with its quotes. Returns false, with nothing written, if `out` would be longer than `limit`.
pub(crate) fn base64(out: &mut Vec<u8>, bytes: &[u8], limit: usize) -> bool {
    let length = bytes.len().div_ceil(3).saturating_mul(4);
    if out.len().saturating_add(length) > limit {
        return false;
    }
    out.push(b'"');
    let start = out.len();
    out.resize(start + length, 0);
    STANDARD.encode_slice(bytes, &mut out[start..]).expect("the length of base64 is known");
    out.push(b'"');
    true
}

/// A float in the shortest form that reads back, or false if JSON has no such number.
pub(crate) fn double(out: &mut Vec<u8>, value: f64) -> bool {
    if value.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    }
    value.is_finite()
}

/// As [`double`], with the fewer digits that a single needs.
pub(crate) fn single(out: &mut Vec<u8>, value: f32) -> bool {
    if value.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    }
    value.is_finite()
}

/// An integer.
pub(crate) fn integer(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A date as `2026-01-31` with its quotes, or false if its year has not four digits.
pub(crate) fn date(out: &mut Vec<u8>, days: i64) -> bool {
    let mut text = *b"\"0000-00-00\"";
    let fits = put_date(&mut text[1..11], days);
    if fits {
        out.extend_from_slice(&text);
    }
    fits
}

/// A time of day as `12:34:56.789` with its quotes, or false if it is not within a day.
pub(crate) fn time_of_day(out: &mut Vec<u8>, value: i64, unit: Unit) -> bool {
    if !(0..DAY * unit.per_second()).contains(&value) {
        return false;
    }
    let mut text = *b"\"00:00:00.000000000\"";
    put_time(&mut text[1..], value, unit);
    let length = 1 + 9 + unit.digits();
    text[length] = b'"';
    out.extend_from_slice(&text[..=length]);
    true
}

/// A time since the epoch as RFC 3339 with its quotes; without the `Z` if it is local. False if its year has not four
/// digits.
pub(crate) fn timestamp(out: &mut Vec<u8>, value: i64, unit: Unit, is_local: bool) -> bool {
    let day = DAY * unit.per_second();
    let mut text = *b"\"0000-00-00T00:00:00.000000000Z\"";
    if !put_date(&mut text[1..11], value.div_euclid(day)) {
        return false;
    }
    put_time(&mut text[12..], value.rem_euclid(day), unit);
    let end = 21 + unit.digits();
    let tail: &[u8] = if is_local { b"\"" } else { b"Z\"" };
    text[end..end + tail.len()].copy_from_slice(tail);
    out.extend_from_slice(&text[..end + tail.len()]);
    true
}

/// A UUID with its quotes.
pub(crate) fn uuid(out: &mut Vec<u8>, bytes: [u8; 16]) {
    out.push(b'"');
    for (index, byte) in bytes.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend_from_slice(&hex(byte));
    }
    out.push(b'"');
}

fn hex(byte: u8) -> [u8; 2] {
    [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

fn put_date(text: &mut [u8], days: i64) -> bool {
    let (year, month, day) = calendar::date(days);
    if !(0..=9999).contains(&year) {
        return false;
    }
    put_two(&mut text[0..], year / 100);
    put_two(&mut text[2..], year % 100);
    put_two(&mut text[5..], month);
    put_two(&mut text[8..], day);
    true
}

/// `12:34:56.789` over zeros and colons, of a value within a day.
fn put_time(text: &mut [u8], value: i64, unit: Unit) {
    let (second, mut fraction) = (value / unit.per_second(), value % unit.per_second());
    put_two(&mut text[0..], second / 3600);
    put_two(&mut text[3..], second / 60 % 60);
    put_two(&mut text[6..], second % 60);
    for digit in text[9..9 + unit.digits()].iter_mut().rev() {
        *digit = digit_of(fraction % 10);
        fraction /= 10;
    }
}

fn put_two(text: &mut [u8], value: i64) {
    text[0] = digit_of(value / 10);
    text[1] = digit_of(value % 10);
}

fn digit_of(value: i64) -> u8 {
    b'0' + u8::try_from(value).expect("a digit is below ten")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>) -> bool) -> Option<String> {
        let mut out = Vec::new();
        write(&mut out).then(|| String::from_utf8(out).expect("JSON is UTF-8"))
    }

    #[test]
    fn times_have_the_digits_of_their_unit() {
        let at = 1_769_862_896_789;
        let cases = [
            (at, Unit::Millis, false, Some("\"2026-01-31T12:34:56.789Z\"")),
            (at * 1_000, Unit::Micros, false, Some("\"2026-01-31T12:34:56.789000Z\"")),
            (at * 1_000_000 + 7, Unit::Nanos, true, Some("\"2026-01-31T12:34:56.789000007\"")),
            (0, Unit::Millis, true, Some("\"1970-01-01T00:00:00.000\"")),
            (-1, Unit::Nanos, false, Some("\"1969-12-31T23:59:59.999999999Z\"")),
            (-62_167_219_200_000, Unit::Millis, false, Some("\"0000-01-01T00:00:00.000Z\"")),
            (-62_167_219_200_001, Unit::Millis, false, None),
            (253_402_300_799_999, Unit::Millis, false, Some("\"9999-12-31T23:59:59.999Z\"")),
            (253_402_300_800_000, Unit::Millis, false, None),
            (i64::MIN, Unit::Millis, false, None),
            (i64::MAX, Unit::Millis, false, None),
            (i64::MIN, Unit::Nanos, false, Some("\"1677-09-21T00:12:43.145224192Z\"")),
        ];
        for (value, unit, is_local, expect) in cases {
            assert_eq!(
                written(|out| timestamp(out, value, unit, is_local)).as_deref(),
                expect,
                "{value} {unit:?}"
            );
        }
    }

    #[test]
    fn a_time_of_day_is_within_a_day() {
        for (value, unit, expect) in [
            (45_296_789, Unit::Millis, Some("\"12:34:56.789\"")),
            (86_399_999_999, Unit::Micros, Some("\"23:59:59.999999\"")),
            (0, Unit::Millis, Some("\"00:00:00.000\"")),
            (-1, Unit::Millis, None),
            (86_400_000, Unit::Millis, None),
            (i64::MAX, Unit::Micros, None),
        ] {
            assert_eq!(written(|out| time_of_day(out, value, unit)).as_deref(), expect, "{value} {unit:?}");
        }
    }

    #[test]
    fn dates_have_four_digits_of_the_year() {
        for (days, expect) in [
            (20_484, Some("\"2026-01-31\"")),
            (-719_528, Some("\"0000-01-01\"")),
            (-719_529, None),
            (2_932_896, Some("\"9999-12-31\"")),
            (2_932_897, None),
        ] {
            assert_eq!(written(|out| date(out, days)).as_deref(), expect, "{days}");
        }
    }

    #[test]
    fn floats_are_short_and_finite() {
        assert_eq!(written(|out| single(out, 0.1)).as_deref(), Some("0.1"));
        assert_eq!(written(|out| double(out, 1e300)).as_deref(), Some("1e+300"));
        assert_eq!(written(|out| double(out, f64::NAN)), None);
        assert_eq!(written(|out| single(out, f32::NEG_INFINITY)), None);
    }

    #[test]
    fn a_limit_ends_a_string() {
        assert_eq!(written(|out| string(out, "\u{1}".repeat(1000).as_bytes(), 100)), None);
        assert_eq!(written(|out| string(out, "a".repeat(1000).as_bytes(), 100)), None);
        assert_eq!(written(|out| base64(out, &[0; 1000], 100)), None);
    }

    #[test]
    fn every_character_is_escaped_anywhere() {
        for special in (0..0x80u8).map(char::from).chain(['ż', '\u{2028}', '😀']) {
            for before in 0..20 {
                let text = format!("{}{special}{}", "a".repeat(before), "b".repeat(before % 9));
                let json =
                    written(|out| string(out, text.as_bytes(), usize::MAX)).expect("there is no limit");
                assert_eq!(serde_json::from_str::<String>(&json).ok(), Some(text), "{json}");
            }
        }
    }

    proptest! {
        #[test]
        fn strings_read_back(text: String) {
            let json = written(|out| string(out, text.as_bytes(), usize::MAX)).expect("there is no limit");
            prop_assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), text);
        }

        #[test]
        fn floats_read_back(bits: u64) {
            let value = f64::from_bits(bits);
            if let Some(json) = written(|out| double(out, value)) {
                prop_assert_eq!(json.parse::<f64>().expect("a number").to_bits(), bits);
                prop_assert!(serde_json::from_str::<serde_json::Number>(&json).is_ok());
            }
        }
    }
}
