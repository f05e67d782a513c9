//! Version 2 of the state, as release 0.1.0 wrote it, and its conversion.
//!
//! Differences from version 3: the frontier did not save which incarnations had left; an id held its newest time only,
//! and there was one set of ids for all kinds of time; clocks had no publish time; joins were saved as whole values and not
//! as arrivals; counts were always views, clicks and attributed clicks, and a flow's meaning was a text.
//!
//! Ids that are declared for a topic have hashes of their own since version 3, so those of a state of version 2 recognise
//! no copies: a copy that arrives after the upgrade of an event before it counts again. Shared ids are not affected.

use std::{collections::BTreeMap, sync::Arc};

use event::{EventTime, Key, Ledger, Partition};
use flow::{TimeKind, measure::SavedColumn};
use serde::Deserialize;

use super::{Meaning, Saved, SavedFlow};
use crate::{
    frontier::{
        Clocks, Frontier, Topic, as_list,
        version_2::{Clocks2, Track2},
    },
    ids::{SavedIds, Taken},
    joins::{SavedClick, SavedJoins},
    outbox::SavedOutbox,
    store::Part,
    windows::{
        keys::KeyId,
        saved::{SavedSlice, SavedWindows},
    },
};

pub(super) const FORMAT: u16 = 2;

#[derive(Deserialize)]
struct Saved2 {
    /// Whether it is a base.
    #[expect(dead_code, reason = "the store knows where to begin")]
    everything: bool,
    frontier: Frontier2,
    unpositioned: Option<Clocks2>,
    published: EventTime,
    ids: SavedIds2,
    flows: Vec<SavedFlow2>,
    outbox: SavedOutbox,
}

#[derive(Deserialize)]
struct Frontier2 {
    #[serde(with = "as_list")]
    tracks: BTreeMap<Partition, Track2>,
    topics: BTreeMap<Arc<str>, Topic>,
    clocks: Clocks2,
    cold: bool,
}

#[derive(Deserialize)]
struct SavedIds2 {
    new: Vec<(u128, i64)>,
    /// Ids of events older than this were forgotten.
    floor: i64,
}

#[derive(Deserialize)]
struct SavedFlow2 {
    name: String,
    fingerprint: String,
    ledger: Ledger,
    before: u64,
    windows: SavedWindows2,
    joins: Option<SavedJoins2>,
}

#[derive(Deserialize)]
struct SavedWindows2 {
    watermark: i64,
    dropped: Vec<EventTime>,
    keys: Vec<(KeyId, Key)>,
    cells: Vec<(EventTime, Vec<(KeyId, Ctr2)>)>,
    indexes: Vec<(EventTime, Vec<(KeyId, u32)>)>,
}

#[derive(Deserialize)]
struct Ctr2 {
    views: u64,
    clicks: u64,
    attributed: u64,
}

/// Values that changed; `None` where nothing of them was left.
#[derive(Deserialize)]
struct SavedJoins2 {
    entries: Vec<(u128, Option<Entry2>)>,
}

#[derive(Deserialize)]
struct Entry2 {
    views: Vec<View2>,
    clicks: Vec<Click2>,
}

#[derive(Deserialize)]
struct View2 {
    time: EventTime,
    key: Key,
}

#[derive(Deserialize)]
struct Click2 {
    time: EventTime,
    pending: bool,
    matched: bool,
}

pub(super) fn decode(payload: &[u8]) -> Result<Saved, postcard::Error> {
    postcard::from_bytes::<Saved2>(payload).map(Saved::from)
}

impl From<Saved2> for Saved {
    fn from(old: Saved2) -> Self {
        let Frontier2 { tracks, topics, clocks, cold } = old.frontier;
        let tracks = tracks.into_iter().map(|(partition, track)| (partition, track.into())).collect();
        // The processing time was that of the newest message. It does not go back; it waits for the partitions.
        let clocks = Clocks { published: old.published, ..clocks.into() };
        Self {
            part: Part::whole(),
            frontier: Frontier::from_version_2(tracks, topics, clocks, cold),
            unpositioned: old.unpositioned.map(Clocks::from),
            published: old.published,
            ids: old.ids.into(),
            flows: old.flows.into_iter().map(SavedFlow::from).collect(),
            outbox: old.outbox,
        }
    }
}

impl From<SavedIds2> for Vec<(TimeKind, SavedIds)> {
    /// All times are event times, so flows of another time keep these ids for as long as their clock is near to that.
    fn from(old: SavedIds2) -> Self {
        let taken = |time| Taken { event: EventTime(time), clock: EventTime(time) };
        let new: Vec<_> = old.new.into_iter().map(|(id, time)| (id, taken(time))).collect();
        // What was below the floor has gone with its last minute; a watermark was not saved.
        let ids = SavedIds { new, watermark: old.floor };
        [TimeKind::Event, TimeKind::Kafka, TimeKind::Processing].map(|kind| (kind, ids.clone())).into()
    }
}

impl From<SavedFlow2> for SavedFlow {
    fn from(old: SavedFlow2) -> Self {
        Self {
            name: old.name,
            meaning: Meaning::Version2(old.fingerprint),
            ledger: old.ledger,
            before: old.before,
            // Not known: only of the events that were counted, by their slices.
            newest: EventTime::MIN,
            windows: old.windows.into(),
            joins: old.joins.map(SavedJoins::from),
        }
    }
}

impl From<SavedWindows2> for SavedWindows {
    fn from(old: SavedWindows2) -> Self {
        let slice = |(start, cells): (EventTime, Vec<(KeyId, Ctr2)>)| {
            let column =
                |count: fn(&Ctr2) -> u64| SavedColumn::Counts(cells.iter().map(|(_, c)| count(c)).collect());
            let columns = vec![column(|c| c.views), column(|c| c.clicks), column(|c| c.attributed)];
            (start, SavedSlice { ids: cells.iter().map(|(id, _)| *id).collect(), columns })
        };
        Self {
            watermark: EventTime(old.watermark),
            keys: old.keys,
            dropped: old.dropped,
            slices: old.cells.into_iter().map(slice).collect(),
            indexes: old.indexes,
            ..Self::default()
        }
    }
}

impl From<SavedJoins2> for SavedJoins {
    fn from(old: SavedJoins2) -> Self {
        let mut saved = Self::default();
        for (on, entry) in old.entries {
            saved.replaced.push(on);
            let Some(entry) = entry else { continue };
            // Views were forgotten before their clicks. A click that had found one of those keeps its count where it is.
            let newest_matched =
                entry.clicks.iter().filter(|click| click.matched).map(|click| click.time).max();
            let oldest_view = entry.views.first().map(|view| view.time);
            if let Some(time) = newest_matched.filter(|time| oldest_view.is_none_or(|view| *time < view)) {
                saved.forgotten.push((on, time));
            }
            saved.views.extend(entry.views.into_iter().map(|view| (on, view.time, view.key)));
            saved.clicks.extend(entry.clicks.into_iter().map(|click| {
                // The offset of a matched click is no longer pending.
                let pending = click.pending && !click.matched;
                SavedClick { on, time: click.time, pending, more: Vec::new() }
            }));
        }
        saved
    }
}
