//! The `[writer]` section of the configuration, and what it resolves to. The code that reads the file makes `path`
//! absolute.

use std::path::PathBuf;

use event::Millis;
use pubsub::{
    Endpoint, PubSubSettings,
    settings::{name_problem, project_problem},
};
use serde::{Deserialize, Serialize};

use crate::{WriterError, backend::Place};

/// Where rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WriterKind {
    /// An SQLite file.
    Sqlite,
    /// A BigQuery dataset.
    BigQuery,
    /// A Pub/Sub topic.
    PubSub,
}

/// What a table has for a window and key that fire several times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WriterMode {
    /// A row for each pane.
    #[default]
    Append,
    /// One row, which the newest pane replaces.
    Upsert,
}

/// The `[writer]` section, or one of `[[writers]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriterSettings {
    /// Where rows are written.
    ///
    /// Example: `kind = "bigquery"`
    pub kind: WriterKind,
    /// The name of the writer: in metrics and messages, and in the state, which knows by it which rows the writer has. Required
    /// only where several writers have the same kind. See [Several writers](flows.md#several-writers).
    ///
    /// Default: the kind
    ///
    /// Example: `name = "europe"`
    #[serde(default)]
    pub name: Option<String>,
    /// Whether the table of a flow has a row for each pane, or one for each window and key, which the newest pane
    /// replaces. `upsert` is available with `sqlite` and `bigquery`. See [Upserts](flows.md#upserts).
    ///
    /// Example: `mode = "upsert"`
    #[serde(default)]
    pub mode: WriterMode,
    /// The SQLite file.
    ///
    /// Default: required for `sqlite`
    ///
    /// Example: `path = "aqueduct.db"`
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// Name of the Pub/Sub topic to which each row is published. `setup` creates it. See [Results to Pub/Sub](flows.md#results-to-pubsub).
    ///
    /// Default: required for `pubsub`
    ///
    /// Example: `topic = "ctr"`
    #[serde(default)]
    pub topic: Option<String>,
    /// Google Cloud project ID.
    ///
    /// Default: required for `bigquery`; for `pubsub` that of `[pubsub]`
    ///
    /// Example: `project = "shop-analytics"`
    #[serde(default)]
    pub project: Option<String>,
    /// The dataset. `setup` creates it.
    ///
    /// Default: required for `bigquery`
    ///
    /// Example: `dataset = "ctr"`
    #[serde(default)]
    pub dataset: Option<String>,
    /// Region or multi-region of the dataset.
    ///
    /// Default: required for `bigquery`
    ///
    /// Example: `location = "EU"`
    #[serde(default)]
    pub location: Option<String>,
    /// REST address of a BigQuery emulator; needs `grpc_endpoint` beside it.
    ///
    /// Default: Google Cloud
    ///
    /// Example: `rest_endpoint = "http://localhost:9050"`
    #[serde(default)]
    pub rest_endpoint: Option<String>,
    /// gRPC address of the emulator.
    ///
    /// Default: Google Cloud
    ///
    /// Example: `grpc_endpoint = "http://localhost:9060"`
    #[serde(default)]
    pub grpc_endpoint: Option<String>,
}

/// Where rows go, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriterConfig {
    /// An SQLite file.
    Sqlite(SqliteConfig),
    /// A BigQuery dataset.
    BigQuery(BigQueryConfig),
    /// A Pub/Sub topic.
    PubSub(PubSubConfig),
}

/// An SQLite file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteConfig {
    /// The file.
    pub path: PathBuf,
    /// What the flows' tables contain.
    pub mode: WriterMode,
}

/// A BigQuery dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BigQueryConfig {
    /// The Google Cloud project.
    pub project: String,
    /// The dataset.
    pub dataset: String,
    /// Where the dataset is kept.
    pub location: String,
    /// What the flows' tables contain.
    pub mode: WriterMode,
    /// An emulator instead of Google Cloud; it is given no credentials.
    pub emulator: Option<Endpoints>,
}

/// A Pub/Sub topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PubSubConfig {
    /// The topic.
    pub topic: TopicPath,
    /// Google Cloud or an emulator, as for `[pubsub]`.
    pub endpoint: Endpoint,
    /// How long a topic that `setup` creates keeps messages, as for `[pubsub]`.
    pub retention: Millis,
    /// Where a topic that `setup` creates may store messages, as for `[pubsub]`; empty for anywhere.
    pub regions: Vec<String>,
}

/// The name of a topic and its project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPath {
    /// The Google Cloud project.
    pub project: String,
    /// The topic.
    pub topic: String,
}

/// Addresses of a BigQuery emulator, as URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Datasets, tables, views and queries.
    pub rest: String,
    /// The Storage Write API.
    pub grpc: String,
}

impl WriterConfig {
    pub(crate) fn place(&self) -> &dyn Place {
        match self {
            Self::Sqlite(config) => config,
            Self::BigQuery(config) => config,
            Self::PubSub(config) => config,
        }
    }

    /// Resolves the section. `events` is the `[pubsub]` section with its endpoint, which `kind = "pubsub"` requires.
    ///
    /// # Errors
    /// [`WriterError::Setting`] for every key that is missing, invalid or without effect.
    pub fn resolve(
        settings: WriterSettings,
        events: Option<(&PubSubSettings, Endpoint)>,
    ) -> Result<Self, Vec<WriterError>> {
        match settings.kind {
            WriterKind::Sqlite => sqlite(settings),
            WriterKind::BigQuery => bigquery(settings),
            WriterKind::PubSub => match events {
                Some((events, endpoint)) => pubsub(settings, events, endpoint),
                None => {
                    Err(vec![problem("kind", "is \"pubsub\", which requires the section [pubsub]; add it")])
                }
            },
        }
    }
}

impl WriterKind {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::BigQuery => "bigquery",
            Self::PubSub => "pubsub",
        }
    }
}

impl WriterSettings {
    /// The name of the writer.
    ///
    /// # Errors
    /// [`WriterError::Setting`] if it could not be a label.
    pub fn name(&self) -> Result<&str, WriterError> {
        const LONGEST: usize = 64;
        let Some(name) = self.name.as_deref() else { return Ok(self.kind.as_str()) };
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        if name.is_empty() || name.len() > LONGEST || !name.bytes().all(is_name) {
            let text = format!(
                "invalid name {name:?}; expected up to {LONGEST} letters, digits, hyphens and underscores"
            );
            return Err(problem("name", &text));
        }
        Ok(name)
    }
}

impl WriterConfig {
    /// Whether two writers would write the same tables or topic.
    pub fn has_place_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sqlite(a), Self::Sqlite(b)) => a.path == b.path,
            (Self::BigQuery(a), Self::BigQuery(b)) => {
                (&a.project, &a.dataset, &a.emulator) == (&b.project, &b.dataset, &b.emulator)
            }
            (Self::PubSub(a), Self::PubSub(b)) => a.topic == b.topic,
            _ => false,
        }
    }
}

impl TopicPath {
    /// `projects/P/topics/T`.
    pub fn full(&self) -> String {
        format!("projects/{}/topics/{}", self.project, self.topic)
    }
}

fn sqlite(settings: WriterSettings) -> Result<WriterConfig, Vec<WriterError>> {
    let of_others = [
        ("topic", &settings.topic),
        ("project", &settings.project),
        ("dataset", &settings.dataset),
        ("location", &settings.location),
        ("rest_endpoint", &settings.rest_endpoint),
        ("grpc_endpoint", &settings.grpc_endpoint),
    ];
    let set = of_others.into_iter().filter(|(_, value)| value.is_some());
    let mut errors: Vec<WriterError> = set.map(|(key, _)| unused(key, "sqlite")).collect();
    let path = settings.path.unwrap_or_else(|| {
        errors.push(missing("path", "kind = \"sqlite\" requires it, for example \"aqueduct.db\""));
        PathBuf::from("missing")
    });
    if path.as_os_str().is_empty() {
        errors.push(problem("path", "is empty; expected a file, for example \"aqueduct.db\""));
    }
    let mode = settings.mode;
    if errors.is_empty() { Ok(WriterConfig::Sqlite(SqliteConfig { path, mode })) } else { Err(errors) }
}

fn bigquery(settings: WriterSettings) -> Result<WriterConfig, Vec<WriterError>> {
    if !cfg!(feature = "cloud") {
        return Err(vec![not_built()]);
    }
    let (mode, mut errors) = (settings.mode, Vec::new());
    if settings.path.is_some() {
        errors.push(unused("path", "bigquery"));
    }
    if settings.topic.is_some() {
        errors.push(unused("topic", "bigquery"));
    }
    let is_project = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:_".contains(&b))
    };
    let is_dataset =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match settings.project.as_deref() {
        None => errors.push(missing("project", NEEDED)),
        Some(project) if !is_project(project) => {
            errors.push(problem("project", &format!("invalid project ID {project:?}")));
        }
        Some(_) => {}
    }
    match settings.dataset.as_deref() {
        None => errors.push(missing("dataset", NEEDED)),
        Some(dataset) if !is_dataset(dataset) => {
            let text = format!("invalid name {dataset:?}; expected letters, digits and underscores");
            errors.push(problem("dataset", &text));
        }
        Some(_) => {}
    }
    match settings.location.as_deref() {
        None => errors.push(missing("location", "kind = \"bigquery\" requires it, for example \"EU\"")),
        Some("") => {
            errors
                .push(problem("location", "is empty; expected a region or multi-region, for example \"EU\""));
        }
        Some(_) => {}
    }
    let emulator = emulator(settings.rest_endpoint, settings.grpc_endpoint, &mut errors);
    match (settings.project, settings.dataset, settings.location) {
        (Some(project), Some(dataset), Some(location)) if errors.is_empty() => {
            Ok(WriterConfig::BigQuery(BigQueryConfig { project, dataset, location, mode, emulator }))
        }
        _ => Err(errors),
    }
}

const NEEDED: &str = "kind = \"bigquery\" requires it";

fn emulator(rest: Option<String>, grpc: Option<String>, errors: &mut Vec<WriterError>) -> Option<Endpoints> {
    const BOTH: &str = "an emulator requires both endpoints";
    match (rest, grpc) {
        (None, None) => None,
        (Some(_), None) => {
            errors.push(missing("grpc_endpoint", BOTH));
            None
        }
        (None, Some(_)) => {
            errors.push(missing("rest_endpoint", BOTH));
            None
        }
        (Some(rest), Some(grpc)) => {
            let mut keep = |url: Result<String, WriterError>| url.map_err(|error| errors.push(error)).ok();
            let (rest, grpc) = (keep(url("rest_endpoint", rest)), keep(url("grpc_endpoint", grpc)));
            Some(Endpoints { rest: rest?, grpc: grpc? })
        }
    }
}

fn pubsub(
    settings: WriterSettings,
    events: &PubSubSettings,
    endpoint: Endpoint,
) -> Result<WriterConfig, Vec<WriterError>> {
    let mut errors = Vec::from_iter(refuse_upserts(&settings).err());
    if settings.path.is_some() {
        errors.push(unused("path", "pubsub"));
    }
    let of_bigquery = [
        ("dataset", &settings.dataset),
        ("location", &settings.location),
        ("rest_endpoint", &settings.rest_endpoint),
        ("grpc_endpoint", &settings.grpc_endpoint),
    ];
    let set = of_bigquery.into_iter().filter(|(_, value)| value.is_some());
    errors.extend(set.map(|(key, _)| unused(key, "pubsub")));
    let project = settings.project.unwrap_or_else(|| events.project.clone());
    errors.extend(project_problem(&project).map(|wrong| problem("project", &wrong)));
    let Some(topic) = settings.topic else {
        errors.push(missing("topic", "kind = \"pubsub\" requires it, for example \"ctr\""));
        return Err(errors);
    };
    errors.extend(name_problem(&topic).map(|wrong| problem("topic", &wrong)));
    let topic = TopicPath { project, topic };
    errors.extend(refuse_loop(&topic, events).err());
    if !errors.is_empty() {
        return Err(errors);
    }
    let (retention, regions) = (events.retention, events.regions.clone());
    Ok(WriterConfig::PubSub(PubSubConfig { topic, endpoint, retention, regions }))
}

/// A topic keeps what was published.
fn refuse_upserts(settings: &WriterSettings) -> Result<(), WriterError> {
    match settings.mode {
        WriterMode::Append => Ok(()),
        WriterMode::Upsert => {
            let text = "is \"upsert\", which requires kind = \"sqlite\" or \"bigquery\"; remove it: of the messages of a window, the newest has the highest pane_index";
            Err(problem("mode", text))
        }
    }
}

/// Rows must not arrive where the processor reads.
fn refuse_loop(topic: &TopicPath, events: &PubSubSettings) -> Result<(), WriterError> {
    let full = topic.full();
    let what = if events.topic_paths().contains(&full) {
        "events"
    } else if events.marks_topic_path() == full {
        "marks"
    } else {
        return Ok(());
    };
    let text = format!(
        "is {:?}, the topic for {what} of [pubsub]: the processor would read its own rows; choose another topic",
        topic.topic
    );
    Err(problem("topic", &text))
}

/// Accepts `host:port` as well as a URL.
fn url(key: &'static str, text: String) -> Result<String, WriterError> {
    let address = text.split_once("://").map_or(text.as_str(), |(_, address)| address);
    if address.is_empty() {
        return Err(problem(key, "is empty; expected an address, for example \"http://localhost:9050\""));
    }
    Ok(if text.contains("://") { text } else { format!("http://{text}") })
}

/// The error for a backend that this build lacks.
pub(crate) fn not_built() -> WriterError {
    problem(
        "kind",
        "is \"bigquery\", which this build does not include; use \"sqlite\", or build with the default feature `cloud`",
    )
}

fn problem(key: &'static str, text: &str) -> WriterError {
    WriterError::Setting { key, problem: text.to_owned() }
}

fn missing(key: &'static str, why: &str) -> WriterError {
    problem(key, &format!("is missing; {why}"))
}

fn unused(key: &'static str, kind: &str) -> WriterError {
    problem(key, &format!("does not apply to kind = \"{kind}\"; remove it"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn resolve(json: &str) -> Result<WriterConfig, Vec<WriterError>> {
        let settings: WriterSettings = serde_json::from_str(json).expect("the section is well formed");
        let events: PubSubSettings = serde_json::from_str(EVENTS).expect("the section is well formed");
        let endpoint = Endpoint::emulator("h:1").expect("an address");
        WriterConfig::resolve(settings, Some((&events, endpoint)))
    }

    const EVENTS: &str = r#"{"project":"shop-analytics","topic":"e-{/c}","topics":["e-PL","old"]}"#;

    #[track_caller]
    fn check_keys(json: &str, expected: &[&str]) {
        let errors = resolve(json).expect_err(json);
        let key = |error: &WriterError| match error {
            WriterError::Setting { key, .. } => *key,
            other => panic!("{json}: {other:?}"),
        };
        assert_eq!(errors.iter().map(key).collect::<Vec<_>>(), expected, "{json}");
    }

    #[track_caller]
    fn check_key(json: &str, expected: &str) {
        check_keys(json, &[expected]);
    }

    #[test]
    fn sections_resolve_or_name_the_key() {
        let config = resolve(r#"{"kind":"sqlite","path":"a.db"}"#).expect("a configuration");
        assert!(matches!(config, WriterConfig::Sqlite(config) if config.path == Path::new("a.db")));
        check_key(r#"{"kind":"sqlite"}"#, "path");
        check_key(r#"{"kind":"sqlite","path":"a.db","dataset":"d"}"#, "dataset");
        check_keys(r#"{"kind":"sqlite","project":"p","dataset":"d"}"#, &["project", "dataset", "path"]);
    }

    #[test]
    fn a_result_topic_is_not_a_topic_that_is_read() {
        let config = resolve(r#"{"kind":"pubsub","topic":"ctr"}"#).expect("a configuration");
        let WriterConfig::PubSub(config) = config else { panic!("{config:?}") };
        assert_eq!(config.topic.full(), "projects/shop-analytics/topics/ctr");
        assert_eq!(config.endpoint.to_string(), "http://h:1");
        for topic in ["e-PL", "old", "e-marks", "1", "goog"] {
            check_key(&format!(r#"{{"kind":"pubsub","topic":"{topic}"}}"#), "topic");
        }
        let other = resolve(r#"{"kind":"pubsub","topic":"old","project":"shop-other"}"#);
        assert!(other.is_ok(), "a topic of another project: {other:?}");
        check_key(r#"{"kind":"pubsub"}"#, "topic");
        check_key(r#"{"kind":"pubsub","topic":"ctr","project":"P"}"#, "project");
        check_key(r#"{"kind":"pubsub","topic":"ctr","path":"a.db"}"#, "path");
        check_key(r#"{"kind":"pubsub","topic":"ctr","dataset":"d"}"#, "dataset");
        check_key(r#"{"kind":"sqlite","path":"a.db","topic":"ctr"}"#, "topic");
        check_key(r#"{"kind":"pubsub","topic":"ctr","mode":"upsert"}"#, "mode");
        let settings = serde_json::from_str(r#"{"kind":"pubsub","topic":"ctr"}"#).expect("well formed");
        let alone = WriterConfig::resolve(settings, None);
        let errors = alone.expect_err("no section [pubsub]");
        assert!(matches!(errors[..], [WriterError::Setting { key: "kind", .. }]), "{errors:?}");
    }

    #[cfg(not(feature = "cloud"))]
    #[test]
    fn a_build_without_the_cloud_refuses_bigquery() {
        check_key(r#"{"kind":"bigquery","project":"p","dataset":"d","location":"EU"}"#, "kind");
    }

    #[cfg(feature = "cloud")]
    #[test]
    fn bigquery_sections_resolve_or_name_the_key() {
        const EU: &str = r#""kind":"bigquery","project":"p","dataset":"d","location":"EU""#;
        check_keys(r#"{"kind":"bigquery","project":"p"}"#, &["dataset", "location"]);
        let upsert = resolve(&format!(r#"{{{EU},"mode":"upsert"}}"#)).expect("a configuration");
        assert!(matches!(upsert, WriterConfig::BigQuery(config) if config.mode == WriterMode::Upsert));
        check_key(r#"{"kind":"bigquery","project":"p","dataset":"d"}"#, "location");
        check_key(r#"{"kind":"bigquery","project":"p","dataset":"d-e","location":"EU"}"#, "dataset");
        check_key(r#"{"kind":"bigquery","project":"p","dataset":"d","location":""}"#, "location");
        check_key(&format!(r#"{{{EU},"rest_endpoint":"h:1","grpc_endpoint":"http://"}}"#), "grpc_endpoint");
        check_key(&format!(r#"{{{EU},"rest_endpoint":"h:1"}}"#), "grpc_endpoint");
        let emulator = resolve(&format!(r#"{{{EU},"rest_endpoint":"h:1","grpc_endpoint":"http://h:2"}}"#));
        let emulator = format!("{:?}", emulator.expect("a configuration"));
        assert!(emulator.contains("rest: \"http://h:1\", grpc: \"http://h:2\""), "{emulator}");
    }
}
