//! The batches and tasks that wait while Pub/Sub does not answer.

use std::future::pending;

use event::Incarnation;
use kafka::start::Start;
use pubsub::Encoder;

use super::*;
use crate::{
    anonymise::{AnonymiseSettings, Anonymiser, Raw},
    batch::BatchBuilder,
    message::{Message, Origin},
};

/// A Pub/Sub that accepts requests and answers none.
#[derive(Clone)]
struct Silent;

impl Publish for Silent {
    async fn publish(&self, _: &[Message]) -> Result<(), PublishError> {
        pending().await
    }

    async fn publish_mark(&self, _: &Mark) -> Result<(), PublishError> {
        pending().await
    }
}

/// What accumulates during an outage.
#[derive(Debug, PartialEq, Eq)]
struct Pile {
    batches: usize,
    tasks: usize,
}

/// Reads batches of `records` small records each, one period of marks apart, until no permit is left. `total` is the
/// limit of bytes in flight.
async fn pile_up(total: usize, records: u64, is_ordered: bool) -> Pile {
    let settings: AnonymiseSettings = toml::from_str("forward = \"all\"").expect("settings");
    let mut anonymiser = Anonymiser::new(&settings, None, None).expect("rules");
    let raw = Raw { topic: "events", value: Some(b"{\"n\":1}"), key: None, headers: &[] };
    let event = anonymiser.anonymise(&raw).expect("an event");
    let partition = Partition { topic: "events".into(), incarnation: Incarnation::from("i"), partition: 0 };
    let (mut encoder, origin) = (Encoder::default(), Origin::new(partition));
    let slot = Slot { topic: "events".into(), partition: 0, generation: 1 };

    let permits = Permits::new(total as u64);
    let mut summary = Summary::default();
    let setup = Setup {
        core: Core::new("r".to_owned(), 100),
        publisher: Silent,
        orders: Arc::new(Orders::default()),
        drain_limit: Duration::from_secs(15),
        is_ordered,
        permits: permits.clone(),
        metrics: ConnectorMetrics::new(&service::Metrics::default()),
        readiness: Readiness::default(),
        watch: watch::Sender::default(),
    };
    let mut driver = Driver::new(setup, &mut summary);
    let start = Start {
        incarnation: Incarnation::from("i"),
        committed: None,
        offset: 0,
        skipped: None,
        commit_first: false,
        notice: None,
    };
    driver.on_stimulus(Stimulus::Assigned(vec![(slot.clone(), start)]));
    let mut builder = BatchBuilder::new(total / 4);
    let (mut batches, mut offset) = (0, 0);
    loop {
        for _ in 0..records {
            let message = Message::new(&mut encoder, &event, &origin, offset, None).expect("small");
            builder.data(&slot, offset, message);
            offset += 1;
        }
        let batch = builder.take().expect("records");
        let Some(permit) = permits.try_acquire(batch.bytes) else { break };
        driver.on_stimulus(Stimulus::Read(Box::new(batch), Some(permit)));
        driver.on_tick();
        batches += 1;
    }
    assert_eq!(driver.requests + driver.waiting.len(), batches, "no batch is lost");
    Pile { batches, tasks: driver.tasks.len() }
}

#[tokio::test]
async fn small_batches_in_an_outage_are_bounded_in_number() {
    let marks = 2;
    assert_eq!(pile_up(32 << 20, 1, false).await, Pile { batches: 1_024, tasks: CONCURRENCY + marks });
    assert_eq!(pile_up(8 << 20, 1, false).await, Pile { batches: 256, tasks: CONCURRENCY + marks });
    assert_eq!(pile_up(8 << 20, 50, false).await, Pile { batches: 256, tasks: CONCURRENCY + marks });
    // So few bytes that the smallest permit is a large share of them.
    assert_eq!(pile_up(100_000, 1, false).await, Pile { batches: 16, tasks: CONCURRENCY + marks });
}

#[tokio::test]
async fn large_batches_in_an_outage_are_bounded_in_bytes() {
    let pile = pile_up(1 << 20, 1_000, false).await;
    assert!(pile.batches < 16 && pile.tasks <= pile.batches + 2, "{pile:?}");
}

#[tokio::test]
async fn ordered_batches_are_published_one_after_the_other() {
    let marks = 2;
    assert_eq!(pile_up(8 << 20, 50, true).await, Pile { batches: 256, tasks: 1 + marks });
}
