//! `JsonSchemaConverter`: Confluent's mapping of JSON Schema to Connect.
//!
//! An object is a struct of its `properties`, and other members are left out. `oneOf` and `anyOf` with null are an optional
//! value, and otherwise a struct with a field for each alternative. Numbers are `int64` or `float64`, unless
//! `connect.type` says otherwise; a `title` is the name, so that it can be one of Connect's logical types.
//!
//! Records are not validated: only the type of each value is checked.

mod plan;
mod read;
#[cfg(test)]
mod tests;
mod tree;

use codec::{Payload, SchemaError, SchemaText};

use super::{Compiled, Conversion, Options};
use crate::data::{Budget, DataError, Datum};
use plan::Node;

/// The step of this converter's errors.
pub(super) const STEP: &str = "JsonSchemaConverter";

/// Compiles a schema.
pub(super) fn compile(text: &SchemaText, options: Options) -> Result<Compiled, SchemaError> {
    let (root, title) = plan::plan(text, options)?;
    let conversion = Box::new(JsonSchema { root, ignores_defaults: options.ignores_defaults });
    Ok(Compiled { conversion, names: title.into_iter().collect(), subjects: text.subjects.clone() })
}

struct JsonSchema {
    root: Node,
    ignores_defaults: bool,
}

impl Conversion for JsonSchema {
    fn convert<'a>(&self, payload: Payload<'a>) -> Result<Datum<'a>, DataError> {
        let mut budget = Budget::new();
        let tree = tree::parse(payload.bytes, &mut budget)?;
        let mut reader = read::Reader { budget: &mut budget, ignores_defaults: self.ignores_defaults };
        let value = reader.value(&self.root, Some(tree))?;
        Ok(Datum::with(self.root.schema.clone(), value))
    }
}

fn error(problem: impl Into<std::borrow::Cow<'static, str>>) -> DataError {
    DataError::new(STEP, problem)
}
