//! A naive recount of events into windows, by every flow.

use std::collections::{BTreeMap, BTreeSet};

use event::EventTime;
use flow::Windows;

use crate::{
    kafka::{Class, Happening},
    plan::{Config, JOIN_WITHIN, JOINED, millis},
};

/// Flow, start of the window, key.
pub(super) type Cell = (String, i64, String);

/// An event that a flow received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken<'a> {
    pub(super) event: &'a Happening,
    /// Kafka's timestamp.
    pub(super) kafka: i64,
    /// It may be late, or not.
    pub(super) is_open: bool,
}

/// An event that reached the flow with a join, and the flow's watermark at that moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival<'a> {
    pub(super) event: &'a Happening,
    pub(super) watermark: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    views: u64,
    clicks: u64,
    attributed: u64,
}

impl Count {
    /// The number of values of a row, in column order.
    pub(super) fn of(counts: &[u64]) -> Self {
        let count = |number: usize| counts.get(number).copied().unwrap_or_default();
        Self { views: count(0), clicks: count(1), attributed: count(2) }
    }

    pub(super) fn is_within(self, least: Self, most: Self) -> bool {
        (least.views..=most.views).contains(&self.views)
            && (least.clicks..=most.clicks).contains(&self.clicks)
            && (least.attributed..=most.attributed).contains(&self.attributed)
    }
}

impl Config {
    pub(super) fn recount(&self, taken: &[Taken<'_>]) -> BTreeMap<Cell, Count> {
        let mut counts = Counts::default();
        let laid =
            |period| Windows::sliding(millis(self.size), millis(period)).expect("lengths are positive");
        let by_event = || taken.iter().filter(|taken| taken.event.class != Class::Future);
        let sliding = Flow { name: "sliding", windows: laid(self.size / 2) };
        let fixed = Flow { name: "fixed", windows: laid(self.size) };
        for Taken { event, .. } in by_event() {
            counts.add(&sliding, event.time, &event.key, Count::one(event));
        }
        if self.has_ids {
            by_event().for_each(|Taken { event, .. }| {
                counts.add(&fixed, event.time, &event.key, Count::one(event));
            });
        } else {
            // The event time may be rejected, Kafka's timestamp is not.
            for Taken { event, kafka, .. } in taken {
                counts.add(&fixed, *kafka, &event.key, Count::one(event));
            }
        }
        counts.0
    }

    /// The counts of the flow with a join, one arrival at a time: everything is evaluated again, and changes are
    /// counted in the windows that are still open.
    pub(super) fn recount_join(&self, arrivals: &[Arrival<'_>]) -> BTreeMap<Cell, Count> {
        let mut counts: BTreeMap<Cell, [i64; 3]> = BTreeMap::new();
        if !self.has_join {
            return BTreeMap::new();
        }
        let start = |time: i64| time - time.rem_euclid(self.size);
        let is_over =
            |time: i64, watermark: i64| start(time) + self.size + self.lateness_of_join() <= watermark;
        let (mut views, mut clicks) = (Vec::new(), Vec::new());
        let mut before = BTreeMap::new();
        for &Arrival { event, watermark } in arrivals {
            let is_late = is_over(event.time, watermark);
            if event.is_view {
                views.push(event);
                if !is_late {
                    counts.entry(cell(start(event.time), &event.key)).or_default()[0] += 1;
                }
            } else if !is_late {
                clicks.push(event);
            }
            let after = joined(&views, &clicks);
            let places: BTreeSet<_> = before.keys().chain(after.keys()).collect();
            for &(key, time) in places.into_iter().filter(|(_, time)| !is_over(*time, watermark)) {
                let [old, new] =
                    [&before, &after].map(|at| at.get(&(key, time)).copied().unwrap_or_default());
                let count = counts.entry(cell(start(time), key)).or_default();
                (0..3).for_each(|n| count[n] += new[n] - old[n]);
            }
            before = after;
        }
        let count = |[views, clicks, attributed]: [i64; 3]| Count {
            views: views.unsigned_abs(),
            clicks: clicks.unsigned_abs(),
            attributed: attributed.unsigned_abs(),
        };
        counts.into_iter().map(|(cell, counts)| (cell, count(counts))).collect()
    }
}

fn cell(start: i64, key: &str) -> Cell {
    (JOINED.to_owned(), start, key.to_owned())
}

/// Clicks and attributed views, by key and time. A click counts for the newest view of its own that is not too old, of
/// two at one time for the one with the smaller key; a view is attributed once.
fn joined<'a>(views: &[&'a Happening], clicks: &[&Happening]) -> BTreeMap<(&'a str, i64), [i64; 3]> {
    let mut counts: BTreeMap<(&str, i64), [i64; 3]> = BTreeMap::new();
    let mut attributed = BTreeSet::new();
    for click in clicks {
        let fits = |view: &&&Happening| {
            view.view == click.view && (click.time - JOIN_WITHIN..=click.time).contains(&view.time)
        };
        if let Some(view) = views.iter().filter(fits).min_by_key(|view| (-view.time, &view.key)) {
            counts.entry((view.key.as_str(), click.time)).or_default()[1] += 1;
            attributed.insert((view.view, view.time, view.key.as_str()));
        }
    }
    for (_, time, key) in attributed {
        counts.entry((key, time)).or_default()[2] += 1;
    }
    counts
}

impl Count {
    fn one(event: &Happening) -> Self {
        Self { views: u64::from(event.is_view), clicks: u64::from(!event.is_view), attributed: 0 }
    }
}

struct Flow {
    name: &'static str,
    windows: Windows,
}

#[derive(Default)]
struct Counts(BTreeMap<Cell, Count>);

impl Counts {
    fn add(&mut self, flow: &Flow, time: i64, key: &str, count: Count) {
        for window in flow.windows.holding(EventTime(time)) {
            let sum = self.0.entry((flow.name.to_owned(), window.start.0, key.to_owned())).or_default();
            sum.views += count.views;
            sum.clicks += count.clicks;
            sum.attributed += count.attributed;
        }
    }
}
