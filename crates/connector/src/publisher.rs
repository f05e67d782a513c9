//! The publishing port over Pub/Sub's client.

use event::Mark;
use pubsub::{Attributes, Encoder, Error, PubSubSettings, Publisher};

use crate::message::{Message, Publish, PublishError};

/// Publishes data messages and marks to their topics.
#[derive(Clone, Debug)]
pub struct PubSubPublisher {
    publisher: Publisher,
    /// In the order in which lanes number them.
    topics: Vec<String>,
    marks_topic: String,
}

impl PubSubPublisher {
    /// Over a connection's publisher, to the topics of the section.
    pub fn new(publisher: Publisher, settings: &PubSubSettings) -> Self {
        Self { publisher, topics: settings.topic_paths(), marks_topic: settings.marks_topic_path() }
    }
}

impl Publish for PubSubPublisher {
    async fn publish(&self, batch: &[Message]) -> Result<(), PublishError> {
        let Some(first) = batch.first() else { return Ok(()) };
        let topic = &self.topics[first.lane().topic()];
        self.publisher.publish(topic, batch.iter().map(Message::out)).await.map_err(classify)
    }

    async fn publish_mark(&self, mark: &Mark) -> Result<(), PublishError> {
        let message = Encoder::default()
            .encode(&mark.to_json(), &Attributes::default(), std::iter::empty())
            .map_err(|_| PublishError::Refused("a mark exceeds the size limit of a message".into()))?;
        self.publisher.publish(&self.marks_topic, [message].iter()).await.map_err(classify)
    }
}

fn classify(error: Error) -> PublishError {
    match error {
        Error::Unavailable { .. } | Error::NoToken { .. } => PublishError::Unavailable(error.into()),
        Error::Refused { .. } | Error::TooLarge { .. } => PublishError::Refused(error.into()),
        _ => PublishError::Impossible(error.into()),
    }
}
