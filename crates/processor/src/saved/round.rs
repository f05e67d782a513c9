//! The walk over the state that takes a full copy of it in parts.
//!
//! A round goes once over flows (names of keys, counts, pane indexes, joins), ids and pending requests. Each checkpoint holds the
//! next part, and whatever changed since the checkpoint before. A state is recovered from the first checkpoint of the last complete
//! round on, in order: what was there at its beginning came in one of its parts, and everything newer in one of the deltas.
//! What is gone must not come back: each container says in its own module why it does not.

use super::{Room, Saved};
use crate::{core::Core, ids, joins, outbox::Outbox, store::Part, windows};

/// How far the walk over the state has come. Each process begins with a new round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round(Place);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the windows of a flow, by its number.
    Windows(usize, windows::saved::Place),
    /// In the joins of a flow.
    Joins(usize, joins::Place),
    /// In the ids of a kind of time, by its number.
    Ids(usize, ids::Place),
    /// At a pending request.
    Requests(u64),
}

/// How many bytes the part of a checkpoint takes, measured in memory: as many as what changed, within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// At least.
    pub least: usize,
    /// At most.
    pub most: usize,
}

/// A round takes about 500 checkpoints, as a count is smaller in memory than in a part; more where parts are [`LARGE`].
const PARTS: u64 = 384;
/// A state that is not larger than this is in each checkpoint.
const SMALL: usize = 64 << 10;
/// What a part takes must not hold up the events: 65,000 counts or ids, each of which is looked up, take some 10 ms.
const LARGE: usize = 2 << 20;
/// A chain of that many checkpoints is too long: restarts kept its rounds from being completed.
const LONG: u64 = 1_500;

impl Budget {
    /// For a live state of this many bytes, whose recovery would read this many checkpoints by now.
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
    pub(super) fn walk(&mut self, core: &Core, outbox: &Outbox, budget: Budget, saved: &mut Saved) -> Part {
        let mut room = Room::new(saved.weight().clamp(budget.least, budget.most.max(budget.least)));
        let first = self.0 == Place::START;
        let next = Self::walk_from(self.0, core, outbox, &mut room, saved);
        self.0 = next.unwrap_or(Place::START);
        Part { first, last: next.is_none() }
    }

    fn walk_from(
        mut place: Place,
        core: &Core,
        outbox: &Outbox,
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
                    None => Place::Requests(0),
                },
                Place::Requests(from) => {
                    return outbox.walk(from, room, &mut saved.outbox).map(Place::Requests);
                }
            };
        }
    }
}
