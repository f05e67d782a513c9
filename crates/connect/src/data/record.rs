//! A record between converters, transforms and the sink.

use std::{borrow::Cow, fmt, sync::Arc};

use super::{Schema, Value};

/// A key or value with its schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Datum<'a> {
    /// Its schema; `None` without one.
    pub schema: Option<Arc<Schema>>,
    /// The value.
    pub value: Value<'a>,
}

/// Names and values of headers, in the order of the record.
///
/// A name that is not UTF-8 has replacement characters.
pub type Headers<'a> = Vec<(Cow<'a, str>, Option<&'a [u8]>)>;

/// A record. It has no `Debug`, because it can be personal data.
#[derive(Clone, PartialEq)]
pub struct Record<'a> {
    /// The topic from which it was read; a transform can change it.
    pub topic: Cow<'a, str>,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: u64,
    /// Kafka's timestamp in milliseconds.
    pub timestamp: Option<i64>,
    /// The key.
    pub key: Datum<'a>,
    /// The value.
    pub value: Datum<'a>,
    /// The headers; empty if the pipeline needs none.
    pub headers: Headers<'a>,
}

/// The part of a pipeline in which a record failed, as the headers of a dead letter name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The converter of keys.
    KeyConverter,
    /// The converter of values.
    ValueConverter,
    /// A transform.
    Transformation,
    /// The sink.
    TaskPut,
}

/// A record that cannot be converted, transformed or sent. It never contains any part of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataError {
    /// Where it failed. The pipeline sets it; until then it is the sink.
    pub stage: Stage,
    /// The step that refuses it: a class, or a part of the sink.
    pub step: Cow<'static, str>,
    /// What is wrong. Names of fields come from the configuration.
    pub problem: Cow<'static, str>,
}

impl<'a> Datum<'a> {
    /// Null without a schema.
    pub const NULL: Self = Self { schema: None, value: Value::Null };

    /// A value without a schema.
    pub fn schemaless(value: Value<'a>) -> Self {
        Self { schema: None, value }
    }

    /// A value with its schema.
    pub fn with(schema: Arc<Schema>, value: Value<'a>) -> Self {
        Self { schema: Some(schema), value }
    }
}

impl DataError {
    /// An error of a step.
    pub fn new(step: impl Into<Cow<'static, str>>, problem: impl Into<Cow<'static, str>>) -> Self {
        Self { stage: Stage::TaskPut, step: step.into(), problem: problem.into() }
    }

    /// The same, at another stage.
    #[must_use]
    pub fn at(self, stage: Stage) -> Self {
        Self { stage, ..self }
    }
}

impl Stage {
    /// Its name in Connect.
    pub fn name(self) -> &'static str {
        match self {
            Self::KeyConverter => "KEY_CONVERTER",
            Self::ValueConverter => "VALUE_CONVERTER",
            Self::Transformation => "TRANSFORMATION",
            Self::TaskPut => "TASK_PUT",
        }
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.problem)
    }
}

impl std::error::Error for DataError {}
