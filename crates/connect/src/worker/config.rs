//! A worker's properties: `connect-standalone.properties` or `connect-distributed.properties`, as Kafka has them.

use std::{collections::BTreeMap, net::SocketAddr};

use kafka::{KafkaConfig, KafkaSettings, Properties, Property};
use service::settings::hint;

use crate::{
    client_properties::{self, Overrides},
    connector::{Connector, Defaults},
    converters,
    define::Config,
    distributed::{self, Distributed},
    properties::Entry,
    providers::Providers,
    task::Place,
    worker::Memory,
};

/// The resolved properties. It has no `Debug`: values can be secrets.
#[derive(Clone)]
pub struct WorkerConfig {
    /// The brokers.
    pub bootstrap: String,
    /// Where the REST interface listens.
    pub listen: String,
    /// The host and port by which others reach it.
    pub advertised: Option<String>,
    /// What connectors take from the worker.
    pub defaults: Defaults,
    /// What a distributed worker shares with others; `None` for a standalone one.
    pub distributed: Option<Distributed>,
    /// Properties of every client.
    common: Overrides,
    /// The memory of all connectors.
    pub memory: Memory,
    /// Properties of every client, and of consumers.
    consumer: Overrides,
    /// What is allowed and probably not intended.
    pub warnings: Vec<String>,
}

/// A mistake in a file of properties.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {key}: {text}")]
pub struct Mistake {
    /// The line; 0 for a key that is missing.
    pub line: usize,
    /// The key.
    pub key: String,
    /// What is wrong, and how to correct it.
    pub text: String,
}

/// The key for the memory of all connectors, and its default.
const MEMORY: &str = "aqueduct.memory";
const DEFAULT_MEMORY: u64 = 1 << 30;
/// What a client reads in advance, in bytes.
const BUFFER: u64 = 32 << 20;

/// Where the REST interface listens if nothing is configured: loopback, because it has no login.
const LISTEN: &str = "127.0.0.1:8083";

/// Keys of workers that mean nothing here: what they configure does not exist.
const WITHOUT_EFFECT: [&str; 17] = [
    "plugin.path",
    "plugin.discovery",
    "offset.storage.file.filename",
    "offset.flush.interval.ms",
    "offset.flush.timeout.ms",
    "task.shutdown.graceful.timeout.ms",
    "topic.creation.enable",
    "topic.tracking.enable",
    "topic.tracking.allow.reset",
    "metric.reporters",
    "metrics.num.samples",
    "metrics.sample.window.ms",
    "metrics.recording.level",
    "rest.advertised.listener",
    "connector.client.config.override.policy",
    "key.converter.plugin.version",
    "value.converter.plugin.version",
];

impl WorkerConfig {
    /// Reads a worker's properties.
    ///
    /// # Errors
    /// Every mistake, with its line.
    pub fn read(entries: &[Entry]) -> Result<Self, Vec<Mistake>> {
        let lines: BTreeMap<&str, usize> = entries.iter().map(|entry| (&*entry.key, entry.line)).collect();
        let mut mistakes = Vec::new();
        let mut note = |key: &str, text: String| {
            mistakes.push(Mistake {
                line: lines.get(key).copied().unwrap_or_default(),
                key: key.to_owned(),
                text,
            });
        };
        let written: Config = entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect();
        let providers = Providers::of(&written).unwrap_or_else(|error| {
            note("config.providers", error.to_string());
            Providers::default()
        });
        let mut config = Config::new();
        for (key, value) in &written {
            match providers.resolve(value) {
                Ok(value) => drop(config.insert(key.clone(), value.trim().to_owned())),
                Err(error) => note(key, error.to_string()),
            }
        }
        let bootstrap = config.get("bootstrap.servers").cloned().unwrap_or_default();
        if bootstrap.is_empty() {
            note("bootstrap.servers", "is missing; expected host:port of the brokers".to_owned());
        }
        let key_converter = converter(&config, "key.converter", &mut note);
        let value_converter = converter(&config, "value.converter", &mut note);
        let headers = config.get("header.converter").map(String::as_str).unwrap_or_default();
        if !converters::of_headers(headers) {
            note("header.converter", "headers are published as text; remove the key".to_owned());
        }
        let (listen, advertised) = listeners(&config, &mut note);
        if !matches!(
            config.get("connector.client.config.override.policy").map(String::as_str),
            None | Some("All")
        ) {
            note("connector.client.config.override.policy", "only All is supported; remove it".to_owned());
        }
        protections(&config, &mut note);
        let (common, consumer) = clients(&config, &mut note);
        let memory = memory(&config, &mut note);
        let mut warnings = unknown(&config);
        let distributed = distributed::read(&config, &mut note, &mut warnings);
        if !mistakes.is_empty() {
            mistakes.sort_by_key(|mistake| mistake.line);
            return Err(mistakes);
        }
        let defaults = Defaults { key_converter, value_converter, providers };
        Ok(Self { bootstrap, listen, advertised, defaults, distributed, memory, common, consumer, warnings })
    }

    /// The consumer group of a connector, over these topics, which must not be empty.
    ///
    /// # Errors
    /// What is wrong with the properties.
    pub fn kafka(&self, connector: &Connector, topics: Vec<String>) -> Result<KafkaConfig, String> {
        self.member(connector, topics, (Place::ONLY, BUFFER))
    }

    /// A member of that group: the consumer of one task, which reads this many bytes in advance.
    ///
    /// # Errors
    /// As [`Self::kafka`].
    pub(crate) fn member(
        &self,
        connector: &Connector,
        topics: Vec<String>,
        (place, buffer): (Place, u64),
    ) -> Result<KafkaConfig, String> {
        let mut consumer = self.consumer.clone().with(&connector.consumer);
        consumer.instance = consumer.instance.map(|instance| place.instance(&instance));
        self.client(topics, group(connector), consumer, buffer)
    }

    /// A client for questions.
    ///
    /// # Errors
    /// What is wrong with the properties.
    pub fn questions(&self) -> Result<KafkaConfig, String> {
        let consumer = Overrides { instance: None, start: None, ..self.consumer.clone() };
        self.client(vec!["none".to_owned()], "none".to_owned(), consumer, BUFFER)
    }

    /// A client of the worker itself, in this group, with further properties. Connectors' properties do not count here.
    ///
    /// # Errors
    /// What is wrong with the properties.
    pub(crate) fn own(
        &self,
        group_id: &str,
        topic: &str,
        more: impl Iterator<Item = (String, String)>,
    ) -> Result<KafkaConfig, String> {
        let mut own = self.common.clone();
        own.properties.0.extend(more);
        self.client(vec![topic.to_owned()], group_id.to_owned(), own, BUFFER)
    }

    fn client(
        &self,
        topics: Vec<String>,
        group_id: String,
        consumer: Overrides,
        buffer: u64,
    ) -> Result<KafkaConfig, String> {
        let properties = consumer.properties.0.into_iter();
        let settings = KafkaSettings {
            bootstrap_servers: self.bootstrap.clone(),
            topics,
            group_id,
            // A static member only if the user says so: Connect's tasks are dynamic members.
            group_instance_id: Some(consumer.instance.unwrap_or_default()),
            start: consumer.start.unwrap_or_default(),
            buffer: event::ByteSize(buffer),
            format: None,
            formats: BTreeMap::new(),
            properties: Properties(properties.map(|(name, value)| (name, Property(value))).collect()),
        };
        settings.resolve("").map_err(|problems| {
            let texts: Vec<String> =
                problems.iter().map(|problem| format!("{} {}", problem.key, problem.text)).collect();
            texts.join("; ")
        })
    }

    /// The name of this worker in states: where others reach it, or else where it listens. A distributed worker that
    /// listens at an address which every machine has is named by its `host`, because each worker needs a name of its own.
    pub fn id(&self, bound: SocketAddr, host: &str) -> String {
        let is_everywhere = bound.ip().is_loopback() || bound.ip().is_unspecified();
        let own = match self.distributed.is_some() && is_everywhere && !host.is_empty() {
            true => format!("{host}:{}", bound.port()),
            false => bound.to_string(),
        };
        self.advertised.clone().unwrap_or(own)
    }
}

/// The consumer group of a connector.
pub(crate) fn group(connector: &Connector) -> String {
    let own = connector.consumer.group_id.clone();
    own.unwrap_or_else(|| format!("connect-{}", connector.name))
}

fn memory(config: &Config, note: &mut impl FnMut(&str, String)) -> Memory {
    let Some(text) = config.get(MEMORY) else { return Memory::new(DEFAULT_MEMORY) };
    let size = text.parse::<event::ByteSize>().map_err(|error| note(MEMORY, error.to_string()));
    Memory::new(size.map_or(DEFAULT_MEMORY, |size| size.0))
}

fn converter(config: &Config, key: &str, note: &mut impl FnMut(&str, String)) -> Config {
    let class = config.get(key).cloned().unwrap_or_default();
    if converters::find(&class).is_none() {
        let text = match (class.is_empty(), converters::instead(&class)) {
            (true, _) => "is missing; expected the class of a converter".to_owned(),
            (_, Some(instead)) => instead,
            (_, None) => {
                let known: Vec<&str> =
                    converters::PLUGINS.iter().map(|plugin| converters::simple(plugin.class)).collect();
                format!("unknown class {class}; {}", hint(converters::simple(&class), &known, "classes"))
            }
        };
        note(key, text);
    }
    let prefix = format!("{key}.");
    let keys = config
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?.to_owned(), value.clone())));
    keys.filter(|(name, _)| name != "plugin.version").chain([(String::new(), class)]).collect()
}

fn listeners(config: &Config, note: &mut impl FnMut(&str, String)) -> (String, Option<String>) {
    let text = config.get("listeners").cloned().unwrap_or_default();
    let mut listen = LISTEN.to_owned();
    for listener in text.split(',').map(str::trim).filter(|listener| !listener.is_empty()).take(2) {
        match listener.to_lowercase().strip_prefix("http://") {
            Some(address) => {
                let host = address.trim_end_matches('/');
                listen = if host.starts_with(':') { format!("0.0.0.0{host}") } else { host.to_owned() };
            }
            None => note(
                "listeners",
                format!("{listener} is not supported; use http://host:port, behind a proxy for TLS"),
            ),
        }
    }
    if text.matches("://").count() > 1 {
        note("listeners", "only one listener is supported".to_owned());
    }
    let host = config.get("rest.advertised.host.name");
    let port = config.get("rest.advertised.port").cloned();
    let port = port.or_else(|| listen.rsplit_once(':').map(|(_, port)| port.to_owned()));
    let advertised = host.map(|host| format!("{host}:{}", port.unwrap_or_default()));
    (listen, advertised)
}

/// What protects a worker of Connect and is not supported here must not be left out silently.
fn protections(config: &Config, note: &mut impl FnMut(&str, String)) {
    let protects = |name: &str| {
        ["rest.extension.classes", "admin.listeners"].contains(&name) || name.starts_with("listeners.https.")
    };
    for name in config.keys().filter(|name| protects(name)) {
        let text = "is not supported, and without it the worker would be open to more than before; remove it, and protect the worker in another way";
        note(name, text.to_owned());
    }
}

/// Properties of every client have no prefix. Those of consumers have `consumer.`, and win. Returns both.
fn clients(config: &Config, note: &mut impl FnMut(&str, String)) -> (Overrides, Overrides) {
    let is_security = |name: &str| {
        name.starts_with("ssl.")
            || name.starts_with("sasl.")
            || name == "security.protocol"
            || name == "client.id"
    };
    let common = config
        .iter()
        .filter(|(name, _)| is_security(name))
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let (common, problems) = client_properties::of_java(common);
    for (name, problem) in problems {
        note(&name, problem);
    }
    let own =
        config.iter().filter_map(|(name, value)| Some((name.strip_prefix("consumer.")?, value.as_str())));
    let (own, problems) = client_properties::of_java(own);
    for (name, problem) in problems {
        note(&format!("consumer.{name}"), problem);
    }
    (common.clone(), common.with(&own))
}

/// Keys that are not known. Connect ignores them with a warning, too.
fn unknown(config: &Config) -> Vec<String> {
    const KNOWN: [&str; 9] = [
        "header.converter",
        "bootstrap.servers",
        "key.converter",
        "value.converter",
        "listeners",
        "rest.advertised.host.name",
        "rest.advertised.port",
        "config.providers",
        "security.protocol",
    ];
    const PREFIXES: [&str; 9] = [
        "key.converter.",
        "value.converter.",
        "header.converter.",
        "config.providers.",
        "ssl.",
        "sasl.",
        "consumer.",
        "producer.",
        "admin.",
    ];
    let is_known = |name: &str| {
        KNOWN.contains(&name)
            || WITHOUT_EFFECT.contains(&name)
            || name == "client.id"
            || distributed::is_key(name)
            || name == MEMORY
            || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let text = |name: &String| {
        format!("unknown key {name} is ignored, as Connect ignores it; {}", hint(name, &KNOWN, "keys"))
    };
    let unused = |name: &&String| name.starts_with("producer.") || name.starts_with("admin.");
    let unused = config.keys().filter(unused).map(|name| {
        format!("{name} has no effect: dead letters are written with the properties of consumer.*")
    });
    config.keys().filter(|name| !is_known(name)).map(text).chain(unused).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties;

    const MINIMUM: &str = "bootstrap.servers=localhost:9092\nkey.converter=StringConverter\nvalue.converter=org.apache.kafka.connect.json.JsonConverter\nvalue.converter.schemas.enable=false\n";

    fn read(more: &str) -> Result<WorkerConfig, Vec<(usize, String)>> {
        let entries = properties::parse(format!("{MINIMUM}{more}").as_bytes()).expect("valid");
        WorkerConfig::read(&entries)
            .map_err(|mistakes| mistakes.into_iter().map(|mistake| (mistake.line, mistake.key)).collect())
    }

    #[test]
    fn properties_have_defaults() {
        let config = read("").unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        assert_eq!((&*config.listen, config.advertised), ("127.0.0.1:8083", None));
        assert_eq!(config.defaults.value_converter["schemas.enable"], "false");
        let config =
            read("listeners=HTTP://:18083\nrest.advertised.host.name=w1").unwrap_or_else(|m| panic!("{m:?}"));
        assert_eq!((&*config.listen, config.advertised.as_deref()), ("0.0.0.0:18083", Some("w1:18083")));
    }

    #[test]
    fn mistakes_have_a_line() {
        let check = |more: &str, expected: (usize, &str)| {
            let mistakes = read(more).err().unwrap_or_default();
            assert_eq!(mistakes, [(expected.0, expected.1.to_owned())], "{more}");
        };
        check("listeners=https://:1", (5, "listeners"));
        check("consumer.isolation.level=read_uncommitted", (5, "consumer.isolation.level"));
        check("rest.extension.classes=a.B", (5, "rest.extension.classes"));
        let file =
            "config.providers=f\nconfig.providers.f.class=FileConfigProvider\nconfig.providers.f.param";
        check(&format!("{file}.allowed.paths=x"), (5, "config.providers"));
        check(&format!("{file}.other=x"), (5, "config.providers"));
        check(&format!("{file}.allowed.paths=/x\na=${{f:/etc/hostname:b}}"), (8, "a"));
        check("key.converter=Nope", (5, "key.converter"));
        check("aqueduct.memory=lots", (5, "aqueduct.memory"));
        check("a=${nope:b:c}", (5, "a"));
        check("\nbootstrap.servers=", (6, "bootstrap.servers"));
    }

    /// As Kafka 4.4 has it, without its comments.
    #[test]
    fn kafkas_own_distributed_file_is_read() {
        let text = "bootstrap.servers=localhost:9092\ngroup.id=connect-cluster\nkey.converter=org.apache.kafka.connect.json.JsonConverter\nvalue.converter=org.apache.kafka.connect.json.JsonConverter\nkey.converter.schemas.enable=true\nvalue.converter.schemas.enable=true\noffset.storage.topic=connect-offsets\noffset.storage.replication.factor=1\nconfig.storage.topic=connect-configs\nconfig.storage.replication.factor=1\nstatus.storage.topic=connect-status\nstatus.storage.replication.factor=1\noffset.flush.interval.ms=10000\n";
        let entries = properties::parse(text.as_bytes()).expect("valid");
        let config = WorkerConfig::read(&entries).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        assert_eq!(config.distributed.map(|shared| shared.group).as_deref(), Some("connect-cluster"));
        assert_eq!(config.warnings, [""; 0]);
        let mistakes = read("group.id=g\nstatus.storage.topic=s").err().unwrap_or_default();
        assert_eq!(mistakes, [(0, "config.storage.topic".to_owned())]);
    }

    #[test]
    fn workers_of_one_group_have_names_of_their_own() {
        let shared = "group.id=g\nconfig.storage.topic=c\nstatus.storage.topic=s\n";
        for (more, bound, expected) in [
            ("", "127.0.0.1:8083", "127.0.0.1:8083"),
            (shared, "127.0.0.1:8083", "host:8083"),
            (shared, "0.0.0.0:1", "host:1"),
            (shared, "10.0.0.7:8083", "10.0.0.7:8083"),
            ("rest.advertised.host.name=w1", "127.0.0.1:1", "w1:8083"),
        ] {
            let config = read(more).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
            assert_eq!(config.id(bound.parse().expect("an address"), "host"), expected);
        }
    }

    #[test]
    fn unknown_keys_are_warnings() {
        let config = read("listenres=x\nplugin.path=/p\noffset.storage.file.filename=/o")
            .unwrap_or_else(|m| panic!("{m:?}"));
        assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    }
}
