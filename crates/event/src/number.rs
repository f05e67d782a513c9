//! JSON numbers by their exact decimal value: `1`, `1.0` and `10e-1` are equal, 1234567890123456789 and
//! 1234567890123456790 are not, as they would be as doubles.

use std::{borrow::Cow, fmt};

/// A decimal number. Two are equal exactly when their values are; the order is any total order.
///
/// ```
/// use event::number::Decimal;
///
/// assert_eq!(Decimal::parse("10e-1"), Decimal::parse("1.0"));
/// assert_ne!(Decimal::parse("9007199254740993"), Decimal::parse("9007199254740992"));
/// assert_eq!(Decimal::parse("one"), None);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal<'a> {
    negative: bool,
    /// How many of the digits are before the point; negative for zeros that follow the point.
    point: i64,
    /// Without zeros at either end; empty for zero.
    digits: Cow<'a, str>,
}

impl<'a> Decimal<'a> {
    /// The value of a number in JSON's notation; `None` for any other text, and for exponents beyond 64 bits.
    pub fn parse(number: &'a str) -> Option<Self> {
        let (negative, unsigned) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
            return None;
        }
        let all =
            if fraction.is_empty() { Cow::Borrowed(whole) } else { Cow::Owned([whole, fraction].concat()) };
        let leading = all.len() - all.trim_start_matches('0').len();
        let end = all.trim_end_matches('0').len();
        if leading >= end {
            return Some(Self { negative: false, point: 0, digits: Cow::Borrowed("") });
        }
        let point = exponent.parse::<i64>().ok()?.checked_add(whole.len() as i64 - leading as i64)?;
        let digits = match all {
            Cow::Borrowed(all) => Cow::Borrowed(&all[leading..end]),
            Cow::Owned(all) => Cow::Owned(all[leading..end].to_owned()),
        };
        Some(Self { negative, point, digits })
    }

    /// The largest integer that is not above it, or the nearest one of 64 bits.
    pub fn floor(&self) -> i64 {
        let beyond = if self.negative { i64::MIN } else { i64::MAX };
        let place = usize::try_from(self.point.clamp(0, 20)).unwrap_or(0);
        let (whole, rest) = self.digits.split_at(place.min(self.digits.len()));
        let zeros = if whole.is_empty() { 0 } else { place - whole.len() };
        let magnitude = format!("0{whole}{}", "0".repeat(zeros)).parse::<i64>();
        match (magnitude, self.negative) {
            (Err(_), _) => beyond,
            (Ok(whole), false) => whole,
            (Ok(whole), true) => -whole - i64::from(!rest.is_empty()),
        }
    }

    /// The same number without a borrow.
    pub fn into_owned(self) -> Decimal<'static> {
        Decimal { digits: Cow::Owned(self.digits.into_owned()), ..self }
    }

    /// The number without an exponent, `None` where that takes more than `longest` characters.
    pub fn plain(&self, longest: usize) -> Option<String> {
        if self.digits.is_empty() {
            return Some("0".to_owned());
        }
        let sign = if self.negative { "-" } else { "" };
        let place = usize::try_from(self.point.unsigned_abs()).ok().filter(|place| *place <= longest)?;
        let text = if self.point <= 0 {
            format!("{sign}0.{}{}", "0".repeat(place), self.digits)
        } else if place >= self.digits.len() {
            format!("{sign}{}{}", self.digits, "0".repeat(place - self.digits.len()))
        } else {
            format!("{sign}{}.{}", &self.digits[..place], &self.digits[place..])
        };
        (text.len() <= longest).then_some(text)
    }
}

impl From<i64> for Decimal<'static> {
    fn from(number: i64) -> Self {
        Decimal::parse(&number.to_string()).expect("an integer is a number").into_owned()
    }
}

impl Decimal<'static> {
    /// The shortest decimal number that reads as this double; `None` for infinity and NaN.
    pub fn from_double(number: f64) -> Option<Self> {
        Decimal::parse(&format!("{number:e}")).map(Decimal::into_owned)
    }
}

/// In scientific notation with an integer mantissa: `-15e-1`.
impl fmt::Display for Decimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits.is_empty() {
            return f.write_str("0");
        }
        let sign = if self.negative { "-" } else { "" };
        write!(f, "{sign}{}e{}", self.digits, self.point.saturating_sub(self.digits.len() as i64))
    }
}

/// As a double prints where one has this value, so that flows that were saved when matchers compared doubles are
/// recognised; otherwise every digit.
impl fmt::Debug for Decimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = self.to_string();
        match exact.parse().ok().filter(|double| Decimal::from_double(*double).as_ref() == Some(self)) {
            Some(double) => write!(f, "{double:?}"),
            None => f.write_str(&exact),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Decimal<'_> {
        Decimal::parse(text).unwrap_or_else(|| panic!("{text} is a number"))
    }

    #[test]
    fn spellings_of_a_number_agree() {
        for same in [
            &["123", "123.0", "1.23e2", "12300E-2", "0.123e+3", "123.000e0", "1230e-1", "0123"][..],
            &["0", "-0", "0.0", "-0.0", "0e5"],
            &["-1.5", "-1.50", "-15e-1", "-0.15E1"],
            &["1e300", "10e299", "0.1e301"],
        ] {
            for text in same {
                assert_eq!(number(text), number(same[0]), "{text}");
            }
        }
        for (one, other) in [("1", "-1"), ("1", "10"), ("0.1", "0.10000000000000001"), ("1e300", "1e301")] {
            assert_ne!(number(one), number(other));
        }
        for text in ["", "-", "e5", "1e", ".5", "0x10", "1e99999999999999999999", "NaN"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn debug_prints_like_a_double_only_where_one_is_equal() {
        for (text, debug) in [("1", "1.0"), ("0.1", "0.1"), ("1234567890123456789", "1234567890123456789e0")]
        {
            assert_eq!(format!("{:?}", number(text)), debug);
        }
    }

    proptest! {
        #[test]
        fn shifting_the_point_keeps_the_value(whole in any::<i64>(), shift in 0usize..12) {
            let written = format!("{whole}{}e-{shift}", "0".repeat(shift));
            prop_assert_eq!(number(&written), Decimal::from(whole));
            prop_assert_eq!(number(&written).plain(64), Some(whole.to_string()));
        }

        #[test]
        fn floors_are_those_of_integers_and_fractions(whole in -1_000_000_000_000_000i64..1_000_000_000_000_000, fraction in "[0-9]{1,30}") {
            let text = format!("{whole}.{fraction}");
            let is_below = text.starts_with('-') && fraction.bytes().any(|digit| digit != b'0');
            prop_assert_eq!(Decimal::parse(&text).map(|number| number.floor()), Some(whole - i64::from(is_below)));
        }

        #[test]
        fn doubles_round_trip(double in any::<f64>().prop_filter("finite", |double| double.is_finite())) {
            let decimal = Decimal::from_double(double).expect("a finite number");
            prop_assert_eq!(decimal.to_string().parse::<f64>(), Ok(double + 0.0));
        }
    }
}
