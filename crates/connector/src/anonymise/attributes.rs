//! The attributes that are taken from a record (the Kafka key and the headers), and the limits of Pub/Sub.

use std::{str, sync::Arc};

use event::wire;

use super::{KeyRule, Reject, RejectCode, settings::OWN_ATTRIBUTES};
use crate::keyring::{Key, PSEUDONYM_LENGTH};

/// Maximum size of the name of an attribute.
pub(super) const MAX_NAME: usize = 256;
/// Maximum size of the value of an attribute.
const MAX_VALUE: usize = 1_024;
/// Maximum number of attributes, without those that every message has.
pub(super) const MAX_HEADERS: usize = 100 - OWN_ATTRIBUTES.len();
/// Maximum size of the forwarded parts of a record: the event, the Kafka key and the headers, with the names of their
/// attributes. The connector, and every command that shows what it would publish, use this one limit.
///
/// It is the limit of a message, less the attributes with the record's position (847 bytes at most, with the longest
/// topic and the longest key ID), the ordering key (1,024 bytes at most) and the tags and lengths of protobuf (9 bytes
/// for each attribute).
pub const MAX_EVENT_BYTES: usize = pubsub::limits::MAX_BYTES - 3 * 1_024;
/// Maximum size of a record before it is anonymised, which may remove most of it. A larger one is not read further, so
/// that a line without an end does not fill the memory.
pub const MAX_RECORD_BYTES: usize = 40_000_000;

/// The attribute for the Kafka key, if it is forwarded.
pub(super) fn kafka_key(
    rule: KeyRule,
    raw: Option<&[u8]>,
    key: Option<&Key>,
    pseudonym: impl Fn(&[u8], &Key) -> [u8; PSEUDONYM_LENGTH],
) -> Result<Option<String>, Reject> {
    let Some(raw) = raw.filter(|raw| !raw.is_empty() && rule != KeyRule::Drop) else {
        return Ok(None);
    };
    let text = str::from_utf8(raw).map_err(|_| Reject::new(RejectCode::KeyNotUtf8))?;
    match rule {
        KeyRule::Drop => Ok(None),
        KeyRule::Forward => checked(text).map(Some),
        KeyRule::Pseudonymise => {
            let key = key.expect("a rule that pseudonymises requires a keyring");
            let pseudonym = pseudonym(text.as_bytes(), key);
            Ok(Some(str::from_utf8(&pseudonym).expect("base64 is ASCII").to_owned()))
        }
    }
}

/// The attributes for the headers that are forwarded; of several headers with one name the last one counts.
pub(super) fn headers(names: &[Arc<str>], raw: &[(&str, &[u8])]) -> Result<Vec<(Arc<str>, String)>, Reject> {
    let mut headers = Vec::new();
    for name in names {
        if let Some((_, value)) = raw.iter().rev().find(|(header, _)| *header == &**name) {
            let text = str::from_utf8(value).map_err(|_| Reject::new(RejectCode::HeaderNotUtf8))?;
            headers.push((Arc::clone(name), checked(text)?));
        }
    }
    Ok(headers)
}

fn checked(text: &str) -> Result<String, Reject> {
    if text.len() > MAX_VALUE { Err(Reject::new(RejectCode::AttributeTooLarge)) } else { Ok(text.to_owned()) }
}

/// Size of these attributes in bytes, including their names.
pub(super) fn size(kafka_key: Option<&str>, headers: &[(Arc<str>, String)]) -> usize {
    let key = kafka_key.map_or(0, |key| wire::KEY.len() + key.len());
    key + headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
}

pub(super) fn check_size(bytes: usize) -> Result<(), Reject> {
    if bytes > MAX_EVENT_BYTES { Err(Reject::new(RejectCode::TooLarge)) } else { Ok(()) }
}
