//! What is a schema: names, references, defaults, logical types.

use super::*;

fn check_refused(schema: &str) {
    assert!(compile(&text(schema, &[])).is_err(), "{schema}");
}

#[test]
fn names_have_namespaces() {
    let schema = r#"{"type":"record","name":"Outer","namespace":"com.my-shop","fields":[
        {"name":"a","type":{"type":"enum","name":"E","symbols":["X"]}},
        {"name":"b","type":"E"},
        {"name":"c","type":"com.my-shop.E"},
        {"name":"d","type":{"type":"record","name":"other.Inner","fields":[
            {"name":"e","type":{"type":"fixed","name":"E","size":1}},{"name":"f","type":"E"},{"name":"g","type":"com.my-shop.E"}]}},
        {"name":"h","type":"other.E"}]}"#;
    check(
        schema,
        [0, 0, 0, 1, 2, 0, 3],
        r#"{"a":"X","b":"X","c":"X","d":{"e":"AQ==","f":"Ag==","g":"X"},"h":"Aw=="}"#,
    );
    assert_eq!(compiled(schema).name(), Some("com.my-shop.Outer"));
    // An empty namespace is none, inside of another, too.
    let schema = r#"{"type":"record","name":"n.R","fields":[
        {"name":"a","type":{"type":"record","name":"S","namespace":"","fields":[{"name":"b","type":["null","S"]}]}},
        {"name":"c","type":{"type":"error","name":"S","fields":[{"name":"d","type":["null","S"]}]}}]}"#;
    check(schema, [0, 2, 0], r#"{"a":{"b":null},"c":{"d":{"d":null}}}"#);
    check_refused(r#"{"type":"record","name":"a.R","fields":[{"name":"a","type":"b.R"}]}"#);
    check_refused(r#"{"type":"record","name":"a.R","fields":[{"name":"a","type":".R"}]}"#);
}

#[test]
fn names_have_any_letters() {
    let schema = r#"{"type":"record","name":"Zażółć","fields":[{"name":"gęś","type":{"type":"enum","name":"E","symbols":["jaźń"]}}]}"#;
    check(schema, [0], r#"{"gęś":"jaźń"}"#);
    check_refused(r#"{"type":"record","name":"R","fields":[{"name":"a-b","type":"int"}]}"#);
    check_refused(r#"{"type":"enum","name":"E","symbols":["1"]}"#);
    check_refused(r#"{"type":"fixed","name":"a b","size":1}"#);
}

#[test]
fn an_alias_leads_to_its_type() {
    let schema = r#"{"type":"record","name":"n.R","aliases":["Old","m.Older"],"fields":[{"name":"a","type":["null","n.Old"]}, {"name":"b","type":["null","m.Older"]}]}"#;
    check(schema, [2, 0, 2, 0, 0, 0], r#"{"a":{"a":null,"b":{"a":null,"b":null}},"b":null}"#);
}

#[test]
fn references_are_further_schemas() {
    let main = r#"{"type":"record","name":"n.R","fields":[{"name":"u","type":"n.User"},{"name":"a","type":"n.Address"},{"name":"c","type":"n.City"}]}"#;
    let address = r#"{"type":"record","name":"n.Address","fields":[{"name":"city","type":{"type":"enum","name":"City","symbols":["Kraków"]}}]}"#;
    let user = r#"{"type":"record","name":"n.User","fields":[{"name":"address","type":"Address"},{"name":"city","type":"City"}]}"#;
    // Many times, because `apache_avro` keeps what it was given in a map of random order.
    for _ in 0..20 {
        let schema = AvroSchema::new(&text(main, &[address, user, address])).expect("a schema");
        let expect =
            r#"{"u":{"address":{"city":"Kraków"},"city":"Kraków"},"a":{"city":"Kraków"},"c":"Kraków"}"#;
        assert_eq!(decoded(&schema, &[0, 0, 0, 0]).as_deref(), Ok(expect));
        assert_eq!(schema.name(), Some("n.R"));
    }
    let union = AvroSchema::new(&text(r#"["n.Address","n.User"]"#, &[address, user])).expect("a schema");
    assert_eq!(decoded(&union, &[0, 0]).as_deref(), Ok(r#"{"city":"Kraków"}"#));
    assert_eq!(union.name(), None);
    assert!(AvroSchema::new(&text(main, &[address])).is_err());
    assert!(AvroSchema::new(&text(main, &[address, user, "{"])).is_err());
}

#[test]
fn a_name_is_defined_once() {
    check_refused(
        r#"["null",{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"fixed","name":"F","size":1}},
            {"name":"b","type":{"type":"fixed","name":"F","size":2}}]}]"#,
    );
    let one = r#"{"type":"fixed","name":"F","size":1}"#;
    let other = r#"{"type":"fixed","name":"F","size":1,"logicalType":"decimal","precision":2}"#;
    assert!(AvroSchema::new(&text(r#""F""#, &[one, other])).is_err());
}

#[test]
fn defaults_are_not_read() {
    for default in [r#""x""#, "-1", "null", "{}", r#""\u00ff""#] {
        check(
            &format!(
                r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":{{"type":"int","logicalType":"date"}},"default":{default}}}]}}"#
            ),
            [0],
            r#"{"a":"1970-01-01"}"#,
        );
    }
    check(r#"{"type":"enum","name":"E","symbols":["A"],"default":"B"}"#, [0], r#""A""#);
}

#[test]
fn invalid_logical_types_are_ignored() {
    for (schema, bytes, expect) in [
        (r#"{"type":"string","logicalType":"date"}"#, &b"\x02a"[..], r#""a""#),
        (r#"{"type":"int","logicalType":"timestamp-millis"}"#, &[2], "1"),
        (r#"{"type":"long","logicalType":"date"}"#, &[2], "1"),
        (r#"{"type":"long","logicalType":"something"}"#, &[2], "1"),
        (r#"{"type":"long","logicalType":7}"#, &[2], "1"),
        (r#"{"type":"bytes","logicalType":"uuid"}"#, &[2, 1], r#""AQ==""#),
        (r#"{"type":"bytes","logicalType":"decimal"}"#, &[2, 1], r#""AQ==""#),
        (r#"{"type":"bytes","logicalType":"decimal","precision":0}"#, &[2, 1], r#""AQ==""#),
        (r#"{"type":"bytes","logicalType":"decimal","precision":2,"scale":3}"#, &[2, 1], r#""AQ==""#),
        (r#"{"type":"bytes","logicalType":"decimal","precision":2,"scale":-1}"#, &[2, 1], r#""AQ==""#),
        (r#"{"type":"bytes","logicalType":"decimal","precision":"2"}"#, &[2, 1], r#""AQ==""#),
        (r#"{"type":"fixed","name":"F","size":1,"logicalType":"decimal","precision":3}"#, &[1], r#""AQ==""#),
        (r#"{"type":"fixed","name":"F","size":1,"logicalType":"uuid"}"#, &[1], r#""AQ==""#),
        (r#"{"type":"fixed","name":"F","size":1,"logicalType":"duration"}"#, &[1], r#""AQ==""#),
        // Of a field, not of its type.
        (
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int","logicalType":"date"}]}"#,
            &[2],
            r#"{"a":1}"#,
        ),
    ] {
        check(schema, bytes, expect);
    }
    // A reference by name includes the logical type.
    let schema = r#"{"type":"record","name":"R","fields":[
        {"name":"a","type":{"type":"fixed","name":"D","size":1,"logicalType":"decimal","precision":2,"scale":1}},{"name":"b","type":"D"}]}"#;
    check(schema, [1, 2], r#"{"a":0.1,"b":0.2}"#);
}

#[test]
fn what_is_no_schema_is_refused() {
    for schema in [
        "",
        "{",
        "7",
        "null",
        r#""unknown""#,
        "{}",
        r#"{"type":"record","name":"R"}"#,
        r#"{"type":"record","fields":[]}"#,
        r#"{"type":"record","name":"R","fields":[7]}"#,
        r#"{"type":"record","name":"R","fields":[{"name":"a"}]}"#,
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#,
        r#"{"type":"enum","name":"E","symbols":["A","A"]}"#,
        r#"{"type":"enum","name":"E"}"#,
        r#"{"type":"fixed","name":"F"}"#,
        r#"{"type":"fixed","name":"F","size":-1}"#,
        r#"{"type":"array"}"#,
        r#"{"type":"map"}"#,
        r#"["int","int"]"#,
        r#"["int",["null"]]"#,
    ] {
        check_refused(schema);
    }
    check_refused(&r#"{"type":"array","items":"#.repeat(100_000));
}
