//! The measures of one flow: those of its busiest keys, or of all keys with one value in a column.

use flow::{
    Windows,
    row::{MeasureColumns, Shows},
    window::WindowKind,
};
use maud::{Markup, PreEscaped, html};
use processor::{
    board::{Ask, Busiest, Busy},
    view::FlowView,
};
use url::form_urlencoded::Serializer;

use super::{begins, measure, number, value, window, windows_of};
use crate::{
    chart::{self, Scale},
    measures::{self, Reading},
    words,
};

/// What is shown of a flow.
pub(crate) struct Rates<'a> {
    pub(crate) flows: &'a [FlowView],
    pub(crate) flow: &'a FlowView,
    pub(crate) ask: &'a Ask,
    pub(crate) busiest: &'a Busiest,
    pub(crate) now: event::EventTime,
    pub(crate) since: event::EventTime,
}

/// The size of the chart in a row.
const COURSE: (f64, f64) = (160.0, 36.0);

impl Rates<'_> {
    pub(super) fn section(&self) -> Markup {
        html! {
            section #rates aria-labelledby="rates-title" {
                h2 #rates-title { "Measures" }
                @if self.flows.len() > 1 { (self.flows()) }
                div.tools {
                    (self.groups())
                    (self.search())
                }
                div #busiest data-live { (self.about()) (self.table()) }
            }
        }
    }

    fn flows(&self) -> Markup {
        html! {
            nav.tabs aria-label="Flows" {
                @for flow in self.flows {
                    a href=(link(&flow.name, None, "")) aria-current=[(flow.name == self.flow.name).then_some("true")] { (flow.name) }
                }
            }
        }
    }

    fn groups(&self) -> Markup {
        let (name, find) = (&self.flow.name, &*self.ask.find);
        html! {
            @if self.flow.columns.len() > 1 {
                nav.tabs aria-label="Add up by" {
                    a href=(link(name, None, find)) aria-current=[self.ask.by.is_none().then_some("true")] { (self.flow.columns.join(" and ")) }
                    @for (place, column) in self.flow.columns.iter().enumerate() {
                        a href=(link(name, Some(column), find)) aria-current=[(self.ask.by == Some(place)).then_some("true")] { "by " (column) }
                    }
                }
            }
        }
    }

    fn search(&self) -> Markup {
        let column = self.ask.by.and_then(|by| self.flow.columns.get(by));
        html! {
            form.search role="search" action="/" method="get" {
                input type="hidden" name="flow" value=(self.flow.name);
                @if let Some(column) = column { input type="hidden" name="by" value=(column); }
                label for="find" { "Find " (column.map_or_else(|| self.flow.columns.join(" or "), Clone::clone)) }
                input #find type="search" name="find" value=(self.ask.find) autocomplete="off" spellcheck="false";
                button type="submit" { "Find" }
            }
        }
    }

    fn about(&self) -> Markup {
        let busiest = self.busiest;
        let overlap = matches!(&self.flow.windows, WindowKind::Aligned(Windows::Sliding(windows)) if windows.size() > windows.period());
        html! {
            p.note {
                strong { (self.flow.name) } ": " (windows_of(self.flow)) ". "
                @match busiest.window {
                    Some(shown) => {
                        "Shown is " (window(self.flow, shown, self.now))
                        @if busiest.is_complete { ", the newest complete one" } @else { ", which is still open" }
                        @if overlap { "; windows overlap, so never add them up" }
                        "."
                    }
                    None => { "No rows yet: they appear when the first window ends or an early pane fires." }
                }
            }
            (begins(self.since))
            @if busiest.left_out {
                p.note { "There are more keys than this page keeps. The table has all of them." }
            }
        }
    }

    fn table(&self) -> Markup {
        let busiest = self.busiest;
        let leading = measures::leading(&self.flow.measures);
        let columns: Vec<&str> = match self.ask.by {
            Some(by) => self.flow.columns.get(by).map(String::as_str).into_iter().collect(),
            None => self.flow.columns.iter().map(String::as_str).collect(),
        };
        let has_sessions = busiest.rows.iter().any(|row| row.session.is_some());
        let readings: Vec<Reading> = leading
            .map_or_else(Vec::new, |leading| busiest.rows.iter().map(|row| reading(row, leading)).collect());
        let scale = Scale::of(&readings);
        html! {
            @if busiest.rows.is_empty() {
                @if !self.ask.find.is_empty() { p.empty { "No key in this window contains “" (self.ask.find) "”." } }
            } @else {
                div.wide {
                    table.rates role="table" {
                        caption { (self.caption()) }
                        thead { tr role="row" {
                            @for column in &columns { th scope="col" { (column) } }
                            @if self.ask.by.is_some() { th.figure scope="col" { "keys" } }
                            @if has_sessions { th scope="col" { "session" } }
                            @for measure in self.flow.measures.iter() {
                                th.figure scope="col" { (measure.name) }
                                @if has_interval(measure, leading) { th scope="col" { "95 % interval" } }
                            }
                            @if let Some(leading) = leading { th scope="col" { (leading.name) ", over time" } }
                        } }
                        tbody { @for row in &busiest.rows { (self.row(row, &columns, leading, scale)) } }
                    }
                }
            }
        }
    }

    fn caption(&self) -> String {
        let (shown, found) = (self.busiest.rows.len(), self.busiest.found);
        let what = if self.ask.find.is_empty() { "" } else { " found" };
        let is_count =
            |measure: &&MeasureColumns| matches!(measure.shows, Shows::Count(_) | Shows::Distinct { .. });
        let order = self.flow.measures.iter().find(is_count);
        let order = order.map_or_else(String::new, |measure| format!(", the most {} first", measure.name));
        if shown == found {
            format!("{}{what}{order}", words::counted(found as u64, "line", "lines"))
        } else {
            format!("The {shown} busiest of {}{what}{order}", words::number(found as u64))
        }
    }

    fn row(&self, row: &Busy, columns: &[&str], leading: Option<&MeasureColumns>, scale: Scale) -> Markup {
        html! {
            tr role="row" {
                @for (place, text) in row.key.iter().enumerate() {
                    @if place == 0 {
                        th.key scope="row" role="rowheader" data-label=(columns[place]) {
                            @if self.ask.by.is_some() {
                                a href=(link(&self.flow.name, None, text.as_deref().unwrap_or_default())) { (value(text.as_deref())) }
                            } @else {
                                a href=(key_link(&self.flow.name, columns, &row.key)) { (value(text.as_deref())) }
                            }
                        }
                    } @else {
                        td.key role="cell" data-label=(columns[place]) { (value(text.as_deref())) }
                    }
                }
                @if self.ask.by.is_some() { td.figure role="cell" data-label="keys" { (number(row.keys as u64)) } }
                @if let Some(session) = row.session { td.span role="cell" data-label="session" { span { (window(self.flow, session, self.now)) } } }
                @for one in row.measured.measures.iter() {
                    td.figure.leading[Some(one) == leading] role="cell" data-label=(one.name) { (measure(one, &row.measured)) }
                    @if has_interval(one, leading) { (between(one, row, scale)) }
                }
                @if let Some(leading) = leading {
                    td.hour role="cell" data-label={ (leading.name) ", over time" } { (course(leading, row)) }
                }
            }
        }
    }
}

fn reading(row: &Busy, measure: &MeasureColumns) -> Reading {
    let end = row.course.last().map_or(event::EventTime::MIN, |point| point.end);
    measures::reading(measure, &row.measured, end)
}

/// One interval is drawn; the others are in the table and in the JSON.
fn has_interval(measure: &MeasureColumns, leading: Option<&MeasureColumns>) -> bool {
    Some(measure) == leading && matches!(measure.shows, Shows::Ratio { interval: true, .. })
}

fn between(measure: &MeasureColumns, row: &Busy, scale: Scale) -> Markup {
    let interval = measures::interval(measure, &row.measured);
    html! {
        td.between role="cell" data-label="95 % interval" {
            span { (interval.unwrap_or_else(|| "–".to_owned())) }
            (PreEscaped(chart::interval(&reading(row, measure), scale)))
        }
    }
}

/// The values over time as a chart, and as text for screen readers.
fn course(leading: &MeasureColumns, row: &Busy) -> Markup {
    let readings = measures::readings(leading, &row.course);
    let values = || readings.iter().filter_map(|reading| reading.value);
    let text = |value| measures::scaled(leading, &row.measured.measures, value);
    let windows = words::counted(readings.len() as u64, "window", "windows");
    let words = match (values().reduce(f64::min), values().reduce(f64::max)) {
        (Some(least), Some(most)) => format!("{windows}: between {} and {}", text(least), text(most)),
        _ => "no value yet".to_owned(),
    };
    // One window is no course.
    if readings.len() < 2 {
        return html! { span.unit { (windows) " so far" } };
    }
    let picture = chart::course(&readings, Scale::of(&readings), &[], COURSE, "course");
    html! { span.chart title=(words) { (PreEscaped(picture)) span.unseen { (words) } } }
}

/// The first page with this choice.
fn link(flow: &str, by: Option<&str>, find: &str) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("flow", flow);
    if let Some(by) = by {
        query.append_pair("by", by);
    }
    if !find.is_empty() {
        query.append_pair("find", find);
    }
    format!("/?{}#rates", query.finish())
}

/// The address of the page of one key; a column that is NULL is left out.
pub(crate) fn key_link(flow: &str, columns: &[&str], key: &[Option<Box<str>>]) -> String {
    let mut query = Serializer::new(String::new());
    for (column, value) in columns.iter().zip(key) {
        if let Some(value) = value {
            query.append_pair(column, value);
        }
    }
    format!("/flows/{flow}/key?{}", query.finish())
}
