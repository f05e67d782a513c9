//! `make bench-formats`: the time to decode one shop event on one core.
#![forbid(unsafe_code)]

use std::sync::Arc;

use codec::{Format, Indexes, Payload, Schema, SchemaText, avro};
use divan::{Bencher, black_box, counter::ItemsCount};

const SCHEMA: &str = r#"{"type":"record","name":"Event","namespace":"shop","fields":[
    {"name":"event_id","type":"string"},
    {"name":"type","type":{"type":"enum","name":"Type","symbols":["view","click","contact","search"]}},
    {"name":"time","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"page","type":"string"},
    {"name":"user_id","type":["long","string"]},
    {"name":"session","type":{"type":"record","name":"Session","fields":[
        {"name":"id","type":"string"},{"name":"user","type":"string"}]}},
    {"name":"ip","type":"string"},
    {"name":"box","type":["null","string"]},
    {"name":"view_id","type":["null","string"]},
    {"name":"items","type":{"type":"array","items":{"type":"record","name":"Item","fields":[
        {"name":"id","type":"string"},{"name":"seller_id","type":"string"}]}}}]}"#;

/// As long as the events of `bench-anonymise` are on average.
const JSON: &str = concat!(
    r#"{"event_id":"0123456789abcdef","type":"click","time":"2026-01-31T12:34:56.789Z","page":"/page/1234","#,
    r#""user_id":12345678,"session":{"id":"s12345","user":"u-12345678"},"ip":"192.0.2.17","box":"similar","#,
    r#""view_id":"fedc","items":[{"id":"123456","seller_id":"seller-123"}]}"#
);

fn main() {
    divan::main();
}

#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    let (schema, bytes) = (schema(), event());
    let mut out = Vec::new();
    let payload = Payload { bytes: &bytes, indexes: Indexes::None };
    schema.decode(payload, &mut out).expect("a value of the schema");
    assert_eq!(String::from_utf8_lossy(&out), JSON);
    assert_eq!(JSON.len(), 267);
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        out.clear();
        schema.decode(black_box(payload), &mut out).expect("a value of the schema");
        black_box(out.len())
    });
}

#[divan::bench]
fn compile() -> Arc<dyn Schema> {
    schema()
}

fn schema() -> Arc<dyn Schema> {
    let text =
        SchemaText { format: Format::Avro, text: SCHEMA.to_owned(), references: Vec::new(), subjects: None };
    avro::compile(&text).expect("a schema")
}

fn event() -> Vec<u8> {
    let text = |text: &str| [long(text.len() as i64), text.as_bytes().to_vec()].concat();
    let parts = [
        text("0123456789abcdef"),
        long(1),
        long(1_769_862_896_789),
        text("/page/1234"),
        long(0),
        long(12_345_678),
        text("s12345"),
        text("u-12345678"),
        text("192.0.2.17"),
        long(1),
        text("similar"),
        long(1),
        text("fedc"),
        long(1),
        text("123456"),
        text("seller-123"),
        long(0),
    ];
    parts.concat()
}

fn long(value: i64) -> Vec<u8> {
    let mut rest = (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned();
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    bytes.push(rest.to_le_bytes()[0]);
    bytes
}
