//! JSON strings: finding their end, checking their escapes, and decoding them.

use std::borrow::Cow;

use super::error::ErrorKind;

/// A string as it is written, without its quotes. Its escapes have been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    pub(super) raw: &'a str,
    /// Bytes before the first escape. A flag would be enough, but a whole word keeps the scanner's results free of
    /// padding, which would be copied byte by byte.
    pub(super) plain: usize,
}

impl<'a> Text<'a> {
    /// The bytes between the quotes, with escapes as they are written.
    pub fn raw(&self) -> &'a str {
        self.raw
    }

    /// Whether the raw text contains escapes, so that it differs from the decoded string.
    pub fn is_escaped(&self) -> bool {
        self.plain < self.raw.len()
    }

    /// The decoded string; borrowed if there are no escapes.
    #[inline]
    pub fn decode(&self) -> Cow<'a, str> {
        if self.is_escaped() { Cow::Owned(self.decode_escapes()) } else { Cow::Borrowed(self.raw) }
    }

    #[cold]
    fn decode_escapes(&self) -> String {
        let (start, mut rest) = self.raw.split_at(self.plain);
        let mut plain = String::with_capacity(self.raw.len());
        plain.push_str(start);
        while let Some(at) = rest.find('\\') {
            plain.push_str(&rest[..at]);
            let (character, length) = decode_escape(&rest[at..]).expect("the scanner checked every escape");
            plain.push(character);
            rest = &rest[at + length..];
        }
        plain.push_str(rest);
        plain
    }
}

/// The index of the first quote, backslash or control character from `at` on; the length of the text if there is none.
#[inline]
pub fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const LOW: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    // Eight bytes at a time (H. S. Warren, Hacker's Delight, 6-1). Only the lowest flag is exact, which is enough to
    // find the first byte.
    while let Some(chunk) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("the slice is eight bytes long"));
        let zero = |x: u64| x.wrapping_sub(LOW) & !x;
        let control = word.wrapping_sub(LOW * 0x20) & !word;
        let found = (zero(word ^ (LOW * 0x22)) | zero(word ^ (LOW * 0x5c)) | control) & HIGH;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|&b| b != b'"' && b != b'\\' && b >= 0x20) {
        at += 1;
    }
    at
}

/// Length of the escape at the start of `bytes`.
pub(super) fn escape_length(bytes: &[u8]) -> Result<usize, ErrorKind> {
    match bytes.get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
        Some(b'u') => match unit(bytes)? {
            0xd800..=0xdbff => match unit(&bytes[6..]) {
                Ok(0xdc00..=0xdfff) => Ok(12),
                _ => Err(ErrorKind::LoneSurrogate),
            },
            0xdc00..=0xdfff => Err(ErrorKind::LoneSurrogate),
            _ => Ok(6),
        },
        Some(_) => Err(ErrorKind::Escape),
        None => Err(ErrorKind::UnexpectedEnd),
    }
}

/// The character of the escape at the start of `text`, and the length of the escape.
fn decode_escape(text: &str) -> Option<(char, usize)> {
    let bytes = text.as_bytes();
    let character = match bytes.get(1)? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = unit(bytes).ok()?;
            if let Some(character) = char::from_u32(first) {
                return Some((character, 6));
            }
            let second = unit(&bytes[6..]).ok()?;
            let code = 0x1_0000 + ((first.wrapping_sub(0xd800)) << 10) + second.wrapping_sub(0xdc00);
            return Some((char::from_u32(code)?, 12));
        }
        &other => char::from(other),
    };
    Some((character, 2))
}

/// The UTF-16 code unit of a `\uXXXX` at the start of `bytes`.
fn unit(bytes: &[u8]) -> Result<u32, ErrorKind> {
    if !bytes.starts_with(b"\\u") {
        return Err(ErrorKind::Escape);
    }
    let mut unit = 0;
    for at in 2..6 {
        let digit = bytes.get(at).ok_or(ErrorKind::UnexpectedEnd)?;
        unit = unit * 16 + char::from(*digit).to_digit(16).ok_or(ErrorKind::Escape)?;
    }
    Ok(unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn plain_text_ends_at_the_first_special_byte(bytes in proptest::collection::vec(prop_oneof![4 => 0x23u8..=0xff, 1 => any::<u8>()], 0..40), from in 0usize..40) {
            let from = from.min(bytes.len());
            let naive = bytes[from..].iter().position(|&b| b < 0x20 || b == b'"' || b == b'\\');
            prop_assert_eq!(plain_end(&bytes, from), naive.map_or(bytes.len(), |at| from + at));
        }
    }
}
