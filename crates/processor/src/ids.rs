//! Event ids that were seen, to tell what a producer wrote twice.
//!
//! An id is its 128-bit hash ([`crate::digest`]).

use std::collections::BTreeMap;

use event::{EventTime, Millis};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// The ids of the last while.
#[derive(Debug)]
pub struct Ids {
    within: Millis,
    keep: Millis,
    times: FxHashMap<u128, i64>,
    by_minute: BTreeMap<i64, Vec<u128>>,
    unsaved: Vec<(u128, i64)>,
    floor: EventTime,
}

/// What of the ids goes into a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedIds {
    /// New ids with their event times.
    pub new: Vec<(u128, i64)>,
    /// Ids of events older than this are forgotten.
    pub floor: i64,
}

const MINUTE: i64 = 60_000;

impl Ids {
    /// Two events with one id are one when their times are at most `within` apart. Ids are kept until the
    /// watermark is `within` and `open` (size and lateness of the longest window) past them.
    pub fn new(within: Millis, open: Millis) -> Self {
        Self {
            within,
            keep: Millis(within.0 + open.0),
            times: FxHashMap::default(),
            by_minute: BTreeMap::new(),
            unsaved: Vec::new(),
            floor: EventTime::MIN,
        }
    }

    /// Whether the event was seen before; if not, it is from now on.
    pub fn is_duplicate(&mut self, id: u128, time: EventTime) -> bool {
        if let Some(&known) = self.times.get(&id)
            && (known - time.0).abs() <= self.within.0
        {
            return true;
        }
        self.insert(id, time.0);
        self.unsaved.push((id, time.0));
        false
    }

    /// Forgets what the next [`Self::save`] would give.
    pub fn nothing_to_save(&mut self) {
        self.unsaved.clear();
    }

    fn insert(&mut self, hash: u128, time: i64) {
        self.times.insert(hash, time);
        self.by_minute.entry(time.div_euclid(MINUTE)).or_default().push(hash);
    }

    /// Forgets what no event that still counts can repeat.
    pub fn forget_before(&mut self, watermark: EventTime) {
        if watermark == EventTime::MIN {
            return;
        }
        self.floor = self.floor.max(watermark - self.keep);
        let minute = self.floor.0.div_euclid(MINUTE);
        while let Some((&first, _)) = self.by_minute.first_key_value()
            && first < minute
        {
            for hash in self.by_minute.remove(&first).into_iter().flatten() {
                // The id may have come again much later; then another minute holds it.
                if self.times.get(&hash).is_some_and(|time| time.div_euclid(MINUTE) == first) {
                    self.times.remove(&hash);
                }
            }
        }
    }

    /// What changed since the last call, or everything.
    pub fn save(&mut self, everything: bool) -> SavedIds {
        let new = std::mem::take(&mut self.unsaved);
        let new =
            if everything { self.times.iter().map(|(&hash, &time)| (hash, time)).collect() } else { new };
        SavedIds { new, floor: self.floor.0 }
    }

    /// Applies what [`Self::save`] gave.
    pub fn restore(&mut self, saved: SavedIds) {
        for (hash, time) in saved.new {
            self.insert(hash, time);
        }
        if saved.floor > i64::MIN {
            self.forget_before(EventTime(saved.floor) + self.keep);
        }
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> u64 {
        64 * self.times.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_duplicate_within_its_time_and_across_a_restart() {
        let mut ids = Ids::new(Millis(600_000), Millis(60_000));
        assert!(!ids.is_duplicate(1, EventTime(0)));
        assert!(ids.is_duplicate(1, EventTime(600_000)));
        assert!(!ids.is_duplicate(1, EventTime(600_001)));
        let mut again = Ids::new(Millis(600_000), Millis(60_000));
        again.restore(ids.save(false));
        assert!(again.is_duplicate(1, EventTime(600_001)));
        again.forget_before(EventTime(600_001 + 660_000 + 2 * MINUTE));
        assert!(!again.is_duplicate(1, EventTime(600_001)));
        assert_eq!(again.times.len(), 1);
    }
}
