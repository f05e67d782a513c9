//! Confluent's converters: values with the ID of a schema in a registry.
//!
//! A format is one folder or file with a [`Plugin`] and a function that compiles a schema to a [`Conversion`].
//!
//! Nothing here waits: while a schema is requested, its record is [`Unconverted::Waits`], and the task gives it again. A
//! registry that does not answer is waited for, whatever `errors.tolerance` is: its records are not at fault.

mod avro;
mod json_schema;
mod options;
mod protobuf;
mod settings;

use std::sync::Arc;

use codec::{
    Format, Lookup, Part, Payload, Reject, SchemaError, SchemaId, SchemaText, Schemas, framing,
    registry::{Fetcher, Registry},
};
use rustc_hash::FxHashMap;
use service::Metrics;

use super::{Built, Converter, Plugin, Raw, Unconverted};
use crate::{
    data::{DataError, Datum},
    define::Values,
};
use options::Options;

pub(super) const AVRO: Plugin = Plugin {
    class: "io.confluent.connect.avro.AvroConverter",
    keys: settings::avro,
    build: |values, part| build(values, part, Format::Avro, avro::STEP),
};
pub(super) const PROTOBUF: Plugin = Plugin {
    class: "io.confluent.connect.protobuf.ProtobufConverter",
    keys: settings::protobuf,
    build: |values, part| build(values, part, Format::Protobuf, protobuf::STEP),
};
pub(super) const JSON_SCHEMA: Plugin = Plugin {
    class: "io.confluent.connect.json.JsonSchemaConverter",
    keys: settings::json_schema,
    build: |values, part| build(values, part, Format::JsonSchema, json_schema::STEP),
};

/// Makes values of the payloads of one schema.
trait Conversion: Send + Sync {
    /// The value of a payload.
    fn convert<'a>(&self, payload: Payload<'a>) -> Result<Datum<'a>, DataError>;
}

/// What a schema of the registry is compiled to.
pub struct Compiled {
    conversion: Box<dyn Conversion>,
    /// The full names of the records that it can be of.
    names: Vec<String>,
    /// The subjects that it is registered for, if the registry lists them.
    subjects: Option<Vec<String>>,
}

/// A converter with a registry.
struct Registered {
    part: Part,
    step: &'static str,
    schemas: Arc<dyn Schemas<Compiled>>,
    /// Requests schemas, until the task takes it.
    fetcher: Option<Fetcher<Compiled>>,
    reads_headers: bool,
    /// The schemas of this converter's records, by the topics that they belong to. They never change.
    known: FxHashMap<SchemaId, Arc<Compiled>>,
    /// Most records have the schema of the record before them.
    last: Option<(SchemaId, Arc<str>, Arc<Compiled>)>,
}

/// How many schemas a converter keeps beside the registry's cache.
const KEPT: usize = 1_000;

fn build(values: &Values, part: Part, format: Format, step: &'static str) -> Built {
    let config = settings::registry(values)?;
    let options = Options::of(values);
    let compile = move |text: &SchemaText| compile(text, format, options).map(Arc::new);
    // The metrics of a registry have no label for the connector, and so they are not shown.
    let (registry, fetcher) = Registry::compiling(config, &Metrics::default(), Arc::new(compile))
        .map_err(|error| ("schema.registry.url", error.to_string()))?;
    Ok(Box::new(Registered {
        part,
        step,
        schemas: registry.schemas(format),
        fetcher: Some(fetcher),
        reads_headers: settings::reads_headers(values, part),
        known: FxHashMap::default(),
        last: None,
    }))
}

fn compile(text: &SchemaText, format: Format, options: Options) -> Result<Compiled, SchemaError> {
    match (format, text.format == format) {
        (Format::Avro, true) => avro::compile(text, options),
        (Format::Protobuf, true) => protobuf::compile(text, options),
        (Format::JsonSchema, true) => json_schema::compile(text, options),
        (_, false) => Err(SchemaError("it is of another format".to_owned())),
    }
}

impl Converter for Registered {
    fn convert<'a>(&mut self, raw: &Raw<'_, 'a>) -> Result<Datum<'a>, Unconverted> {
        let Some(bytes) = raw.bytes else { return Ok(Datum::NULL) };
        let headers: Vec<(&str, &[u8])> = match self.reads_headers {
            true => raw.headers.iter().filter_map(|(name, value)| Some((&**name, (*value)?))).collect(),
            false => Vec::new(),
        };
        let framed = framing::confluent(self.part, bytes, &headers);
        let framed = framed.map_err(|reject| rejected(self.step, reject))?;
        let compiled = self.compiled(framed.id, raw.topic)?;
        Ok(compiled.conversion.convert(framed.payload)?)
    }

    fn needs_headers(&self) -> bool {
        self.reads_headers
    }

    fn fetcher(&mut self) -> Option<Fetcher<Compiled>> {
        self.fetcher.take()
    }
}

impl Registered {
    fn compiled(&mut self, id: SchemaId, topic: &str) -> Result<Arc<Compiled>, Unconverted> {
        if let Some((last, of, compiled)) = &self.last
            && *last == id
            && **of == *topic
        {
            return Ok(compiled.clone());
        }
        let compiled = match self.known.get(&id) {
            Some(compiled) => compiled.clone(),
            None => self.lookup(&id)?,
        };
        let is_name = |name: &str| compiled.names.iter().any(|own| own == name);
        let of_topic = |subjects: &Vec<String>| codec::belongs(self.part, [topic, topic], subjects, is_name);
        if !compiled.subjects.as_ref().is_none_or(of_topic) {
            return Err(self.error("the schema is registered for no subject of the topic"));
        }
        self.last = Some((id, topic.into(), compiled.clone()));
        Ok(compiled)
    }

    fn lookup(&mut self, id: &SchemaId) -> Result<Arc<Compiled>, Unconverted> {
        let compiled = match self.schemas.lookup(id) {
            Lookup::Found(compiled) => compiled,
            Lookup::Pending => return Err(Unconverted::Waits),
            Lookup::Unknown => return Err(self.error("the registry has no schema with this ID")),
            Lookup::Unusable => {
                return Err(self.error("the schema cannot be used, or is of another format"));
            }
        };
        if self.known.len() == KEPT {
            self.known.clear();
        }
        self.known.insert(id.clone(), compiled.clone());
        Ok(compiled)
    }

    fn error(&self, problem: &'static str) -> Unconverted {
        Unconverted::Error(DataError::new(self.step, problem))
    }
}

/// A reject of the codec as an error of the converter.
fn rejected(step: &'static str, reject: Reject) -> DataError {
    let problem = match reject.at {
        Some(at) => format!("{} at byte {at}", reject.code.as_str()),
        None => reject.code.as_str().to_owned(),
    };
    DataError::new(step, problem)
}

/// What each format's tests compare: a payload that was converted, as JSON, and its schema.
#[cfg(test)]
fn converted(compiled: &Compiled, bytes: &[u8]) -> Result<(String, crate::data::Schema), String> {
    let payload = codec::Payload { bytes, indexes: codec::Indexes::InPayload };
    let datum = compiled.conversion.convert(payload).map_err(|error| error.to_string())?;
    let schema = datum.schema.clone().expect("a schema");
    let mut json = Vec::new();
    crate::data::write_json(&datum.value, Some(&schema), &mut json);
    Ok((String::from_utf8(json).expect("text"), (*schema).clone()))
}
