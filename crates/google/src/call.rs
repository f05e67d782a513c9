//! Unary calls with authentication and routing, one attempt for each call. The caller decides about retries.

use http::uri::PathAndQuery;
use prost::Message;
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, CompressionEncoding},
    metadata::{AsciiMetadataValue, MetadataMap},
    transport::Channel,
};
use tonic_prost::ProstCodec;

use crate::credentials::{Credentials, TokenError};

/// Google's front ends find the region of a resource by this header.
const ROUTING: &str = "x-goog-request-params";

/// Makes calls on one channel. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The channel of unary calls.
    pub channel: Channel,
    /// The credentials of all calls.
    pub credentials: Credentials,
}

/// How a question is compressed on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// With gzip.
    Gzip,
}

/// Why a call failed. The service may have executed it nevertheless.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no access token; nothing was sent.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The service, or the way to it, answered with a status.
    #[error(transparent)]
    Status(#[from] Status),
}

impl Credentials {
    /// The metadata of a call about one resource: authentication and routing. `field` is the field of the request that
    /// names the resource, such as `topic`.
    ///
    /// # Errors
    /// If there is no token.
    pub async fn metadata(&self, field: &str, resource: &str) -> Result<MetadataMap, TokenError> {
        let mut metadata = MetadataMap::from_headers(self.headers().await?);
        if let Ok(routing) = AsciiMetadataValue::try_from(routing(field, resource)) {
            metadata.insert(ROUTING, routing);
        }
        Ok(metadata)
    }
}

impl Caller {
    /// Calls a method about one resource. `field` is the field of the request that names it.
    ///
    /// # Errors
    /// If there is no token, or the call failed.
    pub async fn unary<Q, A>(
        &self,
        method: &'static str,
        (field, resource): (&str, &str),
        question: Q,
    ) -> Result<A, CallError>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let codec = ProstCodec::<Q, A>::default();
        self.unary_with(method, (field, resource), question, (codec, Compression::None)).await
    }

    /// As [`unary`](Self::unary), with messages in another encoding, and the question compressed.
    ///
    /// # Errors
    /// If there is no token, or the call failed.
    pub async fn unary_with<C>(
        &self,
        method: &'static str,
        (field, resource): (&str, &str),
        question: C::Encode,
        (codec, compression): (C, Compression),
    ) -> Result<C::Decode, CallError>
    where
        C: Codec,
        C::Encode: Send + Sync + 'static,
        C::Decode: Send + Sync + 'static,
    {
        let mut request = Request::new(question);
        *request.metadata_mut() = self.credentials.metadata(field, resource).await?;
        let mut grpc = Grpc::new(self.channel.clone());
        if compression == Compression::Gzip {
            grpc = grpc.send_compressed(CompressionEncoding::Gzip);
        }
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        Ok(grpc.unary(request, PathAndQuery::from_static(method), codec).await?.into_inner())
    }
}

/// A resource as a query parameter. Project and resource names may contain characters that are reserved there.
fn routing(field: &str, resource: &str) -> String {
    let escaped = resource.replace('%', "%25").replace('/', "%2F").replace('+', "%2B").replace(':', "%3A");
    format!("{field}={escaped}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_escaped() {
        assert_eq!(
            routing("topic", "projects/a.com:p/topics/t+%"),
            "topic=projects%2Fa.com%3Ap%2Ftopics%2Ft%2B%25"
        );
    }
}
