//! Generated cases: a configuration and a record.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use serde_json::{Map, Value, json};

/// Random choices that a seed repeats.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0.next_u64() % sides
    }

    /// One time in `times`.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.roll(among.len() as u64) as usize]
    }
}

const PACKAGE: &str = "org.apache.kafka.connect.transforms.";
const NAMES: [&str; 8] = ["a", "b", "c", "d.e", "cps_message_body", "user_id", "ü", ""];
const TOPICS: [&str; 4] = ["events", "db.users", "db.orders.v2", "a"];

pub(crate) fn case(dice: &mut Dice) -> Value {
    if dice.one_in(5) {
        return json!({ "properties": STANDARD.encode(properties(dice)) });
    }
    let steps = 1 + dice.roll(3);
    let transforms: Vec<Value> = (0..steps).map(|_| transform(dice)).collect();
    let (key_converter, key) = part(dice);
    let (value_converter, value) = part(dice);
    let headers = if dice.one_in(2) { json!([["h", "x"], ["trace", "1"]]) } else { json!([]) };
    let timestamp =
        if dice.one_in(5) { Value::Null } else { json!(1_700_000_000_000_i64 + dice.roll(1_000_000) as i64) };
    json!({
        "transforms": transforms,
        "key.converter": key_converter,
        "value.converter": value_converter,
        "topic": dice.pick(&TOPICS),
        "partition": dice.roll(9),
        "offset": dice.roll(1 << 40),
        "timestamp": timestamp,
        "key": key,
        "value": value,
        "headers": headers,
    })
}

/// A properties file of the characters that matter to its syntax.
fn properties(dice: &mut Dice) -> Vec<u8> {
    const BYTES: &[u8] = b"ab=: \t\x0c\\\\\n\n\r#!un1\xfc";
    (0..dice.roll(40)).map(|_| dice.pick(BYTES)).collect()
}

fn names(dice: &mut Dice) -> String {
    let count = dice.roll(3);
    let names: Vec<&str> = (0..=count).map(|_| dice.pick(&NAMES[..7])).collect();
    names.join(",")
}

fn transform(dice: &mut Dice) -> Value {
    let part = if dice.one_in(4) { "Key" } else { "Value" };
    let mut config = Map::new();
    let mut set = |key: &str, value: &str| {
        config.insert(key.to_owned(), Value::from(value));
    };
    let kind = match dice.roll(7) {
        0 | 1 => {
            set("fields", &names(dice));
            if dice.one_in(3) {
                set("replacement", dice.pick(&["7", "x", "12.5", "-300", "70000"]));
            }
            format!("MaskField${part}")
        }
        2 => {
            if dice.one_in(2) {
                set("exclude", &names(dice));
            }
            if dice.one_in(3) {
                set("include", &names(dice));
            }
            if dice.one_in(2) {
                set("renames", dice.pick(&["a:z", "b:body", "a:x,c:y", "broken", "a:b:c", "user_id:uid"]));
            }
            format!("ReplaceField${part}")
        }
        3 => {
            set("field", dice.pick(&["a", "b", "c", "d.e", "a.b", "`d.e`.a", "c.a", "b.b.a", "`a"]));
            if dice.one_in(2) {
                set("field.syntax.version", dice.pick(&["V1", "V2", "v2"]));
            }
            format!("ExtractField${part}")
        }
        4 => {
            for key in ["topic.field", "partition.field", "offset.field"] {
                if dice.one_in(3) {
                    set(key, dice.pick(&["t", "p!", "o?", "new", "a"]));
                }
            }
            if dice.one_in(5) {
                set("timestamp.field", "time");
            }
            if dice.one_in(3) {
                set("static.field", "s");
                if !dice.one_in(4) {
                    set("static.value", "text");
                }
            }
            format!("InsertField${part}")
        }
        5 => {
            set("regex", dice.pick(&["db\\.(.*)", "(.*)", "events|a", "(d)(b)\\.(\\w+).*", "[a-z]+"]));
            set("replacement", dice.pick(&["x", "t-$0", "x\\$y", "$0$0"]));
            "RegexRouter".to_owned()
        }
        _ => {
            let predicate = predicate(dice);
            return json!({ "type": format!("{PACKAGE}Filter"), "config": {}, "predicate": predicate, "negate": dice.one_in(3) });
        }
    };
    if kind != "RegexRouter" && dice.one_in(4) {
        set("replace.null.with.default", dice.pick(&["true", "false"]));
    }
    let predicate = if dice.one_in(4) { predicate(dice) } else { Value::Null };
    json!({ "type": format!("{PACKAGE}{kind}"), "config": config, "predicate": predicate, "negate": dice.one_in(3) })
}

fn predicate(dice: &mut Dice) -> Value {
    let (kind, config) = match dice.roll(3) {
        0 => ("TopicNameMatches", json!({ "pattern": dice.pick(&["db\\..*", "events", "e.*s", "b.*"]) })),
        1 => ("HasHeaderKey", json!({ "name": dice.pick(&["h", "trace", "none"]) })),
        _ => ("RecordIsTombstone", json!({})),
    };
    json!({ "type": format!("{PACKAGE}predicates.{kind}"), "config": config })
}

/// A converter with its configuration, and bytes for it.
fn part(dice: &mut Dice) -> (Value, Value) {
    let json_converter =
        |config: Value| json!({ "class": "org.apache.kafka.connect.json.JsonConverter", "config": config });
    let plain = json!({ "schemas.enable": "false" });
    match dice.roll(13) {
        10.. => {
            let (schema, bytes) = crate::avro::record(dice);
            (json!({ "class": "avro", "config": { "schema": schema.to_string() } }), encoded(&bytes))
        }
        0 => {
            let class = json!({ "class": "org.apache.kafka.connect.storage.StringConverter", "config": {} });
            (class, encoded(dice.pick(&[&b"text"[..], b"", b"\xc3\xbc", b"\xff\xfe"])))
        }
        1 => {
            let class =
                json!({ "class": "org.apache.kafka.connect.converters.ByteArrayConverter", "config": {} });
            (class, encoded(dice.pick(&[&b"\x00\x01"[..], b"", b"{}"])))
        }
        2 => (json_converter(plain), Value::Null),
        3..=5 => {
            let value = if dice.one_in(8) { scalar(dice) } else { object(dice, 2) };
            (json_converter(plain), encoded(value.to_string().as_bytes()))
        }
        _ => {
            let replaces = dice.pick(&["true", "false"]);
            let config = json!({ "schemas.enable": "true", "replace.null.with.default": replaces });
            let depth = if dice.one_in(6) { 0 } else { 2 };
            let (schema, payload) = typed(dice, depth, depth > 0);
            (
                json_converter(config),
                encoded(json!({ "schema": schema, "payload": payload }).to_string().as_bytes()),
            )
        }
    }
}

fn encoded(bytes: &[u8]) -> Value {
    Value::from(STANDARD.encode(bytes))
}

fn scalar(dice: &mut Dice) -> Value {
    match dice.roll(7) {
        0 => Value::Null,
        1 => Value::from(dice.one_in(2)),
        2 => Value::from(dice.roll(2_000) as i64 - 1_000),
        3 => Value::from((dice.roll(2_000) as f64 - 1_000.0) / 8.0),
        4 => Value::from("text\n\"ü😀"),
        5 => Value::from(""),
        _ => Value::from(i64::MAX - dice.roll(9) as i64),
    }
}

fn object(dice: &mut Dice, depth: u64) -> Value {
    let mut members = Map::new();
    for _ in 0..dice.roll(6) {
        let value = match dice.roll(5) {
            0 if depth > 0 => object(dice, depth - 1),
            1 if depth > 0 => Value::from_iter((0..dice.roll(3)).map(|_| scalar(dice))),
            _ => scalar(dice),
        };
        members.insert(dice.pick(&NAMES).to_owned(), value);
    }
    Value::Object(members)
}

/// A schema and a payload that is valid for it, or null.
fn typed(dice: &mut Dice, depth: u64, is_struct: bool) -> (Value, Value) {
    let is_optional = dice.one_in(2);
    let (mut schema, payload) = match dice.roll(if depth > 0 { 15 } else { 11 }) {
        _ if is_struct => structure(dice, depth),
        0 => (json!({ "type": "boolean" }), Value::from(dice.one_in(2))),
        1 => (json!({ "type": "int8" }), Value::from(dice.roll(256) as i64 - 128)),
        2 => (json!({ "type": "int16" }), Value::from(dice.roll(60_000) as i64 - 30_000)),
        3 => (json!({ "type": "int32" }), Value::from(dice.roll(1 << 31) as i64)),
        4 => (json!({ "type": "int64" }), Value::from(dice.roll(1 << 62) as i64 - (1 << 61))),
        5 => (json!({ "type": "float" }), Value::from(dice.roll(99) as f64 / 4.0)),
        6 => (json!({ "type": "double" }), Value::from(dice.roll(9_999_999) as f64 / 8.0)),
        7 | 8 => (json!({ "type": "string" }), Value::from(dice.pick(&["", "text", "ü😀", "a=b"]))),
        9 => {
            let schema = json!({ "type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "version": 1, "parameters": { "scale": "2" } });
            (schema, encoded(&(dice.roll(1 << 40) as i64 - (1 << 39)).to_be_bytes()))
        }
        10 => (json!({ "type": "string" }), Value::from("x")),
        11 => {
            let (items, payload) = typed(dice, 0, false);
            (json!({ "type": "array", "items": items }), Value::from(vec![payload; dice.roll(3) as usize]))
        }
        12 => {
            let (values, payload) = typed(dice, 0, false);
            let schema = json!({ "type": "map", "keys": { "type": "string" }, "values": values });
            (schema, json!({ dice.pick(&NAMES): payload }))
        }
        _ => structure(dice, depth),
    };
    schema["optional"] = Value::from(is_optional);
    if is_optional && schema["type"] == "string" && dice.one_in(3) {
        schema["default"] = Value::from("default");
    }
    let payload = if is_optional && !is_struct && dice.one_in(4) { Value::Null } else { payload };
    (schema, payload)
}

fn structure(dice: &mut Dice, depth: u64) -> (Value, Value) {
    let (mut fields, mut payload) = (Vec::new(), Map::new());
    let names: Vec<&str> = NAMES.into_iter().filter(|_| dice.one_in(2)).collect();
    for name in names {
        let inner = if dice.one_in(4) { depth.saturating_sub(1) } else { 0 };
        let (mut schema, value) = typed(dice, inner, false);
        schema["field"] = Value::from(name);
        fields.push(schema);
        if !(value.is_null() && dice.one_in(2)) {
            payload.insert(name.to_owned(), value);
        }
    }
    (json!({ "type": "struct", "fields": fields, "name": "s" }), Value::Object(payload))
}
