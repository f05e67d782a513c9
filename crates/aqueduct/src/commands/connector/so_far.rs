//! The connector's log line of each minute, derived from its metrics.

use std::time::Duration;

use connector::metrics;
use service::Metrics;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::totals::Totals;

/// Totals since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SoFar {
    published: u64,
    rejected: u64,
    partitions: u64,
    lag: u64,
    in_flight_bytes: u64,
    retries: u64,
}

const EVERY: Duration = Duration::from_secs(60);

/// Logs the totals once a minute, the first time after one minute, until `ended`.
pub(super) async fn each_minute(shown: Metrics, ended: CancellationToken, log: impl Fn(SoFar)) {
    let mut minutes = tokio::time::interval(EVERY);
    minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    minutes.tick().await;
    while ended.run_until_cancelled(minutes.tick()).await.is_some() {
        if let Ok(page) = shown.encode() {
            log(SoFar::read(Totals(&page)));
        }
    }
}

impl SoFar {
    fn read(totals: Totals<'_>) -> Self {
        let records = totals.sum(metrics::RECORDS.name);
        let published = totals.with(metrics::RECORDS.name, "outcome", "published");
        Self {
            published,
            rejected: records.saturating_sub(published),
            partitions: totals.sum(metrics::PARTITIONS.name),
            lag: totals.sum(metrics::LAG.name),
            in_flight_bytes: totals.sum(metrics::IN_FLIGHT.name),
            retries: totals.sum(metrics::RETRIES.name),
        }
    }

    pub(super) fn log(self) {
        let Self { published, rejected, partitions, lag, in_flight_bytes, retries } = self;
        tracing::info!(published, rejected, partitions, lag, in_flight_bytes, retries, "totals since start");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use connector::metrics::{Label, PartitionLabels};
    use service::metrics::{Counter, Family, Gauge};

    use super::*;

    /// The metrics of a connector that has published 7 records, rejected 3 for two reasons, and has 2 partitions.
    fn shown() -> Metrics {
        let shown = Metrics::default();
        let records: Family<Label, Counter> = shown.counters(&metrics::RECORDS);
        for (outcome, count) in [("published", 7), ("rejected:not-json", 2), ("rejected:tombstone", 1)] {
            records.get_or_create(&[("outcome", outcome.to_owned())]).inc_by(count);
        }
        shown.gauge(&metrics::PARTITIONS).set(2);
        shown.gauge(&metrics::IN_FLIGHT).set(4_096);
        shown.counter(&metrics::RETRIES).inc_by(5);
        let lag: Family<PartitionLabels, Gauge> = shown.gauges(&metrics::LAG);
        for (partition, records) in [("0", 40), ("1", 2)] {
            let labels = [("topic", "events".to_owned()), ("partition", partition.to_owned())];
            lag.get_or_create(&labels).set(records);
        }
        shown
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_is_logged_every_minute() {
        let (logged, ended) = (RefCell::new(Vec::new()), CancellationToken::new());
        let logging = each_minute(shown(), ended.clone(), |so_far| logged.borrow_mut().push(so_far));
        let watching = async {
            tokio::time::sleep(Duration::from_secs(59)).await;
            assert!(logged.borrow().is_empty(), "no line at the start");
            tokio::time::sleep(Duration::from_secs(122)).await;
            ended.cancel();
        };
        tokio::join!(logging, watching);
        let expected =
            SoFar { published: 7, rejected: 3, partitions: 2, lag: 42, in_flight_bytes: 4_096, retries: 5 };
        assert_eq!(*logged.borrow(), [expected; 3]);
    }
}
