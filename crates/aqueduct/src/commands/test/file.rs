//! A file of flow tests: its keys, and the checks that need no run.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use event::shape;
use flow::Flow;
use serde::{Deserialize, Deserializer, de::Visitor};
use service::{Settings, SettingsError, settings::hint};

use super::compare::{Columns, Expected, Wanted};
use crate::config::ConfigError;

/// The sections of a file.
const SECTIONS: &[&str] = &["config", "test"];
/// What a file has to contain.
const EXAMPLE: &str = "\
[[test]]
name = \"a view counts\"
events = ['{\"type\":\"view\",\"time\":\"2026-01-01T10:00:00Z\",\"page\":\"/a\"}']
expect = [{ flow = \"page_ctr\", page = \"/a\", views = 1 }]
";

/// A file of tests.
pub(super) struct TestFile {
    settings: Settings,
    pub(super) tests: Vec<FlowTest>,
}

/// One test.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FlowTest {
    /// Its name in reports.
    pub(super) name: String,
    /// The events in the order in which they arrive.
    pub(super) events: Events,
    /// The Kafka topic that they come from.
    #[serde(default)]
    pub(super) topic: String,
    /// Final rows that must appear.
    expect: Option<Vec<Expected>>,
    /// All panes, in the order in which they fire.
    expect_panes: Option<Vec<Expected>>,
    /// Whether no other rows may appear.
    #[serde(default)]
    only: bool,
}

/// The events of a test.
#[derive(Debug)]
pub(super) enum Events {
    Inline(Vec<Event>),
    /// As for `replay`; relative to the file of the tests.
    File(PathBuf),
}

/// An event: a string of JSON, or a table with its topic.
#[derive(Debug)]
pub(super) struct Event {
    topic: Option<String>,
    json: String,
}

/// What a test expects.
pub(super) enum Expectation<'a> {
    Rows { expected: &'a [Expected], only: bool },
    Panes(&'a [Expected]),
}

impl TestFile {
    /// Reads a file. Variables of the environment do not apply to it.
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => {
                SettingsError::NotFound { path: path.to_owned(), by: "the command line".to_owned() }
            }
            _ => SettingsError::Unreadable { path: path.to_owned(), source },
        })?;
        let settings = Settings::parse(&text, path, [], SECTIONS)?;
        let tests = settings.required("test", EXAMPLE)?;
        let file = Self { settings, tests };
        let problems = file.tests.iter().enumerate().filter_map(|(n, test)| {
            let (key, problem) = test.problem()?;
            Some(file.settings.error_at(&format!("test[{n}]{key}"), problem))
        });
        let problems = problems.collect();
        file.unless(problems)
    }

    /// The configuration that the file names.
    pub(super) fn config(&self) -> Result<Option<PathBuf>, ConfigError> {
        let path: Option<PathBuf> = self.settings.section("config")?;
        Ok(path.map(|path| self.resolve(&path)))
    }

    /// A path that is relative to the file.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        self.settings.resolve(path)
    }

    pub(super) fn path(&self) -> &Path {
        self.settings.path()
    }

    /// Checks that flows and columns of expected rows exist.
    pub(super) fn checked(self, flows: &[Flow]) -> Result<Self, ConfigError> {
        let mut errors = Vec::new();
        for (n, test) in self.tests.iter().enumerate() {
            for (index, expected) in test.expectation().rows().iter().enumerate() {
                let key = format!("test[{n}].{}[{index}]", test.expectation().key());
                if let Some((column, problem)) = unknown(expected, flows) {
                    errors.push(self.settings.error_at(&format!("{key}{column}"), problem));
                }
            }
        }
        self.unless(errors)
    }

    fn unless(self, errors: Vec<SettingsError>) -> Result<Self, ConfigError> {
        if errors.is_empty() { Ok(self) } else { Err(ConfigError(errors)) }
    }
}

impl FlowTest {
    /// The events in the order in which they arrive, each with its topic.
    pub(super) fn arriving<'a>(&'a self, events: &'a [Event]) -> Vec<(&'a str, &'a str)> {
        let topic = |event: &'a Event| event.topic.as_deref().unwrap_or(&self.topic);
        events.iter().map(|event| (topic(event), event.json.as_str())).collect()
    }

    pub(super) fn expectation(&self) -> Expectation<'_> {
        match (&self.expect, &self.expect_panes) {
            (_, Some(panes)) => Expectation::Panes(panes),
            (rows, None) => {
                Expectation::Rows { expected: rows.as_deref().unwrap_or_default(), only: self.only }
            }
        }
    }

    /// A contradiction between its keys: the key and the problem.
    fn problem(&self) -> Option<(&'static str, &'static str)> {
        let is_topic = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        match (&self.expect, &self.expect_panes) {
            (None, None) => Some(("", "expects nothing; add expect = [...] or expect_panes = [...]")),
            (Some(_), Some(_)) => Some((".expect_panes", "excludes expect; remove one of them")),
            (None, Some(_)) if self.only => Some((".only", "is implied by expect_panes; remove it")),
            _ if !self.topic.bytes().all(is_topic) => Some((".topic", "is not the name of a Kafka topic")),
            _ => None,
        }
    }
}

impl<'a> Expectation<'a> {
    fn rows(&self) -> &'a [Expected] {
        match self {
            Self::Rows { expected, .. } | Self::Panes(expected) => expected,
        }
    }

    /// The key of the file.
    pub(super) fn key(&self) -> &'static str {
        match self {
            Self::Rows { .. } => "expect",
            Self::Panes(_) => "expect_panes",
        }
    }
}

/// The first name in an expected row that the flows do not have: its key, and what is known.
fn unknown(expected: &Expected, flows: &[Flow]) -> Option<(String, String)> {
    let names: Vec<&str> = flows.iter().map(|flow| &*flow.name).collect();
    let flow = match (expected.get("flow"), flows) {
        (Some(Wanted::Text(name)), _) => match flows.iter().find(|flow| *flow.name == **name) {
            Some(flow) => flow,
            None => {
                return Some((
                    ".flow".to_owned(),
                    format!("unknown flow {name:?}; {}", hint(name, &names, "flows")),
                ));
            }
        },
        (Some(_), _) => return Some((".flow".to_owned(), "is not the name of a flow".to_owned())),
        (None, [only]) => only,
        (None, _) => {
            let known = names.join(", ");
            return Some((
                String::new(),
                format!("the row has no flow; add flow = \"...\" with one of {known}"),
            ));
        }
    };
    let columns = flow.table().all_columns();
    let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let names = expected.0.iter().map(|(name, _)| name.as_str());
    let column = names.into_iter().find(|name| *name != "flow" && !known.contains(name))?;
    let problem =
        format!("unknown column {column:?} of flow {}; {}", flow.name, hint(column, &known, "columns"));
    Some((format!(".{column}"), problem))
}

impl<'de> Deserialize<'de> for Events {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a list of events, or the path of a file";
        shape::text_or(deserializer, expected, |path| Ok(Self::File(path.into())), Self::Inline)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct OfTopic {
            topic: String,
            event: String,
        }
        let expected = "an event: a string of JSON, or a table such as { topic = \"clicks\", event = '{}' }";
        let of_topic = |OfTopic { topic, event }| Self { topic: Some(topic), json: event };
        shape::text_or(
            deserializer,
            expected,
            |json| Ok(Self { topic: None, json: json.to_owned() }),
            of_topic,
        )
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Columns<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        shape::pairs(deserializer, "a row: a table of columns and their values").map(Self)
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;
        impl Visitor<'_> for Scalar {
            type Value = Wanted;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a number or a boolean")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Wanted, E> {
                Ok(Wanted::Text(text.to_owned()))
            }

            // A time without quotes.
            fn visit_bytes<E: serde::de::Error>(self, text: &[u8]) -> Result<Wanted, E> {
                str::from_utf8(text).map(|text| Wanted::Text(text.to_owned())).map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Wanted, E> {
                Ok(Wanted::Integer(number))
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Wanted, E> {
                if number.is_infinite() {
                    return Err(E::custom("no row contains an infinite number"));
                }
                Ok(if number.is_nan() { Wanted::Null } else { Wanted::Real(number) })
            }

            fn visit_bool<E: serde::de::Error>(self, boolean: bool) -> Result<Wanted, E> {
                Ok(Wanted::Boolean(boolean))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}
