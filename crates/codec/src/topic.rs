//! The decoder of one topic.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::{
    Decoded, Lookup, Part, Payload, Raw, Schema, SchemaId, Schemas, Undecoded,
    envelope::Envelope,
    framing,
    reject::{Reject, RejectCode},
    schema::Indexes,
    subjects::belongs,
};

/// A buffer that one large event has grown beyond this is given back before the next event.
const KEPT: usize = 1 << 20;

/// The declared format of one topic, with its schemas.
#[derive(Clone)]
pub struct TopicFormat {
    /// Where the schemas of values come from; `None` if values are JSON without a schema.
    pub value: Option<Source>,
    /// Where the schemas of keys come from; `None` if keys are text.
    pub key: Option<Source>,
    /// What surrounds the event in a value.
    pub unwrap: Option<Envelope>,
}

/// Where the schema of a key or value comes from.
#[derive(Clone)]
pub enum Source {
    /// From a registry, by the ID in Confluent's prefix or header. The schemas are those of the declared format: see
    /// [`Registry::schemas`](crate::registry::Registry::schemas).
    Registry(Arc<dyn Schemas>),
    /// From a registry, by Hermes's headers. They are about the value, so a key with this source is rejected.
    Hermes {
        /// The schemas of the declared format.
        schemas: Arc<dyn Schemas>,
        /// The subject to which the version in header `sv` refers. Hermes names it after the topic.
        subject: Arc<str>,
    },
    /// The same schema for every record, which has no framing.
    File(Arc<dyn Schema>),
}

/// Decodes the records of one topic on one thread. It keeps the schemas that it has seen, and its buffers.
///
/// Decoding never waits. When the schema of a record is not known yet, [`TopicCodec::decode`] returns
/// [`Undecoded::Waits`], and the registry has been asked. The caller keeps the record and the order of its partition,
/// and gives the record again later, for example each time that it polls; until then the answer is the same.
pub struct TopicCodec {
    topic: Arc<str>,
    value: PartCodec,
    key: PartCodec,
    unwrap: Option<Envelope>,
    unwrapped: Vec<u8>,
}

/// One part of the records.
struct PartCodec {
    part: Part,
    source: Option<Source>,
    known: Known,
    out: Vec<u8>,
}

/// The schemas that records of this topic have had. They never change, so the shared cache, which has a lock, is asked
/// once for each.
#[derive(Default)]
struct Known {
    places: FxHashMap<SchemaId, usize>,
    schemas: Vec<Result<Arc<dyn Schema>, RejectCode>>,
    /// Most records have the schema of the record before them.
    last: Option<(SchemaId, usize)>,
}

impl TopicCodec {
    /// A decoder for the records of `topic`.
    pub fn new(topic: &str, format: TopicFormat) -> Self {
        Self {
            topic: topic.into(),
            value: PartCodec::new(Part::Value, format.value),
            key: PartCodec::new(Part::Key, format.key),
            unwrap: format.unwrap,
            unwrapped: Vec::new(),
        }
    }

    /// The record as JSON. What needs no decoding is borrowed from `raw`, everything else from this decoder.
    ///
    /// # Errors
    /// [`Undecoded::Reject`] if the record can never be decoded, [`Undecoded::Waits`] if its schema is not known yet.
    pub fn decode<'a>(&'a mut self, raw: &Raw<'a>) -> Result<Decoded<'a>, Undecoded> {
        let key = match raw.key {
            Some(bytes) => Some(self.key.decode(&self.topic, bytes, raw.headers)?.0),
            None => None,
        };
        let Some(bytes) = raw.value else { return Ok(Decoded { key, value: None, schema: None }) };
        let (value, schema) = self.value.decode(&self.topic, bytes, raw.headers)?;
        let Some(envelope) = &self.unwrap else { return Ok(Decoded { key, value: Some(value), schema }) };
        clear(&mut self.unwrapped);
        let value = envelope.unwrap(value, raw.headers, &mut self.unwrapped).map_err(Undecoded::Reject)?;
        Ok(Decoded { key, value, schema })
    }
}

/// JSON or text, and the schema that it was decoded by.
type DecodedPart<'a> = (&'a [u8], Option<&'a Arc<dyn Schema>>);

impl PartCodec {
    fn new(part: Part, source: Option<Source>) -> Self {
        Self { part, source, known: Known::default(), out: Vec::new() }
    }

    fn decode<'a>(
        &'a mut self,
        topic: &str,
        bytes: &'a [u8],
        headers: &[(&str, &'a [u8])],
    ) -> Result<DecodedPart<'a>, Undecoded> {
        let (schema, payload) = match &self.source {
            None => return Ok((bytes, None)),
            Some(Source::File(schema)) => (schema, Payload { bytes, indexes: Indexes::None }),
            Some(Source::Registry(schemas)) => {
                let framed = framing::confluent(self.part, bytes, headers).map_err(Undecoded::Reject)?;
                let belongs = |schema: &dyn Schema| belongs_to(self.part, topic, topic, schema);
                (
                    self.known.find(&**schemas, framed.id, belongs).map_err(|no| no.of(self.part))?,
                    framed.payload,
                )
            }
            Some(Source::Hermes { schemas, subject }) => {
                let framed =
                    framing::hermes(self.part, bytes, headers, subject).map_err(Undecoded::Reject)?;
                let belongs = |schema: &dyn Schema| belongs_to(self.part, topic, subject, schema);
                (
                    self.known.find(&**schemas, framed.id, belongs).map_err(|no| no.of(self.part))?,
                    framed.payload,
                )
            }
        };
        let json = if schema.is_json() {
            payload.bytes
        } else {
            clear(&mut self.out);
            schema.decode(payload, &mut self.out).map_err(|reject| self.part.rejects(reject))?;
            &self.out
        };
        if self.part == Part::Value && json.trim_ascii_start().first() != Some(&b'{') {
            return Err(Undecoded::Reject(Reject::whole(RejectCode::NotAnObject)));
        }
        Ok((json, Some(schema)))
    }
}

impl Part {
    /// Schemas do not know which part they decode.
    fn rejects(self, reject: Reject) -> Undecoded {
        Undecoded::Reject(Reject { part: self, ..reject })
    }
}

impl Known {
    /// The schema with an ID, if it is known and belongs to this topic.
    fn find(
        &mut self,
        schemas: &dyn Schemas,
        id: SchemaId,
        belongs: impl Fn(&dyn Schema) -> bool,
    ) -> Result<&Arc<dyn Schema>, Missing> {
        let place = match &self.last {
            Some((last, place)) if *last == id => *place,
            _ => {
                let place = self.place(schemas, &id, belongs)?;
                self.last = Some((id, place));
                place
            }
        };
        self.schemas[place].as_ref().map_err(|code| Missing::Reject(*code))
    }

    fn place(
        &mut self,
        schemas: &dyn Schemas,
        id: &SchemaId,
        belongs: impl Fn(&dyn Schema) -> bool,
    ) -> Result<usize, Missing> {
        if let Some(place) = self.places.get(id) {
            return Ok(*place);
        }
        let schema = match schemas.lookup(id) {
            Lookup::Found(schema) if belongs(&*schema) => Ok(schema),
            Lookup::Found(_) => Err(RejectCode::ForeignSchema),
            Lookup::Unusable => return Err(Missing::Reject(RejectCode::UnusableSchema)),
            Lookup::Unknown => return Err(Missing::Reject(RejectCode::UnknownSchema)),
            Lookup::Pending => return Err(Missing::Waits(id.clone())),
        };
        self.schemas.push(schema);
        self.places.insert(id.clone(), self.schemas.len() - 1);
        Ok(self.schemas.len() - 1)
    }
}

/// Why there is no schema for an ID.
enum Missing {
    Reject(RejectCode),
    Waits(SchemaId),
}

impl Missing {
    fn of(self, part: Part) -> Undecoded {
        match self {
            Self::Reject(code) => Undecoded::Reject(Reject { code, part, at: None }),
            Self::Waits(id) => Undecoded::Waits(id),
        }
    }
}

/// A schema whose subjects are not known belongs to every topic.
fn belongs_to(part: Part, topic: &str, other: &str, schema: &dyn Schema) -> bool {
    schema
        .subjects()
        .is_none_or(|subjects| belongs(part, [topic, other], subjects, |name| schema.has_name(name)))
}

fn clear(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(KEPT);
}
