//! The messages of one streaming-pull response, read where they arrived.
//!
//! A response stays in the bytes in which it arrived. The stream only finds where each message begins, and copies the
//! ack IDs, so nothing else has to be kept until the checkpoint. The fields of a message are read later, on any thread;
//! payloads, names and values are borrowed.
//!
//! The fields are those of `google.pubsub.v1`: `StreamingPullResponse` has messages as 1; `ReceivedMessage` the ack
//! ID as 1 and the message as 2; `PubsubMessage` data 1, attributes 2, ID 3 and time 4; `Timestamp` seconds 1 and
//! nanos 2.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use event::EventTime;
use prost::encoding::{encode_varint, encoded_len_varint};

use crate::{
    requests::AckIds,
    wire::{Fields, Malformed, Value},
};

/// The messages of one response.
#[derive(Clone, Debug)]
pub struct Messages {
    body: Bytes,
    places: Vec<Range<u32>>,
}

/// A received message, borrowed from its response.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The payload.
    pub data: &'a [u8],
    /// Pub/Sub's message ID. It is different each time the same data is published.
    pub message_id: &'a str,
    /// When Pub/Sub received it.
    pub publish_time: EventTime,
}

impl Messages {
    /// Finds the messages of a `StreamingPullResponse`. A heartbeat has none.
    pub(crate) fn locate(body: Bytes) -> Result<(Self, AckIds), Malformed> {
        u32::try_from(body.len()).map_err(|_| Malformed)?;
        let (mut places, mut ids) = (Vec::new(), Vec::new());
        for field in Fields::of(&body) {
            let (1, Value::Bytes(received)) = field? else { continue };
            let (mut id, mut place) = (&b""[..], None);
            for field in Fields::of(received) {
                match field? {
                    (1, Value::Bytes(value)) => id = value,
                    (2, Value::Bytes(message)) => place = Some(within(message, &body)),
                    _ => {}
                }
            }
            // An entry without a message is not acknowledged, so it is redelivered.
            if let Some(place) = place {
                places.push(place);
                ids.push(id);
            }
        }
        let ids = copied(&ids);
        Ok((Self { body, places }, ids))
    }

    /// The number of messages.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are no messages.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Bytes of the response.
    pub fn bytes(&self) -> u64 {
        self.body.len() as u64
    }

    /// The messages in the order of the response, each as an encoded `PubsubMessage`.
    pub fn encoded(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.places.iter().map(|place| &self.body[place.start as usize..place.end as usize])
    }
}

impl<'a> Message<'a> {
    /// Reads an encoded `PubsubMessage`. Calls `attribute` with the name and value of each attribute.
    ///
    /// # Errors
    /// If it is not valid protobuf.
    #[inline]
    pub fn read(encoded: &'a [u8], mut attribute: impl FnMut(&'a [u8], &'a [u8])) -> Result<Self, Malformed> {
        let mut message = Self { data: b"", message_id: "", publish_time: EventTime(0) };
        for field in Fields::of(encoded) {
            match field? {
                (1, Value::Bytes(data)) => message.data = data,
                (2, Value::Bytes(entry)) => {
                    let (name, value) = pair(entry)?;
                    attribute(name, value);
                }
                (3, Value::Bytes(id)) => message.message_id = str::from_utf8(id).unwrap_or_default(),
                (4, Value::Bytes(time)) => message.publish_time = event_time(time)?,
                _ => {}
            }
        }
        Ok(message)
    }
}

/// The name and value of an attribute. They may be in any order, and are omitted if empty.
#[inline]
fn pair(entry: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (mut name, mut value) = (&b""[..], &b""[..]);
    for field in Fields::of(entry) {
        match field? {
            (1, Value::Bytes(bytes)) => name = bytes,
            (2, Value::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Ok((name, value))
}

fn event_time(timestamp: &[u8]) -> Result<EventTime, Malformed> {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    for field in Fields::of(timestamp) {
        match field? {
            // Negative numbers are encoded as two's complement in 64 bits.
            (1, Value::Varint(value)) => seconds = value.cast_signed(),
            (2, Value::Varint(value)) => nanos = value.cast_signed(),
            _ => {}
        }
    }
    Ok(EventTime(seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000)))
}

/// The range of a part within a whole whose length has been checked.
fn within(part: &[u8], whole: &[u8]) -> Range<u32> {
    let start = (part.as_ptr().addr() - whole.as_ptr().addr()) as u32;
    start..start + part.len() as u32
}

fn copied(ids: &[&[u8]]) -> AckIds {
    let size = ids.iter().map(|id| encoded_len_varint(id.len() as u64) + id.len()).sum();
    let mut bytes = BytesMut::with_capacity(size);
    for id in ids {
        encode_varint(id.len() as u64, &mut bytes);
        bytes.put_slice(id);
    }
    AckIds::new(bytes.freeze(), ids.len())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use prost::Message as _;

    use super::*;

    /// As a protobuf library encodes them.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Response {
        #[prost(message, repeated, tag = "1")]
        received: Vec<Received>,
        #[prost(message, optional, tag = "4")]
        properties: Option<Properties>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Properties {
        #[prost(bool, tag = "1")]
        exactly_once: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Received {
        #[prost(string, tag = "1")]
        ack_id: String,
        #[prost(message, optional, tag = "2")]
        message: Option<Published>,
        #[prost(int32, tag = "3")]
        delivery_attempt: i32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Published {
        #[prost(bytes = "vec", tag = "1")]
        data: Vec<u8>,
        #[prost(map = "string, string", tag = "2")]
        attributes: HashMap<String, String>,
        #[prost(string, tag = "3")]
        message_id: String,
        #[prost(message, optional, tag = "4")]
        publish_time: Option<Time>,
        #[prost(string, tag = "5")]
        ordering_key: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Time {
        #[prost(int64, tag = "1")]
        seconds: i64,
        #[prost(int32, tag = "2")]
        nanos: i32,
    }

    fn received(data: &[u8], attributes: &[(&str, &str)], time: Option<(i64, i32)>) -> Received {
        let message = Published {
            data: data.to_vec(),
            attributes: attributes.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            message_id: "m-7".to_owned(),
            publish_time: time.map(|(seconds, nanos)| Time { seconds, nanos }),
            ordering_key: "o".to_owned(),
        };
        Received { ack_id: "a".repeat(data.len()), message: Some(message), delivery_attempt: 3 }
    }

    fn located(received: Vec<Received>) -> (Messages, AckIds) {
        let response = Response { received, properties: Some(Properties { exactly_once: true }) };
        Messages::locate(response.encode_to_vec().into()).expect("protobuf")
    }

    type Attributes<'a> = Vec<(&'a [u8], &'a [u8])>;

    /// Every message with its attributes.
    fn read(messages: &Messages) -> Result<Vec<(Message<'_>, Attributes<'_>)>, Malformed> {
        let read = |encoded| {
            let mut attributes = Vec::new();
            let message = Message::read(encoded, |name, value| attributes.push((name, value)))?;
            Ok((message, attributes))
        };
        messages.encoded().map(read).collect()
    }

    #[test]
    fn messages_of_a_protobuf_library_are_read() {
        let attributes = [("kafka.topic", "events"), ("ü", ""), ("long", &*"v".repeat(300))];
        let (messages, ids) = located(vec![
            received(&[7; 200], &attributes, Some((1_700_000_000, 123_999_999))),
            received(b"", &[], None),
            received(b"x", &[("", "nameless")], Some((-1, 500_000_000))),
        ]);
        let all = read(&messages).expect("protobuf");
        assert_eq!((messages.len(), ids.len()), (3, 3));
        let [(first, found), (empty, none), (_, nameless)] = &*all else { panic!("three messages") };
        assert_eq!((first.data, first.message_id), (&[7; 200][..], "m-7"));
        let found: HashMap<_, _> = found.iter().copied().collect();
        let wanted = attributes.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        assert_eq!(found, wanted);
        let times: Vec<i64> = all.iter().map(|(message, _)| message.publish_time.0).collect();
        assert_eq!(times, [1_700_000_000_123, 0, -500]);
        assert_eq!((empty.data, none.len()), (&b""[..], 0));
        assert_eq!(*nameless, [(&b""[..], &b"nameless"[..])]);
        let lengths: Vec<usize> = ids.iter().map(<[u8]>::len).collect();
        assert_eq!(lengths, [200, 0, 1]);
    }

    #[test]
    fn a_heartbeat_has_no_messages() {
        assert!(Messages::locate(Bytes::new()).expect("protobuf").0.is_empty());
        assert!(located(vec![]).0.is_empty());
        let (messages, ids) = located(vec![
            Received { message: None, ..received(b"abc", &[], None) },
            received(b"x", &[], None),
        ]);
        assert_eq!((messages.len(), ids.len()), (1, 1));
    }

    /// The fields of a message may be in any order, and the last of several wins.
    #[test]
    fn attributes_may_be_interleaved() {
        let message = [
            &b"\x12\x06\x0a\x01a\x12\x011"[..],
            b"\x0a\x03old",
            b"\x12\x06\x12\x012\x0a\x01b",
            b"\x0a\x03new",
        ];
        let message = message.concat();
        let mut body = vec![0x0a, message.len() as u8 + 2, 0x12, message.len() as u8];
        body.extend(message);
        let (messages, _) = Messages::locate(body.into()).expect("protobuf");
        let all = read(&messages).expect("protobuf");
        assert_eq!(all[0].0.data, b"new");
        assert_eq!(all[0].1, [(&b"a"[..], &b"1"[..]), (b"b", b"2")]);
    }

    #[test]
    fn garbage_is_rejected_at_every_position() {
        for body in [
            &b"\x0a\x09short"[..],
            b"\x0a\x04\x12\x02\x0a\x05",
            b"\x0a\x06\x12\x04\x12\x02\x0a\x09",
            b"\x0a\x06\x12\x04\x22\x02\x08\xff",
        ] {
            let located = Messages::locate(Bytes::from_static(body));
            assert!(located.and_then(|(messages, _)| read(&messages).map(drop)).is_err(), "{body:?}");
        }
    }
}
