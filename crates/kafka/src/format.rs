//! The declared formats of topics: `[kafka.format]` and `[kafka.formats.TOPIC]`.
//!
//! Pure, and only what is written: see the crate `codec` for what the formats mean.

use std::{fmt, sync::Arc};

use event::Pointer;
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

use crate::Problem;

/// The format of records, as it is written in the file. A key that a topic does not have is that of `[kafka.format]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormatSettings {
    /// How values are encoded. `json-schema` is JSON with the framing of a schema registry.
    ///
    /// Default: `"json"`
    ///
    /// Example: `value = "avro"`
    #[serde(default)]
    pub value: Option<ValueFormat>,
    /// How keys are encoded. A key with a schema has the registry's framing and must be a string, number or boolean.
    ///
    /// Default: `"text"`
    ///
    /// Example: `key = "avro"`
    #[serde(default)]
    pub key: Option<KeyFormat>,
    /// Where the schemas of values are: `"registry"`, by the ID before the value or in a header; `"hermes"`, by Hermes's
    /// headers `sid` and `sv`, also from the registry; or a file `.avsc`, `.proto` or `.desc`, for values without an ID.
    ///
    /// Default: `"registry"`
    ///
    /// Example: `schema = "events.avsc"`
    #[serde(default)]
    pub schema: Option<String>,
    /// Full name of the Protobuf message in values whose schema is from a file.
    ///
    /// Default: the only message of the file
    ///
    /// Example: `message = "shop.PageView"`
    #[serde(default)]
    pub message: Option<String>,
    /// The envelope around the event: `"hermes"`, `"debezium"`, `"cloudevents"`, or a pointer to the event.
    ///
    /// Example: `unwrap = "hermes"`
    #[serde(default)]
    pub unwrap: Option<Unwrap>,
}

/// How values are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueFormat {
    /// JSON without a schema.
    #[default]
    Json,
    /// Apache Avro.
    Avro,
    /// Protocol Buffers.
    Protobuf,
    /// JSON with the framing of a schema registry.
    JsonSchema,
}

/// How keys are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyFormat {
    /// Text.
    #[default]
    Text,
    /// Apache Avro.
    Avro,
    /// Protocol Buffers.
    Protobuf,
    /// JSON with the framing of a schema registry.
    JsonSchema,
}

/// What surrounds an event in a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unwrap {
    /// `metadata` and `message` of Hermes.
    Hermes,
    /// A change event of Debezium.
    Debezium,
    /// A cloud event, structured or with headers.
    CloudEvents,
    /// An object in the value.
    At(Pointer),
}

/// Where the schemas of values are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaSource {
    /// In the registry, by Confluent's framing.
    Registry,
    /// In the registry, by Hermes's headers.
    Hermes,
    /// In this file, as it is written.
    File(String),
}

/// The format of one topic, with all keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFormat {
    /// The topic.
    pub topic: Arc<str>,
    /// How values are encoded.
    pub value: ValueFormat,
    /// How keys are encoded.
    pub key: KeyFormat,
    /// Where the schemas of values are; `None` if values are JSON without a schema.
    pub schema: Option<SchemaSource>,
    /// The Protobuf message of a schema file.
    pub message: Option<String>,
    /// The envelope.
    pub unwrap: Option<Unwrap>,
    /// The table of the topic, for [`TopicFormat::place`].
    own: Option<FormatSettings>,
    /// Whether `[kafka.format]` has a key `schema`.
    has_schema: bool,
}

const UNWRAPS: &[&str] = &["hermes", "debezium", "cloudevents"];

impl TopicFormat {
    /// The format of a topic.
    pub(crate) fn new(topic: &Arc<str>, all: &FormatSettings, own: Option<&FormatSettings>) -> Self {
        let of = own.cloned().unwrap_or_default();
        let value = of.value.or(all.value).unwrap_or_default();
        let source = of.schema.as_deref().or(all.schema.as_deref()).unwrap_or("registry");
        let schema = (value != ValueFormat::Json).then(|| match source {
            "registry" => SchemaSource::Registry,
            "hermes" => SchemaSource::Hermes,
            path => SchemaSource::File(path.to_owned()),
        });
        let is_named = value == ValueFormat::Protobuf && matches!(schema, Some(SchemaSource::File(_)));
        Self {
            topic: topic.clone(),
            value,
            key: of.key.or(all.key).unwrap_or_default(),
            schema,
            message: of.message.or_else(|| all.message.clone()).filter(|_| is_named),
            unwrap: of.unwrap.or_else(|| all.unwrap.clone()),
            own: own.cloned(),
            has_schema: all.schema.is_some(),
        }
    }

    /// The dotted key below `kafka` that decides `key` for this topic, such as `formats.clicks.schema`.
    pub fn place(&self, key: &str) -> String {
        let is_own = self.own.as_ref().is_some_and(|own| own.has(key));
        if is_own { format!("{}.{key}", table(&self.topic)) } else { format!("format.{key}") }
    }

    /// As [`Self::place`], of what makes the source of schemas necessary: `schema`, or `value` where that is not written.
    pub fn schema_place(&self) -> String {
        let is_written = self.own.as_ref().is_some_and(|own| own.has("schema")) || self.has_schema;
        self.place(if is_written { "schema" } else { "value" })
    }

    /// Whether the schema registry is needed.
    pub fn needs_registry(&self) -> bool {
        self.key != KeyFormat::Text
            || matches!(self.schema, Some(SchemaSource::Registry | SchemaSource::Hermes))
    }

    /// Whether records are other than they are without a format: text and JSON.
    pub fn is_plain(&self) -> bool {
        self.value == ValueFormat::Json && self.key == KeyFormat::Text && self.unwrap.is_none()
    }

    /// Whether this key has an effect on the topic.
    fn uses(&self, key: &str) -> bool {
        match key {
            "schema" => self.schema.is_some(),
            "message" => {
                self.value == ValueFormat::Protobuf && matches!(self.schema, Some(SchemaSource::File(_)))
            }
            _ => true,
        }
    }
}

impl FormatSettings {
    fn has(&self, key: &str) -> bool {
        match key {
            "value" => self.value.is_some(),
            "key" => self.key.is_some(),
            "schema" => self.schema.is_some(),
            "message" => self.message.is_some(),
            "unwrap" => self.unwrap.is_some(),
            _ => false,
        }
    }
}

/// The table of a topic below `kafka`.
pub(crate) fn table(topic: &str) -> String {
    if topic.contains('.') { format!("formats.\"{topic}\"") } else { format!("formats.{topic}") }
}

/// Keys without an effect, and sources that do not fit their format.
pub(crate) fn problems(formats: &[TopicFormat], all: &FormatSettings) -> Vec<Problem> {
    let mut problems = Vec::new();
    for key in ["schema", "message"] {
        let unused = |text: &str, key: String| Problem { key, text: text.to_owned() };
        let text = match key {
            "schema" => {
                "has no effect, because values are JSON without a schema; write value = \"avro\", \"protobuf\" or \"json-schema\""
            }
            _ => {
                "has no effect; it names the message in a Protobuf schema from a file: value = \"protobuf\" and schema = \"events.proto\""
            }
        };
        for format in formats {
            if format.own.as_ref().is_some_and(|own| own.has(key)) && !format.uses(key) {
                problems.push(unused(text, format.place(key)));
            }
        }
        let inherits = |format: &&TopicFormat| !format.own.as_ref().is_some_and(|own| own.has(key));
        if all.has(key) && !formats.iter().filter(inherits).any(|format| format.uses(key)) {
            problems.push(unused(text, format!("format.{key}")));
        }
    }
    for format in formats {
        if let Some(problem) = format.problem() {
            let problem = Problem { key: format.place("schema"), text: problem };
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
    }
    problems
}

impl TopicFormat {
    /// What is wrong with the source of the schema.
    fn problem(&self) -> Option<String> {
        let SchemaSource::File(path) = self.schema.as_ref()? else { return None };
        let endings: &[&str] = match self.value {
            ValueFormat::Json => return None,
            ValueFormat::Avro => &[".avsc"],
            ValueFormat::Protobuf => &[".proto", ".desc"],
            ValueFormat::JsonSchema => {
                return Some(
                    "needs the registry: JSON with a schema has the registry's framing; write \"registry\", or value = \"json\" for plain JSON"
                        .to_owned(),
                );
            }
        };
        if endings.iter().any(|ending| path.ends_with(ending)) {
            return None;
        }
        let endings = endings.join(" or ");
        Some(format!("{path:?} is neither \"registry\" nor \"hermes\" nor a file {endings}"))
    }
}

impl<'de> Deserialize<'de> for Unwrap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(UnwrapVisitor)
    }
}

struct UnwrapVisitor;

impl Visitor<'_> for UnwrapVisitor {
    type Value = Unwrap;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"hermes\", \"debezium\", \"cloudevents\" or a JSON pointer")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Unwrap, E> {
        match text {
            "hermes" => Ok(Unwrap::Hermes),
            "debezium" => Ok(Unwrap::Debezium),
            "cloudevents" => Ok(Unwrap::CloudEvents),
            pointer if pointer.starts_with('/') => pointer.parse().map(Unwrap::At).map_err(E::custom),
            other => Err(E::unknown_variant(other, UNWRAPS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::KafkaSettings;

    /// The keys with a mistake.
    fn problems(formats: &str) -> Vec<String> {
        settings(formats).problems().into_iter().map(|problem| problem.key).collect()
    }

    fn settings(formats: &str) -> KafkaSettings {
        let text = format!(
            "bootstrap_servers = 'b:1'\ntopics = ['views', 'shop.clicks']\ngroup_id = 'g'\n{formats}"
        );
        toml::from_str(&text).expect("valid TOML")
    }

    use super::*;

    #[test]
    fn a_topic_inherits_what_it_does_not_declare() {
        let text = "[format]\nvalue = 'avro'\nunwrap = 'hermes'\n[formats.'shop.clicks']\nschema = 'hermes'\nkey = 'avro'";
        let config = settings(text).resolve("h").expect("valid");
        let [views, clicks] = &config.formats[..] else { panic!("one for each topic") };
        assert_eq!(
            (views.value, views.key, &views.schema),
            (ValueFormat::Avro, KeyFormat::Text, &Some(SchemaSource::Registry))
        );
        assert_eq!(
            (clicks.value, clicks.key, &clicks.schema),
            (ValueFormat::Avro, KeyFormat::Avro, &Some(SchemaSource::Hermes))
        );
        assert_eq!((&views.unwrap, &clicks.unwrap), (&Some(Unwrap::Hermes), &Some(Unwrap::Hermes)));
        assert_eq!(clicks.place("schema"), "formats.\"shop.clicks\".schema");
        assert_eq!(clicks.place("unwrap"), "format.unwrap");
        assert!(settings("").resolve("h").expect("valid").formats.iter().all(TopicFormat::is_plain));
    }

    #[test]
    fn keys_without_effect_are_mistakes() {
        assert_eq!(problems("[format]\nschema = 'registry'"), ["format.schema"]);
        assert_eq!(problems("[format]\nvalue = 'avro'\nmessage = 'a.B'"), ["format.message"]);
        assert_eq!(
            problems("[format]\nvalue = 'protobuf'\nmessage = 'a.B'"),
            ["format.message"],
            "the registry's framing has it"
        );
        assert!(problems("[format]\nvalue = 'protobuf'\nschema = 'a.proto'\nmessage = 'a.B'").is_empty());
        assert_eq!(problems("[formats.views]\nmessage = 'a.B'\n"), ["formats.views.message"]);
        // The other topic uses it.
        assert!(
            problems("[format]\nvalue = 'avro'\nschema = 'hermes'\n[formats.views]\nvalue = 'json'")
                .is_empty()
        );
    }

    #[test]
    fn sources_fit_their_format() {
        assert_eq!(problems("[format]\nvalue = 'avro'\nschema = 'a.proto'"), ["format.schema"]);
        assert_eq!(
            problems("[formats.views]\nvalue = 'json-schema'\nschema = 'a.json'"),
            ["formats.views.schema"]
        );
        assert_eq!(problems("[format]\nvalue = 'protobuf'\nschema = 'regstry'"), ["format.schema"]);
        assert_eq!(problems("[formats.vews]\nvalue = 'avro'"), ["formats.vews"]);
    }

    #[test]
    fn an_envelope_is_a_name_or_a_pointer() {
        let of = |text: &str| {
            toml::from_str::<FormatSettings>(&format!("unwrap = {text:?}")).map(|read| read.unwrap)
        };
        assert_eq!(of("/payload").ok().flatten(), Some(Unwrap::At("/payload".parse().expect("a pointer"))));
        assert_eq!(of("cloudevents").ok().flatten(), Some(Unwrap::CloudEvents));
        for wrong in ["debezum", "", "payload", "/~"] {
            assert!(of(wrong).is_err(), "{wrong:?}");
        }
    }
}
