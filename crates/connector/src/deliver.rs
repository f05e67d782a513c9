//! Publishes one batch or one mark, and retries until Pub/Sub has it.
//!
//! See [`crate::driver`] for how many requests run at a time, and [`crate::core`] for what an acknowledgement means.

use std::{ops::Range, sync::Arc, time::Duration};

use event::Mark;
use futures::{StreamExt as _, stream::FuturesUnordered};
use service::{Backoff, Readiness};
use tokio::sync::watch;

use crate::{
    batch::lanes,
    message::{Message, Publish, PublishError},
    metrics::ConnectorMetrics,
    outage::Outage,
};

/// The readiness condition of Pub/Sub.
pub(crate) const PUBSUB: &str = "pubsub";

/// Maximum number of lanes of a batch that are published at a time. Pub/Sub allows 100 requests on a connection.
const LANES: usize = 64;
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
    /// Its lanes are published side by side, each in order: what follows in a lane waits until Pub/Sub has what comes
    /// before it. A caller that has to keep the order between batches publishes them one after the other.
    ///
    /// A refusal counts against a message only once another request has succeeded: if Pub/Sub refuses everything, the
    /// cause is the project or the topic, and rejecting records would lose them. Within a batch, the other messages
    /// settle that. If none of them passes, or the message is the only one of its batch, the next mark does: it follows
    /// within a second, or its own refusal ends the connector.
    pub(crate) async fn batch(&self, messages: &[Message]) -> Result<Vec<usize>, PublishError> {
        // Subscribed before the first attempt, so that a success between the attempts counts.
        let mut successes = self.successes.subscribe();
        let (mut refused, mut running) = (Vec::new(), FuturesUnordered::new());
        for lane in lanes(messages) {
            if running.len() == LANES
                && let Some(found) = running.next().await
            {
                refused.extend(found?);
            }
            running.push(self.lane(messages, lane));
        }
        while let Some(found) = running.next().await {
            refused.extend(found?);
        }
        if !refused.is_empty() {
            successes.changed().await.expect("`self` owns a sender");
        }
        Ok(refused)
    }

    /// Publishes the messages of a lane, and returns the indexes of those that Pub/Sub refuses even alone.
    async fn lane(&self, messages: &[Message], lane: Range<usize>) -> Result<Vec<usize>, PublishError> {
        let mut refused = Vec::new();
        // Halves a refused range until the refused messages are alone: at most 2 n requests. The first half is the next
        // one, so that the order is kept.
        let mut open = Vec::from_iter(std::iter::once(lane));
        while let Some(range) = open.pop() {
            match self.until_answered(|| self.publisher.publish(&messages[range.clone()])).await {
                Ok(()) => {}
                Err(PublishError::Refused(_)) if range.len() > 1 => {
                    let middle = range.start + range.len() / 2;
                    open.extend([middle..range.end, range.start..middle]);
                }
                Err(PublishError::Refused(cause)) => {
                    tracing::debug!(%cause, "Pub/Sub rejected a message that was sent alone");
                    refused.push(range.start);
                }
                Err(error) => return Err(error),
            }
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
        outgoing::Outgoing,
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

    /// A Pub/Sub that fails two of three requests, and remembers what it took.
    #[derive(Clone, Default)]
    struct Flaky {
        requests: Arc<AtomicUsize>,
        taken: Arc<Mutex<Vec<Taken>>>,
    }

    /// The ordering key of a message, and its bytes.
    type Taken = (String, Vec<u8>);

    impl Publish for Flaky {
        async fn publish(&self, batch: &[Message]) -> Result<(), PublishError> {
            let request = self.requests.fetch_add(1, Ordering::Relaxed);
            // Requests of other lanes overtake this one.
            tokio::time::sleep(Duration::from_millis(request as u64 * 7 % 5)).await;
            assert!(batch.iter().all(|message| message.lane() == batch[0].lane()), "one lane a request");
            if !request.is_multiple_of(3) {
                return Err(PublishError::Unavailable(cause()));
            }
            let taken = batch.iter().map(|m| (m.lane().key().to_owned(), m.out().encoded().to_vec()));
            self.taken.lock().expect("no panic").extend(taken);
            Ok(())
        }

        async fn publish_mark(&self, _: &Mark) -> Result<(), PublishError> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lanes_keep_their_order_through_failures() {
        // More lanes than are published at a time.
        let keys = 3 * LANES as u64;
        let mut batch = keyed(keys * 4, |offset| format!("{{\"k\":\"k{}\"}}", offset % keys));
        batch.sort_by(|a, b| a.lane().cmp(b.lane()));
        let metrics = ConnectorMetrics::new(&service::Metrics::default());
        let delivery = Delivery::new(Flaky::default(), metrics, Readiness::default());
        assert_eq!(delivery.batch(&batch).await.expect("it is published"), Vec::<usize>::new());
        let mut taken = delivery.publisher.taken.lock().expect("no panic").clone();
        assert_eq!(taken.len(), batch.len(), "each message is taken once");
        // Stable: within a lane, in the order in which they were taken.
        taken.sort_by(|(a, _), (b, _)| a.cmp(b));
        let sent: Vec<_> = batch.iter().map(|m| m.out().encoded().to_vec()).collect();
        assert_eq!(taken.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), sent);
    }

    fn cause() -> Cause {
        "for its own sake".into()
    }

    fn messages(count: u64) -> Vec<Message> {
        keyed(count, |_| "{}".to_owned())
    }

    /// Messages of these events, by offset, with the ordering key at `/k`.
    fn keyed(count: u64, event: impl Fn(u64) -> String) -> Vec<Message> {
        let settings: AnonymiseSettings = toml::from_str("forward = \"all\"").expect("settings");
        let pubsub = "project = 'test-project'\ntopic = 'events'\nordering_key = '/k'";
        let outgoing = Outgoing::new(&toml::from_str(pubsub).expect("settings"));
        let mut anonymiser = Anonymiser::new(&settings, None, None).expect("rules").with_outgoing(outgoing);
        let partition =
            Partition { topic: "events".into(), incarnation: Incarnation::from("i"), partition: 0 };
        let (mut encoder, origin) = (Encoder::default(), Origin::new(partition));
        let message = |offset| {
            let event = event(offset);
            let raw = Raw { topic: "events", value: Some(event.as_bytes()), key: None, headers: &[] };
            let event = anonymiser.anonymise(&raw).expect("an event");
            Message::new(&mut encoder, &event, &origin, offset, None).expect("small")
        };
        (0..count).map(message).collect()
    }

    fn mark() -> Mark {
        Mark {
            version: Mark::VERSION,
            replica: "r".to_owned(),
            sequence: 1,
            partitions: Vec::new(),
            topics: Vec::new(),
            outputs: Vec::new(),
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
