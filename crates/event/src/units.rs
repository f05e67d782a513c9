//! Durations and byte sizes as they are written in a configuration file: `30s`, `10m`, `7d`, `32MiB`. See
//! [`crate::time`] for points in time.

use std::{fmt, marker::PhantomData, str::FromStr, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};

/// A length of time in milliseconds; never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub i64);

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// Why a text is not a duration or a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Invalid duration.
    #[error(
        "invalid duration {0:?}; expected a number with ms, s, m, h or d, for example \"30s\" or \"1h30m\""
    )]
    Duration(String),
    /// Invalid size.
    #[error(
        "invalid size {0:?}; expected a number with B, KiB, MiB, GiB, kB, MB or GB, for example \"32MiB\""
    )]
    Size(String),
}

const DURATION_UNITS: [(&str, i64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

impl Millis {
    /// The same length as the standard library's type.
    pub fn std(self) -> Duration {
        Duration::from_millis(self.0.unsigned_abs())
    }
}

impl FromStr for Millis {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parts(text, &DURATION_UNITS.map(|(unit, factor)| (unit, factor.unsigned_abs())))
            .and_then(|total| i64::try_from(total).ok())
            .map(Self)
            .ok_or_else(|| UnitError::Duration(text.to_owned()))
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parts(text, &SIZE_UNITS).map(Self).ok_or_else(|| UnitError::Size(text.to_owned()))
    }
}

/// The sum of the `<number><unit>` parts; `None` if the text has another form.
fn parts(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let factor = units.iter().find(|(unit, _)| *unit == &rest[..letters])?.1;
        total = total.checked_add(number.checked_mul(factor)?)?;
        rest = rest[letters..].trim_start();
    }
    Some(total)
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, factor) in DURATION_UNITS.iter().rev() {
            if rest / factor > 0 {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}B", self.0)
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Quoted::new("a duration with its unit in quotes, for example \"30s\""))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Quoted::new("a size with its unit in quotes, for example \"32MiB\""))
    }
}

/// Reads a string that is parsed. Of another type, such as a number without a unit, the error describes what is expected.
pub struct Quoted<T> {
    expected: &'static str,
    parsed: PhantomData<T>,
}

impl<T> Quoted<T> {
    /// `expected` follows "expected" in an error, as in `a duration with its unit in quotes, for example "30s"`.
    pub fn new(expected: &'static str) -> Self {
        Self { expected, parsed: PhantomData }
    }
}

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Quoted<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_and_written() {
        for (text, millis) in
            [("250ms", 250), ("30s", 30_000), ("1h30m", 5_400_000), ("7d", 604_800_000), ("0s", 0)]
        {
            assert_eq!(text.parse(), Ok(Millis(millis)), "{text}");
            assert_eq!(Millis(millis).to_string(), text);
        }
        for text in ["", "10", "m", "-1s", "1.5h", "10 parsecs", "99999999999999999999s"] {
            assert!(text.parse::<Millis>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_parsed_and_written() {
        for (text, bytes) in [("32MiB", 32 << 20), ("1GiB", 1 << 30), ("7B", 7)] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
        assert_eq!("2MB".parse(), Ok(ByteSize(2_000_000)));
        assert!("32".parse::<ByteSize>().is_err());
    }
}
