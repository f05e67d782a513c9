//! `StringConverter`: bytes as text.

use std::{borrow::Cow, sync::Arc};

use super::{Converter, Plugin, Raw, Unconverted, converter_type, shared};
use crate::{
    data::{Datum, Schema, Type, Value},
    define::{Importance, Key, Kind},
};

pub(super) const PLUGIN: Plugin = Plugin {
    class: "org.apache.kafka.connect.storage.StringConverter",
    keys: || {
        let encoding = Key::new("converter.encoding", Kind::String)
            .with_default("UTF-8")
            .importance(Importance::High)
            .titled("MEDIUM", "Encoding")
            .doc("The character set of the bytes: UTF-8, US-ASCII or ISO-8859-1.");
        vec![converter_type(), encoding]
    },
    build: |values, _| {
        let encoding = values.text("converter.encoding").unwrap_or_default().to_uppercase();
        let is_latin = match &*encoding {
            "UTF-8" | "UTF8" | "US-ASCII" | "ASCII" => false,
            "ISO-8859-1" | "ISO8859_1" | "LATIN1" => true,
            _ => {
                let problem = format!("Unsupported encoding {encoding}; use UTF-8, US-ASCII or ISO-8859-1");
                return Err(("converter.encoding", problem));
            }
        };
        Ok(Box::new(Text { schema: shared(Schema::of(Type::String).optional()), is_latin }))
    },
};

struct Text {
    schema: Arc<Schema>,
    is_latin: bool,
}

impl Converter for Text {
    /// Bytes that are not text become replacement characters, as in Java.
    fn convert<'a>(&mut self, raw: &Raw<'_, 'a>) -> Result<Datum<'a>, Unconverted> {
        let text = |bytes: &'a [u8]| match self.is_latin {
            true => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
            false => String::from_utf8_lossy(bytes),
        };
        let value = raw.bytes.map_or(Value::Null, |bytes| Value::Text(text(bytes)));
        Ok(Datum::with(self.schema.clone(), value))
    }
}
