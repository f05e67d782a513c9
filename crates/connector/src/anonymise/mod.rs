//! Takes the people out of a record: the one way from a raw record to something that may be published.
//!
//! It fails closed: a record that meets a rule in a shape that the rule did not expect is rejected as a
//! whole. What goes out are the bytes that came in, with spans cut out and replaced in the same pass that
//! checks them; nothing is parsed a second time, so that nothing can be seen differently.
//!
//! Pseudonyms take the text of a string, the canonical decimal text of a number, `true` or `false`: the
//! same id gives the same pseudonym wherever it stands. `null`, missing members and an absent or empty
//! Kafka key stay as they are.
//!
//! Not here: secrets ([`crate::keyring`]), and what the connector does with a reject.
//!
//! Only [`Anonymiser::anonymise`] makes an [`Anonymised`]:
//!
//! ```compile_fail,E0451
//! use connector::anonymise::Anonymised;
//! let forged = Anonymised { data: Default::default(), kafka_key: None, headers: Vec::new(), key_id: None };
//! ```
//!
//! ```compile_fail,E0277
//! use connector::anonymise::Anonymised;
//! let forged: Anonymised = Vec::from(r#"{"user":"u1"}"#).into();
//! ```

mod attributes;
mod duplicates;
mod number;
mod reject;
mod rules;
mod settings;
mod spans;
mod url;
mod walk;
mod witness;

use std::{fmt, sync::Arc};

use event::EventsSettings;

use crate::keyring::{Key, Keyring, PSEUDONYM_LENGTH};
use rules::Rules;
use walk::Scratch;
use witness::Nobody;

pub use attributes::{MAX_EVENT_BYTES, MAX_RECORD_BYTES};
pub use reject::{Reject, RejectCode};
pub use settings::{AnonymiseSettings, Forward, KeyRule, SettingsError, Share, Warning};
pub use witness::{Outcome, Sight, Step, Witness};

/// A record as it came from Kafka or a file.
#[derive(Clone, Copy)]
pub struct Raw<'a> {
    /// The Kafka topic; decides where the event's time stands.
    pub topic: &'a str,
    /// The record's value; nothing for a tombstone.
    pub value: Option<&'a [u8]>,
    /// The record's key.
    pub key: Option<&'a [u8]>,
    /// The headers that have a value.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// What may be published of a record. It has no public constructor, and its parts cannot be changed.
#[derive(Clone, PartialEq, Eq)]
pub struct Anonymised {
    data: Vec<u8>,
    kafka_key: Option<String>,
    headers: Vec<(Arc<str>, String)>,
    key_id: Option<Arc<str>>,
}

impl Anonymised {
    /// The event: a JSON object.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The Kafka key, when it passes: its pseudonym or itself, as the configuration says.
    pub fn kafka_key(&self) -> Option<&str> {
        self.kafka_key.as_deref()
    }

    /// The headers that pass; each becomes an attribute of its own name.
    pub fn headers(&self) -> &[(Arc<str>, String)] {
        &self.headers
    }

    /// The id of the key that made the pseudonyms.
    pub fn key_id(&self) -> Option<&Arc<str>> {
        self.key_id.as_ref()
    }

    /// Bytes of the data and of the attributes that were taken from the record.
    pub fn size(&self) -> usize {
        self.data.len() + attributes::size(self.kafka_key.as_deref(), &self.headers)
    }
}

/// Sizes only: what was forwarded is nobody's business in a log.
impl fmt::Debug for Anonymised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anonymised")
            .field("bytes", &self.data.len())
            .field("headers", &self.headers.len())
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// The rules of `[anonymise]`, ready to run; one a thread.
#[derive(Clone, Debug)]
pub struct Anonymiser {
    rules: Rules,
    /// Topics whose events keep their time elsewhere.
    topics: Vec<(Box<str>, Rules)>,
    keyring: Option<Arc<Keyring>>,
    key: KeyRule,
    headers: Vec<Arc<str>>,
    warnings: Vec<Warning>,
    scratch: Scratch,
}

impl Anonymiser {
    /// Checks the settings and prepares their rules. `events` tells where an event's time stands, by which
    /// the key is chosen when the keyring has several.
    ///
    /// # Errors
    /// When declarations contradict each other, or need a keyring or a time that is not there.
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
        let (rules, topics) = match (several, events) {
            (false, _) => (Rules::new(settings, None)?, Vec::new()),
            (true, None) => return Err(SettingsError::NoTime),
            (true, Some(events)) => {
                let mut topics = Vec::new();
                for (topic, own) in &events.topics {
                    if own.time.is_some() {
                        topics.push((topic.as_str().into(), Rules::new(settings, own.time.as_ref())?));
                    }
                }
                (Rules::new(settings, Some(&events.time))?, topics)
            }
        };
        Ok(Self { rules, topics, keyring, key: settings.key, headers, warnings, scratch: Scratch::default() })
    }

    /// What is allowed, but hardly meant.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The keys that make the pseudonyms, oldest first; none where nothing is pseudonymised.
    pub fn keys(&self) -> &[Key] {
        self.keyring.as_ref().map_or(&[], |keyring| keyring.keys())
    }

    /// The names of the headers that may pass.
    pub fn headers(&self) -> &[Arc<str>] {
        &self.headers
    }

    /// Takes the people out of a record.
    ///
    /// # Errors
    /// When the record cannot be published without a risk, or at all.
    pub fn anonymise(&mut self, raw: &Raw<'_>) -> Result<Anonymised, Reject> {
        self.take(raw, &mut Nobody)
    }

    /// As [`Self::anonymise`], with somebody looking on. Of a record that is rejected nothing is told.
    ///
    /// # Errors
    /// As [`Self::anonymise`].
    pub fn watched(&mut self, raw: &Raw<'_>, witness: &mut impl Witness) -> Result<Anonymised, Reject> {
        self.anonymise(raw)?;
        self.take(raw, witness)
    }

    fn take<W: Witness>(&mut self, raw: &Raw<'_>, witness: &mut W) -> Result<Anonymised, Reject> {
        let value = raw.value.ok_or(Reject::new(RejectCode::Tombstone))?;
        if value.len() > MAX_RECORD_BYTES {
            return Err(Reject::new(RejectCode::TooLarge));
        }
        let own = self.topics.iter().find(|(topic, _)| **topic == *raw.topic);
        let rules = own.map_or(&self.rules, |(_, rules)| rules);
        let walked = walk::walk(rules, value, &mut self.scratch, witness)?;
        let key = match &self.keyring {
            None => None,
            Some(keyring) => Some(choose(keyring, rules, walked.time)?),
        };
        let mut data = walked.data;
        if let Some(key) = key {
            self.scratch.fill(value, &mut data, key);
        }
        let kafka_key = attributes::kafka_key(self.key, raw.key, key)?;
        let headers = attributes::headers(&self.headers, raw.headers)?;
        let key_id = key.map(|key| Arc::clone(key.id()));
        let anonymised = Anonymised { data, kafka_key, headers, key_id };
        attributes::check_size(anonymised.size())?;
        Ok(anonymised)
    }
}

/// The key that holds at the event's own time.
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

/// Stands where a pseudonym comes once the key is known.
const PLACEHOLDER: [u8; PSEUDONYM_LENGTH] = [b'.'; PSEUDONYM_LENGTH];

#[cfg(test)]
mod tests;
