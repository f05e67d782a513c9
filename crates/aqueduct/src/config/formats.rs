//! `[kafka.format]`, `[kafka.formats.TOPIC]` and `[schema_registry]` together: how the records of each topic are decoded.

use std::{path::Path, sync::Arc};

use codec::{
    Envelope, Format, Schema, Schemas, Source,
    registry::{Fetcher, Registry, RegistryConfig, RegistryError, RegistrySettings},
};
use connector::{
    anonymise::AnonymiseSettings,
    decode::{Decoder, Formats},
};
use kafka::{KafkaConfig, KeyFormat, SchemaSource, TopicFormat, Unwrap, ValueFormat};
use service::{Metrics, SettingsError};

use super::{Config, ConfigError};

/// The declared formats, with schemas that are in files. Nothing was asked of the registry.
pub(crate) struct Declared {
    topics: Vec<(TopicFormat, Option<Arc<dyn Schema>>)>,
    /// Only if a topic needs it.
    registry: Option<RegistryConfig>,
}

/// The declared formats, ready to decode.
pub(crate) struct Open {
    pub(crate) formats: Formats,
    /// The registry's cache, and the task that fills it.
    pub(crate) registry: Option<(Registry, Fetcher)>,
}

const SECTION: &str = "schema_registry";

impl Config {
    /// The declared formats of the topics of `[kafka]`. Reads the files with schemas.
    ///
    /// # Errors
    /// A file cannot be read or is not a schema; a topic needs the registry, and `[schema_registry]` is missing or wrong.
    pub(crate) fn formats(&self, kafka: &KafkaConfig) -> Result<Declared, ConfigError> {
        let mut errors = Vec::new();
        let mut topics = Vec::new();
        for format in kafka.formats.iter().filter(|format| !format.is_plain()) {
            match self.schema_file(format) {
                Ok(schema) => topics.push((format.clone(), schema)),
                Err(error) => {
                    // Topics share the keys of [kafka.format].
                    let is_known = |new: &SettingsError| {
                        errors.iter().any(|known: &SettingsError| known.to_string() == new.to_string())
                    };
                    let new: Vec<_> = error.0.into_iter().filter(|new| !is_known(new)).collect();
                    errors.extend(new);
                }
            }
        }
        let needs_registry = kafka.formats.iter().find(|format| format.needs_registry());
        let registry = match (self.registry_settings(), needs_registry) {
            (Err(error), _) => {
                errors.extend(error.0);
                None
            }
            (Ok(None), Some(format)) => {
                let is_value = matches!(format.schema, Some(SchemaSource::Registry | SchemaSource::Hermes));
                let key = if is_value { format.schema_place() } else { format.place("key") };
                errors.push(self.settings.error_at(
                    &format!("kafka.{key}"),
                    "needs the schema registry; add [schema_registry] with its url, or name a file in schema",
                ));
                None
            }
            (Ok(Some(_)), None) if errors.is_empty() => {
                errors.push(self.settings.error_at(
                    SECTION,
                    "has no effect, because no topic of kafka.format or kafka.formats has schemas from it; declare a format, or remove it",
                ));
                None
            }
            (Ok(settings), _) => settings,
        };
        self.check_tags(kafka, &topics, &mut errors);
        ConfigError::unless_empty(errors, Declared { topics, registry })
    }

    /// How lines of JSON become events of this topic, as in a file of its values: they have no schema, so that only an
    /// envelope is taken off. Without a topic they stay as they are.
    ///
    /// # Errors
    /// As [`formats`](Self::formats); or `[anonymise]` names tags, which only a schema has.
    pub(crate) fn line_decoder(&self, topic: &str) -> Result<Decoder, ConfigError> {
        self.refuse_tags()?;
        if topic.is_empty() { Ok(Decoder::default()) } else { self.lines_of_topics() }
    }

    /// Reads lines of JSON of any topic.
    ///
    /// # Errors
    /// A format is invalid.
    pub(crate) fn lines_of_topics(&self) -> Result<Decoder, ConfigError> {
        if !self.settings.has("kafka") {
            return Ok(Decoder::default());
        }
        Ok(Decoder::new(&self.formats(&self.kafka()?)?.of_lines(), false))
    }

    /// Refuses tags where events have no schema: what they protect would pass.
    ///
    /// # Errors
    /// `[anonymise]` names a tag.
    pub(crate) fn refuse_tags(&self) -> Result<(), ConfigError> {
        let Ok(Some(anonymise)) = self.settings.section::<AnonymiseSettings>("anonymise") else {
            return Ok(());
        };
        match anonymise.pseudonymise.tags.first() {
            None => Ok(()),
            Some(tag) => Err(self.error_at(
                "anonymise.pseudonymise",
                format!("\"tag:{tag}\" needs a schema, which lines of JSON do not have; read Kafka or .avro files, or write pointers"),
            )),
        }
    }

    /// `[schema_registry]`, whether or not a topic has a format that needs it.
    ///
    /// # Errors
    /// The section is missing or wrong.
    pub(crate) fn registry(&self) -> Result<RegistryConfig, ConfigError> {
        let _: RegistrySettings = self.required(SECTION)?;
        Ok(self.registry_settings()?.expect("a required section is there"))
    }

    /// `[schema_registry]`, if configured.
    fn registry_settings(&self) -> Result<Option<RegistryConfig>, ConfigError> {
        let Some(settings) = self.settings.section::<RegistrySettings>(SECTION)? else { return Ok(None) };
        let folder = self.settings.path().parent().unwrap_or(Path::new(""));
        match settings.resolve(folder) {
            Ok(config) => match config.check_files() {
                Ok(()) => Ok(Some(config)),
                Err(RegistryError::Settings { key, problem }) => {
                    Err(self.error_at(&format!("{SECTION}.{key}"), problem))
                }
                Err(other) => Err(self.error_at(SECTION, other)),
            },
            Err(problems) => {
                let at = |problem: codec::registry::Problem| {
                    self.settings.error_at(&format!("{SECTION}.{}", problem.key), problem.text)
                };
                Err(ConfigError(problems.into_iter().map(at).collect()))
            }
        }
    }

    /// The schema of a topic, if it is in a file.
    fn schema_file(&self, format: &TopicFormat) -> Result<Option<Arc<dyn Schema>>, ConfigError> {
        let (Some(SchemaSource::File(path)), Some(kind)) = (&format.schema, of_value(format.value)) else {
            return Ok(None);
        };
        codec::files::load(&self.resolve(Path::new(path)), kind, format.message.as_deref())
            .map(Some)
            .map_err(|error| self.error_at(&format!("kafka.{}", format.place("schema")), error))
    }

    /// A tag needs a schema that has it. The schemas of a registry are not known yet.
    fn check_tags(
        &self,
        kafka: &KafkaConfig,
        topics: &[(TopicFormat, Option<Arc<dyn Schema>>)],
        errors: &mut Vec<SettingsError>,
    ) {
        let Ok(Some(anonymise)) = self.settings.section::<AnonymiseSettings>("anonymise") else {
            return;
        };
        let has_schemas = kafka.formats.iter().any(|format| format.schema.is_some());
        if let Some(tag) = anonymise.pseudonymise.tags.first().filter(|_| !has_schemas) {
            errors.push(self.settings.error_at(
                "anonymise.pseudonymise",
                format!("\"tag:{tag}\" has no effect, because no topic of [kafka] has a schema; declare its format, or write pointers"),
            ));
            return;
        }
        if topics.iter().any(|(format, schema)| format.schema.is_some() && schema.is_none()) {
            return;
        }
        let schemas: Vec<&dyn Schema> = topics.iter().filter_map(|(_, schema)| schema.as_deref()).collect();
        if let Some(problem) = absent_tag(&anonymise.pseudonymise.tags, &schemas) {
            errors.push(self.settings.error_at("anonymise.pseudonymise", problem));
        }
    }
}

impl Declared {
    /// Whether the schemas of a topic are known only to the registry.
    pub(crate) fn needs_registry(&self) -> bool {
        self.registry.is_some()
    }

    /// Opens the registry's cache, if one is needed. Sends nothing yet.
    ///
    /// # Errors
    /// A file of `[schema_registry]` cannot be read.
    pub(crate) fn open(&self, metrics: &Metrics) -> Result<Open, RegistryError> {
        let registry = match &self.registry {
            Some(config) => Some(Registry::new(config.clone(), metrics)?),
            None => None,
        };
        let cache = registry.as_ref().map(|(cache, _)| cache);
        let formats = self.topics.iter().map(|(format, file)| {
            let format = self::format(format, file.as_ref(), cache);
            (format.0, format.1)
        });
        Ok(Open { formats: Formats::new(formats), registry })
    }

    /// As [`Self::open`], for the lines of files: they are events as JSON, of which only the envelope is to be taken off.
    pub(crate) fn of_lines(&self) -> Formats {
        Formats::new(self.topics.iter().filter_map(|(format, _)| {
            let unwrap = envelope_of(format)?;
            Some((format.topic.clone(), codec::TopicFormat { value: None, key: None, unwrap: Some(unwrap) }))
        }))
    }

    /// The topics with schemas from the registry, each with the subjects that are named after it.
    pub(crate) fn registered(&self) -> impl Iterator<Item = (&TopicFormat, [String; 2])> {
        self.topics.iter().filter_map(|(format, _)| match format.schema.as_ref()? {
            SchemaSource::Registry => {
                Some((format, [format!("{}-value", format.topic), format.topic.to_string()]))
            }
            SchemaSource::Hermes => {
                let subject = hermes_subject(&format.topic);
                Some((format, [subject.to_string(), format!("{subject}-value")]))
            }
            SchemaSource::File(_) => None,
        })
    }

    /// The topics with a schema in a file.
    pub(crate) fn schema_files(&self) -> impl Iterator<Item = (&TopicFormat, &Arc<dyn Schema>)> {
        self.topics.iter().filter_map(|(format, schema)| Some((format, schema.as_ref()?)))
    }
}

fn format(
    format: &TopicFormat,
    file: Option<&Arc<dyn Schema>>,
    registry: Option<&Registry>,
) -> (Arc<str>, codec::TopicFormat) {
    let schemas = |kind: Format| -> Option<Arc<dyn Schemas>> { registry.map(|cache| cache.schemas(kind)) };
    let value = of_value(format.value).and_then(|kind| match format.schema.as_ref()? {
        SchemaSource::Registry => schemas(kind).map(Source::Registry),
        SchemaSource::Hermes => {
            schemas(kind).map(|schemas| Source::Hermes { schemas, subject: hermes_subject(&format.topic) })
        }
        SchemaSource::File(_) => file.cloned().map(Source::File),
    });
    let key = of_key(format.key).and_then(schemas).map(Source::Registry);
    let unwrap = envelope_of(format);
    (format.topic.clone(), codec::TopicFormat { value, key, unwrap })
}

/// Hermes writes the Avro events of its topic `group.name` to the Kafka topic `group.name_avro`, and registers their schema
/// under the name of its own topic.
fn hermes_subject(topic: &str) -> Arc<str> {
    topic.strip_suffix("_avro").unwrap_or(topic).into()
}

fn of_value(value: ValueFormat) -> Option<Format> {
    match value {
        ValueFormat::Json => None,
        ValueFormat::Avro => Some(Format::Avro),
        ValueFormat::Protobuf => Some(Format::Protobuf),
        ValueFormat::JsonSchema => Some(Format::JsonSchema),
    }
}

fn of_key(key: KeyFormat) -> Option<Format> {
    match key {
        KeyFormat::Text => None,
        KeyFormat::Avro => Some(Format::Avro),
        KeyFormat::Protobuf => Some(Format::Protobuf),
        KeyFormat::JsonSchema => Some(Format::JsonSchema),
    }
}

/// The problem of the first tag that no field of these schemas has. What it is to protect would pass.
pub(crate) fn absent_tag(tags: &[Arc<str>], schemas: &[&dyn Schema]) -> Option<String> {
    let fields = || schemas.iter().flat_map(|schema| schema.fields());
    let tag = tags.iter().find(|tag| !fields().any(|field| field.tags.contains(tag)))?;
    let mut known: Vec<&str> = fields().flat_map(|field| &field.tags).map(|tag| &**tag).collect();
    known.sort_unstable();
    known.dedup();
    let known: Vec<String> = known.into_iter().map(|tag| format!("tag:{tag}")).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let hint = service::settings::hint(&format!("tag:{tag}"), &known, "tags");
    Some(format!("\"tag:{tag}\" is on no field of the schemas; {hint}"))
}

/// The envelope of a topic's values.
pub(crate) fn envelope_of(format: &TopicFormat) -> Option<Envelope> {
    format.unwrap.as_ref().map(envelope)
}

fn envelope(unwrap: &Unwrap) -> Envelope {
    match unwrap {
        Unwrap::Hermes => Envelope::Hermes,
        Unwrap::Debezium => Envelope::Debezium,
        Unwrap::CloudEvents => Envelope::CloudEvents,
        Unwrap::At(pointer) => Envelope::Pointer(pointer.clone()),
    }
}
