//! Which message of a schema a record is: the chosen one, or the one that Confluent's framing names by indexes.

use prost_reflect::{FileDescriptor, MessageDescriptor};
use rustc_hash::FxHashMap;

use super::{plan::Plan, wire::Input};
use crate::{Indexes, Payload, Reject, RejectCode};

/// Indexes of nested messages that are read; the compiler does not allow deeper nesting.
const MAX_INDEXES: usize = 32;

pub(super) struct Roots {
    /// The configured message. Indexes are then read, but not followed.
    named: Option<usize>,
    /// The message of records without indexes.
    only: Option<usize>,
    /// Messages by their indexes; `None` where writers count differently.
    by_indexes: FxHashMap<Vec<u32>, Option<usize>>,
}

impl Roots {
    /// Of the messages of a file, in the plan of its pool.
    ///
    /// Confluent's Java counts what is declared with `message` in the text. Its other clients count the descriptors,
    /// which also include the entries of maps and groups. For nested messages after a map the two differ, and a record
    /// whose indexes mean different messages is rejected.
    pub(super) fn new(file: &FileDescriptor, plan: &Plan, named: Option<&MessageDescriptor>) -> Self {
        let mut by_indexes = FxHashMap::default();
        let mut add = |indexes: Vec<u32>, message: &MessageDescriptor| {
            let message = plan.names[message.full_name()];
            let found = by_indexes.entry(indexes).or_insert(Some(message));
            if *found != Some(message) {
                *found = None;
            }
        };
        let mut next: Vec<_> = (0u32..)
            .zip(file.messages())
            .map(|(index, message)| (vec![index], vec![index], message))
            .collect();
        while let Some((declared, counted, message)) = next.pop() {
            add(declared.clone(), &message);
            add(counted.clone(), &message);
            let groups: Vec<_> = message.fields().filter(|field| field.is_group()).collect();
            let is_declared = |child: &MessageDescriptor| {
                let is_group = groups.iter().any(|field| field.kind().as_message() == Some(child));
                !child.is_map_entry() && !is_group
            };
            let mut index = 0;
            for (position, child) in (0u32..).zip(message.child_messages()) {
                if child.is_map_entry() {
                    continue;
                }
                let with = |indexes: &[u32], index| [indexes, &[index]].concat();
                let position = with(&counted, position);
                if is_declared(&child) {
                    next.push((with(&declared, index), position, child));
                    index += 1;
                } else {
                    next.push((position.clone(), position, child));
                }
            }
        }
        let only = if file.messages().len() == 1 { file.messages().next() } else { None };
        let index = |message: &MessageDescriptor| plan.names[message.full_name()];
        Self { named: named.map(index), only: only.as_ref().map(index), by_indexes }
    }

    /// The index of the record's message in the plan, and where its bytes begin.
    pub(super) fn find(&self, payload: Payload<'_>) -> Result<(usize, usize), Reject> {
        match payload.indexes {
            Indexes::None => {
                let root = self.named.or(self.only);
                Ok((root.ok_or(Reject::whole(RejectCode::UnusableSchema))?, 0))
            }
            Indexes::InPayload => self.follow(payload.bytes),
            Indexes::InHeader(header) => match self.follow(header) {
                Ok((root, length)) if length == header.len() => Ok((root, 0)),
                Ok(_) => Err(Reject::whole(RejectCode::Malformed)),
                // A position in the header would be taken for one in the value.
                Err(reject) => Err(Reject::whole(reject.code)),
            },
        }
    }

    /// Reads indexes and returns the message and the length of the indexes.
    fn follow(&self, bytes: &[u8]) -> Result<(usize, usize), Reject> {
        let mut input = Input::new(bytes, 0, bytes.len());
        let mut indexes = [0; MAX_INDEXES];
        let count = zigzag(&mut input)? as usize;
        if count > MAX_INDEXES {
            return Err(Reject::at(RejectCode::Malformed, 0));
        }
        for index in &mut indexes[..count] {
            *index = zigzag(&mut input)?;
        }
        // No index at all is short for the first message.
        let indexes = &indexes[..count.max(1)];
        let root = match self.named {
            Some(named) => Some(named),
            None => *self.by_indexes.get(indexes).ok_or(Reject::at(RejectCode::Malformed, 0))?,
        };
        Ok((root.ok_or(Reject::at(RejectCode::UnusableSchema, 0))?, input.at))
    }
}

/// A number that is not negative, in zigzag encoding.
fn zigzag(input: &mut Input<'_>) -> Result<u32, Reject> {
    let start = input.at;
    let value = input.varint()?;
    let malformed = Reject::at(RejectCode::Malformed, start);
    if value & 1 == 1 { Err(malformed) } else { u32::try_from(value >> 1).map_err(|_| malformed) }
}
