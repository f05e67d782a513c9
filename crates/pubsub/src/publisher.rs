//! Publishing: one call is one publish request, answered when Pub/Sub has all of it.
//!
//! Google's publisher batches by itself, behind an unbounded channel, mixing what its callers send. So each call gets
//! a publisher of its own, whose thresholds are those of a whole request: dropping it sends exactly this batch. One
//! attempt with a deadline: when and how often to try again is the caller's, who holds the permits and a copy.
//!
//! Not here: permits, retries, and filling batches ([`crate::limits`] helps).

use std::{collections::HashMap, time::Duration};

use google_cloud_pubsub::{client::BasePublisher, error::PublishError, model::Message};

use crate::{
    connection::Connection,
    error::Error,
    limits::{self, OutMessage},
};

/// Publishes batches to any topic; cheap to clone.
#[derive(Clone, Debug)]
pub struct Publisher {
    base: BasePublisher,
}

/// Above what a batch can hold, so that only the end of the batch sends it.
const BYTE_THRESHOLD: u32 = 10_000_000;
const MESSAGE_THRESHOLD: u32 = limits::MAX_MESSAGES as u32;
const DELAY_THRESHOLD: Duration = Duration::from_secs(3_600);

impl Connection {
    /// A publisher over this connection.
    pub fn publisher(&self) -> Publisher {
        Publisher { base: self.publisher.clone() }
    }
}

impl Publisher {
    /// Publishes a batch to a topic (`projects/P/topics/T`) in one request; done when Pub/Sub has acknowledged all.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the batch does not fit into one request: nothing was sent. Any other error leaves
    /// open whether Pub/Sub has the batch; [`Error::is_retryable`] tells whether to send it again.
    pub async fn publish(&self, topic: &str, batch: Vec<OutMessage>) -> Result<(), Error> {
        let bytes = batch.iter().map(OutMessage::wire_len).sum();
        if batch.len() > limits::MAX_MESSAGES || bytes > limits::MAX_BYTES {
            return Err(Error::TooLarge { messages: batch.len(), bytes });
        }
        let publisher = self
            .base
            .publisher(topic)
            .set_message_count_threshold(MESSAGE_THRESHOLD)
            .set_byte_threshold(BYTE_THRESHOLD)
            .set_delay_threshold(DELAY_THRESHOLD)
            .build();
        let answers: Vec<_> = batch.into_iter().map(|message| publisher.publish(to_sdk(message))).collect();
        drop(publisher);
        for answer in answers {
            answer.await.map_err(|error| failed(topic, &error))?;
        }
        Ok(())
    }
}

fn to_sdk(message: OutMessage) -> Message {
    let attributes: HashMap<String, String> =
        message.attributes.into_iter().map(|(name, value)| (name.into_owned(), value)).collect();
    Message::new().set_data(message.data).set_attributes(attributes)
}

fn failed(topic: &str, error: &PublishError) -> Error {
    match error {
        PublishError::Rpc(error) => Error::of_publish(topic, error),
        _ => Error::unavailable(topic, "the request ended without an answer for every message"),
    }
}
