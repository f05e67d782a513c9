//! The pipeline: its stations in the order in which an event passes them.

use maud::{Markup, PreEscaped, html};

use super::badge;
use crate::{
    chart,
    judge::{Level, Station},
    status::Status,
    words,
};

pub(super) fn section(status: &Status, stations: &[Station]) -> Markup {
    html! {
        section #pipe aria-labelledby="pipe-title" {
            h2 #pipe-title { "Pipeline" }
            ol.pipe.{ "of" (stations.len()) } {
                @for one in stations { (station(one)) }
            }
            @if status.processor.is_some() || status.connector.is_some() {
                p.note { "Acknowledgements: " (acknowledgements(status)) }
            }
        }
    }
}

fn acknowledgements(status: &Status) -> &'static str {
    match (&status.connector, &status.processor) {
        (Some(_), Some(_)) => {
            "a Kafka offset is committed after Pub/Sub has its event; a message is acknowledged, and rows are sent, after a \
             durable checkpoint."
        }
        (Some(_), None) => "a Kafka offset is committed after Pub/Sub has everything below it.",
        _ => "a message is acknowledged, and rows are sent, after a durable checkpoint.",
    }
}

fn station(station: &Station) -> Markup {
    let level = station.health.level.as_str();
    html! {
        li.station.(level) #{ "station-" (station.id) } data-live {
            h3 { (station.name) }
            p.place title=(station.place) { (station.place) }
            p.health { (badge(station.health.level)) @if station.health.level != Level::Green { " " (station.health.reason) } }
            @if let Some(rate) = &station.rate {
                p.rate { strong { (words::per_second(rate.per_second)) } " " (station.rate_of) " a second" }
                (PreEscaped(chart::spark(&rate.course)))
            }
            dl {
                dt { "backlog" } dd { (station.waits) }
                @for (name, value) in &station.details { dt { (name) } dd { (value) } }
            }
        }
    }
}
