//! Iterates over the fields of an encoded protobuf message, borrowed from its bytes.
//!
//! Decoded by hand, because the generated types copy every name and value into strings. See [`crate::received`] for
//! the meaning of the fields, and [`crate::message`] and [`crate::requests`] for writing them.

use prost::encoding::{WireType, decode_key, decode_varint};

/// A message of Pub/Sub is not valid protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Pub/Sub delivered a message that is not valid protobuf; check which server `pubsub.endpoint` names")]
pub struct Malformed;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A number, a boolean or an enum.
    Varint(u64),
    /// A text, bytes, or an embedded message.
    Bytes(&'a [u8]),
    /// Four or eight bytes; not used by any message that is read here.
    Fixed,
}

/// Field numbers and values, in the order of the message.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

/// The wire type in a tag of one byte.
const LENGTH_DELIMITED: u8 = 2;

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    #[inline]
    fn read(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        // Nearly all fields are texts below 128 bytes with a field number below 16: tag and length take one byte
        // each.
        if let [tag, length, rest @ ..] = self.rest
            && tag & 0x87 == LENGTH_DELIMITED
            && *tag >> 3 > 0
            && *length < 0x80
            && let Some((taken, rest)) = rest.split_at_checked(usize::from(*length))
        {
            self.rest = rest;
            return Ok((u32::from(*tag >> 3), Value::Bytes(taken)));
        }
        self.read_any()
    }

    fn read_any(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        let (number, kind) = decode_key(&mut self.rest).map_err(|_| Malformed)?;
        let value = match kind {
            WireType::Varint => Value::Varint(decode_varint(&mut self.rest).map_err(|_| Malformed)?),
            WireType::LengthDelimited => {
                let length = decode_varint(&mut self.rest).map_err(|_| Malformed)?;
                Value::Bytes(self.take(usize::try_from(length).map_err(|_| Malformed)?)?)
            }
            WireType::ThirtyTwoBit => self.take(4).map(|_| Value::Fixed)?,
            WireType::SixtyFourBit => self.take(8).map(|_| Value::Fixed)?,
            WireType::StartGroup | WireType::EndGroup => return Err(Malformed),
        };
        Ok((number, value))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.rest = &[];
        }
        Some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: &[Result<(u32, Value<'_>), Malformed>]) {
        assert_eq!(Fields::of(bytes).collect::<Vec<_>>(), expected, "{bytes:?}");
    }

    #[test]
    fn every_kind_of_field_is_read_or_skipped() {
        check(&[], &[]);
        check(b"\x08\x96\x01\x12\x02hi", &[Ok((1, Value::Varint(150))), Ok((2, Value::Bytes(b"hi")))]);
        check(b"\x0d1234\x0a\x00", &[Ok((1, Value::Fixed)), Ok((1, Value::Bytes(b"")))]);
        check(b"\x0912345678", &[Ok((1, Value::Fixed))]);
        // A field number and a length of two bytes each.
        check(b"\x82\x01\x02hi", &[Ok((16, Value::Bytes(b"hi")))]);
        let long = [&b"\x12\x80\x01"[..], &[7; 128]].concat();
        check(&long, &[Ok((2, Value::Bytes(&[7; 128])))]);
    }

    #[test]
    fn truncated_protobuf_is_an_error() {
        for bytes in
            [&b"\x12\x03hi"[..], b"\x02\x01x", b"\x08\x96", b"\x0d123", b"\x08", b"\x0b\x0c", b"\x00\x00"]
        {
            check(bytes, &[Err(Malformed)]);
        }
    }
}
