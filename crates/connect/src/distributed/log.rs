//! The connectors that follow from the topic of configurations. Pure.
//!
//! Several workers write to the topic, and none of them leads. Its one partition orders their records, and every worker
//! applies the same rule to each: **a change counts only if its writer had read the last change of this connector that
//! counts**. So of two changes that do not know of each other the first one counts for everyone, and the writer of the other
//! one finds it refused when it reads it back. A change is one record, so it counts as a whole or not at all.
//!
//! Compaction must not change the result. It keeps the last record of each key, so each change has a key of its own, and a
//! record goes only when a worker deletes it ([`ConfigLog::garbage`]): first changes that do not count, and only when there
//! are none of them any more, those that a later one has replaced. Otherwise a worker that starts between the two would take
//! a refused change for the first one. A deletion stays for a day, so that a slow writer that does not know of it cannot
//! bring the connector back.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{self, ConfigEntry, ConnectorRecord, Stored, Unusable};
use crate::{define::Config, worker::Target};

/// The connectors, and what of the topic they follow from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ConfigLog {
    /// The end of what was read.
    position: u64,
    names: BTreeMap<String, Connector>,
    /// States that Kafka Connect has written.
    imported_targets: BTreeMap<String, Target>,
    /// Connectors with an order to restart that is still in the topic.
    restarts: BTreeSet<String>,
}

/// Everything in the topic about one connector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Connector {
    /// In the order of the topic.
    changes: Vec<Change>,
    /// What it is now; `None` if it was deleted, or never was.
    current: Option<Stored>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    offset: u64,
    timestamp: i64,
    origin: Origin,
    connector: Option<Stored>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// A change under its ID, of a writer that had read up to there.
    Worker { id: String, seen: u64 },
    /// Kafka Connect wrote it. It is replaced under its own rules, and never deleted here.
    Connect,
}

/// For how long a deletion stays in the topic, in milliseconds.
const DELETION: i64 = 24 * 60 * 60 * 1_000;

impl ConfigLog {
    /// The end of what was read.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Reads a record, and returns what it is.
    ///
    /// # Errors
    /// The record cannot be used. It changes nothing.
    pub(super) fn read(
        &mut self,
        (offset, timestamp): (u64, i64),
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<ConfigEntry, Unusable> {
        self.position = self.position.max(offset + 1);
        let entry = record::config_entry(key, value)?;
        match &entry {
            ConfigEntry::Connector { name, id, record } => {
                self.change(name, |changes| {
                    changes.retain(|change| !change.has_id(id));
                    changes.extend(record.clone().map(|ConnectorRecord { seen, connector, .. }| {
                        let origin = Origin::Worker { id: id.clone(), seen };
                        Change { offset, timestamp, origin, connector }
                    }));
                });
            }
            ConfigEntry::Imported { name, config } => {
                let stored = config.clone().map(|config| self.imported(name, config, offset));
                self.change(name, |changes| {
                    changes.retain(|change| change.origin != Origin::Connect);
                    let of = |connector| Change {
                        offset,
                        timestamp,
                        origin: Origin::Connect,
                        connector: Some(connector),
                    };
                    changes.extend(stored.map(of));
                });
            }
            ConfigEntry::ImportedTarget { name, target } => {
                match target {
                    Some(target) => drop(self.imported_targets.insert(name.clone(), *target)),
                    None => drop(self.imported_targets.remove(name)),
                }
                let target = self.imported_target(name);
                self.change(name, |changes| {
                    let imported = changes.iter_mut().filter(|change| change.origin == Origin::Connect);
                    for stored in imported.filter_map(|change| change.connector.as_mut()) {
                        stored.target = target;
                    }
                });
            }
            ConfigEntry::Restart { name, record } => match record {
                Some(_) => drop(self.restarts.insert(name.clone())),
                None => drop(self.restarts.remove(name)),
            },
            ConfigEntry::OfConnect => {}
        }
        Ok(entry)
    }

    fn imported(&self, name: &str, mut config: Config, offset: u64) -> Stored {
        config.insert("name".to_owned(), name.to_owned());
        Stored { revision: format!("connect-{offset}"), target: self.imported_target(name), config }
    }

    fn imported_target(&self, name: &str) -> Target {
        self.imported_targets.get(name).copied().unwrap_or(Target::Running)
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut Vec<Change>)) {
        let connector = self.names.entry(name.to_owned()).or_default();
        change(&mut connector.changes);
        connector.current = connector.last().and_then(|last| last.connector.clone());
        if connector.changes.is_empty() {
            self.names.remove(name);
        }
    }

    /// A connector.
    pub(super) fn get(&self, name: &str) -> Option<&Stored> {
        self.names.get(name)?.current.as_ref()
    }

    /// All connectors, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Stored)> {
        self.names.iter().filter_map(|(name, connector)| Some((name, connector.current.as_ref()?)))
    }

    /// Whether the change with this ID counts, and no later one does.
    pub(super) fn is_last(&self, name: &str, id: &str) -> bool {
        self.names.get(name).and_then(Connector::last).is_some_and(|last| last.has_id(id))
    }

    /// Keys that may be deleted now. When they are gone, there may be others.
    pub(super) fn garbage(&self, now: i64) -> Vec<String> {
        let of_connectors = self.names.iter().flat_map(|(name, connector)| {
            let ids = connector.garbage(now).into_iter();
            ids.map(|id| record::connector_key(id, name)).collect::<Vec<_>>()
        });
        let is_gone = |name: &&String| self.get(name).is_none();
        let restarts = self.restarts.iter().filter(is_gone).map(|name| record::restart_key(name));
        of_connectors.chain(restarts).collect()
    }
}

impl Connector {
    /// The change that counts; see the module.
    fn last(&self) -> Option<&Change> {
        self.counting().last()
    }

    /// The changes that counted, in their order.
    fn counting(&self) -> impl Iterator<Item = &Change> {
        let mut last: Option<u64> = None;
        self.changes.iter().filter(move |change| {
            let counts = match &change.origin {
                Origin::Worker { seen, .. } => last.is_none_or(|last| *seen > last),
                Origin::Connect => true,
            };
            if counts {
                last = Some(change.offset);
            }
            counts
        })
    }

    fn garbage(&self, now: i64) -> Vec<&str> {
        let counting: Vec<&Change> = self.counting().collect();
        let Some(last) = counting.last() else { return Vec::new() };
        let counts = |change: &&Change| counting.iter().any(|other| other.offset == change.offset);
        let refused: Vec<&str> =
            self.changes.iter().filter(|change| !counts(change)).filter_map(Change::id).collect();
        if !refused.is_empty() {
            return refused;
        }
        let replaced = counting.iter().filter(|change| change.offset != last.offset);
        let mut garbage: Vec<&str> = replaced.filter_map(|change| change.id()).collect();
        let is_over = last.connector.is_none() && now.saturating_sub(last.timestamp) > DELETION;
        if is_over && self.changes.len() == 1 {
            garbage.extend(last.id());
        }
        garbage
    }
}

impl Change {
    fn id(&self) -> Option<&str> {
        match &self.origin {
            Origin::Worker { id, .. } => Some(id),
            Origin::Connect => None,
        }
    }

    fn has_id(&self, id: &str) -> bool {
        self.id() == Some(id)
    }
}

#[cfg(test)]
mod tests;
