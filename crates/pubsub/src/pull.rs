//! One streaming pull at a time: opens a stream, keeps it alive, reads it, and opens the next one when it breaks.
//!
//! Pub/Sub limits how many messages a stream delivers before they are acknowledged. The limit is for the stream, so a
//! broken stream is replaced only when half of the messages that it delivered are settled. See [`crate::keeper`] for
//! leases.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use google::Credentials;
use http::uri::PathAndQuery;
use prost::Message as _;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, Interval, interval_at},
};
use tokio_stream::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Request, Status, Streaming, client::Grpc, transport::Channel};

use crate::{
    call::Raw,
    error::Error,
    keeper::Register,
    link::Link,
    received::Messages,
    subscriber::{AckHandle, Inbound},
    wire::Malformed,
};

/// Reads one stream after another into the channel.
pub(crate) struct Pull {
    pub(crate) channel: Channel,
    pub(crate) credentials: Credentials,
    /// The first request of each stream.
    pub(crate) opening: Opening,
    /// The index of this stream within the subscription.
    pub(crate) number: usize,
    pub(crate) register: Arc<Register>,
    pub(crate) outlet: mpsc::Sender<Result<Inbound, Error>>,
    /// Responses received so far over all streams, including heartbeats.
    pub(crate) received: Arc<AtomicU64>,
    pub(crate) link: watch::Receiver<Link>,
}

/// The initial `StreamingPullRequest` of a stream.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Opening {
    #[prost(string, tag = "1")]
    pub(crate) subscription: String,
    #[prost(int32, tag = "5")]
    pub(crate) stream_ack_deadline_seconds: i32,
    /// The same for each successor of a stream, so that Pub/Sub knows which one it replaces.
    #[prost(string, tag = "6")]
    pub(crate) client_id: String,
    #[prost(int64, tag = "7")]
    pub(crate) max_outstanding_messages: i64,
    #[prost(int64, tag = "8")]
    pub(crate) max_outstanding_bytes: i64,
    /// Version 1: the client understands responses without messages, which are heartbeats.
    #[prost(int64, tag = "10")]
    pub(crate) protocol_version: i64,
}

/// Why a stream is no longer read.
enum End {
    /// The subscription is closing.
    Stopped,
    /// Pub/Sub is available again after an outage.
    Returned,
    /// The stream broke.
    Lost,
    /// Pub/Sub refused the subscription.
    Refused(Error),
}

const METHOD: &str = "/google.pubsub.v1.Subscriber/StreamingPull";
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Interval of keep-alive requests. Without them Pub/Sub closes a stream after about 90 seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Maximum size of a response. The largest message has 10 MB, the largest response 20 MiB.
const MAX_RESPONSE: usize = 32 << 20;
/// How long to wait, after the last request, for messages that are in transit, in order to return them.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Pull {
    /// Runs until it is stopped, or Pub/Sub refuses the subscription.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            let before = self.received.load(Ordering::Relaxed);
            match self.one_stream(&stop).await {
                End::Stopped => return,
                End::Returned => pause = FIRST_PAUSE,
                End::Lost => {
                    let worked = self.received.load(Ordering::Relaxed) > before;
                    pause = if worked { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                        () = returned(&mut self.link) => pause = FIRST_PAUSE,
                    }
                }
                End::Refused(error) => {
                    stop.run_until_cancelled(self.outlet.send(Err(error))).await;
                    return;
                }
            }
            let most = usize::try_from(self.opening.max_outstanding_messages).unwrap_or(usize::MAX);
            if stop.run_until_cancelled(self.register.room(self.number, most)).await.is_none() {
                return;
            }
        }
    }

    async fn one_stream(&mut self, stop: &CancellationToken) -> End {
        self.link.mark_unchanged();
        // The request side ends on every path out of here. The stream would otherwise stay open without a reader, and
        // Pub/Sub would lease messages to it.
        let saying = CancellationToken::new();
        let _until_left = saying.clone().drop_guard();
        let opened = tokio::select! {
            biased;
            () = stop.cancelled() => return End::Stopped,
            opened = open(&self.opening, self.channel.clone(), &self.credentials, saying.clone()) => opened,
            () = returned(&mut self.link) => return End::Returned,
        };
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(error) => return ended(error),
        };
        let end = self.read(&mut stream, stop).await;
        if matches!(end, End::Stopped) {
            saying.cancel();
            // The result does not matter, because the stream is being left anyway.
            let _ = tokio::time::timeout(LAST_WORDS, self.give_back(&mut stream)).await;
        }
        end
    }

    /// Reads responses until the stream ends.
    async fn read(&mut self, stream: &mut Streaming<Bytes>, stop: &CancellationToken) -> End {
        let mut waited = Duration::ZERO;
        loop {
            // Biased: stopping has priority, and a stream that delivers is never reopened.
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => return End::Stopped,
                next = stream.message() => next,
                () = returned(&mut self.link) => return End::Returned,
            };
            let body = match next {
                Ok(Some(body)) => body,
                Ok(None) => return End::Lost,
                Err(status) => return ended(Error::of_pull(&self.opening.subscription, &status)),
            };
            self.received.fetch_add(1, Ordering::Relaxed);
            let inbound = match self.hold(body, waited) {
                Ok(Some(inbound)) => inbound,
                Ok(None) => continue,
                Err(error) => return ended(error),
            };
            let waiting_since = Instant::now();
            if !matches!(stop.run_until_cancelled(self.outlet.send(Ok(inbound))).await, Some(Ok(()))) {
                return End::Stopped;
            }
            waited = waiting_since.elapsed();
        }
    }

    /// Records the response: from here on its messages are leased. `None` for a heartbeat.
    fn hold(&self, body: Bytes, waited: Duration) -> Result<Option<Inbound>, Error> {
        let (messages, ids) =
            Messages::locate(body).map_err(|Malformed| Error::unreadable(&self.opening.subscription))?;
        if messages.is_empty() {
            return Ok(None);
        }
        let number = self.register.leases().hold(self.number, ids, waited, Instant::now());
        Ok(Some(Inbound { messages, ack: AckHandle::new(self.register.clone(), number) }))
    }

    /// Reads what arrives until the server closes the stream, and returns it for redelivery.
    async fn give_back(&self, stream: &mut Streaming<Bytes>) -> Result<(), Status> {
        while let Some(body) = stream.message().await? {
            drop(self.hold(body, Duration::ZERO));
        }
        Ok(())
    }
}

fn ended(error: Error) -> End {
    if error.is_retryable() { End::Lost } else { End::Refused(error) }
}

async fn open(
    opening: &Opening,
    channel: Channel,
    credentials: &Credentials,
    end: CancellationToken,
) -> Result<Streaming<Bytes>, Error> {
    let path = &opening.subscription;
    let headers = credentials.metadata("subscription", path).await;
    let headers = headers.map_err(|error| Error::of_token(&error))?;
    let mut request = Request::new(Words::new(opening.encode_to_vec().into(), end));
    *request.metadata_mut() = headers;
    let mut grpc = Grpc::new(channel).max_decoding_message_size(MAX_RESPONSE);
    let failed = |status: Status| Error::of_pull(path, &status);
    grpc.ready().await.map_err(|error| failed(Status::from_error(error.into())))?;
    let method = PathAndQuery::from_static(METHOD);
    Ok(grpc.streaming(request, method, Raw).await.map_err(failed)?.into_inner())
}

/// The request side of a stream: the opening, then a keep-alive now and then, until it is cancelled.
struct Words {
    opening: Option<Bytes>,
    keep_alive: Interval,
    end: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Words {
    fn new(opening: Bytes, end: CancellationToken) -> Self {
        Self {
            opening: Some(opening),
            keep_alive: interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE),
            end: Box::pin(end.cancelled_owned()),
        }
    }
}

impl Stream for Words {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(opening) = self.opening.take() {
            return Poll::Ready(Some(opening));
        }
        if self.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        ready!(self.keep_alive.poll_tick(context));
        // A request without any field.
        Poll::Ready(Some(Bytes::new()))
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

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_opened_kept_alive_and_closed() {
        let (begin, end) = (Instant::now(), CancellationToken::new());
        let mut words = Words::new(Bytes::from_static(b"opening"), end.clone());
        assert_eq!(words.next().await, Some(Bytes::from_static(b"opening")));
        assert_eq!(begin.elapsed(), Duration::ZERO);
        for signs in 1..=3 {
            assert_eq!(words.next().await, Some(Bytes::new()));
            assert_eq!(begin.elapsed(), KEEP_ALIVE * signs);
        }
        end.cancel();
        assert_eq!(words.next().await, None);
    }

    /// Encoded by hand: field number times eight plus wire type, then the value.
    #[test]
    fn the_first_request_has_the_required_fields() {
        let opening = Opening {
            subscription: "s".to_owned(),
            stream_ack_deadline_seconds: 10,
            client_id: "c".to_owned(),
            max_outstanding_messages: 7,
            max_outstanding_bytes: 8,
            protocol_version: 1,
        };
        assert_eq!(opening.encode_to_vec(), b"\x0a\x01s\x28\x0a\x32\x01c\x38\x07\x40\x08\x50\x01");
    }
}
