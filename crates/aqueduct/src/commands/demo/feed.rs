//! The traffic of a demo: first some minutes in the past, then live events.

use std::{num::NonZeroU64, time::Duration};

use event::{EventTime, Millis};
use futures::{StreamExt as _, stream};
use standin::kafka::{Kafka, Record};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::traffic::{Shape, Share, Traffic};

pub(super) const TOPIC: &str = "events";
pub(super) const PARTITIONS: i32 = 6;
/// Maximum number of past events.
const PAST_EVENTS: u64 = 60_000;
const STEP: Duration = Duration::from_millis(50);
/// Records in flight to the broker.
const IN_FLIGHT: usize = 5_000;

/// What is written to Kafka.
pub(super) struct Feed {
    kafka: Kafka,
    rate: u32,
    now: EventTime,
    produced: u64,
}

/// One record before it is sent.
struct Ready {
    partition: i32,
    key: String,
    value: Option<Vec<u8>>,
    timestamp: i64,
}

impl Feed {
    pub(super) fn new(kafka: Kafka, rate: u32, now: EventTime) -> Self {
        Self { kafka, rate, now, produced: 0 }
    }

    /// Number of records in Kafka.
    pub(super) fn produced(&self) -> u64 {
        self.produced
    }

    /// Writes until stopped, or for the given duration.
    pub(super) async fn run(
        &mut self,
        shutdown: &CancellationToken,
        duration: Option<Millis>,
    ) -> anyhow::Result<()> {
        let ends = duration.map(|length| Instant::now() + length.std());
        self.past(shutdown).await?;
        let mut traffic = Traffic::new(self.shape(self.rate.into(), processor::driver::now())?, 2);
        let mut steps = tokio::time::interval(STEP);
        steps.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (started, mut due) = (Instant::now(), 0u64);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = steps.tick() => {}
            }
            if ends.is_some_and(|end| Instant::now() >= end) {
                return Ok(());
            }
            let wanted = (started.elapsed().as_secs_f64() * f64::from(self.rate)) as u64;
            let records: Vec<Ready> = (due..wanted).map(|_| ready(&mut traffic)).collect();
            due = wanted;
            self.send(records).await?;
        }
    }

    async fn past(&mut self, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let seconds = super::PAST.0.unsigned_abs() / 1000;
        let rate = u64::from(self.rate).min(PAST_EVENTS / seconds);
        let mut traffic = Traffic::new(self.shape(rate, super::beginning(self.now))?, 1);
        let mut left = rate * seconds;
        while left > 0 && !shutdown.is_cancelled() {
            let count = left.min(IN_FLIGHT as u64);
            let records: Vec<Ready> = (0..count).map(|_| ready(&mut traffic)).collect();
            self.send(records).await?;
            left -= count;
        }
        Ok(())
    }

    fn shape(&self, rate: u64, start: EventTime) -> anyhow::Result<Shape> {
        let share = |text: &str| text.parse::<Share>().map_err(anyhow::Error::from);
        Ok(Shape {
            rate: NonZeroU64::new(rate).unwrap_or(NonZeroU64::MIN),
            start,
            late: share("0.1%")?,
            duplicates: share("0.1%")?,
            broken: share("0.1%")?,
            ..Shape::default()
        })
    }

    async fn send(&mut self, records: Vec<Ready>) -> anyhow::Result<()> {
        let kafka = &self.kafka;
        let count = records.len() as u64;
        let mut sent = stream::iter(records)
            .map(|ready| async move {
                let record = Record {
                    key: Some(ready.key.as_bytes()),
                    payload: ready.value.as_deref(),
                    timestamp: Some(ready.timestamp),
                };
                kafka.send(TOPIC, ready.partition, record).await
            })
            .buffer_unordered(IN_FLIGHT);
        while let Some(result) = sent.next().await {
            result?;
        }
        self.produced += count;
        Ok(())
    }
}

fn ready(traffic: &mut Traffic) -> Ready {
    let mut value = Vec::with_capacity(320);
    let meta = traffic.next(&mut value);
    Ready {
        partition: (meta.user % PARTITIONS.unsigned_abs() as u64) as i32,
        key: meta.user.to_string(),
        value: (!value.is_empty()).then_some(value),
        timestamp: meta.written.0,
    }
}
