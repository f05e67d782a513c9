//! The sections of `aqueduct.toml`, each read and validated when a command needs it. An invalid section does
//! not affect a command that does not use it.
//!
//! The keys are defined next to the code that they configure; TOML, lines and overrides are in [`service::Settings`].

mod across;
mod examples;
mod formats;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use connector::{
    anonymise::{AnonymiseSettings, Anonymiser},
    keyring::Keyring,
    outgoing::Outgoing,
};
use event::{ByteSize, EventsSettings};
use flow::{Flow, FlowErrors, FlowSettings, row::FlowTable};
use kafka::{KafkaConfig, KafkaSettings, Problem};
use processor::store::StateSettings;
use pubsub::PubSubSettings;
use serde::de::DeserializeOwned;
use service::{ServiceSettings, Settings, SettingsError, SettingsErrors};
use writer::{NameOf, WriterConfig, WriterError, WriterKind, WriterSettings};

use crate::{errors, memory};

pub(crate) use across::{Across, Need, filtered, places, published, unread_topics};
pub(crate) use formats::{Declared, Open, absent_tag, envelope_of};

/// The sections that a file may have.
pub(crate) const SECTIONS: &[&str] = &[
    "kafka",
    "schema_registry",
    "pubsub",
    "anonymise",
    "events",
    "flows",
    "writer",
    "writers",
    "state",
    "service",
];

/// Those of them that have keys without a default.
pub(crate) const REQUIRED: &[&str] = &["kafka", "pubsub", "anonymise", "events", "flows", "writer"];

/// The variable that sends Pub/Sub's clients to an emulator.
pub(crate) const EMULATOR_VARIABLE: &str = "PUBSUB_EMULATOR_HOST";

/// Whether a property of Kafka's clients requires a library that this build does not include.
fn needs_tls(name: &str, value: &str) -> bool {
    let value = value.to_ascii_uppercase();
    let is_tls = match name {
        "security.protocol" => value.ends_with("SSL"),
        "sasl.mechanism" | "sasl.mechanisms" => value.starts_with("SCRAM") || value == "OAUTHBEARER",
        other => other.starts_with("ssl."),
    };
    is_tls && !cfg!(feature = "cloud")
}

/// The host name; empty if there is none.
pub(crate) fn host() -> String {
    hostname::get().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The configuration of a command.
#[derive(Debug)]
pub(crate) struct Config {
    settings: Settings,
    /// Takes the place of `[anonymise] keyring`.
    keyring: Option<PathBuf>,
}

/// A destination of the rows.
#[derive(Clone, Debug)]
pub(crate) struct NamedWriter {
    /// By which the state knows which rows it has.
    pub(crate) name: Arc<str>,
    pub(crate) config: WriterConfig,
}

/// All errors; never empty.
#[derive(Debug)]
pub(crate) struct ConfigError(pub Vec<SettingsError>);

impl Config {
    /// The configuration of settings that were read before.
    pub(crate) fn of(settings: Settings) -> Self {
        Self { settings, keyring: None }
    }

    /// The same with another keyring, of which any key will do.
    pub(crate) fn with_keyring(self, keyring: PathBuf) -> Self {
        Self { keyring: Some(keyring), ..self }
    }

    /// The file, for messages.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// An error with the place of a key such as `kafka.topics`.
    pub(crate) fn error_at(&self, key: &str, message: impl fmt::Display) -> ConfigError {
        self.settings.error_at(key, message).into()
    }

    /// `[kafka]`.
    ///
    /// # Errors
    /// It is missing or invalid.
    pub(crate) fn kafka(&self) -> Result<KafkaConfig, ConfigError> {
        let kafka: KafkaSettings = self.required("kafka")?;
        let kafka = kafka.resolve(&host()).map_err(|problems| {
            let at = |p: Problem| self.settings.error_at(&format!("kafka.{}", p.key), p.text);
            ConfigError(problems.into_iter().map(at).collect())
        })?;
        if let Some((property, _)) = kafka.client().find(|(name, value)| needs_tls(name, value)) {
            let key = format!("kafka.properties.\"{property}\"");
            return Err(self.error_at(
                &key,
                "requires TLS, which this build does not include; build with the default feature `cloud`",
            ));
        }
        match kafka.check_properties() {
            Ok(()) => Ok(kafka),
            Err((property, text)) => Err(self.error_at(&format!("kafka.properties.\"{property}\""), text)),
        }
    }

    /// `[pubsub]`.
    ///
    /// # Errors
    /// It is missing or invalid.
    pub(crate) fn pubsub(&self) -> Result<PubSubSettings, ConfigError> {
        let pubsub: PubSubSettings = self.required("pubsub")?;
        let problems = pubsub.problems();
        let errors = problems.iter().map(|p| self.settings.error_at(&format!("pubsub.{}", p.key), &p.text));
        ConfigError::unless_empty(errors.collect(), pubsub)
    }

    /// The address of Pub/Sub: the emulator of `[pubsub]` or the environment, or Google Cloud.
    ///
    /// # Errors
    /// The emulator's address is invalid.
    pub(crate) fn pubsub_endpoint(&self, pubsub: &PubSubSettings) -> Result<pubsub::Endpoint, ConfigError> {
        let variable = std::env::var(EMULATOR_VARIABLE).ok();
        match pubsub.endpoint(variable.as_deref()) {
            Ok(pubsub::Endpoint::GoogleCloud) if !cfg!(feature = "cloud") => Err(self.error_at(
                "pubsub",
                "requires Google Cloud, which this build does not include; add emulator_host, or build with the default feature `cloud`",
            )),
            Ok(endpoint) => Ok(endpoint),
            Err(error) => {
                let place = EMULATOR_VARIABLE.to_owned();
                Err(SettingsError::At { place, problem: error.to_string() }.into())
            }
        }
    }

    /// `[anonymise]`, with the keyring's path made absolute or relative to the current folder.
    ///
    /// # Errors
    /// It is missing or invalid.
    pub(crate) fn anonymise(&self) -> Result<AnonymiseSettings, ConfigError> {
        let mut anonymise: AnonymiseSettings = self.required("anonymise")?;
        match &self.keyring {
            Some(keyring) => {
                anonymise.keyring.clone_from(keyring);
                anonymise.newest_key = None;
            }
            None => anonymise.keyring = self.resolve(&anonymise.keyring),
        }
        Ok(anonymise)
    }

    /// `[events]`.
    ///
    /// # Errors
    /// It is missing or invalid.
    pub(crate) fn events(&self) -> Result<EventsSettings, ConfigError> {
        self.checked_events(self.required("events")?)
    }

    /// `[events]`, if configured.
    ///
    /// # Errors
    /// It is invalid.
    pub(crate) fn events_if_any(&self) -> Result<Option<EventsSettings>, ConfigError> {
        self.settings.section("events")?.map(|events| self.checked_events(events)).transpose()
    }

    fn checked_events(&self, events: EventsSettings) -> Result<EventsSettings, ConfigError> {
        const KEY: &str = "events.id_within";
        let has_id = events.id.is_some() || events.topics.values().any(|topic| topic.id.is_some());
        if self.settings.sets(KEY) && !has_id {
            return Err(self.error_at(KEY, "has no effect, because events have no ID; add id, or remove it"));
        }
        Ok(events)
    }

    /// `[[flows]]`.
    ///
    /// # Errors
    /// There is no flow, one is invalid, or two have the same name.
    pub(crate) fn flows(&self) -> Result<Vec<Flow>, ConfigError> {
        let tables: Vec<FlowSettings> = self.required("flows")?;
        let mut flows: Vec<Flow> = Vec::new();
        let mut errors = Vec::new();
        for (n, table) in tables.into_iter().enumerate() {
            match Flow::try_from(table) {
                Ok(flow) if flows.iter().any(|other| other.name == flow.name) => {
                    let text =
                        format!("another flow is already named {:?}; choose a different name", flow.name);
                    errors.push(self.settings.error_at(&format!("flows[{n}].name"), text));
                }
                Ok(flow) => match flow.ineffective() {
                    None => flows.push(flow),
                    Some(error) => {
                        errors.push(self.settings.error_at(&format!("flows[{n}].{}", error.key), error));
                    }
                },
                Err(FlowErrors(found)) => errors.extend(
                    found
                        .iter()
                        .map(|error| self.settings.error_at(&format!("flows[{n}].{}", error.key), error)),
                ),
            }
        }
        if flows.is_empty() && errors.is_empty() {
            errors.push(self.settings.error_at("flows", "no flow is configured; add [[flows]]"));
        }
        ConfigError::unless_empty(errors, flows)
    }

    /// The tables of `[[flows]]`.
    ///
    /// # Errors
    /// As [`flows`](Self::flows), or a name that is invalid in a database.
    pub(crate) fn tables(&self) -> Result<Vec<FlowTable>, ConfigError> {
        self.tables_of(&self.flows()?)
    }

    /// As [`tables`](Self::tables), for flows that were already read.
    ///
    /// # Errors
    /// A name is invalid in a database.
    pub(crate) fn tables_of(&self, flows: &[Flow]) -> Result<Vec<FlowTable>, ConfigError> {
        let tables: Vec<FlowTable> = flows.iter().map(Flow::table).collect();
        match writer::validate_tables(&tables) {
            Ok(()) => Ok(tables),
            Err(WriterError::Name { flow, name, problem, .. }) => {
                let key = match name {
                    NameOf::Flow => "name".to_owned(),
                    NameOf::By(column) => format!("by.{}", across::quoted(&column)),
                    NameOf::Measure { measure, .. } => format!("measures.{}", across::quoted(&measure)),
                };
                Err(self.error_at(&format!("flows[{flow}].{key}"), problem))
            }
            Err(other) => Err(self.error_at("flows", other)),
        }
    }

    /// Whether `[writer]` or `[[writers]]` is configured.
    pub(crate) fn has_writers(&self) -> bool {
        ["writer", "writers"].into_iter().any(|section| self.settings.has(section))
    }

    /// `[writer]`, or `[[writers]]`, with paths made absolute or relative to the current folder. There is at least one.
    ///
    /// # Errors
    /// None is configured, both are, one is invalid, or two have the same name or place.
    pub(crate) fn writers(&self) -> Result<Vec<NamedWriter>, ConfigError> {
        if !self.settings.has("writers") {
            return Ok(vec![self.writer("writer", self.required("writer")?)?]);
        }
        if self.settings.has("writer") {
            let text = "cannot be beside [writer]; move the keys of [writer] into another [[writers]]";
            return Err(self.error_at("writers", text));
        }
        let all: Vec<WriterSettings> = self.required("writers")?;
        let (mut writers, mut errors) = (Vec::<NamedWriter>::new(), Vec::new());
        for (n, settings) in all.into_iter().enumerate() {
            let key = format!("writers[{n}]");
            let writer = match self.writer(&key, settings) {
                Ok(writer) => writer,
                Err(ConfigError(found)) => {
                    errors.extend(found);
                    continue;
                }
            };
            let text = if writers.iter().any(|other| other.name == writer.name) {
                let name = &writer.name;
                ("name", format!("another writer is already named {name:?}; give one of them another name"))
            } else if let Some(other) = writers.iter().find(|other| other.config.has_place_of(&writer.config))
            {
                ("kind", format!("has the same place as writer {:?}; remove one of them", other.name))
            } else {
                writers.push(writer);
                continue;
            };
            let key = format!("{key}.{}", text.0);
            // A name that is not written is at the kind that it follows from.
            let key = if self.settings.sets(&key) { key } else { format!("writers[{n}].kind") };
            errors.push(self.settings.error_at(&key, text.1));
        }
        if writers.is_empty() && errors.is_empty() {
            errors.push(self.settings.error_at("writers", "no writer is configured; add [[writers]]"));
        }
        ConfigError::unless_empty(errors, writers)
    }

    /// The writer whose keys begin with `key`.
    fn writer(&self, key: &str, mut settings: WriterSettings) -> Result<NamedWriter, ConfigError> {
        settings.path =
            settings.path.map(|path| if path.as_os_str().is_empty() { path } else { self.resolve(&path) });
        let pubsub = if settings.kind == WriterKind::PubSub && self.settings.has("pubsub") {
            let pubsub = self.pubsub()?;
            let endpoint = self.pubsub_endpoint(&pubsub)?;
            Some((pubsub, endpoint))
        } else {
            None
        };
        let events = pubsub.as_ref().map(|(pubsub, endpoint)| (pubsub, endpoint.clone()));
        let at = |error: WriterError| match error {
            WriterError::Setting { key: wrong, problem } => {
                self.settings.error_at(&format!("{key}.{wrong}"), problem)
            }
            other => self.settings.error_at(key, other),
        };
        let name = settings.name().map(Arc::from).map_err(at)?;
        let config = WriterConfig::resolve(settings, events)
            .map_err(|errors| ConfigError(errors.into_iter().map(at).collect()))?;
        Ok(NamedWriter { name, config })
    }

    /// `[state]`.
    ///
    /// # Errors
    /// It is invalid.
    pub(crate) fn state(&self) -> Result<StateSettings, ConfigError> {
        let state: StateSettings = self.settings.section_or_default("state")?;
        let problems = state.problems();
        let errors = problems.iter().map(|p| self.settings.error_at(&format!("state.{}", p.key()), p));
        ConfigError::unless_empty(errors.collect(), state)
    }

    /// Checks that `[state] memory` is enough for one key of each flow.
    ///
    /// # Errors
    /// The flow for which it is too small: at `memory` if the file has `[state]`, otherwise at the flow's longest length.
    pub(crate) fn check_memory(&self, flows: &[Flow], state: &StateSettings) -> Result<(), ConfigError> {
        let Some(number) = flows.iter().position(|flow| memory::keys(flow, state.memory) == 0) else {
            return Ok(());
        };
        let flow = &flows[number];
        let lengths = [
            ("window", flow.windows.longest()),
            ("allowed_lateness", flow.allowed_lateness),
            ("out_of_orderness", flow.out_of_orderness),
        ];
        let longest = lengths.into_iter().max_by_key(|(_, length)| *length).map_or("window", |(key, _)| key);
        let key = match self.settings.has("state") {
            true => "state.memory".to_owned(),
            false => format!("flows[{number}].{longest}"),
        };
        Err(self.error_at(
            &key,
            format!(
                "one key of flow {} needs {} in all of its windows, but [state] memory is {}; increase it, or shorten the \
                 windows, allowed_lateness or out_of_orderness",
                flow.name,
                ByteSize(memory::a_key(flow)),
                state.memory,
            ),
        ))
    }

    /// `[service]`.
    ///
    /// # Errors
    /// It is invalid.
    pub(crate) fn service(&self) -> Result<ServiceSettings, ConfigError> {
        let service: ServiceSettings = self.settings.section_or_default("service")?;
        let is_address = |text: &str| {
            text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        match service.listen.as_deref().filter(|listen| !is_address(listen)) {
            Some(listen) => Err(self.error_at(
                "service.listen",
                format!("invalid address {listen:?}; expected host:port, such as \"127.0.0.1:9464\""),
            )),
            None => Ok(service),
        }
    }

    /// The path of `[anonymise] keyring`, by default `keys.toml` next to the file.
    ///
    /// # Errors
    /// `[anonymise]` is invalid.
    pub(crate) fn keyring_path(&self) -> Result<PathBuf, ConfigError> {
        if self.settings.has("anonymise") {
            return Ok(self.anonymise()?.keyring);
        }
        Ok(self.resolve(Path::new("keys.toml")))
    }

    /// The anonymiser, with the keyring if it needs one.
    ///
    /// # Errors
    /// The section is missing or invalid, or the keyring cannot be used.
    pub(crate) fn anonymiser(&self) -> Result<Anonymiser, ConfigError> {
        let anonymise = self.anonymise()?;
        let events = self.events_if_any()?;
        let keyring =
            if anonymise.needs_keyring() { Some(Arc::new(self.keyring(&anonymise)?)) } else { None };
        let anonymiser = Anonymiser::new(&anonymise, events.as_ref(), keyring)
            .map_err(|error| self.error_at(&error.key(), error))?;
        Ok(anonymiser.with_outgoing(self.outgoing()?))
    }

    /// The rules of `[pubsub]` about single records, if it is configured.
    fn outgoing(&self) -> Result<Outgoing, ConfigError> {
        if !self.settings.has("pubsub") {
            return Ok(Outgoing::default());
        }
        Ok(Outgoing::new(&self.pubsub()?))
    }

    /// As [`anonymiser`](Self::anonymiser), for long-running commands: rejects pseudonyms that change under values that
    /// are compared over time. Checks `[[flows]]` if they are valid.
    ///
    /// # Errors
    /// As [`anonymiser`](Self::anonymiser), or if pseudonyms would change.
    pub(crate) fn checked_anonymiser(&self) -> Result<Anonymiser, ConfigError> {
        self.check_across(&self.flows().unwrap_or_default())?;
        self.anonymiser()
    }

    /// Checks sections against `[anonymise]`: no measure may need a number that is removed or pseudonymised, no topic or
    /// ordering key a value that is not published, and no event ID or compared value a pseudonym that changes with the key.
    /// Errors of `[anonymise]` itself and of the keyring are left to the commands that need them: a processor has no keyring.
    ///
    /// # Errors
    /// Each key of `[events]`, `[[flows]]` or `[pubsub]` that contradicts it.
    pub(crate) fn check_across(&self, flows: &[Flow]) -> Result<(), ConfigError> {
        let (Ok(Some(_)), Ok(anonymise)) =
            (self.settings.section::<AnonymiseSettings>("anonymise"), self.anonymise())
        else {
            return Ok(());
        };
        let events = self.events_if_any()?;
        let pubsub = if self.settings.has("pubsub") { self.pubsub().ok() } else { None };
        let across =
            Across { anonymise: &anonymise, events: events.as_ref(), flows, pubsub: pubsub.as_ref() };
        self.unless_any(across.errors())?;
        match anonymise.needs_keyring().then(|| self.keyring(&anonymise)) {
            Some(Ok(keyring)) => self.unless_any(across.rotation_errors(&keyring)),
            Some(Err(_)) | None => Ok(()),
        }
    }

    fn unless_any(&self, problems: Vec<(String, String)>) -> Result<(), ConfigError> {
        let errors = problems.into_iter().map(|(key, text)| self.settings.error_at(&key, text));
        ConfigError::unless_empty(errors.collect(), ())
    }

    fn keyring(&self, anonymise: &AnonymiseSettings) -> Result<Keyring, ConfigError> {
        Keyring::load_with(&anonymise.keyring, anonymise.newest_key.as_deref())
            .map_err(|error| self.error_at("anonymise.keyring", errors::one_line(&error)))
    }

    /// A path relative to the file, without a leading dot.
    fn resolve(&self, path: &Path) -> PathBuf {
        let path = self.settings.resolve(path);
        path.strip_prefix(".").map(Path::to_owned).unwrap_or(path)
    }

    fn required<T: DeserializeOwned>(&self, section: &'static str) -> Result<T, ConfigError> {
        Ok(self.settings.required(section, examples::of(section))?)
    }
}

impl ConfigError {
    /// The value, if there is no error.
    fn unless_empty<T>(errors: Vec<SettingsError>, value: T) -> Result<T, Self> {
        if errors.is_empty() { Ok(value) } else { Err(Self(errors)) }
    }
}

impl From<SettingsError> for ConfigError {
    fn from(error: SettingsError) -> Self {
        Self(vec![error])
    }
}

impl From<SettingsErrors> for ConfigError {
    fn from(errors: SettingsErrors) -> Self {
        Self(errors.0)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.0.iter().enumerate() {
            let gap = if n == 0 { "" } else { "\n" };
            write!(f, "{gap}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.first().and_then(std::error::Error::source)
    }
}
