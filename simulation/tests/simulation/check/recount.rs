//! A naive recount of events into windows, by every flow.

use std::collections::{BTreeMap, BTreeSet};

use event::{Ctr, EventTime, Windows};

use crate::{
    kafka::{Class, Happening},
    plan::{Config, JOIN_WITHIN, JOINED, millis},
};

/// Flow, start of the window, key.
pub(super) type Cell = (String, i64, String);

/// An event that a flow was given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken<'a> {
    pub(super) event: &'a Happening,
    /// Kafka's timestamp.
    pub(super) kafka: i64,
    /// It may be late, or not.
    pub(super) is_open: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    views: u64,
    clicks: u64,
    attributed: u64,
}

impl Count {
    pub(super) fn of(ctr: &Ctr) -> Self {
        Self { views: ctr.views, clicks: ctr.clicks, attributed: ctr.attributed }
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
            |period| Windows::try_new(millis(self.size), millis(period)).expect("lengths are positive");
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
            // An event's own time may be refused; Kafka's is not.
            for Taken { event, kafka, .. } in taken {
                counts.add(&fixed, *kafka, &event.key, Count::one(event));
            }
        }
        if self.has_join {
            let events: Vec<&Happening> = by_event().map(|taken| taken.event).collect();
            counts.join(&Flow { name: JOINED, windows: laid(self.size) }, &events);
        }
        counts.0
    }
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

    /// A click counts for the newest view of its own that is not too old, of two at one time for the one with the
    /// smaller key; a view is attributed once.
    fn join(&mut self, flow: &Flow, events: &[&Happening]) {
        let (views, clicks): (Vec<&Happening>, Vec<&Happening>) =
            events.iter().copied().partition(|e| e.is_view);
        let mut attributed = BTreeSet::new();
        for view in &views {
            self.add(flow, view.time, &view.key, Count::one(view));
        }
        for click in clicks {
            let fits = |view: &&&Happening| {
                view.view() == click.view() && (click.time - JOIN_WITHIN..=click.time).contains(&view.time)
            };
            let newest = views.iter().filter(fits).min_by_key(|view| (-view.time, &view.key));
            if let Some(view) = newest {
                self.add(flow, click.time, &view.key, Count::one(click));
                attributed.insert((view.view(), view.time, &view.key));
            }
        }
        for (_, time, key) in attributed {
            self.add(flow, time, key, Count { attributed: 1, ..Count::default() });
        }
    }
}
