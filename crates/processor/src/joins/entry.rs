//! The views and clicks of one value of `on`.

use std::{ops::Range, slice};

use event::{EventTime, Millis};
use smallvec::SmallVec;

use super::{Added, More, Moves, due::Due};
use crate::windows::keys::{KeyId, Keys};

/// Everything with one value of `on`.
#[derive(Debug)]
pub(super) struct Entry {
    parts: Parts,
    /// The second under which the value is registered; an older registration is void.
    pub(super) due: i64,
}

/// Most values have one view and no click: an entry is as large as these need.
#[derive(Debug)]
enum Parts {
    None,
    View(View),
    Many(Box<Many>),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) time: EventTime,
    pub(super) key: KeyId,
}

#[derive(Debug)]
struct Many {
    /// In order of time, at most one at a time.
    views: SmallVec<[View; 1]>,
    /// In order of time.
    clicks: Vec<Click>,
    /// Bytes that the clicks point to.
    more: usize,
    /// The time of the newest view that was forgotten while others, or clicks, of this value remained.
    forgotten: EventTime,
}

#[derive(Clone, Debug)]
pub(super) struct Click {
    pub(super) time: EventTime,
    /// Its offset is `pending` in the ledger until the click finds a view or is forgotten.
    pub(super) pending: bool,
    /// What it feeds beside `clicks`.
    pub(super) more: Option<Box<More>>,
}

impl Default for Entry {
    fn default() -> Self {
        Self { parts: Parts::None, due: i64::MAX }
    }
}

impl Entry {
    /// The entry of a value that so far has one view.
    pub(super) fn of_view(view: View, due: i64) -> Self {
        Self { parts: Parts::View(view), due }
    }

    pub(super) fn len(&self) -> usize {
        self.views().len() + self.clicks().len()
    }

    /// Something that is due in this second is about to be added.
    pub(super) fn fall_due(&mut self, on: u128, second: i64, due: &mut Due) {
        if second < self.due {
            self.due = second;
            due.register(second, on);
        }
    }

    /// Bytes that the entry points to.
    pub(super) fn bytes(&self) -> usize {
        let Parts::Many(many) = &self.parts else { return 0 };
        let views = if many.views.spilled() { many.views.capacity() * size_of::<View>() } else { 0 };
        size_of::<Many>() + views + many.clicks.capacity() * size_of::<Click>() + many.more
    }

    pub(super) fn views(&self) -> &[View] {
        match &self.parts {
            Parts::None => &[],
            Parts::View(view) => slice::from_ref(view),
            Parts::Many(many) => &many.views,
        }
    }

    pub(super) fn clicks(&self) -> &[Click] {
        if let Parts::Many(many) = &self.parts { &many.clicks } else { &[] }
    }

    pub(super) fn forgotten(&self) -> EventTime {
        if let Parts::Many(many) = &self.parts { many.forgotten } else { EventTime::MIN }
    }

    /// A view of this time, if not a newer one, was the last that was forgotten.
    pub(super) fn forget_until(&mut self, time: EventTime) {
        if time > self.forgotten() {
            self.many().forgotten = time;
        }
    }

    fn many(&mut self) -> &mut Many {
        let mut views = SmallVec::new();
        if let Parts::View(view) = self.parts {
            views.push(view);
        }
        if !matches!(self.parts, Parts::Many(_)) {
            let many = Many { views, clicks: Vec::new(), more: 0, forgotten: EventTime::MIN };
            self.parts = Parts::Many(Box::new(many));
        }
        let Parts::Many(many) = &mut self.parts else { unreachable!("it was just set") };
        many
    }

    /// The keys of the views.
    pub(super) fn keys(&self) -> impl Iterator<Item = KeyId> {
        self.views().iter().map(|view| view.key)
    }

    pub(super) fn oldest(&self) -> Option<EventTime> {
        let view = self.views().first().map(|view| view.time);
        let click = self.clicks().first().map(|click| click.time);
        view.into_iter().chain(click).min()
    }

    /// Adds a view, which takes the clicks between it and the next one.
    pub(super) fn add_view(&mut self, view: View, moves: &mut Moves<'_>) -> Added {
        let at = self.views().partition_point(|other| other.time < view.time);
        let Some(same) = self.views().get(at).filter(|other| other.time == view.time).map(|same| same.key)
        else {
            self.take_over(at, view, moves);
            match self.parts {
                Parts::None => self.parts = Parts::View(view),
                _ => self.many().views.insert(at, view),
            }
            return Added::New;
        };
        if moves.keys.get(same) <= moves.keys.get(view.key) {
            return Added::Not;
        }
        match &mut self.parts {
            Parts::None => {}
            Parts::View(only) => only.key = view.key,
            Parts::Many(many) => many.views[at].key = view.key,
        }
        let owned = self.owned(at, moves.within);
        if !owned.is_empty() {
            self.count(owned.clone(), same, -1, moves);
            self.count(owned, view.key, 1, moves);
            moves.attribute(same, view.time, -1);
            moves.attribute(view.key, view.time, 1);
        }
        Added::Instead(same)
    }

    /// Adds a click; returns whether it has a view.
    pub(super) fn add_click(&mut self, click: Click, moves: &mut Moves<'_>) -> bool {
        let time = click.time;
        let owner = self.newest_view(time).filter(|&view| time <= self.views()[view].time + moves.within);
        let has_view = match owner {
            Some(number) => {
                let view = self.views()[number];
                moves.clicks(view.key, slice::from_ref(&click), 1);
                if self.owned(number, moves.within).is_empty() {
                    moves.attribute(view.key, view.time, 1);
                }
                true
            }
            // A view that was forgotten: every window that the click could change is over.
            None => self.had_view(time, moves.within),
        };
        let Many { clicks, more, .. } = self.many();
        let at = clicks.partition_point(|click| click.time <= time);
        if clicks.is_empty() {
            clicks.reserve_exact(1);
        }
        *more += click.bytes();
        clicks.insert(at, click);
        has_view
    }

    /// The newest view at or before a time; `None` if there is none, or if it is older than one that was forgotten.
    fn newest_view(&self, time: EventTime) -> Option<usize> {
        let newest = self.views().partition_point(|view| view.time <= time).checked_sub(1)?;
        let is_newest = self.views()[newest].time >= self.forgotten() || time < self.forgotten();
        is_newest.then_some(newest)
    }

    /// The time of the view after one at `time`, where `at` is the place behind it. A view can be older than one that was
    /// forgotten only if the flow keeps views for longer since an edit.
    fn next_view(&self, at: usize, time: EventTime) -> EventTime {
        let next = self.views().get(at).map_or(EventTime::MAX, |next| next.time);
        if self.forgotten() > time { next.min(self.forgotten()) } else { next }
    }

    /// Whether a view that is forgotten by now took the clicks of this time.
    fn had_view(&self, time: EventTime, within: Millis) -> bool {
        self.forgotten() > EventTime::MIN && time <= self.forgotten() + within
    }

    /// The clicks at or after `from` and before `until`.
    fn between(&self, from: EventTime, until: EventTime) -> Range<usize> {
        let first = self.clicks().partition_point(|click| click.time < from);
        let end = self.clicks().partition_point(|click| click.time < until);
        first..end.max(first)
    }

    /// The clicks of a view.
    fn owned(&self, view: usize, within: Millis) -> Range<usize> {
        let from = self.views()[view].time;
        let next = self.next_view(view + 1, from);
        self.between(from, next.min(just_past(from + within)))
    }

    /// A new view, about to be inserted at `at`, takes the clicks between it and the next view.
    fn take_over(&self, at: usize, view: View, moves: &mut Moves<'_>) {
        let within = moves.within;
        let next = self.next_view(at, view.time);
        let taken = self.between(view.time, next.min(just_past(view.time + within)));
        if taken.is_empty() {
            return;
        }
        let forgotten = self.forgotten();
        let previous = at.checked_sub(1).map(|at| self.views()[at]);
        let previous = previous.filter(|previous| forgotten <= previous.time || view.time < forgotten);
        // The first of them, up to `within` after the view before, have had a view until now.
        let had = previous.map_or(forgotten, |previous| previous.time);
        let had_until = if had == EventTime::MIN { had } else { just_past(had + within) };
        let clicks = self.clicks();
        let split = clicks[taken.clone()].partition_point(|click| click.time < had_until) + taken.start;
        let (moved, found) = (taken.start..split, split..taken.end);
        moves.effects.found += clicks[found.clone()].iter().filter(|click| click.pending).count() as u64;
        self.count(found.clone(), view.key, 1, moves);
        let mut is_attributed = !found.is_empty();
        if let Some(previous) = previous.filter(|_| !moved.is_empty()) {
            self.count(moved.clone(), previous.key, -1, moves);
            self.count(moved, view.key, 1, moves);
            is_attributed = true;
            if self.between(previous.time, view.time).is_empty() {
                moves.attribute(previous.key, previous.time, -1);
            }
        }
        if is_attributed {
            moves.attribute(view.key, view.time, 1);
        }
    }

    /// Adds `sign` for each of these clicks to a key: one change for each slice, as all times of a slice are in the
    /// same windows.
    fn count(&self, clicks: Range<usize>, key: KeyId, sign: i64, moves: &mut Moves<'_>) {
        let mut rest = &self.clicks()[clicks];
        while let Some(first) = rest.first() {
            let end = moves.windows.slice_of(first.time).end;
            let (slice, later) = rest.split_at(rest.partition_point(|click| click.time < end).max(1));
            moves.clicks(key, slice, sign);
            rest = later;
        }
    }

    /// Forgets views and clicks that are due; returns how many pending clicks had no view.
    pub(super) fn expire(
        &mut self,
        reached: EventTime,
        keep: Millis,
        within: Millis,
        keys: &mut Keys,
    ) -> u64 {
        let views = self.views().partition_point(|view| view.time + keep <= reached);
        let clicks = self.clicks().partition_point(|click| click.time + keep <= reached);
        let (mut unmatched, mut forgotten) = (0, self.forgotten());
        let mut older = self.views()[..views].iter().peekable();
        // A view is never newer than its click, so it is due no later.
        for click in &self.clicks()[..clicks] {
            while let Some(view) = older.next_if(|view| view.time <= click.time) {
                forgotten = forgotten.max(view.time);
            }
            let is_matched = forgotten > EventTime::MIN && click.time <= forgotten + within;
            unmatched += u64::from(click.pending && !is_matched);
        }
        if let Some(newest) = older.last() {
            forgotten = forgotten.max(newest.time);
        }
        match &mut self.parts {
            Parts::View(view) if views > 0 => {
                keys.release(view.key);
                self.parts = Parts::None;
            }
            Parts::Many(many) => {
                many.views.drain(..views).for_each(|view| keys.release(view.key));
                many.more -= many.clicks.drain(..clicks).map(|click| click.bytes()).sum::<usize>();
            }
            _ => {}
        }
        if self.len() > 0 {
            self.forget_until(forgotten);
        }
        unmatched
    }
}

impl Click {
    fn bytes(&self) -> usize {
        self.more.as_ref().map_or(0, |more| size_of::<More>() + size_of_val(&*more.inputs))
    }
}

fn just_past(time: EventTime) -> EventTime {
    time + Millis(1)
}
