//! What of the windows goes into a checkpoint: what changed and what was dropped since the one before, and a part of all.
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

use event::{Ctr, EventTime, row::Key};
use serde::{Deserialize, Serialize};

use super::{
    WindowSet, cells,
    keys::{self, KeyId},
};
use crate::saved::Room;

/// Changes, parts, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedWindows {
    /// Watermark, as milliseconds.
    pub watermark: i64,
    /// Slices that are over.
    pub dropped: Vec<EventTime>,
    /// Names of keys.
    pub keys: Vec<(KeyId, Key)>,
    /// Counts by slice and key.
    pub cells: Vec<(EventTime, Vec<(KeyId, Ctr)>)>,
    /// Next pane indexes by window and key; an empty list drops the window's.
    pub indexes: Vec<(EventTime, Vec<(KeyId, u32)>)>,
}

/// Where a walk over the windows goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the name of a key.
    Keys(KeyId),
    /// In a slice, or in the one after it if it is gone.
    Cells(EventTime, cells::Place),
    /// At a key's index in a window, or in the window after it if it is gone.
    Indexes(EventTime, KeyId),
}

impl Place {
    /// The beginning.
    pub const START: Self = Self::Keys(0);
}

impl SavedWindows {
    /// Bytes in memory, roughly.
    pub fn weight(&self) -> usize {
        let keys: usize = self.keys.iter().map(|(_, key)| keys::weight(key)).sum();
        let cells: usize = self.cells.iter().map(|(_, cells)| cells.len()).sum();
        let indexes: usize = self.indexes.iter().map(|(_, next)| next.len()).sum();
        keys + cells * size_of::<(KeyId, Ctr)>() + indexes * size_of::<(KeyId, u32)>()
    }
}

impl WindowSet {
    /// What changed since the last call.
    pub fn save(&mut self) -> SavedWindows {
        let mut saved = SavedWindows {
            watermark: self.watermark.0,
            dropped: std::mem::take(&mut self.dropped),
            keys: self.keys.take_unsaved(),
            ..SavedWindows::default()
        };
        for (start, slice) in self.slices.iter_mut() {
            let cells = slice.take_unsaved();
            if !cells.is_empty() {
                saved.cells.push((start, cells));
            }
        }
        for (window, ids) in std::mem::take(&mut self.unsaved_indexes) {
            let next = self.indexes.get(&window);
            let indexes = ids.into_iter().filter_map(|id| Some((id, *next?.get(&id)?)));
            saved.indexes.push((window, indexes.collect()));
        }
        saved
    }

    /// Adds everything from a place on, while there is room. Returns where to go on, if there is more.
    pub fn walk(&self, mut place: Place, room: &mut Room, saved: &mut SavedWindows) -> Option<Place> {
        loop {
            place = match place {
                Place::Keys(id) => match self.keys.walk(id, room, &mut saved.keys) {
                    Some(id) => return Some(Place::Keys(id)),
                    None => Place::Cells(EventTime::MIN, cells::Place::default()),
                },
                Place::Cells(from, at) => match self.slices.at_or_after(from) {
                    None => Place::Indexes(EventTime::MIN, 0),
                    Some((start, slice)) => {
                        let at = if start == from { at } else { cells::Place::default() };
                        let mut walked = Vec::new();
                        let next = slice.walk(at, room, &mut walked);
                        if !walked.is_empty() {
                            saved.cells.push((start, walked));
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
            };
        }
    }

    /// Applies one checkpoint, in the order in which they were made.
    pub fn restore(&mut self, saved: SavedWindows) {
        self.watermark = EventTime(saved.watermark);
        for start in saved.dropped {
            for id in self.slices.remove(start) {
                self.keys.restore_release(id);
            }
        }
        for (id, key) in saved.keys {
            self.keys.restore(id, key);
        }
        for (start, cells) in saved.cells {
            for (id, count) in cells {
                let bound = self.keys.bound().max(id as usize + 1);
                if self.slices.at(start).restore(id, count, bound) {
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

    /// The state is whole: early panes begin again for every cell that may still have one.
    pub fn restored(&mut self) {
        self.set_border();
        self.keys.restored();
        if self.early {
            self.slices.iter_mut().for_each(|(_, cells)| cells.see_anew());
        }
    }
}
