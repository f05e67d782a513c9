//! The page. Each part that changes has an id and `data-live`, by which the script replaces it.

mod key;
mod ledger;
mod pipe;
mod rates;
mod records;
mod settings;

use event::{EventTime, Millis};
use flow::{Window, Windows, calendar::Unit, window::WindowKind};
use maud::{DOCTYPE, Markup, html};
use processor::{board::Measured, view::FlowView};

use crate::{
    judge::{Health, Level, Station},
    measures,
    status::{Setting, Status, millis_between},
    words,
};

#[cfg(test)]
pub(crate) use self::rates::key_link;
pub(crate) use self::{key::KeyPage, rates::Rates};

const HOUR_MS: u64 = 3_600_000;

/// Everything that the first page shows.
pub(crate) struct Overview<'a> {
    pub(crate) status: &'a Status,
    pub(crate) stations: &'a [Station],
    pub(crate) overall: &'a Health,
    pub(crate) rates: Option<Rates<'a>>,
    pub(crate) settings: &'a [Setting],
}

impl Overview<'_> {
    pub(crate) fn render(&self) -> Markup {
        let body = html! {
            (pipe::section(self.status, self.stations))
            @if let Some(rates) = &self.rates { (rates.section()) }
            @if let Some(connector) = &self.status.connector { (records::section(connector)) }
            @if let Some(processor) = &self.status.processor { (ledger::sections(&processor.detail)) }
            (settings::section(self.settings))
        };
        frame(self.status, self.overall, None, &body)
    }
}

/// A page around its body; `below` is its name, if it is not the first page.
pub(crate) fn frame(status: &Status, overall: &Health, below: Option<&str>, body: &Markup) -> Markup {
    let has_flows = status.processor.as_ref().is_some_and(|processor| !processor.detail.flows.is_empty());
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { @if let Some(below) = below { (below) " · " } "Aqueduct " (status.command) }
                link rel="icon" href="/page/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/page/style.css";
                script src="/page/script.js" defer {}
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header.top {
                    (name(status, below.is_none()))
                    nav aria-label="Parts of the page" {
                        a href="/#pipe" { "Pipe" }
                        @if has_flows { a href="/#rates" { "Measures" } }
                        @if status.connector.is_some() { a href="/#records" { "Records" } }
                        @if has_flows { a href="/#ledger" { "Ledger" } a href="/#partitions" { "Partitions" } }
                        a href="/#configuration" { "Configuration" }
                    }
                    (state(status, overall))
                }
                // Filled by the script, where it gets no answer.
                div #lost role="alert" hidden {}
                main #content tabindex="-1" { (body) }
                footer {
                    p {
                        "The same as JSON: " a href="/api/v1/pipe" { "/api/v1/pipe" }
                        ". For machines: " a href="/metrics" { "/metrics" } ", " a href="/readyz" { "/readyz" }
                        ". Times are in UTC."
                    }
                    noscript { p { "Without JavaScript the page does not refresh automatically." } }
                }
            }
        }
    }
}

/// The name of the program; on the first page it is the heading.
fn name(status: &Status, is_first: bool) -> Markup {
    let name = html! {
        a.brand href="/" { (drop()) "Aqueduct" }
        span.command { (status.command) " " (status.version) }
    };
    html! { @if is_first { h1.name { (name) } } @else { p.name { (name) } } }
}

/// The state of the whole; spoken only when it changes, as the times beside it are not part of it.
fn state(status: &Status, overall: &Health) -> Markup {
    html! {
        div.state {
            p #overall data-live role="status" class=(overall.level.as_str()) { (badge(overall.level)) " " (overall.reason) }
            p.asof #asof data-live {
                "as of " (time(status.at, &words::seconds(status.at)))
                ", running for " (words::length(millis_between(status.started_at, status.at)))
            }
        }
    }
}

/// Colour, shape and word: no one of them is needed to understand it.
pub(crate) fn badge(level: Level) -> Markup {
    let shape = match level {
        Level::Green => "●",
        Level::Grey => "○",
        Level::Amber => "▲",
        Level::Red => "■",
    };
    html! { span.badge.(level.as_str()) { span aria-hidden="true" { (shape) } " " (level.as_str()) } }
}

/// A number with its value for machines.
pub(crate) fn number(value: u64) -> Markup {
    html! { data value=(value) { (words::number(value)) } }
}

/// A cell of a table with a number; a dash if it is not known.
pub(crate) fn figure(value: Option<u64>, label: &str) -> Markup {
    html! { td.figure role="cell" data-label=(label) { @if let Some(value) = value { (number(value)) } @else { "–" } } }
}

/// A time with its value for machines.
pub(crate) fn time(time: EventTime, text: &str) -> Markup {
    html! { time datetime=(time) title=(time) { (text) } }
}

/// A measure of a row, with its exact value for machines.
pub(crate) fn measure(measure: &flow::row::MeasureColumns, measured: &Measured) -> Markup {
    let measures::Text { text, exact } = measures::text(measure, measured);
    html! { @if let Some(exact) = exact { data value=(exact) { (text) } } @else { (text) } }
}

/// A window: `22:04 to 22:14`; of a calendar `2026-10-25, 25 h`; of a session with its length.
pub(crate) fn window(flow: &FlowView, window: Window, now: EventTime) -> Markup {
    let length = millis_between(window.start, window.end);
    match &flow.windows {
        WindowKind::Aligned(Windows::Sliding(_)) => span(window, now, words::clock),
        WindowKind::Sessions { .. } => html! {
            (span(window, now, words::seconds))
            span.unit { " (" (words::length(length)) ")" }
        },
        WindowKind::Aligned(Windows::Calendar(calendar)) => {
            // A day has 23, 24 or 25 hours.
            let length = if calendar.unit() == Unit::Day {
                format!("{} h", length / HOUR_MS)
            } else {
                words::length(length)
            };
            html! {
                (time(window.start, &dates(window, calendar.unit(), calendar.zone())))
                span.unit { " (" (length) ", " (span(window, now, words::clock)) " UTC)" }
            }
        }
    }
}

/// From the start to the end, with days other than `now`'s.
fn span(window: Window, now: EventTime, clock: fn(EventTime) -> String) -> Markup {
    let text = |at: EventTime| {
        if words::day(at) == words::day(now) {
            clock(at)
        } else {
            format!("{} {}", words::day(at), clock(at))
        }
    };
    html! { (time(window.start, &text(window.start))) " to " (time(window.end, &text(window.end))) }
}

/// The dates of a calendar window in its time zone.
fn dates(window: Window, unit: Unit, zone: &str) -> String {
    let first = words::day_in(window.start, zone);
    match unit {
        Unit::Day => first,
        Unit::Week => format!("{first} to {}", words::day_in(EventTime(window.end.0 - 1), zone)),
        Unit::Month => first.get(..7).unwrap_or(&first).to_owned(),
    }
}

/// A value of a key; NULL and an empty text look different.
pub(crate) fn value(value: Option<&str>) -> Markup {
    match value {
        Some("") => html! { span.null { "(empty)" } },
        Some(text) => html! { (text) },
        None => html! { span.null { "NULL" } },
    }
}

/// How windows cover time: `windows of 10 min, a new one every minute`.
pub(crate) fn windows_of(flow: &FlowView) -> String {
    let length = |length: Millis| words::length(length.0.unsigned_abs()).replace(".0 s", " s");
    match &flow.windows {
        WindowKind::Aligned(Windows::Sliding(windows)) if windows.size() == windows.period() => {
            format!("fixed windows of {}", length(windows.size()))
        }
        WindowKind::Aligned(Windows::Sliding(windows)) => {
            format!("windows of {}, a new one every {}", length(windows.size()), length(windows.period()))
        }
        WindowKind::Aligned(Windows::Calendar(calendar)) => match (calendar.unit(), calendar.zone()) {
            (Unit::Day, zone) => format!("days in {zone}"),
            (Unit::Week, zone) => format!("weeks from Monday in {zone}"),
            (Unit::Month, zone) => format!("months in {zone}"),
        },
        WindowKind::Sessions { gap } => format!("sessions, ended by {} without an event", length(*gap)),
    }
}

/// The mark of the program.
fn drop() -> Markup {
    html! {
        svg.drop viewBox="0 0 24 24" aria-hidden="true" focusable="false" {
            path d="M2 8h20v3h-2v9h-3v-5a5 5 0 0 0-10 0v5H4v-9H2z" {}
        }
    }
}

/// The page starts empty: nothing is read from the tables.
fn begins(since: EventTime) -> Markup {
    html! { p.note { "Shows rows since this process started, at " (time(since, &words::seconds(since))) " on " (words::day(since)) "; older rows are in the tables." } }
}
