//! Validates every configured section, each alone and all together.

use std::{fmt, sync::Arc};

use connector::{
    anonymise::{AnonymiseSettings, Anonymiser},
    keyring::{Keyring, KeyringError},
    outgoing::Outgoing,
};
use event::{EventTime, EventsSettings, Millis};
use flow::{Flow, TimeKind, row::FlowTable};
use kafka::KafkaConfig;
use processor::store::StateSettings;
use pubsub::{Endpoint, PubSubSettings};
use service::SettingsError;

use super::schemas::{self, Wanted};
use crate::{
    config::{Across, Config, ConfigError, Declared, NamedWriter, REQUIRED, envelope_of, unread_topics},
    errors::one_line,
};

/// The sections of the file.
#[derive(Default)]
pub(super) struct Sections {
    pub(super) kafka: Option<KafkaConfig>,
    /// How the records of its topics are decoded.
    pub(super) formats: Option<Declared>,
    pub(super) pubsub: Option<(PubSubSettings, Endpoint)>,
    pub(super) anonymise: Option<AnonymiseSettings>,
    /// The rules, with a temporary keyring if the configured one is not available.
    pub(super) anonymiser: Option<Anonymiser>,
    /// If one is needed.
    pub(super) keyring: Option<Result<Arc<Keyring>, KeyringError>>,
    pub(super) events: Option<EventsSettings>,
    pub(super) flows: Vec<Flow>,
    pub(super) tables: Vec<FlowTable>,
    pub(super) writers: Vec<NamedWriter>,
    pub(super) state: StateSettings,
    pub(super) warnings: Vec<String>,
    absent: Vec<&'static str>,
}

impl Sections {
    /// Reads all sections; errors are added to `errors`.
    pub(super) fn read(config: &Config, errors: &mut Vec<SettingsError>) -> Self {
        let mut sections = Self::default();
        let mut reader = Reader { config, errors, absent: &mut sections.absent };
        sections.kafka = reader.section("kafka", Config::kafka);
        let formats = |kafka: &KafkaConfig| reader.keep(config.formats(kafka));
        sections.formats = sections.kafka.as_ref().and_then(formats);
        sections.pubsub = reader.section("pubsub", |config| {
            let pubsub = config.pubsub()?;
            let endpoint = config.pubsub_endpoint(&pubsub)?;
            Ok((pubsub, endpoint))
        });
        sections.anonymise = reader.section("anonymise", Config::anonymise);
        sections.events = reader.section("events", Config::events);
        sections.flows = reader.section("flows", Config::flows).unwrap_or_default();
        sections.tables = reader.keep(config.tables_of(&sections.flows)).unwrap_or_default();
        let writers = if config.settings().has("writers") { "writers" } else { "writer" };
        sections.writers = reader.section(writers, Config::writers).unwrap_or_default();
        sections.state = reader.keep(config.state()).unwrap_or_default();
        reader.keep(config.check_memory(&sections.flows, &sections.state));
        reader.keep(config.service());
        if sections.absent.len() == REQUIRED.len() && errors.is_empty() {
            // Nothing to check: probably the wrong directory.
            errors.extend(config.kafka().err().into_iter().flat_map(|error| error.0));
        }
        if let Some(Err(error)) = sections.kafka.as_ref().map(KafkaConfig::check_combination) {
            errors.push(config.settings().error_at(
                "kafka.properties",
                format!("librdkafka rejects this combination of properties: {error}"),
            ));
        }
        sections.check_rules(config, errors);
        sections.check_schema_files(config);
        sections.check_topics(config);
        sections.check_cold_start(config);
        sections.check_processing_time(config);
        sections
    }

    /// The missing sections, in the format of the file.
    pub(super) fn absent(&self) -> Vec<String> {
        let written = |name: &str| match name {
            "flows" => "[[flows]]".to_owned(),
            table => format!("[{table}]"),
        };
        self.absent.iter().map(|name| written(name)).collect()
    }

    /// The messages of a killed processor are redelivered when their leases end. That must not be after
    /// `cold_start`, which accepts the lowest offset as the beginning.
    fn check_cold_start(&mut self, config: &Config) {
        let Some((_, endpoint)) = &self.pubsub else { return };
        let (lease, cold_start) = (Millis(endpoint.lease().as_millis() as i64), self.state.cold_start);
        if cold_start < lease {
            let text = format!(
                "\"{cold_start}\" is shorter than a Pub/Sub lease ({lease}); messages that are redelivered after the processor is killed in its first minute would not be counted; increase it"
            );
            self.warn(config, "state.cold_start", text);
        }
    }

    /// Processing time is the time at which Pub/Sub first had a message. A connector's marks show which
    /// earlier messages are still missing; on a topic that another producer fills there are none. There the
    /// messages of a killed processor are redelivered when their leases end, after newer messages, and count
    /// at the watermark.
    fn check_processing_time(&mut self, config: &Config) {
        let Some((_, endpoint)) = self.pubsub.as_ref().filter(|_| self.kafka.is_none()) else { return };
        // A restart by hand may take longer than one by the service manager.
        const LEAST: Millis = Millis(60_000);
        let restart = Millis(endpoint.lease().as_millis() as i64 + self.state.takeover_after.0).max(LEAST);
        let is_short = |flow: &Flow| flow.time == TimeKind::Processing && flow.out_of_orderness < restart;
        let short = self.flows.iter().enumerate().filter(|(_, flow)| is_short(flow));
        let text = |(number, flow): (usize, &Flow)| {
            let text = format!(
                "\"{}\" is shorter than a restart after a kill can take ({restart}), and without [kafka] no marks show which messages are missing; messages that are redelivered later would be counted in a later window; increase it",
                flow.out_of_orderness
            );
            (format!("flows[{number}].out_of_orderness"), text)
        };
        for (key, text) in short.map(text).collect::<Vec<_>>() {
            self.warn(config, &key, text);
        }
    }

    /// What the configuration reads, compared with schemas in files.
    fn check_schema_files(&mut self, config: &Config) {
        let Some(declared) = &self.formats else { return };
        let mut warnings = Vec::new();
        for (format, schema) in declared.schema_files() {
            let fields = schemas::unwrapped(schema.fields(), envelope_of(format).as_ref());
            let wanted = self.wanted(&format.topic);
            for finding in schemas::findings(&wanted, &[(1, fields.as_slice())]) {
                let text = finding.of_file(&format.topic);
                warnings.push((finding.key.clone(), text));
            }
        }
        for (key, text) in warnings {
            self.warn(config, &key, text);
        }
    }

    /// Names of topics in flows and `[events]`.
    fn check_topics(&mut self, config: &Config) {
        let Some(kafka) = &self.kafka else { return };
        let topics: Vec<&str> = kafka.topics.iter().map(AsRef::as_ref).collect();
        for (key, text) in unread_topics(&self.flows, self.events.as_ref(), &topics) {
            self.warn(config, &key, text);
        }
    }

    /// Everything that the configuration reads of the events of a topic.
    pub(super) fn wanted(&self, topic: &str) -> Vec<Wanted> {
        let pubsub = self.pubsub.as_ref().map(|(pubsub, _)| pubsub);
        let mut wanted = schemas::wanted(topic, self.events.as_ref(), self.anonymise.as_ref(), &self.flows);
        wanted.extend(pubsub.map(schemas::outgoing).unwrap_or_default());
        wanted
    }

    /// Without connections, where nothing else reports the keyring. It is often absent where a configuration is reviewed,
    /// which is only a warning.
    pub(super) fn check_keyring(&mut self, config: &Config, errors: &mut Vec<SettingsError>) {
        const KEY: &str = "anonymise.keyring";
        match &self.keyring {
            None | Some(Ok(_)) => {}
            Some(Err(KeyringError::Missing(path))) => {
                let text = format!(
                    "{} does not exist; a connector does not start without it; correct the path, or create it with `aqueduct \
                     keys new`",
                    path.display()
                );
                self.warn(config, KEY, text);
            }
            Some(Err(error)) => errors.push(config.settings().error_at(KEY, one_line(error))),
        }
    }

    fn warn(&mut self, config: &Config, key: &str, text: impl fmt::Display) {
        self.warnings.push(config.settings().error_at(key, text).to_string());
    }

    /// Errors that concern `[anonymise]`, the keyring, `[events]`, `[[flows]]` and `[pubsub]` together.
    fn check_rules(&mut self, config: &Config, errors: &mut Vec<SettingsError>) {
        let Some(anonymise) = &self.anonymise else { return };
        let load = || Keyring::load_with(&anonymise.keyring, anonymise.newest_key.as_deref()).map(Arc::new);
        let keyring = anonymise.needs_keyring().then(load);
        let pubsub = self.pubsub.as_ref().map(|(pubsub, _)| pubsub);
        let across = Across { anonymise, events: self.events.as_ref(), flows: &self.flows, pubsub };
        let usable = keyring.as_ref().and_then(|keyring| keyring.as_ref().ok());
        // Whether the keyring is usable is checked with the connections; the rules are checked without it,
        // too.
        let any = usable.cloned().or_else(throw_away_keyring);
        match Anonymiser::new(anonymise, self.events.as_ref(), any) {
            Ok(anonymiser) => {
                for warning in anonymiser.warnings() {
                    let line = config.settings().error_at(&warning.key, &warning.text);
                    self.warnings.push(line.to_string());
                }
                let outgoing = pubsub.map(Outgoing::new);
                self.anonymiser = Some(anonymiser.with_outgoing(outgoing.unwrap_or_default()));
            }
            Err(error) => errors.push(config.settings().error_at(&error.key(), error)),
        }
        let at = |(key, text): (String, String)| config.settings().error_at(&key, text);
        errors.extend(across.errors().into_iter().map(at));
        if let Some(keyring) = usable {
            errors.extend(across.rotation_errors(keyring).into_iter().map(at));
        }
        let at = |(key, text): (String, String)| config.settings().error_at(&key, text).to_string();
        self.warnings.extend(across.warnings().into_iter().map(at));
        self.keyring = keyring;
    }
}

/// A temporary keyring, because secrets are often not available where a configuration is reviewed.
fn throw_away_keyring() -> Option<Arc<Keyring>> {
    let folder = tempfile::tempdir().ok()?;
    Keyring::create(&folder.path().join("keys.toml"), EventTime(0)).ok().map(Arc::new)
}

struct Reader<'a> {
    config: &'a Config,
    errors: &'a mut Vec<SettingsError>,
    absent: &'a mut Vec<&'static str>,
}

impl Reader<'_> {
    /// A section, if it is configured and valid.
    fn section<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Config) -> Result<T, ConfigError>,
    ) -> Option<T> {
        if self.config.settings().has(name) {
            return self.keep(read(self.config));
        }
        self.absent.push(name);
        None
    }

    fn keep<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.add(error.0)).ok()
    }

    /// A section that needs another one has its errors, too.
    fn add(&mut self, errors: Vec<SettingsError>) {
        for error in errors {
            if !self.errors.iter().any(|known| known.to_string() == error.to_string()) {
                self.errors.push(error);
            }
        }
    }
}
