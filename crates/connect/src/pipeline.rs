//! From the bytes of a record to a message: convert, transform, lay out. One for each thread.
//!
//! Only a [`Pipeline`] makes a [`Message`], and the worker's publisher takes nothing else. A pipeline exists only for a
//! configuration that removes or replaces personal data in the value, or says that it may pass; see [`crate::connector`].
//!
//! ```compile_fail,E0451
//! fn forged(out: pubsub::OutMessage, ordering_key: std::sync::Arc<str>) -> connect::pipeline::Message {
//!     connect::pipeline::Message { out, ordering_key }
//! }
//! ```

use std::{borrow::Cow, fmt, sync::Arc};

use codec::{Part, registry::Fetcher};
use connector::keyring::Keyring;
use event::EventTime;
use pubsub::{Attributes, Encoder, OutMessage, limits::Violation};

use crate::{
    connector::{Connector, ConverterConfig, Step},
    converters::{self, Compiled, Converter, Unconverted},
    data::{DataError, Datum, Headers, Record, Stage, Value, text},
    message::Layout,
    transforms::Verdict,
};

/// A record as it is in Kafka. It has no `Debug`, because it can be personal data.
pub struct Raw<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: u64,
    /// Kafka's timestamp in milliseconds.
    pub timestamp: Option<i64>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// The headers; read only if [`Pipeline::needs_headers`].
    pub headers: Headers<'a>,
}

/// A message that may be published. Its `Debug` has no content.
#[derive(Clone)]
pub struct Message {
    out: OutMessage,
    ordering_key: Arc<str>,
}

/// The data of a message, if there is any, and names and values of its attributes.
pub type DataAndAttributes = (Option<Vec<u8>>, Vec<(String, String)>);

/// The outcome of a record. Its `Debug` has no content.
pub enum Outcome {
    /// It is published.
    Message(Message),
    /// A transform dropped it.
    Dropped,
    /// It has neither a value nor attributes, so there is nothing to publish.
    Empty,
    /// Its schema was requested, and nothing has changed. Give the record again.
    Waits,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Message(_) => "Message",
            Self::Dropped => "Dropped",
            Self::Empty => "Empty",
            Self::Waits => "Waits",
        })
    }
}

/// How the key is published.
enum KeyPolicy {
    Drop,
    Forward,
    Pseudonymise(Arc<Keyring>),
}

/// The compiled configuration of a connector.
pub struct Pipeline {
    key: Option<Box<dyn Converter>>,
    value: Box<dyn Converter>,
    steps: Vec<Step>,
    layout: Layout,
    policy: KeyPolicy,
    needs_headers: bool,
    encoder: Encoder,
    /// Messages share none: a connector can have any number of topics and partitions.
    no_attributes: Attributes,
    json: Vec<u8>,
    /// The last ordering key: most messages share it with the one before.
    last_key: Arc<str>,
}

impl Message {
    /// The encoded message.
    pub fn out(&self) -> &OutMessage {
        &self.out
    }

    /// Its ordering key; empty without one.
    pub fn ordering_key(&self) -> &Arc<str> {
        &self.ordering_key
    }
}

impl Pipeline {
    /// Compiles a configuration. Reads the keyring, if it needs one.
    ///
    /// # Errors
    /// If a file that it needs has changed since the validation.
    pub fn new(connector: &Connector) -> Result<Self, String> {
        let values = &connector.values;
        let policy = match values.text("aqueduct.key") {
            Some("forward") => KeyPolicy::Forward,
            Some("pseudonymise") => {
                let path = values.text("aqueduct.keyring").unwrap_or_default();
                let keyring = Keyring::load(path.as_ref()).map_err(|error| error.to_string())?;
                KeyPolicy::Pseudonymise(Arc::new(keyring))
            }
            _ => KeyPolicy::Drop,
        };
        let mut steps = connector.steps()?;
        let key = match policy {
            // Their results would not be published.
            KeyPolicy::Drop => {
                steps.retain(|step| !step.is_for_keys);
                None
            }
            _ => Some(build(&connector.key_converter, Part::Key)?),
        };
        let value = build(&connector.value_converter, Part::Value)?;
        let layout = Layout::of(values);
        let needs_headers = layout.needs_headers()
            || steps.iter().any(Step::needs_headers)
            || key.iter().chain([&value]).any(|converter| converter.needs_headers());
        Ok(Self {
            key,
            value,
            steps,
            layout,
            policy,
            needs_headers,
            encoder: Encoder::default(),
            no_attributes: Attributes::default(),
            json: Vec::new(),
            last_key: "".into(),
        })
    }

    /// What requests the schemas of its converters, the first time that it is called. A record whose schema is not known
    /// [waits](Outcome::Waits) until they run.
    pub fn fetchers(&mut self) -> Vec<Fetcher<Compiled>> {
        let converters = self.key.iter_mut().chain([&mut self.value]);
        converters.filter_map(|converter| converter.fetcher()).collect()
    }

    /// Whether it reads headers.
    pub fn needs_headers(&self) -> bool {
        self.needs_headers
    }

    /// Whether messages have ordering keys.
    pub fn is_ordered(&self) -> bool {
        self.layout.is_ordered()
    }

    /// The outcome of a record.
    ///
    /// # Errors
    /// If it cannot be published. The error has no content of the record.
    pub fn take(&mut self, raw: Raw<'_>) -> Result<Outcome, DataError> {
        let record = match self.transformed(raw) {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(Outcome::Dropped),
            Err(Unconverted::Waits) => return Ok(Outcome::Waits),
            Err(Unconverted::Error(error)) => return Err(error),
        };
        let key = match record.key.value.is_null() {
            true => None,
            false => match &self.policy {
                KeyPolicy::Drop => None,
                KeyPolicy::Forward => Some(key_text(&record.key)),
                KeyPolicy::Pseudonymise(keyring) => {
                    let key = keyring.key_at(EventTime(record.timestamp.unwrap_or_default()));
                    Some(match key_text(&record.key) {
                        // As `[anonymise]` does: the empty text identifies no one.
                        text if text.is_empty() => text,
                        text => Cow::Owned(String::from_utf8_lossy(&key.pseudonym(&*text)).into_owned()),
                    })
                }
            },
        };
        let parts = self.layout.parts(&record, key.as_deref(), &mut self.json)?;
        let Some(parts) = parts else { return Ok(Outcome::Empty) };
        let mut encoding = self.encoder.begin(&parts.data, &self.no_attributes);
        parts.attributes.iter().for_each(|(name, value)| encoding.attribute(name, &[&**value]));
        let out = match encoding.finish(&parts.ordering_key) {
            Ok(out) => out,
            Err(Violation::Empty) => return Ok(Outcome::Empty),
            Err(violation) => return Err(over(&violation)),
        };
        // Two empty keys are not compared byte by byte: see `connector::outgoing::Lane`.
        let is_empty = self.last_key.is_empty() && parts.ordering_key.is_empty();
        if !is_empty && *self.last_key != *parts.ordering_key {
            self.last_key = (&*parts.ordering_key).into();
        }
        Ok(Outcome::Message(Message { out, ordering_key: self.last_key.clone() }))
    }

    /// The data and the attributes that the sink makes of a value alone, for comparisons with the original.
    ///
    /// # Errors
    /// If the sink cannot send it.
    pub fn value_of(&self, record: &Record<'_>) -> Result<DataAndAttributes, DataError> {
        self.layout.value_of(record)
    }

    /// The record that reaches the sink; `None` if a transform drops it. The tests compare it with Kafka's transforms.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn transformed<'a>(&mut self, raw: Raw<'a>) -> Result<Option<Record<'a>>, Unconverted> {
        let part = |bytes| converters::Raw { topic: raw.topic, bytes, headers: &raw.headers };
        let at = |stage| {
            move |error| match error {
                Unconverted::Error(error) => Unconverted::Error(error.at(stage)),
                Unconverted::Waits => Unconverted::Waits,
            }
        };
        let key = match &mut self.key {
            Some(key) => key.convert(&part(raw.key)).map_err(at(Stage::KeyConverter))?,
            None => Datum::NULL,
        };
        let value = self.value.convert(&part(raw.value)).map_err(at(Stage::ValueConverter))?;
        let mut record = Record {
            topic: Cow::Borrowed(raw.topic),
            partition: raw.partition,
            offset: raw.offset,
            timestamp: raw.timestamp,
            key,
            value,
            headers: raw.headers,
        };
        for step in &mut self.steps {
            if !step.is_for(&record) {
                continue;
            }
            let verdict = step.transform.apply(&mut record);
            if verdict.map_err(|error| error.at(Stage::Transformation))? == Verdict::Drop {
                return Ok(None);
            }
        }
        Ok(Some(record))
    }
}

fn build(converter: &ConverterConfig, part: Part) -> Result<Box<dyn Converter>, String> {
    let plugin = converters::find(&converter.class).ok_or("the class of a converter is not known")?;
    (plugin.build)(&converter.values, part).map_err(|(_, problem)| problem)
}

/// The text of a key, which becomes an attribute. Bytes are read as text.
fn key_text<'r>(key: &'r Datum<'_>) -> Cow<'r, str> {
    match &key.value {
        Value::Text(text) => Cow::Borrowed(text),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes),
        value => Cow::Owned(text(value, key.schema.as_deref())),
    }
}

fn over(violation: &Violation) -> DataError {
    let problem = match violation {
        Violation::Empty => "the message is empty",
        Violation::TooLarge => "the message is larger than Pub/Sub accepts",
        Violation::TooManyAttributes => "the message has more than 100 attributes",
        Violation::AttributeName => "an attribute has a name that Pub/Sub does not accept",
        Violation::AttributeValue => "an attribute has a value of more than 1,024 bytes",
        Violation::OrderingKey => "the ordering key has more than 1,024 bytes",
    };
    DataError::new("CloudPubSubSink", problem)
}
