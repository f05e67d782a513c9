//! The click-through rates of one flow: its busiest keys, or pages, or boxes.

use maud::{Markup, PreEscaped, html};
use url::form_urlencoded::Serializer;

use super::{begins, number, value, window, windows_of};
use crate::{
    chart,
    facts::{Ask, Busiest, Busy, Flow, Point, Processor},
    words,
};

/// What is shown of the rates.
pub(crate) struct Rates<'a> {
    pub(crate) processor: &'a Processor,
    pub(crate) flow: &'a Flow,
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
                h2 #rates-title { "Click-through rates" }
                @if self.processor.flows.len() > 1 { (self.flows()) }
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
                @for flow in &self.processor.flows {
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
        html! {
            p.note {
                strong { (self.flow.name) } ": " (windows_of(self.flow)) ". "
                @match busiest.window {
                    Some(shown) => {
                        "Shown is " (window(shown, self.now))
                        @if busiest.is_complete { ", the newest complete one" } @else { ", which is still open" }
                        @if self.flow.size_ms > self.flow.period_ms { "; windows overlap, so never add them up" }
                        "."
                    }
                    None => { "No row stands in the table yet: the first window has to be over, or an early pane to fire." }
                }
            }
            (begins(self.since))
            @if busiest.left_out {
                p.note { "There are more keys than this page keeps: those with the fewest views are left out here, and stand in the table." }
            }
        }
    }

    fn table(&self) -> Markup {
        let busiest = self.busiest;
        let most = busiest.rows.iter().map(highest).fold(0.0, f64::max);
        let columns: Vec<&str> = match self.ask.by {
            Some(by) => self.flow.columns.get(by).map(String::as_str).into_iter().collect(),
            None => self.flow.columns.iter().map(String::as_str).collect(),
        };
        html! {
            @if busiest.rows.is_empty() {
                @if !self.ask.find.is_empty() { p.empty { "Nothing in this window has “" (self.ask.find) "” in it." } }
            } @else {
                table.rates role="table" {
                    caption { (self.caption()) }
                    thead { tr role="row" {
                        @for column in &columns { th scope="col" { (column) } }
                        @if self.ask.by.is_some() { th.figure scope="col" { "keys" } }
                        th.figure scope="col" { "views" }
                        th.figure scope="col" { "clicks" }
                        th.figure scope="col" { "CTR" }
                        @if self.flow.has_join { th.figure scope="col" { "attributed" } }
                        th scope="col" { "95 % interval" }
                        th scope="col" { "the last hour" }
                    } }
                    tbody { @for row in &busiest.rows { (self.row(row, &columns, most)) } }
                }
            }
        }
    }

    fn caption(&self) -> String {
        let (shown, found) = (self.busiest.rows.len(), self.busiest.found);
        let what = if self.ask.find.is_empty() { "" } else { " that were found" };
        if shown == found {
            format!("{}{what}, the most views first", words::counted(found as u64, "line", "lines"))
        } else {
            format!("The {shown} busiest of {}{what}", words::number(found as u64))
        }
    }

    fn row(&self, row: &Busy, columns: &[&str], most: f64) -> Markup {
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
                td.figure role="cell" data-label="views" { (number(row.ctr.views)) }
                td.figure role="cell" data-label="clicks" { (number(row.ctr.clicks)) }
                td.figure.ctr role="cell" data-label="CTR" { (words::percent(row.ctr.rate())) }
                @if self.flow.has_join { td.figure role="cell" data-label="attributed" { (words::percent(row.ctr.attributed_rate())) } }
                td.between role="cell" data-label="95 % interval" {
                    @if let Some((low, high)) = row.ctr.interval() {
                        span { (words::percent(Some(low))) " to " (words::percent(Some(high))) }
                    } @else { span { "–" } }
                    (PreEscaped(chart::interval(&row.ctr, most)))
                }
                td.hour role="cell" data-label="the last hour" { (course(&row.course)) }
            }
        }
    }
}

/// The course as a picture, and in words for who does not see it.
fn course(points: &[Point]) -> Markup {
    let rates = || points.iter().filter_map(|point| point.ctr.rate());
    let words = match (rates().reduce(f64::min), rates().reduce(f64::max)) {
        (Some(least), Some(most)) => format!(
            "{}: between {} and {}",
            words::counted(points.len() as u64, "window", "windows"),
            words::percent(Some(least)),
            words::percent(Some(most))
        ),
        _ => "no views yet".to_owned(),
    };
    // One window is no course.
    if points.len() < 2 {
        return html! { span.unit { (words::counted(points.len() as u64, "window", "windows")) " so far" } };
    }
    html! { span.chart title=(words) { (PreEscaped(chart::course(points, COURSE, "course"))) span.unseen { (words) } } }
}

fn highest(row: &Busy) -> f64 {
    row.ctr.interval().map(|(_, high)| high).or(row.ctr.rate()).unwrap_or(0.0)
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

/// The page of one key; a column that is NULL is not named.
pub(crate) fn key_link(flow: &str, columns: &[&str], key: &[Option<Box<str>>]) -> String {
    let mut query = Serializer::new(String::new());
    for (column, value) in columns.iter().zip(key) {
        if let Some(value) = value {
            query.append_pair(column, value);
        }
    }
    format!("/flows/{flow}/key?{}", query.finish())
}
