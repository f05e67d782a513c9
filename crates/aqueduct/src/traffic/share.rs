//! Probabilities in the form `1%`, `0.1%` or `0.01`.

use std::{fmt, str::FromStr};

/// A probability.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Share(f64);

/// The text is not a probability.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid share {0:?} (expected a percentage such as \"0.1%\", or a number from 0 to 1)")]
pub struct ShareError(String);

impl Share {
    /// It does not happen.
    pub const NEVER: Self = Self(0.0);

    /// The probability, if it is between 0 and 1.
    pub fn new(probability: f64) -> Option<Self> {
        (0.0..=1.0).contains(&probability).then_some(Self(probability))
    }

    /// A random 32-bit number below it means that it happens. Certainty misses one in 2^32.
    pub(super) fn threshold(self) -> u32 {
        (self.0 * f64::from(u32::MAX)) as u32
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let (number, factor) = match text.trim().strip_suffix('%') {
            Some(percent) => (percent.trim_end(), 0.01),
            None => (text.trim(), 1.0),
        };
        let number: Option<f64> = number.parse().ok();
        number.and_then(|number| Self::new(number * factor)).ok_or_else(|| ShareError(text.to_owned()))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0 * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_parsed() {
        for (text, expected) in [("1%", 0.01), ("0.5 %", 0.005), ("0.25", 0.25), ("0", 0.0), ("100%", 1.0)] {
            let share: Share = text.parse().expect(text);
            assert!((share.0 - expected).abs() < 1e-12, "{text}: {share}");
        }
        for text in ["", "%", "-1%", "101%", "2", "NaN", "inf", "one"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_zero_share_never_happens() {
        assert_eq!(Share::NEVER.threshold(), 0);
        assert_eq!(Share(1.0).threshold(), u32::MAX);
    }
}
