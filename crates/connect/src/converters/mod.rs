//! From the bytes of a key or value to a [`Datum`].
//!
//! A converter is one file with a [`Plugin`], and one line in [`PLUGINS`].

mod bytes;
mod json;
mod registry;
mod string;

use std::sync::Arc;

use codec::{Part, registry::Fetcher};

pub(crate) use json::{decimal_of, object_of};
pub use registry::Compiled;

use crate::{
    data::{DataError, Datum, Headers},
    define::{Importance, Key, Kind, Values},
};

/// Turns the bytes of one part of the records into values, on one thread.
pub trait Converter: Send {
    /// The value of a part of a record.
    ///
    /// # Errors
    /// If the bytes are not what the converter expects, or cannot be read yet. The error has no content of the record.
    fn convert<'a>(&mut self, raw: &Raw<'_, 'a>) -> Result<Datum<'a>, Unconverted>;

    /// Whether it reads headers.
    fn needs_headers(&self) -> bool {
        false
    }

    /// What requests schemas for this converter, once: without it records wait for ever.
    fn fetcher(&mut self) -> Option<Fetcher<Compiled>> {
        None
    }
}

/// A part of a record as it is in Kafka. It has no `Debug`, because it can be personal data.
pub struct Raw<'r, 'a> {
    /// The topic of the record.
    pub topic: &'r str,
    /// The bytes; `None` is a record without this part.
    pub bytes: Option<&'a [u8]>,
    /// The headers; empty if no part of the pipeline needs them.
    pub headers: &'r Headers<'a>,
}

/// Why there is no value.
#[derive(Debug)]
pub enum Unconverted {
    /// There is none.
    Error(DataError),
    /// Its schema was requested. The record has to be given again.
    Waits,
}

impl From<DataError> for Unconverted {
    fn from(error: DataError) -> Self {
        Self::Error(error)
    }
}

/// A kind of converter.
pub struct Plugin {
    /// The name of its class.
    pub class: &'static str,
    /// Its keys, without the prefix.
    pub keys: fn() -> Vec<Key>,
    /// Creates one from valid keys.
    ///
    /// # Errors
    /// The key, and what is wrong with its value.
    pub build: fn(&Values, Part) -> Built,
}

/// What [`Plugin::build`] returns.
pub type Built = Result<Box<dyn Converter>, (&'static str, String)>;

/// Every converter.
pub const PLUGINS: &[Plugin] =
    &[string::PLUGIN, bytes::PLUGIN, json::PLUGIN, registry::AVRO, registry::PROTOBUF, registry::JSON_SCHEMA];

/// The converter of a class, by its full or its simple name.
pub fn find(class: &str) -> Option<&'static Plugin> {
    PLUGINS.iter().find(|plugin| plugin.class == class || simple(plugin.class) == class)
}

/// What to use in the place of a converter that is not here; `None` if it is not known at all.
pub(crate) fn instead(class: &str) -> Option<String> {
    let instead = match simple(class) {
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
