//! The properties of a distributed worker.

use std::collections::BTreeMap;

use kafka::journal::{JournalTopic, Prepared};

use crate::define::Config;

/// What a worker shares with the others of its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distributed {
    /// The group of the workers.
    pub group: String,
    /// Where configurations are.
    pub(crate) configs: JournalTopic,
    /// Where states are.
    pub(crate) statuses: JournalTopic,
    /// Properties of the membership in the group, as librdkafka names them.
    pub(crate) membership: BTreeMap<String, String>,
}

const CONFIGS: &str = "config.storage.";
const STATUSES: &str = "status.storage.";
/// Offsets of source connectors, which a sink does not have.
const OFFSETS: &str = "offset.storage.";
/// How long a silent worker counts as one of the group, in milliseconds, as in Connect.
const SESSION: &str = "10000";
const HEARTBEAT: &str = "3000";

/// Keys whose counterpart does not exist: workers send each other no requests, and a connector that lost its worker moves
/// at once.
const WITHOUT_EFFECT: [&str; 5] = [
    "rebalance.timeout.ms",
    "scheduled.rebalance.max.delay.ms",
    "connect.protocol",
    "worker.sync.timeout.ms",
    "worker.unsync.backoff.ms",
];

/// Whether this is a key of distributed workers. `offset.storage.file.filename` is one of standalone workers.
pub(crate) fn is_key(name: &str) -> bool {
    ["group.id", "session.timeout.ms", "heartbeat.interval.ms"].contains(&name)
        || WITHOUT_EFFECT.contains(&name)
        || name.starts_with("inter.worker.")
        || [CONFIGS, STATUSES, OFFSETS].iter().any(|prefix| name.starts_with(prefix))
}

/// The properties of a distributed worker; `None` if they are those of a standalone one.
pub(crate) fn read(
    config: &Config,
    note: &mut impl FnMut(&str, String),
    warnings: &mut Vec<String>,
) -> Option<Distributed> {
    let decides = ["group.id", "config.storage.topic", "status.storage.topic", "offset.storage.topic"];
    if !decides.iter().any(|key| config.contains_key(*key)) {
        return None;
    }
    let mut required = |key: &str| {
        let value = config.get(key).cloned().unwrap_or_default();
        if value.is_empty() {
            note(key, "is missing; a distributed worker needs group.id, config.storage.topic and status.storage.topic".to_owned());
        }
        value
    };
    let group = required("group.id");
    let (configs, statuses) = (required("config.storage.topic"), required("status.storage.topic"));
    if configs == statuses && !configs.is_empty() {
        note("status.storage.topic", "is the topic of config.storage.topic; choose another one".to_owned());
    }
    let mut number = |key: String, default: i32| {
        let Some(text) = config.get(&key) else { return default };
        match text.parse() {
            Ok(number) if number == -1 || number > 0 => number,
            _ => {
                note(&key, "expected a number above 0, or -1 for the brokers' default".to_owned());
                default
            }
        }
    };
    let replicas = |prefix: &str| format!("{prefix}replication.factor");
    let (of_configs, of_statuses) = (number(replicas(CONFIGS), 3), number(replicas(STATUSES), 3));
    let partitions = number(format!("{STATUSES}partitions"), 5);
    let mut properties = |prefix: &str| -> BTreeMap<String, String> {
        let own = config.iter().filter_map(|(key, value)| Some((key.strip_prefix(prefix)?, value)));
        let own = own.filter(|(name, _)| !["topic", "replication.factor"].contains(name));
        let (fixed, given): (Vec<_>, Vec<_>) = own
            .partition(|(name, _)| *name == "cleanup.policy" || (*name == "partitions" && prefix == CONFIGS));
        for (name, _) in fixed {
            warnings.push(format!("{prefix}{name} has no effect: the topic is created compacted, and that of configurations with one partition"));
        }
        let given = given.into_iter().filter(|(name, _)| *name != "partitions");
        given.map(|(name, value)| (name.to_owned(), value.clone())).collect()
    };
    let configs =
        JournalTopic { name: configs, partitions: 1, replicas: of_configs, properties: properties(CONFIGS) };
    let statuses =
        JournalTopic { name: statuses, partitions, replicas: of_statuses, properties: properties(STATUSES) };
    let mut millis = |key: &str, default: &str| {
        let text = config.get(key).map_or(default, String::as_str);
        if !text.parse::<u32>().is_ok_and(|millis| millis > 0) {
            note(key, "expected a number of milliseconds".to_owned());
        }
        (key.to_owned(), text.to_owned())
    };
    let session = millis("session.timeout.ms", SESSION);
    let heartbeat = millis("heartbeat.interval.ms", HEARTBEAT);
    Some(Distributed { group, configs, statuses, membership: [session, heartbeat].into() })
}

/// Why a topic cannot be used; `None` if it can, as far as this user may know.
pub(super) fn unfit(key: &str, topic: &str, found: &Prepared, is_single: bool) -> Option<String> {
    if is_single && found.partitions != 1 {
        return Some(format!(
            "topic '{topic}' of '{key}' must have a single partition, because the order of changes would be lost otherwise, but has {}; create a topic with one, and set '{key}' to it",
            found.partitions
        ));
    }
    let policy = found.policy.as_deref().filter(|policy| policy.trim() != "compact")?;
    Some(format!(
        "topic '{topic}' of '{key}' must have 'cleanup.policy=compact', but has 'cleanup.policy={policy}', with which Kafka would delete configurations or states that are in use; correct the topic, or set '{key}' to another one"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(more: &[(&str, &str)]) -> (Option<Distributed>, Vec<String>, usize) {
        let base = [("group.id", "g"), ("config.storage.topic", "c"), ("status.storage.topic", "s")];
        let pairs = base.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let mut config: Config = pairs.collect();
        config.retain(|_, value| value != "-");
        let (mut mistakes, mut warnings) = (Vec::new(), Vec::new());
        let found = read(&config, &mut |key, _| mistakes.push(key.to_owned()), &mut warnings);
        (found, mistakes, warnings.len())
    }

    #[test]
    fn topics_have_connects_defaults() {
        let (found, mistakes, warnings) = check(&[]);
        let found = found.expect("distributed");
        assert_eq!((found.configs.partitions, found.configs.replicas), (1, 3));
        assert_eq!((found.statuses.partitions, found.statuses.replicas), (5, 3));
        assert_eq!((mistakes, warnings), (vec![], 0));
        let (found, mistakes, warnings) = check(&[
            ("config.storage.replication.factor", "1"),
            ("config.storage.min.insync.replicas", "2"),
            ("config.storage.partitions", "7"),
            ("status.storage.partitions", "-1"),
            ("offset.storage.topic", "o"),
            ("session.timeout.ms", "6000"),
        ]);
        let found = found.expect("distributed");
        assert_eq!((found.configs.partitions, found.configs.replicas, found.statuses.partitions), (1, 1, -1));
        assert_eq!(found.configs.properties, [("min.insync.replicas".to_owned(), "2".to_owned())].into());
        assert_eq!(found.membership["session.timeout.ms"], "6000");
        assert_eq!((mistakes, warnings), (vec![], 1));
    }

    #[test]
    fn mistakes_name_their_key() {
        for (key, value) in [
            ("group.id", "-"),
            ("config.storage.topic", "-"),
            ("status.storage.topic", "c"),
            ("config.storage.replication.factor", "0"),
            ("status.storage.partitions", "x"),
            ("session.timeout.ms", "10s"),
        ] {
            assert_eq!(check(&[(key, value)]).1, [key], "{key}");
        }
    }

    #[test]
    fn a_topic_must_keep_what_is_in_use() {
        let fits = |partitions, policy: Option<&str>, is_single| {
            let found = Prepared { partitions, policy: policy.map(str::to_owned) };
            unfit("k", "t", &found, is_single).is_none()
        };
        assert!(fits(1, Some("compact"), true) && fits(5, Some("compact"), false) && fits(1, None, true));
        assert!(!fits(2, Some("compact"), true));
        assert!(!fits(1, Some("delete"), true) && !fits(1, Some("compact,delete"), false));
    }
}
