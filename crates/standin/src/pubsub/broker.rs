//! Topics and subscriptions by name. Pure: time and randomness are arguments.
//!
//! Resources are kept and returned as the JSON in which they were created, so fields that the stand-in does not
//! support are preserved.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value};
use tonic::{Code, Status};

use super::{
    source::{ASK_AGAIN, Feed, Source},
    subscription::{Chaos, Counts, Delivery, Millis, Rules, Stored, Subscription, Window},
    wire,
};

/// The description of a resource: a JSON object.
pub(super) type Spec = Map<String, Value>;

#[derive(Debug)]
pub(super) struct Broker {
    topics: BTreeMap<String, Spec>,
    subscriptions: BTreeMap<String, (Spec, Subscription)>,
    /// The sources of messages that are generated during delivery, by subscription.
    feeds: BTreeMap<String, Feed>,
    /// How many bytes each subscription may keep.
    capacity: usize,
    next_message: u64,
    next_stream: u64,
    pub(super) chaos: Chaos,
    rng: ChaCha8Rng,
}

const DEFAULT_ACK_DEADLINE: u64 = 10;
const DEFAULT_RETENTION: &str = "604800s";
/// What Google bills of a message besides its contents: its publish time and its ID.
const BILLED_OVERHEAD: u64 = 37;
/// The least that Google bills for a request.
const BILLED_LEAST: u64 = 1_000;

impl Broker {
    pub(super) fn new(capacity: usize, seed: u64) -> Self {
        Self {
            topics: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            feeds: BTreeMap::new(),
            capacity,
            next_message: 1,
            next_stream: 1,
            chaos: Chaos::default(),
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    pub(super) fn create_topic(&mut self, name: String, mut spec: Spec) -> Result<Spec, Status> {
        if self.topics.contains_key(&name) {
            return Err(Status::already_exists(format!("Topic already exists: {name}")));
        }
        spec.insert("name".to_owned(), name.clone().into());
        self.topics.insert(name, spec.clone());
        Ok(spec)
    }

    pub(super) fn create_subscription(&mut self, name: String, mut spec: Spec) -> Result<Spec, Status> {
        if self.subscriptions.contains_key(&name) {
            return Err(Status::already_exists(format!("Subscription already exists: {name}")));
        }
        let topic = spec.get("topic").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.topic(&topic)?;
        spec.insert("name".to_owned(), name.clone().into());
        spec.insert("state".to_owned(), "ACTIVE".into());
        spec.entry("ackDeadlineSeconds").or_insert(DEFAULT_ACK_DEADLINE.into());
        spec.entry("messageRetentionDuration").or_insert(DEFAULT_RETENTION.into());
        let subscription = Subscription::new(rules(&spec, self.capacity)?);
        self.subscriptions.insert(name, (spec.clone(), subscription));
        Ok(spec)
    }

    pub(super) fn topic(&self, name: &str) -> Result<&Spec, Status> {
        self.topics.get(name).ok_or_else(|| missing("topic", name))
    }

    pub(super) fn subscription(&self, name: &str) -> Result<&Spec, Status> {
        self.subscriptions.get(name).map(|(spec, _)| spec).ok_or_else(|| missing("subscription", name))
    }

    pub(super) fn topics(&self, project: &str) -> Vec<Spec> {
        let inside = format!("{project}/topics/");
        self.topics
            .iter()
            .filter(|(name, _)| name.starts_with(&inside))
            .map(|(_, spec)| spec.clone())
            .collect()
    }

    pub(super) fn subscriptions(&self, project: &str) -> Vec<Spec> {
        let inside = format!("{project}/subscriptions/");
        let ours = self.subscriptions.iter().filter(|(name, _)| name.starts_with(&inside));
        ours.map(|(_, (spec, _))| spec.clone()).collect()
    }

    /// Its subscriptions remain, and receive no more messages.
    pub(super) fn delete_topic(&mut self, name: &str) -> Result<(), Status> {
        self.topics.remove(name).ok_or_else(|| missing("topic", name))?;
        for (spec, _) in self.subscriptions.values_mut() {
            if is_of(spec, name) {
                spec.insert("topic".to_owned(), "_deleted-topic_".into());
            }
        }
        Ok(())
    }

    pub(super) fn delete_subscription(&mut self, name: &str) -> Result<(), Status> {
        self.feeds.remove(name);
        self.subscriptions.remove(name).map(|_| ()).ok_or_else(|| missing("subscription", name))
    }

    /// Publishes encoded messages, all or none, and returns their IDs.
    pub(super) fn publish(
        &mut self,
        topic: &str,
        messages: &[Bytes],
        now: Millis,
    ) -> Result<Vec<String>, Status> {
        self.topic(topic)?;
        if messages.is_empty() || messages.len() > 1_000 || messages.iter().any(Bytes::is_empty) {
            return Err(Status::invalid_argument(
                "a request must have 1 to 1,000 messages, none of them empty",
            ));
        }
        let outlines: Option<Vec<_>> = messages.iter().map(|message| wire::outline(message)).collect();
        let Some(outlines) =
            outlines.filter(|all| all.iter().all(|other| other.ordering_key == all[0].ordering_key))
        else {
            return Err(Status::invalid_argument(
                "all messages of a request must have the same ordering key",
            ));
        };
        let billed = outlines.iter().map(|outline| outline.contents + BILLED_OVERHEAD).sum::<u64>();
        // An ID and a time take about 30 bytes.
        let bytes: usize = messages.iter().map(|message| message.len() + 32).sum();
        if bytes > 10_100_000 {
            return Err(Status::invalid_argument("a request must not exceed 10 MB"));
        }
        let mut targets: Vec<_> =
            self.subscriptions.values_mut().filter(|(spec, _)| is_of(spec, topic)).collect();
        if targets.iter().any(|(_, subscription)| !subscription.has_room(bytes)) {
            return Err(Status::resource_exhausted("a subscription has too many unacknowledged messages"));
        }
        let ids = self.next_message..self.next_message + messages.len() as u64;
        self.next_message = ids.end;
        let mut buffer = BytesMut::with_capacity(bytes);
        for (message, id) in messages.iter().zip(ids.clone()) {
            let stored = Stored { published: now, raw: wire::with_receipt(message, id, now, &mut buffer) };
            for (_, subscription) in &mut targets {
                subscription.push(stored.clone());
            }
        }
        for (_, subscription) in &mut targets {
            subscription.billed += billed.max(BILLED_LEAST);
            subscription.advance(now);
        }
        Ok(ids.map(|id| id.to_string()).collect())
    }

    /// Adds a source of messages to a subscription, in addition to published messages. Replaces an earlier source.
    pub(super) fn fill(
        &mut self,
        subscription: &str,
        source: Box<dyn Source>,
        ahead: usize,
    ) -> Result<(), Status> {
        self.state(subscription)?;
        self.feeds.insert(subscription.to_owned(), Feed::new(source, ahead));
        Ok(())
    }

    /// Opens a stream and returns its number.
    pub(super) fn open_stream(&mut self, subscription: &str, window: Window) -> Result<u64, Status> {
        let stream = self.next_stream;
        self.state(subscription)?.open_stream(stream, window);
        self.next_stream += 1;
        Ok(stream)
    }

    pub(super) fn close_stream(&mut self, subscription: &str, stream: u64) {
        if let Ok(subscription) = self.state(subscription) {
            subscription.close_stream(stream);
        }
    }

    /// Up to 1,000 messages for a stream, and when to check again if nothing happens before.
    pub(super) fn take(
        &mut self,
        subscription: &str,
        stream: u64,
        limit: usize,
        now: Millis,
    ) -> Result<(Vec<Delivery>, Option<Millis>), Status> {
        let (_, state) =
            self.subscriptions.get_mut(subscription).ok_or_else(|| missing("subscription", subscription))?;
        let feed = self.feeds.get_mut(subscription);
        let ask_again = feed.is_some().then_some(now + ASK_AGAIN);
        if let Some(feed) = feed {
            feed.fill(state, &mut self.next_message, now);
        }
        let deliveries = state.take(stream, limit.min(1_000), now, (self.chaos, &mut self.rng));
        Ok((deliveries, state.next_due().into_iter().chain(ask_again).min()))
    }

    pub(super) fn ack(&mut self, subscription: &str, ids: &[Bytes], now: Millis) -> Result<(), Status> {
        let state = self.state(subscription)?;
        state.advance(now);
        ids.iter().filter_map(lease).for_each(|id| state.ack(id));
        Ok(())
    }

    pub(super) fn extend(
        &mut self,
        subscription: &str,
        ids: &[Bytes],
        seconds: i32,
        now: Millis,
    ) -> Result<(), Status> {
        let state = self.state(subscription)?;
        state.advance(now);
        ids.iter().filter_map(lease).for_each(|id| state.extend(id, seconds, now));
        Ok(())
    }

    pub(super) fn seek(&mut self, subscription: &str, time: Millis) -> Result<(), Status> {
        self.state(subscription).map(|state| state.seek(time))
    }

    pub(super) fn counts(&self, subscription: &str) -> Option<Counts> {
        self.subscriptions.get(subscription).map(|(_, state)| state.counts())
    }

    pub(super) fn received(&self, subscription: &str) -> Option<u64> {
        self.subscriptions.get(subscription).map(|(_, state)| state.received())
    }

    pub(super) fn billed(&self, subscription: &str) -> Option<u64> {
        self.subscriptions.get(subscription).map(|(_, state)| state.billed)
    }

    pub(super) fn kept(&self, subscription: &str) -> Vec<Bytes> {
        let found = self.subscriptions.get(subscription);
        found.map(|(_, state)| state.kept().cloned().collect()).unwrap_or_default()
    }

    fn state(&mut self, name: &str) -> Result<&mut Subscription, Status> {
        self.subscriptions.get_mut(name).map(|(_, state)| state).ok_or_else(|| missing("subscription", name))
    }
}

/// The number of the lease in an ack ID; `None` if the ID is invalid.
fn lease(id: &Bytes) -> Option<u64> {
    str::from_utf8(id).ok()?.parse().ok()
}

fn is_of(spec: &Spec, topic: &str) -> bool {
    spec.get("topic").and_then(Value::as_str) == Some(topic)
}

fn missing(kind: &str, name: &str) -> Status {
    Status::new(Code::NotFound, format!("Resource not found ({kind}={name})"))
}

fn rules(spec: &Spec, capacity: usize) -> Result<Rules, Status> {
    let seconds = spec.get("ackDeadlineSeconds").and_then(Value::as_u64).unwrap_or(DEFAULT_ACK_DEADLINE);
    let retention = spec.get("messageRetentionDuration").and_then(Value::as_str).unwrap_or(DEFAULT_RETENTION);
    let retention: f64 =
        retention.strip_suffix('s').and_then(|seconds| seconds.parse().ok()).ok_or_else(|| {
            Status::invalid_argument("invalid messageRetentionDuration; expected for example \"604800s\"")
        })?;
    Ok(Rules {
        ack_deadline: seconds.max(1) * 1_000,
        retain_acked: spec.get("retainAckedMessages").and_then(Value::as_bool).unwrap_or(false),
        retention: (retention * 1_000.0) as Millis,
        capacity,
    })
}
