//! The running stand-in: its port, its clock, its tasks.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::serve::Listener;
use bytes::Bytes;
use tokio::{net::TcpListener, sync::Notify, task::JoinSet, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    broker::Broker,
    faults::{self, Faults},
    grpc, rest,
    source::Source,
    subscription::{Counts, Millis},
};
use crate::prompt::prompt;
#[cfg(feature = "tls")]
use crate::tls::{Identity, Secured};

/// Options of the server.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address to listen on; port 0 selects a free port.
    pub address: SocketAddr,
    /// How many bytes of messages each subscription keeps. Acknowledged messages are deleted first. If unacknowledged
    /// ones fill it, publishing is answered with RESOURCE_EXHAUSTED.
    pub capacity: usize,
    /// The seed of the random faults.
    pub seed: u64,
    /// The certificate for an additional TLS port, which is selected automatically; `None` for no TLS.
    #[cfg(feature = "tls")]
    pub tls: Option<Identity>,
}

/// A running stand-in for Pub/Sub. Dropping it stops it.
#[derive(Debug)]
pub struct PubSub {
    address: SocketAddr,
    #[cfg(feature = "tls")]
    secured: Option<SocketAddr>,
    shared: Shared,
    server: JoinSet<()>,
}

/// The stand-in cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("the Pub/Sub stand-in cannot listen on {address}; choose another port")]
pub struct StartError {
    address: SocketAddr,
    source: std::io::Error,
}

/// The subscription does not exist.
#[derive(Debug, thiserror::Error)]
#[error("the Pub/Sub stand-in has no subscription {0}; create it first")]
pub struct NoSubscription(String);

/// The state that all calls share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    broker: Arc<Mutex<Broker>>,
    /// Notified whenever a message may have become deliverable.
    pub(super) wake: Arc<Notify>,
    pub(super) faults: Faults,
    pub(super) stop: CancellationToken,
    pub(super) streams: TaskTracker,
    clock: Clock,
    /// How many publish requests were compressed on their way.
    compressed: Arc<AtomicU64>,
}

/// Wall-clock time derived from tokio's clock, so that tests can pause it.
#[derive(Clone, Copy, Debug)]
struct Clock {
    started: Instant,
    started_millis: Millis,
}

impl Default for Options {
    /// A free port on this machine, 256 MiB, seed 0.
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            capacity: 256 << 20,
            seed: 0,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl PubSub {
    /// Listens and serves.
    ///
    /// # Errors
    /// If the address is in use.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let failed = |source| StartError { address: options.address, source };
        let listener = TcpListener::bind(options.address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Shared::new(&options);
        let mut server = JoinSet::new();
        server.spawn(serve(prompt(listener), shared.clone()));
        #[cfg(feature = "tls")]
        let secured = match &options.tls {
            Some(identity) => {
                let listener = TcpListener::bind((address.ip(), 0)).await.map_err(failed)?;
                let secured = listener.local_addr().map_err(failed)?;
                server.spawn(serve(Secured::new(prompt(listener), identity), shared.clone()));
                Some(secured)
            }
            None => None,
        };
        Ok(Self {
            address,
            #[cfg(feature = "tls")]
            secured,
            shared,
            server,
        })
    }

    /// `host:port`, in the format of `PUBSUB_EMULATOR_HOST`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The address of the TLS port; `None` without TLS.
    #[cfg(feature = "tls")]
    pub fn secured(&self) -> Option<SocketAddr> {
        self.secured
    }

    /// Controls the faults of this server.
    pub fn faults(&self) -> Faults {
        self.shared.faults.clone()
    }

    /// How many messages of `projects/P/subscriptions/S` are in which state; `None` if it does not exist.
    pub fn counts(&self, subscription: &str) -> Option<Counts> {
        self.shared.broker().counts(subscription)
    }

    /// How many messages `projects/P/subscriptions/S` has ever received; `None` if it does not exist.
    pub fn received(&self, subscription: &str) -> Option<u64> {
        self.shared.broker().received(subscription)
    }

    /// How many bytes Google would bill for publishing the messages of `projects/P/subscriptions/S`; `None` if it does
    /// not exist. Those are data, attributes and ordering keys, 37 bytes a message for its publish time and ID, and at
    /// least 1,000 bytes a request.
    pub fn billed(&self, subscription: &str) -> Option<u64> {
        self.shared.broker().billed(subscription)
    }

    /// How many publish requests were compressed on their way.
    pub fn compressed(&self) -> u64 {
        self.shared.compressed.load(Ordering::Relaxed)
    }

    /// The encoded messages that `projects/P/subscriptions/S` keeps, in the order of publishing; empty if it does not
    /// exist.
    pub fn kept(&self, subscription: &str) -> Vec<Bytes> {
        self.shared.broker().kept(subscription)
    }

    /// From now on, `projects/P/subscriptions/S` also receives the messages of a source, generated this many messages
    /// ahead of their delivery. Generated messages are kept until they are acknowledged, whatever `capacity` is.
    ///
    /// # Errors
    /// If the subscription does not exist.
    pub fn fill(
        &self,
        subscription: &str,
        source: impl Source + 'static,
        ahead: usize,
    ) -> Result<(), NoSubscription> {
        let filled = self.shared.broker().fill(subscription, Box::new(source), ahead);
        self.shared.wake.notify_waiters();
        filled.map_err(|_| NoSubscription(subscription.to_owned()))
    }

    /// Ends open streams and stops the server. Waits a moment for clients to disconnect, then closes their
    /// connections.
    pub async fn stop(mut self) {
        self.shared.stop.cancel();
        self.shared.streams.close();
        self.shared.streams.wait().await;
        let drained = async { while self.server.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_secs(1), drained).await.is_err() {
            self.server.shutdown().await;
        }
    }
}

async fn serve<L: Listener<Addr = SocketAddr>>(listener: L, shared: Shared) {
    let stopped = shared.stop.clone().cancelled_owned();
    let service = grpc::routes(shared.clone()).merge(rest::routes(shared));
    // Ends without an error, on the shutdown signal.
    let _ = axum::serve(listener, service).with_graceful_shutdown(stopped).await;
}

impl Drop for PubSub {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Shared {
    fn new(options: &Options) -> Self {
        let broker = Arc::new(Mutex::new(Broker::new(options.capacity, options.seed)));
        let wake = Arc::new(Notify::new());
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            faults: Faults::new(Arc::clone(&broker), Arc::clone(&wake)),
            broker,
            wake,
            stop: CancellationToken::new(),
            streams: TaskTracker::new(),
            clock: Clock { started: Instant::now(), started_millis: since_epoch.as_millis() as Millis },
            compressed: Arc::default(),
        }
    }

    pub(super) fn note_compressed(&self) {
        self.compressed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn broker(&self) -> MutexGuard<'_, Broker> {
        faults::locked(&self.broker)
    }

    pub(super) fn now(&self) -> Millis {
        self.clock.started_millis + self.clock.started.elapsed().as_millis() as Millis
    }

    /// The instant at which the clock shows `time`.
    pub(super) fn instant(&self, time: Millis) -> Instant {
        self.clock.started + Duration::from_millis(time.saturating_sub(self.clock.started_millis))
    }

    /// Waits for the injected delay.
    pub(super) async fn delay(&self) {
        let delay = self.faults.wait();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
}
