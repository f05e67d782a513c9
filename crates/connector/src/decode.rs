//! From the bytes of a record to the event that the anonymiser reads, by the declared format of the topic.
//!
//! See the crate `codec` for formats and schemas. The connector, `replay`, `check` and `anonymise` use this one decoder.

use std::{borrow::Cow, fmt, sync::Arc};

use codec::{Envelope, Field, Payload, Reject, Schema, SchemaId, Source, TopicCodec, TopicFormat};
use rustc_hash::FxHashMap;

use crate::anonymise::{RejectCode, canonical_number};

/// The declared formats of topics. A topic that is not among them has JSON values and text keys.
#[derive(Clone, Default)]
pub struct Formats(Arc<[(Arc<str>, TopicFormat)]>);

/// Decodes records on one thread. By default it leaves every record as it is.
#[derive(Default)]
pub struct Decoder {
    formats: Formats,
    topics: Vec<Topic>,
    /// Whether keys are decoded. A key that is dropped cannot be a reason for a reject.
    has_keys: bool,
}

struct Topic {
    name: Arc<str>,
    codec: TopicCodec,
    has_key_schema: bool,
    wants_headers: bool,
    unwrap: Option<Envelope>,
    /// By the address of a schema: the same schema, with the fields of the event in place of those of the value.
    events: FxHashMap<usize, Arc<dyn Schema>>,
}

/// A schema whose values are in an envelope, as the schema of the events in it.
struct EventSchema {
    value: Arc<dyn Schema>,
    fields: Vec<Field>,
}

/// A decoded record.
#[derive(Clone)]
pub struct Event<'a> {
    /// The text of the key.
    pub key: Option<Cow<'a, [u8]>>,
    /// The event as JSON; `None` for a tombstone.
    pub value: Option<&'a [u8]>,
    /// The schema of the value, if it has one.
    pub schema: Option<&'a Arc<dyn Schema>>,
}

/// Why there is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecoded {
    /// It can never be decoded. The code of the reject, and the byte of the key or value at which it was detected.
    Reject(&'static str, Option<usize>),
    /// The registry was asked for its schema. Give the record again later.
    Waits(SchemaId),
}

impl Formats {
    /// Formats by topic.
    pub fn new(formats: impl IntoIterator<Item = (Arc<str>, TopicFormat)>) -> Self {
        Self(formats.into_iter().collect())
    }

    /// The format of a topic, if it is declared.
    pub fn of(&self, topic: &str) -> Option<&TopicFormat> {
        self.0.iter().find(|(name, _)| **name == *topic).map(|(_, format)| format)
    }

    /// The topics whose values have a schema.
    pub(crate) fn with_schemas(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, format)| format.value.is_some()).map(|(topic, _)| &**topic)
    }
}

impl Decoder {
    /// A decoder with schemas and buffers of its own. Without `has_keys`, keys stay as they are.
    pub fn new(formats: &Formats, has_keys: bool) -> Self {
        let topic = |(name, format): &(Arc<str>, TopicFormat)| {
            let has_key_schema = has_keys && format.key.is_some();
            let key = format.key.clone().filter(|_| has_keys);
            let is_framed = |source: &Source| matches!(source, Source::Registry(_) | Source::Hermes { .. });
            let wants_headers = format.value.as_ref().is_some_and(is_framed)
                || key.as_ref().is_some_and(is_framed)
                || matches!(format.unwrap, Some(Envelope::CloudEvents));
            let codec = TopicCodec::new(name, TopicFormat { key, ..format.clone() });
            Topic {
                name: name.clone(),
                codec,
                has_key_schema,
                wants_headers,
                unwrap: format.unwrap.clone(),
                events: FxHashMap::default(),
            }
        };
        Self { formats: formats.clone(), topics: formats.0.iter().map(topic).collect(), has_keys }
    }

    /// Whether the headers of the topic's records are needed. Parsing them costs time.
    pub fn wants_headers(&self, topic: &str) -> bool {
        self.topics.iter().any(|known| known.wants_headers && *known.name == *topic)
    }

    /// The schema of the events in values that have this schema: without the topic's envelope. For files, whose schema
    /// is not that of a record.
    pub fn schema_of_events(&mut self, topic: &str, schema: &Arc<dyn Schema>) -> Arc<dyn Schema> {
        match self.topics.iter_mut().find(|known| *known.name == *topic) {
            Some(Topic { unwrap: Some(envelope), events, .. }) => of_event(events, schema, envelope).clone(),
            _ => schema.clone(),
        }
    }

    /// The event of a record. What needs no decoding is borrowed from the record.
    ///
    /// # Errors
    /// If the record cannot be decoded, or not yet.
    pub fn decode<'a>(&'a mut self, topic: &str, raw: &codec::Raw<'a>) -> Result<Event<'a>, Undecoded> {
        let Some(known) = self.topics.iter_mut().find(|known| *known.name == *topic) else {
            return Ok(Event { key: raw.key.map(Cow::Borrowed), value: raw.value, schema: None });
        };
        let has_key_schema = known.has_key_schema;
        let raw = codec::Raw { key: raw.key.filter(|_| self.has_keys), ..*raw };
        let decoded = known.codec.decode(&raw).map_err(|undecoded| match undecoded {
            codec::Undecoded::Reject(reject) => Undecoded::Reject(reject.code.as_str(), reject.at),
            codec::Undecoded::Waits(id) => Undecoded::Waits(id),
        })?;
        let key = match decoded.key {
            Some(json) if has_key_schema => scalar(json)?,
            key => key.map(Cow::Borrowed),
        };
        let schema = match (decoded.schema, &known.unwrap) {
            (Some(schema), Some(envelope)) => Some(of_event(&mut known.events, schema, envelope)),
            (schema, _) => schema,
        };
        Ok(Event { key, value: decoded.value, schema })
    }
}

/// Pointers and tags are those of the event. A schema keeps its address for as long as the codec keeps it.
fn of_event<'a>(
    events: &'a mut FxHashMap<usize, Arc<dyn Schema>>,
    value: &Arc<dyn Schema>,
    envelope: &Envelope,
) -> &'a Arc<dyn Schema> {
    let address = Arc::as_ptr(value).cast::<()>() as usize;
    events.entry(address).or_insert_with(|| {
        let fields = envelope.fields(value.fields());
        Arc::new(EventSchema { value: value.clone(), fields })
    })
}

impl Schema for EventSchema {
    fn decode(&self, payload: Payload<'_>, out: &mut Vec<u8>) -> Result<(), Reject> {
        self.value.decode(payload, out)
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn name(&self) -> Option<&str> {
        self.value.name()
    }

    fn subjects(&self) -> Option<&[String]> {
        self.value.subjects()
    }
}

/// Another decoder of the same formats, for another thread.
impl Clone for Decoder {
    fn clone(&self) -> Self {
        Self::new(&self.formats, self.has_keys)
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics = self.topics.iter().map(|topic| &topic.name);
        f.debug_list().entries(topics).finish()
    }
}

/// The text of a scalar, as pseudonyms are made from it; `None` for null.
fn scalar(json: &[u8]) -> Result<Option<Cow<'_, [u8]>>, Undecoded> {
    let reject = |code: RejectCode| Undecoded::Reject(code.as_str(), None);
    match json {
        b"null" => Ok(None),
        b"true" | b"false" => Ok(Some(Cow::Borrowed(json))),
        [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => Ok(Some(Cow::Borrowed(inner))),
        [b'"', ..] => {
            let text: String = serde_json::from_slice(json).map_err(|_| reject(RejectCode::NotJson))?;
            Ok(Some(Cow::Owned(text.into_bytes())))
        }
        [b'{' | b'[', ..] => Err(reject(RejectCode::UnexpectedShape)),
        number => {
            let text = std::str::from_utf8(number).ok().and_then(canonical_number);
            let text = text.ok_or_else(|| reject(RejectCode::Number))?;
            Ok(Some(Cow::Owned(text.into_owned().into_bytes())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A schema of JSON.
    fn schema(text: &str) -> Arc<dyn Schema> {
        let (format, text) = (codec::Format::JsonSchema, text.to_owned());
        let text = codec::SchemaText { format, text, references: Vec::new(), subjects: None };
        text.compile(None).expect("a schema")
    }

    fn decoder(has_keys: bool) -> Decoder {
        let source = || Some(Source::File(schema("{}")));
        let format = TopicFormat { value: source(), key: source(), unwrap: None };
        Decoder::new(&Formats::new([("events".into(), format)]), has_keys)
    }

    fn key(decoder: &mut Decoder, topic: &str, key: &str) -> Result<Option<String>, Undecoded> {
        let raw = codec::Raw { key: Some(key.as_bytes()), value: Some(b"{}"), headers: &[] };
        let event = decoder.decode(topic, &raw)?;
        assert_eq!(event.value, Some(&b"{}"[..]));
        assert_eq!(event.schema.is_some(), topic == "events");
        Ok(event.key.map(|key| String::from_utf8_lossy(&key).into_owned()))
    }

    #[test]
    fn a_key_with_a_schema_is_the_text_of_its_scalar() {
        let mut decoder = decoder(true);
        for (json, expected) in [
            ("\"u1\"", Some("u1")),
            (r#""a\"b\u00fc""#, Some("a\"bü")),
            ("12.50", Some("12.5")),
            ("-7", Some("-7")),
            ("true", Some("true")),
            ("null", None),
        ] {
            assert_eq!(key(&mut decoder, "events", json), Ok(expected.map(str::to_owned)), "{json}");
        }
        for shape in ["{\"a\":1}", "[1]"] {
            let reject = Err(Undecoded::Reject("unexpected-shape", None));
            assert_eq!(key(&mut decoder, "events", shape), reject, "{shape}");
        }
    }

    #[test]
    fn tags_are_those_of_the_event_in_its_envelope() {
        let mail = r#"{ "properties": { "mail": { "type": "string", "confluent:tags": ["PII"] } } }"#;
        let schema = schema(&format!("{{ \"properties\": {{ \"payload\": {mail} }} }}"));
        let value = Some(Source::File(schema));
        let unwrap = Some("/payload".parse().expect("an envelope"));
        let formats = Formats::new([("events".into(), TopicFormat { value, key: None, unwrap })]);
        let mut decoder = Decoder::new(&formats, false);
        let raw = codec::Raw { key: None, value: Some(br#"{"payload":{"mail":"m"}}"#), headers: &[] };
        for _ in 0..2 {
            let event = decoder.decode("events", &raw).expect("an event");
            assert_eq!(event.value, Some(&br#"{"mail":"m"}"#[..]));
            let fields = event.schema.expect("a schema").fields();
            assert_eq!(fields.iter().map(|field| field.pattern.as_str()).collect::<Vec<_>>(), ["/mail"]);
            assert_eq!(fields[0].tags, ["PII".into()]);
        }
    }

    #[test]
    fn a_key_that_is_dropped_is_not_decoded() {
        assert_eq!(key(&mut decoder(false), "events", "{"), Ok(None));
    }

    #[test]
    fn a_topic_without_a_format_stays_as_it_is() {
        let mut decoder = decoder(true);
        assert_eq!(key(&mut decoder, "others", "{"), Ok(Some("{".to_owned())));
        assert!(!decoder.wants_headers("others") && !decoder.wants_headers("events"), "no framing");
    }
}
