//! Times as a table can hold them: from year 1 to year 9999, to the millisecond.
//!
//! BigQuery's TIMESTAMP has no infinities, and text must sort as time does. So the watermark at the end of all input is
//! written as `9999-12-31T23:59:59.999Z`, and one before any event as `0001-01-01T00:00:00.000Z`, in every kind of
//! table; times beyond are cut to these.

use event::{EventTime, calendar};

/// `0001-01-01T00:00:00.000Z`.
pub(crate) const FIRST: i64 = -62_135_596_800_000;
/// `9999-12-31T23:59:59.999Z`.
pub(crate) const LAST: i64 = 253_402_300_799_999;

const DAY: i64 = 86_400_000;

/// Milliseconds since the epoch, within what a table can hold.
pub(crate) fn millis(time: EventTime) -> i64 {
    time.0.clamp(FIRST, LAST)
}

/// The time that was written as these milliseconds; the ends are the ends of time again.
pub(crate) fn from_millis(millis: i64) -> EventTime {
    match millis {
        FIRST => EventTime::MIN,
        LAST => EventTime::MAX,
        other => EventTime(other),
    }
}

/// RFC 3339 in UTC with milliseconds and `Z`: always 24 bytes.
pub(crate) fn write(time: EventTime, out: &mut Vec<u8>) {
    let millis = millis(time);
    let (year, month, day) = calendar::date(millis.div_euclid(DAY));
    let rest = millis.rem_euclid(DAY);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    digits(&mut text[0..4], year);
    digits(&mut text[5..7], month);
    digits(&mut text[8..10], day);
    digits(&mut text[11..13], rest / 3_600_000);
    digits(&mut text[14..16], rest / 60_000 % 60);
    digits(&mut text[17..19], rest / 1000 % 60);
    digits(&mut text[20..23], rest % 1000);
    out.extend_from_slice(&text);
}

/// As [`write()`].
pub(crate) fn text(time: EventTime) -> String {
    let mut out = Vec::with_capacity(24);
    write(time, &mut out);
    String::from_utf8(out).expect("digits and separators are ASCII")
}

/// What [`write()`] wrote.
pub(crate) fn parse(text: &str) -> Option<EventTime> {
    let bytes: &[u8; 24] = text.as_bytes().try_into().ok()?;
    let shape = b"0000-00-00T00:00:00.000Z";
    let fits = |(b, s): (&u8, &u8)| if *s == b'0' { b.is_ascii_digit() } else { b == s };
    if !bytes.iter().zip(shape).all(fits) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        bytes[range].iter().fold(0_i64, |value, digit| value * 10 + i64::from(digit - b'0'))
    };
    let days = calendar::days(number(0..4), number(5..7), number(8..10));
    let rest = ((number(11..13) * 60 + number(14..16)) * 60 + number(17..19)) * 1000 + number(20..23);
    Some(from_millis(days * DAY + rest))
}

fn digits(out: &mut [u8], mut value: i64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn extreme_times_can_be_stored() {
        assert_eq!(text(EventTime::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(text(EventTime::MIN), "0001-01-01T00:00:00.000Z");
        assert_eq!(parse("9999-12-31T23:59:59.999Z"), Some(EventTime::MAX));
        assert_eq!(parse("0001-01-01T00:00:00.000Z"), Some(EventTime::MIN));
        for wrong in ["", "+inf", "2026-09-27T10:00:00Z", "2026-09-27 10:00:00.000Z"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn times_are_formatted_like_event_times(millis in FIRST + 1..=253_402_207_200_999_i64) {
            let time = EventTime(millis);
            prop_assert_eq!(text(time), time.to_string());
            prop_assert_eq!(parse(&text(time)), Some(time));
        }
    }
}
