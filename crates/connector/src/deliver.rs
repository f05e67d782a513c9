//! Bringing one batch or one mark to Pub/Sub: again and again until it is there.
//!
//! Not here: permits, and what an acknowledgement means.

use std::{sync::Arc, time::Duration};

use event::Mark;
use service::{Backoff, Readiness};

use crate::{
    message::{Message, Publish, PublishError},
    metrics::ConnectorMetrics,
    outage::Outage,
};

/// The readiness condition of Pub/Sub.
pub(crate) const PUBSUB: &str = "pubsub";

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What every delivery shares.
#[derive(Clone)]
pub(crate) struct Delivery<P> {
    pub(crate) publisher: P,
    pub(crate) outage: Arc<Outage>,
    pub(crate) metrics: ConnectorMetrics,
    pub(crate) readiness: Readiness,
}

impl<P: Publish> Delivery<P> {
    /// Delivers a batch. Which of its messages Pub/Sub refuses, whatever is tried, while it takes the others.
    pub(crate) async fn batch(&self, messages: &[Message]) -> Result<Vec<usize>, PublishError> {
        let mut refused = Vec::new();
        // Halves of what is refused, until the messages stand that are meant.
        let mut open = Vec::from_iter(std::iter::once(0..messages.len()));
        while let Some(range) = open.pop() {
            match self.until_answered(|| self.publisher.publish(&messages[range.clone()])).await {
                Ok(()) => {}
                Err(PublishError::Refused(_)) if range.len() > 1 => {
                    let middle = range.start + range.len() / 2;
                    open.extend([range.start..middle, middle..range.end]);
                }
                // Only beside messages that pass is it the message that is at fault.
                Err(PublishError::Refused(_)) if refused.len() + 1 < messages.len() => {
                    refused.push(range.start);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(refused)
    }

    /// Delivers a mark.
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
                            action = "see the network, Google Cloud's status, and whether the service account may publish; nothing is lost while Kafka keeps the records",
                            "Pub/Sub does not take messages; trying until it does"
                        );
                        self.readiness.set(PUBSUB, Err("Pub/Sub does not answer".to_owned()));
                    }
                }
                answer => {
                    if let Some(length) = self.outage.worked() {
                        tracing::info!(seconds = length.as_secs(), "Pub/Sub takes messages again");
                    }
                    if answer.is_ok() {
                        self.readiness.set(PUBSUB, Ok(()));
                    }
                    return answer;
                }
            }
            tokio::time::sleep(backoff.next(random())).await;
        }
    }
}

/// An even draw from 0 to 1, to spread the attempts of many replicas.
fn random() -> f64 {
    getrandom::u32().map_or(1.0, |draw| f64::from(draw) / f64::from(u32::MAX))
}
