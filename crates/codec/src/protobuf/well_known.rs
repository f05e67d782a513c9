//! The types of `google/protobuf` that JSON has a form of its own for, and Confluent's decimal.

use super::{
    decode::{Decoder, Integer, Slot, integer, utf8},
    plan::{Form, Kind, Message},
};
use crate::{Reject, RejectCode, decimal, write};

/// Seconds of the years 1 to 9999.
const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Seconds of ten thousand years.
const LONGEST: i64 = 315_576_000_000;

impl<'p> Decoder<'p, '_, '_> {
    pub(super) fn well_known(&mut self, message: &'p Message, content: Slot) -> Result<(), Reject> {
        let base = self.scan(message, content)?;
        let out_of_range = Reject::at(RejectCode::NumberRange, content.start as usize);
        match message.form {
            Form::Plain => unreachable!("a plain message has no form of its own"),
            Form::Timestamp => {
                let (seconds, nanos) = self.seconds_and_nanos(message, base)?;
                let fits = TIMES.contains(&seconds) && (0..1_000_000_000).contains(&nanos);
                if !fits || !write::timestamp(self.out, seconds * 1000, write::Unit::Millis, false) {
                    return Err(out_of_range);
                }
                // The fraction has as many digits as it needs, not those of a unit.
                self.out.truncate(self.out.len() - b".000Z\"".len());
                self.fraction(nanos.unsigned_abs());
                self.out.extend_from_slice(b"Z\"");
            }
            Form::Duration => {
                let (seconds, nanos) = self.seconds_and_nanos(message, base)?;
                let has_one_sign = seconds.signum() * nanos.signum() >= 0;
                if seconds.abs() > LONGEST || nanos.abs() >= 1_000_000_000 || !has_one_sign {
                    return Err(out_of_range);
                }
                self.out.push(b'"');
                if seconds < 0 || nanos < 0 {
                    self.out.push(b'-');
                }
                write::integer(self.out, seconds.abs());
                self.fraction(nanos.unsigned_abs());
                self.out.extend_from_slice(b"s\"");
            }
            Form::Wrapper => match self.slots[base] {
                slot if slot.is_absent() => self.out.extend_from_slice(&message.fields[0].default),
                slot => self.value(message.fields[0].kind, slot)?,
            },
            Form::Struct => self.map(&message.fields[0], self.slots[base])?,
            Form::List => match self.slots[base] {
                slot if slot.is_absent() => self.out.extend_from_slice(b"[]"),
                slot => self.list(&message.fields[0], slot)?,
            },
            Form::Value => {
                let slots = &self.slots[base..base + message.fields.len()];
                match slots.iter().position(|slot| !slot.is_absent()) {
                    Some(index) => self.value(message.fields[index].kind, slots[index])?,
                    None => self.out.extend_from_slice(b"null"),
                }
            }
            Form::FieldMask => self.field_mask(self.slots[base])?,
            Form::Any => self.any(message, base)?,
            Form::Decimal => {
                let scale = self.signed(message, base, 3)?;
                let value = self.input(self.slot(message, base, 1)).rest();
                if !decimal::decimal(self.out, value, scale) {
                    return Err(out_of_range);
                }
            }
        }
        self.slots.truncate(base);
        Ok(())
    }

    /// The slot of a field by its number.
    fn slot(&self, message: &Message, base: usize, number: u32) -> Slot {
        message.index(number).map_or_else(Slot::default, |index| self.slots[base + index])
    }

    fn signed(&self, message: &Message, base: usize, number: u32) -> Result<i64, Reject> {
        let slot = self.slot(message, base, number);
        let kind = message.index(number).map(|index| message.fields[index].kind);
        match kind {
            Some(kind) if !slot.is_absent() => match integer(kind, &mut self.input(slot))? {
                Integer::Signed(value) => Ok(value),
                Integer::Unsigned(_) => unreachable!("the form has a signed field here"),
            },
            _ => Ok(0),
        }
    }

    fn seconds_and_nanos(&self, message: &Message, base: usize) -> Result<(i64, i64), Reject> {
        Ok((self.signed(message, base, 1)?, self.signed(message, base, 2)?))
    }

    /// A point and three, six or nine digits; nothing for 0.
    fn fraction(&mut self, nanos: u64) {
        if nanos == 0 {
            return;
        }
        let (mut value, digits) = match nanos {
            _ if nanos.is_multiple_of(1_000_000) => (nanos / 1_000_000, 3),
            _ if nanos.is_multiple_of(1_000) => (nanos / 1_000, 6),
            _ => (nanos, 9),
        };
        let start = self.out.len();
        self.out.resize(start + 1 + digits, b'.');
        for digit in self.out[start + 1..].iter_mut().rev() {
            *digit = b'0' + (value % 10) as u8;
            value /= 10;
        }
    }

    /// The paths in camel case with commas between them.
    fn field_mask(&mut self, first: Slot) -> Result<(), Reject> {
        let mut paths = String::new();
        let mut next = Some(first);
        while let Some(run) = next {
            let mut input = self.input(run);
            while !input.is_empty() {
                let (number, wire) = input.tag()?;
                let (start, end) = input.skip(number, wire)?;
                let path = utf8(&mut super::wire::Input::new(self.payload, start, end))?;
                if !paths.is_empty() {
                    paths.push(',');
                }
                push_camel_case(&mut paths, path).ok_or(Reject::at(RejectCode::Malformed, start))?;
            }
            next = self.after(run);
        }
        self.string(paths.as_bytes())
    }

    /// The URL of the type, and either the fields of the message or its own form.
    fn any(&mut self, message: &'p Message, base: usize) -> Result<(), Reject> {
        let (url, value) = (self.slot(message, base, 1), self.slot(message, base, 2));
        self.out.push(b'{');
        if url.is_absent() && value.is_absent() {
            self.out.push(b'}');
            return Ok(());
        }
        let text = utf8(&mut self.input(url))?;
        let name = text.rsplit('/').next().unwrap_or(text);
        let plan = self.plan;
        let Some(&index) = plan.names.get(name) else {
            return Err(Reject::at(RejectCode::Malformed, url.start as usize));
        };
        self.out.extend_from_slice(b"\"@type\":");
        self.string(text.as_bytes())?;
        let inner = &plan.messages[index];
        if inner.form == Form::Plain {
            self.members(inner, value)?;
        } else {
            self.out.extend_from_slice(b",\"value\":");
            self.value(Kind::Message(index), value)?;
        }
        self.out.push(b'}');
        Ok(())
    }
}

/// Appends a path in camel case; `None` if it cannot be read back from that.
fn push_camel_case(out: &mut String, path: &str) -> Option<()> {
    let mut after_underscore = false;
    for character in path.chars() {
        match character {
            _ if character.is_uppercase() => return None,
            '_' if !after_underscore => after_underscore = true,
            'a'..='z' if after_underscore => {
                out.push(character.to_ascii_uppercase());
                after_underscore = false;
            }
            _ if after_underscore => return None,
            _ => out.push(character),
        }
    }
    (!after_underscore).then_some(())
}
