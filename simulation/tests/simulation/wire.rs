//! What connectors put on the wire. The present version is the real one; the next one exists only in the simulation, to
//! see what the present processor does with it.

use std::rc::Rc;

use ::pubsub::{
    Attributes, Encoder,
    pack::{self, Compressor, PackBuilder},
};
use event::{EventTime, Mark, Partition, wire};
use prost::encoding::{WireType, encode_key, encode_varint};

use crate::pubsub::{Form, Sent};

/// The version of a connector or processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    #[default]
    Present,
    Next,
}

/// A mark, and the bytes that carry it.
#[derive(Debug)]
pub(crate) struct WireMark {
    pub(crate) mark: Mark,
    pub(crate) bytes: Vec<u8>,
}

/// The value of `aqueduct.format` in a message of the next version.
pub(crate) const FORMAT: &str = "next";

const NEXT_EVENT: &[u8] = b"next:";
const BEFORE: &[u8] = br#"{"version":3,"next":"#;
const AFTER: &[u8] = b"}";

impl Version {
    pub(crate) fn write(self, mark: Mark) -> Rc<WireMark> {
        let bytes = match self {
            Self::Present => mark.to_json(),
            Self::Next => [BEFORE, &mark.to_json(), AFTER].concat(),
        };
        Rc::new(WireMark { mark, bytes })
    }

    /// The mark as the current version writes it, if this version can read it.
    pub(crate) fn read(self, bytes: &[u8]) -> &[u8] {
        let next = bytes.strip_prefix(BEFORE).and_then(|bytes| bytes.strip_suffix(AFTER));
        next.filter(|_| self == Self::Next).unwrap_or(bytes)
    }

    /// A data message as this version receives it: an encoded `PubsubMessage`.
    pub(crate) fn encode(
        self,
        partition: &Partition,
        records: &[Sent],
        form: Form,
        published: EventTime,
    ) -> Vec<u8> {
        let Sent { offset, timestamp, event } = &records[0];
        let position = [(wire::OFFSET, offset.to_string()), (wire::TIMESTAMP, timestamp.to_string())];
        match form {
            Form::Next if self == Self::Present => {
                let own = [(wire::FORMAT, FORMAT.to_owned())];
                message(&[NEXT_EVENT, &event.payload].concat(), partition, &own, published)
            }
            Form::Pack => {
                let mut builder = PackBuilder::default();
                for Sent { offset, timestamp, event } in records {
                    let none = std::iter::empty();
                    builder.push(*offset, Some(*timestamp), (None, None), none, &event.payload);
                }
                let mut compressor = Compressor::default();
                let (offsets, payload) = builder.finish(&mut compressor);
                let own = [(wire::FORMAT, pack::FORMAT.to_owned()), (wire::OFFSETS, offsets.to_string())];
                message(payload, partition, &own, published)
            }
            Form::Redrive(number) => {
                let [offset, timestamp] = position;
                let own = [
                    (wire::FORMAT, wire::REDRIVEN.to_owned()),
                    (wire::REDRIVE, number.to_string()),
                    offset,
                    timestamp,
                ];
                message(&event.payload, partition, &own, published)
            }
            Form::Single | Form::Next => message(&event.payload, partition, &position, published),
        }
    }
}

fn message(payload: &[u8], partition: &Partition, own: &[(&str, String)], published: EventTime) -> Vec<u8> {
    let number = partition.partition.to_string();
    let shared = [
        (wire::TOPIC, &*partition.topic),
        (wire::INCARNATION, &*partition.incarnation.0),
        (wire::PARTITION, &*number),
    ];
    let own = own.iter().map(|(name, value)| (*name, value.as_str()));
    let message = Encoder::default().encode(payload, &Attributes::default(), shared.into_iter().chain(own));
    let mut encoded = message.expect("within the limits").encoded().to_vec();
    // Pub/Sub adds the publish time: field 4, whose fields are seconds and nanoseconds.
    let mut time = Vec::new();
    encode_key(1, WireType::Varint, &mut time);
    encode_varint(published.0.div_euclid(1_000).cast_unsigned(), &mut time);
    encode_key(2, WireType::Varint, &mut time);
    encode_varint((published.0.rem_euclid(1_000) * 1_000_000).cast_unsigned(), &mut time);
    encode_key(4, WireType::LengthDelimited, &mut encoded);
    encode_varint(time.len() as u64, &mut encoded);
    encoded.extend(time);
    encoded
}
