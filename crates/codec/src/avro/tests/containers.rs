//! Files: blocks, codecs, and what is cut off or damaged.

use std::io::{self, Read, Write};

use flate2::{Compression, write::DeflateEncoder};

use super::*;
use crate::avro::container::{ContainerError, Reader};

const MARKER: [u8; 16] = *b"0123456789abcdef";
const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}"#;
const CODECS: [&str; 4] = ["null", "deflate", "snappy", "zstandard"];

fn header(codec: &str, schema: &str) -> Vec<u8> {
    let entries =
        [long(2), counted("avro.schema"), counted(schema), counted("avro.codec"), counted(codec), long(0)];
    [b"Obj\x01".to_vec(), entries.concat(), MARKER.to_vec()].concat()
}

fn compressed(codec: &str, bytes: &[u8]) -> Vec<u8> {
    match codec {
        "deflate" => {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(bytes).expect("a vector takes all");
            encoder.finish().expect("a vector takes all")
        }
        "snappy" => {
            let raw = snap::raw::Encoder::new().compress_vec(bytes).expect("a short input");
            [raw, crc32fast::hash(bytes).to_be_bytes().to_vec()].concat()
        }
        "zstandard" => zstd::encode_all(bytes, 1).expect("a vector takes all"),
        _ => bytes.to_vec(),
    }
}

fn block(codec: &str, count: i64, bytes: &[u8]) -> Vec<u8> {
    [long(count), counted(compressed(codec, bytes)), MARKER.to_vec()].concat()
}

fn file(codec: &str) -> Vec<u8> {
    let first = [counted("x"), counted("y")].concat();
    [
        header(codec, SCHEMA),
        block(codec, 2, &first),
        block(codec, 0, &[]),
        block(codec, 1, &counted("z".repeat(1000))),
    ]
    .concat()
}

fn events(input: impl Read) -> (Vec<String>, Option<ContainerError>) {
    let mut events = Vec::new();
    let mut reader = match Reader::new(input) {
        Ok(reader) => reader,
        Err(error) => return (events, Some(error)),
    };
    loop {
        match reader.next_event() {
            Ok(Some(Ok(json))) => events.push(String::from_utf8(json.to_vec()).expect("JSON is UTF-8")),
            Ok(Some(Err(reject))) => events.push(format!("rejected: {}", reject.code.as_str())),
            Ok(None) => return (events, None),
            Err(error) => {
                assert!(matches!(reader.next_event(), Ok(None)), "nothing follows an error");
                return (events, Some(error));
            }
        }
    }
}

/// Gives one byte at a time, and interrupts in between.
struct Slow<'a>(&'a [u8], bool);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.0.read(&mut buffer[..1])
    }
}

#[test]
fn every_codec_is_read() {
    let expect =
        [r#"{"a":"x"}"#.to_owned(), r#"{"a":"y"}"#.to_owned(), format!(r#"{{"a":"{}"}}"#, "z".repeat(1000))];
    for codec in CODECS {
        for (events, error) in [events(&file(codec)[..]), events(Slow(&file(codec), false))] {
            assert!(error.is_none(), "{codec}: {error:?}");
            assert_eq!(events, expect, "{codec}");
        }
    }
    let whole = file("null");
    let reader = Reader::new(&whole[..]).expect("a header");
    assert_eq!(reader.schema().name(), Some("R"));
}

#[test]
fn a_cut_file_gives_its_complete_blocks() {
    for codec in CODECS {
        let whole = file(codec);
        let head = header(codec, SCHEMA).len();
        for length in 0..whole.len() {
            let (events, error) = events(&whole[..length]);
            match (length, error) {
                (0..4, Some(ContainerError::NotAContainer)) => {}
                (4.., Some(ContainerError::CutOff(0))) if length < head => {}
                (_, Some(ContainerError::CutOff(start))) => {
                    assert!((head as u64..length as u64).contains(&start), "{codec} {length} {start}");
                }
                (_, None) => assert!(events.len() % 2 == 0, "the file ends between blocks: {codec} {length}"),
                (_, Some(error)) => panic!("{codec} {length}: {error:?}"),
            }
        }
    }
}

#[test]
fn damage_is_noticed() {
    for codec in CODECS {
        let whole = file(codec);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            // No panic. Damage to a text without a checksum is another text.
            drop(events(&damaged[..]));
        }
        let head = header(codec, SCHEMA).len() as u64;
        let mut damaged = whole.clone();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        let (read, error) = events(&damaged[..]);
        assert_eq!(read.len(), 2, "{codec}");
        assert!(matches!(error, Some(ContainerError::Damaged(start)) if start > head), "{codec}: {error:?}");
    }
    let check = |blocks: &[u8], is_expected: fn(&ContainerError) -> bool| {
        let (_, error) = events(&[header("null", SCHEMA), blocks.to_vec()].concat()[..]);
        assert!(error.as_ref().is_some_and(is_expected), "{error:?}");
    };
    check(&block("null", 1, &[counted("x"), vec![0]].concat()), |error| {
        matches!(error, ContainerError::Damaged(_))
    });
    check(&block("null", -1, &counted("x")), |error| matches!(error, ContainerError::Damaged(_)));
    check(&block("null", i64::MAX, &counted("x")), |error| matches!(error, ContainerError::Damaged(_)));
    check(&[long(1), long(1 << 60)].concat(), |error| matches!(error, ContainerError::TooLong(_)));
    check(&[long(1), long(1 << 20), vec![0; 9]].concat(), |error| matches!(error, ContainerError::CutOff(_)));
    check(&block("null", 2, &[counted("x"), vec![3]].concat()), |error| {
        let expect = Reject::at(RejectCode::Malformed, 2);
        matches!(error, ContainerError::Value { index: 1, reject, .. } if *reject == expect)
    });
}

/// Values of the schema below without a JSON, between others.
#[test]
fn a_value_without_json_is_rejected_alone() {
    let schema = r#"{"type":"record","name":"R","fields":[
        {"name":"x","type":"double"},
        {"name":"s","type":{"type":"map","values":{"type":"array","items":["null","string"]}}},
        {"name":"d","type":{"type":"bytes","logicalType":"big-decimal"}},
        {"name":"next","type":["null","R"]}]}"#;
    let value = |x: f64, text: &[u8], scale: i64, depth: usize| {
        let inner = [counted([5]), long(scale)].concat();
        let one = [
            &x.to_le_bytes()[..],
            &long(1),
            &counted("k"),
            &long(2),
            &long(0),
            &long(1),
            &counted(text),
            &long(0),
            &long(0),
            &counted(inner),
        ]
        .concat();
        let mut all = one.clone();
        for _ in 0..depth {
            all.extend(long(1));
            all.extend(&one);
        }
        all.extend(long(0));
        all
    };
    let good = || value(1.0, b"a", 0, 1);
    for (bad, code) in [
        (value(f64::NAN, b"a", 0, 0), "not-finite"),
        (value(1.0, b"\xff", 0, 3), "invalid-utf8"),
        (value(1.0, b"a", 10_000, 0), "number-range"),
        (value(1.0, b"a", 0, 200_000), "too-deep"),
    ] {
        let values = [good(), bad, good()].concat();
        let (found, error) = events(&[header("null", schema), block("null", 3, &values)].concat()[..]);
        assert!(error.is_none(), "{code}: {error:?}");
        assert_eq!(found.len(), 3, "{code}");
        assert_eq!(found[1], format!("rejected: {code}"));
        assert_eq!(found[0], found[2], "{code}");
    }
}

#[test]
fn a_small_block_cannot_become_huge() {
    let zeros = vec![0; 129 << 20];
    for codec in ["deflate", "zstandard"] {
        let (_, error) = events(&[header(codec, SCHEMA), block(codec, 1, &zeros)].concat()[..]);
        assert!(matches!(error, Some(ContainerError::TooLong(_))), "{codec}: {error:?}");
    }
    // Snappy claims its length.
    let claims = [vec![0xff, 0xff, 0xff, 0x3f], vec![0; 10]].concat();
    let blocks = [long(1), counted(claims), MARKER.to_vec()].concat();
    let (_, error) = events(&[header("snappy", SCHEMA), blocks].concat()[..]);
    assert!(matches!(error, Some(ContainerError::Damaged(_))), "{error:?}");
}

#[test]
fn a_header_can_be_wrong() {
    let error = |bytes: &[u8]| events(bytes).1.expect("an error");
    assert!(matches!(error(b"{\"a\":1}\n"), ContainerError::NotAContainer));
    assert!(matches!(error(&header("bzip2", SCHEMA)), ContainerError::Codec(name) if name == "bzip2"));
    assert!(matches!(error(&header("null", "{}")), ContainerError::Schema(_)));
    assert!(matches!(
        error(&[b"Obj\x01".to_vec(), long(0), MARKER.to_vec()].concat()),
        ContainerError::Damaged(0)
    ));
    assert!(matches!(
        error(&[b"Obj\x01".to_vec(), long(1), long(1 << 50)].concat()),
        ContainerError::TooLong(0)
    ));
    assert!(matches!(error(&[b"Obj\x01".to_vec(), long(1 << 60)].concat()), ContainerError::CutOff(0)));
}

#[test]
fn values_without_bytes_are_counted() {
    let nulls = [header("null", r#""null""#), block("null", 3, &[])].concat();
    assert_eq!(events(&nulls[..]).0, ["null"; 3]);
    let endless = [header("null", r#""null""#), block("null", 1 << 60, &[])].concat();
    assert!(matches!(events(&endless[..]), (events, Some(ContainerError::Damaged(_))) if events.is_empty()));
}
