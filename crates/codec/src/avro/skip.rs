//! The length of a value that has no JSON, so that the values after it can be read.
//!
//! Only the structure is followed: numbers may be infinite, decimals too long and text not UTF-8, and depth has no limit,
//! because nothing recurses.

use super::{
    decode::{Input, pick},
    plan::{Node, NodeId, Plan, Span},
};
use crate::{Reject, RejectCode};

/// Values that take no bytes, of which an array may claim any number.
const MAX_EMPTY: usize = 1_000_000;

/// What remains to be skipped.
enum Rest {
    Value(NodeId),
    /// The members of a record from this one on.
    Members(Span, usize),
    Items {
        item: NodeId,
        left: u64,
        /// Whether each has a name.
        named: bool,
    },
}

/// The length of the value at the beginning of `bytes`.
pub(super) fn skip(plan: &Plan, bytes: &[u8]) -> Result<usize, Reject> {
    let mut input = Input { bytes, at: 0 };
    let mut rest = vec![Rest::Value(plan.root)];
    let mut budget = bytes.len().saturating_add(MAX_EMPTY);
    while let Some(next) = rest.pop() {
        budget = budget.checked_sub(1).ok_or(Reject::at(RejectCode::Malformed, input.at))?;
        match next {
            Rest::Value(id) => value(plan, id, &mut input, &mut rest)?,
            Rest::Members(members, at) => {
                if let Some(member) = plan.members(members).get(at) {
                    rest.extend([Rest::Members(members, at + 1), Rest::Value(member.node)]);
                }
            }
            Rest::Items { item, left: 0, named } => {
                if let Some(left) = input.block()? {
                    rest.push(Rest::Items { item, left, named });
                }
            }
            Rest::Items { item, left, named } => {
                if named {
                    input.counted()?;
                }
                rest.extend([Rest::Items { item, left: left - 1, named }, Rest::Value(item)]);
            }
        }
    }
    Ok(input.at)
}

fn value(plan: &Plan, id: NodeId, input: &mut Input<'_>, rest: &mut Vec<Rest>) -> Result<(), Reject> {
    let start = input.at;
    let fixed = match plan.node(id) {
        Node::Null => 0,
        Node::Boolean => 1,
        Node::Float => 4,
        Node::Double => 8,
        Node::Uuid => 16,
        Node::Duration => 12,
        Node::Fixed { size } | Node::DecimalFixed { size, .. } => size as usize,
        Node::Int
        | Node::Long
        | Node::Enum { .. }
        | Node::Date
        | Node::Time(_)
        | Node::Timestamp(_)
        | Node::LocalTimestamp(_) => {
            input.long()?;
            0
        }
        Node::Bytes | Node::String | Node::DecimalBytes { .. } | Node::BigDecimal => {
            input.counted()?;
            0
        }
        Node::Union { branches } => {
            rest.push(Rest::Value(*pick(plan.branches(branches), input.int()?, start)?));
            0
        }
        Node::Record { members } => {
            rest.push(Rest::Members(members, 0));
            0
        }
        Node::Array { items } => {
            rest.push(Rest::Items { item: items, left: 0, named: false });
            0
        }
        Node::Map { values } => {
            rest.push(Rest::Items { item: values, left: 0, named: true });
            0
        }
    };
    input.take(fixed, start).map(drop)
}
