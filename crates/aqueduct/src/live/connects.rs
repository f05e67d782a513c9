//! The connector's part of the status.

use std::time::Duration;

use connector::view::PartitionView;
use report::status::{Connector, Log, Rate};

/// The labels of a connector, from the configuration.
pub(crate) struct ConnectorLabels {
    pub(crate) topics: String,
    pub(crate) to: String,
    pub(crate) in_flight_limit: u64,
}

impl ConnectorLabels {
    pub(super) fn status(&self, view: &connector::View, rate: Rate, published_rate: Rate) -> Connector {
        let summary = &view.summary;
        let unread = |p: &PartitionView| p.end.map_or(0, |end| end.offset.saturating_sub(p.position));
        let logs: Vec<Log> = view.partitions.iter().map(log).collect();
        let named = |counts: &std::collections::BTreeMap<&'static str, u64>| {
            counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        Connector {
            topics: self.topics.clone(),
            to: self.to.clone(),
            is_known: !view.partitions.is_empty() || summary.marks > 0,
            partitions: view.partitions.len(),
            records: summary.records,
            published: summary.published,
            filtered: summary.filtered,
            rejected: named(&summary.rejected),
            without_record: named(&summary.absent),
            unread: view.partitions.iter().map(unread).sum(),
            lag: logs.iter().filter_map(Log::lag).sum(),
            in_flight_bytes: view.in_flight_bytes,
            in_flight_limit: self.in_flight_limit,
            oldest_ms: view.oldest_in_flight.map(millis),
            outage_ms: view.outage.map(millis),
            rate,
            published_rate,
            logs,
        }
    }
}

fn log(seen: &PartitionView) -> Log {
    Log {
        topic: seen.topic.to_string(),
        partition: seen.partition,
        log_end: seen.end.map(|end| end.offset),
        position: seen.position,
        accounted: seen.accounted,
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
