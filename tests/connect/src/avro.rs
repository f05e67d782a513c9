//! Generated Avro: a schema and a value of it, encoded.

use serde_json::{Value, json};

use crate::cases::Dice;

const NAMES: [&str; 6] = ["a", "b", "c", "cps_message_body", "user_id", "day"];

/// A record with a value.
pub(crate) fn record(dice: &mut Dice) -> (Value, Vec<u8>) {
    let mut writer = Writer { dice, out: Vec::new(), types: 0 };
    let schema = writer.record(2);
    (schema, writer.out)
}

struct Writer<'d> {
    dice: &'d mut Dice,
    out: Vec<u8>,
    /// How many types have a name.
    types: u64,
}

impl Writer<'_> {
    fn long(&mut self, number: i64) {
        let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
        while rest >= 0x80 {
            self.out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.out.push(rest as u8);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.long(bytes.len() as i64);
        self.out.extend_from_slice(bytes);
    }

    fn name(&mut self) -> String {
        self.types += 1;
        format!("T{}", self.types)
    }

    fn record(&mut self, depth: u64) -> Value {
        let name = self.name();
        let mut fields = Vec::new();
        for name in NAMES {
            if self.dice.one_in(3) {
                fields.push(json!({ "name": name, "type": self.value(depth) }));
            }
        }
        json!({ "type": "record", "name": name, "namespace": "shop", "fields": fields })
    }

    /// A type; its value is appended.
    fn value(&mut self, depth: u64) -> Value {
        if self.dice.one_in(3) {
            return self.union(depth);
        }
        self.plain(depth)
    }

    /// A union with null, or of several types.
    fn union(&mut self, depth: u64) -> Value {
        match self.dice.roll(4) {
            0 => {
                self.long(0);
                json!(["null", "string"])
            }
            1 => {
                self.long(1);
                json!(["null", self.plain(depth)])
            }
            2 => {
                self.long(0);
                json!([self.plain(depth), "null"])
            }
            _ => {
                self.long(2);
                self.bytes(b"of a union");
                json!(["null", "int", "string", "boolean"])
            }
        }
    }

    fn plain(&mut self, depth: u64) -> Value {
        match self.dice.roll(if depth > 0 { 16 } else { 13 }) {
            0 => {
                let bit = u8::from(self.dice.one_in(2));
                self.out.push(bit);
                json!("boolean")
            }
            1 => {
                let number = self.dice.roll(1 << 32) as i64 - (1 << 31);
                self.long(number);
                json!("int")
            }
            2 => {
                let number = self.dice.roll(1 << 42) as i64 - (1 << 41);
                self.long(number);
                match self.dice.one_in(2) {
                    true => json!("long"),
                    false => json!({ "type": "long", "logicalType": "timestamp-millis" }),
                }
            }
            3 => {
                let number = self.dice.roll(999) as f32 / 4.0;
                self.out.extend_from_slice(&number.to_le_bytes());
                json!("float")
            }
            4 => {
                let number = self.dice.roll(9_999_999) as f64 / 8.0;
                self.out.extend_from_slice(&number.to_le_bytes());
                json!("double")
            }
            5 | 6 => {
                let text = self.dice.pick(&["", "text", "\u{fc}\u{1f600}", "a=b"]);
                self.bytes(text.as_bytes());
                json!("string")
            }
            7 => {
                self.bytes(b"\x00\xff");
                json!("bytes")
            }
            8 => {
                self.out.extend_from_slice(b"ab");
                json!({ "type": "fixed", "name": self.name(), "size": 2 })
            }
            9 => {
                self.long(1);
                json!({ "type": "enum", "name": self.name(), "symbols": ["X", "Y"] })
            }
            10 => {
                let days = self.dice.roll(40_000) as i64 - 10_000;
                self.long(days);
                json!({ "type": "int", "logicalType": "date" })
            }
            11 => {
                let millis = self.dice.roll(86_400_000) as i64;
                self.long(millis);
                let kind = if self.dice.one_in(2) { "time-millis" } else { "none" };
                json!({ "type": "int", "logicalType": kind })
            }
            12 => {
                let unscaled = self.dice.roll(1 << 40) as i64 - (1 << 39);
                self.bytes(&unscaled.to_be_bytes());
                json!({ "type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2 })
            }
            13 => {
                self.long(1);
                let items = self.plain(0);
                self.long(0);
                json!({ "type": "array", "items": items })
            }
            14 => {
                self.long(1);
                self.bytes(b"k");
                let values = self.value(0);
                self.long(0);
                json!({ "type": "map", "values": values })
            }
            _ => self.record(depth - 1),
        }
    }
}
