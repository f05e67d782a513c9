//! Unary calls to Pub/Sub over tonic, with authentication and with bodies that are already encoded. One attempt for
//! each call.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use google_cloud_auth::credentials::{CacheableResource, Credentials};
use http::uri::PathAndQuery;
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::{AsciiMetadataValue, MetadataMap},
    transport::{Channel, ClientTlsConfig, Endpoint as Address},
};

use crate::{connection::Endpoint, error::Error};

/// Makes unary calls. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) channel: Channel,
    pub(crate) credentials: Credentials,
}

/// A codec that passes bodies through as bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Raw;

/// Google's front ends find the region of a resource by this header.
const ROUTING: &str = "x-goog-request-params";
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// Interval of HTTP/2 pings, which detect a connection that was lost without being closed.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_DEADLINE: Duration = Duration::from_secs(10);

/// The address of an endpoint. Channels made from it connect on first use and reconnect when necessary.
///
/// # Errors
/// If the address is invalid, or the system has no root certificates.
pub(crate) fn address(endpoint: &Endpoint) -> Result<Address, tonic::transport::Error> {
    let address = Address::from_shared(endpoint.to_string())?
        .user_agent(concat!("aqueduct/", env!("CARGO_PKG_VERSION")))?
        .connect_timeout(CONNECT_DEADLINE)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_DEADLINE);
    match endpoint {
        Endpoint::GoogleCloud => address.tls_config(ClientTlsConfig::new().with_enabled_roots()),
        Endpoint::Emulator { .. } => Ok(address),
    }
}

/// The authentication headers and the routing header of a call about one resource. `kind` is `topic` or
/// `subscription`.
pub(crate) async fn headers(credentials: &Credentials, kind: &str, path: &str) -> Result<MetadataMap, Error> {
    // The credentials cache their token and renew it before it expires.
    let headers = match credentials.headers(http::Extensions::new()).await {
        Ok(CacheableResource::New { data, .. }) => data,
        // Returned only to callers that pass the entity tag of their copy.
        Ok(CacheableResource::NotModified) => http::HeaderMap::new(),
        Err(error) if error.is_transient() => {
            return Err(Error::unavailable(path, "there is no Google Cloud token for now"));
        }
        Err(error) => return Err(Error::credentials(&error)),
    };
    let mut metadata = MetadataMap::from_headers(headers);
    if let Ok(routing) = AsciiMetadataValue::try_from(routing(kind, path)) {
        metadata.insert(ROUTING, routing);
    }
    Ok(metadata)
}

/// The path of a resource as a query parameter. Project and resource names may contain characters that are reserved
/// there.
fn routing(kind: &str, path: &str) -> String {
    let escaped = path.replace('%', "%25").replace('/', "%2F").replace('+', "%2B").replace(':', "%3A");
    format!("{kind}={escaped}")
}

impl Caller {
    /// Makes a call about a subscription whose response has no content.
    ///
    /// # Errors
    /// If the call failed. Pub/Sub may have executed it nevertheless.
    pub(crate) async fn about_subscription(
        &self,
        method: &'static str,
        subscription: &str,
        body: Bytes,
    ) -> Result<(), Error> {
        let mut request = Request::new(body);
        *request.metadata_mut() = headers(&self.credentials, "subscription", subscription).await?;
        self.send(method, request).await.map_err(|status| Error::of_pull(subscription, &status))
    }

    async fn send(&self, method: &'static str, request: Request<Bytes>) -> Result<(), Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        grpc.unary(request, PathAndQuery::from_static(method), Raw).await.map(drop)
    }
}

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, body: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(body);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        // Does not copy: tonic's buffer is split here.
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_escaped() {
        assert_eq!(
            routing("topic", "projects/a.com:p/topics/t+%"),
            "topic=projects%2Fa.com%3Ap%2Ftopics%2Ft%2B%25"
        );
    }

    #[tokio::test]
    async fn a_channel_to_google_cloud_can_be_made() {
        address(&Endpoint::GoogleCloud).expect("roots of trust").connect_lazy();
    }
}
