//! The outcome of every offset, flow by flow; and the progress of each partition.

use maud::{Markup, PreEscaped, html};

use super::{badge, number};
use crate::{
    chart,
    facts::{Flow, Partition, Processor},
    judge, words,
};

/// What each outcome means.
const MEANINGS: [(&str, &str); 9] = [
    ("counted", "in at least one window"),
    ("duplicate", "its event id was seen before"),
    ("late", "too late for all of its windows"),
    ("rejected", "rejected by the connector or the processor; see dead_letters"),
    ("ignored", "feeds no measure"),
    ("unmatched", "a click without a view"),
    ("lost", "deleted by retention, or published and not received"),
    ("absent", "never an event: control records, compacted gaps, before the start"),
    ("pending", "a click that waits for its view"),
];

pub(super) fn sections(processor: &Processor) -> Markup {
    html! {
        section #ledger aria-labelledby="ledger-title" {
            h2 #ledger-title { "The ledger" }
            p.note { "Every Kafka offset has exactly one outcome in each flow, so the outcomes add up." }
            div #ledgers data-live { @for flow in &processor.flows { (ledger(processor, flow)) } }
        }
        section #partitions aria-labelledby="partitions-title" {
            h2 #partitions-title { "Partitions" }
            div #logs data-live {
                p.note { "The watermark is held by " (processor.held_by) @if !processor.held_by.ends_with('?') { "." } }
                @if processor.partitions.is_empty() { p.empty { "No partitions yet." } } @else { (partitions(processor)) }
            }
        }
    }
}

fn ledger(processor: &Processor, flow: &Flow) -> Markup {
    let health = judge::ledger(processor, flow);
    let shown = || flow.ledger.iter().filter(|outcome| outcome.offsets > 0);
    html! {
        article.ledger {
            h3 { (flow.name) }
            p.health { (badge(health.level)) " " (health.reason) }
            (PreEscaped(chart::shares(&flow.ledger)))
            table.sums role="table" {
                caption.unseen { "The ledger of " (flow.name) }
                thead.unseen { tr { th scope="col" { "outcome" } th scope="col" { "offsets" } th scope="col" { "meaning" } } }
                tbody {
                    @for outcome in shown() {
                        tr role="row" {
                            th scope="row" role="rowheader" { span.swatch.(outcome.outcome) aria-hidden="true" {} (outcome.outcome) }
                            td.figure role="cell" { (number(outcome.offsets)) }
                            td.meaning role="cell" { (MEANINGS.iter().find(|(name, _)| *name == outcome.outcome).map_or("", |(_, meaning)| meaning)) }
                        }
                    }
                    @if flow.before > 0 {
                        tr role="row" { th scope="row" role="rowheader" { "before" } td.figure role="cell" { (number(flow.before)) } td.meaning role="cell" { "accounted for before the flow was added" } }
                    }
                }
                tfoot {
                    tr role="row" {
                        th scope="row" role="rowheader" { "sum" }
                        td.figure role="cell" { (number(flow.total + flow.before)) }
                        td.meaning role="cell" {
                            @if processor.has_unpositioned { "includes messages without offsets" }
                            @else { (if flow.total + flow.before == processor.accounted { "= " } else { "≠ " }) (words::number(processor.accounted)) " offsets accounted for" }
                        }
                    }
                }
            }
        }
    }
}

fn partitions(processor: &Processor) -> Markup {
    html! {
        table.logs role="table" {
            caption.unseen { "Progress of each partition" }
            thead { tr role="row" {
                th scope="col" { "partition" }
                th.figure scope="col" { "log end" }
                th.figure scope="col" { "committed" }
                th.figure scope="col" { "frontier" }
                th.figure scope="col" { "missing" }
                th scope="col" { "holes" }
                th scope="col" { "clock" }
            } }
            tbody { @for partition in &processor.partitions { (row(partition)) } }
        }
    }
}

fn row(partition: &Partition) -> Markup {
    html! {
        tr role="row" {
            th scope="row" role="rowheader" title={ "incarnation " (partition.incarnation) } { (partition.topic) "[" (partition.partition) "]" }
            (maybe(partition.log_end, "log end"))
            (maybe(partition.committed, "committed"))
            (maybe(Some(partition.frontier), "frontier"))
            (maybe(Some(partition.missing), "missing"))
            td role="cell" data-label="holes" { (holes(partition)) }
            td role="cell" data-label="clock" {
                @match partition.clock {
                    Some(clock) => { (super::time(clock, &words::seconds(clock))) @if partition.is_idle { span.unit { "idle" } } }
                    None => "no event yet",
                }
            }
        }
    }
}

fn holes(partition: &Partition) -> Markup {
    let more = partition.hole_count.saturating_sub(partition.holes.len());
    html! {
        @if partition.holes.is_empty() { "none" }
        @for (place, (from, to)) in partition.holes.iter().enumerate() {
            @if place > 0 { ", " } (from) "–" (to.saturating_sub(1))
        }
        @if more > 0 { " and " (more) " more" }
        @if let Some(age) = partition.hole_ms { span.unit { "for " (words::length(age)) } }
    }
}

fn maybe(value: Option<u64>, label: &str) -> Markup {
    html! { td.figure role="cell" data-label=(label) { @if let Some(value) = value { (number(value)) } @else { "–" } } }
}
