//! A round: the walk over the state that copies all of it in parts, so that no checkpoint has to contain everything.
//!
//! A round visits flows (names of keys, counts, pane indexes, joins), IDs, rejected offsets and pending requests once. Each checkpoint
//! contains the next part, and everything that changed since the checkpoint before. Recovery reads the checkpoints in
//! order, from the first one of the last complete round on: what was there when the round began is in one of its parts,
//! and everything newer is in a delta. A removed entry must not come back; the module of each container states why it
//! does not.

use std::sync::Arc;

use super::{Room, Saved};
use crate::{core::Core, ids, joins, outbox::Outbox, rejected, store::Part, windows};

/// How far the walk over the state has progressed. Each process starts a new round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round(Place);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the windows of a flow, by the flow's index.
    Windows(usize, windows::saved::Place),
    /// In the joins of a flow.
    Joins(usize, joins::Place),
    /// In the IDs of a kind of time, by its index.
    Ids(usize, ids::Place),
    /// In the rejected offsets.
    Rejected(rejected::Place),
    /// At a pending request of a writer, by the writer's number.
    Requests(usize, u64),
}

/// The bytes of a part, measured in memory: as many as changed since the last checkpoint, within limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The lower limit.
    pub least: usize,
    /// The upper limit.
    pub most: usize,
}

/// A round takes about 500 checkpoints, because a count is smaller in memory than in a part. It takes more if parts are
/// [`LARGE`].
const PARTS: u64 = 384;
/// A state of at most this many bytes is in each checkpoint as a whole.
const SMALL: usize = 64 << 10;
/// The limit of a part, so that taking it does not delay events: 65,000 counts or IDs, each of which is looked up, take
/// about 10 ms.
const LARGE: usize = 2 << 20;
/// A chain of this many checkpoints is too long: restarts have kept its rounds from being completed.
const LONG: u64 = 1_500;

impl Budget {
    /// The budget for a live state of this many bytes whose recovery would read this many checkpoints.
    pub fn of(state_bytes: u64, checkpoints: u64) -> Self {
        let share = usize::try_from(state_bytes / PARTS).unwrap_or(LARGE).clamp(SMALL, LARGE);
        let least = if checkpoints > LONG { LARGE } else { share };
        Self { least, most: LARGE }
    }
}

impl Default for Round {
    fn default() -> Self {
        Self(Place::START)
    }
}

impl Place {
    const START: Self = Self::Windows(0, windows::saved::Place::START);
}

impl Round {
    /// Adds the next part.
    pub(super) fn walk(
        &mut self,
        core: &Core,
        outboxes: &[(Arc<str>, &mut Outbox)],
        budget: Budget,
        saved: &mut Saved,
    ) -> Part {
        let mut room = Room::new(saved.weight().clamp(budget.least, budget.most.max(budget.least)));
        let first = self.0 == Place::START;
        let next = Self::walk_from(self.0, core, outboxes, &mut room, saved);
        self.0 = next.unwrap_or(Place::START);
        Part { first, last: next.is_none() }
    }

    fn walk_from(
        mut place: Place,
        core: &Core,
        outboxes: &[(Arc<str>, &mut Outbox)],
        room: &mut Room,
        saved: &mut Saved,
    ) -> Option<Place> {
        loop {
            place = match place {
                Place::Windows(flow, at) => match core.engine.flows.get(flow) {
                    Some(state) => match state.windows.walk(at, room, &mut saved.flows[flow].windows) {
                        Some(at) => return Some(Place::Windows(flow, at)),
                        None => Place::Joins(flow, joins::Place::START),
                    },
                    None => Place::Ids(0, ids::Place::START),
                },
                Place::Joins(flow, at) => {
                    let joins = core.engine.flows[flow].joins.as_ref();
                    let walked = joins.zip(saved.flows[flow].joins.as_mut());
                    match walked.and_then(|(joins, saved)| joins.walk(at, room, saved)) {
                        Some(at) => return Some(Place::Joins(flow, at)),
                        None => Place::Windows(flow + 1, windows::saved::Place::START),
                    }
                }
                Place::Ids(kind, at) => match core.engine.ids.get(kind) {
                    Some((_, ids)) => match ids.walk(at, room, &mut saved.ids[kind].1) {
                        Some(at) => return Some(Place::Ids(kind, at)),
                        None => Place::Ids(kind + 1, ids::Place::START),
                    },
                    None => Place::Rejected(rejected::Place::START),
                },
                Place::Rejected(at) => match core.rejected.walk(at, room, &mut saved.rejected) {
                    Some(at) => return Some(Place::Rejected(at)),
                    None => Place::Requests(0, 0),
                },
                Place::Requests(writer, from) => {
                    let (_, outbox) = outboxes.get(writer)?;
                    match outbox.walk(from, room, saved.outbox_of(writer)) {
                        Some(from) => return Some(Place::Requests(writer, from)),
                        None => Place::Requests(writer + 1, 0),
                    }
                }
            };
        }
    }
}
