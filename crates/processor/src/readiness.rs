//! The conditions of the readiness probe: Pub/Sub answers, and rows reach their tables.
//!
//! Pure. The driver reports each durable checkpoint itself, and `service::readiness` combines all conditions.

use event::EventTime;
use pubsub::link::Link;

use crate::view::WriterView;

/// The name of the condition that this processor holds the state or is a standby.
pub(crate) const STATE: &str = "state";
/// The name of the condition that checkpoints become durable.
pub(crate) const CHECKPOINTS: &str = "checkpoints";
/// The name of the condition that Pub/Sub answers.
pub(crate) const PUBSUB: &str = "pubsub";
/// The name of the condition that rows reach their tables.
pub(crate) const TABLES: &str = "tables";

/// The status of a standby.
pub(crate) const STANDING_BY: &str = "another processor holds the state; standing by";

/// Ten times what an append normally takes, or more.
const LIMIT_MILLIS: i64 = 60_000;

/// Whether Pub/Sub answers for every subscription.
pub(crate) fn pubsub(links: &[Link]) -> Result<(), String> {
    if links.iter().any(|link| matches!(link, Link::Outage { .. })) {
        return Err("Pub/Sub is unreachable; retrying".to_owned());
    }
    if links.contains(&Link::Unknown) { Err("not connected to Pub/Sub yet".to_owned()) } else { Ok(()) }
}

/// Whether rows reach their tables at every writer.
pub(crate) fn tables(writers: &[WriterView], now: EventTime) -> Result<(), String> {
    let waited = |writer: &WriterView| writer.oldest_request.map_or(0, |since| now.0.saturating_sub(since.0));
    let Some(writer) = writers.iter().max_by_key(|writer| waited(writer)) else { return Ok(()) };
    let waited = waited(writer);
    if waited <= LIMIT_MILLIS {
        return Ok(());
    }
    Err(format!(
        "stalled: rows have waited {} s for writer {:?}; check that its tables accept rows",
        waited / 1000,
        writer.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subscription_must_answer() {
        let (up, away) = (Link::Up { returns: 1 }, Link::Outage { returns: 0 });
        assert_eq!(pubsub(&[up, up]), Ok(()));
        let outage = pubsub(&[up, away]);
        assert!(outage.is_err());
        assert_eq!(pubsub(&[away, Link::Unknown]), outage);
        let unknown = pubsub(&[up, Link::Unknown]);
        assert!(unknown.is_err());
        assert_ne!(unknown, outage);
    }

    #[test]
    fn rows_that_wait_too_long_are_a_stall() {
        let now = EventTime(100_000);
        let check = |waiting: &[Option<i64>]| {
            let writer = |(number, since): (usize, &Option<i64>)| WriterView {
                name: number.to_string().into(),
                oldest_request: since.map(EventTime),
                ..WriterView::default()
            };
            tables(&waiting.iter().enumerate().map(writer).collect::<Vec<_>>(), now)
        };
        assert_eq!(check(&[None]), Ok(()));
        assert_eq!(check(&[Some(40_000), None]), Ok(()));
        let stalled = check(&[None, Some(38_999), Some(40_000)]);
        assert!(stalled.is_err_and(|reason| reason.contains("61 s") && reason.contains("\"1\"")));
    }
}
