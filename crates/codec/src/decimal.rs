//! Exact decimals from an unscaled big-endian number in two's complement.

/// Digits of the longest decimal that is written, before and after the point.
pub(crate) const MAX_DIGITS: usize = 1000;

/// The least bytes that can hold a number of more than [`MAX_DIGITS`] digits, less one: a longer number is refused before
/// the conversion, whose time grows with the square of the length.
const MAX_BYTES: usize = 416;

/// Appends a decimal with `scale` digits after the point. A negative scale appends zeros. Returns false if it would be
/// longer than [`MAX_DIGITS`].
pub(crate) fn decimal(out: &mut Vec<u8>, unscaled: &[u8], scale: i64) -> bool {
    let limit = MAX_DIGITS as i64;
    if !(-limit..=limit).contains(&scale) {
        return false;
    }
    let is_negative = unscaled.first().is_some_and(|&byte| byte >= 0x80);
    let sign_byte = if is_negative { 0xff } else { 0 };
    let start = unscaled.iter().position(|&byte| byte != sign_byte).unwrap_or(unscaled.len());
    let mut buffer = [0; MAX_DIGITS + 16];
    let Some(digits) = magnitude(&unscaled[start..], is_negative, &mut buffer) else { return false };
    let zeros = usize::try_from(-scale).unwrap_or(0);
    let after = usize::try_from(scale).unwrap_or(0);
    if digits.len() + zeros > MAX_DIGITS {
        return false;
    }
    if is_negative {
        out.push(b'-');
    }
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(after));
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
    if digits != b"0" {
        out.resize(out.len() + zeros, b'0');
    }
    if after > 0 {
        out.push(b'.');
        out.resize(out.len() + after - fraction.len(), b'0');
        out.extend_from_slice(fraction);
    }
    true
}

/// The decimal digits of a number without its bytes of mere sign; `None` if there are more than [`MAX_DIGITS`].
fn magnitude<'b>(bytes: &[u8], is_negative: bool, buffer: &'b mut [u8; MAX_DIGITS + 16]) -> Option<&'b [u8]> {
    if bytes.len() < 16 {
        let mut wide = [if is_negative { 0xff } else { 0 }; 16];
        wide[16 - bytes.len()..].copy_from_slice(bytes);
        let mut text = itoa::Buffer::new();
        let text = text.format(i128::from_be_bytes(wide).unsigned_abs()).as_bytes();
        buffer[..text.len()].copy_from_slice(text);
        return Some(&buffer[..text.len()]);
    }
    if bytes.len() > MAX_BYTES {
        return None;
    }
    let mut limbs = [0u32; MAX_BYTES / 4 + 1];
    let count = bytes.len() / 4 + 1;
    for (index, &byte) in bytes.iter().rev().enumerate() {
        let byte = if is_negative { !byte } else { byte };
        limbs[index / 4] |= u32::from(byte) << (8 * (index % 4));
    }
    let limbs = &mut limbs[..count];
    if is_negative {
        // The magnitude is the complement plus one.
        for limb in limbs.iter_mut() {
            let (sum, has_carry) = limb.overflowing_add(1);
            *limb = sum;
            if !has_carry {
                break;
            }
        }
    }
    digits_of(limbs, buffer)
}

/// The digits of little-endian limbs, which are used up, by repeated division by a thousand million.
fn digits_of<'b>(limbs: &mut [u32], buffer: &'b mut [u8; MAX_DIGITS + 16]) -> Option<&'b [u8]> {
    const CHUNK: u64 = 1_000_000_000;
    let mut length = limbs.len();
    let mut start = buffer.len();
    while length > 0 {
        let mut rest = 0;
        for limb in limbs[..length].iter_mut().rev() {
            let value = rest << 32 | u64::from(*limb);
            *limb = u32::try_from(value / CHUNK).expect("the rest is below the divisor");
            rest = value % CHUNK;
        }
        while length > 0 && limbs[length - 1] == 0 {
            length -= 1;
        }
        for _ in 0..9 {
            start -= 1;
            buffer[start] = b'0' + u8::try_from(rest % 10).expect("a digit is below ten");
            rest /= 10;
        }
    }
    let digits = &buffer[start..];
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    let digits = &digits[zeros.min(digits.len() - 1)..];
    (digits.len() <= MAX_DIGITS).then_some(digits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(unscaled: &[u8], scale: i64) -> Option<String> {
        let mut out = Vec::new();
        decimal(&mut out, unscaled, scale).then(|| String::from_utf8(out).expect("digits"))
    }

    #[test]
    fn decimals_are_exact() {
        for (unscaled, scale, expect) in [
            (&[][..], 0, "0"),
            (&[], 2, "0.00"),
            (&[0], 0, "0"),
            (&[0xff], 0, "-1"),
            (&[0x04, 0xce], 2, "12.30"),
            (&[0xfb, 0x32], 2, "-12.30"),
            (&[0xff, 0xff, 0xff, 0xff, 0xfb, 0x32], 2, "-12.30"),
            (&[0x80], 0, "-128"),
            (&[0x00, 0x80], 3, "0.128"),
            (&[0x05], 3, "0.005"),
            (&[0x05], -3, "5000"),
            (&[0x00], -3, "0"),
            (&[0xfb], -1, "-50"),
        ] {
            assert_eq!(text(unscaled, scale).as_deref(), Some(expect), "{unscaled:?} {scale}");
        }
    }

    #[test]
    fn long_decimals_are_refused() {
        assert_eq!(text(&[1], MAX_DIGITS as i64).map(|text| text.len()), Some(MAX_DIGITS + 2));
        for scale in [MAX_DIGITS as i64 + 1, 10_000, i64::MAX, i64::MIN, -(MAX_DIGITS as i64)] {
            assert_eq!(text(&[1], scale), None, "{scale}");
        }
        assert_eq!(text(&[0x7f; 415], 0).map(|text| text.len()), Some(1000));
        assert_eq!(text(&[0x7f; 416], 0), None);
        assert_eq!(text(&[0x7f; 1_000_000], 0), None);
        let mut padded = vec![0xff; 1_000_000];
        padded.push(0xfe);
        assert_eq!(text(&padded, 0).as_deref(), Some("-2"));
    }

    /// Schoolbook: the digits of the number so far times 256 plus the next byte.
    fn naive(unscaled: &[u8]) -> String {
        let is_negative = unscaled.first().is_some_and(|&byte| byte >= 0x80);
        let mut digits = vec![0u32];
        let mut times_256_plus = |value: u32| {
            let mut carry = value;
            for digit in &mut digits {
                carry += *digit * 256;
                *digit = carry % 10;
                carry /= 10;
            }
            while carry > 0 {
                digits.push(carry % 10);
                carry /= 10;
            }
        };
        let mut bytes = unscaled.to_vec();
        if is_negative {
            let mut carry = true;
            for byte in bytes.iter_mut().rev() {
                let (sum, overflow) = (!*byte).overflowing_add(u8::from(carry));
                (*byte, carry) = (sum, overflow);
            }
            if carry {
                bytes.insert(0, 1);
            }
        }
        bytes.iter().for_each(|&byte| times_256_plus(byte.into()));
        while digits.len() > 1 && digits.last() == Some(&0) {
            digits.pop();
        }
        let text: String = digits.iter().rev().map(ToString::to_string).collect();
        if is_negative { format!("-{text}") } else { text }
    }

    proptest! {
        #[test]
        fn any_number_is_exact(unscaled in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(text(&unscaled, 0), Some(naive(&unscaled)));
        }
    }

    #[test]
    fn the_least_numbers_of_a_length_are_exact() {
        for length in 1..40 {
            let mut least = vec![0; length];
            least[0] = 0x80;
            assert_eq!(text(&least, 0), Some(naive(&least)), "{length}");
        }
    }
}
