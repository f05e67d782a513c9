//! Sends events to a Kafka topic at their time: past ones immediately, then live.
//!
//! Records are acknowledged by all replicas and are not duplicated by the producer. The key is the user's ID,
//! and the partition follows from the key as with Java's producer.

use std::time::Duration;

use event::EventTime;
use kafka::Producer;
use tokio_util::sync::CancellationToken;

use super::{Order, Tally};
use crate::{progress, traffic::Encoder};

/// The longest pause between two looks at the clock, the producer and the token.
const LONGEST_NAP: Duration = Duration::from_millis(100);

/// Sends the ordered events, or as many as were generated before it is stopped.
pub(super) fn send(
    order: Order,
    encoder: Encoder,
    producer: &Producer,
    shutdown: &CancellationToken,
) -> anyhow::Result<Tally> {
    let Order { mut traffic, limit, seed } = order;
    let mut tally = Tally::new(&format!("Kafka topic {}", producer.topic()), seed);
    let bar = limit.map(|limit| progress::counting(limit, "events"));
    let limit = limit.unwrap_or(u64::MAX);
    let (mut event, mut payload, mut key) = (Vec::new(), Vec::new(), Vec::new());
    while tally.records() < limit && !shutdown.is_cancelled() {
        let now = EventTime(jiff::Timestamp::now().as_millisecond());
        while tally.records() < limit && traffic.next_written() <= now && !shutdown.is_cancelled() {
            event.clear();
            payload.clear();
            key.clear();
            let meta = traffic.next(&mut event);
            encoder.encode(&event, &mut payload);
            meta.write_key(&mut key);
            producer.send(&key, (!payload.is_empty()).then_some(&payload[..]))?;
            tally.count(&meta);
        }
        producer.check()?;
        bar.iter().for_each(|bar| bar.set_position(tally.records()));
        let ahead = traffic.next_written().0.saturating_sub(now.0).clamp(0, 1000);
        std::thread::sleep(Duration::from_millis(ahead.unsigned_abs()).min(LONGEST_NAP));
    }
    producer.finish()?;
    drop(bar);
    Ok(tally)
}
