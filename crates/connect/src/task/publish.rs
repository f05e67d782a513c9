//! A batch to Pub/Sub, until Pub/Sub has it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use pubsub::{Error, Publisher};
use service::Backoff;

use super::{Limits, Task, TaskMetrics, chain, intake::Batch};
use crate::pipeline::Message;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The publisher of a task. Cheap to clone.
#[derive(Clone)]
pub(super) struct Publishing {
    publisher: Publisher,
    topic: Arc<str>,
    connector: Arc<str>,
    metrics: TaskMetrics,
    limits: Limits,
    /// Whether messages have ordering keys: then a request has messages of one key only.
    pub(super) is_ordered: bool,
}

impl Publishing {
    pub(super) fn new(task: &Task, limits: Limits, is_ordered: bool) -> Self {
        let values = &task.connector.values;
        let text = |key| values.text(key).unwrap_or_default();
        Self {
            publisher: task.publisher.clone(),
            topic: format!("projects/{}/topics/{}", text("cps.project"), text("cps.topic")).into(),
            connector: task.connector.name.as_str().into(),
            metrics: task.metrics.clone(),
            limits,
            is_ordered,
        }
    }

    /// Publishes the messages of a batch, and returns the places of those that Pub/Sub refuses even alone.
    ///
    /// # Errors
    /// If nothing can be published: the topic or a permission is missing, or the topic refuses every message.
    pub(super) async fn batch(&self, batch: &Batch) -> Result<Vec<usize>, String> {
        let all: Vec<usize> = (0..batch.messages.len()).collect();
        if all.is_empty() {
            return Ok(all);
        }
        if !self.is_ordered {
            return self.lane(&batch.messages, all).await;
        }
        let mut lanes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for place in all {
            lanes.entry(batch.messages[place].ordering_key()).or_default().push(place);
        }
        // The messages of a key stay in order, because all of them in a batch are one lane.
        let lanes: Vec<_> = lanes.into_values().map(|places| self.lane(&batch.messages, places)).collect();
        let done = stream::iter(lanes).buffer_unordered(self.limits.requests);
        let mut refused = done.try_concat().await?;
        refused.sort_unstable();
        Ok(refused)
    }

    /// Messages of one ordering key, in order. Halves what Pub/Sub refuses until the refused messages are alone.
    async fn lane(&self, messages: &[Message], places: Vec<usize>) -> Result<Vec<usize>, String> {
        let mut refused = Vec::new();
        let mut open = vec![places];
        while let Some(places) = open.pop() {
            match self.until_answered(messages, &places).await {
                Ok(()) => {}
                Err(error) if error.is_about_messages() && places.len() > 1 => {
                    let (first, second) = places.split_at(places.len() / 2);
                    open.extend([second.to_vec(), first.to_vec()]);
                }
                Err(error) if error.is_about_messages() => refused.extend(places),
                Err(error) => return Err(chain(&error)),
            }
        }
        Ok(refused)
    }

    async fn until_answered(&self, messages: &[Message], places: &[usize]) -> Result<(), Error> {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let start = Instant::now();
        let mut is_logged = false;
        loop {
            let batch = places.iter().map(|place| messages[*place].out());
            let answer =
                tokio::time::timeout(self.limits.request, self.publisher.publish(&self.topic, batch));
            let reason = match answer.await {
                Err(_) => "no answer in maxRequestTimeoutMs".to_owned(),
                Ok(Err(error @ (Error::Unavailable { .. } | Error::NoToken { .. }))) => chain(&error),
                Ok(answer) => {
                    if is_logged && answer.is_ok() {
                        tracing::info!("publishing to Pub/Sub again");
                    }
                    return answer;
                }
            };
            tracing::debug!(reason, "a request failed; retrying");
            self.metrics.retried(&self.connector);
            if !is_logged && start.elapsed() >= self.limits.total {
                is_logged = true;
                tracing::error!(
                    topic = &*self.topic,
                    seconds = start.elapsed().as_secs(),
                    reason,
                    action = "check the network, the status of Google Cloud, and that the service account has roles/pubsub.publisher; no record is lost while Kafka retains it",
                    "cannot publish to Pub/Sub; retrying"
                );
            }
            tokio::time::sleep(backoff.next(random())).await;
        }
    }
}

/// From 0 to 1. Without randomness the delays are only longer.
fn random() -> f64 {
    getrandom::u32().map_or(1.0, |number| f64::from(number) / f64::from(u32::MAX))
}
