//! The part of a checkpoint that holds joins: views and clicks as they arrived.
//!
//! Everything else follows from them and the watermark: an arrival that was forgotten before the checkpoint is
//! forgotten again when the state is restored.

use event::{EventTime, row::Key};
use serde::{Deserialize, Serialize};

use super::{Effects, Joins};

/// The arrivals since the last checkpoint, or everything that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedJoins {
    /// Values whose earlier content is void. Only a state of version 2, which held whole values, has any.
    pub replaced: Vec<u128>,
    /// Views: hash of the value of `on`, time, key.
    pub views: Vec<(u128, EventTime, Key)>,
    /// Clicks: hash of the value of `on`, time, whether its offset is pending.
    pub clicks: Vec<(u128, EventTime, bool)>,
    /// Times of the newest forgotten view of values that still have clicks.
    pub forgotten: Vec<(u128, EventTime)>,
}

impl Joins {
    /// What changed since the last call, or everything.
    pub fn save(&mut self, everything: bool) -> SavedJoins {
        let unsaved = std::mem::take(&mut self.unsaved);
        if !everything {
            return unsaved;
        }
        let mut saved = SavedJoins::default();
        for (&on, entry) in &self.entries {
            saved.views.extend(entry.views.iter().map(|view| (on, view.time, view.key.clone())));
            saved.clicks.extend(entry.clicks.iter().map(|click| (on, click.time, click.pending)));
            if entry.forgotten > EventTime::MIN {
                saved.forgotten.push((on, entry.forgotten));
            }
        }
        saved
    }

    /// Applies what [`Self::save`] returned, in the same order. `watermark`: the flow's, at that checkpoint.
    pub fn restore(&mut self, saved: SavedJoins, watermark: EventTime) {
        for on in saved.replaced {
            if let Some(entry) = self.entries.remove(&on) {
                self.parts -= entry.len();
            }
        }
        // The limit was applied when they arrived, and their counts are in the windows.
        let limit = std::mem::replace(&mut self.limit, usize::MAX);
        let mut counted = Effects::default();
        for (on, time, key) in saved.views {
            self.view(on, time, key, &mut counted);
            counted.clear();
        }
        for (on, time, pending) in saved.clicks {
            self.click(on, time, pending, &mut counted);
            counted.clear();
        }
        for (on, time) in saved.forgotten {
            if let Some(entry) = self.entries.get_mut(&on) {
                entry.forgotten = entry.forgotten.max(time);
            }
        }
        self.limit = limit;
        self.nothing_to_save();
        self.expire(watermark);
    }

    /// Forgets what the next [`Self::save`] would return.
    pub fn nothing_to_save(&mut self) {
        self.unsaved.views.clear();
        self.unsaved.clicks.clear();
    }
}
