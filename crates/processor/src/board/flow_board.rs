//! The rows of one flow from the last hour.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use event::{EventTime, Key, Millis};
use flow::{
    Flow, Window,
    measure::Aggregation,
    row::{MeasureColumns, Pane, Row, Value, Values, weight},
    window::WindowKind,
};
use rustc_hash::FxHashMap;

use super::shown::{Ask, Busiest, Busy, KeyWindow, Measured, Point, ShownPane};

/// The rows of one flow from the last hour, or from its last windows if an hour has only few.
#[derive(Debug)]
pub struct FlowBoard {
    name: Arc<str>,
    measures: Arc<[MeasureColumns]>,
    /// Whether windows of a key are sessions, of which one may replace others by merging.
    merging: bool,
    /// How each stored measure is aggregated over keys.
    aggregations: Vec<Aggregation>,
    keep: Millis,
    keys: FxHashMap<Key, Vec<Shown>>,
    /// The newest window that has fired ON_TIME.
    complete: Option<Window>,
    /// The end of the newest complete window when old panes were last looked for.
    forgotten: EventTime,
    bytes: u64,
    most: u64,
    /// Keys with a lower [`weight`] are rejected while there is no room.
    floor: u64,
    left_out: bool,
}

/// A row without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    /// The window.
    window: Window,
    /// The stored measures.
    values: Values,
    /// The kind of firing.
    pane: Pane,
    /// The index of this firing among those of its window and key, from 0.
    index: u32,
    /// The flow's watermark when it fired.
    watermark: EventTime,
    /// The time at which it fired, by the processor's clock.
    emitted_at: EventTime,
}

type Group<'a> = (Values, Vec<&'a Key>);

/// Old panes are looked for this many times while the time passes for which panes are kept.
const FORGETTING: i64 = 64;
const HOUR: Millis = Millis(3_600_000);
/// The board keeps at least this many windows.
const LEAST_WINDOWS: i64 = 12;
/// How many EARLY panes a window keeps: with its ON_TIME pane, and without one.
const EARLY: (usize, usize) = (1, 2);
const LATE: usize = 3;
/// Approximate bytes of a pane with its share of the data that its values point to.
const PANE_BYTES: u64 = size_of::<Shown>() as u64 + 16;

impl FlowBoard {
    pub(super) fn new(flow: &Flow, most: u64) -> Self {
        let distance = match &flow.windows {
            WindowKind::Aligned(windows) => windows.period(),
            WindowKind::Sessions { gap } => *gap,
        };
        let least = Millis(distance.0.saturating_mul(LEAST_WINDOWS));
        Self {
            name: flow.name.clone(),
            measures: flow.table().measures,
            merging: matches!(flow.windows, WindowKind::Sessions { .. }),
            aggregations: flow.fed.iter().map(|fed| fed.aggregation.clone()).collect(),
            keep: HOUR.max(least),
            keys: FxHashMap::default(),
            complete: None,
            forgotten: EventTime::MIN,
            bytes: 0,
            most,
            floor: 0,
            left_out: false,
        }
    }

    pub(super) fn add(&mut self, rows: &[Row]) {
        for row in rows {
            let window = row.window;
            if row.pane != Pane::Early && self.complete.is_none_or(|complete| complete.end < window.end) {
                self.complete = Some(window);
                self.floor = 0;
                // A look at all keys for each session that ends would be quadratic.
                if window.end - Millis(self.keep.0 / FORGETTING) >= self.forgotten {
                    self.forgotten = window.end;
                    self.forget();
                }
            }
            if !self.is_old(window) {
                self.insert(row);
            }
            if self.bytes > self.most {
                self.make_room();
            }
        }
    }

    /// The flow's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The busiest keys of the newest complete window.
    pub fn busiest(&self, ask: &Ask) -> Busiest {
        let Some(window) = self.complete.or_else(|| self.oldest()) else { return Busiest::default() };
        let find = ask.find.trim().to_lowercase();
        let mut groups: FxHashMap<Key, Group<'_>> = FxHashMap::default();
        for (key, panes) in &self.keys {
            let values = ask.by.map_or_else(|| key.clone(), |column| Key::from_iter([key.get(column)]));
            if let Some(newest) = self.newest(panes, window)
                && holds(&values, &find)
            {
                let (values, keys) = groups.entry(values).or_default();
                self.merge(values, &newest.values);
                keys.push(key);
            }
        }
        let found = groups.len();
        let mut rows: Vec<_> = groups.into_iter().collect();
        let counts = |values: &Values| values.iter().map(Value::count).collect::<Vec<_>>();
        rows.sort_by_cached_key(|(key, (values, _))| (Reverse(counts(values)), key.clone()));
        rows.truncate(ask.limit);
        let busy = |(key, (values, keys)): (Key, Group<'_>)| Busy {
            session: self.session(&keys, window),
            key: key.iter().map(|value| value.map(Box::from)).collect(),
            measured: self.measured(values),
            keys: keys.len(),
            // Keys without events in this window still belong to their group.
            course: match ask.by {
                Some(column) => {
                    let same = |(other, _): &(&Key, _)| other.get(column) == key.get(0);
                    self.course(window, self.keys.iter().filter(same))
                }
                None => self.course(window, keys.iter().filter_map(|key| self.keys.get_key_value(*key))),
            },
        };
        Busiest {
            window: Some(window),
            is_complete: self.complete.is_some(),
            rows: rows.into_iter().map(busy).collect(),
            found,
            left_out: self.left_out,
        }
    }

    /// The windows of one key with their panes, the newest window first; empty if the key is unknown.
    pub fn windows(&self, key: &Key) -> Vec<KeyWindow> {
        let mut windows: Vec<KeyWindow> = Vec::new();
        for shown in self.keys.get(key).into_iter().flatten() {
            let pane = ShownPane {
                pane: shown.pane,
                pane_index: shown.index,
                measured: self.measured(shown.values.clone()),
                watermark: shown.watermark,
                emitted_at: shown.emitted_at,
            };
            match windows.last_mut() {
                Some(last) if last.window == shown.window => last.panes.push(pane),
                _ => windows.push(KeyWindow { window: shown.window, panes: vec![pane] }),
            }
        }
        windows.reverse();
        windows
    }

    fn measured(&self, values: Values) -> Measured {
        Measured { measures: self.measures.clone(), values }
    }

    /// The newest window that has fired ON_TIME.
    pub fn complete(&self) -> Option<Window> {
        self.complete
    }

    fn course<'a>(&self, shown: Window, keys: impl Iterator<Item = (&'a Key, &'a Vec<Shown>)>) -> Vec<Point> {
        let mut course: BTreeMap<EventTime, Values> = BTreeMap::new();
        for (_, panes) in keys {
            for pane in valid(panes, self.merging) {
                if pane.window.end <= shown.end && pane.window.end + self.keep > shown.end {
                    self.merge(course.entry(pane.window.end).or_default(), &pane.values);
                }
            }
        }
        course.into_iter().map(|(end, values)| Point { end, measured: self.measured(values) }).collect()
    }

    /// The valid pane of a key in a window. With sessions, the pane of the key's last session that ends no later.
    fn newest<'a>(&self, panes: &'a [Shown], window: Window) -> Option<&'a Shown> {
        if self.merging {
            return valid(panes, true).into_iter().rfind(|pane| pane.window.end <= window.end);
        }
        let end = panes.partition_point(|pane| pane.window <= window);
        panes[..end].last().filter(|pane| pane.window == window)
    }

    fn session(&self, keys: &[&Key], window: Window) -> Option<Window> {
        let [key] = keys else { return None };
        let panes = self.keys.get(*key).filter(|_| self.merging)?;
        self.newest(panes, window).map(|pane| pane.window)
    }

    fn oldest(&self) -> Option<Window> {
        self.keys.values().filter_map(|panes| panes.first()).map(|pane| pane.window).min()
    }

    fn is_old(&self, window: Window) -> bool {
        self.complete.is_some_and(|complete| window.end + self.keep <= complete.end)
    }

    fn insert(&mut self, row: &Row) {
        let panes = match self.keys.get_mut(&row.key) {
            Some(panes) => panes,
            None if weight(&row.values) < self.floor => return,
            None => {
                self.bytes += key_bytes(&row.key);
                self.keys.entry(row.key.clone()).or_default()
            }
        };
        let before = panes.len();
        let place = (row.window, row.pane_index);
        let at = panes.partition_point(|pane| (pane.window, pane.index) < place);
        // A pane with the same window and index is the same pane, for example one that was read from the table at the
        // start.
        if panes.get(at).is_none_or(|pane| (pane.window, pane.index) != place) {
            panes.insert(
                at,
                Shown {
                    window: row.window,
                    values: row.values.clone(),
                    pane: row.pane,
                    index: row.pane_index,
                    watermark: row.watermark,
                    emitted_at: row.emitted_at,
                },
            );
            thin_out(panes, row.window);
        }
        self.bytes =
            (self.bytes + PANE_BYTES * panes.len() as u64).saturating_sub(PANE_BYTES * before as u64);
    }

    /// Adds the measures of another key. A measure that cannot be added without its sketch becomes NULL.
    fn merge(&self, sums: &mut Values, values: &[Value]) {
        if sums.is_empty() {
            sums.extend(values.iter().cloned());
            return;
        }
        for ((sum, value), aggregation) in sums.iter_mut().zip(values).zip(&self.aggregations) {
            *sum = merged(aggregation, sum, value);
        }
    }

    /// Removes rows that are older than an hour.
    fn forget(&mut self) {
        let Some(complete) = self.complete else { return };
        let keep = self.keep;
        self.keys.retain(|_, panes| {
            panes.retain(|pane| pane.window.end + keep > complete.end);
            panes.shrink_to(panes.len() * 2);
            !panes.is_empty()
        });
        self.count_bytes();
    }

    /// Removes the keys with the lowest weight until a quarter of the memory is free.
    fn make_room(&mut self) {
        let newest = |panes: &[Shown]| panes.last().map_or(0, |pane| weight(&pane.values));
        let mut sizes: Vec<(u64, u64)> =
            self.keys.iter().map(|(key, panes)| (newest(panes), size(key, panes))).collect();
        sizes.sort_unstable();
        let mut left = self.bytes;
        for (weight, size) in sizes {
            if left <= self.most / 4 * 3 {
                break;
            }
            left = left.saturating_sub(size);
            self.floor = weight + 1;
        }
        let floor = self.floor;
        self.keys.retain(|_, panes| newest(panes) >= floor);
        self.left_out = true;
        self.count_bytes();
    }

    fn count_bytes(&mut self) {
        self.bytes = self.keys.iter().map(|(key, panes)| size(key, panes)).sum();
    }
}

fn merged(aggregation: &Aggregation, a: &Value, b: &Value) -> Value {
    match (aggregation, a, b) {
        (Aggregation::Count, Value::Count(a), Value::Count(b)) => Value::Count(a + b),
        (Aggregation::Sum(_), Value::Number(a), Value::Number(b)) => {
            let mut sum = a.clone();
            sum.merge(**b);
            Value::Number(sum)
        }
        (Aggregation::Min(_) | Aggregation::Max(_), Value::Null, other)
        | (Aggregation::Min(_) | Aggregation::Max(_), other, Value::Null) => other.clone(),
        (Aggregation::Min(_) | Aggregation::Max(_), Value::Number(x), Value::Number(y)) => {
            let takes_second = match aggregation {
                Aggregation::Min(_) => y.amount() < x.amount(),
                _ => y.amount() > x.amount(),
            };
            if takes_second { b.clone() } else { a.clone() }
        }
        _ => Value::Null,
    }
}

fn size(key: &Key, panes: &[Shown]) -> u64 {
    key_bytes(key) + PANE_BYTES * panes.len() as u64
}

fn key_bytes(key: &Key) -> u64 {
    128 + key.as_pushed().len() as u64
}

/// Keeps only the newest EARLY and LATE panes of a window.
fn thin_out(panes: &mut Vec<Shown>, window: Window) {
    let first = panes.partition_point(|pane| pane.window < window);
    let end = panes.partition_point(|pane| pane.window <= window);
    let count = |kind| panes[first..end].iter().filter(|pane| pane.pane == kind).count();
    let allowed = if count(Pane::OnTime) > 0 { EARLY.0 } else { EARLY.1 };
    let mut surplus = [
        (Pane::Early, count(Pane::Early).saturating_sub(allowed)),
        (Pane::Late, count(Pane::Late).saturating_sub(LATE)),
    ];
    if surplus.iter().all(|(_, left)| *left == 0) {
        return;
    }
    panes.retain(|pane| {
        let of_kind = surplus.iter_mut().find(|(kind, left)| *kind == pane.pane && *left > 0);
        match of_kind.filter(|_| pane.window == window) {
            Some((_, left)) => {
                *left -= 1;
                false
            }
            None => true,
        }
    });
}

/// The panes that no later pane replaced. Panes are sorted by window and index, so those of one window are adjacent,
/// the newest last. A merged session overlaps only the session that it became part of, so panes that overlap in a chain
/// belong to one session, and the highest index is valid.
/// panes which overlap in a chain belong to one session, and the highest index is valid.
fn valid(panes: &[Shown], merging: bool) -> Vec<&Shown> {
    let mut valid: Vec<&Shown> = Vec::new();
    let mut end = EventTime::MIN;
    for pane in panes {
        let replaces = |last: &&mut &Shown| match merging {
            true => pane.window.start < end,
            false => last.window == pane.window,
        };
        match valid.last_mut().filter(replaces) {
            Some(last) if pane.index > last.index => *last = pane,
            Some(_) => {}
            None => valid.push(pane),
        }
        end = end.max(pane.window.end);
    }
    valid
}

fn holds(values: &Key, find: &str) -> bool {
    find.is_empty() || values.iter().flatten().any(|value| value.to_lowercase().contains(find))
}

#[cfg(test)]
mod tests;
