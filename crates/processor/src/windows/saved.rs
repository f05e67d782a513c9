//! What of the windows goes into a checkpoint: changed cells as absolute values, and what was dropped.

use event::{Ctr, EventTime, row::Key};
use serde::{Deserialize, Serialize};

use super::{WindowSet, keys::KeyId};

/// A delta, or everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedWindows {
    /// Watermark, as milliseconds.
    pub watermark: i64,
    /// Slices that are over.
    pub dropped: Vec<EventTime>,
    /// Keys of the cells below.
    pub keys: Vec<(KeyId, Key)>,
    /// Counts by slice and key.
    pub cells: Vec<(EventTime, Vec<(KeyId, Ctr)>)>,
    /// Next pane indexes of windows where they changed; an empty list drops the window's.
    pub indexes: Vec<(EventTime, Vec<(KeyId, u32)>)>,
}

impl WindowSet {
    /// What changed since the last call, or everything.
    pub fn save(&mut self, everything: bool) -> SavedWindows {
        let mut saved = SavedWindows { watermark: self.watermark.0, ..SavedWindows::default() };
        let dropped = self.slices.take_dropped();
        if !everything {
            saved.dropped.extend(dropped);
        }
        let mut named = vec![false; self.keys.bound()];
        for (start, slice) in self.slices.iter_mut() {
            let unsaved = slice.take_unsaved();
            let cells = if everything { slice.sorted() } else { unsaved };
            if cells.is_empty() {
                continue;
            }
            for (id, _) in &cells {
                named[*id as usize] = true;
            }
            saved.cells.push((start, cells));
        }
        saved.keys = self
            .keys
            .iter()
            .filter(|(id, _)| named[*id as usize])
            .map(|(id, key)| (id, key.clone()))
            .collect();
        let changed = std::mem::take(&mut self.unsaved_indexes);
        let windows: Vec<EventTime> =
            if everything { self.indexes.keys().copied().collect() } else { changed.into_iter().collect() };
        for start in windows {
            let mut next: Vec<(KeyId, u32)> =
                self.indexes.get(&start).into_iter().flatten().map(|(&id, &next)| (id, next)).collect();
            next.sort_unstable();
            saved.indexes.push((start, next));
        }
        saved
    }

    /// Applies what [`Self::save`] gave, in the order in which it was given.
    pub fn restore(&mut self, saved: SavedWindows) {
        self.watermark = EventTime(saved.watermark);
        for start in saved.dropped {
            for id in self.slices.remove(start) {
                self.keys.release(id);
            }
        }
        self.slices.take_dropped();
        for (id, key) in saved.keys {
            if self.keys.at(id) != Some(&key) {
                self.keys.restore(id, key);
            }
        }
        for (start, cells) in saved.cells {
            let bound = self.keys.bound();
            let slice = self.slices.at(start);
            for (id, count) in cells {
                if slice.restore(id, count, bound) {
                    self.keys.hold(id);
                }
            }
        }
        for (start, next) in saved.indexes {
            if next.is_empty() {
                self.indexes.remove(&start);
            } else {
                self.indexes.insert(start, next.into_iter().collect());
            }
        }
    }

    /// After all deltas are applied: early panes begin anew for every cell that may still have one.
    pub fn restored(&mut self) {
        self.set_border();
        self.keys.restored();
        if self.early {
            self.slices.iter_mut().for_each(|(_, cells)| cells.see_anew());
        }
    }
}
