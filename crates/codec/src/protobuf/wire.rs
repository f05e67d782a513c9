//! Protobuf's wire format: tags, varints and lengths within a span of a payload.

use crate::{Reject, RejectCode};

/// Deeper nesting of groups or messages is rejected.
pub(super) const MAX_DEPTH: u32 = 64;

/// How a field's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Varint,
    Fixed64,
    Bytes,
    Start,
    End,
    Fixed32,
}

/// Reads within a span. Positions are those of the whole payload, so that rejects and spans need no conversion.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    payload: &'a [u8],
    pub(super) at: usize,
    end: usize,
}

impl<'a> Input<'a> {
    /// The bytes of the payload from `start` to before `end`, which must be within it.
    pub(super) fn new(payload: &'a [u8], start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= payload.len());
        Self { payload, at: start, end }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.end
    }

    /// Everything that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        let rest = &self.payload[self.at..self.end];
        self.at = self.end;
        rest
    }

    /// A number of at most 64 bits. Further bits of a tenth byte are dropped, as all implementations do.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Reject> {
        match self.payload[self.at..self.end].first() {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Reject> {
        let mut value = 0;
        for (index, &byte) in self.payload[self.at..self.end].iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.at += index + 1;
                return Ok(value);
            }
        }
        if self.end - self.at >= 10 { Err(self.malformed()) } else { Err(self.ends()) }
    }

    /// The number of the next field, and how its value is written.
    #[inline]
    pub(super) fn tag(&mut self) -> Result<(u32, Wire), Reject> {
        let start = self.at;
        let tag = self.varint()?;
        let wire = match tag & 7 {
            0 => Wire::Varint,
            1 => Wire::Fixed64,
            2 => Wire::Bytes,
            3 => Wire::Start,
            4 => Wire::End,
            5 => Wire::Fixed32,
            _ => return Err(Reject::at(RejectCode::Malformed, start)),
        };
        // Field numbers have 29 bits.
        match u32::try_from(tag) {
            Ok(tag) if tag >> 3 != 0 && self.at - start <= 5 => Ok((tag >> 3, wire)),
            _ => Err(Reject::at(RejectCode::Malformed, start)),
        }
    }

    /// Skips the value after a tag, and returns its content: the bytes after a length, or those between the tags of a
    /// group.
    #[inline]
    pub(super) fn skip(&mut self, number: u32, wire: Wire) -> Result<(usize, usize), Reject> {
        let start = self.at;
        match wire {
            Wire::Varint => {
                self.varint()?;
            }
            Wire::Fixed64 => self.advance(8)?,
            Wire::Fixed32 => self.advance(4)?,
            Wire::Bytes => {
                let length = self.varint()?;
                let start = self.at;
                let length = usize::try_from(length).map_err(|_| self.ends())?;
                self.advance(length)?;
                return Ok((start, self.at));
            }
            Wire::Start => return self.skip_group(number),
            Wire::End => return Err(self.malformed()),
        }
        Ok((start, self.at))
    }

    fn skip_group(&mut self, number: u32) -> Result<(usize, usize), Reject> {
        let start = self.at;
        let mut open = vec![number];
        loop {
            let before = self.at;
            if self.is_empty() {
                return Err(self.ends());
            }
            let (number, wire) = self.tag()?;
            match wire {
                Wire::Start if open.len() >= MAX_DEPTH as usize => {
                    return Err(Reject::at(RejectCode::TooDeep, before));
                }
                Wire::Start => open.push(number),
                Wire::End if open.pop() != Some(number) => {
                    return Err(Reject::at(RejectCode::Malformed, before));
                }
                Wire::End if open.is_empty() => return Ok((start, before)),
                Wire::End => {}
                _ => {
                    self.skip(number, wire)?;
                }
            }
        }
    }

    pub(super) fn fixed32(&mut self) -> Result<[u8; 4], Reject> {
        self.fixed()
    }

    pub(super) fn fixed64(&mut self) -> Result<[u8; 8], Reject> {
        self.fixed()
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Reject> {
        let bytes = self.payload[self.at..self.end].first_chunk().copied().ok_or_else(|| self.ends())?;
        self.at += N;
        Ok(bytes)
    }

    #[inline]
    fn advance(&mut self, length: usize) -> Result<(), Reject> {
        if length > self.end - self.at {
            return Err(self.ends());
        }
        self.at += length;
        Ok(())
    }

    /// A value goes beyond the end: of the payload, or of the message that it is part of.
    #[cold]
    fn ends(&self) -> Reject {
        let code = if self.end == self.payload.len() { RejectCode::Truncated } else { RejectCode::Malformed };
        Reject::at(code, self.at)
    }

    #[cold]
    pub(super) fn malformed(&self) -> Reject {
        Reject::at(RejectCode::Malformed, self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(bytes: &[u8]) -> Input<'_> {
        Input::new(bytes, 0, bytes.len())
    }

    #[test]
    fn varints_have_at_most_ten_bytes() {
        for (bytes, expect) in [
            (&[0x00][..], Ok(0)),
            (&[0x7f], Ok(127)),
            (&[0xac, 0x02], Ok(300)),
            (&[0xff; 10], Err(RejectCode::Malformed)),
            (&[0xff; 9], Err(RejectCode::Truncated)),
            (&[], Err(RejectCode::Truncated)),
        ] {
            assert_eq!(input(bytes).varint().map_err(|reject| reject.code), expect, "{bytes:?}");
        }
        let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(input(&longest).varint(), Ok(u64::MAX));
    }

    #[test]
    fn impossible_tags_are_malformed() {
        for bytes in [
            &[0x00][..],
            &[0x0e],
            &[0x0f],
            &[0x88, 0x80, 0x80, 0x80, 0x80, 0x00],
            &[0xf8, 0xff, 0xff, 0xff, 0x1f],
        ] {
            let reject = input(bytes).tag().expect_err("no tag");
            assert_eq!(reject, Reject::at(RejectCode::Malformed, 0), "{bytes:?}");
        }
        assert_eq!(input(&[0xf8, 0xff, 0xff, 0xff, 0x0f]).tag(), Ok(((1 << 29) - 1, Wire::Varint)));
    }

    #[test]
    fn groups_end_with_their_own_number() {
        for (bytes, expect) in [
            (&[0x10, 0x01, 0x0c][..], Ok((0, 2))),
            (&[0x13, 0x14, 0x0c], Ok((0, 2))),
            (&[0x14], Err(RejectCode::Malformed)),
            (&[0x13, 0x0c], Err(RejectCode::Malformed)),
            (&[0x10, 0x01], Err(RejectCode::Truncated)),
            (&[0x13; 100], Err(RejectCode::TooDeep)),
        ] {
            assert_eq!(input(bytes).skip(1, Wire::Start).map_err(|reject| reject.code), expect, "{bytes:?}");
        }
    }
}
