//! The outcome of every offset, flow by flow; and the progress of each partition.

use event::ledger::Outcome;
use maud::{Markup, PreEscaped, html};
use processor::view::{Detail, FlowView, PartitionView};

use super::{badge, figure, number};
use crate::{chart, judge, status::millis_between, words};

/// What each outcome means.
const MEANINGS: [(Outcome, &str); 10] = [
    (Outcome::Counted, "in at least one window"),
    (Outcome::Duplicate, "its event id was seen before"),
    (Outcome::Late, "too late for all its windows"),
    (Outcome::Rejected, "rejected by the connector or the processor; see dead_letters"),
    (Outcome::Ignored, "feeds no measure"),
    (Outcome::Filtered, "not published, because it does not match pubsub.filter"),
    (Outcome::Unmatched, "a click without a view"),
    (Outcome::Lost, "deleted by retention, or published and not received"),
    (Outcome::Absent, "no event: control records, compacted gaps, offsets before the start"),
    (Outcome::Pending, "a click that is waiting for its view"),
];

pub(super) fn sections(detail: &Detail) -> Markup {
    html! {
        section #ledger aria-labelledby="ledger-title" {
            h2 #ledger-title { "The ledger" }
            p.note { "Every Kafka offset has exactly one outcome in each flow, so the outcomes add up." }
            div #ledgers data-live { @for flow in &detail.flows { (ledger(detail, flow)) } }
        }
        section #partitions aria-labelledby="partitions-title" {
            h2 #partitions-title { "Partitions" }
            div #logs data-live {
                p.note { "The watermark is held back by " (detail.held_by) "." }
                @if detail.partitions.is_empty() { p.empty { "No partitions yet." } } @else { (partitions(detail)) }
            }
        }
    }
}

fn ledger(detail: &Detail, flow: &FlowView) -> Markup {
    let health = judge::ledger(detail, flow);
    let shown = || {
        MEANINGS
            .into_iter()
            .map(|(outcome, meaning)| (outcome.as_str(), flow.ledger.get(outcome), meaning))
            .filter(|(_, offsets, _)| *offsets > 0)
    };
    let total = flow.ledger.total() + flow.before;
    html! {
        article.ledger {
            h3 { (flow.name) }
            p.health { (badge(health.level)) " " (health.reason) }
            (PreEscaped(chart::shares(&flow.ledger)))
            table.sums role="table" {
                caption.unseen { "The ledger of " (flow.name) }
                thead.unseen { tr { th scope="col" { "outcome" } th scope="col" { "offsets" } th scope="col" { "meaning" } } }
                tbody {
                    @for (outcome, offsets, meaning) in shown() {
                        tr role="row" {
                            th scope="row" role="rowheader" { span.swatch.(outcome) aria-hidden="true" {} (outcome) }
                            td.figure role="cell" { (number(offsets)) }
                            td.meaning role="cell" { (meaning) }
                        }
                    }
                    @if flow.before > 0 {
                        tr role="row" { th scope="row" role="rowheader" { "before" } td.figure role="cell" { (number(flow.before)) } td.meaning role="cell" { "accounted for before the flow was added" } }
                    }
                }
                tfoot {
                    tr role="row" {
                        th scope="row" role="rowheader" { "sum" }
                        td.figure role="cell" { (number(total)) }
                        td.meaning role="cell" {
                            @if detail.has_unpositioned { "includes messages without offsets" }
                            @else { (if total == detail.accounted { "= " } else { "≠ " }) (words::number(detail.accounted)) " offsets accounted for" }
                        }
                    }
                }
            }
        }
    }
}

fn partitions(detail: &Detail) -> Markup {
    html! {
        table.logs role="table" {
            caption.unseen { "Progress of each partition" }
            thead { tr role="row" {
                th scope="col" { "partition" }
                th.figure scope="col" { "log end" }
                th.figure scope="col" { "committed" }
                th.figure scope="col" { "frontier" }
                th.figure scope="col" { "lag" }
                th scope="col" { "holes" }
                th scope="col" { "clock" }
            } }
            tbody { @for partition in &detail.partitions { (row(detail, partition)) } }
        }
    }
}

fn row(detail: &Detail, partition: &PartitionView) -> Markup {
    html! {
        tr role="row" {
            th scope="row" role="rowheader" title={ "incarnation " (partition.partition.incarnation) } { (partition.partition) }
            (figure(partition.log_end, "log end"))
            (figure(partition.committed, "committed"))
            (figure(Some(partition.frontier), "frontier"))
            (figure(partition.lag, "lag"))
            td role="cell" data-label="holes" { (holes(detail, partition)) }
            td role="cell" data-label="clock" {
                @match partition.clock {
                    Some(clock) => { (super::time(clock, &words::seconds(clock))) @if partition.is_idle { span.unit { "idle" } } }
                    None => "no event yet",
                }
            }
        }
    }
}

fn holes(detail: &Detail, partition: &PartitionView) -> Markup {
    let more = partition.hole_count.saturating_sub(partition.holes.len());
    html! {
        @if partition.holes.is_empty() { "none" }
        @for (place, (from, to)) in partition.holes.iter().enumerate() {
            @if place > 0 { ", " } (from) "–" (to.saturating_sub(1))
        }
        @if more > 0 { " and " (more) " more" }
        @if let Some((since, at)) = partition.hole_since.zip(detail.at) { span.unit { "for " (words::length(millis_between(since, at))) } }
    }
}
