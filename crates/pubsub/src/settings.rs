//! The `[pubsub]` section of the configuration, and the resource names that follow from it.
//!
//! Pure: the value of `PUBSUB_EMULATOR_HOST` is an argument.

use event::{ByteSize, Millis, Pointer, matching::MatchSettings, wire};
use serde::Deserialize;

use crate::{connection::Endpoint, error::Error};

/// The `[pubsub]` section.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PubSubSettings {
    /// Google Cloud project ID.
    ///
    /// Example: `project = "shop-analytics"`
    pub project: String,
    /// Topic for events. Marks go to `<topic>-marks`.
    ///
    /// Example: `topic = "events"`
    pub topic: String,
    /// Subscription of the processor, which also uses `<subscription>-marks`. The connector does not need it.
    ///
    /// Example: `subscription = "events-ctr"`
    #[serde(default)]
    pub subscription: Option<String>,
    /// Events that are published. The others are `filtered`: they are in no message, and every flow accounts for them. The
    /// condition is that of a flow's `where`, but reads the event before it is anonymised, so it may name a field that does
    /// not pass.
    ///
    /// Example: `filter = { "/country" = ["PL", "CZ"] }`
    #[serde(default)]
    pub filter: Option<MatchSettings>,
    /// Field whose value is the ordering key of a message: as `[anonymise]` publishes it, so as a pseudonym if it is
    /// pseudonymised. Subscriptions with message ordering deliver the messages of one key in the order in which their
    /// partition has them. Pub/Sub takes at most 1 MB/s for each key, and a request takes only one key, so that many keys
    /// cost throughput. Without a value, a message has no order.
    ///
    /// Example: `ordering_key = "/user_id"`
    #[serde(default)]
    pub ordering_key: Option<Pointer>,
    /// Google Cloud regions in which messages may be stored. Empty: as the organisation's policy allows.
    ///
    /// Example: `regions = ["europe-west1"]`
    #[serde(default)]
    pub regions: Vec<String>,
    /// How long Pub/Sub keeps messages, including acknowledged ones, so that a subscription can seek back: `10m` to
    /// `31d`. `"0s"` keeps no acknowledged message; use it with an emulator, which keeps everything in memory.
    ///
    /// Example: `retention = "1d"`
    #[serde(default = "default_retention")]
    pub retention: Millis,
    /// Bytes that are published and not yet acknowledged by Pub/Sub. A batch counts at least 32 KiB. When they are
    /// used up, the connector stops reading.
    ///
    /// Example: `in_flight = "64MiB"`
    #[serde(default = "default_in_flight")]
    pub in_flight: ByteSize,
    /// Address of an emulator, as `host:port`.
    ///
    /// Default: `PUBSUB_EMULATOR_HOST`
    ///
    /// Example: `emulator_host = "localhost:8085"`
    #[serde(default)]
    pub emulator_host: Option<String>,
}

/// What is wrong with one key of the section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key within `[pubsub]`.
    pub key: &'static str,
    /// The problem, and what would be valid.
    pub text: String,
}

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

fn default_retention() -> Millis {
    Millis(7 * DAY)
}

fn default_in_flight() -> ByteSize {
    ByteSize(32 << 20)
}

impl PubSubSettings {
    /// `projects/P/topics/T`.
    pub fn topic_path(&self) -> String {
        format!("projects/{}/topics/{}", self.project, self.topic)
    }

    /// `projects/P/topics/T-marks`.
    pub fn marks_topic_path(&self) -> String {
        wire::marks(&self.topic_path())
    }

    /// `projects/P/subscriptions/S`; `None` if no subscription is configured.
    pub fn subscription_path(&self) -> Option<String> {
        self.subscription.as_ref().map(|name| format!("projects/{}/subscriptions/{name}", self.project))
    }

    /// `projects/P/subscriptions/S-marks`; `None` if no subscription is configured.
    pub fn marks_subscription_path(&self) -> Option<String> {
        self.subscription_path().map(|path| wire::marks(&path))
    }

    /// The endpoint of Pub/Sub. `from_environment` is the value of `PUBSUB_EMULATOR_HOST`; the section takes
    /// precedence.
    ///
    /// # Errors
    /// [`Error::EmulatorHost`] if the address of the emulator is not `host:port`.
    pub fn endpoint(&self, from_environment: Option<&str>) -> Result<Endpoint, Error> {
        match self.emulator_host.as_deref().or(from_environment.filter(|host| !host.is_empty())) {
            Some(host) => Endpoint::emulator(host),
            None => Ok(Endpoint::GoogleCloud),
        }
    }

    /// Everything that Pub/Sub would refuse, found without contacting it. Empty if the section is valid.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut note = |key, text: Option<String>| problems.extend(text.map(|text| Problem { key, text }));
        note("project", project_problem(&self.project));
        note("topic", name_problem(&self.topic));
        note("subscription", self.subscription.as_deref().and_then(name_problem));
        let filter = self.filter.as_ref();
        let is_empty = filter.is_some_and(|filter| filter.resolve().is_none());
        note(
            "filter",
            is_empty.then(|| "an empty condition matches nothing; add a term, or remove the key".to_owned()),
        );
        note("retention", retention_problem(self.retention));
        let host = self.emulator_host.as_deref().map(Endpoint::emulator);
        note("emulator_host", host.and_then(Result::err).map(|e| e.to_string()));
        problems
    }
}

fn project_problem(project: &str) -> Option<String> {
    let known = |c: char| c.is_ascii_alphanumeric() || "-:.".contains(c);
    let good = project.len() >= 6
        && project.starts_with(|c: char| c.is_ascii_lowercase())
        && project.chars().all(known);
    (!good).then(|| {
        format!("invalid project ID {project:?}; expected at least 6 lower-case letters, digits and hyphens, beginning with a letter")
    })
}

fn name_problem(name: &str) -> Option<String> {
    let known = |c: char| c.is_ascii_alphanumeric() || "-_.~+%".contains(c);
    let good = (3..=255).contains(&wire::marks(name).len())
        && name.len() >= 3
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && !name.starts_with("goog")
        && name.chars().all(known);
    (!good).then(|| {
        format!(
            "invalid name {name:?}; expected 3 to 249 letters, digits and -_.~+%, beginning with a letter and not with \"goog\""
        )
    })
}

fn retention_problem(retention: Millis) -> Option<String> {
    let good = retention.0 == 0 || (10 * MINUTE..=31 * DAY).contains(&retention.0);
    (!good).then(|| {
        format!("{retention} is out of range; expected 10m to 31d, or 0s to not retain acknowledged messages")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PubSubSettings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn defaults_are_as_documented() {
        let settings = read("project = 'shop-analytics'\ntopic = 'events'\nsubscription = 'events-ctr'")
            .expect("complete");
        assert_eq!(settings.retention.to_string(), "7d");
        assert_eq!(settings.in_flight.to_string(), "32MiB");
        assert_eq!(settings.marks_topic_path(), "projects/shop-analytics/topics/events-marks");
        assert_eq!(
            settings.marks_subscription_path().as_deref(),
            Some("projects/shop-analytics/subscriptions/events-ctr-marks")
        );
        assert_eq!(settings.problems(), []);
        assert!(read("project = 'p'\ntopic = 't'\ntopics = 't'").is_err());
    }

    #[test]
    fn the_section_overrides_the_environment() {
        let mut settings = read("project = 'shop-analytics'\ntopic = 'events'").expect("complete");
        assert_eq!(settings.subscription_path(), None);
        assert_eq!(settings.endpoint(None).expect("no host"), Endpoint::GoogleCloud);
        assert_eq!(settings.endpoint(Some("")).expect("no host"), Endpoint::GoogleCloud);
        assert_eq!(settings.endpoint(Some("h:1")).expect("a host").to_string(), "http://h:1");
        settings.emulator_host = Some("http://localhost:8085/".to_owned());
        assert_eq!(settings.endpoint(Some("h:1")).expect("a host").to_string(), "http://localhost:8085");
    }

    #[test]
    fn invalid_names_are_found_offline() {
        let text = "project = 'p'\ntopic = 'goog-x'\nsubscription = '1a'\nfilter = {}\nretention = '1m'\nemulator_host = 'localhost'";
        let keys: Vec<_> = read(text).expect("complete").problems().iter().map(|p| p.key).collect();
        assert_eq!(keys, ["project", "topic", "subscription", "filter", "retention", "emulator_host"]);
    }
}
