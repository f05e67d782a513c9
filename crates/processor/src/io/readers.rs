//! Reads the messages of a subscription on every core, while the driver applies what was read before.
//!
//! Pub/Sub delivers in no particular order, so it does not matter which task reads which response. Each hands over its
//! records in portions of bounded size, and waits while the driver has enough of them: memory does not depend on how much
//! a pack holds.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use pubsub::{AckHandle, Inbound, Subscription};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    error::ProcessorError,
    records::{RecordReader, Records},
    stages::Size,
};

/// A subscription whose messages are read by several tasks.
#[derive(Debug)]
pub(crate) struct Readers {
    portions: mpsc::Receiver<Result<Portion, ProcessorError>>,
    links: Vec<watch::Receiver<pubsub::link::Link>>,
    subscription: Arc<tokio::sync::Mutex<Subscription>>,
    tasks: JoinSet<()>,
    spare: Spare,
}

/// Records of one response.
#[derive(Debug)]
pub(crate) struct Portion {
    /// The records.
    pub(crate) records: Records,
    /// With the last portion of a response: what acknowledges its messages, and their size.
    pub(crate) ack: Option<(AckHandle, Size)>,
}

/// Memory for records, for the next portions.
#[derive(Clone, Debug, Default)]
struct Spare(Arc<Mutex<Vec<Records>>>);

/// A portion ends with the message that reaches this number of records. A pack holds up to ten thousand.
const PORTION: usize = 1_000;
/// Portions that wait for the driver, for each task.
const AHEAD: usize = 4;

impl Readers {
    /// Starts a task for each of the readers.
    pub(crate) fn start(subscription: Subscription, readers: Vec<RecordReader>) -> Self {
        let (outlet, portions) = mpsc::channel(AHEAD * readers.len().max(1));
        let links = subscription.links().to_vec();
        let subscription = Arc::new(tokio::sync::Mutex::new(subscription));
        let (mut tasks, spare) = (JoinSet::new(), Spare::default());
        for reader in readers {
            tasks.spawn(read(subscription.clone(), reader, outlet.clone(), spare.clone()));
        }
        Self { portions, links, subscription, tasks, spare }
    }

    /// Waits for a portion. Cancel-safe.
    ///
    /// # Errors
    /// If Pub/Sub refuses the subscription, or a message cannot be read.
    pub(crate) async fn next(&mut self) -> Result<Portion, ProcessorError> {
        match self.portions.recv().await {
            Some(portion) => portion,
            // A subscription ends only when it is closed, and a task that has panicked has been reported.
            None => Err(ProcessorError::Task("a reader of messages ended")),
        }
    }

    /// A portion that is already there.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub(crate) fn try_next(&mut self) -> Result<Option<Portion>, ProcessorError> {
        self.portions.try_recv().ok().transpose()
    }

    /// Takes back the memory of records that were applied.
    pub(crate) fn reuse(&self, records: Records) {
        self.spare.put(records);
    }

    /// Whether Pub/Sub answers for each subscription, with notifications of changes.
    pub(crate) fn links(&self) -> &[watch::Receiver<pubsub::link::Link>] {
        &self.links
    }

    /// Stops reading, returns the messages that were not applied, and closes the subscription; see
    /// [`Subscription::close`].
    pub(crate) async fn close(mut self, grace: Duration) {
        self.tasks.shutdown().await;
        drop(self.portions);
        if let Some(subscription) = Arc::into_inner(self.subscription) {
            subscription.into_inner().close(grace).await;
        }
    }
}

/// Reads responses until the driver wants no more.
async fn read(
    subscription: Arc<tokio::sync::Mutex<Subscription>>,
    mut reader: RecordReader,
    outlet: mpsc::Sender<Result<Portion, ProcessorError>>,
    spare: Spare,
) {
    let mut batch = Vec::new();
    loop {
        let received = subscription.lock().await.receive(&mut batch, 1).await;
        let is_last = !matches!(received, Ok(1..));
        for inbound in batch.drain(..) {
            if !hand_over(inbound, &mut reader, &outlet, &spare).await {
                return;
            }
        }
        if let Err(error) = received {
            // The driver stops with the first error.
            let _ = outlet.send(Err(error.into())).await;
        }
        if is_last {
            return;
        }
    }
}

/// Reads a response. Returns whether to go on.
async fn hand_over(
    Inbound { messages, ack }: Inbound,
    reader: &mut RecordReader,
    outlet: &mpsc::Sender<Result<Portion, ProcessorError>>,
    spare: &Spare,
) -> bool {
    let (mut records, mut left) = (spare.take(), messages.len());
    for encoded in messages.encoded() {
        left -= 1;
        if let Err(unread) = reader.message(encoded, &mut records) {
            let _ = outlet.send(Err(unread.into())).await;
            return false;
        }
        if records.len() >= PORTION && left > 0 {
            let full = std::mem::replace(&mut records, spare.take());
            if outlet.send(Ok(Portion { records: full, ack: None })).await.is_err() {
                return false;
            }
        }
    }
    let ack = Some((ack, Size { messages: messages.len(), bytes: messages.bytes() }));
    outlet.send(Ok(Portion { records, ack })).await.is_ok()
}

impl Spare {
    fn take(&self) -> Records {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn put(&self, mut records: Records) {
        records.clear();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(records);
    }
}
