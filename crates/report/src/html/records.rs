//! The outcome of every record that the connector read, and its progress in each partition.

use maud::{Markup, html};

use super::{badge, figure, number};
use crate::{
    judge,
    status::{Connector, Log},
};

pub(super) fn section(connector: &Connector) -> Markup {
    html! {
        section #records aria-labelledby="records-title" {
            h2 #records-title { "From Kafka to Pub/Sub" }
            p.note { "Every record read since this process started is published, filtered, rejected or in flight." }
            div #read data-live { (sums(connector)) @if !connector.logs.is_empty() { (logs(&connector.logs)) } }
        }
    }
}

fn sums(connector: &Connector) -> Markup {
    let health = judge::records(connector);
    html! {
        article.ledger {
            h3 { "Records" }
            p.health { (badge(health.level)) " " (health.reason) }
            table.sums role="table" {
                caption.unseen { "Outcomes of the records" }
                thead.unseen { tr { th scope="col" { "outcome" } th scope="col" { "records" } th scope="col" { "meaning" } } }
                tbody {
                    (line("published", connector.published, "anonymised and acknowledged by Pub/Sub"))
                    @if connector.filtered > 0 { (line("filtered", connector.filtered, "does not match pubsub.filter")) }
                    @for (reason, count) in &connector.rejected { (line(&format!("rejected: {reason}"), *count, "see dead_letters")) }
                    @if connector.on_the_way() > 0 { (line("in flight", connector.on_the_way(), "not acknowledged by Pub/Sub yet")) }
                }
                tfoot { (line("sum", connector.done() + connector.on_the_way(), "records read")) }
            }
            @if !connector.without_record.is_empty() {
                p.note {
                    "Offsets without a record: "
                    @for (place, (reason, count)) in connector.without_record.iter().enumerate() {
                        @if place > 0 { ", " } (number(*count)) " " (reason)
                    }
                    "."
                }
            }
        }
    }
}

fn line(name: &str, count: u64, meaning: &str) -> Markup {
    html! {
        tr role="row" {
            th scope="row" role="rowheader" { (name) }
            td.figure role="cell" { (number(count)) }
            td.meaning role="cell" { (meaning) }
        }
    }
}

fn logs(logs: &[Log]) -> Markup {
    html! {
        table.logs role="table" {
            caption { "The partitions that this replica reads" }
            thead { tr role="row" {
                th scope="col" { "partition" }
                th.figure scope="col" { "log end" }
                th.figure scope="col" { "read up to" }
                th.figure scope="col" { "in Pub/Sub up to" }
                th.figure scope="col" { "lag" }
            } }
            tbody { @for log in logs { (row(log)) } }
        }
    }
}

fn row(log: &Log) -> Markup {
    html! {
        tr role="row" {
            th scope="row" role="rowheader" { (log.topic) "[" (log.partition) "]" }
            (figure(log.log_end, "log end"))
            (figure(Some(log.position), "read up to"))
            (figure(Some(log.accounted), "in Pub/Sub up to"))
            (figure(log.lag(), "lag"))
        }
    }
}
