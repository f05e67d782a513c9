//! Protobuf's binary encoding to JSON text along a [`Plan`], without a tree of values.
//!
//! The fields of a message are written in any order, a field that has one value can occur several times, and the elements
//! of a list can be apart from each other. So a message is read twice: [`Decoder::scan`] notes where the values of each field are, and
//! [`Decoder::members`] writes them in the order of the schema. A scan passes over a nested message in one step, by its
//! length; only groups, which have none, are read again at each level.
//!
//! A message that occurs several times is merged, which is the same as reading its occurrences one after the other. So
//! the content of a message is a chain of spans.

use std::cell::Cell;

use super::{
    plan::{Field, Form, Kind, Message, Plan, Shape},
    wire::{Input, MAX_DEPTH},
};
use crate::{
    Reject, RejectCode,
    write::{self, MAX_OUTPUT},
};

/// Where a value is: a span of the payload, and for chains the next one.
///
/// Of a field with one value, it is the value without tag and length; of a list or map, a run of occurrences with their
/// tags. A field without a value has the default.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    pub(super) start: u32,
    /// One past the last byte. No value ends at 0, because a tag precedes it.
    pub(super) end: u32,
    /// The index of the next slot of the chain, 0 at its end.
    pub(super) next: u32,
    /// The index of the last slot of the chain that begins here, 0 if that is this one.
    pub(super) last: u32,
}

impl Slot {
    pub(super) fn is_absent(&self) -> bool {
        self.end == 0
    }
}

thread_local! {
    /// The memory of the slots, kept from record to record.
    static SLOTS: Cell<Vec<Slot>> = const { Cell::new(Vec::new()) };
}

/// Slots that a thread keeps: 1 MB. A record that needs more gives the rest back.
const KEPT_SLOTS: usize = 65_536;

/// Appends the JSON of the message with index `root` in `plan`, whose bytes begin at `start` in `payload`.
pub(super) fn decode(
    plan: &Plan,
    root: usize,
    payload: &[u8],
    start: usize,
    out: &mut Vec<u8>,
) -> Result<(), Reject> {
    let too_large = Reject::whole(RejectCode::TooLarge);
    let end = u32::try_from(payload.len()).map_err(|_| too_large)?;
    let start = u32::try_from(start).map_err(|_| too_large)?;
    let limit = out.len().saturating_add(MAX_OUTPUT);
    let mut slots = SLOTS.take();
    slots.clear();
    let mut decoder = Decoder { plan, payload, out, limit, slots, depth: 0, has_unknown_symbol: false };
    let result = decoder.message(root, Slot { start, end, ..Slot::default() });
    let mut slots = decoder.slots;
    slots.clear();
    slots.shrink_to(KEPT_SLOTS);
    SLOTS.set(slots);
    result
}

pub(super) struct Decoder<'p, 'a, 'o> {
    pub(super) plan: &'p Plan,
    pub(super) payload: &'a [u8],
    pub(super) out: &'o mut Vec<u8>,
    /// The greatest length of `out`.
    pub(super) limit: usize,
    /// A stack: each open message has one slot a field, one a `oneof`, and the further slots of its chains.
    pub(super) slots: Vec<Slot>,
    depth: u32,
    /// The last scan met a number that a closed enum does not have.
    pub(super) has_unknown_symbol: bool,
}

impl<'p, 'a> Decoder<'p, 'a, '_> {
    /// Writes a message whose content is the chain that begins with `content`.
    pub(super) fn message(&mut self, index: usize, content: Slot) -> Result<(), Reject> {
        let plan = self.plan;
        let message = &plan.messages[index];
        // A value only contains structs and lists, which count.
        let levels = u32::from(message.form != Form::Value);
        if self.depth + levels > MAX_DEPTH {
            return Err(Reject::at(RejectCode::TooDeep, content.start as usize));
        }
        self.depth += levels;
        if message.form == Form::Plain {
            self.out.push(b'{');
            self.members(message, content)?;
            self.out.push(b'}');
        } else {
            self.well_known(message, content)?;
        }
        self.depth -= levels;
        Ok(())
    }

    /// Writes the fields of a message, without its braces.
    pub(super) fn members(&mut self, message: &'p Message, content: Slot) -> Result<(), Reject> {
        let base = self.scan(message, content)?;
        for (field, index) in message.fields.iter().zip(base..) {
            let slot = self.slots[index];
            if slot.is_absent() {
                match field.shape {
                    Shape::Optional => continue,
                    Shape::List if field.is_extension => continue,
                    Shape::Required => return Err(Reject::at(RejectCode::Malformed, content.end as usize)),
                    Shape::Implicit | Shape::List | Shape::Map => {}
                }
            }
            self.name(field)?;
            match field.shape {
                Shape::List => self.list(field, slot)?,
                Shape::Map => self.map(field, slot)?,
                _ if slot.is_absent() => self.out.extend_from_slice(&field.default),
                _ => self.value(field.kind, slot)?,
            }
        }
        self.slots.truncate(base);
        Ok(())
    }

    /// Notes where the values of each field are. Returns the index of the first field's slot; the caller truncates the
    /// slots to it once the fields are written.
    pub(super) fn scan(&mut self, message: &Message, content: Slot) -> Result<usize, Reject> {
        let base = self.slots.len();
        self.slots.resize(base + message.fields.len() + message.oneofs, Slot::default());
        let mut next = Some(content);
        while let Some(span) = next {
            let mut input = self.input(span);
            while !input.is_empty() {
                let start = input.at;
                let (number, wire) = input.tag()?;
                let (value_start, value_end) = input.skip(number, wire)?;
                let Some(index) = message.index(number) else { continue };
                let field = &message.fields[index];
                if !field.accepts(wire) {
                    continue;
                }
                // The payload's length fits, and so do positions in it.
                let slot = |start: usize, end: usize| Slot {
                    start: start as u32,
                    end: end as u32,
                    ..Slot::default()
                };
                if matches!(field.shape, Shape::List | Shape::Map) {
                    self.extend_run(base + index, slot(start, input.at));
                } else {
                    self.note(message, base, index, slot(value_start, value_end))?;
                }
            }
            next = self.after(span);
        }
        Ok(base)
    }

    /// The slot behind this one in its chain.
    pub(super) fn after(&self, slot: Slot) -> Option<Slot> {
        (slot.next != 0).then(|| self.slots[slot.next as usize])
    }

    /// Notes a value of a field that has one: the last one counts, and messages are merged.
    fn note(&mut self, message: &Message, base: usize, index: usize, value: Slot) -> Result<(), Reject> {
        let field = &message.fields[index];
        if let Kind::Enum(found) = field.kind
            && self.plan.enums[found].is_closed
        {
            let number = self.input(value).varint()?;
            if self.plan.enums[found].name(number as i32).is_none() {
                self.has_unknown_symbol = true;
                return Ok(());
            }
        }
        if let Some(oneof) = field.oneof {
            // The slot of a `oneof` holds the index of its current field, plus one.
            let current = &mut self.slots[base + message.fields.len() + oneof].start;
            let previous = std::mem::replace(current, index as u32 + 1);
            if previous != 0 && previous != *current {
                self.slots[base + previous as usize - 1] = Slot::default();
            }
        }
        if field.kind.message().is_some() && !self.slots[base + index].is_absent() {
            self.append(base + index, value);
        } else {
            self.slots[base + index] = value;
        }
        Ok(())
    }

    /// Notes an occurrence of a list or map, which extends the last run if they are adjacent.
    fn extend_run(&mut self, head: usize, run: Slot) {
        if self.slots[head].is_absent() {
            self.slots[head] = run;
            return;
        }
        let last = match self.slots[head].last {
            0 => head,
            last => last as usize,
        };
        if self.slots[last].end == run.start {
            self.slots[last].end = run.end;
        } else {
            self.append(head, run);
        }
    }

    /// Adds a slot to the chain that begins at `head`.
    fn append(&mut self, head: usize, slot: Slot) {
        let index = self.slots.len() as u32;
        self.slots.push(slot);
        let last = match self.slots[head].last {
            0 => head,
            last => last as usize,
        };
        self.slots[last].next = index;
        self.slots[head].last = index;
    }

    /// Writes a field's one value.
    pub(super) fn value(&mut self, kind: Kind, slot: Slot) -> Result<(), Reject> {
        match kind {
            Kind::Message(index) | Kind::Group(index) => self.message(index, slot),
            kind => self.scalar(kind, &mut self.input(slot)),
        }
    }

    pub(super) fn list(&mut self, field: &Field, first: Slot) -> Result<(), Reject> {
        self.out.push(b'[');
        let mut next = Some(first);
        while let Some(run) = next {
            let mut input = self.input(run);
            while !input.is_empty() {
                let (number, wire) = input.tag()?;
                let (start, end) = input.skip(number, wire)?;
                if field.kind.wire() == wire {
                    self.element(field.kind, &mut Input::new(self.payload, start, end))?;
                } else {
                    let mut packed = Input::new(self.payload, start, end);
                    while !packed.is_empty() {
                        self.element(field.kind, &mut packed)?;
                    }
                }
            }
            next = self.after(run);
        }
        self.out.push(b']');
        Ok(())
    }

    fn element(&mut self, kind: Kind, input: &mut Input<'a>) -> Result<(), Reject> {
        self.check_size()?;
        let before = self.out.len();
        if self.out.last() != Some(&b'[') {
            self.out.push(b',');
        }
        match kind {
            Kind::Message(index) | Kind::Group(index) => {
                let start = input.at as u32;
                let end = start + input.rest().len() as u32;
                self.message(index, Slot { start, end, ..Slot::default() })
            }
            Kind::Enum(index) if self.plan.enums[index].is_closed => {
                let number = input.varint()? as i32;
                match self.plan.enums[index].name(number) {
                    Some(name) => self.out.extend_from_slice(name),
                    None => self.out.truncate(before),
                }
                Ok(())
            }
            kind => self.scalar(kind, input),
        }
    }

    /// Writes a name, after a comma if it is not the first.
    pub(super) fn name(&mut self, field: &Field) -> Result<(), Reject> {
        self.comma()?;
        self.out.extend_from_slice(&field.name);
        Ok(())
    }

    pub(super) fn comma(&mut self) -> Result<(), Reject> {
        self.check_size()?;
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
        Ok(())
    }

    fn check_size(&self) -> Result<(), Reject> {
        if self.out.len() > self.limit { Err(Reject::whole(RejectCode::TooLarge)) } else { Ok(()) }
    }

    pub(super) fn input(&self, slot: Slot) -> Input<'a> {
        Input::new(self.payload, slot.start as usize, slot.end as usize)
    }

    /// Reads and writes one value that is not a message. Of strings and bytes the input is the content.
    pub(super) fn scalar(&mut self, kind: Kind, input: &mut Input<'a>) -> Result<(), Reject> {
        let start = input.at;
        let is_finite = match kind {
            Kind::Double => write::double(self.out, f64::from_le_bytes(input.fixed64()?)),
            Kind::Float => write::single(self.out, f32::from_le_bytes(input.fixed32()?)),
            Kind::String => {
                let text = utf8_bytes(input)?;
                return self.string(text);
            }
            Kind::Bytes => {
                let fits = write::base64(self.out, input.rest(), self.limit);
                return if fits { Ok(()) } else { Err(Reject::whole(RejectCode::TooLarge)) };
            }
            Kind::Bool => {
                let text: &[u8] = if input.varint()? == 0 { b"false" } else { b"true" };
                self.out.extend_from_slice(text);
                true
            }
            Kind::Enum(index) => {
                let number = input.varint()? as i32;
                match self.plan.enums[index].name(number) {
                    Some(name) => self.out.extend_from_slice(name),
                    None => write::integer(self.out, number.into()),
                }
                true
            }
            kind => {
                match integer(kind, input)? {
                    Integer::Signed(value) => write::integer(self.out, value),
                    Integer::Unsigned(value) => {
                        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
                    }
                }
                true
            }
        };
        if is_finite { Ok(()) } else { Err(Reject::at(RejectCode::NotFinite, start)) }
    }

    /// Writes a string, which is UTF-8.
    pub(super) fn string(&mut self, text: &[u8]) -> Result<(), Reject> {
        let fits = write::string(self.out, text, self.limit);
        if fits { Ok(()) } else { Err(Reject::whole(RejectCode::TooLarge)) }
    }
}

/// An integer of any type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Integer {
    Signed(i64),
    Unsigned(u64),
}

/// Reads an integer. One of 32 bits takes the low half of a longer number.
#[inline]
pub(super) fn integer(kind: Kind, input: &mut Input<'_>) -> Result<Integer, Reject> {
    let zigzag = |value: u64| (value >> 1) as i64 ^ -((value & 1) as i64);
    Ok(match kind {
        Kind::Int32 => Integer::Signed((input.varint()? as i32).into()),
        Kind::Uint32 => Integer::Unsigned((input.varint()? as u32).into()),
        Kind::Uint64 => Integer::Unsigned(input.varint()?),
        Kind::Sint32 => Integer::Signed(zigzag((input.varint()? as u32).into())),
        Kind::Sint64 => Integer::Signed(zigzag(input.varint()?)),
        Kind::Fixed32 => Integer::Unsigned(u32::from_le_bytes(input.fixed32()?).into()),
        Kind::Sfixed32 => Integer::Signed(i32::from_le_bytes(input.fixed32()?).into()),
        Kind::Fixed64 => Integer::Unsigned(u64::from_le_bytes(input.fixed64()?)),
        Kind::Sfixed64 => Integer::Signed(i64::from_le_bytes(input.fixed64()?)),
        Kind::Bool => Integer::Unsigned((input.varint()? != 0).into()),
        _ => Integer::Signed(input.varint()? as i64),
    })
}

/// The rest of the input, which is text.
#[inline]
pub(super) fn utf8_bytes<'a>(input: &mut Input<'a>) -> Result<&'a [u8], Reject> {
    let start = input.at;
    let bytes = input.rest();
    match write::check_utf8(bytes) {
        Ok(()) => Ok(bytes),
        Err(valid) => Err(Reject::at(RejectCode::InvalidUtf8, start + valid)),
    }
}

/// The same as a string.
pub(super) fn utf8<'a>(input: &mut Input<'a>) -> Result<&'a str, Reject> {
    utf8_bytes(input).map(|bytes| str::from_utf8(bytes).expect("it was just checked"))
}
