//! Version 2 of the state, as release 0.1.0 wrote it, and its conversion.
//!
//! Version 2 did not contain retired incarnations. An ID had its newest time only, and all kinds of time shared one set
//! of IDs. Clocks had no publish time. Joins were saved as whole values and not as arrivals. Counts were always views,
//! clicks and attributed clicks, the meaning of a flow was a text, and no offset was `filtered`.
//!
//! Since version 3, IDs that are declared for a topic have hashes of their own, so those of a version 2 state recognise
//! no copies: if a copy of an event from before the upgrade arrives after it, it counts again. Shared IDs are not
//! affected.

use std::{collections::BTreeMap, sync::Arc};

use event::{EventTime, Key, Partition};
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
    rejected::SavedRejected,
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
    /// IDs of events older than this had been removed.
    floor: i64,
}

#[derive(Deserialize)]
struct SavedFlow2 {
    name: String,
    fingerprint: String,
    ledger: [u64; 9],
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

/// Values that changed; `None` for values that were removed.
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
        // The processing time was that of the newest message. It must not move back, so it waits for the partitions.
        let clocks = Clocks { published: old.published, ..clocks.into() };
        Self {
            part: Part::whole(),
            frontier: Frontier::from_version_2(tracks, topics, clocks, cold),
            unpositioned: old.unpositioned.map(Clocks::from),
            published: old.published,
            ids: old.ids.into(),
            flows: old.flows.into_iter().map(SavedFlow::from).collect(),
            outbox: old.outbox,
            rejected: SavedRejected::default(),
            writers: Vec::new(),
            others: Vec::new(),
        }
    }
}

impl From<SavedIds2> for Vec<(TimeKind, SavedIds)> {
    /// All times are event times, so flows of another kind of time keep these IDs while their clock is close to event
    /// time.
    fn from(old: SavedIds2) -> Self {
        let taken = |time| Taken { event: EventTime(time), clock: EventTime(time) };
        let new: Vec<_> = old.new.into_iter().map(|(id, time)| (id, taken(time))).collect();
        // IDs below the floor were removed with their last minute. No watermark was saved.
        let ids = SavedIds { new, watermark: old.floor };
        [TimeKind::Event, TimeKind::Kafka, TimeKind::Processing].map(|kind| (kind, ids.clone())).into()
    }
}

impl From<SavedFlow2> for SavedFlow {
    fn from(old: SavedFlow2) -> Self {
        Self {
            name: old.name,
            meaning: Meaning::Version2(old.fingerprint),
            ledger: old.ledger.into(),
            before: old.before,
            // Version 2 did not save it. Only the slices of counted events are known.
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
            // Views were removed before their clicks. A click that was matched with a removed view keeps its count
            // where it is.
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
