//! What a checkpoint holds: the frontier and the ledgers whole, of everything large what changed.
//!
//! The format's version is [`FORMAT`]. States of older versions are read and converted, a file for each version.

mod version_2;

use event::{EventTime, Ledger};
use serde::{Deserialize, Serialize};

use crate::{
    core::Core,
    error::ProcessorError,
    flow::TimeKind,
    frontier::{Clocks, Frontier},
    ids::SavedIds,
    joins::SavedJoins,
    outbox::{Outbox, SavedOutbox},
    store::{Checkpoint, FORMAT},
    windows::saved::SavedWindows,
};

/// One checkpoint's content; postcard on the wire.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Saved {
    /// Everything, or what changed since the checkpoint before.
    pub everything: bool,
    /// The partitions.
    pub frontier: Frontier,
    /// Clock of messages without positions.
    pub unpositioned: Option<Clocks>,
    /// Pub/Sub's time as far as it was seen.
    pub published: EventTime,
    /// Event ids, for each kind of time that a flow uses.
    pub ids: Vec<(TimeKind, SavedIds)>,
    /// Every flow.
    pub flows: Vec<SavedFlow>,
    /// Rows on their way.
    pub outbox: SavedOutbox,
}

/// One flow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedFlow {
    /// Its name.
    pub name: String,
    /// What it meant.
    pub fingerprint: String,
    /// What became of every offset.
    pub ledger: Ledger,
    /// Offsets that were accounted for before the flow was added.
    pub before: u64,
    /// Its windows.
    pub windows: SavedWindows,
    /// Its joins.
    pub joins: Option<SavedJoins>,
}

impl Saved {
    /// The payload of a checkpoint.
    ///
    /// # Errors
    /// Never in practice: everything in it can be written.
    pub fn encode(&self) -> Result<Vec<u8>, ProcessorError> {
        postcard::to_stdvec(self)
            .map_err(|source| ProcessorError::Unreadable { number: 0, source: Some(source) })
    }

    /// What a checkpoint holds.
    ///
    /// # Errors
    /// Another version wrote it.
    pub fn decode(checkpoint: &Checkpoint) -> Result<Self, ProcessorError> {
        let unreadable = |source| ProcessorError::Unreadable { number: checkpoint.number, source };
        // Bytes of another format may well read as something.
        match checkpoint.version {
            FORMAT => postcard::from_bytes(&checkpoint.payload).map_err(|source| unreadable(Some(source))),
            version_2::FORMAT => {
                version_2::decode(&checkpoint.payload).map_err(|source| unreadable(Some(source)))
            }
            _ => Err(unreadable(None)),
        }
    }
}

/// Why a state does not fit the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "flow {flow:?} was edited: the state in [state] checkpoints was made with another meaning ({before}); give the \
     edited flow a new name, or begin with an empty state"
)]
pub struct Edited {
    /// The flow's name.
    pub flow: String,
    /// What it meant.
    pub before: String,
}

/// What restoring found to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Flows of the configuration that the state does not know.
    pub added: Vec<String>,
    /// Flows of the state that the configuration does not name any more.
    pub removed: Vec<String>,
}

/// Takes what changed since the last call, or everything.
pub fn save(core: &mut Core, outbox: &mut Outbox, everything: bool) -> Saved {
    let flows = core.engine.flows.iter_mut().map(|state| SavedFlow {
        name: state.flow.name.to_string(),
        fingerprint: state.flow.fingerprint(),
        ledger: state.ledger,
        before: state.before,
        windows: state.windows.save(everything),
        joins: state.joins.as_mut().map(|joins| joins.save(everything)),
    });
    Saved {
        everything,
        flows: flows.collect(),
        frontier: core.frontier.clone(),
        unpositioned: core.unpositioned,
        published: core.published,
        ids: core.engine.ids.iter_mut().map(|(kind, ids)| (*kind, ids.save(everything))).collect(),
        outbox: outbox.save(everything),
    }
}

/// Applies checkpoints in their order to a core and an outbox without state: each is decoded and gone before the next, as all
/// of them together may be larger than the state.
///
/// All of a chain have the same flows: with others the processor begins a new base, so that the state of a flow that was taken
/// out is not there any more when a flow of that name comes again.
///
/// # Errors
/// When a checkpoint cannot be read, or a flow means something else than it did.
pub fn restore<E: From<Edited>>(
    core: &mut Core,
    outbox: &mut Outbox,
    checkpoints: impl IntoIterator<Item = Result<Saved, E>>,
) -> Result<Restored, E> {
    let mut known = None;
    for saved in checkpoints {
        known = Some(apply(core, outbox, saved?)?);
    }
    let mut restored = Restored::default();
    let Some(known) = known else { return Ok(restored) };
    let accounted = core.frontier.accounted();
    for state in &mut core.engine.flows {
        state.windows.restored();
        if !known.iter().any(|name| **name == *state.flow.name) {
            state.before = accounted;
            restored.added.push(state.flow.name.to_string());
        }
    }
    let is_configured = |name: &String| core.engine.flows.iter().any(|state| *state.flow.name == **name);
    restored.removed = known.into_iter().filter(|name| !is_configured(name)).collect();
    Ok(restored)
}

/// Applies one checkpoint; gives the names of its flows.
fn apply(core: &mut Core, outbox: &mut Outbox, saved: Saved) -> Result<Vec<String>, Edited> {
    core.frontier = saved.frontier;
    core.unpositioned = saved.unpositioned;
    core.published = saved.published;
    for (kind, saved) in saved.ids {
        if let Some((_, ids)) = core.engine.ids.iter_mut().find(|(other, _)| *other == kind) {
            ids.restore(saved);
        }
    }
    outbox.restore(saved.outbox);
    let mut names = Vec::with_capacity(saved.flows.len());
    for flow in saved.flows {
        if let Some(state) = core.engine.flows.iter_mut().find(|state| *state.flow.name == *flow.name) {
            if state.flow.fingerprint() != flow.fingerprint {
                return Err(Edited { flow: flow.name, before: flow.fingerprint });
            }
            state.ledger = flow.ledger;
            state.before = flow.before;
            state.windows.restore(flow.windows);
            if let (Some(joins), Some(saved)) = (&mut state.joins, flow.joins) {
                joins.restore(saved, state.windows.watermark());
            }
        }
        names.push(flow.name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
