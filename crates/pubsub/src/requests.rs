//! Acknowledge and extension requests, encoded with as many ack IDs as one request may hold.
//!
//! The fields are those of `google.pubsub.v1`: `AcknowledgeRequest` has the subscription as 1 and ack IDs as 2,
//! `ModifyAckDeadlineRequest` the subscription as 1, the seconds as 3 and ack IDs as 4. See [`crate::leases`] for
//! what is due, and [`crate::keeper`] for sending.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{WireType, decode_varint, encode_key, encode_varint};

/// Ack IDs, each preceded by its length. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AckIds {
    bytes: Bytes,
    count: usize,
}

/// Maximum size of the IDs in a request. The limit of a request is 512 KiB; the rest is reserved for tags, lengths
/// and the subscription's name.
const MAX_ID_BYTES: usize = 400_000;
/// Maximum number of IDs in a request, as in Google's clients.
const MAX_IDS: usize = 1_000;

impl AckIds {
    /// From `count` IDs in their encoded form.
    pub(crate) fn new(bytes: Bytes, count: usize) -> Self {
        Self { bytes, count }
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The IDs.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let length = decode_varint(&mut rest).ok()?;
            let (id, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            rest = after;
            Some(id)
        })
    }
}

/// An encoded `AcknowledgeRequest` with as many waiting IDs as fit; `None` if none waits.
pub(crate) fn acknowledge(subscription: &str, waiting: &mut VecDeque<AckIds>) -> Option<Bytes> {
    let mut request = begin(subscription);
    drain(waiting, &mut request, 2)?;
    Some(request.freeze())
}

/// An encoded `ModifyAckDeadlineRequest`; 0 seconds return the messages. `None` if no ID waits.
pub(crate) fn modify(subscription: &str, seconds: u16, waiting: &mut VecDeque<AckIds>) -> Option<Bytes> {
    let mut request = begin(subscription);
    encode_key(3, WireType::Varint, &mut request);
    encode_varint(u64::from(seconds), &mut request);
    drain(waiting, &mut request, 4)?;
    Some(request.freeze())
}

fn begin(subscription: &str) -> BytesMut {
    let mut request = BytesMut::with_capacity(32 * 1_024);
    encode_key(1, WireType::LengthDelimited, &mut request);
    encode_varint(subscription.len() as u64, &mut request);
    request.put_slice(subscription.as_bytes());
    request
}

/// Moves as many IDs as fit from the front of the queue into the request.
fn drain(waiting: &mut VecDeque<AckIds>, request: &mut BytesMut, field: u32) -> Option<()> {
    let (mut count, mut bytes) = (0, 0);
    while let Some(ids) = waiting.front_mut() {
        let (mut taken, mut read) = (0, 0);
        for id in ids.iter() {
            if count > 0 && (count == MAX_IDS || bytes + id.len() > MAX_ID_BYTES) {
                break;
            }
            encode_key(field, WireType::LengthDelimited, request);
            let before = request.len();
            encode_varint(id.len() as u64, request);
            request.put_slice(id);
            read += request.len() - before;
            (count, bytes, taken) = (count + 1, bytes + id.len(), taken + 1);
        }
        if taken < ids.count {
            *ids = AckIds { bytes: ids.bytes.slice(read..), count: ids.count - taken };
            break;
        }
        waiting.pop_front();
    }
    (count > 0).then_some(())
}

#[cfg(test)]
pub(crate) mod tests {
    use prost::Message as _;

    use super::*;

    /// Both requests, as a protobuf library decodes them.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Read {
        #[prost(string, tag = "1")]
        subscription: String,
        #[prost(string, repeated, tag = "2")]
        acknowledged: Vec<String>,
        #[prost(int32, tag = "3")]
        seconds: i32,
        #[prost(string, repeated, tag = "4")]
        modified: Vec<String>,
    }

    pub(crate) fn ids<'a>(of: impl IntoIterator<Item = &'a str>) -> AckIds {
        let (mut bytes, mut count) = (BytesMut::new(), 0);
        for id in of {
            encode_varint(id.len() as u64, &mut bytes);
            bytes.put_slice(id.as_bytes());
            count += 1;
        }
        AckIds::new(bytes.freeze(), count)
    }

    fn decoded(request: Option<Bytes>) -> Read {
        Read::decode(request.expect("ids wait")).expect("protobuf")
    }

    #[test]
    fn requests_match_a_protobuf_library() {
        let mut waiting = VecDeque::from([ids(["a", "b"]), ids([]), ids([&*"c".repeat(200)])]);
        let read = decoded(acknowledge("s", &mut waiting));
        assert_eq!((read.subscription.as_str(), read.acknowledged.len()), ("s", 3));
        assert_eq!((read.acknowledged[1].as_str(), read.acknowledged[2].len()), ("b", 200));
        assert!(waiting.is_empty());
        assert_eq!(acknowledge("s", &mut waiting), None);

        let read = decoded(modify("s", 60, &mut VecDeque::from([ids(["a"])])));
        assert_eq!((read.seconds, read.modified), (60, vec!["a".to_owned()]));
        assert_eq!(decoded(modify("s", 0, &mut VecDeque::from([ids(["a"])]))).seconds, 0);
    }

    #[test]
    fn a_request_has_at_most_a_thousand_ids() {
        let names: Vec<String> = (0..2_500).map(|n| n.to_string()).collect();
        let all = |range: std::ops::Range<usize>| ids(names[range].iter().map(String::as_str));
        let mut waiting = VecDeque::from([all(0..300), all(300..2_400), all(2_400..2_500)]);
        let mut sent = Vec::new();
        for expected in [1_000, 1_000, 500] {
            let read = decoded(acknowledge("s", &mut waiting));
            assert_eq!(read.acknowledged.len(), expected);
            sent.extend(read.acknowledged);
        }
        assert_eq!((sent, waiting.len()), (names, 0));
    }

    #[test]
    fn long_ids_are_split_across_requests() {
        let long = "x".repeat(150_000);
        let mut waiting = VecDeque::from([ids([&*long; 5])]);
        let sizes: Vec<usize> =
            std::iter::from_fn(|| acknowledge("s", &mut waiting)).map(|request| request.len()).collect();
        assert_eq!(sizes.iter().map(|size| size / 150_000).collect::<Vec<_>>(), [2, 2, 1]);
    }
}
