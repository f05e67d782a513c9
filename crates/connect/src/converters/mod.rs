//! From the bytes of a key or value to a [`Datum`].
//!
//! A converter is one file with a [`Plugin`], and one line in [`PLUGINS`].

mod bytes;
mod json;
mod string;

use std::sync::Arc;

pub(crate) use json::{decimal_of, object_of};

use crate::{
    data::{DataError, Datum},
    define::{Importance, Key, Kind, Values},
};

/// Turns the bytes of one part of the records into values, on one thread.
pub trait Converter: Send {
    /// The value of these bytes; `None` is a record without this part.
    ///
    /// # Errors
    /// If the bytes are not what the converter expects. The error has no content of the record.
    fn convert<'a>(&mut self, bytes: Option<&'a [u8]>) -> Result<Datum<'a>, DataError>;
}

/// A kind of converter.
pub struct Plugin {
    /// The name of its class.
    pub class: &'static str,
    /// Its keys, without the prefix.
    pub keys: fn() -> Vec<Key>,
    /// Creates one from valid keys, whose names have the prefix.
    ///
    /// # Errors
    /// The key without its prefix, and what is wrong with its value.
    pub build: fn(&Values, &str) -> Built,
}

/// What [`Plugin::build`] returns.
pub type Built = Result<Box<dyn Converter>, (&'static str, String)>;

/// Every converter.
pub const PLUGINS: &[Plugin] = &[string::PLUGIN, bytes::PLUGIN, json::PLUGIN];

/// The converter of a class, by its full or its simple name.
pub fn find(class: &str) -> Option<&'static Plugin> {
    PLUGINS.iter().find(|plugin| plugin.class == class || simple(plugin.class) == class)
}

/// What to use in the place of a converter that is not here; `None` if it is not known at all.
pub(crate) fn instead(class: &str) -> Option<String> {
    let instead = match simple(class) {
        "AvroConverter" | "ProtobufConverter" | "JsonSchemaConverter" => {
            "is not supported here yet; use `aqueduct connector` with [kafka.format], which decodes it"
        }
        "IntegerConverter" | "LongConverter" | "ShortConverter" | "DoubleConverter" | "FloatConverter"
        | "BooleanConverter" => {
            "is not supported here; use the ByteArrayConverter, which publishes the same bytes"
        }
        "CloudEventsConverter" => "is not supported here; use the JsonConverter with schemas.enable=false",
        _ => return None,
    };
    Some(format!("Class {class} {instead}"))
}

/// Whether headers can be published as if they were converted by this class. Their values are published as text.
pub(crate) fn of_headers(class: &str) -> bool {
    matches!(simple(class), "" | "SimpleHeaderConverter" | "StringConverter")
}

/// The part of a class's name behind the last point.
pub(crate) fn simple(class: &str) -> &str {
    class.rsplit_once('.').map_or(class, |(_, name)| name)
}

/// The key that every converter of Kafka has. The worker sets it.
fn converter_type() -> Key {
    Key::new("converter.type", Kind::String)
        .optional()
        .importance(Importance::Low)
        .doc("Whether the converter is for keys, values or headers.")
}

/// A schema that is made once.
fn shared(schema: crate::data::Schema) -> Arc<crate::data::Schema> {
    Arc::new(schema)
}
