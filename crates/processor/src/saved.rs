//! What a checkpoint holds: the frontier and the ledgers whole; of everything large what changed, and a part of a full copy.
//!
//! The copy is taken in parts so that neither memory nor the events notice it: see [`round`]. The format's version is
//! [`FORMAT`]. States of older versions are read and converted, a file for each version. Version 3, as release 0.2.0 wrote
//! it, lacks the rejected offsets at the end: what was rejected before the upgrade cannot be redriven.

mod room;
mod round;
mod version_2;

use std::{collections::BTreeMap, sync::Arc};

use event::{EventTime, Ledger, Millis, ledger::Outcome};
use flow::{Definition, Flow, TimeKind, definition::Edit, measure::Source};
use serde::{Deserialize, Serialize};

use crate::{
    core::Core,
    engine::FlowState,
    error::ProcessorError,
    frontier::{Clocks, Frontier},
    ids::SavedIds,
    joins::{Joins, SavedJoins},
    outbox::{Outbox, Outboxes, SavedOutbox},
    rejected::SavedRejected,
    store::{Checkpoint, FORMAT, Part, Recovered, Store},
    windows::{
        Since,
        saved::{SavedFired, SavedWindows},
    },
};

pub use room::Room;
pub use round::{Budget, Round};

/// One checkpoint's content; postcard on the wire.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Saved {
    /// Which part of a round is in it. The store keeps that, so that it finds the checkpoints to read.
    #[serde(skip, default = "Part::whole")]
    pub part: Part,
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
    /// Rows on their way to the first writer.
    pub outbox: SavedOutbox,
    /// Rejected offsets.
    #[serde(skip)]
    pub rejected: SavedRejected,
    /// The names of all writers. Empty in a checkpoint of a version that had a single writer.
    #[serde(skip)]
    pub writers: Vec<Arc<str>>,
    /// Rows on their way to the other writers.
    #[serde(skip)]
    pub others: Vec<SavedOutbox>,
}

/// What version 4 adds to version 3. It follows at the end of a checkpoint.
#[derive(Serialize)]
struct Added<'a> {
    rejected: &'a SavedRejected,
    fired: Vec<&'a [SavedFired]>,
    writers: &'a [Arc<str>],
    others: &'a [SavedOutbox],
}

/// As [`Added`], to be read.
#[derive(Deserialize)]
struct ReadAdded {
    rejected: SavedRejected,
    fired: Vec<Vec<SavedFired>>,
    writers: Vec<Arc<str>>,
    others: Vec<SavedOutbox>,
}

/// The version without what [`Added`] contains.
const VERSION_3: u16 = 3;

/// One flow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedFlow {
    /// Its name.
    pub name: String,
    /// What it meant.
    pub meaning: Meaning,
    /// The outcome of every offset.
    pub ledger: Ledger,
    /// Offsets that were accounted for before the flow was added.
    pub before: u64,
    /// The newest time of an event that was read.
    pub newest: EventTime,
    /// Its windows.
    pub windows: SavedWindows,
    /// Its joins.
    pub joins: Option<SavedJoins>,
}

/// What a flow meant when a checkpoint was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Meaning {
    /// Key by key.
    Defined(Definition),
    /// The text of version 2, which knew only whether two flows are the same. Its columns are views, clicks and
    /// attributed clicks.
    Version2(String),
}

impl Meaning {
    /// The key of a flow that means something else than it did and may not, if there is one.
    fn edited(&self, flow: &Flow) -> Option<Edit> {
        match self {
            Self::Defined(before) => flow.definition().edited(before),
            Self::Version2(before) => flow.edited_since_version_2(before),
        }
    }

    /// Whether it is the same flow: measures may differ.
    fn is_of(&self, state: &FlowState) -> bool {
        match self {
            Self::Defined(before) => state.definition.fixed == before.fixed,
            Self::Version2(before) => state.flow.version_2().as_ref() == Some(before),
        }
    }

    /// For each stored measure of a flow its column in the checkpoint, if it has one.
    fn places(&self, state: &FlowState) -> Vec<Option<usize>> {
        match self {
            Self::Defined(before) => state.definition.places_in(before),
            Self::Version2(_) => {
                let place =
                    |source| [Source::Views, Source::Clicks, Source::Join].iter().position(|s| *s == source);
                state.flow.fed.iter().map(|fed| place(fed.source)).collect()
            }
        }
    }

    /// Whether the checkpoint has a column of a measure that the flow no longer has. `places`: those of the flow's.
    fn has_more(&self, places: &[Option<usize>]) -> bool {
        match self {
            Self::Defined(before) => before.measures.len() > places.iter().flatten().count(),
            Self::Version2(_) => false,
        }
    }

    /// Since when a column of the checkpoint counts.
    fn since(&self, column: usize) -> EventTime {
        match self {
            Self::Defined(before) => {
                before.measures.get(column).map_or(EventTime::MIN, |measure| measure.since)
            }
            Self::Version2(_) => EventTime::MIN,
        }
    }
}

impl Saved {
    /// The payload of a checkpoint.
    ///
    /// # Errors
    /// Never in practice: everything in it can be written.
    pub fn encode(&self) -> Result<Vec<u8>, ProcessorError> {
        let fired = self.flows.iter().map(|flow| &*flow.windows.sessions.fired).collect();
        let added = Added { rejected: &self.rejected, fired, writers: &self.writers, others: &self.others };
        // Most of it takes a fraction of what it takes in memory.
        postcard::to_extend(self, Vec::with_capacity(4_096 + self.weight() / 4))
            .and_then(|bytes| postcard::to_extend(&added, bytes))
            .map_err(|source| ProcessorError::Unreadable { number: 0, source: Some(source) })
    }

    /// Reads a checkpoint of the current format.
    fn read(payload: &[u8]) -> Result<Self, postcard::Error> {
        let (mut saved, rest): (Self, _) = postcard::take_from_bytes(payload)?;
        let added: ReadAdded = postcard::from_bytes(rest)?;
        for (flow, fired) in saved.flows.iter_mut().zip(added.fired) {
            flow.windows.sessions.fired = fired;
        }
        (saved.rejected, saved.writers, saved.others) = (added.rejected, added.writers, added.others);
        Ok(saved)
    }

    /// What a checkpoint holds.
    ///
    /// # Errors
    /// Another version wrote it.
    pub fn decode(checkpoint: &Checkpoint) -> Result<Self, ProcessorError> {
        let unreadable = |source| ProcessorError::Unreadable { number: checkpoint.number, source };
        // Bytes of another format may well read as something.
        match checkpoint.version {
            FORMAT => Self::read(&checkpoint.payload).map_err(|source| unreadable(Some(source))),
            VERSION_3 => postcard::from_bytes(&checkpoint.payload).map_err(|source| unreadable(Some(source))),
            version_2::FORMAT => {
                version_2::decode(&checkpoint.payload).map_err(|source| unreadable(Some(source)))
            }
            version if version > FORMAT => {
                Err(ProcessorError::NewerState { number: checkpoint.number, version })
            }
            _ => Err(unreadable(None)),
        }
    }

    /// Bytes of what is large, in memory, roughly.
    fn weight(&self) -> usize {
        let flow =
            |flow: &SavedFlow| flow.windows.weight() + flow.joins.as_ref().map_or(0, SavedJoins::weight);
        let flows: usize = self.flows.iter().map(flow).sum();
        let ids: usize = self.ids.iter().map(|(_, ids)| ids.weight()).sum();
        let others: usize = self.others.iter().map(SavedOutbox::weight).sum();
        flows + ids + self.outbox.weight() + others + self.rejected.weight()
    }

    /// The outbox of a writer, by its number.
    fn outbox_of(&mut self, writer: usize) -> &mut SavedOutbox {
        match writer.checked_sub(1) {
            None => &mut self.outbox,
            Some(other) => &mut self.others[other],
        }
    }

    /// Takes the outboxes, with the names of their writers.
    fn take_outboxes(&mut self) -> Vec<(Option<Arc<str>>, SavedOutbox)> {
        let names = self.writers.drain(..).map(Some).chain([None]);
        names.zip([std::mem::take(&mut self.outbox)].into_iter().chain(self.others.drain(..))).collect()
    }
}

/// Why a state does not fit the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} of flow {flow:?} cannot change while the flow runs: the state in [state] checkpoints was made with {:?}, and it \
     is now {:?}; give the edited flow a new name, and fill its past with `aqueduct replay --output`, or undo the edit",
    .edit.key, .edit.before, .edit.now
)]
pub struct Edited {
    /// The flow's name.
    pub flow: String,
    /// The key, and its values.
    pub edit: Edit,
}

/// What restoring found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Flows of the configuration that the state does not know.
    pub added: Vec<String>,
    /// Flows of the state that the configuration does not name any more.
    pub removed: Vec<String>,
}

/// Takes what changed since the last call, and the next part of the round. The first outbox is that of the first writer; there is
/// at least one.
pub fn save(
    core: &mut Core,
    outboxes: &mut [(Arc<str>, &mut Outbox)],
    round: &mut Round,
    budget: Budget,
) -> Saved {
    let writers = outboxes.iter().map(|(name, _)| name.clone()).collect();
    let mut changed = outboxes.iter_mut().map(|(_, outbox)| outbox.save());
    let flows = core.engine.flows.iter_mut().map(|state| SavedFlow {
        name: state.flow.name.to_string(),
        meaning: Meaning::Defined(state.saved_definition()),
        ledger: state.ledger,
        before: state.before,
        newest: state.newest,
        windows: state.windows.save(),
        joins: state.joins.as_mut().map(Joins::save),
    });
    let mut saved = Saved {
        part: Part::whole(),
        flows: flows.collect(),
        frontier: core.frontier.clone(),
        unpositioned: core.unpositioned,
        published: core.published,
        ids: core.engine.ids.iter_mut().map(|(kind, ids)| (*kind, ids.save())).collect(),
        outbox: changed.next().unwrap_or_default(),
        rejected: core
            .rejected
            .save(core.engine.flows.iter().map(|state| state.flow.name.to_string()).collect()),
        writers,
        others: changed.collect(),
    };
    saved.part = round.walk(core, outboxes, budget, &mut saved);
    saved
}

/// Compares flows with the newest checkpoint, without reading the state: before tables are prepared for flows that the
/// state will refuse.
///
/// # Errors
/// [`ProcessorError::Edited`], or the newest checkpoint cannot be read.
pub async fn check_flows(store: &Store, flows: &[Flow]) -> Result<(), ProcessorError> {
    let Some(newest) = store.newest_checkpoint().await? else { return Ok(()) };
    let saved = Saved::decode(&newest)?;
    for flow in flows {
        let known = saved.flows.iter().find(|known| *known.name == *flow.name);
        if let Some(edit) = known.and_then(|known| known.meaning.edited(flow)) {
            return Err(Edited { flow: flow.name.to_string(), edit }.into());
        }
    }
    Ok(())
}

/// Reads the state back into a core without state, which `new_core` gives: again, where the reading has to begin again.
///
/// # Errors
/// When the state cannot be read, at present or for good.
pub async fn recover(
    store: &Store,
    new_core: impl Fn() -> Core,
) -> Result<(Recovered, Restoring), ProcessorError> {
    let begin = || Restoring::new(new_core());
    let apply = |restoring: &mut Restoring, checkpoint: Checkpoint| {
        restoring.apply(Saved::decode(&checkpoint)?);
        Ok(())
    };
    store.recover(begin, apply).await
}

/// A core and outboxes to which checkpoints are applied, in their order: each is decoded and gone before the next, as
/// all of them together are larger than the state.
///
/// The flows of a chain may change. The state of a removed flow is dropped, so that a flow that is later added with the same name
/// begins without it.
#[derive(Debug)]
pub struct Restoring {
    core: Core,
    outboxes: Outboxes,
    /// The flows of the last checkpoint.
    known: Option<Vec<Known>>,
}

#[derive(Debug)]
struct Known {
    name: String,
    meaning: Meaning,
}

impl Restoring {
    /// Begins with a core without state.
    pub fn new(core: Core) -> Self {
        Self { core, outboxes: Outboxes::default(), known: None }
    }

    /// Applies one checkpoint.
    pub fn apply(&mut self, mut saved: Saved) {
        self.outboxes.restore(saved.take_outboxes());
        let core = &mut self.core;
        core.frontier = saved.frontier;
        core.unpositioned = saved.unpositioned;
        core.published = saved.published;
        let mut saved_ids = saved.ids;
        for (kind, ids) in &mut core.engine.ids {
            match saved_ids.iter_mut().find(|(other, _)| other == kind) {
                Some((_, saved)) => ids.restore(std::mem::take(saved)),
                None => ids.clear(),
            }
        }
        let mut flows = saved.flows;
        let mut names = BTreeMap::new();
        for (number, state) in core.engine.flows.iter_mut().enumerate() {
            let is_state =
                |flow: &&mut SavedFlow| *flow.name == *state.flow.name && flow.meaning.is_of(state);
            let Some(flow) = flows.iter_mut().find(is_state) else {
                state.clear();
                core.rejected.clear_flow(number);
                continue;
            };
            names.insert(flow.name.clone(), number);
            state.ledger = flow.ledger;
            state.before = flow.before;
            state.newest = flow.newest;
            let places = flow.meaning.places(state);
            let mut windows = std::mem::take(&mut flow.windows);
            windows.reorder(&places);
            state.windows.restore(windows);
            if let (Some(joins), Some(mut saved)) = (&mut state.joins, flow.joins.take()) {
                saved.reorder(&places);
                joins.restore(saved, state.windows.watermark());
            }
        }
        core.rejected.restore(&saved.rejected, |name| names.get(name).copied());
        let known = flows.into_iter().map(|flow| Known { name: flow.name, meaning: flow.meaning });
        self.known = Some(known.collect());
    }

    /// Completes the recovery once all checkpoints have been applied. Returns the core, the outboxes, and the flows that were
    /// added or removed.
    ///
    /// # Errors
    /// If the definition of a flow was edited in a way that a running flow does not allow.
    pub fn finish(self) -> Result<(Core, Outboxes, Restored), Edited> {
        let Self { mut core, outboxes, known } = self;
        let mut restored = Restored::default();
        let Some(known) = known else { return Ok((core, outboxes, restored)) };
        let accounted = core.frontier.accounted();
        for state in &mut core.engine.flows {
            state.windows.restored();
            let unmatched = state.joins.iter_mut().map(Joins::restored).sum();
            state.shift(Outcome::Pending, Outcome::Unmatched, unmatched);
            let added = state.windows.end_of_events().max(state.newest + Millis(1));
            match known.iter().find(|known| *known.name == *state.flow.name) {
                None => {
                    state.before = accounted;
                    restored.added.push(state.flow.name.to_string());
                }
                Some(known) => {
                    if let Some(edit) = known.meaning.edited(&state.flow) {
                        return Err(Edited { flow: known.name.clone(), edit });
                    }
                    let places = known.meaning.places(state);
                    if known.meaning.has_more(&places) {
                        state.windows.measure_removed();
                    }
                    let since = places
                        .into_iter()
                        .map(|place| place.map_or(added, |column| known.meaning.since(column)));
                    state.windows.set_since(Since::new(since.collect()));
                }
            }
        }
        let is_configured =
            |known: &Known| core.engine.flows.iter().any(|state| *state.flow.name == *known.name);
        let removed = known.into_iter().filter(|known| !is_configured(known));
        restored.removed = removed.map(|known| known.name).collect();
        Ok((core, outboxes, restored))
    }
}

#[cfg(test)]
mod tests;
