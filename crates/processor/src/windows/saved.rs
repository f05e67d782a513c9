//! The part of a checkpoint that holds windows: what changed and what was dropped since the one before, and a part of all.
//!
//! Everything is an absolute value as of its checkpoint, so that a part and a delta are applied alike, in any number. Applied
//! from the first part of a round on, they give the state as of the last checkpoint:
//!
//! - A cell never leaves its slice. A slice is dropped once, for good, and the next delta names it. What was restored is therefore
//!   at each checkpoint a part of what the process had, and once all of it was walked over, it is the whole.
//! - A key's number is used again when the key has no cell left. Its old cells are then gone here, too; only its name may
//!   remain, until the number or the name is named again, or until the end.
//! - A cell or an index may come before the name of its key, which the walk has not reached yet.
//! - The indexes of a window are dropped with it, and the next delta names the window. A key that has an index there has a cell in
//!   a slice that lives as long, so that its number is not used again meanwhile.

use event::{EventTime, Key};
use flow::measure::SavedColumn;
use serde::{Deserialize, Serialize};

use super::{
    Aligned, WindowSet, cells,
    keys::{self, KeyId},
};
use crate::saved::Room;

pub use super::sessions::{SavedFired, SavedSession, SavedSessions};

/// Changes, parts, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedWindows {
    /// The watermark.
    pub watermark: EventTime,
    /// Windows that end at or before it are over.
    pub closed: EventTime,
    /// Names of keys.
    pub keys: Vec<(KeyId, Key)>,
    /// Starts of slices that are over.
    pub dropped: Vec<EventTime>,
    /// Cells by the start of their slice.
    pub slices: Vec<(EventTime, SavedSlice)>,
    /// Next pane indexes by window and key; an empty list drops the window's.
    pub indexes: Vec<(EventTime, Vec<(KeyId, u32)>)>,
    /// Sessions, if the flow has these in place of slices.
    pub sessions: SavedSessions,
}

/// Some cells of one slice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSlice {
    /// Their keys.
    pub ids: Vec<KeyId>,
    /// Their counts, a row for each; a column for each stored measure.
    pub columns: Vec<SavedColumn>,
}

/// Where a walk over the windows continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the name of a key.
    Keys(KeyId),
    /// In a slice, or in the one after it if it is gone.
    Cells(EventTime, cells::Place),
    /// At a key's index in a window, or in the window after it if it is gone.
    Indexes(EventTime, KeyId),
    /// At a session.
    Sessions(KeyId, EventTime),
}

impl Place {
    /// The beginning.
    pub const START: Self = Self::Keys(0);
}

impl Default for SavedWindows {
    fn default() -> Self {
        Self {
            watermark: EventTime::MIN,
            closed: EventTime::MIN,
            keys: Vec::new(),
            dropped: Vec::new(),
            slices: Vec::new(),
            indexes: Vec::new(),
            sessions: SavedSessions::default(),
        }
    }
}

impl SavedWindows {
    /// Bytes in memory, roughly.
    pub fn weight(&self) -> usize {
        let columns = |columns: &[SavedColumn]| columns.iter().map(SavedColumn::bytes).sum::<usize>();
        let keys: usize = self.keys.iter().map(|(_, key)| keys::weight(key)).sum();
        let slice =
            |(_, slice): &(_, SavedSlice)| slice.ids.len() * size_of::<KeyId>() + columns(&slice.columns);
        let slices: usize = self.slices.iter().map(slice).sum();
        let indexes: usize = self.indexes.iter().map(|(_, next)| next.len()).sum();
        let replaced: usize = self.sessions.fired.iter().map(|fired| size_of_val(&*fired.replaced)).sum();
        let sessions = size_of_val(self.sessions.sessions.as_slice())
            + size_of_val(self.sessions.fired.as_slice())
            + replaced
            + columns(&self.sessions.columns);
        keys + slices + indexes * size_of::<(KeyId, u32)>() + sessions
    }

    /// Puts the columns into the order of a flow that was edited: for each of its measures the place in this checkpoint,
    /// if it has one.
    pub fn reorder(&mut self, places: &[Option<usize>]) {
        let slices = self.slices.iter_mut().map(|(_, slice)| &mut slice.columns);
        for columns in slices.chain([&mut self.sessions.columns]) {
            let mut before: Vec<Option<SavedColumn>> =
                std::mem::take(columns).into_iter().map(Some).collect();
            let mut at = |place: &Option<usize>| {
                let column = place.and_then(|place| before.get_mut(place)).and_then(Option::take);
                // Without rows: every cell of it begins empty.
                column.unwrap_or(SavedColumn::Counts(Vec::new()))
            };
            *columns = places.iter().map(&mut at).collect();
        }
    }
}

/// Into checkpoints and out of them.
impl WindowSet {
    /// What changed since the last call.
    pub fn save(&mut self) -> SavedWindows {
        let mut saved = SavedWindows::default();
        match self {
            Self::Aligned(aligned) => aligned.save(&mut saved),
            Self::Sessions(sessions) => {
                (saved.watermark, saved.closed) = (sessions.watermark, sessions.closed);
                saved.keys = sessions.keys.take_unsaved();
                sessions.save(&mut saved.sessions);
            }
        }
        saved
    }

    /// Adds everything from a place on, while there is room. Returns where to continue, if there is more.
    pub fn walk(&self, place: Place, room: &mut Room, saved: &mut SavedWindows) -> Option<Place> {
        let keys = match self {
            Self::Aligned(aligned) => &aligned.keys,
            Self::Sessions(sessions) => &sessions.keys,
        };
        let place = match place {
            Place::Keys(id) => match keys.walk(id, room, &mut saved.keys) {
                Some(id) => return Some(Place::Keys(id)),
                None => None,
            },
            place => Some(place),
        };
        match self {
            Self::Aligned(aligned) => {
                let start = Place::Cells(EventTime::MIN, cells::Place::default());
                aligned.walk(place.unwrap_or(start), room, saved)
            }
            Self::Sessions(sessions) => {
                let from = match place {
                    Some(Place::Sessions(key, start)) => (key, start),
                    _ => (0, EventTime::MIN),
                };
                sessions.walk(from, room, &mut saved.sessions).map(|(key, start)| Place::Sessions(key, start))
            }
        }
    }

    /// Applies one checkpoint, in the order in which they were made.
    pub fn restore(&mut self, saved: SavedWindows) {
        match self {
            Self::Aligned(aligned) => aligned.restore(saved),
            Self::Sessions(sessions) => {
                (sessions.watermark, sessions.closed) = (saved.watermark, saved.closed.max(sessions.closed));
                // Sessions that are gone are removed first, because the numbers of their keys may be in use again.
                let SavedSessions { gone, sessions: list, columns, fired } = saved.sessions;
                sessions.restore(SavedSessions { gone, ..SavedSessions::default() });
                for (id, key) in saved.keys {
                    sessions.keys.restore(id, key);
                }
                sessions.restore(SavedSessions { gone: Vec::new(), sessions: list, columns, fired });
            }
        }
    }

    /// The state is whole.
    pub fn restored(&mut self) {
        match self {
            Self::Aligned(aligned) => aligned.restored(),
            Self::Sessions(sessions) => sessions.restored(),
        }
    }
}

impl Aligned {
    fn save(&mut self, saved: &mut SavedWindows) {
        (saved.watermark, saved.closed) = (self.watermark, self.closed);
        saved.dropped = std::mem::take(&mut self.dropped);
        saved.keys = self.keys.take_unsaved();
        for (start, slice) in self.slices.iter_mut() {
            let mut cells = slice.saved();
            slice.take_unsaved(&mut cells);
            if !cells.ids.is_empty() {
                saved.slices.push((start, cells));
            }
        }
        for (window, ids) in std::mem::take(&mut self.unsaved_indexes) {
            let next = self.indexes.get(&window);
            let indexes = ids.into_iter().filter_map(|id| Some((id, *next?.get(&id)?)));
            saved.indexes.push((window, indexes.collect()));
        }
    }

    fn walk(&self, mut place: Place, room: &mut Room, saved: &mut SavedWindows) -> Option<Place> {
        loop {
            place = match place {
                Place::Cells(from, at) => match self.slices.at_or_after(from) {
                    None => Place::Indexes(EventTime::MIN, 0),
                    Some((start, slice)) => {
                        let at = if start == from { at } else { cells::Place::default() };
                        let mut walked = slice.saved();
                        let next = slice.walk(at, room, &mut walked);
                        if !walked.ids.is_empty() {
                            saved.slices.push((start, walked));
                        }
                        match next {
                            Some(at) => return Some(Place::Cells(start, at)),
                            None => Place::Cells(EventTime(start.0 + 1), cells::Place::default()),
                        }
                    }
                },
                Place::Indexes(from, id) => {
                    let (&window, indexes) = self.indexes.range(from..).next()?;
                    let id = if window == from { id } else { 0 };
                    let mut walked = Vec::new();
                    for (&id, &next) in indexes.range(id..) {
                        if room.is_full() {
                            saved.indexes.extend((!walked.is_empty()).then_some((window, walked)));
                            return Some(Place::Indexes(window, id));
                        }
                        room.take(size_of::<(KeyId, u32)>());
                        walked.push((id, next));
                    }
                    saved.indexes.extend((!walked.is_empty()).then_some((window, walked)));
                    Place::Indexes(EventTime(window.0 + 1), 0)
                }
                Place::Keys(_) | Place::Sessions(..) => Place::Cells(EventTime::MIN, cells::Place::default()),
            };
        }
    }

    fn restore(&mut self, saved: SavedWindows) {
        (self.watermark, self.closed) = (saved.watermark, saved.closed.max(self.closed));
        for start in saved.dropped {
            for id in self.slices.remove(start) {
                self.keys.restore_release(id);
            }
        }
        for (id, key) in saved.keys {
            self.keys.restore(id, key);
        }
        for (start, slice) in saved.slices {
            for (row, id) in slice.ids.into_iter().enumerate() {
                let bound = self.keys.bound().max(id as usize + 1);
                if self.slices.at(start).restore(id, &slice.columns, row, bound) {
                    self.keys.restore_hold(id);
                }
            }
        }
        for (window, next) in saved.indexes {
            if next.is_empty() {
                self.drop_indexes(window);
                continue;
            }
            let indexes = self.indexes.entry(window).or_default();
            let before = indexes.len();
            indexes.extend(next);
            self.index_count += indexes.len() - before;
        }
    }
}
