//! One key: the course of its rate, and its windows with their panes side by side.

use event::{EventTime, Pane};
use maud::{Markup, PreEscaped, html};

use super::{begins, frame, number, time, value, window, windows_of};
use crate::{
    chart,
    facts::{Facts, Flow, KeyWindow, Point, ShownPane},
    judge::Health,
    words,
};

/// The page of one key.
pub(crate) struct KeyPage<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) overall: &'a Health,
    pub(crate) flow: &'a Flow,
    pub(crate) key: &'a [Option<Box<str>>],
    pub(crate) windows: &'a [KeyWindow],
}

const COURSE: (f64, f64) = (720.0, 200.0);

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
                    p.note { (windows_of(self.flow)) "; late events count until " (words::length(self.flow.allowed_lateness_ms)) " after a window's end. The newest pane of a window is the one that holds." }
                    (begins(self.facts.started_at))
                    @if self.windows.is_empty() {
                        p.empty { "No row of this key of the last hour is known here: it was quiet, has few views beside the others, or the rows were written before this process was started. The table has them." }
                    } @else {
                        (self.picture())
                        (self.table())
                    }
                }
            }
        };
        frame(self.facts, self.overall, Some(&name.join(" ")), &body)
    }

    /// Complete windows only: open ones are not comparable.
    fn picture(&self) -> Markup {
        let point = |shown: &KeyWindow| {
            let pane = shown.panes.last().filter(|pane| pane.pane != Pane::Early)?;
            Some(Point { end: shown.window.end, ctr: pane.ctr })
        };
        let points: Vec<Point> = self.windows.iter().rev().filter_map(point).collect();
        html! {
            @if points.len() > 1 {
                figure.large {
                    div.scale aria-hidden="true" { span { (words::percent(Some(chart::highest(&points)))) } span { "0 %" } }
                    (PreEscaped(chart::course(&points, COURSE, "course")))
                    div.ends aria-hidden="true" { span { (words::clock(points[0].end)) } span { (words::clock(points[points.len() - 1].end)) } }
                    figcaption { "CTR of window after window, by their end, with the 95 % interval; the numbers stand below" }
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
                    th scope="col" { "what holds" }
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
        html! {
            tr role="row" {
                th scope="row" role="rowheader" { (window(shown.window, self.facts.at)) }
                (cell(Pane::Early, "early"))
                (cell(Pane::OnTime, "on time"))
                (cell(Pane::Late, "late"))
                td role="cell" data-label="what holds" {
                    @if let Some(newest) = shown.panes.last() {
                        strong { (words::percent(newest.ctr.rate())) }
                        span.unit { (self.standing(shown.window.end, newest.pane)) }
                    }
                }
            }
        }
    }

    fn pane(&self, pane: &ShownPane) -> Markup {
        html! {
            div.pane {
                span {
                    (number(pane.ctr.views)) @if pane.ctr.views == 1 { " view, " } @else { " views, " }
                    (number(pane.ctr.clicks)) @if pane.ctr.clicks == 1 { " click" } @else { " clicks" }
                }
                span.unit { (words::percent(pane.ctr.rate())) " · fired " (time(pane.emitted_at, &words::seconds(pane.emitted_at))) " as no. " (pane.pane_index) }
            }
        }
    }

    fn standing(&self, end: EventTime, newest: Pane) -> &'static str {
        let lateness = i64::try_from(self.flow.allowed_lateness_ms).unwrap_or(i64::MAX);
        let is_final =
            self.flow.watermark.is_some_and(|watermark| watermark.0 >= end.0.saturating_add(lateness));
        match newest {
            Pane::Early => "still open",
            _ if is_final => "final",
            _ => "complete; late events may still come",
        }
    }
}
