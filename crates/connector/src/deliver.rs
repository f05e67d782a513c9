//! Publishes one batch or one mark, and retries until Pub/Sub has it.
//!
//! See [`crate::driver`] for how many requests run at a time, and [`crate::core`] for what an acknowledgement means.

use std::{sync::Arc, time::Duration};

use event::Mark;
use service::{Backoff, Readiness};
use tokio::sync::watch;

use crate::{
    message::{Message, Publish, PublishError},
    metrics::ConnectorMetrics,
    outage::Outage,
};

/// The readiness condition of Pub/Sub.
pub(crate) const PUBSUB: &str = "pubsub";

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// State that all deliveries of a driver share.
#[derive(Clone)]
pub(crate) struct Delivery<P> {
    pub(crate) publisher: P,
    pub(crate) outage: Arc<Outage>,
    pub(crate) metrics: ConnectorMetrics,
    pub(crate) readiness: Readiness,
    /// Incremented whenever a request of this driver succeeds, including those for marks.
    successes: watch::Sender<u64>,
}

impl<P: Publish> Delivery<P> {
    pub(crate) fn new(publisher: P, metrics: ConnectorMetrics, readiness: Readiness) -> Self {
        let (outage, successes) = (Arc::new(Outage::default()), watch::Sender::default());
        Self { publisher, outage, metrics, readiness, successes }
    }

    /// Publishes a batch, and returns the indexes of the messages that Pub/Sub refuses even alone.
    ///
    /// A refusal counts against a message only once another request has succeeded: if Pub/Sub refuses everything, the
    /// cause is the project or the topic, and rejecting records would lose them. Within a batch, the other messages
    /// settle that. If none of them passes, or the message is the only one of its batch, the next mark does: it follows
    /// within a second, or its own refusal ends the connector.
    pub(crate) async fn batch(&self, messages: &[Message]) -> Result<Vec<usize>, PublishError> {
        let mut refused = Vec::new();
        // Subscribed before the first attempt, so that a success between the attempts counts.
        let mut successes = self.successes.subscribe();
        // Halves a refused range until the refused messages are alone: at most 2 n requests.
        let mut open = Vec::from_iter(std::iter::once(0..messages.len()));
        while let Some(range) = open.pop() {
            match self.until_answered(|| self.publisher.publish(&messages[range.clone()])).await {
                Ok(()) => {}
                Err(PublishError::Refused(_)) if range.len() > 1 => {
                    let middle = range.start + range.len() / 2;
                    open.extend([range.start..middle, middle..range.end]);
                }
                Err(PublishError::Refused(cause)) => {
                    tracing::debug!(%cause, "Pub/Sub rejected a message that was sent alone");
                    refused.push(range.start);
                }
                Err(error) => return Err(error),
            }
        }
        if !refused.is_empty() {
            successes.changed().await.expect("`self` owns a sender");
        }
        Ok(refused)
    }

    /// Publishes a mark.
    pub(crate) async fn mark(&self, mark: &Mark) -> Result<(), PublishError> {
        self.until_answered(|| self.publisher.publish_mark(mark)).await
    }

    async fn until_answered<F>(&self, attempt: impl Fn() -> F) -> Result<(), PublishError>
    where
        F: Future<Output = Result<(), PublishError>>,
    {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            match attempt().await {
                Err(PublishError::Unavailable(cause)) => {
                    self.metrics.publish_retries.inc();
                    if self.outage.failed() {
                        let error = crate::error::chain(&*cause);
                        tracing::warn!(
                            error,
                            action = "check the network, the status of Google Cloud, and that the service account has roles/pubsub.publisher; no record is lost while Kafka retains it",
                            "cannot publish to Pub/Sub; retrying"
                        );
                        self.readiness.set(PUBSUB, Err("no response from Pub/Sub".to_owned()));
                    }
                }
                answer => {
                    if let Some(length) = self.outage.worked() {
                        tracing::info!(seconds = length.as_secs(), "publishing to Pub/Sub again");
                    }
                    if answer.is_ok() {
                        self.readiness.set(PUBSUB, Ok(()));
                        self.successes.send_modify(|successes| *successes += 1);
                    }
                    return answer;
                }
            }
            tokio::time::sleep(backoff.next(random())).await;
        }
    }
}

/// A uniform random number from 0 to 1, to spread the attempts of many replicas.
fn random() -> f64 {
    getrandom::u32().map_or(1.0, |draw| f64::from(draw) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        sync::{
            Mutex,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use event::{Incarnation, Partition};
    use pubsub::Encoder;

    use super::*;
    use crate::{
        anonymise::{AnonymiseSettings, Anonymiser, Raw},
        message::{Cause, Origin},
    };

    /// A Pub/Sub that refuses some messages, by their encoded bytes, and marks if `refuses_marks`.
    #[derive(Clone, Default)]
    struct Picky {
        refused: Arc<Mutex<BTreeSet<Vec<u8>>>>,
        refuses_marks: bool,
        requests: Arc<AtomicUsize>,
    }

    impl Publish for Picky {
        async fn publish(&self, batch: &[Message]) -> Result<(), PublishError> {
            self.requests.fetch_add(1, Ordering::Relaxed);
            let refused = self.refused.lock().expect("no panic");
            let is_refused = |message: &Message| refused.contains(&message.out().encoded()[..]);
            if batch.iter().any(is_refused) { Err(PublishError::Refused(cause())) } else { Ok(()) }
        }

        async fn publish_mark(&self, _: &Mark) -> Result<(), PublishError> {
            if self.refuses_marks { Err(PublishError::Refused(cause())) } else { Ok(()) }
        }
    }

    fn cause() -> Cause {
        "for its own sake".into()
    }

    fn messages(count: u64) -> Vec<Message> {
        let settings: AnonymiseSettings = toml::from_str("forward = \"all\"").expect("settings");
        let mut anonymiser = Anonymiser::new(&settings, None, None).expect("rules");
        let raw = Raw { topic: "events", value: Some(b"{}"), key: None, headers: &[] };
        let event = anonymiser.anonymise(&raw).expect("an event");
        let partition =
            Partition { topic: "events".into(), incarnation: Incarnation::from("i"), partition: 0 };
        let (mut encoder, origin) = (Encoder::default(), Origin::new(partition));
        let message = |offset| Message::new(&mut encoder, &event, &origin, offset, None).expect("small");
        (0..count).map(message).collect()
    }

    fn mark() -> Mark {
        Mark {
            version: Mark::VERSION,
            replica: "r".to_owned(),
            sequence: 1,
            partitions: Vec::new(),
            topics: Vec::new(),
        }
    }

    fn delivery(picky: Picky) -> Delivery<Picky> {
        Delivery::new(picky, ConnectorMetrics::new(&service::Metrics::default()), Readiness::default())
    }

    /// Which of `count` messages are rejected if Pub/Sub refuses these. A mark succeeds once all others are done.
    async fn check(count: u64, refused: &[usize]) -> usize {
        let batch = messages(count);
        let picky = Picky::default();
        let encoded = refused.iter().map(|&n| batch[n].out().encoded().to_vec());
        picky.refused.lock().expect("no panic").extend(encoded);
        let delivery = delivery(picky);
        let mark = mark();
        // Polled in this order: the batch waits for a success before there is a mark.
        let (found, marked) = tokio::join!(biased; delivery.batch(&batch), delivery.mark(&mark));
        marked.expect("a mark passes");
        let mut found = found.expect("the connector continues");
        found.sort_unstable();
        assert_eq!(found, refused, "of {count}");
        delivery.publisher.requests.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn a_refused_message_is_rejected_after_a_success() {
        for (count, refused) in
            [(1, &[0][..]), (2, &[1]), (2, &[0, 1]), (5, &[0, 3]), (8, &[]), (3, &[0, 1, 2])]
        {
            check(count, refused).await;
        }
    }

    #[tokio::test]
    async fn requests_grow_only_with_rejected_messages() {
        assert_eq!(check(1, &[0]).await, 1, "alone in its batch it is tried once");
        for n in [64, 512] {
            let all: Vec<usize> = (0..n as usize).collect();
            assert_eq!(check(n, &all).await, 2 * n as usize - 1);
            // One path through the halves, and the other half of each.
            assert_eq!(check(n, &[7]).await, 1 + 2 * n.ilog2() as usize);
        }
    }

    #[tokio::test]
    async fn nothing_is_rejected_during_an_outage() {
        let batch = messages(2);
        let picky = Picky { refuses_marks: true, ..Picky::default() };
        picky.refused.lock().expect("no panic").extend(batch.iter().map(|m| m.out().encoded().to_vec()));
        let delivery = delivery(picky);
        let mark = mark();
        tokio::select! {
            biased;
            found = delivery.batch(&batch) => panic!("{found:?} without a success"),
            marked = delivery.mark(&mark) => assert!(matches!(marked, Err(PublishError::Refused(_)))),
        }
    }
}
