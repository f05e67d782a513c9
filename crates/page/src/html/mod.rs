//! The page. Each part that changes has an id and `data-live`: the script puts its next version in its place.

mod key;
mod ledger;
mod pipe;
mod rates;
mod records;
mod settings;

use event::{EventTime, Window};
use maud::{DOCTYPE, Markup, html};

use crate::{
    facts::{Facts, Flow, Setting},
    judge::{Health, Level, Station},
    words,
};

#[cfg(test)]
pub(crate) use self::rates::key_link;
pub(crate) use self::{key::KeyPage, rates::Rates};

/// Everything that the first page shows.
pub(crate) struct Overview<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) stations: &'a [Station],
    pub(crate) overall: &'a Health,
    pub(crate) rates: Option<Rates<'a>>,
    pub(crate) settings: &'a [Setting],
}

impl Overview<'_> {
    pub(crate) fn render(&self) -> Markup {
        let body = html! {
            (pipe::section(self.facts, self.stations))
            @if let Some(rates) = &self.rates { (rates.section()) }
            @if let Some(connector) = &self.facts.connector { (records::section(connector)) }
            @if let Some(processor) = &self.facts.processor { (ledger::sections(processor)) }
            (settings::section(self.settings))
        };
        frame(self.facts, self.overall, None, &body)
    }
}

/// A page around its body; `below` is its name where it is not the first one.
pub(crate) fn frame(facts: &Facts, overall: &Health, below: Option<&str>, body: &Markup) -> Markup {
    let has_flows = facts.processor.as_ref().is_some_and(|processor| !processor.flows.is_empty());
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { @if let Some(below) = below { (below) " · " } "Aqueduct " (facts.command) }
                link rel="icon" href="/page/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/page/style.css";
                script src="/page/script.js" defer {}
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header.top {
                    (name(facts, below.is_none()))
                    nav aria-label="Parts of the page" {
                        a href="/#pipe" { "Pipe" }
                        @if has_flows { a href="/#rates" { "Rates" } }
                        @if facts.connector.is_some() { a href="/#records" { "Records" } }
                        @if has_flows { a href="/#ledger" { "Ledger" } a href="/#partitions" { "Partitions" } }
                        a href="/#configuration" { "Configuration" }
                    }
                    (state(facts, overall))
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
                    noscript { p { "Without scripts this page does not refresh itself: reload it." } }
                }
            }
        }
    }
}

/// What this is; on the first page that is its heading.
fn name(facts: &Facts, is_first: bool) -> Markup {
    let name = html! {
        a.brand href="/" { (drop()) "Aqueduct" }
        span.command { (facts.command) " " (facts.version) }
    };
    html! { @if is_first { h1.name { (name) } } @else { p.name { (name) } } }
}

/// The state of the whole; spoken only when it changes, as the times beside it are not part of it.
fn state(facts: &Facts, overall: &Health) -> Markup {
    html! {
        div.state {
            p #overall data-live role="status" class=(overall.level.as_str()) { (badge(overall.level)) " " (overall.reason) }
            p.asof #asof data-live {
                "as of " (time(facts.at, &words::seconds(facts.at)))
                ", running for " (words::length(crate::facts::millis_between(facts.started_at, facts.at)))
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

/// A time with its value for machines.
pub(crate) fn time(time: EventTime, text: &str) -> Markup {
    html! { time datetime=(time) title=(time) { (text) } }
}

/// `22:04 to 22:14`, with the day where it is another than `now`'s or the window is that long.
pub(crate) fn window(window: Window, now: EventTime) -> Markup {
    let text = |at: EventTime| {
        if words::day(at) == words::day(now) {
            words::clock(at)
        } else {
            format!("{} {}", words::day(at), words::clock(at))
        }
    };
    html! { (time(window.start, &text(window.start))) " to " (time(window.end, &text(window.end))) }
}

/// The values of a key; NULL is told from an empty text.
pub(crate) fn value(value: Option<&str>) -> Markup {
    match value {
        Some("") => html! { span.null { "(empty)" } },
        Some(text) => html! { (text) },
        None => html! { span.null { "NULL" } },
    }
}

/// `10-minute windows, a new one every minute`.
pub(crate) fn windows_of(flow: &Flow) -> String {
    let (size, period) = (words::length(flow.size_ms), words::length(flow.period_ms));
    let (size, period) = (size.replace(".0 s", " s"), period.replace(".0 s", " s"));
    if size == period {
        format!("fixed windows of {size}")
    } else {
        format!("windows of {size}, a new one every {period}")
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

/// How far back the rates go: nothing is read from the tables.
fn begins(since: EventTime) -> Markup {
    html! { p.note { "What is shown begins with the start of this process, at " (time(since, &words::seconds(since))) " on " (words::day(since)) "; the tables have what was fired before." } }
}
