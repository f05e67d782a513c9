//! The messages of `google.pubsub.v1` that carry data, written by hand. A published message stays in the bytes in
//! which it arrived, because protobuf encodes an embedded message and a byte string the same way, so nothing is
//! decoded or copied field by field. Returned ack IDs are read as bytes too: a string for each would cost more than
//! everything else.

use bytes::{BufMut, Bytes, BytesMut};
use prost::{
    Message,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use prost_types::Timestamp;

/// `PublishRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PublishRequest {
    #[prost(string, tag = "1")]
    pub(super) topic: String,
    /// Encoded `PubsubMessage`s.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) messages: Vec<Bytes>,
}

/// The parts of a `PubsubMessage` that matter before it is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outline<'a> {
    pub(super) ordering_key: &'a [u8],
    /// Bytes of data, names and values of attributes, and ordering key.
    pub(super) contents: u64,
}

/// `None` if the message is not valid protobuf.
pub(super) fn outline(message: &[u8]) -> Option<Outline<'_>> {
    let mut outline = Outline::default();
    for field in fields(message) {
        let (number, bytes) = field?;
        outline.contents += match number {
            1 | 5 => bytes.len() as u64,
            2 => fields(bytes).try_fold(0, |sum, field| Some(sum + field?.1.len() as u64))?,
            _ => 0,
        };
        if number == 5 {
            outline.ordering_key = bytes;
        }
    }
    Some(outline)
}

/// The numbers and bytes of a message's fields; `None` at one that is not valid. Only texts and embedded messages have
/// bytes.
fn fields(mut message: &[u8]) -> impl Iterator<Item = Option<(u32, &[u8])>> {
    std::iter::from_fn(move || {
        if message.is_empty() {
            return None;
        }
        let field = field(&mut message);
        if field.is_none() {
            message = &[];
        }
        Some(field)
    })
}

fn field<'a>(message: &mut &'a [u8]) -> Option<(u32, &'a [u8])> {
    let (number, kind) = decode_key(message).ok()?;
    if kind != WireType::LengthDelimited {
        skip_field(kind, number, message, DecodeContext::default()).ok()?;
        return Some((number, &[]));
    }
    let length = usize::try_from(decode_varint(message).ok()?).ok()?;
    let (bytes, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some((number, bytes))
}

/// `PublishResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PublishResponse {
    #[prost(string, repeated, tag = "1")]
    pub(super) message_ids: Vec<String>,
}

/// `ReceivedMessage`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ReceivedMessage {
    #[prost(string, tag = "1")]
    pub(super) ack_id: String,
    /// An encoded `PubsubMessage`.
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) message: Bytes,
}

/// `PullRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PullRequest {
    #[prost(string, tag = "1")]
    pub(super) subscription: String,
    #[prost(int32, tag = "3")]
    pub(super) max_messages: i32,
}

/// `PullResponse` and `StreamingPullResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PullResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) received_messages: Vec<ReceivedMessage>,
}

/// `AcknowledgeRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AcknowledgeRequest {
    #[prost(string, tag = "1")]
    pub(super) subscription: String,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) ack_ids: Vec<Bytes>,
}

/// `ModifyAckDeadlineRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ModifyAckDeadlineRequest {
    #[prost(string, tag = "1")]
    pub(super) subscription: String,
    #[prost(int32, tag = "3")]
    pub(super) ack_deadline_seconds: i32,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub(super) ack_ids: Vec<Bytes>,
}

/// `StreamingPullRequest`: the first one opens the stream; later ones keep it alive, acknowledge and extend.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StreamingPullRequest {
    #[prost(string, tag = "1")]
    pub(super) subscription: String,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) ack_ids: Vec<Bytes>,
    #[prost(int32, repeated, packed = "false", tag = "3")]
    pub(super) modify_deadline_seconds: Vec<i32>,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub(super) modify_deadline_ack_ids: Vec<Bytes>,
    #[prost(int32, tag = "5")]
    pub(super) stream_ack_deadline_seconds: i32,
    #[prost(int64, tag = "7")]
    pub(super) max_outstanding_messages: i64,
    #[prost(int64, tag = "8")]
    pub(super) max_outstanding_bytes: i64,
}

/// The fields that the service adds to a message: 3 and 4 of `PubsubMessage`.
#[derive(Clone, PartialEq, Message)]
struct Receipt {
    #[prost(string, tag = "3")]
    message_id: String,
    #[prost(message, optional, tag = "4")]
    publish_time: Option<Timestamp>,
}

/// The message followed by its ID and publish time (milliseconds since the epoch). The fields of a protobuf message
/// may be in any order.
pub(super) fn with_receipt(message: &[u8], id: u64, publish_millis: u64, into: &mut BytesMut) -> Bytes {
    let publish_time = Timestamp {
        seconds: (publish_millis / 1_000) as i64,
        nanos: (publish_millis % 1_000 * 1_000_000) as i32,
    };
    let receipt = Receipt { message_id: id.to_string(), publish_time: Some(publish_time) };
    into.put_slice(message);
    receipt.encode(into).expect("a BytesMut grows as needed");
    into.split().freeze()
}
