//! Clicks find their views, in whatever order the two arrive.
//!
//! A click belongs to the newest view with the same value of `on` that is at most `within` before it. Of several views
//! at one time, the one with the smallest key takes the clicks, so that the outcome does not depend on the order of
//! arrival.
//!
//! Views and clicks of one value are two lists in order of time. The clicks of a view are those between its time and
//! the time of the next view, at most `within` later: a contiguous part of the list. An arrival therefore changes
//! the owner of one contiguous range of clicks, which [`Joins::view`] and [`Joins::click`] find by binary search and
//! report as one change for each slice of the windows, never for each click.
//!
//! Views and clicks are both kept until the watermark is `within` + window size + allowed lateness past them. Before
//! that, a window of the click or of its view may still take an event that changes it. See [`crate::engine`] for how
//! the changes are counted.

use std::{collections::BTreeMap, ops::Range};

use event::{EventTime, Millis, Windows, row::Key};

use crate::{
    table::Table,
    windows::{keys::text_bytes, slices::Change},
};

mod saved;

pub use saved::{Place, SavedJoins};

/// The views and clicks of one flow that may still find each other.
#[derive(Debug)]
pub struct Joins {
    within: Millis,
    /// How far the watermark passes a view or a click before it is forgotten.
    keep: Millis,
    /// The most views and clicks of one value.
    limit: usize,
    windows: Windows,
    watermark: EventTime,
    /// By the hash of the value of `on`.
    entries: Table<Entry>,
    /// The values with a view or a click to forget, by the second in which it is due.
    due: BTreeMap<i64, Vec<u128>>,
    /// How many values are in `due`, some of them more than once.
    due_count: usize,
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

/// Everything with one value of `on`.
#[derive(Debug)]
struct Entry {
    /// In order of time, at most one at a time.
    views: Vec<View>,
    /// In order of time.
    clicks: Vec<Click>,
    /// The time of the newest view that was forgotten while clicks of this value remained.
    forgotten: EventTime,
    /// The second under which the value is in [`Joins::due`]; an older registration is void.
    due: i64,
}

#[derive(Clone, Debug)]
struct View {
    time: EventTime,
    key: Key,
}

#[derive(Clone, Copy, Debug)]
struct Click {
    time: EventTime,
    /// Its offset is `pending` in the ledger until the click finds a view or is forgotten.
    pending: bool,
}

/// Changes that arrivals cause. Reused from one event to the next.
#[derive(Debug, Default)]
pub struct Effects {
    /// Which counts change, and by how much: key, a time in the slice, change.
    pub counts: Vec<(Key, EventTime, Change)>,
    /// How many earlier pending clicks found their view.
    pub found: u64,
}

/// What became of a click on arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clicked {
    /// Its view is known.
    Found,
    /// It waits for its view.
    Waits,
    /// Its value has reached the limit; the click takes no part in the join.
    OverLimit,
}

const SECOND: i64 = 1_000;

impl Joins {
    /// `lateness`: how long a window takes late events. `limit`: the most views and clicks of one value that are kept.
    pub fn new(within: Millis, windows: Windows, lateness: Millis, limit: usize) -> Self {
        let keep = Millis(within.0.saturating_add(windows.size().0).saturating_add(lateness.0));
        Self {
            within,
            keep,
            limit,
            windows,
            watermark: EventTime::MIN,
            entries: Table::default(),
            due: BTreeMap::new(),
            due_count: 0,
            is_saved: true,
            unsaved: SavedJoins::default(),
            parts: 0,
            bytes: 0,
            over_limit: 0,
        }
    }

    /// A view arrives; its own count is the caller's.
    pub fn view(&mut self, on: u128, time: EventTime, key: Key, effects: &mut Effects) {
        if self.is_over(time) {
            return;
        }
        if self.is_full(on) {
            self.over_limit += 1;
            return;
        }
        let (within, windows, text) = (self.within, self.windows, text_bytes(&key));
        let entry = self.entry(on, time);
        let before = entry.lists();
        let at = entry.views.partition_point(|view| view.time < time);
        if let Some(same) = entry.views.get(at).filter(|view| view.time == time) {
            if same.key <= key {
                return;
            }
            let from = std::mem::replace(&mut entry.views[at].key, key.clone());
            let more = text as isize - text_bytes(&from) as isize;
            let owned = entry.owned(at, within);
            if !owned.is_empty() {
                entry.count(owned.clone(), &from, -1, &windows, effects);
                entry.count(owned, &key, 1, &windows, effects);
                effects.attribute(&from, time, -1);
                effects.attribute(&key, time, 1);
            }
            self.bytes = self.bytes.saturating_add_signed(more);
        } else {
            let view = View { time, key: key.clone() };
            entry.take_over(at, &view, within, &windows, effects);
            insert_exactly(&mut entry.views, at, view);
            self.bytes += entry.lists() - before + text;
            self.parts += 1;
        }
        if self.is_saved {
            self.unsaved.views.push((on, time, key));
        }
    }

    /// A click arrives. `pending`: its offset waits in the ledger for the outcome.
    pub fn click(&mut self, on: u128, time: EventTime, pending: bool, effects: &mut Effects) -> Clicked {
        if self.is_full(on) {
            self.over_limit += 1;
            return Clicked::OverLimit;
        }
        let within = self.within;
        let entry = self.entry(on, time);
        let before = entry.lists();
        let owner = entry.newest_view(time).filter(|&view| time <= entry.views[view].time + within);
        let clicked = match owner {
            Some(number) => {
                let is_first = entry.owned(number, within).is_empty();
                let view = &entry.views[number];
                let change = Change { clicks: 1, ..Change::default() };
                effects.counts.push((view.key.clone(), time, change));
                if is_first {
                    effects.attribute(&view.key, view.time, 1);
                }
                Clicked::Found
            }
            // A view that was forgotten: every window that the click could change is over.
            None if entry.had_view(time, within) => Clicked::Found,
            None => Clicked::Waits,
        };
        let at = entry.clicks.partition_point(|click| click.time <= time);
        insert_exactly(&mut entry.clicks, at, Click { time, pending });
        self.bytes += entry.lists() - before;
        self.parts += 1;
        if self.is_saved {
            self.unsaved.clicks.push((on, time, pending));
        }
        clicked
    }

    /// Forgets what no window can see any more, and returns how many pending clicks never found a view. That happens
    /// up to a second of the watermark after it is due; an arrival that is already due is not taken.
    pub fn expire(&mut self, watermark: EventTime) -> u64 {
        self.watermark = watermark;
        // What is forgotten must follow from the watermark alone, and not from which other events share a value: a state
        // that is restored forgets at once what the process before forgot little by little.
        let reached = whole_second(watermark);
        let mut unmatched = 0;
        while let Some(first) = self.due.first_entry().filter(|first| is_reached(*first.key(), reached)) {
            let second = *first.key();
            let due = first.remove();
            self.due_count -= due.len();
            for on in due {
                unmatched += self.expire_value(on, second, reached);
            }
        }
        unmatched
    }

    fn expire_value(&mut self, on: u128, second: i64, reached: EventTime) -> u64 {
        let Some(entry) = self.entries.get_mut(on).filter(|entry| entry.due == second) else { return 0 };
        let before = (entry.len(), entry.lists());
        let (unmatched, texts) = entry.expire(reached, self.keep, self.within);
        self.parts -= before.0 - entry.len();
        self.bytes -= texts + before.1 - entry.lists();
        match entry.oldest() {
            None => self.remove(on),
            Some(oldest) => {
                entry.due = second_after(oldest + self.keep).max(second + 1);
                let due = entry.due;
                self.register(due, on);
            }
        }
        unmatched
    }

    fn register(&mut self, due: i64, on: u128) {
        self.due.entry(due).or_default().push(on);
        self.due_count += 1;
    }

    fn remove(&mut self, on: u128) {
        if let Some(entry) = self.entries.remove(on) {
            self.parts -= entry.len();
            self.bytes -= entry.lists() + entry.texts();
        }
    }

    /// Views and clicks that were counted without the join, since the process began.
    pub fn over_limit(&self) -> u64 {
        self.over_limit
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        (self.entries.bytes() + self.bytes + self.due_count * DUE_BYTES + self.unsaved.bytes()) as u64
    }

    fn is_over(&self, time: EventTime) -> bool {
        time + self.keep <= self.watermark
    }

    fn is_full(&self, on: u128) -> bool {
        self.entries.get(on).is_some_and(|entry| entry.len() >= self.limit)
    }

    /// The entry of a value to which a view or click of this time is about to be added.
    fn entry(&mut self, on: u128, time: EventTime) -> &mut Entry {
        let due = second_after(time + self.keep);
        let entry = self.entries.get_or_insert_with(on, Entry::new);
        if due < entry.due {
            entry.due = due;
            self.register(due, on);
        }
        self.entries.get_mut(on).expect("it was there")
    }
}

/// Bytes of a value in the list of a second, which has on average a third of its places free.
const DUE_BYTES: usize = 24;

impl Entry {
    fn new() -> Self {
        Self { views: Vec::new(), clicks: Vec::new(), forgotten: EventTime::MIN, due: i64::MAX }
    }

    fn len(&self) -> usize {
        self.views.len() + self.clicks.len()
    }

    /// Bytes of the lists.
    fn lists(&self) -> usize {
        self.views.capacity() * size_of::<View>() + self.clicks.capacity() * size_of::<Click>()
    }

    /// Bytes of the keys.
    fn texts(&self) -> usize {
        self.views.iter().map(|view| text_bytes(&view.key)).sum()
    }

    fn oldest(&self) -> Option<EventTime> {
        let view = self.views.first().map(|view| view.time);
        let click = self.clicks.first().map(|click| click.time);
        view.into_iter().chain(click).min()
    }

    /// The newest view at or before a time.
    fn newest_view(&self, time: EventTime) -> Option<usize> {
        self.views.partition_point(|view| view.time <= time).checked_sub(1)
    }

    /// Whether a view that is forgotten by now took the clicks of this time.
    fn had_view(&self, time: EventTime, within: Millis) -> bool {
        self.forgotten > EventTime::MIN && time <= self.forgotten + within
    }

    /// The clicks at or after `from` and before `until`.
    fn between(&self, from: EventTime, until: EventTime) -> Range<usize> {
        let first = self.clicks.partition_point(|click| click.time < from);
        let end = self.clicks.partition_point(|click| click.time < until);
        first..end.max(first)
    }

    /// The clicks of a view.
    fn owned(&self, view: usize, within: Millis) -> Range<usize> {
        let from = self.views[view].time;
        let next = self.views.get(view + 1).map_or(EventTime::MAX, |next| next.time);
        self.between(from, next.min(just_past(from + within)))
    }

    /// A new view, about to be inserted at `at`, takes the clicks between it and the next view.
    fn take_over(&self, at: usize, view: &View, within: Millis, windows: &Windows, effects: &mut Effects) {
        let next = self.views.get(at).map_or(EventTime::MAX, |next| next.time);
        let taken = self.between(view.time, next.min(just_past(view.time + within)));
        if taken.is_empty() {
            return;
        }
        let previous = at.checked_sub(1).map(|at| &self.views[at]);
        // The first of them, up to `within` after the view before, have had a view until now.
        let had = previous.map_or(self.forgotten, |previous| previous.time);
        let had_until = if had == EventTime::MIN { had } else { just_past(had + within) };
        let split = self.clicks[taken.clone()].partition_point(|click| click.time < had_until) + taken.start;
        let (moved, found) = (taken.start..split, split..taken.end);
        effects.found += self.clicks[found.clone()].iter().filter(|click| click.pending).count() as u64;
        self.count(found.clone(), &view.key, 1, windows, effects);
        let mut is_attributed = !found.is_empty();
        if let Some(previous) = previous.filter(|_| !moved.is_empty()) {
            self.count(moved.clone(), &previous.key, -1, windows, effects);
            self.count(moved, &view.key, 1, windows, effects);
            is_attributed = true;
            if self.between(previous.time, view.time).is_empty() {
                effects.attribute(&previous.key, previous.time, -1);
            }
        }
        if is_attributed {
            effects.attribute(&view.key, view.time, 1);
        }
    }

    /// Adds `sign` for each of these clicks to a key: one change for each slice, as all times of a slice are in the
    /// same windows.
    fn count(&self, clicks: Range<usize>, key: &Key, sign: i64, windows: &Windows, effects: &mut Effects) {
        let mut rest = &self.clicks[clicks];
        while let Some(first) = rest.first() {
            let end = windows.slice_start(first.time) + windows.slice();
            let (slice, later) = rest.split_at(rest.partition_point(|click| click.time < end).max(1));
            let change = Change { clicks: sign * slice.len() as i64, ..Change::default() };
            effects.counts.push((key.clone(), first.time, change));
            rest = later;
        }
    }

    /// Forgets views and clicks that are due; returns how many pending clicks had no view, and the bytes of the keys.
    fn expire(&mut self, reached: EventTime, keep: Millis, within: Millis) -> (u64, usize) {
        let views = self.views.partition_point(|view| view.time + keep <= reached);
        let clicks = self.clicks.partition_point(|click| click.time + keep <= reached);
        let mut unmatched = 0;
        let mut older = self.views[..views].iter().peekable();
        // A view is never newer than its click, so it is due no later.
        for click in self.clicks.drain(..clicks) {
            while let Some(view) = older.next_if(|view| view.time <= click.time) {
                self.forgotten = view.time;
            }
            let is_matched = self.forgotten > EventTime::MIN && click.time <= self.forgotten + within;
            unmatched += u64::from(click.pending && !is_matched);
        }
        if let Some(newest) = older.last() {
            self.forgotten = newest.time;
        }
        let texts = self.views.drain(..views).map(|view| text_bytes(&view.key)).sum();
        (unmatched, texts)
    }
}

impl Effects {
    /// Forgets the changes and keeps the memory.
    pub fn clear(&mut self) {
        self.counts.clear();
        self.found = 0;
    }

    fn attribute(&mut self, key: &Key, time: EventTime, sign: i64) {
        let change = Change { attributed: sign, ..Change::default() };
        self.counts.push((key.clone(), time, change));
    }
}

/// Most values have one view and one click: memory for just those.
fn insert_exactly<T>(list: &mut Vec<T>, at: usize, item: T) {
    if list.is_empty() {
        list.reserve_exact(1);
    }
    list.insert(at, item);
}

fn just_past(time: EventTime) -> EventTime {
    time + Millis(1)
}

/// The first whole second at or after a time.
fn second_after(time: EventTime) -> i64 {
    time.0.div_euclid(SECOND) + i64::from(time.0.rem_euclid(SECOND) > 0)
}

/// The last whole second at or before a time; the end of time stays.
fn whole_second(time: EventTime) -> EventTime {
    if time == EventTime::MAX { time } else { EventTime(time.0.saturating_sub(time.0.rem_euclid(SECOND))) }
}

fn is_reached(second: i64, reached: EventTime) -> bool {
    reached == EventTime::MAX || second <= reached.0.div_euclid(SECOND)
}

#[cfg(test)]
mod tests;
