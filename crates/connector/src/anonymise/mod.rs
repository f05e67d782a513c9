//! Removes and pseudonymises personal data: the only way from a raw record to a value that can be published.
//!
//! It fails closed: if a value at a declared pointer has an unexpected shape, the whole record is rejected. The output
//! consists of the input's bytes, with ranges cut out and replaced in the same pass that checks them. Nothing is parsed
//! a second time, so no second parser can read the record differently.
//!
//! Pseudonyms are made from the text of a string, the canonical decimal text of a number, `true` or `false`: the same
//! ID has the same pseudonym everywhere. `null`, missing members and an absent or empty Kafka key stay unchanged.
//!
//! See [`crate::keyring`] for the secrets.
//!
//! Only [`Anonymiser::anonymise`] makes an [`Anonymised`]:
//!
//! ```compile_fail,E0451
//! use connector::anonymise::Anonymised;
//! let forged = Anonymised { data: Default::default(), kafka_key: None, headers: Vec::new(), key_id: None, lane: Default::default() };
//! ```
//!
//! ```compile_fail,E0277
//! use connector::anonymise::Anonymised;
//! let forged: Anonymised = Vec::from(r#"{"user":"u1"}"#).into();
//! ```

mod added;
mod attributes;
mod duplicates;
mod number;
mod observer;
mod order;
mod reject;
mod rules;
mod settings;
mod spans;
mod tagged;
mod url;
mod walk;

use std::{fmt, sync::Arc};

use codec::Schema;
use event::EventsSettings;

use crate::{
    keyring::{Key, Keyring, PSEUDONYM_LENGTH},
    outgoing::{Lane, Outgoing},
};
use added::Added;
use observer::NoopObserver;
use rules::Rules;
use tagged::Tagged;
use walk::Scratch;

pub(crate) use number::canonical as canonical_number;

pub use attributes::{MAX_EVENT_BYTES, MAX_RECORD_BYTES};
pub use observer::{Observer, Outcome, Step, Visible};
pub use reject::{Reject, RejectCode};
pub use settings::{AnonymiseSettings, Forward, KeyRule, SettingsError, Share, Targets, Warning};

/// A record as it is in Kafka or in a file.
#[derive(Clone, Copy)]
pub struct Raw<'a> {
    /// The Kafka topic, which decides where the event's time is.
    pub topic: &'a str,
    /// The value of the record; `None` for a tombstone.
    pub value: Option<&'a [u8]>,
    /// The key of the record.
    pub key: Option<&'a [u8]>,
    /// The headers that have a value.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// The parts of a record that may be published. There is no public constructor, and the parts cannot be changed.
#[derive(Clone, PartialEq, Eq)]
pub struct Anonymised {
    data: Vec<u8>,
    kafka_key: Option<String>,
    headers: Vec<(Arc<str>, String)>,
    key_id: Option<Arc<str>>,
    lane: Lane,
}

impl Anonymised {
    /// The event: a JSON object.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The Kafka key, if it is forwarded: pseudonymised or unchanged, depending on the configuration.
    pub fn kafka_key(&self) -> Option<&str> {
        self.kafka_key.as_deref()
    }

    /// The forwarded headers; each becomes an attribute with the same name.
    pub fn headers(&self) -> &[(Arc<str>, String)] {
        &self.headers
    }

    /// The ID of the key that made the pseudonyms.
    pub fn key_id(&self) -> Option<&Arc<str>> {
        self.key_id.as_ref()
    }

    /// Where it goes, and after which other events.
    pub fn lane(&self) -> &Lane {
        &self.lane
    }

    /// Size of the data and of the attributes that were taken from the record, in bytes.
    pub fn size(&self) -> usize {
        self.data.len() + attributes::size(self.kafka_key.as_deref(), &self.headers)
    }
}

/// Sizes only: the content does not belong in a log.
impl fmt::Debug for Anonymised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anonymised")
            .field("bytes", &self.data.len())
            .field("headers", &self.headers.len())
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// The compiled rules of `[anonymise]`; one for each thread.
#[derive(Clone, Debug)]
pub struct Anonymiser {
    rules: Rules,
    /// Topics whose events have their time at another pointer.
    topics: Vec<(Box<str>, Rules)>,
    /// The rules of events whose schema tags fields.
    tagged: Tagged,
    added: Added,
    keyring: Option<Arc<Keyring>>,
    key: KeyRule,
    headers: Vec<Arc<str>>,
    warnings: Vec<Warning>,
    outgoing: Outgoing,
    scratch: Scratch,
}

impl Anonymiser {
    /// Checks the settings and compiles their rules. `events` has the pointer to the event's time, which selects the
    /// key if the keyring has several.
    ///
    /// # Errors
    /// If declarations contradict each other, or require a keyring or a time that is missing.
    pub fn new(
        settings: &AnonymiseSettings,
        events: Option<&EventsSettings>,
        keyring: Option<Arc<Keyring>>,
    ) -> Result<Self, SettingsError> {
        let keyring =
            if settings.needs_keyring() { Some(keyring.ok_or(SettingsError::NoKeyring)?) } else { None };
        let headers = settings::checked_headers(&settings.headers)?;
        let warnings = settings::warnings(settings, events);
        let several = keyring.as_ref().is_some_and(|keyring| keyring.keys().len() > 1);
        let (time, times) = match (several, events) {
            (false, _) => (None, Vec::new()),
            (true, None) => return Err(SettingsError::NoTime),
            (true, Some(events)) => {
                let topics = events.topics.iter();
                let times =
                    topics.filter_map(|(topic, own)| Some((topic.as_str().into(), own.time.clone()?)));
                (Some(events.time.clone()), times.collect())
            }
        };
        let rules = Rules::new(settings, time.as_ref())?;
        let of_topic = |(topic, time): &(Box<str>, event::Pointer)| {
            Ok((topic.clone(), Rules::new(settings, Some(time))?))
        };
        let topics = times.iter().map(of_topic).collect::<Result<_, _>>()?;
        let (tagged, added) = (Tagged::new(settings, time, times), Added::new(settings));
        Ok(Self {
            rules,
            topics,
            tagged,
            added,
            keyring,
            key: settings.key,
            headers,
            warnings,
            outgoing: Outgoing::default(),
            scratch: Scratch::default(),
        })
    }

    /// With the rules of `[pubsub]` about single records. By default every event is published.
    #[must_use]
    pub fn with_outgoing(self, outgoing: Outgoing) -> Self {
        Self { outgoing, ..self }
    }

    /// Whether events are published in order.
    pub(crate) fn is_ordered(&self) -> bool {
        self.outgoing.lanes.are_ordered()
    }

    /// Settings that are allowed but probably not intended.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The keys that make the pseudonyms, oldest first; empty if nothing is pseudonymised.
    pub fn keys(&self) -> &[Key] {
        self.keyring.as_ref().map_or(&[], |keyring| keyring.keys())
    }

    /// The names of the headers that may be forwarded.
    pub fn headers(&self) -> &[Arc<str>] {
        &self.headers
    }

    /// What happens to the Kafka key.
    pub fn key_rule(&self) -> KeyRule {
        self.key
    }

    /// How many fields of this schema pass only because everything does, and were in no schema of the topic before. Counts
    /// each schema once, and not the first one of a topic.
    pub fn fields_added(&mut self, topic: &Arc<str>, schema: &Arc<dyn Schema>) -> usize {
        self.added.by(topic, schema)
    }

    /// Anonymises a record without a schema, whatever the filter.
    ///
    /// # Errors
    /// If the record cannot be published safely, or at all.
    pub fn anonymise(&mut self, raw: &Raw<'_>) -> Result<Anonymised, Reject> {
        self.take(raw, None, &mut NoopObserver)
    }

    /// Anonymises a record that was decoded. The tags of its schema apply, if it has one. `None` if the filter excludes
    /// it.
    ///
    /// # Errors
    /// As [`Self::anonymise`].
    pub fn anonymise_decoded(
        &mut self,
        raw: &Raw<'_>,
        schema: Option<&Arc<dyn Schema>>,
    ) -> Result<Option<Anonymised>, Reject> {
        if !self.wants(raw) {
            return Ok(None);
        }
        self.take(raw, schema, &mut NoopObserver).map(Some)
    }

    /// As [`Self::anonymise_decoded`], with an observer. It learns nothing of a record that is not published.
    ///
    /// # Errors
    /// As [`Self::anonymise`].
    pub fn anonymise_observed(
        &mut self,
        raw: &Raw<'_>,
        schema: Option<&Arc<dyn Schema>>,
        observer: &mut impl Observer,
    ) -> Result<Option<Anonymised>, Reject> {
        if self.anonymise_decoded(raw, schema)?.is_none() {
            return Ok(None);
        }
        self.take(raw, schema, observer).map(Some)
    }

    fn wants(&mut self, raw: &Raw<'_>) -> bool {
        self.outgoing.filter.as_mut().is_none_or(|filter| filter.passes(raw.topic, raw.value))
    }

    fn take<W: Observer>(
        &mut self,
        raw: &Raw<'_>,
        schema: Option<&Arc<dyn Schema>>,
        observer: &mut W,
    ) -> Result<Anonymised, Reject> {
        let value = raw.value.ok_or(Reject::new(RejectCode::Tombstone))?;
        if value.len() > MAX_RECORD_BYTES {
            return Err(Reject::new(RejectCode::TooLarge));
        }
        let own = self.topics.iter().position(|(topic, _)| **topic == *raw.topic);
        let tagged = match schema {
            Some(schema) => self.tagged.rules(schema, own),
            None => None,
        };
        let rules = match (tagged, own) {
            (Some(rules), _) => rules.map_err(Reject::new)?,
            (None, Some(own)) => &mut self.topics[own].1,
            (None, None) => &mut self.rules,
        };
        let walked = walk::walk(rules, value, &mut self.scratch, observer)?;
        let rules = &*rules;
        let key = match &self.keyring {
            None => None,
            Some(keyring) => Some(choose(keyring, rules, walked.time)?),
        };
        let mut data = walked.data;
        if let Some(key) = key {
            self.scratch.fill(value, &mut data, key);
        }
        let pseudonym = |id: &[u8], key: &Key| match self.scratch.pseudonym(id, value, &data) {
            Some(made) => made.try_into().expect("a pseudonym has one length"),
            None => key.pseudonym(id),
        };
        let kafka_key = attributes::kafka_key(self.key, raw.key, key, pseudonym)?;
        let headers = attributes::headers(&self.headers, raw.headers)?;
        let key_id = key.map(|key| Arc::clone(key.id()));
        // From what is published: a value that may not pass can neither be a key nor a topic.
        let lane = self.outgoing.lanes.of(&data)?;
        let anonymised = Anonymised { data, kafka_key, headers, key_id, lane };
        attributes::check_size(anonymised.size())?;
        Ok(anonymised)
    }
}

/// The key that is valid at the event's own time.
fn choose<'k>(
    keyring: &'k Keyring,
    rules: &Rules,
    time: Option<event::EventTime>,
) -> Result<&'k Key, Reject> {
    match (keyring.keys(), time) {
        ([only], _) => Ok(only),
        (_, Some(time)) => Ok(keyring.key_at(time)),
        (_, None) => Err(Reject { code: RejectCode::Time, pointer: rules.time().cloned(), at: None }),
    }
}

/// Takes the place of a pseudonym until the key is known.
const PLACEHOLDER: [u8; PSEUDONYM_LENGTH] = [b'.'; PSEUDONYM_LENGTH];

#[cfg(test)]
mod tests;
