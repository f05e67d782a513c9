//! Avro's binary encoding to JSON text, along a plan, without a value in between.
//!
//! A length or count in the input is a claim: nothing is allocated or counted by it. Each step of the loops below takes a
//! byte from the input or adds one to the output, and both are bounded.

use super::plan::{Node, NodeId, Plan};
use crate::{
    Reject, RejectCode,
    decimal::decimal,
    write::{self, MAX_DEPTH},
};

/// Appends the JSON of the value at the beginning of `bytes`, at most `max` bytes, and returns the value's length.
pub(super) fn decode(plan: &Plan, bytes: &[u8], out: &mut Vec<u8>, max: usize) -> Result<usize, Reject> {
    let limit = out.len().saturating_add(max);
    let mut decoder = Decoder { plan, input: Input { bytes, at: 0 }, out, limit };
    decoder.value(plan.root, 0)?;
    if decoder.out.len() > limit {
        return Err(Reject::whole(RejectCode::TooLarge));
    }
    Ok(decoder.input.at)
}

struct Decoder<'a> {
    plan: &'a Plan,
    input: Input<'a>,
    out: &'a mut Vec<u8>,
    /// The length of `out` at which the value is too large.
    limit: usize,
}

/// The input and how far it was read.
pub struct Input<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl Decoder<'_> {
    /// A value inside of `depth` containers.
    fn value(&mut self, id: NodeId, depth: u32) -> Result<(), Reject> {
        let start = self.input.at;
        match self.plan.node(id) {
            Node::Null => self.out.extend_from_slice(b"null"),
            Node::Boolean => match self.input.take(1, start)? {
                [0] => self.out.extend_from_slice(b"false"),
                [1] => self.out.extend_from_slice(b"true"),
                _ => return Err(Reject::at(RejectCode::Malformed, start)),
            },
            Node::Int => write::integer(self.out, self.input.int()?.into()),
            Node::Long => write::integer(self.out, self.input.long()?),
            Node::Float => {
                let value = f32::from_le_bytes(self.input.array()?);
                finite(write::single(self.out, value), start)?;
            }
            Node::Double => {
                let value = f64::from_le_bytes(self.input.array()?);
                finite(write::double(self.out, value), start)?;
            }
            Node::String => {
                let text = self.input.text()?;
                within_limit(write::string(self.out, text, self.limit), start)?;
            }
            Node::Bytes => {
                let bytes = self.input.counted()?;
                within_limit(write::base64(self.out, bytes, self.limit), start)?;
            }
            Node::Fixed { size } => {
                let bytes = self.input.take(size as usize, start)?;
                within_limit(write::base64(self.out, bytes, self.limit), start)?;
            }
            Node::Enum { symbols } => {
                let symbol = pick(self.plan.symbols(symbols), self.input.int()?, start)?;
                self.out.extend_from_slice(symbol);
            }
            Node::Union { branches } => {
                let branch = *pick(self.plan.branches(branches), self.input.int()?, start)?;
                self.value(branch, depth)?;
            }
            Node::Record { members } => {
                self.open(depth, start)?;
                self.out.push(b'{');
                for member in self.plan.members(members) {
                    self.out.extend_from_slice(&member.lead);
                    self.value(member.node, depth + 1)?;
                }
                self.out.push(b'}');
            }
            Node::Array { items } => {
                self.open(depth, start)?;
                self.array(items, depth)?;
            }
            Node::Map { values } => {
                self.open(depth, start)?;
                self.map(values, depth)?;
            }
            logical => self.logical(logical, start)?,
        }
        Ok(())
    }

    /// Logical types that are written differently from their base. Apart from the others, so that the frames of a
    /// recursion stay small.
    #[inline(never)]
    fn logical(&mut self, node: Node, start: usize) -> Result<(), Reject> {
        let in_range = match node {
            Node::DecimalBytes { scale } => {
                let unscaled = self.input.counted()?;
                decimal(self.out, unscaled, scale.into())
            }
            Node::DecimalFixed { scale, size } => {
                let unscaled = self.input.take(size as usize, start)?;
                decimal(self.out, unscaled, scale.into())
            }
            Node::BigDecimal => self.big_decimal(start)?,
            Node::Uuid => {
                write::uuid(self.out, self.input.array()?);
                true
            }
            Node::Date => write::date(self.out, self.input.int()?.into()),
            Node::Time(write::Unit::Millis) => {
                write::time_of_day(self.out, self.input.int()?.into(), write::Unit::Millis)
            }
            Node::Time(unit) => write::time_of_day(self.out, self.input.long()?, unit),
            Node::Timestamp(unit) => write::timestamp(self.out, self.input.long()?, unit, false),
            Node::LocalTimestamp(unit) => write::timestamp(self.out, self.input.long()?, unit, true),
            Node::Duration => {
                self.duration()?;
                true
            }
            _ => unreachable!("every other type is decoded above"),
        };
        if in_range { Ok(()) } else { Err(Reject::at(RejectCode::NumberRange, start)) }
    }

    /// Before a container: whether there may be one more. A container is the only type that can be written again and
    /// again without any input.
    fn open(&self, depth: u32, start: usize) -> Result<(), Reject> {
        if depth >= MAX_DEPTH {
            return Err(Reject::at(RejectCode::TooDeep, start));
        }
        self.fits(start)
    }

    fn fits(&self, start: usize) -> Result<(), Reject> {
        within_limit(self.out.len() <= self.limit, start)
    }

    fn array(&mut self, items: NodeId, depth: u32) -> Result<(), Reject> {
        self.out.push(b'[');
        let mut is_first = true;
        while let Some(count) = self.input.block()? {
            for _ in 0..count {
                if !is_first {
                    self.out.push(b',');
                }
                is_first = false;
                let start = self.input.at;
                self.value(items, depth + 1)?;
                self.fits(start)?;
            }
        }
        self.out.push(b']');
        Ok(())
    }

    fn map(&mut self, values: NodeId, depth: u32) -> Result<(), Reject> {
        self.out.push(b'{');
        let mut is_first = true;
        while let Some(count) = self.input.block()? {
            for _ in 0..count {
                if !is_first {
                    self.out.push(b',');
                }
                is_first = false;
                let start = self.input.at;
                let name = self.input.text()?;
                within_limit(write::string(self.out, name, self.limit), start)?;
                self.out.push(b':');
                self.value(values, depth + 1)?;
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    /// Bytes that hold counted bytes with an unscaled number, and a scale.
    fn big_decimal(&mut self, start: usize) -> Result<bool, Reject> {
        let whole = self.input.counted()?;
        let offset = self.input.at - whole.len();
        let mut inner = Input { bytes: &self.input.bytes[..self.input.at], at: offset };
        let unscaled = inner.counted()?;
        let scale = inner.int()?;
        if inner.at != self.input.at {
            return Err(Reject::at(RejectCode::Malformed, start));
        }
        Ok(decimal(self.out, unscaled, scale.into()))
    }

    /// ISO 8601, without the parts that are zero: `P1M2DT3.004S`.
    fn duration(&mut self) -> Result<(), Reject> {
        let bytes: [u8; 12] = self.input.array()?;
        let part = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let (months, days, millis) = (part(0), part(4), part(8));
        self.out.extend_from_slice(b"\"P");
        for (value, letter) in [(months, b'M'), (days, b'D')] {
            if value > 0 {
                write::integer(self.out, value.into());
                self.out.push(letter);
            }
        }
        if millis > 0 || (months, days) == (0, 0) {
            self.out.push(b'T');
            write::integer(self.out, (millis / 1000).into());
            let fraction = millis % 1000;
            if fraction > 0 {
                self.out.push(b'.');
                let digit = |value: u32| b'0' + u8::try_from(value % 10).expect("a digit is below ten");
                self.out.extend_from_slice(&[digit(fraction / 100), digit(fraction / 10), digit(fraction)]);
            }
            self.out.push(b'S');
        }
        self.out.push(b'"');
        Ok(())
    }
}

impl<'a> Input<'a> {
    /// Reads these bytes from their beginning.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// A number of bytes of a value that began at `start`.
    ///
    /// # Errors
    /// [`RejectCode::Truncated`], as of every other method.
    #[inline]
    pub fn take(&mut self, length: usize, start: usize) -> Result<&'a [u8], Reject> {
        let rest = &self.bytes[self.at..];
        let Some(bytes) = rest.get(..length) else { return Err(Reject::at(RejectCode::Truncated, start)) };
        self.at += length;
        Ok(bytes)
    }

    /// A number of bytes.
    ///
    /// # Errors
    /// [`RejectCode::Truncated`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Reject> {
        let bytes = self.take(N, self.at)?;
        Ok(bytes.try_into().expect("that many bytes were taken"))
    }

    /// Bytes after their length.
    ///
    /// # Errors
    /// [`RejectCode::Malformed`] for a negative length.
    #[inline]
    pub fn counted(&mut self) -> Result<&'a [u8], Reject> {
        let start = self.at;
        let length = self.long()?;
        let Ok(length) = usize::try_from(length) else {
            return Err(Reject::at(RejectCode::Malformed, start));
        };
        self.take(length, start)
    }

    /// Bytes after their length, which are UTF-8.
    ///
    /// # Errors
    /// [`RejectCode::InvalidUtf8`].
    #[inline]
    pub fn text(&mut self) -> Result<&'a [u8], Reject> {
        let bytes = self.counted()?;
        match write::check_utf8(bytes) {
            Ok(()) => Ok(bytes),
            Err(valid) => Err(Reject::at(RejectCode::InvalidUtf8, self.at - bytes.len() + valid)),
        }
    }

    /// The number of elements of the next block of an array or map; `None` at its end. A negative number is followed by
    /// the size of the block in bytes, which no other reader checks either.
    ///
    /// # Errors
    /// [`RejectCode::Malformed`] for a negative size.
    pub fn block(&mut self) -> Result<Option<u64>, Reject> {
        let count = self.long()?;
        if count < 0 {
            let at = self.at;
            if self.long()? < 0 {
                return Err(Reject::at(RejectCode::Malformed, at));
            }
        }
        Ok(Some(count.unsigned_abs()).filter(|&count| count > 0))
    }

    /// A number of 32 bits.
    ///
    /// # Errors
    /// [`RejectCode::Malformed`] for a longer one.
    pub fn int(&mut self) -> Result<i32, Reject> {
        let start = self.at;
        i32::try_from(self.long()?).map_err(|_| Reject::at(RejectCode::Malformed, start))
    }

    /// A number of 64 bits.
    ///
    /// # Errors
    /// [`RejectCode::Malformed`] for a longer one.
    #[inline]
    pub fn long(&mut self) -> Result<i64, Reject> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(zigzag(byte.into()))
            }
            _ => self.long_of_many_bytes(),
        }
    }

    fn long_of_many_bytes(&mut self) -> Result<i64, Reject> {
        let start = self.at;
        let mut value = 0;
        for (index, &byte) in self.bytes[start..].iter().take(10).enumerate() {
            // The tenth byte has the 64th bit, and no other.
            if index == 9 && byte > 1 {
                return Err(Reject::at(RejectCode::Malformed, start));
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.at += index + 1;
                return Ok(zigzag(value));
            }
        }
        Err(Reject::at(RejectCode::Truncated, start))
    }
}

#[inline]
fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn within_limit(is_within: bool, start: usize) -> Result<(), Reject> {
    if is_within { Ok(()) } else { Err(Reject::at(RejectCode::TooLarge, start)) }
}

fn finite(is_written: bool, start: usize) -> Result<(), Reject> {
    if is_written { Ok(()) } else { Err(Reject::at(RejectCode::NotFinite, start)) }
}

/// The symbol or branch at an index that was read from the input.
pub(super) fn pick<T>(all: &[T], index: i32, start: usize) -> Result<&T, Reject> {
    usize::try_from(index)
        .ok()
        .and_then(|index| all.get(index))
        .ok_or(Reject::at(RejectCode::Malformed, start))
}
