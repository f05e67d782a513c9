//! `ProtobufConverter`: Confluent's mapping of Protobuf to Connect.
//!
//! A message is a struct; a `oneof` is a struct in it with a field for each alternative. Fields are optional, and those
//! without presence have their default. Enums are text. `google.type.Date`, `google.type.TimeOfDay`,
//! `google.protobuf.Timestamp` and `confluent.type.Decimal` have Connect's logical types. Groups cannot be converted, as
//! by Confluent's converter.

mod plan;
mod read;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use codec::{Payload, SchemaError, SchemaText, protobuf::Messages};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use rustc_hash::FxHashMap;

use super::{Compiled, Conversion, Options, rejected};
use crate::data::{Budget, DataError, Datum};
use plan::Root;

/// The step of this converter's errors.
pub(super) const STEP: &str = "ProtobufConverter";

/// A message takes a multiple of its bytes in memory. A longer one than Pub/Sub takes is not read.
const LONGEST: usize = 10_000_000;

/// Compiles a schema.
pub(super) fn compile(text: &SchemaText, options: Options) -> Result<Compiled, SchemaError> {
    let messages = Messages::new(text)?;
    let names = messages.names().to_vec();
    let conversion = Box::new(Protobuf { messages, options, roots: Mutex::default() });
    Ok(Compiled { conversion, names, subjects: text.subjects.clone() })
}

struct Protobuf {
    messages: Messages,
    options: Options,
    /// By the full name of the message. Most schemas have one message of which there are records.
    roots: Mutex<FxHashMap<String, Result<Arc<Root>, SchemaError>>>,
}

impl Conversion for Protobuf {
    fn convert<'a>(&self, payload: Payload<'a>) -> Result<Datum<'a>, DataError> {
        if payload.bytes.len() > LONGEST {
            return Err(error("the message is larger than Pub/Sub accepts"));
        }
        let (descriptor, start) = self.messages.find(payload).map_err(|reject| rejected(STEP, reject))?;
        let root = self.root(descriptor)?;
        let message = DynamicMessage::decode(descriptor.clone(), &payload.bytes[start..])
            .map_err(|_| error("the bytes are not a message of the schema"))?;
        let value = read::root(&root, message, &mut Budget::new())?;
        Ok(Datum::with(root.schema().clone(), value))
    }
}

impl Protobuf {
    fn root(&self, descriptor: &MessageDescriptor) -> Result<Arc<Root>, DataError> {
        let mut roots = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match roots.get(descriptor.full_name()) {
            Some(found) => found.clone(),
            None => {
                let built = plan::root(descriptor, self.options).map(Arc::new);
                roots.insert(descriptor.full_name().to_owned(), built.clone());
                built
            }
        };
        // What is wrong names types of the schema.
        found.map_err(|_| error("the schema cannot be converted"))
    }
}

fn error(problem: &'static str) -> DataError {
    DataError::new(STEP, problem)
}
