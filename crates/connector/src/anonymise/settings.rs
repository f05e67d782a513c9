//! The `[anonymise]` section, and its errors and warnings.
//!
//! Contradictions between pointers are found when the rules are compiled ([`super::rules`]).

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};

use event::{
    EventsSettings, Pattern, Pointer,
    pointer::{PointerError, Step},
    units::Quoted,
    wire,
};
use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor, value::SeqAccessDeserializer},
};

use super::attributes::{MAX_HEADERS, MAX_NAME};

/// The prefix of the name of a tag.
pub(super) const TAG: &str = "tag:";

/// The outcome of each part of a record.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnonymiseSettings {
    /// Strings and numbers that are replaced with their pseudonym. `tag:NAME` selects every field that the schema of an
    /// event tags with this name: `confluent:tags` in Avro, `confluent.field_meta` in Protobuf.
    ///
    /// Example: `pseudonymise = ["/user_id", "/items/*/seller_id", "tag:PII"]`
    #[serde(default)]
    pub pseudonymise: Targets,
    /// Values of any shape that are removed.
    ///
    /// Example: `remove = ["/ip"]`
    #[serde(default)]
    pub remove: Vec<Pattern>,
    /// URLs whose user name, password, query and fragment are removed.
    ///
    /// Example: `strip_query = ["/page"]`
    #[serde(default)]
    pub strip_query: Vec<Pattern>,
    /// What may pass. With a list, everything else is dropped.
    ///
    /// Example: `forward = ["/type", "/time", "/page"]`
    pub forward: Forward,
    /// What happens to the Kafka key.
    ///
    /// Example: `key = "pseudonymise"`
    #[serde(default)]
    pub key: KeyRule,
    /// Names of Kafka headers that are published as attributes.
    ///
    /// Example: `headers = ["trace"]`
    #[serde(default)]
    pub headers: Vec<String>,
    /// File with the secrets, created by `aqueduct keys new`.
    ///
    /// Example: `keyring = "/etc/aqueduct/keys.toml"`
    #[serde(default = "default_keyring")]
    pub keyring: PathBuf,
    /// ID of a key that the keyring must contain. A replica without it stops before it publishes pseudonyms that the
    /// other replicas do not make, so that a rotation reaches all of them.
    ///
    /// Example: `newest_key = "a5e8b4c7"`
    #[serde(default)]
    pub newest_key: Option<String>,
    /// The connector stops if more than this share of the last 10,000 records, and more than 100 records, were
    /// rejected.
    ///
    /// Example: `max_rejects = "5%"`
    #[serde(default)]
    pub max_rejects: Share,
}

/// Patterns, and tags that are replaced with the patterns of a schema.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Vec<Target>")]
pub struct Targets {
    /// What is named by a pattern.
    pub patterns: Vec<Pattern>,
    /// The names of the tags.
    pub tags: Vec<Arc<str>>,
}

/// One of [`Targets`].
#[derive(Deserialize)]
#[serde(try_from = "String")]
enum Target {
    Pattern(Pattern),
    Tag(Arc<str>),
}

/// What is forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forward {
    /// Everything that is not removed.
    All,
    /// What these pointers lead to, with everything inside.
    List(Vec<Pattern>),
}

/// The outcome of the Kafka key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyRule {
    /// It is dropped.
    #[default]
    Drop,
    /// It is pseudonymised.
    Pseudonymise,
    /// It is forwarded unchanged.
    Forward,
}

/// A share such as `1%` or `0.25%`, in hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

/// A setting that is allowed but probably not intended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The key that the warning is about, such as `anonymise.remove`.
    pub key: String,
    /// The text of the warning.
    pub text: String,
}

/// Why the section cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A value that is declared as a scalar cannot have parts.
    #[error(
        "{scalar:?} is declared as a single value, but {below:?} declares a value inside it; remove one of them"
    )]
    Inside {
        /// The list that declares a single value.
        list: &'static str,
        /// The pointer of that list.
        scalar: Arc<str>,
        /// The pointer that leads further.
        below: Arc<str>,
    },
    /// A value cannot be both a pseudonym and a URL.
    #[error("{url:?} overlaps {pseudonym:?} in anonymise.pseudonymise; remove one of them")]
    Both {
        /// The pointer in `strip_query`.
        url: Arc<str>,
        /// The pointer in `pseudonymise`.
        pseudonym: Arc<str>,
    },
    /// Pseudonyms need a secret.
    #[error("pseudonyms need a keyring; name one, or create it with `aqueduct keys new`")]
    NoKeyring,
    /// Several keys need a time that selects one of them.
    #[error(
        "the keyring has several keys, which are selected by the event time; set events.time to its JSON pointer"
    )]
    NoTime,
    /// The name cannot be an attribute, or is reserved.
    #[error(
        "invalid name {0:?}; expected 1 to 256 bytes, not beginning with \"kafka.\", \"aqueduct.\" or \"goog\""
    )]
    Header(String),
    /// More names than a message can have attributes.
    #[error("lists {0} names; Pub/Sub allows {MAX_HEADERS} besides the attributes of every message")]
    TooManyHeaders(usize),
}

impl SettingsError {
    /// The key that the error is about.
    pub fn key(&self) -> String {
        match self {
            Self::Inside { list, .. } => format!("anonymise.{list}"),
            Self::Both { .. } => "anonymise.strip_query".to_owned(),
            Self::NoKeyring | Self::NoTime => "anonymise.keyring".to_owned(),
            Self::Header(_) | Self::TooManyHeaders(_) => "anonymise.headers".to_owned(),
        }
    }
}

impl AnonymiseSettings {
    /// Whether anything is pseudonymised.
    pub fn needs_keyring(&self) -> bool {
        !self.pseudonymise.is_empty() || self.key == KeyRule::Pseudonymise
    }
}

impl Targets {
    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty() && self.tags.is_empty()
    }
}

impl From<Vec<Target>> for Targets {
    fn from(list: Vec<Target>) -> Self {
        let mut targets = Self::default();
        for target in list {
            match target {
                Target::Pattern(pattern) => targets.patterns.push(pattern),
                Target::Tag(tag) => targets.tags.push(tag),
            }
        }
        targets
    }
}

impl From<Vec<Pattern>> for Targets {
    fn from(patterns: Vec<Pattern>) -> Self {
        Self { patterns, tags: Vec::new() }
    }
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.strip_prefix(TAG) {
            Some("") => Err("a tag has a name, such as \"tag:PII\"".to_owned()),
            Some(tag) if tag.trim() != tag || tag.contains('*') => Err(format!(
                "{text:?} is not the name of a tag; write it as the schema does, such as \"tag:PII\""
            )),
            Some(tag) => Ok(Self::Tag(tag.into())),
            None => text.parse().map(Self::Pattern).map_err(|error: PointerError| error.to_string()),
        }
    }
}

impl Share {
    /// The share of 10,000, as a number.
    pub fn per_10_000(self) -> u32 {
        self.0
    }
}

/// One percent.
impl Default for Share {
    fn default() -> Self {
        Self(100)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Quoted::new("a percentage in quotes, for example \"1%\""))
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = || {
            let number = text.strip_suffix('%')?.trim_end();
            let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
            let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            if !digits(whole) || !digits(fraction) || fraction.len() > 2 {
                return None;
            }
            let hundredths: u32 = format!("{fraction:0<2}").parse().ok()?;
            let share = whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(hundredths)?;
            (share <= 10_000).then_some(Self(share))
        };
        share().ok_or_else(|| {
            format!("invalid percentage {text:?}; expected for example \"1%\" or \"0.25%\", at most \"100%\"")
        })
    }
}

impl<'de> Deserialize<'de> for Forward {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AllOrList;

        impl<'de> Visitor<'de> for AllOrList {
            type Value = Forward;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"all\" or a list of JSON pointers")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Forward, E> {
                if text == "all" {
                    Ok(Forward::All)
                } else {
                    Err(E::custom(format!(
                        "unknown value {text:?}; expected \"all\" or a list of JSON pointers"
                    )))
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Forward, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Forward::List)
            }
        }

        deserializer.deserialize_any(AllOrList)
    }
}

fn default_keyring() -> PathBuf {
    "keys.toml".into()
}

/// The header names, once each.
pub(super) fn checked_headers(names: &[String]) -> Result<Vec<Arc<str>>, SettingsError> {
    let mut headers: Vec<Arc<str>> = Vec::new();
    for name in names {
        let taken = ["kafka.", "aqueduct.", "goog"].iter().any(|prefix| name.starts_with(prefix));
        if name.is_empty() || name.len() > MAX_NAME || taken {
            return Err(SettingsError::Header(name.clone()));
        }
        if !headers.iter().any(|known| **known == **name) {
            headers.push(name.as_str().into());
        }
    }
    if headers.len() > MAX_HEADERS { Err(SettingsError::TooManyHeaders(headers.len())) } else { Ok(headers) }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.text)
    }
}

pub(super) fn warnings(settings: &AnonymiseSettings, events: Option<&EventsSettings>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let declared =
        [("pseudonymise", &settings.pseudonymise.patterns), ("strip_query", &settings.strip_query)];
    for (list, pattern) in
        declared.iter().flat_map(|(list, patterns)| patterns.iter().map(move |p| (list, p)))
    {
        let is_removed = settings.remove.iter().any(|removed| covers(removed, pattern));
        let what = match (is_removed, forwards(settings, pattern)) {
            (true, _) => "is inside a value that anonymise.remove removes",
            (false, false) => "is not in anonymise.forward and is dropped",
            (false, true) => continue,
        };
        let (key, text) = (format!("anonymise.{list}"), format!("{:?} {what}", pattern.as_str()));
        warnings.push(Warning { key, text });
    }
    for (key, pointer) in events.iter().flat_map(|events| places(events)) {
        let pattern = Pattern::from(pointer.clone());
        let is_removed = settings.remove.iter().any(|removed| covers(removed, &pattern));
        let is_pseudonym = || settings.pseudonymise.patterns.iter().any(|hashed| covers(hashed, &pattern));
        let what = if is_removed || !forwards(settings, &pattern) {
            "is removed by [anonymise], so the processor cannot read it"
        } else if key.ends_with("time") && is_pseudonym() {
            "is pseudonymised, so the processor cannot read it"
        } else {
            continue;
        };
        warnings.push(Warning { key, text: format!("{:?} {what}", pointer.as_str()) });
    }
    warnings
}

/// The fields that the processor reads, with the keys that declare them.
fn places(events: &EventsSettings) -> Vec<(String, &Pointer)> {
    let mut places = vec![("events.time".to_owned(), &events.time)];
    places.extend(events.id.iter().map(|id| ("events.id".to_owned(), id)));
    for (topic, own) in &events.topics {
        places.extend(own.time.iter().map(|time| (format!("events.topics.{topic}.time"), time)));
        places.extend(own.id.iter().map(|id| (format!("events.topics.{topic}.id"), id)));
    }
    places
}

fn forwards(settings: &AnonymiseSettings, pattern: &Pattern) -> bool {
    match &settings.forward {
        Forward::All => true,
        Forward::List(list) => list.iter().any(|forwarded| covers(forwarded, pattern)),
    }
}

/// Whether `inner` can lead to something at or inside of what `outer` leads to.
pub(super) fn covers(outer: &Pattern, inner: &Pattern) -> bool {
    let fits = |(a, b): (&Step, &Step)| a == b || *a == Step::Any || *b == Step::Any;
    outer.steps().len() <= inner.steps().len() && outer.steps().iter().zip(inner.steps()).all(fits)
}

/// The attributes that every message has in addition to its headers.
pub(super) const OWN_ATTRIBUTES: [&str; 9] = [
    wire::TOPIC,
    wire::PARTITION,
    wire::OFFSET,
    wire::TIMESTAMP,
    wire::KEY,
    wire::INCARNATION,
    wire::ID,
    wire::KEY_ID,
    wire::SHARD,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AnonymiseSettings, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn the_defaults_are_as_documented() {
        let settings = read("forward = \"all\"").expect("settings");
        assert_eq!(
            (settings.key, settings.keyring.to_str(), settings.max_rejects.per_10_000()),
            (KeyRule::Drop, Some("keys.toml"), 100)
        );
        assert!(!settings.needs_keyring() && settings.headers.is_empty() && settings.remove.is_empty());
        let settings =
            read("forward = [\"/a\"]\nkey = \"pseudonymise\"\nmax_rejects = \"0.5%\"").expect("settings");
        assert_eq!(
            (settings.forward.clone(), settings.max_rejects),
            (Forward::List(vec!["/a".parse().expect("a pattern")]), Share(50))
        );
        assert!(settings.needs_keyring());
    }

    #[test]
    fn invalid_settings_are_rejected() {
        for text in [
            "",
            "forward = \"some\"",
            "forward = 1",
            "forward = [\"a\"]",
            "forward = \"all\"\nkey = \"hash\"",
            "forward = \"all\"\nremoves = []",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        for share in ["1", "1.234%", "101%", "-1%", "%", "1.%"] {
            assert!(read(&format!("forward = \"all\"\nmax_rejects = \"{share}\"")).is_err(), "{share}");
        }
    }

    #[test]
    fn tags_stand_beside_patterns() {
        let settings =
            read("forward = \"all\"\npseudonymise = [\"tag:PII\", \"/a\", \"tag:GDPR\"]").expect("settings");
        assert_eq!(settings.pseudonymise.patterns, ["/a".parse().expect("a pattern")]);
        assert_eq!(settings.pseudonymise.tags, ["PII".into(), "GDPR".into()]);
        assert!(read("forward = \"all\"\npseudonymise = [\"tag:PII\"]").expect("settings").needs_keyring());
        assert!(read("forward = \"all\"\npseudonymise = [\"tag:\"]").is_err(), "a tag has a name");
        assert!(read("forward = \"all\"\nremove = [\"tag:PII\"]").is_err(), "only pseudonymise takes tags");
    }

    #[test]
    fn header_names_must_be_free() {
        for name in ["", "kafka.key", "aqueduct.x", "googclient", &"x".repeat(257)] {
            assert_eq!(checked_headers(&[name.to_owned()]), Err(SettingsError::Header(name.to_owned())));
        }
        let many: Vec<String> = (0..=MAX_HEADERS).map(|n| n.to_string()).collect();
        assert_eq!(checked_headers(&many), Err(SettingsError::TooManyHeaders(MAX_HEADERS + 1)));
        assert_eq!(checked_headers(&["a".to_owned(), "a".to_owned()]).map(|names| names.len()), Ok(1));
    }

    #[test]
    fn ineffective_settings_are_warned_about() {
        let settings = read(
            "pseudonymise = [\"/u\", \"/s/*/u\", \"/gone/u\", \"/x\", \"/time\"]\nstrip_query = [\"/page\"]\nremove = [\"/gone\"]\nforward = [\"/u\", \"/s\", \"/gone\", \"/time\"]",
        )
        .expect("settings");
        let events: EventsSettings = toml::from_str("time = \"/time\"\nid = \"/id\"").expect("settings");
        let expect = [
            ("anonymise.pseudonymise", "/gone/u"),
            ("anonymise.pseudonymise", "/x"),
            ("anonymise.strip_query", "/page"),
            ("events.time", "/time"),
            ("events.id", "/id"),
        ];
        let found = warnings(&settings, Some(&events));
        assert_eq!(found.len(), expect.len());
        for (warning, (key, pointer)) in found.iter().zip(expect) {
            assert!(warning.key == key && warning.text.contains(pointer), "{warning}");
        }
    }
}
