//! Exact decimal numbers with nine digits after the point, as BigQuery's NUMERIC has them, and their sums.

use std::fmt;

use event::number::Decimal;
use serde::{Deserialize, Serialize};

/// Digits after the point.
const SCALE: usize = 9;
/// Digits in all: NUMERIC holds less than 10^29 in units of 10^-9.
const DIGITS: u32 = 38;
/// Digits of a [`Total`] before the point that fit in any case.
const TOTAL_DIGITS: usize = 48;
const LIMIT: i128 = 10_i128.pow(DIGITS);

/// A number of an event: less than 10^29, with nine digits after the point.
///
/// ```
/// use flow::number::Amount;
///
/// assert_eq!(Amount::parse("12.50").unwrap().to_string(), "12.5");
/// assert_eq!(Amount::parse("1e-9").unwrap().to_string(), "0.000000001");
/// assert_eq!(Amount::parse("1e-10"), None, "a tenth digit after the point does not fit");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Amount {
    /// The upper 64 bits of the number of billionths, in two's complement.
    high: i64,
    low: u64,
}

impl Amount {
    /// The value of a number in JSON's notation. `None` if it is none, has a tenth digit after the point, or has more than
    /// 29 digits before it.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = Decimal::parse(text)?.plain(DIGITS as usize + 2)?;
        let (is_negative, digits) =
            plain.strip_prefix('-').map_or((false, plain.as_str()), |rest| (true, rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if fraction.len() > SCALE {
            return None;
        }
        let mut billionths: i128 = 0;
        for digit in
            whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat_n(b'0', SCALE - fraction.len()))
        {
            billionths = billionths.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        }
        (billionths < LIMIT)
            .then(|| Self::from_billionths(if is_negative { -billionths } else { billionths }))
    }

    fn from_billionths(billionths: i128) -> Self {
        Self { high: (billionths >> 64) as i64, low: billionths as u64 }
    }

    fn billionths(self) -> i128 {
        i128::from(self.high) << 64 | i128::from(self.low)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Total::from(*self).fmt(f)
    }
}

/// A sum of [`Amount`]s, each added or taken back up to 2^62 times. Exact in any order, as nothing overflows on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Total {
    /// The upper 64 of 192 bits of the number of billionths, in two's complement.
    high: i64,
    middle: u64,
    low: u64,
}

impl Total {
    /// The value of a number in JSON's notation, such as [`Display`](fmt::Display) writes. `None` if it is none, has a tenth
    /// digit after the point, or has more than 48 digits before it.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = Decimal::parse(text)?.plain(TOTAL_DIGITS + SCALE + 2)?;
        let (is_negative, digits) =
            plain.strip_prefix('-').map_or((false, plain.as_str()), |rest| (true, rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.len() > TOTAL_DIGITS || fraction.len() > SCALE {
            return None;
        }
        let mut words = [0_u64; 3];
        for digit in
            whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat_n(b'0', SCALE - fraction.len()))
        {
            let mut carry = u128::from(digit - b'0');
            for word in words.iter_mut().rev() {
                let value = u128::from(*word) * 10 + carry;
                *word = value as u64;
                carry = value >> 64;
            }
        }
        let total = Self { high: words[0] as i64, middle: words[1], low: words[2] };
        Some(if is_negative { total.negated() } else { total })
    }

    /// Adds an amount a number of times; takes it back if that is negative.
    pub fn add(&mut self, amount: Amount, times: i64) {
        // 127 bits times 63 bits: the product is made of two halves so that each fits.
        let (sign, times) = (times.signum(), i128::from(times.unsigned_abs()));
        let low = i128::from(amount.low) * times;
        let high = i128::from(amount.high) * times;
        let product = Self::from_i128(low).plus(Self::shifted(high));
        self.merge(if sign < 0 { product.negated() } else { product });
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: Self) {
        *self = self.plus(other);
    }

    /// The nearest double.
    pub fn to_f64(self) -> f64 {
        self.to_string().parse().expect("a decimal number reads as a double")
    }

    /// The sum as an amount, if it is less than 10^29.
    pub fn amount(self) -> Option<Amount> {
        let is_short = self.high == i64::from((self.middle as i64) < 0).wrapping_neg();
        let billionths = i128::from(self.middle as i64) << 64 | i128::from(self.low);
        (is_short && billionths.unsigned_abs() < LIMIT.unsigned_abs())
            .then(|| Amount::from_billionths(billionths))
    }

    fn from_i128(value: i128) -> Self {
        Self { high: (value >> 127) as i64, middle: (value >> 64) as u64, low: value as u64 }
    }

    /// A value times 2^64.
    fn shifted(value: i128) -> Self {
        Self { high: (value >> 64) as i64, middle: value as u64, low: 0 }
    }

    fn plus(self, other: Self) -> Self {
        let (low, carry) = self.low.overflowing_add(other.low);
        let (middle, first) = self.middle.overflowing_add(other.middle);
        let (middle, second) = middle.overflowing_add(u64::from(carry));
        let high = self.high.wrapping_add(other.high).wrapping_add(i64::from(first) + i64::from(second));
        Self { high, middle, low }
    }

    fn negated(self) -> Self {
        let inverted = Self { high: !self.high, middle: !self.middle, low: !self.low };
        inverted.plus(Self { high: 0, middle: 0, low: 1 })
    }
}

impl From<Amount> for Total {
    fn from(amount: Amount) -> Self {
        Self::from_i128(amount.billionths())
    }
}

/// Without an exponent and without zeros at the end.
impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_negative = self.high < 0;
        let Self { high, middle, low } = if is_negative { self.negated() } else { *self };
        let mut words = [high as u64, middle, low];
        // Nine digits at a time from the low end; the lowest nine are those after the point.
        let mut groups = Vec::new();
        while words != [0; 3] || groups.len() < 2 {
            let mut rest = 0_u128;
            for word in &mut words {
                let value = rest << 64 | u128::from(*word);
                *word = (value / 1_000_000_000) as u64;
                rest = value % 1_000_000_000;
            }
            groups.push(rest);
        }
        let fraction = groups[0];
        let mut whole = groups[1..].iter().rev().skip_while(|group| **group == 0);
        if is_negative {
            f.write_str("-")?;
        }
        write!(f, "{}", whole.next().unwrap_or(&0))?;
        whole.try_for_each(|group| write!(f, "{group:09}"))?;
        if fraction == 0 {
            return Ok(());
        }
        write!(f, ".{}", format!("{fraction:09}").trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn total(amounts: &[(&str, i64)]) -> String {
        let mut total = Total::default();
        for (amount, times) in amounts {
            total.add(Amount::parse(amount).expect("it fits"), *times);
        }
        total.to_string()
    }

    #[test]
    fn only_what_fits_is_an_amount() {
        let largest = "99999999999999999999999999999.999999999";
        for (text, expected) in [
            ("0", Some("0")),
            ("-0.0", Some("0")),
            ("1.500", Some("1.5")),
            ("-12e3", Some("-12000")),
            (largest, Some(largest)),
            ("1e29", None),
            ("0.0000000001", None),
            ("1e-9", Some("0.000000001")),
            ("-1e-9", Some("-0.000000001")),
            ("1e400", None),
            ("twelve", None),
            ("", None),
        ] {
            assert_eq!(Amount::parse(text).map(|a| a.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_sum_passes_the_largest_amount_and_returns() {
        let largest = "99999999999999999999999999999.999999999";
        assert_eq!(total(&[(largest, 2)]), "199999999999999999999999999999.999999998");
        assert_eq!(total(&[(largest, i64::MAX), (largest, -i64::MAX), ("0.1", 1)]), "0.1");
        assert_eq!(total(&[(&format!("-{largest}"), 1), (largest, 1)]), "0");
        let mut sum = Total::default();
        sum.add(Amount::parse(largest).expect("it fits"), 2);
        assert_eq!(sum.amount(), None);
    }

    #[test]
    fn totals_are_read_as_they_are_written() {
        let long = "123456789012345678901234567890123456789012345678.123456789";
        for text in ["0", "-1", "0.000000001", "-9223372036854775808", long, &format!("-{long}")] {
            assert_eq!(Total::parse(text).map(|total| total.to_string()).as_deref(), Some(text));
        }
        assert_eq!(Total::parse("12.500"), Amount::parse("12.5").map(Total::from));
        for text in ["", "one", "0.0000000001", "1e48"] {
            assert_eq!(Total::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_sum_is_that_of_the_integers(terms in proptest::collection::vec((any::<i64>(), -9i64..9), 0..20)) {
            let mut sum = Total::default();
            for (value, times) in &terms {
                sum.add(Amount::parse(&format!("{value}e-9")).expect("it fits"), *times);
            }
            let expected: i128 = terms.iter().map(|(value, times)| i128::from(*value) * i128::from(*times)).sum();
            prop_assert_eq!(sum.amount().map(Amount::billionths), Some(expected));
            prop_assert_eq!(Amount::parse(&sum.to_string()).map(Amount::billionths), Some(expected));
        }

        #[test]
        fn amounts_sort_as_numbers(a in any::<i64>(), b in any::<i64>()) {
            let amount = |value: i64| Amount::parse(&value.to_string()).expect("it fits");
            prop_assert_eq!(amount(a).cmp(&amount(b)), a.cmp(&b));
        }
    }
}
