//! Events of a file that are far ahead of their neighbours. A file has no Kafka timestamps, with which the
//! pipeline compares an event, and one event a day ahead would make all events after it late.
//!
//! An event is rejected as `future` if all of these hold:
//! - it is more than `events.future` ahead of every earlier event of its file, and there is an earlier one;
//! - at least [`FOLLOWING`] events follow it in its file;
//! - three in four of these are so much older that it would make them late in every flow.
//!
//! An event whose followers would be counted anyway is never rejected, so a file in random order within
//! `allowed_lateness` has every event counted. Nor is the first event after a pause of the producers, because
//! the events after it are not older. The decision depends only on the events of one file in their order.
//! Pure.

use event::{EventTime, EventsSettings, Millis};
use flow::{Flow, TimeKind};

/// Number of following events that decide whether an event is in the future.
pub(super) const FOLLOWING: usize = 16;
/// Number of these that must be far older.
const FAR_BEHIND: usize = FOLLOWING * 3 / 4;

/// The state of a file, from its events so far.
#[derive(Clone, Debug)]
pub(super) struct Neighbours {
    future: Millis,
    /// An event that is this much older than another is late in every flow, once the other has moved the
    /// watermark.
    late: Millis,
    highest: Option<EventTime>,
}

impl Neighbours {
    pub(super) fn new(events: &EventsSettings, flows: &[Flow]) -> Self {
        let late = flows
            .iter()
            .filter(|flow| flow.time == TimeKind::Event)
            .map(|flow| {
                let lateness = flow.allowed_lateness.0.saturating_add(flow.out_of_orderness.0);
                Millis(lateness.saturating_add(flow.windows.longest().0))
            })
            .max();
        Self { future: events.future, late: late.unwrap_or(Millis(i64::MAX)), highest: None }
    }

    /// Whether the following events have to decide.
    pub(super) fn is_suspicious(&self, time: EventTime) -> bool {
        let ahead = self.highest.map_or(0, |highest| time.0.saturating_sub(highest.0));
        ahead > self.future.0 && ahead > self.late.0
    }

    /// Whether a suspicious event is in the future; `following` has the times of the events after it, at most
    /// [`FOLLOWING`].
    pub(super) fn is_future(&self, time: EventTime, following: &[EventTime]) -> bool {
        let far_behind = |next: &&EventTime| time.0.saturating_sub(next.0) > self.future.0.max(self.late.0);
        following.len() >= FOLLOWING && following.iter().filter(far_behind).count() >= FAR_BEHIND
    }

    /// An event was accepted.
    pub(super) fn took(&mut self, time: EventTime) {
        self.highest = self.highest.max(Some(time));
    }
}

#[cfg(test)]
mod tests {
    use flow::FlowSettings;

    use super::*;

    const MINUTE: i64 = 60_000;
    const DAY: i64 = 1440;

    fn neighbours(lateness: &str) -> Neighbours {
        let flow: FlowSettings = serde_json::from_value(serde_json::json!({
            "name": "f", "by": { "page": "/p" }, "views": { "/k": "v" }, "clicks": { "/k": "c" },
            "window": { "size": "10m" }, "allowed_lateness": lateness, "out_of_orderness": "0s",
        }))
        .expect("the flow");
        let events =
            serde_json::from_value(serde_json::json!({ "time": "/t", "future": "1h" })).expect("the section");
        Neighbours::new(&events, &[Flow::try_from(flow).expect("the flow makes sense")])
    }

    /// The positions of the rejected events; times in minutes.
    fn refused(lateness: &str, minutes: &[i64]) -> Vec<usize> {
        let times: Vec<EventTime> = minutes.iter().map(|minute| EventTime(minute * MINUTE)).collect();
        let mut neighbours = neighbours(lateness);
        let mut refused = Vec::new();
        for (n, time) in times.iter().enumerate() {
            let following = &times[n + 1..times.len().min(n + 1 + FOLLOWING)];
            if neighbours.is_suspicious(*time) && neighbours.is_future(*time, following) {
                refused.push(n);
            } else {
                neighbours.took(*time);
            }
        }
        refused
    }

    fn with(count: i64, changes: &[(usize, i64)]) -> Vec<i64> {
        let mut minutes: Vec<i64> = (0..count).collect();
        for (n, minute) in changes {
            minutes[*n] = *minute;
        }
        minutes
    }

    #[test]
    fn outliers_are_rejected_and_pauses_are_not() {
        assert_eq!(refused("1h", &with(60, &[])), [] as [usize; 0]);
        assert_eq!(refused("1h", &with(60, &[(10, DAY)])), [10]);
        // A producer whose clock is ahead, sometimes with two consecutive events.
        assert_eq!(refused("1h", &with(60, &[(10, DAY), (11, DAY), (20, DAY + 10)])), [10, 11, 20]);
        // The producers paused for a day.
        let pause: Vec<i64> = (0..30).chain(DAY..DAY + 30).collect();
        assert_eq!(refused("1h", &pause), [] as [usize; 0]);
        // Nothing in the future, but some old events.
        assert_eq!(refused("1h", &with(60, &[(30, -DAY), (31, -DAY)])), [] as [usize; 0]);
    }

    #[test]
    fn harmless_outliers_are_kept() {
        assert_eq!(refused("2d", &with(60, &[(10, DAY)])), [] as [usize; 0]);
        // Random order within the lateness, by a fixed shuffle.
        let shuffled: Vec<i64> = (0..600).map(|n| n * 389 % 600).collect();
        assert_eq!(refused("10h", &shuffled), [] as [usize; 0]);
    }

    #[test]
    fn an_event_without_neighbours_is_not_judged() {
        // The first of the file, and one close to its end.
        assert_eq!(refused("1h", &with(60, &[(0, DAY)])), [] as [usize; 0]);
        assert_eq!(refused("1h", &with(60, &[(50, DAY)])), [] as [usize; 0]);
    }
}
