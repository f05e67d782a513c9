//! The `[pubsub]` section of the configuration, and the resource names that follow from it.
//!
//! Pure: the value of `PUBSUB_EMULATOR_HOST` is an argument.

use std::sync::Arc;

use event::{ByteSize, Millis, Pointer, matching::MatchSettings, wire};
use serde::Deserialize;

use crate::{connection::Endpoint, error::Error, route::Route};

/// The `[pubsub]` section.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PubSubSettings {
    /// Google Cloud project ID.
    ///
    /// Example: `project = "shop-analytics"`
    pub project: String,
    /// Topic for events. Marks go to `<topic>-marks`. With a JSON pointer in braces, as in `"events-{/country}"`, the value
    /// of that field, as `[anonymise]` publishes it, selects one of `topics`, and marks go to `events-marks`.
    ///
    /// Example: `topic = "events"`
    pub topic: String,
    /// The topics that the pointer in `topic` may select. An event that selects another one is rejected. The processor
    /// reads all of them, each from `<subscription>-<value>`. One topic that no value selects may be listed, too: the
    /// processor continues to read it from `subscription`, until nothing is left of the time before there was a pointer.
    ///
    /// Example: `topics = ["events-PL", "events-CZ"]`
    #[serde(default)]
    pub topics: Vec<String>,
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
    /// Packs many records of a partition into one compressed message, for a topic that only Aqueduct reads: a fraction of
    /// the bytes that Pub/Sub bills, and of the processor time. Upgrade the processor before you set it. It may change while
    /// the pipeline runs.
    ///
    /// Example: `pack = true`
    #[serde(default)]
    pub pack: bool,
    /// How long the first record of a pack waits for others, up to `10s`. A longer time makes larger packs, and delays
    /// every row by as much.
    ///
    /// Default: `"50ms"`
    ///
    /// Example: `pack_linger = "200ms"`
    #[serde(default)]
    pub pack_linger: Option<Millis>,
    /// Number of readers among which a pipeline of `engines/beam` divides the Kafka partitions, 2 to 64. `aqueduct setup`
    /// creates a pair of subscriptions for each, `<subscription>-shard-0` and `<subscription>-shard-0-marks` and so on, and
    /// the connector names the shard of each message. The processor needs none of them. Restart the connector and run
    /// `setup` before you start the pipeline; the number cannot change while the pipeline's state is kept.
    ///
    /// Example: `shards = 8`
    #[serde(default)]
    pub shards: Option<u32>,
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

/// One topic for events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its name.
    pub topic: Arc<str>,
    /// The value that selects it; `None` if there is only this topic, or nothing is published to it any more.
    pub value: Option<Arc<str>>,
}

/// What is wrong with one key of the section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key within `[pubsub]`.
    pub key: &'static str,
    /// The problem, and what would be valid.
    pub text: String,
}

/// A shard of a pipeline's input: its subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// `projects/P/subscriptions/S` of each topic for events, in their order.
    pub events: Vec<String>,
    /// `projects/P/subscriptions/S` for marks.
    pub marks: String,
    /// Which messages of the topics for events it receives, as Pub/Sub writes it.
    pub filter: String,
}

/// More subscriptions than this cost more than they divide.
const MOST_SHARDS: u32 = 64;

/// In the place of the value in the name of the topic for marks.
const MARKS: &str = "marks";

const DEFAULT_LINGER: Millis = Millis(50);
const LONGEST_LINGER: Millis = Millis(10_000);

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

fn default_retention() -> Millis {
    Millis(7 * DAY)
}

fn default_in_flight() -> ByteSize {
    ByteSize(16 << 20)
}

impl PubSubSettings {
    /// `projects/P/topics/T`, with the pointer if the topic depends on a field. For messages.
    pub fn topic_path(&self) -> String {
        self.topic_named(&self.topic)
    }

    /// `projects/P/topics/T-marks`.
    pub fn marks_topic_path(&self) -> String {
        self.topic_named(&self.marks_topic())
    }

    /// `projects/P/topics/T` of each topic for events, in the order of `topics`.
    pub fn topic_paths(&self) -> Vec<String> {
        self.outputs().iter().map(|output| self.topic_named(&output.topic)).collect()
    }

    /// `projects/P/subscriptions/S` of each topic for events, in their order; `None` if no subscription is configured.
    pub fn subscription_paths(&self) -> Option<Vec<String>> {
        let names = self.subscriptions()?;
        Some(names.iter().map(|name| format!("projects/{}/subscriptions/{name}", self.project)).collect())
    }

    /// `projects/P/subscriptions/S-marks`; `None` if no subscription is configured.
    pub fn marks_subscription_path(&self) -> Option<String> {
        let name = self.subscription.as_ref()?;
        Some(wire::marks(&format!("projects/{}/subscriptions/{name}", self.project)))
    }

    /// The name of the topic for marks.
    pub fn marks_topic(&self) -> String {
        self.route().map_or_else(|| wire::marks(&self.topic), |route| route.name(MARKS))
    }

    /// Among how many shards the partitions are divided; 1 if they are not.
    pub fn shards(&self) -> u32 {
        self.shards.unwrap_or(1)
    }

    /// The subscriptions of each shard; none if the partitions are not divided, or no subscription is configured.
    pub fn shard_subscriptions(&self) -> Vec<Shard> {
        let (Some(names), Some(name)) = (self.subscriptions(), &self.subscription) else { return Vec::new() };
        let numbers = 0..self.shards.unwrap_or(0);
        let path = |name: String| format!("projects/{}/subscriptions/{name}", self.project);
        numbers
            .map(|number| Shard {
                events: names.iter().map(|name| path(format!("{name}-shard-{number}"))).collect(),
                marks: wire::marks(&path(format!("{name}-shard-{number}"))),
                filter: format!("attributes.\"{}\" = \"{number}\"", wire::SHARD),
            })
            .collect()
    }

    /// The names of the subscriptions to the topics for events, in their order; `None` if no subscription is configured.
    pub fn subscriptions(&self) -> Option<Vec<String>> {
        let name = self.subscription.as_ref()?;
        let of = |output: &Output| match &output.value {
            Some(value) => format!("{name}-{value}"),
            None => name.clone(),
        };
        Some(self.outputs().iter().map(of).collect())
    }

    /// Which field selects a topic; `None` if there is one topic, or `topic` is invalid.
    pub fn route(&self) -> Option<Route> {
        Route::parse(&self.topic)?.ok()
    }

    /// The topics for events, in the order of `topics`.
    pub fn outputs(&self) -> Vec<Output> {
        let Some(route) = self.route() else {
            return vec![Output { topic: self.topic.as_str().into(), value: None }];
        };
        let output = |topic: &String| Output {
            topic: topic.as_str().into(),
            value: route.value(topic).map(Arc::from),
        };
        self.topics.iter().map(output).collect()
    }

    fn topic_named(&self, name: &str) -> String {
        format!("projects/{}/topics/{name}", self.project)
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

    /// How long the first record of a pack waits for others; `None` if each record has its own message.
    pub fn packs_after(&self) -> Option<Millis> {
        self.pack.then(|| self.pack_linger.unwrap_or(DEFAULT_LINGER))
    }

    /// Everything that Pub/Sub would refuse, found without contacting it. Empty if the section is valid.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut note = |key, text: Option<String>| problems.extend(text.map(|text| Problem { key, text }));
        note("project", project_problem(&self.project));
        match Route::parse(&self.topic) {
            None => {
                note("topic", name_problem(&self.topic));
                let is_idle = !self.topics.is_empty();
                let text =
                    "has an effect only if topic has a JSON pointer in braces; add one, or remove the key";
                note("topics", is_idle.then(|| text.to_owned()));
            }
            Some(Err(problem)) => note("topic", Some(format!("invalid name {:?}; {problem}", self.topic))),
            Some(Ok(route)) => {
                note("topic", name_problem(&route.name(MARKS)));
                note("topics", topics_problem(&self.topic, &route, &self.topics));
            }
        }
        note("subscription", self.subscription.as_deref().and_then(name_problem));
        let filter = self.filter.as_ref();
        let is_empty = filter.is_some_and(|filter| filter.resolve().is_none());
        note(
            "filter",
            is_empty.then(|| "an empty condition matches nothing; add a term, or remove the key".to_owned()),
        );
        note("pack", self.pack_problem());
        note("pack_linger", self.linger_problem());
        note("shards", self.shards_problem());
        note("regions", regions_problem(&self.regions));
        note("retention", retention_problem(self.retention));
        let host = self.emulator_host.as_deref().map(Endpoint::emulator);
        note("emulator_host", host.and_then(Result::err).map(|e| e.to_string()));
        problems
    }

    fn pack_problem(&self) -> Option<String> {
        let other = match (&self.ordering_key, self.route()) {
            (Some(_), _) => "pubsub.ordering_key",
            (None, Some(_)) => "a topic that depends on a field",
            (None, None) => return None,
        };
        self.pack.then(|| {
            format!("cannot be combined with {other}: a pack holds records of a partition for Aqueduct alone; remove one of them")
        })
    }

    fn shards_problem(&self) -> Option<String> {
        let shards = self.shards?;
        if !(2..=MOST_SHARDS).contains(&shards) {
            return Some(format!("{shards} is out of range; expected 2 to {MOST_SHARDS}, or remove the key"));
        }
        let longest = self.subscriptions().unwrap_or_default().into_iter().max_by_key(String::len)?;
        name_problem(&format!("{longest}-shard-{shards}"))
    }

    fn linger_problem(&self) -> Option<String> {
        let linger = self.pack_linger?;
        if !self.pack {
            return Some("has an effect only with pack = true; add that, or remove the key".to_owned());
        }
        let is_good = (1..=LONGEST_LINGER.0).contains(&linger.0);
        (!is_good).then(|| format!("{linger} is out of range; expected 1ms to {LONGEST_LINGER}"))
    }
}

/// What is wrong with the topics that a route selects.
fn topics_problem(topic: &str, route: &Route, topics: &[String]) -> Option<String> {
    let values: Vec<Option<&str>> = topics.iter().map(|topic| route.value(topic)).collect();
    if !values.iter().any(Option::is_some) {
        return Some(format!("list the topics that {topic:?} may select, for example {:?}", route.name("A")));
    }
    if let Some(problem) = topics.iter().find_map(|topic| name_problem(topic)) {
        return Some(problem);
    }
    if let Some(twice) = topics.iter().enumerate().find(|(n, topic)| topics[..*n].contains(topic)) {
        return Some(format!("{:?} is listed twice; remove one of them", twice.1));
    }
    if values.contains(&Some(MARKS)) {
        return Some(format!("{:?} is the topic for marks; choose another name", route.name(MARKS)));
    }
    let former: Vec<&String> =
        topics.iter().zip(&values).filter(|(_, value)| value.is_none()).map(|(topic, _)| topic).collect();
    (former.len() > 1).then(|| {
        format!("no value of the field in {topic:?} selects {former:?}; at most one such topic may be listed")
    })
}

/// What is wrong with a project ID.
pub fn project_problem(project: &str) -> Option<String> {
    let known = |c: char| c.is_ascii_alphanumeric() || "-:.".contains(c);
    let good = project.len() >= 6
        && project.starts_with(|c: char| c.is_ascii_lowercase())
        && project.chars().all(known);
    (!good).then(|| {
        format!("invalid project ID {project:?}; expected at least 6 lower-case letters, digits and hyphens, beginning with a letter")
    })
}

/// What is wrong with the name of a topic or subscription.
pub fn name_problem(name: &str) -> Option<String> {
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

fn regions_problem(regions: &[String]) -> Option<String> {
    if let Some(region) = regions.iter().find(|region| !is_region(region)) {
        return Some(format!(
            "{region:?} is not a region of Google Cloud; write for example \"europe-west1\""
        ));
    }
    let twice = regions.iter().enumerate().find(|(n, region)| regions[..*n].contains(region));
    twice.map(|(_, region)| format!("{region:?} is listed twice; remove one of them"))
}

/// Whether the name has the form of a region, such as `europe-west1`. Multi-regions and zones have others.
fn is_region(name: &str) -> bool {
    let Some((area, place)) = name.split_once('-') else { return false };
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let letters = place.trim_end_matches(|c: char| c.is_ascii_digit());
    is_word(area) && is_word(letters) && letters.len() < place.len()
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
        assert_eq!(settings.in_flight.to_string(), "16MiB");
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
        assert_eq!(settings.subscription_paths(), None);
        assert_eq!(settings.endpoint(None).expect("no host"), Endpoint::GoogleCloud);
        assert_eq!(settings.endpoint(Some("")).expect("no host"), Endpoint::GoogleCloud);
        assert_eq!(settings.endpoint(Some("h:1")).expect("a host").to_string(), "http://h:1");
        settings.emulator_host = Some("http://localhost:8085/".to_owned());
        assert_eq!(settings.endpoint(Some("h:1")).expect("a host").to_string(), "http://localhost:8085");
    }

    #[test]
    fn packs_are_for_one_reader() {
        let section = |keys: &str| read(&format!("project = 'shop-analytics'\ntopic = 'events'\n{keys}"));
        assert_eq!(section("").expect("complete").packs_after(), None);
        assert_eq!(section("pack = true").expect("complete").packs_after(), Some(Millis(50)));
        let slow = section("pack = true\npack_linger = '10s'").expect("complete");
        assert_eq!((slow.packs_after(), slow.problems()), (Some(Millis(10_000)), vec![]));
        for (keys, key) in [
            ("pack_linger = '1s'", "pack_linger"),
            ("pack = true\npack_linger = '0s'", "pack_linger"),
            ("pack = true\npack_linger = '11s'", "pack_linger"),
            ("pack = true\nordering_key = '/user'", "pack"),
        ] {
            let problems = section(keys).expect("complete").problems();
            assert_eq!(problems.iter().map(|problem| problem.key).collect::<Vec<_>>(), [key], "{keys}");
        }
        let routed = "project = 'shop-analytics'\ntopic = 'e-{/c}'\ntopics = ['e-PL']\npack = true";
        assert_eq!(read(routed).expect("complete").problems()[0].key, "pack");
    }

    #[test]
    fn a_field_selects_one_of_the_declared_topics() {
        let settings = "project = 'shop-analytics'\ntopic = 'e-{/c}'\nsubscription = 'ctr'\ntopics = ['e-PL', 'old', 'e-CZ']";
        let settings = read(settings).expect("complete");
        assert_eq!(settings.problems(), []);
        let names = |paths: &[String]| paths.iter().map(|p| p[24..].to_owned()).collect::<Vec<_>>().join(" ");
        assert_eq!(names(&settings.topic_paths()), "topics/e-PL topics/old topics/e-CZ");
        let subscriptions = settings.subscription_paths().expect("there are some");
        assert_eq!(names(&subscriptions), "subscriptions/ctr-PL subscriptions/ctr subscriptions/ctr-CZ");
        assert_eq!(settings.marks_topic(), "e-marks");
        let marks = settings.marks_subscription_path();
        assert_eq!(marks.as_deref(), Some("projects/shop-analytics/subscriptions/ctr-marks"));
        for (topic, topics, key) in [
            ("events", "['events']", "topics"),
            ("e-{/c}", "[]", "topics"),
            ("e-{/c}", "['old']", "topics"),
            ("e-{/c}", "['e-PL', 'e-PL']", "topics"),
            ("e-{/c}", "['e-marks', 'e-PL']", "topics"),
            ("e-{/c}", "['e-PL', 'old', 'older']", "topics"),
            ("e-{/c}", "['e-P L']", "topics"),
            ("e-{c}", "['e-PL']", "topic"),
            ("1-{/c}", "['e-PL', '1-PL']", "topic"),
        ] {
            let text = format!("project = 'shop-analytics'\ntopic = '{topic}'\ntopics = {topics}");
            let problems = read(&text).expect("complete").problems();
            assert_eq!(problems.first().map(|problem| problem.key), Some(key), "{text}");
        }
    }

    #[test]
    fn each_shard_has_its_subscriptions() {
        let text = "project = 'shop-analytics'\ntopic = 'events'\nsubscription = 'ctr'\nshards = ";
        let settings = read(&format!("{text}2")).expect("complete");
        assert_eq!(settings.problems(), []);
        let second = &settings.shard_subscriptions()[1];
        assert_eq!(second.events, ["projects/shop-analytics/subscriptions/ctr-shard-1"]);
        assert_eq!(second.marks, "projects/shop-analytics/subscriptions/ctr-shard-1-marks");
        assert_eq!(second.filter, "attributes.\"aqueduct.shard\" = \"1\"");
        for wrong in [0, 1, 65] {
            let problems = read(&format!("{text}{wrong}")).expect("complete").problems();
            assert_eq!(problems.iter().map(|problem| problem.key).collect::<Vec<_>>(), ["shards"], "{wrong}");
        }
    }

    #[test]
    fn regions_have_the_form_of_a_region() {
        let is_valid = |regions: &str| {
            let text = format!("project = 'shop-analytics'\ntopic = 'events'\nregions = {regions}");
            let problems = read(&text).expect("complete").problems();
            assert!(problems.iter().all(|problem| problem.key == "regions"), "{problems:?}");
            problems.is_empty()
        };
        assert!(is_valid("['europe-west1', 'northamerica-northeast2', 'us-central1', 'asia-southeast1']"));
        for wrong in
            ["EU", "europe", "europe-west", "europe-west1-b", "Europe-West1", "europe_west1", "", "mars1"]
        {
            assert!(!is_valid(&format!("['us-east1', {wrong:?}]")), "{wrong}");
        }
        assert!(!is_valid("['us-east1', 'us-east1']"));
    }

    #[test]
    fn invalid_names_are_found_offline() {
        let text = "project = 'p'\ntopic = 'goog-x'\nsubscription = '1a'\nfilter = {}\nretention = '1m'\nemulator_host = 'localhost'";
        let keys: Vec<_> = read(text).expect("complete").problems().iter().map(|p| p.key).collect();
        assert_eq!(keys, ["project", "topic", "subscription", "filter", "retention", "emulator_host"]);
    }
}
