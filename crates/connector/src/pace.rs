//! Whether records go on from Kafka to Pub/Sub: a connector that is connected and stands still is not ready.
//!
//! Pure: the view and the time come in. Not here: what is done about it.

use std::time::{Duration, Instant};

use crate::view::View;

/// The readiness condition of going on.
pub(crate) const PROGRESS: &str = "progress";

/// Longer than a rebalance and a slow broker take; an order of magnitude above what a publish takes.
const LIMIT: Duration = Duration::from_secs(60);

/// How far it was, and since when.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Records read, the sum of the positions, and since when neither has moved.
    stands: Option<(u64, u64, Instant)>,
}

impl Pace {
    /// In order, or in words what stands still.
    pub(crate) fn judge(&mut self, view: &View, now: Instant) -> Result<(), String> {
        if let Some(waited) = view.oldest_in_flight.filter(|waited| *waited > LIMIT) {
            return Err(format!(
                "stalled: what was read has waited for Pub/Sub for {} s; see whether Pub/Sub answers",
                waited.as_secs()
            ));
        }
        let unread: u64 = view
            .partitions
            .iter()
            .map(|p| p.end.map_or(0, |end| end.offset.saturating_sub(p.position)))
            .sum();
        let position = view.partitions.iter().fold(0_u64, |sum, p| sum.wrapping_add(p.position));
        let here = (view.summary.records, position);
        let since = match self.stands {
            // What waits for Pub/Sub is in flight, and judged above.
            Some((records, positions, since))
                if (records, positions) == here && unread > 0 && view.oldest_in_flight.is_none() =>
            {
                since
            }
            _ => now,
        };
        self.stands = Some((here.0, here.1, since));
        let silence = now.saturating_duration_since(since);
        if silence <= LIMIT {
            return Ok(());
        }
        Err(format!(
            "stalled: {unread} records wait in Kafka and none was read for {} s; see whether a transaction is left open, or \
             restart the connector",
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
    fn what_waits_and_does_not_move_is_a_stall() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::default();
        assert_eq!(pace.judge(&view(5, 5), after(0)), Ok(()));
        assert_eq!(pace.judge(&view(5, 5), after(500)), Ok(()), "nothing waits");
        assert_eq!(pace.judge(&view(5, 9), after(510)), Ok(()));
        assert_eq!(pace.judge(&view(5, 9), after(560)), Ok(()));
        let stalled = pace.judge(&view(5, 12), after(571)).expect_err("a stall");
        assert!(
            stalled.starts_with("stalled: 7 records wait in Kafka and none was read for 71 s"),
            "{stalled}"
        );
        assert_eq!(pace.judge(&view(6, 12), after(572)), Ok(()));
        let mut waiting = view(6, 12);
        waiting.oldest_in_flight = Some(Duration::from_secs(61));
        let stalled = pace.judge(&waiting, after(573)).expect_err("a stall");
        assert!(stalled.contains("waited for Pub/Sub for 61 s"), "{stalled}");
        waiting.oldest_in_flight = Some(Duration::from_secs(1));
        assert_eq!(pace.judge(&waiting, after(700)), Ok(()), "what is in flight goes on");
    }
}
