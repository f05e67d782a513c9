//! Receiving: parallel streaming pulls of one subscription into one bounded channel.
//!
//! Leases of messages that were received and not yet acknowledged are extended for up to [`MAX_LEASE`], whatever
//! becomes of the stream that brought them. Acks are sent in batches within 100 ms and not confirmed: an ack that is
//! lost on the way means a redelivery, as at-least-once delivery has anyway.
//!
//! Not here: de-duplication (the processor's frontier), and what a message means.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use event::EventTime;
use google_cloud_pubsub::{
    model::Message,
    subscriber::{MessageStream, ShutdownBehavior, handler::Handler},
};
use google_cloud_wkt::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    connection::Connection,
    error::Error,
    link::{Link, LinkWatch},
};

/// A message that was not acknowledged for so long is delivered again.
pub const MAX_LEASE: Duration = Duration::from_secs(3_600);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What to pull and how much at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// `projects/P/subscriptions/S`.
    pub subscription: String,
    /// Parallel streaming pulls: Pub/Sub gives one stream about 10 MB/s, its emulator about 1,900 messages/s.
    pub streams: usize,
    /// Messages received and not yet acknowledged, over all streams: what arrives between two checkpoints.
    pub outstanding_messages: usize,
    /// Their bytes.
    pub outstanding_bytes: u64,
    /// Messages that wait in the channel.
    pub buffer: usize,
}

/// A running subscription. Dropping it stops pulling; [`close`](Self::close) also waits for the last acks.
#[derive(Debug)]
pub struct Subscription {
    inbound: mpsc::Receiver<Result<Inbound, Error>>,
    link: watch::Receiver<Link>,
    stop: CancellationToken,
    pumps: JoinSet<JoinSet<()>>,
    watch: JoinSet<()>,
}

/// A received message.
#[derive(Debug)]
pub struct Inbound {
    /// The payload.
    pub data: Bytes,
    /// Names and values.
    pub attributes: HashMap<String, String>,
    /// Pub/Sub's own id; another one for each time it was published.
    pub message_id: String,
    /// When Pub/Sub received it.
    pub publish_time: EventTime,
    /// Counted only by subscriptions with a dead-letter topic.
    pub delivery_attempt: Option<i32>,
    /// Acknowledges it.
    pub ack: AckHandle,
}

/// Acknowledges one message, once. It holds an id (some 200 bytes on Google Cloud), not the payload. Dropped without
/// a word it is a nack: the message comes again.
#[derive(Debug)]
#[must_use = "dropping the handle has the message delivered again"]
pub struct AckHandle(Handler);

impl SubscribeOptions {
    /// Eight streams, 200,000 messages or 256 MiB outstanding, 10,000 waiting.
    pub fn new(subscription: impl Into<String>) -> Self {
        Self {
            subscription: subscription.into(),
            streams: 8,
            outstanding_messages: 200_000,
            outstanding_bytes: 256 << 20,
            buffer: 10_000,
        }
    }
}

impl Connection {
    /// Starts pulling. Where Pub/Sub is down, that is said once and waited for.
    pub fn subscribe(&self, options: &SubscribeOptions) -> Subscription {
        let (outlet, inbound) = mpsc::channel(options.buffer.max(1));
        let (state, link) = watch::channel(Link::default());
        let (stop, received) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let mut pumps = JoinSet::new();
        for _ in 0..options.streams.max(1) {
            let pump = Pump {
                connection: self.clone(),
                options: options.clone(),
                outlet: outlet.clone(),
                received: Arc::clone(&received),
                link: link.clone(),
                closing: JoinSet::new(),
            };
            pumps.spawn(pump.run(stop.clone()));
        }
        let subscription = options.subscription.clone();
        let mut watch = JoinSet::new();
        watch.spawn(LinkWatch { connection: self.clone(), subscription, received, state }.run(stop.clone()));
        Subscription { inbound, link, stop, pumps, watch }
    }
}

impl Subscription {
    /// Waits for messages and moves up to `limit` of them into `batch`; how many came, 0 only after an end.
    /// Safe to cancel.
    ///
    /// # Errors
    /// When Pub/Sub refuses this subscription for good. Messages received before stand in `batch`.
    pub async fn receive(&mut self, batch: &mut Vec<Inbound>, limit: usize) -> Result<usize, Error> {
        let Some(first) = self.inbound.recv().await else { return Ok(0) };
        batch.push(first?);
        let mut count = 1;
        while count < limit
            && let Ok(next) = self.inbound.try_recv()
        {
            batch.push(next?);
            count += 1;
        }
        Ok(count)
    }

    /// Whether Pub/Sub answers; also tells of changes.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    /// Stops pulling, gives back what waits in the channel, and waits until Pub/Sub has every ack and nack. Ack or drop
    /// all handles before: as long as one is alive, this waits for it, up to `grace`.
    pub async fn close(mut self, grace: Duration) {
        self.stop.cancel();
        drop(self.inbound);
        let drain = async {
            while self.watch.join_next().await.is_some() {}
            while let Some(pump) = self.pumps.join_next().await {
                let Ok(mut closing) = pump else { continue };
                while closing.join_next().await.is_some() {}
            }
        };
        if tokio::time::timeout(grace, drain).await.is_err() {
            tracing::warn!(
                ?grace,
                action = "nothing; the processor recognises what comes twice",
                "Pub/Sub did not take the last acknowledgements; those messages will come again"
            );
        }
    }
}

impl Inbound {
    /// An attribute's value.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    fn new(message: Message, handler: Handler) -> Self {
        Self {
            data: message.data,
            attributes: message.attributes,
            message_id: message.message_id,
            publish_time: message.publish_time.map_or(EventTime(0), to_event_time),
            delivery_attempt: handler.delivery_attempt(),
            ack: AckHandle(handler),
        }
    }
}

impl AckHandle {
    /// The message's effect is durable: it need not come again.
    pub fn ack(self) {
        self.0.ack();
    }

    /// The message shall come again soon.
    pub fn nack(self) {
        self.0.nack();
    }

    /// Acknowledges many.
    pub fn ack_all(handles: impl IntoIterator<Item = Self>) {
        handles.into_iter().for_each(Self::ack);
    }
}

fn to_event_time(time: Timestamp) -> EventTime {
    EventTime(time.seconds() * 1_000 + i64::from(time.nanos()) / 1_000_000)
}

/// Moves the messages of one stream after another into the channel.
struct Pump {
    connection: Connection,
    options: SubscribeOptions,
    outlet: mpsc::Sender<Result<Inbound, Error>>,
    received: Arc<AtomicU64>,
    link: watch::Receiver<Link>,
    /// Streams that ended, until the last handle of their messages is gone.
    closing: JoinSet<()>,
}

/// Why a stream is not read any longer.
enum End {
    /// We stop.
    Stopped,
    /// Pub/Sub came back after an outage.
    Returned,
    /// The stream broke.
    Lost,
    /// Pub/Sub refuses.
    Refused(Error),
}

impl Pump {
    /// Returns the streams that still wait for handles.
    async fn run(mut self, stop: CancellationToken) -> JoinSet<()> {
        let mut pause = FIRST_PAUSE;
        loop {
            let mut stream = self.open();
            let shutdown = stream.shutdown_token();
            let before = self.received.load(Ordering::Relaxed);
            let end = self.drain(&mut stream, &stop).await;
            drop(stream);
            while self.closing.try_join_next().is_some() {}
            self.closing.spawn(async move { shutdown.shutdown().await });
            match end {
                End::Stopped => return self.closing,
                End::Returned => pause = FIRST_PAUSE,
                End::Lost => {
                    let worked = self.received.load(Ordering::Relaxed) > before;
                    pause = if worked { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
                    stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                }
                End::Refused(error) => {
                    stop.run_until_cancelled(self.outlet.send(Err(error))).await;
                    return self.closing;
                }
            }
        }
    }

    fn open(&self) -> MessageStream {
        let share = |total: usize| total.div_ceil(self.options.streams.max(1)).max(1);
        let bytes = usize::try_from(self.options.outstanding_bytes).unwrap_or(usize::MAX);
        self.connection
            .subscriber
            .subscribe(&self.options.subscription)
            .set_max_lease(MAX_LEASE)
            .set_max_lease_extension(self.connection.endpoint.lease())
            .set_max_outstanding_messages(
                i64::try_from(share(self.options.outstanding_messages)).unwrap_or(i64::MAX),
            )
            .set_max_outstanding_bytes(i64::try_from(share(bytes)).unwrap_or(i64::MAX))
            .set_shutdown_behavior(ShutdownBehavior::WaitForProcessing)
            .build()
    }

    /// Moves messages until the stream ends.
    async fn drain(&mut self, stream: &mut MessageStream, stop: &CancellationToken) -> End {
        self.link.mark_unchanged();
        loop {
            // Biased: to stop comes first, and a stream that delivers is never opened anew.
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => return End::Stopped,
                next = stream.next() => next,
                () = returned(&mut self.link) => return End::Returned,
            };
            match next {
                Some(Ok((message, handler))) => {
                    self.received.fetch_add(1, Ordering::Relaxed);
                    let send = self.outlet.send(Ok(Inbound::new(message, handler)));
                    if !matches!(stop.run_until_cancelled(send).await, Some(Ok(()))) {
                        return End::Stopped;
                    }
                }
                Some(Err(error)) => match Error::of_call(&self.options.subscription, &error) {
                    error if error.is_retryable() => return End::Lost,
                    error => return End::Refused(error),
                },
                None => return End::Lost,
            }
        }
    }
}

/// Resolves when an outage is over.
async fn returned(link: &mut watch::Receiver<Link>) {
    loop {
        if link.changed().await.is_err() {
            return std::future::pending().await;
        }
        if matches!(*link.borrow_and_update(), Link::Up { returns } if returns > 0) {
            return;
        }
    }
}
