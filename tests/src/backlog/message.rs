//! A record as the connector would have published it: a `PubsubMessage`, encoded by hand.

use std::{fmt::Arguments, io::Write as _};

use bytes::{Bytes, BytesMut};

use super::{Kind, Record, Shape};

/// The incarnation of the topic, as long as a topic ID.
pub const INCARNATION: &str = "twenty-hours-of-outage";

/// Encodes messages in a reused buffer.
#[derive(Debug, Default)]
pub struct Encoder {
    data: Vec<u8>,
    attribute: Vec<u8>,
    buffer: BytesMut,
}

/// Fields of `PubsubMessage`, and of an entry of its attributes.
const DATA: u8 = 1;
const ATTRIBUTES: u8 = 2;
const KEY: u8 = 1;
const VALUE: u8 = 2;
/// Bytes that are allocated at a time.
const ROOM: usize = 1 << 20;
/// The maximum size of a message.
const LARGEST: usize = 2_000;

impl Encoder {
    /// The message of a record that was not rejected.
    pub fn message(&mut self, shape: &Shape, record: &Record) -> Bytes {
        self.data.clear();
        event(record, &mut self.data);
        if self.buffer.capacity() < LARGEST {
            self.buffer.reserve(ROOM);
        }
        field(DATA, &self.data, &mut self.buffer);
        attributes(shape, record, |name, value| self.attribute(name, value));
        self.buffer.split().freeze()
    }

    /// A message without attributes.
    pub fn plain(&mut self, data: &[u8]) -> Bytes {
        field(DATA, data, &mut self.buffer);
        self.buffer.split().freeze()
    }

    fn attribute(&mut self, name: &str, value: Arguments<'_>) {
        self.data.clear();
        self.data.write_fmt(value).expect("memory takes everything");
        self.attribute.clear();
        field(KEY, name.as_bytes(), &mut self.attribute);
        field(VALUE, &self.data, &mut self.attribute);
        field(ATTRIBUTES, &self.attribute, &mut self.buffer);
    }
}

/// The attributes of a record's message.
pub fn attributes(shape: &Shape, record: &Record, mut each: impl FnMut(&str, Arguments<'_>)) {
    each("kafka.topic", format_args!("{}", shape.topic));
    each("kafka.partition", format_args!("{}", record.partition));
    each("kafka.offset", format_args!("{}", record.offset));
    each("kafka.timestamp", format_args!("{}", record.written));
    each("aqueduct.incarnation", format_args!("{INCARNATION}"));
    each("aqueduct.key", format_args!("k1"));
}

/// The event, anonymised.
pub fn event(record: &Record, into: &mut Vec<u8>) {
    let kind = match record.kind {
        Kind::View => "view",
        Kind::Click => "click",
        Kind::Other | Kind::Refused => "scroll",
    };
    let Record { number, time, page, place, .. } = record;
    write!(
        into,
        "{{\"event_id\":\"e-{number}\",\"type\":\"{kind}\",\"time\":{time},\"page\":\"/p/{page}\",\
         \"box\":\"box-{place}\",\"user_id\":\"{:022}\",\"session\":{{\"user\":\"{:022}\",\"number\":3}}}}",
        number % 5_000,
        number % 7_000
    )
    .expect("memory takes everything");
}

/// A field of bytes: number and wire type 2, the length as a varint, the bytes.
fn field(number: u8, bytes: &[u8], into: &mut impl bytes::BufMut) {
    into.put_u8(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        into.put_u8((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    into.put_u8(length as u8);
    into.put_slice(bytes);
}
