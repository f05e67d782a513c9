//! Maps: entries with a key and a value, of which the last one with a key counts.

use super::{
    decode::{Decoder, Integer, Slot, integer, utf8_bytes},
    plan::{Field, Kind, Message},
    wire::Input,
};
use crate::Reject;

/// The key of an entry, for comparison.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Integer(Integer),
    Text(&'a [u8]),
}

impl<'p> Decoder<'p, '_, '_> {
    /// Writes a map as an object, sorted by key.
    pub(super) fn map(&mut self, field: &Field, first: Slot) -> Result<(), Reject> {
        let plan = self.plan;
        let entry = &plan.messages[field.kind.message().expect("the entry of a map is a message")];
        self.out.push(b'{');
        let base = self.slots.len();
        if !first.is_absent() {
            self.entries(entry, first)?;
        }
        let (payload, key_kind) = (self.payload, entry.fields[0].kind);
        let key = |slot: &Slot| key(payload, key_kind, *slot);
        // Positions are the order of arrival.
        self.slots[base..]
            .sort_unstable_by(|one, other| (key(one), one.start).cmp(&(key(other), other.start)));
        for index in base..self.slots.len() {
            let slot = self.slots[index];
            if self.slots.get(index + 1).is_some_and(|next| key(next) == key(&slot)) {
                continue;
            }
            self.entry(entry, slot)?;
        }
        self.slots.truncate(base);
        self.out.push(b'}');
        Ok(())
    }

    /// Pushes a slot for each entry: its content, and as `next` and `last` the span of its key.
    fn entries(&mut self, entry: &'p Message, first: Slot) -> Result<(), Reject> {
        let mut next = Some(first);
        while let Some(run) = next {
            let mut input = self.input(run);
            while !input.is_empty() {
                let (number, wire) = input.tag()?;
                let (start, end) = input.skip(number, wire)?;
                let content = Slot { start: start as u32, end: end as u32, ..Slot::default() };
                self.has_unknown_symbol = false;
                let base = self.scan(entry, content)?;
                let key = self.slots[base];
                self.slots.truncate(base);
                // An entry whose value is an unknown number of a closed enum is an unknown field as a whole.
                if !self.has_unknown_symbol {
                    self.slots.push(Slot { next: key.start, last: key.end, ..content });
                }
            }
            next = self.after(run);
        }
        Ok(())
    }

    fn entry(&mut self, entry: &'p Message, slot: Slot) -> Result<(), Reject> {
        let [key, value] = &entry.fields[..] else { unreachable!("an entry has a key and a value") };
        self.comma()?;
        let mut input = Input::new(self.payload, slot.next as usize, slot.last as usize);
        match key.kind {
            Kind::String => {
                let text = utf8_bytes(&mut input)?;
                self.string(text)?;
            }
            _ if input.is_empty() => {
                self.out.push(b'"');
                self.out.extend_from_slice(&key.default);
                self.out.push(b'"');
            }
            kind => {
                self.out.push(b'"');
                self.scalar(kind, &mut input)?;
                self.out.push(b'"');
            }
        }
        self.out.push(b':');
        let base = self.scan(entry, Slot { next: 0, last: 0, ..slot })?;
        let found = self.slots[base + 1];
        match value.kind {
            kind if !found.is_absent() => self.value(kind, found)?,
            Kind::Message(_) => self.value(value.kind, found)?,
            _ => self.out.extend_from_slice(&value.default),
        }
        self.slots.truncate(base);
        Ok(())
    }
}

/// The key of a slot of [`Decoder::entries`]; an absent key is the default of its type.
fn key(payload: &[u8], kind: Kind, slot: Slot) -> Key<'_> {
    if kind == Kind::String {
        return Key::Text(&payload[slot.next as usize..slot.last as usize]);
    }
    let (payload, start, end) =
        if slot.last == 0 { (&[0; 8][..], 0, 8) } else { (payload, slot.next as usize, slot.last as usize) };
    Key::Integer(integer(kind, &mut Input::new(payload, start, end)).expect("the scan has read the key"))
}
