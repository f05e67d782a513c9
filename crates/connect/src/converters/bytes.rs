//! `ByteArrayConverter`: bytes as they are.

use std::{borrow::Cow, sync::Arc};

use super::{Converter, Plugin, converter_type, shared};
use crate::data::{DataError, Datum, Schema, Type, Value};

pub(super) const PLUGIN: Plugin = Plugin {
    class: "org.apache.kafka.connect.converters.ByteArrayConverter",
    keys: || vec![converter_type()],
    build: |_, _| Ok(Box::new(Bytes { schema: shared(Schema::of(Type::Bytes).optional()) })),
};

struct Bytes {
    schema: Arc<Schema>,
}

impl Converter for Bytes {
    fn convert<'a>(&mut self, bytes: Option<&'a [u8]>) -> Result<Datum<'a>, DataError> {
        let value = bytes.map_or(Value::Null, |bytes| Value::Bytes(Cow::Borrowed(bytes)));
        Ok(Datum::with(self.schema.clone(), value))
    }
}
