//! Points in time: milliseconds since the epoch, before 1970 too.
//!
//! No clock: callers pass the current time.

use std::{
    borrow::Cow,
    fmt,
    ops::{Add, Sub},
};

use serde::{Deserialize, Serialize, Serializer};

use crate::{calendar, number::Decimal, units::Millis};

/// Milliseconds since 1970-01-01T00:00:00Z. Between years -9999 and 9999 when it came from an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTime(pub i64);

impl EventTime {
    /// Before every event: the initial watermark.
    pub const MIN: Self = Self(i64::MIN);
    /// After every event: the watermark at the end of the input.
    pub const MAX: Self = Self(i64::MAX);
    /// The furthest times that RFC 3339 can write.
    const BOUNDS: std::ops::RangeInclusive<i64> = -377_705_023_201_000..=253_402_207_200_999;

    /// An RFC 3339 time with its offset, to the millisecond (finer digits are cut off).
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        if let Some(time) = from_plain_utc(text.as_bytes()) {
            return Some(time);
        }
        // RFC 3339 always has a `T` (or `t`, or a space) behind the date; other forms are refused.
        if !matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' ')) {
            return None;
        }
        let timestamp: jiff::Timestamp = cut_fraction(text).parse().ok()?;
        let nanos = timestamp.as_nanosecond();
        i64::try_from(nanos.div_euclid(1_000_000)).ok().and_then(Self::from_millis)
    }

    /// A number of milliseconds since the epoch, as its JSON text; a fraction is cut off towards the past. A time that RFC
    /// 3339 cannot write is [`Self::MIN`] or [`Self::MAX`].
    pub fn from_json_number(text: &str) -> Option<Self> {
        let millis = match text.parse::<i64>() {
            Ok(whole) => whole,
            Err(_) => Decimal::parse(text)?.floor(),
        };
        let beyond = if millis < 0 { Self::MIN } else { Self::MAX };
        Some(Self::from_millis(millis).unwrap_or(beyond))
    }

    /// The time, when RFC 3339 can write it.
    pub fn from_millis(millis: i64) -> Option<Self> {
        Self::BOUNDS.contains(&millis).then_some(Self(millis))
    }
}

/// Serialises a time as RFC 3339; by itself it is a number.
///
/// # Errors
/// Those of the serialiser.
pub fn as_text<S: Serializer>(time: &EventTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// [`as_text`] of a time that may be unknown.
///
/// # Errors
/// Those of the serialiser.
pub fn known_as_text<S: Serializer>(time: &Option<EventTime>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_string()).serialize(serializer)
}

/// RFC 3339 allows any number of digits in the fraction; the parser takes as many as make a nanosecond.
fn cut_fraction(text: &str) -> Cow<'_, str> {
    const NANOSECOND: usize = 9;
    let Some(start) = text.find('.').map(|point| point + 1) else { return Cow::Borrowed(text) };
    let digits = text[start..].bytes().take_while(u8::is_ascii_digit).count();
    if digits <= NANOSECOND {
        return Cow::Borrowed(text);
    }
    Cow::Owned([&text[..start + NANOSECOND], &text[start + digits..]].concat())
}

/// The form that most producers write, `2026-09-27T10:00:00.250Z` or without a fraction; nothing where the text has
/// another, or is no time.
fn from_plain_utc(text: &[u8]) -> Option<EventTime> {
    let (start, fraction) = match text {
        [start @ .., b'.', a, b, c, b'Z'] => (start, digits(&[*a, *b, *c])?),
        [start @ .., b'Z'] => (start, 0),
        _ => return None,
    };
    let start: &[u8; 19] = start.try_into().ok()?;
    let separators = [start[4], start[7], start[10], start[13], start[16]];
    if separators != *b"--T::" {
        return None;
    }
    let (year, month, day) = (digits(&start[..4])?, digits(&start[5..7])?, digits(&start[8..10])?);
    let (hour, minute, second) = (digits(&start[11..13])?, digits(&start[14..16])?, digits(&start[17..])?);
    let exists = hour < 24 && minute < 60 && second < 60 && day > 0 && day <= calendar::days_in(year, month);
    let seconds = ((calendar::days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    exists.then(|| EventTime::from_millis(seconds * 1000 + fraction))?
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter()
        .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

/// RFC 3339 in UTC with milliseconds and `Z`; the two ends of time as `-inf` and `+inf`.
impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp:.3}"),
            Err(_) => f.write_str(if self.0 < 0 { "-inf" } else { "+inf" }),
        }
    }
}

impl Add<Millis> for EventTime {
    type Output = Self;
    fn add(self, length: Millis) -> Self {
        Self(self.0.saturating_add(length.0))
    }
}

/// The ends of time stay where they are.
impl Sub<Millis> for EventTime {
    type Output = Self;
    fn sub(self, length: Millis) -> Self {
        if self == Self::MAX { self } else { Self(self.0.saturating_sub(length.0)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, millis) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("1969-12-31T23:59:59.999Z", -1),
            ("2026-09-27T10:00:00.250Z", 1_790_503_200_250),
        ] {
            assert_eq!(EventTime::from_rfc3339(text), Some(EventTime(millis)), "{text}");
            assert_eq!(EventTime(millis).to_string(), text);
        }
        assert_eq!(
            EventTime::from_rfc3339("2026-09-27T12:00:00.25+02:00"),
            Some(EventTime(1_790_503_200_250))
        );
        assert_eq!(EventTime::from_rfc3339("1969-12-31T23:59:59.9995Z"), Some(EventTime(-1)));
        for digits in 1..40 {
            let text = format!("2026-09-27T12:00:00.{}+02:00", &"250".repeat(14)[..digits]);
            let millis = [200, 250][usize::from(digits > 1)];
            assert_eq!(EventTime::from_rfc3339(&text), Some(EventTime(1_790_503_200_000 + millis)), "{text}");
        }
        for text in ["", "yesterday", "2026-09-27", "2026-09-27T10:00:00", "2026-13-01T00:00:00Z"] {
            assert_eq!(EventTime::from_rfc3339(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_parser_agrees_with_chrono(
            date in (0i64..=9999, 0i64..=13, 0i64..=32), time in (0i64..=24, 0i64..=60, 0i64..=59),
            fraction in proptest::option::of(0i64..1000),
        ) {
            let fraction = fraction.map_or(String::new(), |millis| format!(".{millis:03}"));
            let ((year, month, day), (hour, minute, second)) = (date, time);
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z");
            let theirs = text.parse::<jiff::Timestamp>().ok().map(|time| EventTime(time.as_millisecond()));
            prop_assert_eq!(from_plain_utc(text.as_bytes()), theirs.filter(|time| EventTime::BOUNDS.contains(&time.0)));
        }
    }

    #[test]
    fn numbers_are_milliseconds() {
        for (text, millis) in
            [("0", Some(0)), ("-1", Some(-1)), ("1.9", Some(1)), ("-1.5", Some(-2)), ("1e3", Some(1000))]
        {
            assert_eq!(EventTime::from_json_number(text), millis.map(EventTime), "{text}");
        }
        for text in ["1e300", "9223372036854775807", "1767261600000000"] {
            let time = EventTime::from_json_number(text).expect("a number");
            assert_eq!(EventTime::from_millis(time.0), None, "{text} is out of range");
        }
        assert_eq!(EventTime::from_json_number("1767261599999.9999"), Some(EventTime(1_767_261_599_999)));
        assert_eq!(EventTime::from_json_number("x"), None);
    }

    #[test]
    fn extreme_times_are_written() {
        assert_eq!(EventTime::MIN.to_string(), "-inf");
        assert_eq!(EventTime::MAX.to_string(), "+inf");
        assert_eq!(EventTime::MAX - Millis(5), EventTime::MAX);
        assert_eq!(EventTime::MIN - Millis(5), EventTime::MIN);
    }
}
