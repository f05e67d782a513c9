//! Each type: a value and its JSON, and what is no value.

use super::*;

const UNLIMITED: &str = r#"{"type":"array","items":"null"}"#;

#[test]
fn primitive_types() {
    check(r#""null""#, [], "null");
    check(r#""boolean""#, [1], "true");
    check(r#"{"type":"boolean"}"#, [0], "false");
    check(r#""int""#, long(-1), "-1");
    check(r#""int""#, long(i64::from(i32::MIN)), "-2147483648");
    check(r#""long""#, long(i64::MAX), "9223372036854775807");
    check(r#""long""#, long(i64::MIN), "-9223372036854775808");
    check(r#""long""#, [0x80, 0x00], "0");
    check(r#""float""#, 0.1f32.to_le_bytes(), "0.1");
    check(r#""double""#, 1e-7f64.to_le_bytes(), "1e-7");
    check(r#""double""#, 2f64.to_le_bytes(), "2.0");
    check(r#""string""#, counted("a\"b\\c\n\u{1}ż"), r#""a\"b\\c\n\u0001ż""#);
    check(r#""bytes""#, counted([0, 0xff]), r#""AP8=""#);
    check(r#""bytes""#, [0], r#""""#);
}

#[test]
fn named_types() {
    check(r#"{"type":"fixed","name":"F","size":3}"#, [1, 2, 3], r#""AQID""#);
    check(r#"{"type":"fixed","name":"F","size":0}"#, [], r#""""#);
    check(r#"{"type":"enum","name":"E","symbols":["A","B"]}"#, long(1), r#""B""#);
    check(r#"{"type":"record","name":"R","fields":[]}"#, [], "{}");
    let schema =
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":"string"}]}"#;
    check(schema, [long(7), counted("x")].concat(), r#"{"a":7,"b":"x"}"#);
}

#[test]
fn unions_are_plain_values() {
    check(r#"["null","string"]"#, [0], "null");
    check(r#"["null","string"]"#, [long(1), counted("a")].concat(), r#""a""#);
    check(r#"["int"]"#, [0, 2], "1");
    check_reject(r#"["null","string"]"#, long(2), RejectCode::Malformed, 0);
    check_reject(r#"["null","string"]"#, long(-1), RejectCode::Malformed, 0);
    check_reject("[]", [0], RejectCode::Malformed, 0);
}

#[test]
fn blocks_of_arrays_and_maps() {
    let ints = r#"{"type":"array","items":"int"}"#;
    check(ints, [0], "[]");
    check(ints, [long(2), long(1), long(2), long(1), long(3), long(0)].concat(), "[1,2,3]");
    check(ints, [long(-2), long(2), long(1), long(2), long(0)].concat(), "[1,2]");
    let map = r#"{"type":"map","values":"int"}"#;
    check(map, [0], "{}");
    check(map, [long(1), counted("a\"b"), long(1), long(0)].concat(), r#"{"a\"b":1}"#);
    check(map, [long(-1), long(3), counted("a"), long(1), long(0)].concat(), r#"{"a":1}"#);
}

#[test]
fn decimals_keep_their_scale() {
    let bytes = r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#;
    check(bytes, counted([0x04, 0xce]), "12.30");
    check(bytes, counted([]), "0.00");
    check(bytes, counted([0xff]), "-0.01");
    let fixed = r#"{"type":"fixed","name":"D","size":4,"logicalType":"decimal","precision":9}"#;
    check(fixed, [0xff, 0xff, 0xff, 0x85], "-123");
    let large = r#"{"type":"bytes","logicalType":"decimal","precision":20000,"scale":10000}"#;
    check_reject(large, counted([1]), RejectCode::NumberRange, 0);
    check_reject(bytes, counted(vec![1; 100_000]), RejectCode::NumberRange, 0);
    let big = r#"{"type":"bytes","logicalType":"big-decimal"}"#;
    check(big, counted([counted([0x04, 0xce]), long(1)].concat()), "123.0");
    check(big, counted([counted([5]), long(-2)].concat()), "500");
    check_reject(big, counted([counted([5]), long(1 << 30)].concat()), RejectCode::NumberRange, 0);
    check_reject(big, counted([counted([5]), long(1), vec![0]].concat()), RejectCode::Malformed, 0);
    check_reject(big, counted(long(5)), RejectCode::Truncated, 1);
}

#[test]
fn times() {
    for (base, logical, value, expect) in [
        ("int", "date", 20_484, r#""2026-01-31""#),
        ("int", "time-millis", 45_296_789, r#""12:34:56.789""#),
        ("long", "time-micros", 45_296_789_000, r#""12:34:56.789000""#),
        ("long", "timestamp-millis", 1_769_862_896_789, r#""2026-01-31T12:34:56.789Z""#),
        ("long", "timestamp-micros", 1_769_862_896_789_000, r#""2026-01-31T12:34:56.789000Z""#),
        ("long", "timestamp-nanos", 1_769_862_896_789_000_001, r#""2026-01-31T12:34:56.789000001Z""#),
        ("long", "local-timestamp-millis", -1, r#""1969-12-31T23:59:59.999""#),
        ("long", "local-timestamp-micros", 0, r#""1970-01-01T00:00:00.000000""#),
        ("long", "local-timestamp-nanos", 1, r#""1970-01-01T00:00:00.000000001""#),
    ] {
        check(&format!(r#"{{"type":"{base}","logicalType":"{logical}"}}"#), long(value), expect);
    }
    for (base, logical, value) in [
        ("int", "date", i64::from(i32::MAX)),
        ("int", "time-millis", 86_400_000),
        ("long", "time-micros", -1),
        ("long", "timestamp-millis", i64::MAX),
        ("long", "local-timestamp-micros", i64::MIN),
    ] {
        check_reject(
            &format!(r#"{{"type":"{base}","logicalType":"{logical}"}}"#),
            long(value),
            RejectCode::NumberRange,
            0,
        );
    }
}

#[test]
fn uuids_and_durations() {
    let uuid = "8f4d6c1e-0b5a-4c3d-9e2f-1a2b3c4d5e6f";
    check(r#"{"type":"string","logicalType":"uuid"}"#, counted(uuid), &format!("{uuid:?}"));
    let bytes =
        [0x8f, 0x4d, 0x6c, 0x1e, 0x0b, 0x5a, 0x4c, 0x3d, 0x9e, 0x2f, 0x1a, 0x2b, 0x3c, 0x4d, 0x5e, 0x6f];
    check(r#"{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}"#, bytes, &format!("{uuid:?}"));
    let duration = r#"{"type":"fixed","name":"D","size":12,"logicalType":"duration"}"#;
    for (months, days, millis, expect) in [
        (1u32, 2u32, 3_004u32, r#""P1M2DT3.004S""#),
        (0, 0, 0, r#""PT0S""#),
        (0, 7, 0, r#""P7D""#),
        (12, 0, 60_000, r#""P12MT60S""#),
        (u32::MAX, u32::MAX, u32::MAX, r#""P4294967295M4294967295DT4294967.295S""#),
    ] {
        check(duration, [months, days, millis].map(u32::to_le_bytes).concat(), expect);
    }
}

#[test]
fn truncated_bytes_are_rejected_anywhere() {
    let schema = r#"{"type":"record","name":"R","fields":[
        {"name":"a","type":{"type":"array","items":"string"}},{"name":"b","type":"double"},
        {"name":"c","type":{"type":"map","values":["null",{"type":"fixed","name":"F","size":2}]}},
        {"name":"d","type":"boolean"}]}"#;
    let bytes = [
        long(1),
        counted("abc"),
        long(0),
        vec![0; 8],
        long(1),
        counted("k"),
        long(1),
        vec![1, 2],
        long(0),
        long(-1),
    ]
    .concat();
    check(schema, &bytes, r#"{"a":["abc"],"b":0.0,"c":{"k":"AQI="},"d":true}"#);
    for length in 0..bytes.len() {
        let reject = decoded(&compiled(schema), &bytes[..length]).expect_err("too short");
        assert_eq!(reject.0, RejectCode::Truncated, "{length}");
        assert!(reject.1.is_some_and(|at| at <= length), "{length}");
    }
    check_reject(schema, [bytes.clone(), vec![0]].concat(), RejectCode::TrailingData, bytes.len());
}

#[test]
fn impossible_values_are_rejected() {
    check_reject(r#""boolean""#, [2], RejectCode::Malformed, 0);
    check_reject(r#""int""#, long(1 << 31), RejectCode::Malformed, 0);
    check_reject(r#""float""#, f32::NAN.to_le_bytes(), RejectCode::NotFinite, 0);
    check_reject(
        r#"["double"]"#,
        [vec![0], f64::INFINITY.to_le_bytes().to_vec()].concat(),
        RejectCode::NotFinite,
        1,
    );
    check_reject(r#""string""#, counted(b"ab\xff"), RejectCode::InvalidUtf8, 3);
    check_reject(r#""string""#, counted(b"\xed\xa0\x80"), RejectCode::InvalidUtf8, 1);
    check_reject(
        r#"{"type":"map","values":"null"}"#,
        [long(1), counted(b"\xc0")].concat(),
        RejectCode::InvalidUtf8,
        2,
    );
    check_reject(r#"{"type":"enum","name":"E","symbols":["A"]}"#, long(1), RejectCode::Malformed, 0);
    check_reject(r#""string""#, long(-1), RejectCode::Malformed, 0);
    check_reject(r#""bytes""#, long(i64::MIN), RejectCode::Malformed, 0);
    check_reject(r#""long""#, [0xff; 11], RejectCode::Malformed, 0);
    check_reject(
        r#""long""#,
        [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
        RejectCode::Malformed,
        0,
    );
    check_reject(r#""long""#, [0xff; 9], RejectCode::Truncated, 0);
    check_reject(UNLIMITED, [long(-1), long(-1)].concat(), RejectCode::Malformed, 1);
    check_reject(UNLIMITED, [long(-1), long(1000)].concat(), RejectCode::Truncated, 3);
}

#[test]
fn claims_allocate_nothing() {
    check_reject(r#""string""#, [long(1 << 40), vec![0]].concat(), RejectCode::Truncated, 0);
    check_reject(
        r#"{"type":"array","items":"long"}"#,
        [long(1 << 60), long(0)].concat(),
        RejectCode::Truncated,
        9 + 1,
    );
    check_reject(r#"{"type":"map","values":"null"}"#, long(1 << 60), RejectCode::Truncated, 9);
    check_reject(
        r#"{"type":"fixed","name":"F","size":1152921504606846976}"#,
        [0; 9],
        RejectCode::Truncated,
        0,
    );
}

#[test]
fn endless_values_end() {
    for items in [
        r#""null""#,
        r#"{"type":"record","name":"R","fields":[]}"#,
        r#"{"type":"fixed","name":"F","size":0}"#,
    ] {
        for count in [1 << 60, i64::MAX] {
            let schema = format!(r#"{{"type":"array","items":{items}}}"#);
            let reject = decoded(&compiled(&schema), &long(count)).expect_err("too large");
            assert_eq!(reject.0, RejectCode::TooLarge, "{items}");
        }
        let schema = format!(r#"{{"type":"array","items":{items}}}"#);
        let blocks = long(1_000_000).repeat(100);
        assert_eq!(decoded(&compiled(&schema), &blocks).expect_err("too large").0, RejectCode::TooLarge);
    }
    // Each type has the one before it twice: 2^40 records in no bytes.
    let mut doubled = r#"{"type":"record","name":"R0","fields":[]}"#.to_owned();
    for level in 1..=40 {
        let inner = level - 1;
        doubled = format!(
            r#"{{"type":"record","name":"R{level}","fields":[{{"name":"a","type":{doubled}}},{{"name":"b","type":"R{inner}"}}]}}"#
        );
    }
    // That many fields cannot be listed either.
    assert!(AvroSchema::new(&text(&doubled, &[])).is_err());
}

#[test]
fn a_large_string_is_too_large() {
    let long_text = "a".repeat(write::MAX_OUTPUT - 2);
    assert!(decoded(&compiled(r#""string""#), &counted(&long_text)).is_ok());
    for text in [format!("{long_text}aaaa"), "\u{1}".repeat(write::MAX_OUTPUT / 6 + 1)] {
        check_reject(r#""string""#, counted(text), RejectCode::TooLarge, 0);
    }
    check_reject(r#""bytes""#, counted(vec![0; write::MAX_OUTPUT]), RejectCode::TooLarge, 0);
}

#[test]
fn nesting_is_bounded() {
    let list = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#;
    let nested = |levels: usize| [vec![2; levels - 1], vec![0]].concat();
    check(list, nested(2), r#"{"next":{"next":null}}"#);
    assert!(decoded(&compiled(list), &nested(64)).is_ok());
    check_reject(list, nested(65), RejectCode::TooDeep, 64);
    check_reject(list, nested(1_000_000), RejectCode::TooDeep, 64);
    // Without any bytes.
    let endless = r#"{"type":"record","name":"E","fields":[{"name":"e","type":"E"}]}"#;
    check_reject(endless, [], RejectCode::TooDeep, 0);
    let arrays =
        r#"{"type":"record","name":"A","fields":[{"name":"a","type":{"type":"array","items":"A"}}]}"#;
    check_reject(arrays, [2; 100], RejectCode::TooDeep, 32);
}
