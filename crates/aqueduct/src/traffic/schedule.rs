//! What is to be written later: clicks, late events and duplicates.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use event::EventTime;

use super::happening::Happening;

/// Events that wait for their time.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// Orders what is due at the same millisecond.
    sequence: u64,
}

/// An event that is to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) happening: Happening,
    pub(super) late: bool,
    pub(super) duplicate: bool,
    /// A click happens when it is written; a late event and a duplicate keep their time.
    happens_when_written: bool,
}

#[derive(Debug)]
struct Waiting {
    due: i64,
    sequence: u64,
    pending: Pending,
}

impl Schedule {
    /// Takes out what is to be written by now.
    pub(super) fn due(&mut self, now: EventTime) -> Option<Pending> {
        if self.waiting.peek().is_none_or(|Reverse(first)| first.due > now.0) {
            return None;
        }
        let Reverse(Waiting { mut pending, .. }) = self.waiting.pop()?;
        if pending.happens_when_written {
            pending.happening.time = now.0;
        }
        Some(pending)
    }

    /// A click follows its view by half a second to two minutes, ten seconds on average.
    pub(super) fn click(&mut self, click: Happening, random: u64) {
        let wait = (500.0 - unit(random).ln() * 10_000.0).min(120_000.0);
        self.push(click.time + wait as i64, Pending { happens_when_written: true, ..Pending::new(click) });
    }

    /// A late event is written a second to ten minutes after its time, uniformly on a logarithmic scale.
    pub(super) fn late(&mut self, happening: Happening, now: EventTime, random: u64) {
        let wait = 1000.0 * 600f64.powf(unit(random));
        self.push(now.0 + wait as i64, Pending { late: true, ..Pending::new(happening) });
    }

    /// A duplicate follows within a minute.
    pub(super) fn duplicate(&mut self, happening: Happening, now: EventTime, random: u64) {
        let wait = 60_000.0 * unit(random);
        self.push(now.0 + wait as i64, Pending { duplicate: true, ..Pending::new(happening) });
    }

    fn push(&mut self, due: i64, pending: Pending) {
        self.sequence += 1;
        self.waiting.push(Reverse(Waiting { due, sequence: self.sequence, pending }));
    }
}

impl Pending {
    pub(super) fn new(happening: Happening) -> Self {
        Self { happening, late: false, duplicate: false, happens_when_written: false }
    }
}

/// A number in (0, 1].
fn unit(random: u64) -> f64 {
    ((random >> 11) + 1) as f64 / (1u64 << 53) as f64
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.sequence).cmp(&(other.due, other.sequence))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Waiting {}
