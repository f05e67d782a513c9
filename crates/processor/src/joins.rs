//! Clicks find their views, in whatever order the two arrive.
//!
//! A click belongs to the newest view with the same value of `on` that is at most `within` before it. Of several views
//! at one time, the one with the smallest key takes the clicks, so that the outcome does not depend on the order of
//! arrival.
//!
//! Views and clicks of one value are two lists in order of time. The clicks of a view are those between its time and
//! the time of the next view, at most `within` later: a contiguous part of the list. An arrival therefore changes
//! the owner of one contiguous range of clicks, which [`Joins::view`] and [`Joins::click`] find by binary search and
//! report as one change for each slice of the windows, never for each click. Only clicks that feed further measures move
//! one by one, as each has its own values: at most [`Join::limit`] of them.
//!
//! Views and clicks are both kept until the watermark is `within` + window size + allowed lateness past them. Before
//! that, a window of the click or of its view may still take an event that changes it. See [`crate::engine`] for how
//! the changes are counted.

use event::{EventTime, Key, Millis};
use flow::{
    Flow, Join, Windows,
    measure::{Change, Feeds, Input, Source},
};

use self::{
    due::{Due, second_after},
    entry::{Click, Entry, View},
};
use crate::{
    digest::HashedKey,
    table::{TOGETHER, Table},
    windows::keys::{KeyId, Keys},
};

mod due;
mod entry;
mod saved;

pub use saved::{Place, SavedClick, SavedInput, SavedJoins};

/// The views and clicks of one flow that may still find each other.
#[derive(Debug)]
pub struct Joins {
    within: Millis,
    /// How far the watermark passes a view or a click before it is forgotten.
    keep: Millis,
    /// The same by the configuration. While a state is restored, `keep` is that of its checkpoints.
    configured: Millis,
    /// The most views and clicks of one value.
    limit: usize,
    windows: Windows,
    bits: Bits,
    watermark: EventTime,
    /// By the hash of the value of `on`.
    entries: Table<Entry>,
    /// The keys of the views. Most keys have many views, so a view names its key by a number.
    keys: Keys,
    due: Due,
    /// Whether there will be checkpoints.
    is_saved: bool,
    /// Views and clicks that no checkpoint holds yet.
    unsaved: SavedJoins,
    /// Views and clicks in `entries`.
    parts: usize,
    /// Bytes that `entries` point to.
    bytes: usize,
    /// Views and clicks that were not joined because their value had reached the limit, since the process began.
    over_limit: u64,
}

/// What an event feeds beside `clicks`. It moves with the click.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct More {
    /// The measures.
    pub feeds: Feeds,
    /// The inputs of those that need one.
    pub inputs: Box<[Input]>,
}

/// The measures that a join changes.
#[derive(Clone, Copy, Debug)]
struct Bits {
    clicks: Feeds,
    attributed: Feeds,
    /// Those that need an input.
    valued: Feeds,
}

/// Changes that arrivals cause. Reused from one event to the next.
#[derive(Debug, Default)]
pub struct Effects {
    /// Which cells change: key, a time in the slice, change.
    pub changes: Vec<(Key, EventTime, Moved)>,
    /// How many earlier pending clicks found their view.
    pub found: u64,
}

/// A [`Change`] that outlives its event.
#[derive(Clone, Debug)]
pub struct Moved {
    feeds: Feeds,
    inputs: Box<[Input]>,
    times: i64,
}

/// The outcome of a click on arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clicked {
    /// Its view is known.
    Found,
    /// It waits for its view.
    Waits,
    /// Its value has reached the limit; the click takes no part in the join.
    OverLimit,
}

impl Joins {
    /// The join of a flow over these windows.
    pub fn new(join: &Join, windows: Windows, flow: &Flow) -> Self {
        let keep = Millis(join.within.0.saturating_add(flow.open().0));
        Self {
            within: join.within,
            keep,
            configured: keep,
            limit: join.limit,
            windows,
            bits: Bits {
                clicks: flow.feeds(Source::Clicks),
                attributed: flow.feeds(Source::Join),
                valued: flow.valued(),
            },
            watermark: EventTime::MIN,
            entries: Table::default(),
            keys: Keys::default(),
            due: Due::default(),
            is_saved: true,
            unsaved: SavedJoins::default(),
            parts: 0,
            bytes: 0,
            over_limit: 0,
        }
    }

    /// Reads where these values are, or would be (see [`Table::touch`]).
    pub(crate) fn touch(&self, values: impl Iterator<Item = u128>) {
        self.entries.touch(values);
    }

    /// A view arrives; its own count is the caller's.
    pub fn view(&mut self, on: u128, time: EventTime, key: HashedKey<'_>, effects: &mut Effects) {
        if self.is_over(time) {
            return;
        }
        let id = self.keys.intern(key, false);
        self.keys.hold(id);
        let (view, due) = (View { time, key: id }, second_after(time + self.keep));
        let mut is_new = false;
        let entry = self.entries.get_or_insert_with(on, || {
            is_new = true;
            Entry::of_view(view, due)
        });
        let unused = if is_new {
            // Most views are the only one of their value: nothing is read from a place that no cache holds.
            self.due.register(due, on);
            self.parts += 1;
            None
        } else if entry.len() >= self.limit {
            self.over_limit += 1;
            Some(id)
        } else {
            entry.fall_due(on, due, &mut self.due);
            let before = entry.bytes();
            let mut moves = Moves {
                windows: &self.windows,
                keys: &self.keys,
                within: self.within,
                bits: self.bits,
                effects,
            };
            let unused = match entry.add_view(view, &mut moves) {
                Added::New => {
                    self.parts += 1;
                    None
                }
                Added::Instead(other) => Some(other),
                Added::Not => Some(id),
            };
            self.bytes = self.bytes + entry.bytes() - before;
            unused
        };
        if self.is_saved && unused != Some(id) {
            self.unsaved.views.push((on, time, self.keys.get(id).clone()));
        }
        if let Some(unused) = unused {
            self.keys.release(unused);
        }
    }

    /// A click arrives. `pending`: its offset waits in the ledger for the outcome. `more`: what it feeds beside `clicks`.
    pub fn click(
        &mut self,
        on: u128,
        (time, pending): (EventTime, bool),
        more: Option<Box<More>>,
        effects: &mut Effects,
    ) -> Clicked {
        let entry = self.entries.get_or_insert_with(on, Entry::default);
        if entry.len() >= self.limit {
            self.over_limit += 1;
            return Clicked::OverLimit;
        }
        entry.fall_due(on, second_after(time + self.keep), &mut self.due);
        let before = entry.bytes();
        let click = Click { time, pending, more };
        if self.is_saved {
            self.unsaved.clicks.push(SavedClick::new(on, &click, self.bits.valued));
        }
        let mut moves =
            Moves { windows: &self.windows, keys: &self.keys, within: self.within, bits: self.bits, effects };
        let has_view = entry.add_click(click, &mut moves);
        self.bytes = self.bytes + entry.bytes() - before;
        self.parts += 1;
        if has_view { Clicked::Found } else { Clicked::Waits }
    }

    /// Forgets what no window can see any more, and returns how many pending clicks never found a view. That happens
    /// up to a second of the watermark after it is due; an arrival that is already due is not taken.
    pub fn expire(&mut self, watermark: EventTime) -> u64 {
        self.watermark = watermark;
        // What is forgotten must follow from the watermark alone, and not from which other events share a value: a state
        // that is restored forgets at once what the process before forgot little by little.
        let reached = due::whole_second(watermark);
        if reached == EventTime::MAX {
            return self.expire_all();
        }
        let mut unmatched = 0;
        while let Some((second, values)) = self.due.next(reached) {
            for values in values.chunks(TOGETHER) {
                self.entries.touch(values.iter().copied());
                for on in values {
                    unmatched += self.expire_value(*on, second, reached);
                }
            }
        }
        unmatched
    }

    /// At the end of a replay. In the order of memory, without looking any value up.
    fn expire_all(&mut self) -> u64 {
        self.due.clear();
        (self.parts, self.bytes) = (0, 0);
        let keys = &mut self.keys;
        let entries = self.entries.drain();
        entries.map(|mut entry| entry.expire(EventTime::MAX, self.keep, self.within, keys)).sum()
    }

    fn expire_value(&mut self, on: u128, second: i64, reached: EventTime) -> u64 {
        let Some(entry) = self.entries.get_mut(on).filter(|entry| entry.due == second) else { return 0 };
        let before = (entry.len(), entry.bytes());
        let unmatched = entry.expire(reached, self.keep, self.within, &mut self.keys);
        self.parts -= before.0 - entry.len();
        self.bytes = self.bytes + entry.bytes() - before.1;
        match entry.oldest() {
            None => self.remove(on),
            Some(oldest) => {
                entry.due = second_after(oldest + self.keep).max(second + 1);
                self.due.register(entry.due, on);
            }
        }
        unmatched
    }

    /// Forgets views and clicks sooner or later than before.
    fn set_keep(&mut self, keep: Millis) {
        if self.keep == keep {
            return;
        }
        self.keep = keep;
        for (second, on) in std::mem::take(&mut self.due).into_values() {
            // A value may be listed more than once; the last one counts.
            let Some(entry) = self.entries.get_mut(on).filter(|entry| entry.due == second) else { continue };
            let Some(oldest) = entry.oldest() else { continue };
            entry.due = second_after(oldest + keep);
            self.due.register(entry.due, on);
        }
    }

    fn remove(&mut self, on: u128) {
        if let Some(entry) = self.entries.remove(on) {
            self.parts -= entry.len();
            self.bytes -= entry.bytes();
            entry.keys().for_each(|key| self.keys.release(key));
        }
    }

    /// Views and clicks that were counted without the join, since the process began.
    pub fn over_limit(&self) -> u64 {
        self.over_limit
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        let lists = self.due.bytes() + self.unsaved.bytes();
        (self.entries.bytes() + self.bytes + self.keys.bytes() + lists) as u64
    }

    fn is_over(&self, time: EventTime) -> bool {
        time + self.keep <= self.watermark
    }
}

impl Effects {
    /// Forgets the changes and keeps the memory.
    pub fn clear(&mut self) {
        self.changes.clear();
        self.found = 0;
    }
}

/// What an arrival becomes of a view.
enum Added {
    /// One more view.
    New,
    /// It has the key instead of this one.
    Instead(KeyId),
    /// Nothing: there was one at this time.
    Not,
}

/// Where the changes of an arrival go.
struct Moves<'a> {
    windows: &'a Windows,
    keys: &'a Keys,
    within: Millis,
    bits: Bits,
    effects: &'a mut Effects,
}

impl Moves<'_> {
    /// Adds these clicks, which are in one slice, to a key; takes them back if `sign` is -1.
    fn clicks(&mut self, key: KeyId, clicks: &[Click], sign: i64) {
        let Some(first) = clicks.first() else { return };
        self.push(key, first.time, Moved::plain(self.bits.clicks, sign * clicks.len() as i64));
        for click in clicks {
            if let Some(more) = &click.more {
                let moved = Moved { feeds: more.feeds, inputs: more.inputs.clone(), times: sign };
                self.push(key, click.time, moved);
            }
        }
    }

    fn attribute(&mut self, key: KeyId, time: EventTime, sign: i64) {
        self.push(key, time, Moved::plain(self.bits.attributed, sign));
    }

    fn push(&mut self, key: KeyId, time: EventTime, moved: Moved) {
        self.effects.changes.push((self.keys.get(key).clone(), time, moved));
    }
}

impl Moved {
    fn plain(feeds: Feeds, times: i64) -> Self {
        Self { feeds, inputs: Box::default(), times }
    }

    /// The change.
    pub fn change(&self) -> Change<'_> {
        Change { feeds: self.feeds, inputs: &self.inputs, times: self.times }
    }
}

#[cfg(test)]
mod tests;
