//! One key: a chart of its leading measure, and its windows with their panes side by side.

use event::EventTime;
use flow::{
    row::{MeasureColumns, Pane},
    window::WindowKind,
};
use maud::{Markup, PreEscaped, html};
use processor::{
    board::{KeyWindow, ShownPane},
    view::FlowView,
};

use super::{begins, frame, measure, time, value, window, windows_of};
use crate::{
    chart::{self, Scale},
    judge::Health,
    measures::{self, Reading},
    status::{Status, millis_between},
    words,
};

/// The page of one key.
pub(crate) struct KeyPage<'a> {
    pub(crate) status: &'a Status,
    pub(crate) overall: &'a Health,
    pub(crate) flow: &'a FlowView,
    pub(crate) key: &'a [Option<Box<str>>],
    pub(crate) windows: &'a [KeyWindow],
}

const COURSE: (f64, f64) = (960.0, 320.0);
/// A chart over more than this has dates below it.
const DAY_MS: u64 = 86_400_000;

impl KeyPage<'_> {
    pub(crate) fn render(&self) -> Markup {
        let name: Vec<&str> = self.key.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
        let body = html! {
            nav.back aria-label="Back" { a href={ "/?flow=" (self.flow.name) "#rates" } { "← all of " (self.flow.name) } }
            section aria-labelledby="key-title" {
                h1 #key-title.key-title {
                    @for (column, text) in self.flow.columns.iter().zip(self.key) {
                        span.part { small { (column) } (value(text.as_deref())) }
                    }
                }
                div #windows data-live {
                    p.note { (windows_of(self.flow)) "; late events count until " (words::length(self.flow.allowed_lateness.0.unsigned_abs())) " after a window's end. The newest pane of a window replaces the others." }
                    (begins(self.status.started_at))
                    @if self.windows.is_empty() {
                        p.empty { "No rows of this key in the last hour: it had no events, is not among the busiest keys, or its rows are older than this process. The table has all rows." }
                    } @else {
                        @if let Some(leading) = measures::leading(&self.flow.measures) { (self.picture(leading)) }
                        (self.table())
                    }
                }
            }
        };
        frame(self.status, self.overall, Some(&name.join(" ")), &body)
    }

    /// Complete windows only: open ones are not comparable.
    fn picture(&self, leading: &MeasureColumns) -> Markup {
        let complete = |shown: &&KeyWindow| {
            !self.is_replaced(shown) && shown.panes.last().is_some_and(|pane| pane.pane != Pane::Early)
        };
        let newest = |shown: &KeyWindow| {
            let pane = shown.panes.last()?;
            Some(measures::reading(leading, &pane.measured, shown.window.end))
        };
        let readings: Vec<Reading> = self.windows.iter().rev().filter(complete).filter_map(newest).collect();
        let interval = self.windows.iter().find(complete).and_then(|shown| shown.panes.last());
        let interval = interval.and_then(|pane| measures::interval(leading, &pane.measured));
        let text = |value| measures::scaled(leading, &self.flow.measures, value);
        let (scale, lines) = Scale::of(&readings).rounded();
        html! {
            @if let [first, .., last] = &readings[..] {
                figure.large {
                    figcaption {
                        span { (leading.name) }
                        strong { (last.value.map_or_else(|| "–".to_owned(), text)) }
                        @if let Some(interval) = interval {
                            span { span.swatch.band aria-hidden="true" {} "95 % interval " (interval) }
                        }
                    }
                    div.plot {
                        div.scale aria-hidden="true" { @for line in &lines { span { (measures::label(leading, &self.flow.measures, *line)) } } }
                        (PreEscaped(chart::course(&readings, scale, &lines, COURSE, "course")))
                        div.ends aria-hidden="true" { @for text in ends(first.end, last.end) { span { (text) } } }
                    }
                    p.unseen { (words::counted(readings.len() as u64, "complete window", "complete windows")) ", by their end; the table below has the numbers" }
                }
            }
        }
    }

    fn table(&self) -> Markup {
        html! {
            table.panes role="table" {
                caption { "Windows with their panes, the newest first" }
                thead { tr role="row" {
                    th scope="col" { "window" }
                    th scope="col" { "early" }
                    th scope="col" { "on time" }
                    th scope="col" { "late" }
                    th scope="col" { "state" }
                } }
                tbody { @for shown in self.windows { (self.row(shown)) } }
            }
        }
    }

    fn row(&self, shown: &KeyWindow) -> Markup {
        let cell = |kind, label| {
            let of_kind = || shown.panes.iter().filter(move |pane| pane.pane == kind);
            html! { td role="cell" data-label=(label) { @for pane in of_kind() { (self.pane(pane)) } @if of_kind().next().is_none() { span.none { "–" } } } }
        };
        let leading = measures::leading(&self.flow.measures);
        html! {
            tr role="row" {
                th scope="row" role="rowheader" { (window(self.flow, shown.window, self.status.at)) }
                (cell(Pane::Early, "early"))
                (cell(Pane::OnTime, "on time"))
                (cell(Pane::Late, "late"))
                td role="cell" data-label="state" {
                    @if self.is_replaced(shown) {
                        span.unit { "merged into a longer session" }
                    } @else if let Some((newest, leading)) = shown.panes.last().zip(leading) {
                        strong { (measures::text(leading, &newest.measured).text) }
                        span.unit { (self.state(shown.window.end, newest.pane)) }
                    }
                }
            }
        }
    }

    fn pane(&self, pane: &ShownPane) -> Markup {
        html! {
            div.pane {
                @for (place, one) in pane.measured.measures.iter().enumerate() {
                    @if place > 0 { " · " }
                    span.measure { (one.name) " " (measure(one, &pane.measured)) }
                }
                span.unit { "fired " (time(pane.emitted_at, &words::seconds(pane.emitted_at))) " as no. " (pane.pane_index) }
            }
        }
    }

    /// Whether a session is part of a longer one by now, whose panes have higher numbers.
    fn is_replaced(&self, shown: &KeyWindow) -> bool {
        let newest = |shown: &KeyWindow| shown.panes.iter().map(|pane| pane.pane_index).max();
        let replaces = |other: &KeyWindow| {
            other.window.overlaps(shown.window)
                && newest(other) > newest(shown)
                && other.window != shown.window
        };
        matches!(self.flow.windows, WindowKind::Sessions { .. }) && self.windows.iter().any(replaces)
    }

    fn state(&self, end: EventTime, newest: Pane) -> &'static str {
        let gap = match self.flow.windows {
            // An event that is not late may still extend a session for one more gap.
            WindowKind::Sessions { gap } => gap.0,
            WindowKind::Aligned(_) => 0,
        };
        let lateness = self.flow.allowed_lateness.0.saturating_add(gap);
        let is_final =
            self.flow.watermark.is_some_and(|watermark| watermark.0 >= end.0.saturating_add(lateness));
        match newest {
            Pane::Early => "still open",
            _ if is_final => "final",
            _ => "complete; late events may follow",
        }
    }
}

/// Times below a chart, at equal distances.
fn ends(first: EventTime, last: EventTime) -> Vec<String> {
    let length = millis_between(first, last);
    let text = |at: EventTime| if length > DAY_MS { words::day(at) } else { words::clock(at) };
    let middle = EventTime(first.0 + (last.0 - first.0) / 2);
    vec![text(first), text(middle), text(last)]
}
