//! `ByteArrayConverter`: bytes as they are.

use std::{borrow::Cow, sync::Arc};

use super::{Converter, Plugin, Raw, Unconverted, converter_type, shared};
use crate::data::{Datum, Schema, Type, Value};

pub(super) const PLUGIN: Plugin = Plugin {
    class: "org.apache.kafka.connect.converters.ByteArrayConverter",
    keys: || vec![converter_type()],
    build: |_, _| Ok(Box::new(Bytes { schema: shared(Schema::of(Type::Bytes).optional()) })),
};

struct Bytes {
    schema: Arc<Schema>,
}

impl Converter for Bytes {
    fn convert<'a>(&mut self, raw: &Raw<'_, 'a>) -> Result<Datum<'a>, Unconverted> {
        let value = raw.bytes.map_or(Value::Null, |bytes| Value::Bytes(Cow::Borrowed(bytes)));
        Ok(Datum::with(self.schema.clone(), value))
    }
}
