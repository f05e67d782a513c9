//! Of each window and key the last pane, held only until no later one can come.
//!
//! Pure.

use std::collections::BTreeMap;

use event::{CtrRow, EventTime, Millis};
use processor::flow::Flow;

/// The newest panes of one flow.
#[derive(Debug)]
pub(super) struct Finals {
    allowed_lateness: Millis,
    /// By the window's end.
    windows: BTreeMap<EventTime, Panes>,
}

#[derive(Debug, Default)]
struct Panes {
    rows: Vec<CtrRow>,
    /// So many of them have keys of their own.
    distinct: usize,
}

/// Rows that one window may have more than keys before they are looked through.
const SLACK: usize = 1024;

impl Finals {
    pub(super) fn new(flow: &Flow) -> Self {
        Self { allowed_lateness: flow.allowed_lateness, windows: BTreeMap::new() }
    }

    /// Takes panes in the order in which they fired.
    pub(super) fn add(&mut self, rows: Vec<CtrRow>) {
        for row in rows {
            let panes = self.windows.entry(row.window.end).or_default();
            panes.rows.push(row);
            if panes.rows.len() > 2 * panes.distinct + SLACK {
                panes.keep_last();
            }
        }
    }

    /// The windows whose lateness has passed, the earliest first; in each the last panes in the order of their keys.
    pub(super) fn take_until(&mut self, watermark: EventTime) -> Vec<Vec<CtrRow>> {
        let mut taken = Vec::new();
        while let Some(first) = self.windows.first_entry() {
            if *first.key() + self.allowed_lateness > watermark {
                break;
            }
            let mut panes = first.remove();
            panes.keep_last();
            taken.push(panes.rows);
        }
        taken
    }
}

impl Panes {
    fn keep_last(&mut self) {
        // Stable: panes of one key stay in their order.
        self.rows.sort_by(|a, b| a.key.cmp(&b.key));
        self.rows.reverse();
        self.rows.dedup_by(|a, b| a.key == b.key);
        self.rows.reverse();
        self.distinct = self.rows.len();
    }
}

#[cfg(test)]
mod tests {
    use event::{Ctr, Pane, Window};

    use super::*;

    fn row(end: i64, key: &str, pane_index: u32) -> CtrRow {
        CtrRow {
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
        Finals { allowed_lateness: Millis(5), windows: BTreeMap::new() }
    }

    #[test]
    fn a_window_goes_out_when_its_lateness_has_passed() {
        let mut finals = finals();
        finals.add(vec![row(10, "b", 0), row(10, "a", 0), row(20, "a", 0), row(10, "b", 1)]);
        assert!(finals.take_until(EventTime(14)).is_empty());
        assert_eq!(finals.take_until(EventTime(15)), [[row(10, "a", 0), row(10, "b", 1)]]);
        finals.add(vec![row(30, "a", 0), row(20, "a", 1)]);
        let rest = finals.take_until(EventTime::MAX);
        assert_eq!(rest, [[row(20, "a", 1)], [row(30, "a", 0)]]);
        assert!(finals.windows.is_empty());
    }

    #[test]
    fn many_late_panes_take_no_more_room_than_keys() {
        let mut finals = finals();
        for n in 0..100_000 {
            finals.add(vec![row(10, ["a", "b", "c"][n as usize % 3], n)]);
        }
        assert!(finals.windows[&EventTime(10)].rows.len() <= SLACK + 7);
        let last: Vec<u32> = finals.take_until(EventTime::MAX)[0].iter().map(|row| row.pane_index).collect();
        assert_eq!(last, [99_999, 99_997, 99_998]);
    }
}
