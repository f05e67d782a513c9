//! Publishes batches: one call is one publish request, and it returns when Pub/Sub has acknowledged all of it.
//!
//! Uses `tonic` instead of Google's publisher, which keeps each message as hash maps and copies it twice; that cost
//! three times as much as the rest of the connector (`make bench-pipe`). Each
//! call is one attempt with a deadline. The caller decides about retries, because it holds the permits and a copy of
//! the batch. See [`crate::limits`] for filling batches.

use bytes::Bytes;
use google::{CallError, Caller, Compression};
use prost::Message as _;
use tonic::{
    Status,
    codec::{Codec, EncodeBuf},
};

use crate::{call::Raw, connection::Connection, error::Error, limits, message::OutMessage};

/// Publishes batches to any topic. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Publisher {
    caller: Caller,
    /// From how many bytes on a request is compressed on its way; `None` for none.
    compressed_from: Option<usize>,
}

/// `google.pubsub.v1.PublishRequest`. In protobuf, an embedded message and a byte string have the same encoding.
#[derive(Clone, PartialEq, prost::Message)]
struct PublishRequest {
    #[prost(string, tag = "1")]
    topic: String,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    messages: Vec<Bytes>,
}

/// Encodes requests. tonic's own codec begins with a small buffer, and copies what it has each time that it grows.
#[derive(Clone, Copy, Debug)]
struct WholeRequest;

const METHOD: &str = "/google.pubsub.v1.Publisher/Publish";

impl Connection {
    /// A publisher on this connection.
    pub fn publisher(&self) -> Publisher {
        Publisher { caller: self.caller.clone(), compressed_from: None }
    }
}

impl Publisher {
    /// Compresses requests from this size on, while they are on their way. The messages and their price stay the same.
    #[must_use]
    pub fn compressed_from(self, bytes: usize) -> Self {
        Self { compressed_from: Some(bytes), ..self }
    }

    /// Publishes a batch to a topic (`projects/P/topics/T`) in one request, and returns when Pub/Sub has acknowledged
    /// it.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if the batch does not fit into one request; nothing was sent. After any other error,
    /// Pub/Sub may or may not have the batch; [`Error::is_retryable`] reports whether a retry can help.
    pub async fn publish<'a>(
        &self,
        topic: &str,
        batch: impl ExactSizeIterator<Item = &'a OutMessage>,
    ) -> Result<(), Error> {
        if batch.len() == 0 {
            return Ok(());
        }
        let (mut messages, mut bytes) = (Vec::with_capacity(batch.len()), 0);
        for message in batch {
            bytes += message.wire_len();
            messages.push(message.encoded().clone());
        }
        if messages.len() > limits::MAX_MESSAGES || bytes > limits::MAX_BYTES {
            return Err(Error::TooLarge { messages: messages.len(), bytes });
        }
        let is_compressed = self.compressed_from.is_some_and(|least| bytes >= least);
        let compression = if is_compressed { Compression::Gzip } else { Compression::None };
        let request = PublishRequest { topic: topic.to_owned(), messages };
        let answer =
            self.caller.unary_with(METHOD, ("topic", topic), request, (WholeRequest, compression)).await;
        answer.map(drop).map_err(|error| match error {
            CallError::Status(status) => Error::of_publish(topic, &status),
            CallError::Token(error) => Error::of_token(&error),
        })
    }
}

/// The response has the IDs of the messages, which are not used.
impl Codec for WholeRequest {
    type Encode = PublishRequest;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Raw;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl tonic::codec::Encoder for WholeRequest {
    type Item = PublishRequest;
    type Error = Status;

    fn encode(&mut self, request: PublishRequest, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.reserve(request.encoded_len());
        request.encode(into).map_err(|error| Status::internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Attributes, Encoder};

    #[test]
    fn the_largest_message_fits_a_request_of_ten_megabytes() {
        let encode = |bytes: usize| {
            Encoder::default().encode(&vec![b'x'; bytes], &Attributes::default(), std::iter::empty())
        };
        // The tags and lengths of the message and of its data.
        let message = encode(limits::MAX_BYTES - 10).expect("within the limit");
        assert_eq!(message.wire_len(), limits::MAX_BYTES);
        assert!(encode(limits::MAX_BYTES - 9).is_err());
        let topic = format!("projects/{}/topics/{}", "p".repeat(100), "t".repeat(255));
        let request = PublishRequest { topic, messages: vec![message.encoded().clone()] };
        let spare = limits::MAX_REQUEST_BYTES - request.encoded_len();
        assert!(spare < 512, "{spare}");
    }
}
