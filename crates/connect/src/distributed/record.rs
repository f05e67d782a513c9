//! The records of the two topics: keys, and values as JSON with a version.
//!
//! | topic | key | value |
//! |---|---|---|
//! | configurations | `aqueduct/connector/<id>/<name>` | [`ConnectorRecord`]: one change of a connector |
//! | | `aqueduct/restart/<name>` | [`RestartRecord`] |
//! | | `connector-<name>`, `target-state-<name>` | as Kafka Connect writes them, which are read and never written |
//! | states | `aqueduct/status/<member>/<name>` | [`StatusRecord`]: the tasks of a connector on one worker |
//! | | `aqueduct/topic/<topic>/<name>` | a topic from which a connector has read |
//!
//! Every change has an ID of its own in its key, so that compaction never removes a change in favour of one that was refused.
//! See [`super::log`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{define::Config, worker::Target};

/// The version of the records that this program writes. It reads no newer ones.
pub(super) const VERSION: u64 = 1;

const CONNECTOR: &str = "aqueduct/connector/";
const RESTART: &str = "aqueduct/restart/";
const STATUS: &str = "aqueduct/status/";
const TOPIC: &str = "aqueduct/topic/";
const OURS: &str = "aqueduct/";

/// A change of a connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConnectorRecord {
    pub(super) version: u64,
    /// The end of the topic that its writer had read: the change counts only if no other change of the connector counts
    /// from there on.
    pub(super) seen: u64,
    /// What the connector becomes; `None` deletes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) connector: Option<Stored>,
}

/// A connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stored {
    /// The ID of its configuration: another target keeps it, another configuration changes it.
    pub(crate) revision: String,
    /// `RUNNING`, `PAUSED` or `STOPPED`.
    #[serde(with = "target")]
    pub(crate) target: Target,
    /// The configuration as it was given.
    pub(crate) config: Config,
}

/// An order to begin tasks again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RestartRecord {
    pub(super) version: u64,
    pub(super) id: String,
    /// One task, or all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) task: Option<u32>,
    pub(super) only_failed: bool,
}

/// The tasks of a connector that a worker runs, or has in another state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusRecord {
    pub(super) version: u64,
    /// The revision of the connector that the tasks run.
    pub(super) revision: String,
    pub(super) tasks: BTreeMap<u32, StoredTask>,
}

/// The state of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredTask {
    pub(super) state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<String>,
}

/// A value without further contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    version: u64,
}

/// A record of the topic of configurations. A value that was deleted is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConfigEntry {
    Connector {
        name: String,
        id: String,
        record: Option<ConnectorRecord>,
    },
    Restart {
        name: String,
        record: Option<RestartRecord>,
    },
    /// A configuration of Kafka Connect.
    Imported {
        name: String,
        config: Option<Config>,
    },
    /// A state of Kafka Connect.
    ImportedTarget {
        name: String,
        target: Option<Target>,
    },
    /// A record of Kafka Connect that means nothing here: configurations of tasks, which follow from their connector, and
    /// keys for requests between workers.
    OfConnect,
}

/// A record of the topic of states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StatusEntry {
    Status {
        member: String,
        name: String,
        record: Option<StatusRecord>,
    },
    Topic {
        topic: String,
        name: String,
        is_used: bool,
    },
    /// A state that Kafka Connect wrote.
    OfConnect,
}

/// Why a record cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// A newer program wrote it.
    Version(u64),
    /// It is not what it should be.
    Damaged,
}

pub(super) fn connector_key(id: &str, name: &str) -> String {
    format!("{CONNECTOR}{id}/{name}")
}

pub(super) fn restart_key(name: &str) -> String {
    format!("{RESTART}{name}")
}

pub(super) fn status_key(member: &str, name: &str) -> String {
    format!("{STATUS}{member}/{name}")
}

pub(super) fn topic_key(topic: &str, name: &str) -> String {
    format!("{TOPIC}{topic}/{name}")
}

/// The value of a record.
pub(super) fn bytes(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("a record is plain JSON")
}

/// The value of a record of [`StatusEntry::Topic`].
pub(super) fn topic_bytes() -> Vec<u8> {
    bytes(&Mark { version: VERSION })
}

pub(super) fn config_entry(key: &[u8], value: Option<&[u8]>) -> Result<ConfigEntry, Unusable> {
    let key = std::str::from_utf8(key).map_err(|_| Unusable::Damaged)?;
    let owned = str::to_owned;
    if let Some(rest) = key.strip_prefix(CONNECTOR) {
        let (id, name) = rest.split_once('/').ok_or(Unusable::Damaged)?;
        return Ok(ConfigEntry::Connector { name: owned(name), id: owned(id), record: parsed(value)? });
    }
    if let Some(name) = key.strip_prefix(RESTART) {
        return Ok(ConfigEntry::Restart { name: owned(name), record: parsed(value)? });
    }
    if key.starts_with(OURS) {
        return Err(unknown(value));
    }
    if let Some(name) = key.strip_prefix("connector-") {
        let config = value.map(imported).transpose()?;
        return Ok(ConfigEntry::Imported { name: owned(name), config });
    }
    if let Some(name) = key.strip_prefix("target-state-") {
        let target = value.map(imported_target).transpose()?;
        return Ok(ConfigEntry::ImportedTarget { name: owned(name), target });
    }
    let others =
        ["task-", "commit-", "task-count-record-", "session-key", "restart-connector-", "logger-cluster-"];
    match others.iter().any(|other| key.starts_with(other)) {
        true => Ok(ConfigEntry::OfConnect),
        false => Err(Unusable::Damaged),
    }
}

pub(super) fn status_entry(key: &[u8], value: Option<&[u8]>) -> Result<StatusEntry, Unusable> {
    let key = std::str::from_utf8(key).map_err(|_| Unusable::Damaged)?;
    let owned = str::to_owned;
    if let Some(rest) = key.strip_prefix(STATUS) {
        let (member, name) = rest.split_once('/').ok_or(Unusable::Damaged)?;
        return Ok(StatusEntry::Status { member: owned(member), name: owned(name), record: parsed(value)? });
    }
    if let Some(rest) = key.strip_prefix(TOPIC) {
        let (topic, name) = rest.split_once('/').ok_or(Unusable::Damaged)?;
        let mark: Option<Mark> = parsed(value)?;
        return Ok(StatusEntry::Topic { topic: owned(topic), name: owned(name), is_used: mark.is_some() });
    }
    if key.starts_with(OURS) {
        return Err(unknown(value));
    }
    match key.starts_with("status-") {
        true => Ok(StatusEntry::OfConnect),
        false => Err(Unusable::Damaged),
    }
}

/// The version is read first: a newer record may have any other contents.
fn parsed<T: DeserializeOwned>(value: Option<&[u8]>) -> Result<Option<T>, Unusable> {
    let Some(value) = value else { return Ok(None) };
    let found: Value = serde_json::from_slice(value).map_err(|_| Unusable::Damaged)?;
    match found.get("version").and_then(Value::as_u64) {
        Some(VERSION) => serde_json::from_value(found).map(Some).map_err(|_| Unusable::Damaged),
        Some(version) if version > VERSION => Err(Unusable::Version(version)),
        _ => Err(Unusable::Damaged),
    }
}

/// A key of ours that this program does not know: a newer one has written it, unless the version says otherwise.
fn unknown(value: Option<&[u8]>) -> Unusable {
    parsed::<Mark>(value).err().unwrap_or(Unusable::Damaged)
}

fn imported(value: &[u8]) -> Result<Config, Unusable> {
    #[derive(Deserialize)]
    struct Imported {
        properties: Config,
    }
    let found: Imported = serde_json::from_slice(value).map_err(|_| Unusable::Damaged)?;
    Ok(found.properties)
}

/// `state` is what workers before 3.5 read, to which a stopped connector is a paused one.
fn imported_target(value: &[u8]) -> Result<Target, Unusable> {
    let found: Value = serde_json::from_slice(value).map_err(|_| Unusable::Damaged)?;
    let state = found.get("state.v2").filter(|state| !state.is_null()).or_else(|| found.get("state"));
    match state.and_then(Value::as_str) {
        Some("STARTED") => Ok(Target::Running),
        state => state.and_then(Target::parse).ok_or(Unusable::Damaged),
    }
}

mod target {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::worker::Target;

    pub(super) fn serialize<S: Serializer>(target: &Target, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(target.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Target, D::Error> {
        let text = String::deserialize(deserializer)?;
        Target::parse(&text).ok_or_else(|| D::Error::custom("unknown state"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Stored {
        let config = [("topics".to_owned(), "a".to_owned())].into();
        Stored { revision: "r".to_owned(), target: Target::Paused, config }
    }

    #[test]
    fn records_return_as_they_were_written() {
        for connector in [Some(stored()), None] {
            let record = ConnectorRecord { version: VERSION, seen: 7, connector };
            let found = config_entry(connector_key("id", "a/b").as_bytes(), Some(&bytes(&record)));
            let (name, id) = ("a/b".to_owned(), "id".to_owned());
            assert_eq!(found, Ok(ConfigEntry::Connector { name, id, record: Some(record) }));
        }
        let record = RestartRecord { version: VERSION, id: "i".to_owned(), task: Some(2), only_failed: true };
        let found = config_entry(restart_key("a/b").as_bytes(), Some(&bytes(&record)));
        assert_eq!(found, Ok(ConfigEntry::Restart { name: "a/b".to_owned(), record: Some(record) }));
        let task = StoredTask { state: "FAILED".to_owned(), trace: Some("why".to_owned()) };
        let record = StatusRecord { version: VERSION, revision: "r".to_owned(), tasks: [(3, task)].into() };
        let found = status_entry(status_key("[::1]:80#b", "a/b").as_bytes(), Some(&bytes(&record)));
        let (member, name) = ("[::1]:80#b".to_owned(), "a/b".to_owned());
        assert_eq!(found, Ok(StatusEntry::Status { member, name, record: Some(record) }));
        let found = status_entry(topic_key("t", "a/b").as_bytes(), Some(&topic_bytes()));
        assert_eq!(
            found,
            Ok(StatusEntry::Topic { topic: "t".to_owned(), name: "a/b".to_owned(), is_used: true })
        );
        let found = config_entry(connector_key("id", "n").as_bytes(), None);
        assert_eq!(
            found,
            Ok(ConfigEntry::Connector { name: "n".to_owned(), id: "id".to_owned(), record: None })
        );
    }

    /// As a worker of Kafka 4.4 writes them.
    #[test]
    fn records_of_connect_are_read() {
        let check = |key: &str, value: &str, expected: ConfigEntry| {
            assert_eq!(config_entry(key.as_bytes(), Some(value.as_bytes())), Ok(expected), "{key}");
        };
        let config = [("topics".to_owned(), "a".to_owned())].into();
        let name = || "n".to_owned();
        check(
            "connector-n",
            r#"{"properties":{"topics":"a"}}"#,
            ConfigEntry::Imported { name: name(), config: Some(config) },
        );
        for (value, target) in [
            (r#"{"state":"PAUSED","state.v2":"STOPPED"}"#, Target::Stopped),
            (r#"{"state":"STARTED","state.v2":"STARTED"}"#, Target::Running),
            (r#"{"state":"PAUSED"}"#, Target::Paused),
        ] {
            check(
                "target-state-n",
                value,
                ConfigEntry::ImportedTarget { name: name(), target: Some(target) },
            );
        }
        for key in ["task-n-0", "commit-n", "session-key", "restart-connector-n", "logger-cluster-root"] {
            check(key, "{}", ConfigEntry::OfConnect);
        }
        assert_eq!(status_entry(b"status-connector-n", Some(b"{}")), Ok(StatusEntry::OfConnect));
    }

    #[test]
    fn unusable_records_are_told_apart() {
        let key = connector_key("id", "n");
        let check = |key: &str, value: &str, expected: Unusable| {
            assert_eq!(config_entry(key.as_bytes(), Some(value.as_bytes())), Err(expected), "{key} {value}");
        };
        check(&key, r#"{"version":2,"anything":[]}"#, Unusable::Version(2));
        check("aqueduct/new/n", r#"{"version":3}"#, Unusable::Version(3));
        check("aqueduct/new/n", r#"{"version":1}"#, Unusable::Damaged);
        check(&key, r#"{"version":1}"#, Unusable::Damaged);
        check(&key, r#"{"version":1,"seen":1,"more":1}"#, Unusable::Damaged);
        check(&key, "{", Unusable::Damaged);
        check("connector-n", "{}", Unusable::Damaged);
        check("anything", "{}", Unusable::Damaged);
        assert_eq!(
            status_entry(status_key("m", "n").as_bytes(), Some(br#"{"version":2}"#)),
            Err(Unusable::Version(2))
        );
    }
}
