//! The part of a checkpoint that holds joins: views and clicks as they arrived, and whole values.
//!
//! Everything else follows from them and the watermark: an arrival that was forgotten before the checkpoint is
//! forgotten again when the state is restored.
//!
//! Two equal clicks are two, so that a value cannot be restored twice. A part replaces the whole value, and the
//! arrivals of the same checkpoint are not listed beside it. A value whose old content no checkpoint has held yet lacks
//! that until its part is saved. Changes before that part need not be saved, and a value that is forgotten as a whole before its
//! turn is forgotten here as well, as that follows from the watermark.
//!
//! The walk follows the seconds in which values are due. It finds every value that is there from its beginning to its end: a value
//! may be listed under another second meanwhile, but under an earlier one only beside the old one, and it leaves the old one
//! only for a later one, when the watermark has passed both.

use event::{EventTime, Key, Millis};
use flow::{
    measure::{Feeds, Input},
    number::Amount,
};
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use super::{
    Effects, Joins, More,
    entry::{Click, Entry},
};
use crate::{
    digest::HashedKey,
    saved::Room,
    windows::keys::{Keys, text_bytes},
};

/// The arrivals since the last checkpoint, and a part of everything that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedJoins {
    /// Values whose earlier content is void: they are below as a whole.
    pub replaced: Vec<u128>,
    /// Views: hash of the value of `on`, time, key.
    pub views: Vec<(u128, EventTime, Key)>,
    /// Clicks.
    pub clicks: Vec<SavedClick>,
    /// How far the watermark passed a view or a click before it was forgotten, in milliseconds; 0 where the checkpoint is
    /// of version 2, whose flows could not change it.
    pub keep: i64,
    /// Times of the newest forgotten view of values that still have clicks.
    pub forgotten: Vec<(u128, EventTime)>,
}

/// A click.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedClick {
    /// Hash of the value of `on`.
    pub on: u128,
    /// When it was.
    pub time: EventTime,
    /// Whether its offset is pending.
    pub pending: bool,
    /// What it feeds beside `clicks`: the measure's place in the definition, and the input if it needs one.
    pub more: Vec<(u8, Option<SavedInput>)>,
}

/// An input of a measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SavedInput {
    /// A number.
    Number(Amount),
    /// The hash of a value.
    Item(u64),
}

/// Where a walk over the values continues: the second in which they are due, and the place in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(i64, usize);

impl Place {
    /// The beginning.
    pub const START: Self = Self(i64::MIN, 0);
}

impl SavedJoins {
    /// Bytes in memory, roughly.
    pub fn weight(&self) -> usize {
        let texts: usize = self.views.iter().map(|(_, _, key)| key.as_pushed().len()).sum();
        let values = (self.replaced.len() + self.forgotten.len()) * size_of::<(u128, EventTime)>();
        values + texts + (self.views.len() + self.clicks.len()) * size_of::<SavedClick>()
    }

    pub(super) fn bytes(&self) -> usize {
        self.views.capacity() * size_of::<(u128, EventTime, Key)>()
            + self.clicks.capacity() * size_of::<SavedClick>()
    }

    fn put(&mut self, on: u128, entry: &Entry, keys: &Keys, valued: Feeds) {
        self.replaced.push(on);
        self.views.extend(entry.views().iter().map(|view| (on, view.time, keys.get(view.key).clone())));
        self.clicks.extend(entry.clicks().iter().map(|click| SavedClick::new(on, click, valued)));
        if entry.forgotten() > EventTime::MIN {
            self.forgotten.push((on, entry.forgotten()));
        }
    }
}

impl SavedJoins {
    /// Puts what clicks feed into the order of a flow that was edited; see [`crate::windows::saved::SavedWindows::reorder`].
    pub fn reorder(&mut self, places: &[Option<usize>]) {
        for click in &mut self.clicks {
            click.more.retain_mut(|(place, _)| {
                let now = places.iter().position(|before| *before == Some(usize::from(*place)));
                now.and_then(|now| u8::try_from(now).ok()).map(|now| *place = now).is_some()
            });
            click.more.sort_unstable_by_key(|(place, _)| *place);
        }
    }
}

impl SavedClick {
    pub(super) fn new(on: u128, click: &Click, valued: Feeds) -> Self {
        let more = click.more.as_ref().map_or_else(Vec::new, |more| more.saved(valued));
        Self { on, time: click.time, pending: click.pending, more }
    }
}

impl More {
    /// `valued`: the measures that need an input.
    fn saved(&self, valued: Feeds) -> Vec<(u8, Option<SavedInput>)> {
        let mut inputs = self.inputs.iter();
        let mut next = || {
            inputs.next().map(|input| match input {
                Input::Number(amount) => SavedInput::Number(*amount),
                Input::Item(hash) => SavedInput::Item(*hash),
            })
        };
        let places = (0..Feeds::BITS as u8).filter(|place| self.feeds >> place & 1 == 1);
        places.map(|place| (place, if valued >> place & 1 == 1 { next() } else { None })).collect()
    }

    fn restored(saved: &[(u8, Option<SavedInput>)]) -> Option<Box<Self>> {
        let feeds = saved.iter().fold(0, |feeds: Feeds, (place, _)| feeds | 1 << place);
        let inputs = saved.iter().filter_map(|(_, input)| {
            Some(match (*input)? {
                SavedInput::Number(amount) => Input::Number(amount),
                SavedInput::Item(hash) => Input::Item(hash),
            })
        });
        (feeds != 0).then(|| Box::new(Self { feeds, inputs: inputs.collect() }))
    }
}

impl Joins {
    /// What arrived since the last call.
    pub fn save(&mut self) -> SavedJoins {
        SavedJoins { keep: self.keep.0, ..std::mem::take(&mut self.unsaved) }
    }

    /// Adds everything from a place on, while there is room. Returns where to go on, if there is more.
    pub fn walk(&self, Place(second, at): Place, room: &mut Room, saved: &mut SavedJoins) -> Option<Place> {
        let (mut whole, mut next) = (FxHashSet::default(), None);
        'walk: for (due, values) in self.due.from(second) {
            let from = if due == second { at } else { 0 };
            for (at, &on) in values.iter().enumerate().skip(from) {
                if room.is_full() {
                    next = Some(Place(due, at));
                    break 'walk;
                }
                room.pass();
                // It may be listed more than once, and may be gone.
                if let Some(entry) = self.entries.get(on).filter(|_| whole.insert(on)) {
                    let item = size_of::<(u128, EventTime, Key)>();
                    let texts: usize = entry.keys().map(|key| text_bytes(self.keys.get(key))).sum();
                    room.take(size_of::<u128>() + item * entry.len() + texts + entry.bytes());
                }
            }
        }
        saved.views.retain(|(on, _, _)| !whole.contains(on));
        saved.clicks.retain(|click| !whole.contains(&click.on));
        for on in whole {
            if let Some(entry) = self.entries.get(on) {
                saved.put(on, entry, &self.keys, self.bits.valued);
            }
        }
        next
    }

    /// Applies what [`Self::save`] and [`Self::walk`] returned, in the same order. `watermark`: the flow's, at that checkpoint.
    pub fn restore(&mut self, saved: SavedJoins, watermark: EventTime) {
        // What the process had forgotten by then stays forgotten, also where the configuration keeps it for longer now: its
        // outcome is in the ledger.
        if saved.keep != 0 {
            self.set_keep(Millis(saved.keep));
        }
        for on in saved.replaced {
            self.remove(on);
        }
        // Limit and watermark were applied when they arrived, and their counts are in the windows.
        let limit = std::mem::replace(&mut self.limit, usize::MAX);
        let is_saved = std::mem::replace(&mut self.is_saved, false);
        self.watermark = EventTime::MIN;
        let mut counted = Effects::default();
        for (on, time, key) in saved.views {
            self.view(on, time, HashedKey::new(key.as_pushed()), &mut counted);
            counted.clear();
        }
        for SavedClick { on, time, pending, more } in saved.clicks {
            self.click(on, (time, pending), More::restored(&more), &mut counted);
            counted.clear();
        }
        for (on, time) in saved.forgotten {
            if let Some(entry) = self.entries.get_mut(on) {
                let before = entry.bytes();
                entry.forget_until(time);
                self.bytes = self.bytes + entry.bytes() - before;
            }
        }
        (self.limit, self.is_saved) = (limit, is_saved);
        self.expire(watermark);
    }

    /// The state is whole. Returns how many pending clicks never found a view: where the configuration keeps them for less
    /// time now, they are forgotten at once, so that the next checkpoint holds what follows from its watermark.
    pub fn restored(&mut self) -> u64 {
        self.set_keep(self.configured);
        self.expire(self.watermark)
    }

    /// Records what arrives no longer: for a run without checkpoints.
    pub fn never_saved(&mut self) {
        self.is_saved = false;
    }
}
