//! Numbers as IDs: the one decimal text for all spellings of a number.

use std::borrow::Cow;

use event::number::Decimal;

/// Maximum length, in digits, sign and point, of a number that is hashed.
const MAX_LENGTH: usize = 64;

/// The exact decimal text of a JSON number, so that `123`, `123.0` and `1.23e2` get the same pseudonym as the string
/// `123`: no exponent, no insignificant zeros, no negative zero. Nothing is rounded; a number whose text is too long is
/// rejected.
pub(super) fn canonical(number: &str) -> Option<Cow<'_, str>> {
    let text = if number.contains(['.', 'e', 'E']) {
        Cow::Owned(plain(number)?)
    } else {
        Cow::Borrowed(if number == "-0" { "0" } else { number })
    };
    (text.len() <= MAX_LENGTH).then_some(text)
}

fn plain(number: &str) -> Option<String> {
    Decimal::parse(number)?.plain(MAX_LENGTH)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(number: &str, expect: Option<&str>) {
        assert_eq!(canonical(number).as_deref(), expect, "{number}");
    }

    #[test]
    fn spellings_of_a_number_agree() {
        for number in ["123", "123.0", "1.23e2", "12300E-2", "0.123e+3", "123.000e0", "1230e-1"] {
            check(number, Some("123"));
        }
        for number in ["0", "-0", "0.0", "-0.0", "0e5", "-0E-99999999999999999999"] {
            check(number, Some("0"));
        }
        check("-1.50", Some("-1.5"));
        check("1E-2", Some("0.01"));
        check("0.05e1", Some("0.5"));
        check("9007199254740993", Some("9007199254740993"));
        check("1e30", Some("1000000000000000000000000000000"));
        check(&"9".repeat(64), Some(&"9".repeat(64)));
    }

    #[test]
    fn huge_numbers_are_rejected() {
        for number in [
            "1e64",
            "1e-64",
            "1e999999999",
            "1e99999999999999999999",
            "-1e-99999999999999999999",
            &"9".repeat(65),
        ] {
            check(number, None);
        }
    }

    proptest! {
        #[test]
        fn the_exact_value_is_kept(whole in any::<i64>(), places in 0usize..12, shift in 0usize..12) {
            // The same number, with the point `places` digits to the left and an exponent that compensates for it.
            let digits = format!("{:0>13}", whole.unsigned_abs());
            let (left, right) = digits.split_at(digits.len() - places.max(1));
            let left = left.trim_start_matches('0');
            let left = if left.is_empty() { "0" } else { left };
            let sign = if whole < 0 { "-" } else { "" };
            let written = format!("{sign}{left}.{right}{}e{}", "0".repeat(shift), right.len());
            let plain = whole.to_string();
            let ours = canonical(&written);
            prop_assert_eq!(ours.as_deref(), Some(plain.as_str()), "{}", written);
        }
    }
}
