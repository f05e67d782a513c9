//! Records as Kafka Connect sees them: values with a schema or without one.
//!
//! A value without a schema comes from JSON and keeps its text: numbers as they are written, nested objects and arrays
//! unparsed, so that what no transform touches is copied from the record to the message.

mod budget;
mod java;
mod json;
mod record;
mod schema;
mod value;

pub(crate) use budget::Budget;
pub use java::text;
pub use json::write as write_json;
pub use record::{DataError, Datum, Headers, Record, Stage};
pub use schema::{Field, Schema, Type, logical};
pub use value::{Decimal, Member, Value};
