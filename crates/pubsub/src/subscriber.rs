//! Receives messages: several streaming pulls, of one subscription or of several, feed one bounded channel.
//!
//! Bypasses Google's subscriber, which creates a hash map, two strings and a lease for every message; that took 60 %
//! of the processor's time. Here the unit is the response: its bytes are kept unchanged, it is leased and
//! acknowledged as a whole, and only its ack IDs wait for a checkpoint. Leases are extended for up to [`MAX_LEASE`],
//! independent of the stream that delivered the messages. Acknowledgements are sent immediately and not confirmed.
//!
//! Delivery is at least once: the caller removes duplicates.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    connection::Connection,
    error::Error,
    keeper::{Keeper, Register},
    leases::{Leases, Terms},
    link::{Link, LinkWatch},
    pull::{Opening, Pull},
    received::Messages,
};

/// A message that is not acknowledged within this time is redelivered.
pub const MAX_LEASE: Duration = Duration::from_secs(3_600);
/// Responses that wait in the channel, for each stream.
const RESPONSES_AHEAD: usize = 2;

/// What to pull, and the limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// `projects/P/subscriptions/S` of each. Their messages arrive together, in no particular order.
    pub subscriptions: Vec<String>,
    /// Number of parallel streaming pulls of each subscription: Pub/Sub delivers about 10 MB/s on one stream, its emulator about 1,900
    /// messages/s.
    pub streams: usize,
    /// Maximum number of messages that are received and not yet acknowledged, over all streams of all subscriptions: what arrives between
    /// two checkpoints. Up to half as many more while streams break.
    pub outstanding_messages: usize,
    /// Maximum size of these messages in bytes.
    pub outstanding_bytes: u64,
}

/// A running subscription. Dropping it stops everything; [`close`](Self::close) also waits for the last
/// acknowledgements.
#[derive(Debug)]
pub struct Subscription {
    inbound: mpsc::Receiver<Result<Inbound, Error>>,
    links: Vec<watch::Receiver<Link>>,
    /// Stops the streams.
    stop: CancellationToken,
    streams: JoinSet<()>,
    /// Stops the loop that sends acknowledgements, after the streams have ended.
    closing: CancellationToken,
    keeper: JoinSet<()>,
}

/// The messages of one response.
#[derive(Debug)]
pub struct Inbound {
    /// The messages.
    pub messages: Messages,
    /// Acknowledges all of them.
    pub ack: AckHandle,
}

/// Acknowledges the messages of one response, once. The handle is only a number; the ack IDs are kept with the
/// leases. Dropping it without [`ack`](Self::ack) is a nack: the messages are redelivered.
#[derive(Debug)]
#[must_use = "dropping the handle returns its messages for redelivery"]
pub struct AckHandle {
    register: Arc<Register>,
    number: u64,
    is_acked: bool,
}

impl SubscribeOptions {
    /// The defaults: eight streams, 200,000 messages or 256 MiB outstanding.
    pub fn new(subscription: impl Into<String>) -> Self {
        Self {
            subscriptions: vec![subscription.into()],
            streams: 8,
            outstanding_messages: 200_000,
            outstanding_bytes: 256 << 20,
        }
    }

    /// The first request of a stream, with its share of the limits.
    fn opening(&self, subscription: &str, lease: Duration, client_id: String) -> Opening {
        let streams = (self.streams * self.subscriptions.len()).max(1) as u64;
        let share = |total: u64| total.div_ceil(streams).max(1);
        let bounded = |total: u64| i64::try_from(share(total)).unwrap_or(i64::MAX);
        Opening {
            subscription: subscription.to_owned(),
            stream_ack_deadline_seconds: i32::try_from(lease.as_secs()).unwrap_or(i32::MAX),
            client_id,
            max_outstanding_messages: bounded(self.outstanding_messages as u64),
            max_outstanding_bytes: bounded(self.outstanding_bytes),
            protocol_version: 1,
        }
    }
}

impl Connection {
    /// Starts pulling. If Pub/Sub is unavailable, this is logged once, and the streams wait.
    pub fn subscribe(&self, options: &SubscribeOptions) -> Subscription {
        let streams = options.streams.max(1);
        let (outlet, inbound) = mpsc::channel(streams * options.subscriptions.len().max(1) * RESPONSES_AHEAD);
        let (stop, closing) = (CancellationToken::new(), CancellationToken::new());
        let terms = Terms { lease: self.endpoint.lease(), longest: MAX_LEASE };
        let (channel, client) = (self.address.connect_lazy(), client_id());
        let (mut links, mut tasks, mut keeper) = (Vec::new(), JoinSet::new(), JoinSet::new());
        for subscription in &options.subscriptions {
            let (state, link) = watch::channel(Link::default());
            let received = Arc::new(AtomicU64::new(0));
            let register = Arc::new(Register::new(Leases::new(subscription, terms, streams)));
            for number in 0..streams {
                let pull = Pull {
                    channel: channel.clone(),
                    credentials: self.caller.credentials.clone(),
                    opening: options.opening(subscription, terms.lease, format!("{client}-{number}")),
                    number,
                    register: Arc::clone(&register),
                    outlet: outlet.clone(),
                    received: Arc::clone(&received),
                    link: link.clone(),
                };
                tasks.spawn(pull.run(stop.clone()));
            }
            let watch =
                LinkWatch { connection: self.clone(), subscription: subscription.clone(), received, state };
            tasks.spawn(watch.run(stop.clone()));
            let subscription = subscription.as_str().into();
            let loop_of_leases = Keeper { register, caller: self.caller.clone(), subscription };
            keeper.spawn(loop_of_leases.run(closing.clone()));
            links.push(link);
        }
        Subscription { inbound, links, stop, streams: tasks, closing, keeper }
    }
}

impl Subscription {
    /// Waits for messages and moves available responses into `batch`, until it holds at least `enough` more messages.
    /// Returns the number of messages, 0 only after the subscription has ended. Cancel-safe.
    ///
    /// # Errors
    /// If Pub/Sub refuses this subscription permanently. Messages received before are in `batch`.
    pub async fn receive(&mut self, batch: &mut Vec<Inbound>, enough: usize) -> Result<usize, Error> {
        let Some(first) = self.inbound.recv().await else { return Ok(0) };
        let mut count = push(batch, first)?;
        while count < enough
            && let Ok(next) = self.inbound.try_recv()
        {
            count += push(batch, next)?;
        }
        Ok(count)
    }

    /// Whether Pub/Sub answers for each subscription, with notifications of changes.
    pub fn links(&self) -> &[watch::Receiver<Link>] {
        &self.links
    }

    /// Stops pulling, returns the messages that wait in the channel, and waits until Pub/Sub has all acknowledgements
    /// and nacks. Acknowledge or drop all handles first: `close` waits for each remaining one, up to `grace`.
    pub async fn close(mut self, grace: Duration) {
        self.stop.cancel();
        drop(self.inbound);
        let drain = async {
            while self.streams.join_next().await.is_some() {}
            self.closing.cancel();
            while self.keeper.join_next().await.is_some() {}
        };
        if tokio::time::timeout(grace, drain).await.is_err() {
            tracing::warn!(
                ?grace,
                action = "none; the processor drops the duplicates",
                "the last acknowledgements failed; those messages will be redelivered"
            );
        }
    }
}

fn push(batch: &mut Vec<Inbound>, received: Result<Inbound, Error>) -> Result<usize, Error> {
    let inbound = received?;
    let count = inbound.messages.len();
    batch.push(inbound);
    Ok(count)
}

/// An ID that distinguishes this subscriber from others of its subscription.
fn client_id() -> String {
    format!("aqueduct-{:016x}", std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), ()))
}

impl AckHandle {
    pub(crate) fn new(register: Arc<Register>, number: u64) -> Self {
        Self { register, number, is_acked: false }
    }

    /// Acknowledges the messages: their effect is durable.
    pub fn ack(mut self) {
        self.is_acked = true;
        self.register.settle(|leases| leases.acknowledge(self.number));
    }

    /// Acknowledges many responses.
    pub fn ack_all(handles: impl IntoIterator<Item = Self>) {
        handles.into_iter().for_each(Self::ack);
    }
}

impl Drop for AckHandle {
    fn drop(&mut self) {
        if !self.is_acked {
            self.register.settle(|leases| leases.give_back(self.number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_share_the_outstanding_limit() {
        let options = SubscribeOptions { streams: 3, outstanding_messages: 10, ..SubscribeOptions::new("s") };
        let opening = options.opening("s", Duration::from_secs(60), "c".to_owned());
        assert_eq!((opening.max_outstanding_messages, opening.stream_ack_deadline_seconds), (4, 60));
        assert_eq!(opening.max_outstanding_bytes, (256_i64 << 20) / 3 + 1);
        let few = SubscribeOptions { streams: 3, outstanding_messages: 0, ..options };
        assert_eq!(few.opening("s", Duration::from_secs(60), String::new()).max_outstanding_messages, 1);
        let both = vec!["s".to_owned(), "t".to_owned()];
        let two = SubscribeOptions { subscriptions: both, streams: 3, outstanding_messages: 10, ..few };
        let opening = two.opening("t", Duration::from_secs(60), "c".to_owned());
        assert_eq!((&*opening.subscription, opening.max_outstanding_messages), ("t", 2));
    }
}
