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

use std::{collections::BTreeMap, ops::Range};

use event::{EventTime, Key, Millis};
use flow::{
    Flow, Join, Windows,
    measure::{Change, Feeds, Input, Source},
};

use crate::{table::Table, windows::keys::text_bytes};

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

#[derive(Clone, Debug)]
struct Click {
    time: EventTime,
    /// Its offset is `pending` in the ledger until the click finds a view or is forgotten.
    pending: bool,
    /// What it feeds beside `clicks`.
    more: Option<Box<More>>,
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

const SECOND: i64 = 1_000;

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
        let text = text_bytes(&key);
        let (within, windows, bits) = (self.within, self.windows.clone(), self.bits);
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
                let mut moves = Moves { windows: &windows, bits, effects };
                entry.count(owned.clone(), &from, -1, &mut moves);
                entry.count(owned, &key, 1, &mut moves);
                moves.attribute(&from, time, -1);
                moves.attribute(&key, time, 1);
            }
            self.bytes = self.bytes.saturating_add_signed(more);
        } else {
            let view = View { time, key: key.clone() };
            entry.take_over(at, &view, within, &mut Moves { windows: &windows, bits, effects });
            insert_exactly(&mut entry.views, at, view);
            self.bytes += entry.lists() - before + text;
            self.parts += 1;
        }
        if self.is_saved {
            self.unsaved.views.push((on, time, key));
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
        if self.is_full(on) {
            self.over_limit += 1;
            return Clicked::OverLimit;
        }
        let (within, windows, bits) = (self.within, self.windows.clone(), self.bits);
        let entry = self.entry(on, time);
        let before = entry.lists();
        let click = Click { time, pending, more };
        let heap = click.heap();
        let owner = entry.newest_view(time).filter(|&view| time <= entry.views[view].time + within);
        let clicked = match owner {
            Some(number) => {
                let is_first = entry.owned(number, within).is_empty();
                let view = &entry.views[number];
                let mut moves = Moves { windows: &windows, bits, effects };
                moves.clicks(&view.key, std::slice::from_ref(&click), 1);
                if is_first {
                    moves.attribute(&view.key, view.time, 1);
                }
                Clicked::Found
            }
            // A view that was forgotten: every window that the click could change is over.
            None if entry.had_view(time, within) => Clicked::Found,
            None => Clicked::Waits,
        };
        let saved = SavedClick::new(on, &click, bits.valued);
        let at = entry.clicks.partition_point(|click| click.time <= time);
        insert_exactly(&mut entry.clicks, at, click);
        self.bytes += entry.lists() - before + heap;
        self.parts += 1;
        if self.is_saved {
            self.unsaved.clicks.push(saved);
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
        let (unmatched, heap) = entry.expire(reached, self.keep, self.within);
        self.parts -= before.0 - entry.len();
        self.bytes -= heap + before.1 - entry.lists();
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

    /// Forgets views and clicks sooner or later than before.
    fn set_keep(&mut self, keep: Millis) {
        if self.keep == keep {
            return;
        }
        self.keep = keep;
        let before = std::mem::take(&mut self.due);
        self.due_count = 0;
        for (second, values) in before {
            for on in values {
                // A value may be listed more than once; the last one counts.
                let Some(entry) = self.entries.get_mut(on).filter(|entry| entry.due == second) else {
                    continue;
                };
                let Some(oldest) = entry.oldest() else { continue };
                let due = second_after(oldest + keep);
                entry.due = due;
                self.register(due, on);
            }
        }
    }

    fn register(&mut self, due: i64, on: u128) {
        self.due.entry(due).or_default().push(on);
        self.due_count += 1;
    }

    fn remove(&mut self, on: u128) {
        if let Some(entry) = self.entries.remove(on) {
            self.parts -= entry.len();
            self.bytes -= entry.lists() + entry.heap();
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

    /// Bytes that views and clicks point to.
    fn heap(&self) -> usize {
        let views: usize = self.views.iter().map(|view| text_bytes(&view.key)).sum();
        views + self.clicks.iter().map(Click::heap).sum::<usize>()
    }

    fn oldest(&self) -> Option<EventTime> {
        let view = self.views.first().map(|view| view.time);
        let click = self.clicks.first().map(|click| click.time);
        view.into_iter().chain(click).min()
    }

    /// The newest view at or before a time; `None` if there is none, or if it is older than one that was forgotten.
    fn newest_view(&self, time: EventTime) -> Option<usize> {
        let newest = self.views.partition_point(|view| view.time <= time).checked_sub(1)?;
        let is_newest = self.views[newest].time >= self.forgotten || time < self.forgotten;
        is_newest.then_some(newest)
    }

    /// The time of the view after one at `time`, where `at` is the place behind it. A view can be older than one that was
    /// forgotten only if the flow keeps views for longer since an edit.
    fn next_view(&self, at: usize, time: EventTime) -> EventTime {
        let next = self.views.get(at).map_or(EventTime::MAX, |next| next.time);
        if self.forgotten > time { next.min(self.forgotten) } else { next }
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
        let next = self.next_view(view + 1, from);
        self.between(from, next.min(just_past(from + within)))
    }

    /// A new view, about to be inserted at `at`, takes the clicks between it and the next view.
    fn take_over(&self, at: usize, view: &View, within: Millis, moves: &mut Moves<'_>) {
        let next = self.next_view(at, view.time);
        let taken = self.between(view.time, next.min(just_past(view.time + within)));
        if taken.is_empty() {
            return;
        }
        let previous = at.checked_sub(1).map(|at| &self.views[at]);
        let previous =
            previous.filter(|previous| self.forgotten <= previous.time || view.time < self.forgotten);
        // The first of them, up to `within` after the view before, have had a view until now.
        let had = previous.map_or(self.forgotten, |previous| previous.time);
        let had_until = if had == EventTime::MIN { had } else { just_past(had + within) };
        let split = self.clicks[taken.clone()].partition_point(|click| click.time < had_until) + taken.start;
        let (moved, found) = (taken.start..split, split..taken.end);
        moves.effects.found += self.clicks[found.clone()].iter().filter(|click| click.pending).count() as u64;
        self.count(found.clone(), &view.key, 1, moves);
        let mut is_attributed = !found.is_empty();
        if let Some(previous) = previous.filter(|_| !moved.is_empty()) {
            self.count(moved.clone(), &previous.key, -1, moves);
            self.count(moved, &view.key, 1, moves);
            is_attributed = true;
            if self.between(previous.time, view.time).is_empty() {
                moves.attribute(&previous.key, previous.time, -1);
            }
        }
        if is_attributed {
            moves.attribute(&view.key, view.time, 1);
        }
    }

    /// Adds `sign` for each of these clicks to a key: one change for each slice, as all times of a slice are in the
    /// same windows.
    fn count(&self, clicks: Range<usize>, key: &Key, sign: i64, moves: &mut Moves<'_>) {
        let mut rest = &self.clicks[clicks];
        while let Some(first) = rest.first() {
            let end = moves.windows.slice_of(first.time).end;
            let (slice, later) = rest.split_at(rest.partition_point(|click| click.time < end).max(1));
            moves.clicks(key, slice, sign);
            rest = later;
        }
    }

    /// Forgets views and clicks that are due; returns how many pending clicks had no view, and the bytes that
    /// they pointed to.
    fn expire(&mut self, reached: EventTime, keep: Millis, within: Millis) -> (u64, usize) {
        let views = self.views.partition_point(|view| view.time + keep <= reached);
        let clicks = self.clicks.partition_point(|click| click.time + keep <= reached);
        let (mut unmatched, mut heap) = (0, 0);
        let mut older = self.views[..views].iter().peekable();
        // A view is never newer than its click, so it is due no later.
        for click in self.clicks.drain(..clicks) {
            heap += click.heap();
            while let Some(view) = older.next_if(|view| view.time <= click.time) {
                self.forgotten = self.forgotten.max(view.time);
            }
            let is_matched = self.forgotten > EventTime::MIN && click.time <= self.forgotten + within;
            unmatched += u64::from(click.pending && !is_matched);
        }
        if let Some(newest) = older.last() {
            self.forgotten = self.forgotten.max(newest.time);
        }
        heap += self.views.drain(..views).map(|view| text_bytes(&view.key)).sum::<usize>();
        (unmatched, heap)
    }
}

impl Effects {
    /// Forgets the changes and keeps the memory.
    pub fn clear(&mut self) {
        self.changes.clear();
        self.found = 0;
    }
}

/// Where the changes of an arrival go.
struct Moves<'a> {
    windows: &'a Windows,
    bits: Bits,
    effects: &'a mut Effects,
}

impl Moves<'_> {
    /// Adds these clicks, which are in one slice, to a key; takes them back if `sign` is -1.
    fn clicks(&mut self, key: &Key, clicks: &[Click], sign: i64) {
        let Some(first) = clicks.first() else { return };
        self.push(key, first.time, Moved::plain(self.bits.clicks, sign * clicks.len() as i64));
        for click in clicks {
            if let Some(more) = &click.more {
                let moved = Moved { feeds: more.feeds, inputs: more.inputs.clone(), times: sign };
                self.push(key, click.time, moved);
            }
        }
    }

    fn attribute(&mut self, key: &Key, time: EventTime, sign: i64) {
        self.push(key, time, Moved::plain(self.bits.attributed, sign));
    }

    fn push(&mut self, key: &Key, time: EventTime, moved: Moved) {
        self.effects.changes.push((key.clone(), time, moved));
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

impl Click {
    fn heap(&self) -> usize {
        self.more.as_ref().map_or(0, |more| size_of::<More>() + size_of_val(&*more.inputs))
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
