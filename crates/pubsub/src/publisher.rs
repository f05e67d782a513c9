//! Publishing: one call is one publish request, answered when Pub/Sub has all of it.
//!
//! Over `tonic` and not Google's own publisher, which holds every message as hash maps and copies them twice: it costs
//! three times what all the rest of the connector does (the bench is `make bench-pipe`). Credentials are Google's. One
//! attempt with a deadline: when and how often to try again is the caller's, who holds the permits and a copy.
//!
//! Not here: permits, retries, and filling batches ([`crate::limits`] helps).

use std::time::Duration;

use bytes::Bytes;
use google_cloud_auth::credentials::{CacheableResource, Credentials};
use http::uri::PathAndQuery;
use tonic::{
    Request, Status,
    client::Grpc,
    metadata::{AsciiMetadataValue, MetadataMap},
    transport::{Channel, ClientTlsConfig, Endpoint as Address},
};
use tonic_prost::ProstCodec;

use crate::{
    connection::{Connection, Endpoint, PUBLISH_DEADLINE},
    error::Error,
    limits,
    message::OutMessage,
};

/// Publishes batches to any topic; cheap to clone.
#[derive(Clone, Debug)]
pub struct Publisher {
    channel: Channel,
    credentials: Credentials,
}

/// `google.pubsub.v1.PublishRequest`. An embedded message and a byte string look the same in protobuf.
#[derive(Clone, PartialEq, prost::Message)]
struct PublishRequest {
    #[prost(string, tag = "1")]
    topic: String,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    messages: Vec<Bytes>,
}

/// `google.pubsub.v1.PublishResponse`, whose message ids nobody needs.
#[derive(Clone, PartialEq, prost::Message)]
struct PublishResponse {}

const METHOD: &str = "/google.pubsub.v1.Publisher/Publish";
/// By this header Google's front ends find the topic's region.
const ROUTING: &str = "x-goog-request-params";
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// A connection that is dead without having said so is found by these.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_DEADLINE: Duration = Duration::from_secs(10);

impl Connection {
    /// A publisher over this connection.
    pub fn publisher(&self) -> Publisher {
        Publisher { channel: self.publisher.clone(), credentials: self.credentials.clone() }
    }
}

/// A channel that connects when it is first used, and again whenever it has to.
///
/// # Errors
/// The address is none, or the system has no root certificates.
pub(crate) fn channel(endpoint: &Endpoint) -> Result<Channel, tonic::transport::Error> {
    let mut address = Address::from_shared(endpoint.to_string())?
        .user_agent(concat!("aqueduct/", env!("CARGO_PKG_VERSION")))?
        .connect_timeout(CONNECT_DEADLINE)
        .timeout(PUBLISH_DEADLINE)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_DEADLINE);
    if *endpoint == Endpoint::GoogleCloud {
        address = address.tls_config(ClientTlsConfig::new().with_enabled_roots())?;
    }
    Ok(address.connect_lazy())
}

impl Publisher {
    /// Publishes a batch to a topic (`projects/P/topics/T`) in one request; done when Pub/Sub has acknowledged all.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the batch does not fit into one request: nothing was sent. Any other error leaves
    /// open whether Pub/Sub has the batch; [`Error::is_retryable`] tells whether to send it again.
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
        let mut request = Request::new(PublishRequest { topic: topic.to_owned(), messages });
        *request.metadata_mut() = self.headers(topic).await?;
        self.send(request).await.map_err(|status| Error::of_publish(topic, &status))
    }

    async fn send(&self, request: Request<PublishRequest>) -> Result<(), Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let codec = ProstCodec::<PublishRequest, PublishResponse>::default();
        grpc.unary(request, PathAndQuery::from_static(METHOD), codec).await.map(drop)
    }

    /// Who we are, and which topic it is about.
    async fn headers(&self, topic: &str) -> Result<MetadataMap, Error> {
        // The credentials cache their token and renew it in time.
        let headers = match self.credentials.headers(http::Extensions::new()).await {
            Ok(CacheableResource::New { data, .. }) => data,
            // Only for callers that name what they have.
            Ok(CacheableResource::NotModified) => http::HeaderMap::new(),
            Err(error) if error.is_transient() => {
                return Err(Error::unavailable(topic, "there is no Google Cloud token for now"));
            }
            Err(error) => return Err(Error::credentials(&error)),
        };
        let mut metadata = MetadataMap::from_headers(headers);
        if let Ok(routing) = AsciiMetadataValue::try_from(routing(topic)) {
            metadata.insert(ROUTING, routing);
        }
        Ok(metadata)
    }
}

/// A topic's path as a query parameter. Of what names of projects and topics may hold, these mean something there.
fn routing(topic: &str) -> String {
    let escaped = topic.replace('%', "%25").replace('/', "%2F").replace('+', "%2B").replace(':', "%3A");
    format!("topic={escaped}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_escaped() {
        assert_eq!(routing("projects/a.com:p/topics/t+%"), "topic=projects%2Fa.com%3Ap%2Ftopics%2Ft%2B%25");
    }

    #[tokio::test]
    async fn a_channel_to_google_cloud_can_be_made() {
        channel(&Endpoint::GoogleCloud).expect("roots of trust");
    }
}
