//! The body of a request.

use std::{convert::Infallible, future::poll_fn, pin::Pin};

use axum::{
    extract::{FromRequest, Request},
    http::StatusCode,
};
use http_body::Body as _;
use serde_json::Value;

use super::{Failure, bad};

/// A body, or none if it was too large or the connection ended.
pub(super) struct Sent(Option<Vec<u8>>);

/// The largest body. A configuration has some kilobytes.
const LARGEST: usize = 1 << 20;
/// A larger body is read to its end, because a client that is still sending does not read the answer. But not for ever.
const LARGEST_READ: usize = 64 << 20;

impl<S: Sync> FromRequest<S> for Sent {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let mut body = request.into_body();
        let (mut kept, mut length) = (Vec::new(), 0);
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            let Ok(frame) = frame else { return Ok(Self(None)) };
            let Ok(data) = frame.into_data() else { continue };
            length += data.len();
            if length <= LARGEST {
                kept.extend_from_slice(&data);
            } else if length > LARGEST_READ {
                break;
            }
        }
        Ok(Self((length <= LARGEST).then_some(kept)))
    }
}

impl Sent {
    /// The body as JSON. Nothing of it is in the error.
    pub(super) fn json(self) -> Result<Value, Failure> {
        let too_large = || {
            let text = format!("the body has more than {LARGEST} bytes");
            Failure(StatusCode::PAYLOAD_TOO_LARGE, text)
        };
        serde_json::from_slice(&self.0.ok_or_else(too_large)?)
            .map_err(|error| bad(format!("invalid JSON at line {}, column {}", error.line(), error.column())))
    }
}
