//! The last pane of each window and key, kept only until no later pane can fire.
//!
//! Pure.

use std::collections::BTreeMap;

use event::{Ctr, Row, EventTime, Key, Millis, Pane, Window};
use flow::Flow;
use rustc_hash::FxHashSet;

/// The newest panes of one flow.
#[derive(Debug)]
pub(super) struct Finals {
    allowed_lateness: Millis,
    /// By the window's end.
    windows: BTreeMap<EventTime, Panes>,
    /// Scratch of [`Self::take_until`].
    rows: Vec<Row>,
}

/// Panes of one window in the order in which they fired; most have one firing in common, so that a pane is small.
#[derive(Debug)]
struct Panes {
    window: Window,
    firings: Vec<Firing>,
    panes: Vec<(Key, Ctr, u32)>,
    /// Number of panes after older panes of the same keys were last removed.
    distinct: usize,
}

/// When and why a pane fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Firing {
    pane: Pane,
    pane_index: u32,
    watermark: EventTime,
    emitted_at: EventTime,
}

/// Panes that one window may have more than keys before they are looked through.
const SLACK: usize = 1024;

impl Finals {
    pub(super) fn new(flow: &Flow) -> Self {
        Self { allowed_lateness: flow.allowed_lateness, windows: BTreeMap::new(), rows: Vec::new() }
    }

    /// Takes panes in the order in which they fired.
    pub(super) fn add(&mut self, rows: &mut Vec<Row>) {
        for row in rows.drain(..) {
            let panes = self.windows.entry(row.window.end).or_insert_with(|| Panes::new(row.window));
            panes.add(row);
        }
    }

    /// Hands on the windows whose lateness has passed, the earliest first, each with its last panes.
    pub(super) fn take_until(
        &mut self,
        watermark: EventTime,
        take: &mut dyn FnMut(&mut Vec<Row>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        while let Some(first) = self.windows.first_entry() {
            if *first.key() + self.allowed_lateness > watermark {
                break;
            }
            let mut panes = first.remove();
            panes.keep_last();
            self.rows.clear();
            self.rows.extend(panes.rows());
            take(&mut self.rows)?;
        }
        Ok(())
    }
}

impl Panes {
    fn new(window: Window) -> Self {
        Self { window, firings: Vec::new(), panes: Vec::new(), distinct: 0 }
    }

    fn add(&mut self, row: Row) {
        let Row { key, ctr, pane, pane_index, watermark, emitted_at, .. } = row;
        let firing = Firing { pane, pane_index, watermark, emitted_at };
        if self.firings.last() != Some(&firing) {
            self.firings.push(firing);
        }
        self.panes.push((key, ctr, self.firings.len() as u32 - 1));
        // One firing alone has a pane a key.
        if self.firings.len() == 1 {
            self.distinct = self.panes.len();
        } else if self.panes.len() > 2 * self.distinct + SLACK {
            self.keep_last();
        }
    }

    /// The last pane of each key, in the order in which they fired.
    fn keep_last(&mut self) {
        if self.firings.len() == 1 {
            return;
        }
        let mut later = FxHashSet::default();
        self.panes.reverse();
        self.panes.retain(|(key, ..)| later.insert(key.clone()));
        self.panes.reverse();
        self.distinct = self.panes.len();
        let firings = std::mem::take(&mut self.firings);
        for (.., number) in &mut self.panes {
            let firing = firings[*number as usize];
            if self.firings.last() != Some(&firing) {
                self.firings.push(firing);
            }
            *number = self.firings.len() as u32 - 1;
        }
    }

    fn rows(self) -> impl Iterator<Item = Row> {
        let Self { window, firings, panes, .. } = self;
        panes.into_iter().map(move |(key, ctr, number)| {
            let Firing { pane, pane_index, watermark, emitted_at } = firings[number as usize];
            Row { key, window, ctr, pane, pane_index, watermark, emitted_at }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(end: i64, key: &str, pane_index: u32) -> Row {
        Row {
            key: [Some(key.into())].into(),
            window: Window { start: EventTime(end - 10), end: EventTime(end) },
            ctr: Ctr::default(),
            pane: Pane::Late,
            pane_index,
            watermark: EventTime(0),
            emitted_at: EventTime(0),
        }
    }

    fn finals() -> Finals {
        Finals { allowed_lateness: Millis(5), windows: BTreeMap::new(), rows: Vec::new() }
    }

    fn take(finals: &mut Finals, until: EventTime) -> Vec<Vec<Row>> {
        let mut taken = Vec::new();
        let mut keep = |window: &mut Vec<Row>| {
            taken.push(window.to_vec());
            Ok(())
        };
        finals.take_until(until, &mut keep).expect("nothing fails");
        taken
    }

    #[test]
    fn a_window_goes_out_when_its_lateness_has_passed() {
        let mut finals = finals();
        finals.add(&mut vec![row(10, "b", 0), row(10, "a", 0), row(20, "a", 0), row(10, "b", 1)]);
        assert!(take(&mut finals, EventTime(14)).is_empty());
        assert_eq!(take(&mut finals, EventTime(15)), [[row(10, "a", 0), row(10, "b", 1)]]);
        finals.add(&mut vec![row(30, "a", 0), row(20, "a", 1)]);
        assert_eq!(take(&mut finals, EventTime::MAX), [[row(20, "a", 1)], [row(30, "a", 0)]]);
        assert!(finals.windows.is_empty());
    }

    #[test]
    fn many_late_panes_take_no_more_room_than_keys() {
        let mut finals = finals();
        for n in 0..100_000 {
            finals.add(&mut vec![row(10, ["a", "b", "c"][n as usize % 3], n)]);
        }
        let window = &finals.windows[&EventTime(10)];
        assert!(window.panes.len() <= SLACK + 7 && window.firings.len() <= SLACK + 7);
        let last = take(&mut finals, EventTime::MAX);
        assert_eq!(last[0].iter().map(|row| row.pane_index).collect::<Vec<_>>(), [99_997, 99_998, 99_999]);
    }
}
