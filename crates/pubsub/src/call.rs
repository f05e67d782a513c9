//! Encoded protobuf messages on tonic, which are passed through as bytes, and calls about leases.

use bytes::{Buf, BufMut, Bytes};
use google::{Caller, Compression};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::error::Error;

/// A codec that passes bodies through as bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Raw;

/// Makes a call about a subscription whose response has no content. One attempt.
///
/// # Errors
/// If the call failed. Pub/Sub may have executed it nevertheless.
pub(crate) async fn about_subscription(
    caller: &Caller,
    method: &'static str,
    subscription: &str,
    body: Bytes,
) -> Result<(), Error> {
    let answer =
        caller.unary_with(method, ("subscription", subscription), body, (Raw, Compression::None)).await;
    answer.map(drop).map_err(|error| Error::of_call(subscription, error))
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
