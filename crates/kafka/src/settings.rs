//! The `[kafka]` section, and the properties of librdkafka's clients that follow from it.
//!
//! Pure: the host's name is an argument. See the crate `service` for files and the environment.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use event::ByteSize;
use serde::{Deserialize, Deserializer, de::Visitor};

use crate::{
    format::{self, FormatSettings, TopicFormat},
    group::start::StartRule,
};

/// The `[kafka]` section as it is written in the file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// Brokers as `host:port`, separated by commas.
    ///
    /// Example: `bootstrap_servers = "kafka-1:9092,kafka-2:9092"`
    pub bootstrap_servers: String,
    /// Topics to read. Several topics form one stream of events.
    ///
    /// Example: `topics = ["views", "clicks"]`
    pub topics: Vec<String>,
    /// Consumer group. No other consumer may use it.
    ///
    /// Example: `group_id = "aqueduct"`
    pub group_id: String,
    /// Name of this replica for static membership, so that a restart moves no partitions. Two replicas on one host
    /// need different names. `""` makes the replica a dynamic member.
    ///
    /// Default: the name of the host
    ///
    /// Example: `group_instance_id = "connector-0"`
    #[serde(default)]
    pub group_instance_id: Option<String>,
    /// Where a group without committed offsets begins.
    ///
    /// Example: `start = "latest"`
    #[serde(default)]
    pub start: StartRule,
    /// Bytes of records that are read ahead of the anonymiser; at least 1 MiB.
    ///
    /// Example: `buffer = "64MiB"`
    #[serde(default = "default_buffer")]
    pub buffer: ByteSize,
    /// The format of records.
    ///
    /// Default: JSON values and text keys
    ///
    /// Example: `format = { value = "avro" }`
    #[serde(default)]
    pub format: Option<FormatSettings>,
    /// Topics whose records have another format. A key that is missing here is that of `format`.
    ///
    /// Example: `formats.clicks = { value = "protobuf" }`
    #[serde(default)]
    pub formats: BTreeMap<String, FormatSettings>,
    /// Any other property of [librdkafka](https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md):
    /// TLS, SASL, tuning. A property on which a guarantee depends, such as `enable.auto.commit` or `isolation.level`,
    /// is refused with the reason.
    ///
    /// Example: `properties = { "security.protocol" = "SSL" }`
    #[serde(default)]
    pub properties: Properties,
}

/// Properties of librdkafka. `Debug` shows the names only: values can be secrets.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Properties(pub BTreeMap<String, Property>);

/// The value of a property: a string, a number or a boolean in the file.
#[derive(Clone, PartialEq, Eq)]
pub struct Property(pub String);

/// A mistake in one key of the section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key within `[kafka]`.
    pub key: String,
    /// The mistake, and how to correct it.
    pub text: String,
}

/// The section, checked and with its defaults filled in. It has no `Debug`: values of properties can be secrets.
#[derive(Clone)]
pub struct KafkaConfig {
    /// The brokers, for messages.
    pub bootstrap_servers: String,
    /// The topics.
    pub topics: Vec<Arc<str>>,
    /// The format of each topic, in their order.
    pub formats: Vec<TopicFormat>,
    /// The consumer group.
    pub group_id: String,
    /// The name of this replica, if it is a static member.
    pub instance: Option<String>,
    /// Where a group without a committed offset starts.
    pub start: StartRule,
    /// How long the group waits for a silent member.
    pub session_timeout: Duration,
    /// Properties that every client of these brokers needs.
    client: Vec<(String, String)>,
    /// Properties of the consumer alone.
    consumer: Vec<(String, String)>,
}

/// Properties that the connector sets itself, with the reason why a user cannot.
const RESERVED: [(&str, &str); 15] = [
    ("bootstrap.servers", "use kafka.bootstrap_servers"),
    ("metadata.broker.list", "use kafka.bootstrap_servers"),
    ("group.id", "use kafka.group_id"),
    ("group.instance.id", "use kafka.group_instance_id"),
    ("group.protocol", "the connector uses the classic rebalance protocol"),
    ("partition.assignment.strategy", "the connector uses cooperative rebalancing"),
    ("enable.auto.commit", "the connector commits an offset once everything before it is in Pub/Sub"),
    ("enable.auto.offset.store", "the connector commits an offset once everything before it is in Pub/Sub"),
    ("auto.commit.interval.ms", "the connector commits once a second"),
    ("auto.offset.reset", "use kafka.start; after the first start no offset is skipped silently"),
    ("topic.auto.offset.reset", "use kafka.start; after the first start no offset is skipped silently"),
    ("isolation.level", "records of aborted transactions are never published"),
    ("enable.partition.eof", "the connector requests log ends from the leaders"),
    ("check.crcs", "the connector verifies checksums before it publishes"),
    ("queued.max.messages.kbytes", "use kafka.buffer"),
];

/// Properties of a consumer, which other clients would warn about.
const CONSUMER_ONLY: [&str; 11] = [
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
    "fetch.",
    "max.partition.fetch.bytes",
    "queued.",
    "receive.message.max.bytes",
    "client.rack",
    "group.",
    "coordinator.",
    STATISTICS,
];

const MIN_BUFFER: u64 = 1 << 20;
const SESSION_TIMEOUT: &str = "session.timeout.ms";
/// How often librdkafka reports its statistics.
pub(crate) const STATISTICS: &str = "statistics.interval.ms";

fn default_buffer() -> ByteSize {
    ByteSize(32 << 20)
}

impl KafkaSettings {
    /// Every mistake that can be found without asking a broker.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut note = |key: &str, text: String| problems.push(Problem { key: key.to_owned(), text });
        if self.bootstrap_servers.trim().is_empty() {
            note(
                "bootstrap_servers",
                "is empty; expected host:port, for example \"localhost:9092\"".to_owned(),
            );
        }
        let servers = self.bootstrap_servers.split(',').map(str::trim).filter(|server| !server.is_empty());
        for server in servers.filter(|server| !is_server(server)) {
            note(
                "bootstrap_servers",
                format!("invalid broker {server:?}; expected host:port, with a port from 1 to 65535"),
            );
        }
        if self.group_id.is_empty() {
            note("group_id", "is empty; choose a name that no other consumer uses".to_owned());
        }
        if self.topics.is_empty() {
            note("topics", "is empty; list at least one topic".to_owned());
        }
        let mut seen = BTreeSet::new();
        for topic in &self.topics {
            if !is_topic(topic) {
                let text = format!(
                    "invalid topic {topic:?}; expected 1 to 249 letters, digits, \".\", \"_\" or \"-\""
                );
                note("topics", text);
            } else if !seen.insert(topic) {
                note("topics", format!("lists {topic:?} twice"));
            }
        }
        if self.buffer.0 < MIN_BUFFER {
            note("buffer", format!("{} is too small; the minimum is 1MiB", self.buffer));
        }
        let known: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        for topic in self.formats.keys().filter(|topic| !self.topics.contains(topic)) {
            let hint = service::settings::hint(topic, &known, "topics");
            note(&format::table(topic), format!("is a topic that kafka.topics does not name; {hint}"));
        }
        let all = self.format.clone().unwrap_or_default();
        problems.extend(format::problems(&self.topic_formats(), &all));
        let mut note = |key: &str, text: String| problems.push(Problem { key: key.to_owned(), text });
        for (name, property) in &self.properties.0 {
            if let Some((_, reason)) = RESERVED.iter().find(|(reserved, _)| reserved == name) {
                note(&format!("properties.\"{name}\""), format!("cannot be set: {reason}"));
            } else if name == SESSION_TIMEOUT && property.0.parse::<u64>().is_err() {
                note(
                    &format!("properties.\"{name}\""),
                    "invalid value; expected a number of milliseconds".to_owned(),
                );
            }
        }
        problems
    }

    /// The section with its defaults; `host` is the name of this machine.
    ///
    /// # Errors
    /// Every mistake that [`Self::problems`] finds.
    pub fn resolve(&self, host: &str) -> Result<KafkaConfig, Vec<Problem>> {
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(problems);
        }
        let instance = self.group_instance_id.clone().unwrap_or_else(|| host.to_owned());
        let instance = (!instance.is_empty()).then_some(instance);
        let given = self.properties.0.iter().map(|(name, value)| (name.clone(), value.0.clone()));
        let (of_consumer, of_client) = given.partition(|(name, _)| is_consumer_only(name));
        let mut consumer = self.consumer_defaults(instance.as_deref());
        overlay(&mut consumer, of_consumer);
        let mut client = pairs(&[("client.id", "aqueduct"), ("bootstrap.servers", &self.bootstrap_servers)]);
        overlay(&mut client, of_client);
        let session = consumer.iter().find(|(name, _)| name == SESSION_TIMEOUT);
        let session_timeout = session.and_then(|(_, value)| value.parse().ok()).unwrap_or(45_000);
        Ok(KafkaConfig {
            bootstrap_servers: self.bootstrap_servers.clone(),
            formats: self.topic_formats(),
            topics: self.topics.iter().map(|topic| Arc::from(topic.as_str())).collect(),
            group_id: self.group_id.clone(),
            instance,
            start: self.start,
            session_timeout: Duration::from_millis(session_timeout),
            client,
            consumer,
        })
    }

    fn topic_formats(&self) -> Vec<TopicFormat> {
        let all = self.format.clone().unwrap_or_default();
        let format = |topic: &String| TopicFormat::new(&topic.as_str().into(), &all, self.formats.get(topic));
        self.topics.iter().map(format).collect()
    }

    fn consumer_defaults(&self, instance: Option<&str>) -> Vec<(String, String)> {
        // Fetches are small compared with the buffer, because a compressed one grows several times when it is opened.
        let fetch = (self.buffer.0 / 8).clamp(1 << 20, 8 << 20).to_string();
        // librdkafka counts only the bytes of records, and keeps a structure for each, which takes as much again for
        // small records.
        let kilobytes = (self.buffer.0 / 2 / 1024).to_string();
        // For very small records the structures take most of the memory. The bounds are those of librdkafka, except the
        // lowest.
        let records = (self.buffer.0 / 1_280).clamp(1_000, 10_000_000).to_string();
        let mut defaults = pairs(&[
            ("group.id", &self.group_id),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("isolation.level", "read_committed"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("check.crcs", "true"),
            (SESSION_TIMEOUT, "45000"),
            ("topic.metadata.refresh.interval.ms", "5000"),
            (STATISTICS, "5000"),
            ("fetch.queue.backoff.ms", "20"),
            ("fetch.wait.max.ms", "100"),
            ("fetch.max.bytes", &fetch),
            ("max.partition.fetch.bytes", &fetch),
            ("queued.max.messages.kbytes", &kilobytes),
            ("queued.min.messages", &records),
        ]);
        if let Some(instance) = instance {
            defaults.extend(pairs(&[("group.instance.id", instance)]));
        }
        defaults
    }
}

impl KafkaConfig {
    /// The properties of the group's consumer, as names and values.
    pub fn consumer(&self) -> impl Iterator<Item = (&str, &str)> {
        self.client().chain(self.consumer.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// How often librdkafka reports its statistics; `"0"` is never.
    pub(crate) fn statistics_millis(&self) -> &str {
        let found = self.consumer.iter().find(|(name, _)| name == STATISTICS);
        found.map_or("0", |(_, millis)| millis)
    }

    /// The properties of any other client of these brokers, as names and values.
    pub fn client(&self) -> impl Iterator<Item = (&str, &str)> {
        self.client.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Whether this is `host:port` or `[address]:port`, or the same after the name of a listener's protocol. librdkafka takes
/// any port modulo 65,536.
fn is_server(text: &str) -> bool {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    text.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn is_topic(name: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=249).contains(&name.len()) && name.chars().all(known) && name != "." && name != ".."
}

fn is_consumer_only(name: &str) -> bool {
    CONSUMER_ONLY.iter().any(|known| name == *known || (known.ends_with('.') && name.starts_with(known)))
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn overlay(base: &mut Vec<(String, String)>, given: Vec<(String, String)>) {
    base.retain(|(name, _)| !given.iter().any(|(other, _)| other == name));
    base.extend(given);
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<'de> Deserialize<'de> for Property {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PropertyVisitor)
    }
}

struct PropertyVisitor;

impl Visitor<'_> for PropertyVisitor {
    type Value = Property;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a number or a boolean")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Property, E> {
        if text.contains('\0') {
            return Err(E::custom("a property cannot contain a NUL character"));
        }
        Ok(Property(text.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Property, E> {
        Ok(Property(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Property, E> {
        Ok(Property(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Property, E> {
        Ok(Property(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Property, E> {
        Ok(Property(value.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMUM: &str =
        "bootstrap_servers = 'localhost:9092'\ntopics = ['events']\ngroup_id = 'aqueduct'\n";

    fn read(more: &str) -> KafkaSettings {
        toml::from_str(&format!("{MINIMUM}{more}")).expect("valid")
    }

    fn resolved(more: &str) -> BTreeMap<String, String> {
        let config = read(more).resolve("node-1").expect("valid");
        config.consumer().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn defaults_are_as_documented() {
        let properties = resolved("");
        for (name, value) in [
            ("group.instance.id", "node-1"),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "error"),
            ("queued.max.messages.kbytes", "16384"),
            ("queued.min.messages", "26214"),
            ("statistics.interval.ms", "5000"),
            ("session.timeout.ms", "45000"),
        ] {
            assert_eq!(properties.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert_eq!(read("").start, StartRule::Earliest);
        assert_eq!(resolved("group_instance_id = ''").get("group.instance.id"), None);
    }

    #[test]
    fn properties_can_be_strings_numbers_and_booleans() {
        let more = "[properties]\n'session.timeout.ms' = 6000\n'socket.keepalive.enable' = true\n'sasl.password' = 'hunter2'";
        let properties = resolved(more);
        assert_eq!(properties["session.timeout.ms"], "6000");
        assert_eq!(properties["socket.keepalive.enable"], "true");
        let config = read(more).resolve("h").expect("valid");
        assert_eq!(config.session_timeout, Duration::from_secs(6));
        assert!(config.client().any(|(name, _)| name == "sasl.password"));
        assert!(!config.client().any(|(name, _)| name == SESSION_TIMEOUT));
        assert!(!format!("{:?}", read(more)).contains("hunter2"));
    }

    #[test]
    fn reserved_properties_are_rejected() {
        let settings = read("buffer = '1kB'\n[properties]\n'group.id' = 'x'\n'enable.auto.commit' = true");
        let keys: Vec<_> = settings.problems().into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["buffer", "properties.\"enable.auto.commit\"", "properties.\"group.id\""]);
        let text = "bootstrap_servers = ''\ntopics = ['a', 'a', 'b c']\ngroup_id = ''";
        let settings: KafkaSettings = toml::from_str(text).expect("complete");
        let keys: Vec<_> = settings.problems().into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["bootstrap_servers", "group_id", "topics", "topics"]);
        assert!(toml::from_str::<KafkaSettings>(&format!("{MINIMUM}grup = 1")).is_err());
    }
}
