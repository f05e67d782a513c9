//! How times, windows and counts stand in the JSON: times as text, counts with their rates.

use event::{Ctr, EventTime, Window};
use serde::{Serialize, Serializer};

pub(super) fn time<S: Serializer>(time: &EventTime, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(time)
}

pub(super) fn maybe_time<S: Serializer>(time: &Option<EventTime>, s: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_string()).serialize(s)
}

#[derive(Serialize)]
struct Bounds {
    window_start: String,
    window_end: String,
}

impl From<Window> for Bounds {
    fn from(window: Window) -> Self {
        Self { window_start: window.start.to_string(), window_end: window.end.to_string() }
    }
}

pub(super) fn window<S: Serializer>(window: &Window, s: S) -> Result<S::Ok, S::Error> {
    Bounds::from(*window).serialize(s)
}

pub(super) fn maybe_window<S: Serializer>(window: &Option<Window>, s: S) -> Result<S::Ok, S::Error> {
    window.map(Bounds::from).serialize(s)
}

/// Counts with their rates, as the columns are called.
pub(super) fn counts<S: Serializer>(ctr: &Ctr, s: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Counts {
        views: u64,
        clicks: u64,
        attributed_clicks: u64,
        ctr: Option<f64>,
        ctr_low: Option<f64>,
        ctr_high: Option<f64>,
    }
    let interval = ctr.interval();
    let counts = Counts {
        views: ctr.views,
        clicks: ctr.clicks,
        attributed_clicks: ctr.attributed,
        ctr: ctr.rate(),
        ctr_low: interval.map(|(low, _)| low),
        ctr_high: interval.map(|(_, high)| high),
    };
    counts.serialize(s)
}
