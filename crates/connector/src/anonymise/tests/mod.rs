//! What the anonymiser forwards, and what it rejects.

mod laws;
mod tables;

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

use codec::{Field, Kind, Payload, Schema};
use event::EventsSettings;

use super::*;

/// A keyring of one key, or of two with the second from 2026-01-01T00:00:00Z on.
fn keyring(keys: usize) -> Arc<Keyring> {
    let text = [
        "[[keys]]\nid = \"k1\"\nsecret = \"CwsLCwsLCwsLCwsLCwsLCwsLCwsLCwsLCwsLCwsLCws=\"\n",
        "[[keys]]\nid = \"k2\"\nsecret = \"qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo=\"\nfrom = \"2026-01-01T00:00:00Z\"\n",
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.toml");
    fs::write(&path, text[..keys].concat()).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    Arc::new(Keyring::load(&path).expect("a keyring"))
}

pub(super) fn settings(toml: &str) -> AnonymiseSettings {
    toml::from_str(toml).expect("settings")
}

fn events(toml: &str) -> EventsSettings {
    toml::from_str(toml).expect("settings")
}

/// The anonymiser of a section, with one key.
pub(super) fn anonymiser(toml: &str) -> Anonymiser {
    Anonymiser::new(&settings(toml), None, Some(keyring(1))).expect("rules")
}

fn value(payload: &[u8]) -> Raw<'_> {
    Raw { topic: "events", value: Some(payload), key: None, headers: &[] }
}

pub(super) fn pseudonym(id: &str) -> String {
    keyring(1).keys()[0].pseudonym(id).map(char::from).iter().collect()
}

/// What a schema declares.
struct Declared(Vec<Field>);

impl Schema for Declared {
    fn decode(&self, _: Payload<'_>, _: &mut Vec<u8>) -> Result<(), codec::Reject> {
        unreachable!("events are decoded already")
    }

    fn fields(&self) -> &[Field] {
        &self.0
    }

    fn name(&self) -> Option<&str> {
        None
    }

    fn subjects(&self) -> Option<&[String]> {
        None
    }
}

/// A schema with these fields and their tags.
pub(super) fn schema(fields: &[(&str, &[&str])]) -> Arc<dyn Schema> {
    let field = |(pattern, tags): &(&str, &[&str])| Field {
        pattern: pattern.parse().expect("a pattern"),
        kind: Kind::Text,
        optional: false,
        tags: tags.iter().map(|tag| Arc::from(*tag)).collect(),
    };
    Arc::new(Declared(fields.iter().map(field).collect()))
}
