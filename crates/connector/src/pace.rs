//! Detects a connector that is connected but makes no progress from Kafka to Pub/Sub, so that it becomes not ready.
//!
//! Pure: the snapshot and the time are arguments.

use std::time::{Duration, Instant};

use crate::view::View;

/// The readiness condition for progress.
pub(crate) const PROGRESS: &str = "progress";

/// Longer than a rebalance with a slow broker, and an order of magnitude longer than a publish request.
const LIMIT: Duration = Duration::from_secs(60);

/// The progress so far, and when it last changed.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// The records read and the sum of the positions, and since when neither has changed.
    last: Option<(u64, u64, Instant)>,
}

impl Pace {
    /// `Ok`, or the reason why there is no progress.
    pub(crate) fn judge(&mut self, view: &View, now: Instant) -> Result<(), String> {
        if let Some(waited) = view.oldest_in_flight.filter(|waited| *waited > LIMIT) {
            return Err(format!(
                "stalled: records have waited {} s for Pub/Sub; check that Pub/Sub is reachable",
                waited.as_secs()
            ));
        }
        let unread: u64 = view
            .partitions
            .iter()
            .map(|p| p.end.map_or(0, |end| end.offset.saturating_sub(p.position)))
            .sum();
        let position = view.partitions.iter().fold(0_u64, |sum, p| sum.wrapping_add(p.position));
        let progress = (view.summary.records, position);
        let since = match self.last {
            // Batches that wait for Pub/Sub are in flight, and are judged above.
            Some((records, positions, since))
                if (records, positions) == progress && unread > 0 && view.oldest_in_flight.is_none() =>
            {
                since
            }
            _ => now,
        };
        self.last = Some((progress.0, progress.1, since));
        let silence = now.saturating_duration_since(since);
        if silence <= LIMIT {
            return Ok(());
        }
        Err(format!(
            "stalled: {unread} records are unread in Kafka and none was read for {} s; check the schema registry and for open transactions, or restart the connector",
            silence.as_secs()
        ))
    }
}

#[cfg(test)]
mod tests {
    use event::{EventTime, mark::LogEnd};

    use super::*;
    use crate::view::PartitionView;

    fn view(position: u64, end: u64) -> View {
        let end = Some(LogEnd { offset: end, asked_at: EventTime(0) });
        let partition = PartitionView { topic: "t".into(), partition: 0, position, accounted: position, end };
        View { partitions: vec![partition], ..View::default() }
    }

    #[test]
    fn waiting_records_without_progress_are_a_stall() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::default();
        assert_eq!(pace.judge(&view(5, 5), after(0)), Ok(()));
        assert_eq!(pace.judge(&view(5, 5), after(500)), Ok(()), "nothing waits");
        assert_eq!(pace.judge(&view(5, 9), after(510)), Ok(()));
        assert_eq!(pace.judge(&view(5, 9), after(560)), Ok(()));
        let stalled = pace.judge(&view(5, 12), after(571)).expect_err("a stall");
        assert!(
            stalled.starts_with("stalled: 7 records are unread in Kafka and none was read for 71 s"),
            "{stalled}"
        );
        assert_eq!(pace.judge(&view(6, 12), after(572)), Ok(()));
        let mut waiting = view(6, 12);
        waiting.oldest_in_flight = Some(Duration::from_secs(61));
        let stalled = pace.judge(&waiting, after(573)).expect_err("a stall");
        assert!(stalled.contains("waited 61 s for Pub/Sub"), "{stalled}");
        waiting.oldest_in_flight = Some(Duration::from_secs(1));
        assert_eq!(pace.judge(&waiting, after(700)), Ok(()), "batches in flight continue");
    }
}
