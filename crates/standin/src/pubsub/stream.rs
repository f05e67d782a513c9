//! Streaming pulls: one task for each stream moves deliverable messages to its client.

use std::pin::pin;

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

use super::{
    grpc,
    server::Shared,
    subscription::{Delivery, Window},
    wire::{PullResponse, StreamingPullRequest},
};

/// Number of responses buffered for the client.
const AHEAD: usize = 4;

type Outlet = mpsc::Sender<Result<PullResponse, Status>>;
type Slot<'a> = mpsc::Permit<'a, Result<PullResponse, Status>>;

/// Opens a stream. Its first request names the subscription.
pub(super) async fn open(
    shared: Shared,
    mut requests: Streaming<StreamingPullRequest>,
) -> Result<Response<ReceiverStream<Result<PullResponse, Status>>>, Status> {
    shared.faults.reachable()?;
    let cuts = shared.faults.cuts();
    let first = requests
        .message()
        .await?
        .ok_or_else(|| Status::invalid_argument("a stream must begin with a request"))?;
    let window = Window {
        messages: first.max_outstanding_messages,
        bytes: first.max_outstanding_bytes,
        ack_deadline: 1_000 * i64::from(first.stream_ack_deadline_seconds),
    };
    let number = shared.broker().open_stream(&first.subscription, window)?;
    let (outlet, answers) = mpsc::channel(AHEAD);
    let stream = Stream { shared: shared.clone(), subscription: first.subscription, number, requests, cuts };
    shared.streams.spawn(stream.run(outlet));
    Ok(Response::new(ReceiverStream::new(answers)))
}

struct Stream {
    shared: Shared,
    subscription: String,
    number: u64,
    requests: Streaming<StreamingPullRequest>,
    cuts: watch::Receiver<u64>,
}

impl Stream {
    async fn run(mut self, outlet: Outlet) {
        if let Err(status) = self.serve(&outlet).await {
            // A client that has disconnected needs no status.
            let _ = outlet.try_send(Err(status));
        }
        self.shared.broker().close_stream(&self.subscription, self.number);
        self.shared.wake.notify_waiters();
    }

    /// Returns `Ok` when the client has disconnected.
    async fn serve(&mut self, outlet: &Outlet) -> Result<(), Status> {
        loop {
            // Biased: ending the stream has priority over more messages.
            tokio::select! {
                biased;
                () = self.shared.stop.cancelled() => return Err(Status::unavailable("the stand-in is stopping")),
                _ = self.cuts.changed() => return Err(Status::unavailable("the stream was closed by an injected fault")),
                () = outlet.closed() => return Ok(()),
                request = self.requests.message() => match request? {
                    Some(request) => apply(&self.shared, &self.subscription, &request)?,
                    None => return Ok(()),
                },
                answer = next_answer(&self.shared, &self.subscription, self.number, outlet) => {
                    let Some((slot, deliveries)) = answer? else { return Ok(()) };
                    self.shared.delay().await;
                    slot.send(Ok(grpc::response(deliveries)));
                }
            }
        }
    }
}

/// Waits for space in the channel, and then for messages. It completes as soon as messages are taken, so cancelling
/// it loses none.
async fn next_answer<'a>(
    shared: &Shared,
    subscription: &str,
    number: u64,
    outlet: &'a Outlet,
) -> Result<Option<(Slot<'a>, Vec<Delivery>)>, Status> {
    let Ok(slot) = outlet.reserve().await else { return Ok(None) };
    let deliveries = wait_for_messages(shared, subscription, number, usize::MAX).await?;
    Ok(Some((slot, deliveries)))
}

/// At least one message, up to `limit`. Cancel-safe.
pub(super) async fn wait_for_messages(
    shared: &Shared,
    subscription: &str,
    stream: u64,
    limit: usize,
) -> Result<Vec<Delivery>, Status> {
    loop {
        let mut woken = pin!(shared.wake.notified());
        // Enabled before the check, so that a notification between the check and the wait is not lost.
        woken.as_mut().enable();
        let (deliveries, due) = shared.broker().take(subscription, stream, limit, shared.now())?;
        if !deliveries.is_empty() {
            return Ok(deliveries);
        }
        match due {
            Some(due) => {
                let _ = tokio::time::timeout_at(shared.instant(due), woken).await;
            }
            None => woken.await,
        }
    }
}

/// Applies the acknowledgements and extensions that a client sends on the stream itself.
fn apply(shared: &Shared, subscription: &str, request: &StreamingPullRequest) -> Result<(), Status> {
    let now = shared.now();
    let mut broker = shared.broker();
    broker.ack(subscription, &request.ack_ids, now)?;
    for (id, &seconds) in request.modify_deadline_ack_ids.iter().zip(&request.modify_deadline_seconds) {
        broker.extend(subscription, std::slice::from_ref(id), seconds, now)?;
    }
    drop(broker);
    if !request.ack_ids.is_empty() || !request.modify_deadline_ack_ids.is_empty() {
        shared.wake.notify_waiters();
    }
    Ok(())
}
