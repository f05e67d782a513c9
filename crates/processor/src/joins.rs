//! Clicks find their views, in whatever order the two arrive.
//!
//! Every value of `on`, known by its hash ([`crate::digest`]), has a small list of views and clicks. A click belongs to the newest view that
//! is at most `within` before it (of two at the same time, to the one with the smaller key), so that
//! the outcome does not depend on the order: each arrival recomputes its list and reports the
//! difference. Not here: the windows that count it.

use std::collections::{BTreeMap, BTreeSet};

use event::{EventTime, Millis, row::Key};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::windows::slices::Change;

/// Views and clicks that may still find one another.
#[derive(Debug)]
pub struct Joins {
    within: Millis,
    lateness: Millis,
    entries: FxHashMap<u128, Entry>,
    /// When something of an entry is over.
    due: BTreeMap<EventTime, Vec<u128>>,
    unsaved: BTreeSet<u128>,
    parts: usize,
}

/// Everything with one value of `on`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    views: Vec<View>,
    clicks: Vec<Click>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct View {
    time: EventTime,
    key: Key,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Click {
    time: EventTime,
    /// Its offset waits in the ledger for its outcome.
    pending: bool,
    /// Whether a view was found.
    matched: bool,
}

/// What an arrival changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Counts to change: key, time, by how much.
    pub counts: Vec<(Key, EventTime, Change)>,
    /// Pending clicks that found their view.
    pub matched: u64,
}

/// What of the joins goes into a checkpoint: entries as they are now, absent ones are gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedJoins {
    /// Changed entries.
    pub entries: Vec<(u128, Option<Entry>)>,
}

impl Joins {
    /// Views up to `within` before their click; a click waits until the watermark is `lateness` past it.
    pub fn new(within: Millis, lateness: Millis) -> Self {
        Self {
            within,
            lateness,
            entries: FxHashMap::default(),
            due: BTreeMap::new(),
            unsaved: BTreeSet::new(),
            parts: 0,
        }
    }

    /// A view; its own count is the caller's.
    pub fn view(&mut self, on: u128, time: EventTime, key: Key) -> Effects {
        let over = time + self.within + self.lateness;
        self.change(on, over, |entry| {
            let view = View { time, key };
            let at = entry.views.partition_point(|other| *other < view);
            entry.views.insert(at, view);
        })
    }

    /// A click. `pending`: its offset waits in the ledger for what becomes of it.
    pub fn click(&mut self, on: u128, time: EventTime, pending: bool) -> Effects {
        let over = time + self.lateness;
        self.change(on, over, |entry| entry.clicks.push(Click { time, pending, matched: false }))
    }

    fn change(&mut self, hash: u128, over: EventTime, add: impl FnOnce(&mut Entry)) -> Effects {
        let entry = self.entries.entry(hash).or_default();
        let before = entry.counts(self.within);
        add(entry);
        let after = entry.counts(self.within);
        let mut effects = Effects { counts: difference(before, &after), matched: 0 };
        for at in 0..entry.clicks.len() {
            if !entry.clicks[at].matched && entry.view_of(entry.clicks[at].time, self.within).is_some() {
                let click = &mut entry.clicks[at];
                click.matched = true;
                effects.matched += u64::from(click.pending);
            }
        }
        self.parts += 1;
        self.due.entry(over).or_default().push(hash);
        self.unsaved.insert(hash);
        effects
    }

    /// Forgets what is over, and returns how many pending clicks never found their view.
    pub fn expire(&mut self, watermark: EventTime) -> u64 {
        let mut unmatched = 0;
        while let Some((&over, _)) = self.due.first_key_value()
            && over <= watermark
        {
            for hash in self.due.remove(&over).into_iter().flatten() {
                let Some(entry) = self.entries.get_mut(&hash) else { continue };
                let parts = entry.views.len() + entry.clicks.len();
                let view_keep = Millis(self.within.0 + self.lateness.0);
                entry.views.retain(|view| view.time + view_keep > watermark);
                entry.clicks.retain(|click| {
                    let over = click.time + self.lateness <= watermark;
                    unmatched += u64::from(over && click.pending && !click.matched);
                    !over
                });
                self.parts -= parts - entry.views.len() - entry.clicks.len();
                if entry.views.is_empty() && entry.clicks.is_empty() {
                    self.entries.remove(&hash);
                }
                self.unsaved.insert(hash);
            }
        }
        unmatched
    }

    /// Forgets what the next [`Self::save`] would give.
    pub fn nothing_to_save(&mut self) {
        self.unsaved.clear();
    }

    /// What changed since the last call, or everything.
    pub fn save(&mut self, everything: bool) -> SavedJoins {
        let changed = std::mem::take(&mut self.unsaved);
        let entries = if everything {
            self.entries.iter().map(|(&hash, entry)| (hash, Some(entry.clone()))).collect()
        } else {
            changed.into_iter().map(|hash| (hash, self.entries.get(&hash).cloned())).collect()
        };
        SavedJoins { entries }
    }

    /// Applies what [`Self::save`] gave.
    pub fn restore(&mut self, saved: SavedJoins) {
        for (hash, entry) in saved.entries {
            let old = self.entries.remove(&hash).unwrap_or_default();
            self.parts -= old.views.len() + old.clicks.len();
            let Some(entry) = entry else { continue };
            self.parts += entry.views.len() + entry.clicks.len();
            for view in &entry.views {
                self.due.entry(view.time + self.within + self.lateness).or_default().push(hash);
            }
            for click in &entry.clicks {
                self.due.entry(click.time + self.lateness).or_default().push(hash);
            }
            self.entries.insert(hash, entry);
        }
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> u64 {
        160 * self.parts as u64
    }
}

impl Entry {
    /// The view that a click at this time belongs to; views are in order of time and key.
    fn view_of(&self, click: EventTime, within: Millis) -> Option<usize> {
        let newest = self.views[..self.views.partition_point(|view| view.time <= click)].last()?;
        let first = self.views.partition_point(|view| view.time < newest.time);
        (click <= newest.time + within).then_some(first)
    }

    /// What this entry counts, by key and time.
    fn counts(&self, within: Millis) -> BTreeMap<(Key, EventTime), Change> {
        let mut counts: BTreeMap<(Key, EventTime), Change> = BTreeMap::new();
        let mut clicked = BTreeSet::new();
        for click in &self.clicks {
            if let Some(view) = self.view_of(click.time, within) {
                counts.entry((self.views[view].key.clone(), click.time)).or_default().clicks += 1;
                clicked.insert(view);
            }
        }
        for view in clicked {
            let View { time, key } = self.views[view].clone();
            counts.entry((key, time)).or_default().attributed += 1;
        }
        counts
    }
}

fn difference(
    before: BTreeMap<(Key, EventTime), Change>,
    after: &BTreeMap<(Key, EventTime), Change>,
) -> Vec<(Key, EventTime, Change)> {
    let mut changes = after.clone();
    for (place, old) in before {
        let change = changes.entry(place).or_default();
        change.clicks -= old.clicks;
        change.attributed -= old.attributed;
    }
    changes.retain(|_, change| *change != Change::default());
    changes.into_iter().map(|((key, time), change)| (key, time, change)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(name: u8) -> Key {
        [Some(name.to_string())].into_iter().collect()
    }

    type Totals = BTreeMap<(Key, EventTime), (i64, i64)>;

    fn sum(joins: &mut Joins, steps: &[(bool, i64, u8)]) -> (Totals, u64) {
        let mut totals = Totals::new();
        let mut matched = 0;
        for &(is_view, time, name) in steps {
            let effects = if is_view {
                joins.view(1, EventTime(time), key(name))
            } else {
                joins.click(1, EventTime(time), true)
            };
            matched += effects.matched;
            for (key, time, change) in effects.counts {
                let total = totals.entry((key, time)).or_default();
                total.0 += change.clicks;
                total.1 += change.attributed;
            }
        }
        totals.retain(|_, total| *total != (0, 0));
        (totals, matched)
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_does_not_matter(
            steps in proptest::collection::vec((any::<bool>(), 0i64..50, 0u8..3), 0..12)
                .prop_flat_map(|steps| (Just(steps.clone()), Just(steps).prop_shuffle())),
        ) {
            let new = || Joins::new(Millis(10), Millis(20));
            let (mut one, mut other) = (new(), new());
            prop_assert_eq!(sum(&mut one, &steps.0), sum(&mut other, &steps.1));
            let saved = one.save(false);
            let mut restored = new();
            restored.restore(saved);
            prop_assert_eq!(one.expire(EventTime(45)), restored.expire(EventTime(45)));
            let rest = one.expire(EventTime::MAX);
            prop_assert_eq!(rest, restored.expire(EventTime::MAX));
            prop_assert_eq!(one.parts, 0);
        }
    }
}
