//! The last pane of each window and key, kept only until no later pane can fire. Of sessions that were merged the last pane
//! of all.
//!
//! Pure.

use std::collections::BTreeMap;

use event::{EventTime, Key, Millis};
use flow::{
    Flow, Window,
    row::{Pane, Replaced, Row, Value, Values},
    window::WindowKind,
};
use rustc_hash::{FxHashMap, FxHashSet};

/// The newest panes of one flow.
#[derive(Debug)]
pub(super) enum Finals {
    /// Windows that all keys share.
    Aligned(Aligned),
    /// Sessions.
    Sessions(Sessions),
}

/// Panes by their window.
#[derive(Debug)]
pub(super) struct Aligned {
    /// Whether events may be retracted, so that nothing is left for a key that has fired.
    takes_back: bool,
    allowed_lateness: Millis,
    /// By the window's end.
    windows: BTreeMap<EventTime, Panes>,
    /// Scratch of [`Self::take_until`].
    rows: Vec<Row>,
    /// The memory of the last window that went out, for the next one.
    spare: Vec<(Key, Values, u32)>,
}

/// Panes of sessions that no later pane of the same key overlaps.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// By the session's end, then in the order in which they fired.
    rows: BTreeMap<(EventTime, u64), Row>,
    /// The places in `rows` of each key's panes, with their windows.
    keys: FxHashMap<Key, Vec<Place>>,
    fired: u64,
}

/// Panes of one window in the order in which they fired; most have one firing in common, so that a pane is small.
#[derive(Debug)]
struct Panes {
    window: Window,
    firings: Vec<Firing>,
    panes: Vec<(Key, Values, u32)>,
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

/// The place of a pane in the rows, and its window.
type Place = ((EventTime, u64), Window);

/// Takes rows.
type Take<'a> = &'a mut dyn FnMut(&mut Vec<Row>) -> anyhow::Result<()>;

/// Excess of panes over keys at which a window is compacted.
const SLACK: usize = 1024;

/// How many rows go out together at most. All rows of a large window would need new memory each time.
const TOGETHER: usize = 4_096;

impl Finals {
    pub(super) fn new(flow: &Flow) -> Self {
        let allowed_lateness = flow.table().allowed_lateness;
        match flow.windows {
            WindowKind::Aligned(_) => {
                let takes_back = flow.takes_back();
                Self::Aligned(Aligned {
                    allowed_lateness,
                    takes_back,
                    windows: BTreeMap::new(),
                    rows: Vec::new(),
                    spare: Vec::new(),
                })
            }
            WindowKind::Sessions { .. } => Self::Sessions(Sessions::default()),
        }
    }

    /// Takes panes in the order in which they fired.
    pub(super) fn add(&mut self, rows: &mut Vec<Row>) {
        match self {
            Self::Aligned(aligned) => aligned.add(rows),
            Self::Sessions(sessions) => rows.drain(..).for_each(|row| sessions.add(row)),
        }
    }

    /// Passes on the windows that no later pane can change, earliest first, each with its last panes, in several calls if
    /// there are many.
    pub(super) fn take_until(&mut self, watermark: EventTime, take: Take<'_>) -> anyhow::Result<()> {
        match self {
            Self::Aligned(aligned) => aligned.take_until(watermark, take),
            Self::Sessions(sessions) => sessions.take_until(watermark, take),
        }
    }
}

impl Aligned {
    fn add(&mut self, rows: &mut Vec<Row>) {
        for row in rows.drain(..) {
            let panes = self.windows.entry(row.window.end);
            panes.or_insert_with(|| Panes::new(row.window, std::mem::take(&mut self.spare))).add(row);
        }
    }

    fn take_until(&mut self, watermark: EventTime, take: Take<'_>) -> anyhow::Result<()> {
        while let Some(first) = self.windows.first_entry() {
            if *first.key() + self.allowed_lateness > watermark {
                break;
            }
            let mut panes = first.remove();
            panes.keep_last();
            // Clicks that moved to another view: in another order of arrival the key has no row.
            let takes_back = self.takes_back;
            let is_final = |row: &Row| !(takes_back && row.values.iter().all(Value::is_zero));
            let mut rows = panes.rows().filter(is_final);
            loop {
                self.rows.clear();
                self.rows.extend(rows.by_ref().take(TOGETHER));
                if self.rows.is_empty() {
                    break;
                }
                take(&mut self.rows)?;
            }
            drop(rows);
            self.spare = std::mem::take(&mut panes.panes);
        }
        Ok(())
    }
}

impl Sessions {
    /// Adds a pane, and drops the earlier ones that it overlaps.
    fn add(&mut self, row: Row) {
        let place = (row.window.end, self.fired);
        self.fired += 1;
        let places = self.keys.entry(row.key.clone()).or_default();
        places.retain(|(place, window)| {
            let stays = !window.overlaps(row.window);
            if !stays {
                self.rows.remove(place);
            }
            stays
        });
        places.push((place, row.window));
        self.rows.insert(place, row);
    }

    /// A late event may have merged a session into one that is still open, and no pane shows that before it ends. So all
    /// sessions are kept until the end of the input.
    fn take_until(&mut self, watermark: EventTime, take: Take<'_>) -> anyhow::Result<()> {
        if watermark < EventTime::MAX || self.rows.is_empty() {
            return Ok(());
        }
        self.keys.clear();
        let mut rows = std::mem::take(&mut self.rows).into_values().collect();
        take(&mut rows)
    }
}

impl Panes {
    fn new(window: Window, panes: Vec<(Key, Values, u32)>) -> Self {
        Self { window, firings: Vec::new(), panes, distinct: 0 }
    }

    fn add(&mut self, row: Row) {
        let Row { key, values, pane, pane_index, watermark, emitted_at, .. } = row;
        let firing = Firing { pane, pane_index, watermark, emitted_at };
        if self.firings.last() != Some(&firing) {
            self.firings.push(firing);
        }
        self.panes.push((key, values, self.firings.len() as u32 - 1));
        // A single firing has one pane per key.
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

    /// Takes the panes out as rows.
    fn rows(&mut self) -> impl Iterator<Item = Row> {
        let Self { window, firings, panes, .. } = self;
        let window = *window;
        panes.drain(..).map(move |(key, values, number)| {
            let Firing { pane, pane_index, watermark, emitted_at } = firings[number as usize];
            Row {
                key,
                window,
                values,
                pane,
                pane_index,
                watermark,
                emitted_at,
                replaced: Replaced::default(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    fn row(end: i64, key: &str, pane_index: u32) -> Row {
        Row {
            key: [Some(key.into())].into(),
            window: Window { start: EventTime(end - 10), end: EventTime(end) },
            values: smallvec![],
            pane: Pane::Late,
            pane_index,
            watermark: EventTime(0),
            emitted_at: EventTime(0),
            replaced: Replaced::default(),
        }
    }

    fn aligned() -> Aligned {
        Aligned {
            takes_back: false,
            allowed_lateness: Millis(5),
            windows: BTreeMap::new(),
            rows: Vec::new(),
            spare: Vec::new(),
        }
    }

    fn take(finals: &mut Finals, until: EventTime) -> Vec<Vec<Row>> {
        let mut taken = Vec::new();
        let mut keep = |window: &mut Vec<Row>| {
            taken.push(window.clone());
            Ok(())
        };
        finals.take_until(until, &mut keep).expect("nothing fails");
        taken
    }

    #[test]
    fn final_windows_are_written() {
        let mut finals = Finals::Aligned(aligned());
        finals.add(&mut vec![row(10, "b", 0), row(10, "a", 0), row(20, "a", 0), row(10, "b", 1)]);
        assert!(take(&mut finals, EventTime(14)).is_empty());
        assert_eq!(take(&mut finals, EventTime(15)), [[row(10, "a", 0), row(10, "b", 1)]]);
        finals.add(&mut vec![row(30, "a", 0), row(20, "a", 1)]);
        assert_eq!(take(&mut finals, EventTime::MAX), [[row(20, "a", 1)], [row(30, "a", 0)]]);
        assert!(take(&mut finals, EventTime::MAX).is_empty());
    }

    #[test]
    fn late_panes_need_no_more_memory() {
        let mut aligned = aligned();
        for n in 0..100_000 {
            aligned.add(&mut vec![row(10, ["a", "b", "c"][n as usize % 3], n)]);
        }
        let window = &aligned.windows[&EventTime(10)];
        assert!(window.panes.len() <= SLACK + 7 && window.firings.len() <= SLACK + 7);
        let last = take(&mut Finals::Aligned(aligned), EventTime::MAX);
        assert_eq!(last[0].iter().map(|row| row.pane_index).collect::<Vec<_>>(), [99_997, 99_998, 99_999]);
    }

    #[test]
    fn merged_sessions_are_replaced_by_their_last_pane() {
        let session = |start, end, key, pane_index| {
            let window = Window { start: EventTime(start), end: EventTime(end) };
            Row { window, ..row(end, key, pane_index) }
        };
        let mut finals = Finals::Sessions(Sessions::default());
        finals.add(&mut vec![session(0, 10, "a", 0), session(20, 30, "a", 0), session(0, 10, "b", 0)]);
        // Merges both sessions of one key; that of another key and one that only touches it remain.
        finals.add(&mut vec![session(0, 30, "a", 2), session(30, 40, "a", 0)]);
        // A session that is still open may have merged any of them.
        assert!(take(&mut finals, EventTime(1_000)).is_empty());
        let last = [session(0, 10, "b", 0), session(0, 30, "a", 2), session(30, 40, "a", 0)];
        assert_eq!(take(&mut finals, EventTime::MAX), [last]);
        let Finals::Sessions(Sessions { rows, keys, .. }) = finals else { panic!("they were sessions") };
        assert!(rows.is_empty() && keys.is_empty(), "nothing is kept");
    }
}
