//! The records that a worker writes: its states, topics that are new, and deletions of what is over.

use std::{
    future::Future,
    time::{SystemTime, UNIX_EPOCH},
};

use kafka::journal::JournalWriter;
use tokio::task::JoinError;

use super::Herder;
use crate::{
    distributed::{
        io::Topic,
        record::{bytes, status_key, topic_bytes, topic_key},
    },
    task::chain,
    worker::WorkerError,
};

/// What a write was, and whether Kafka has it.
pub(super) type Written = (Purpose, Result<(), String>);

#[derive(Debug)]
pub(super) enum Purpose {
    Command(String),
    Status(String),
    Topic(String, String),
    Collect(String),
    Reset,
}

/// How many deletions are written at a time.
const COLLECTIONS: usize = 100;

impl Herder {
    /// Writes the states that have changed, and topics that are new.
    pub(super) fn publish(&mut self, writer: &JournalWriter) {
        let records = self.local.records();
        let gone = self.published.keys().filter(|name| !records.contains_key(*name));
        for name in gone.cloned().collect::<Vec<_>>() {
            self.published.remove(&name);
            let key = status_key(&self.member, &name);
            self.write(writer, Purpose::Status(name), (Topic::Statuses, &key), None);
        }
        for (name, record) in records {
            let value = bytes(&record);
            if self.published.get(&name) != Some(&value) {
                let key = status_key(&self.member, &name);
                self.write(writer, Purpose::Status(name.clone()), (Topic::Statuses, &key), Some(&value));
                self.published.insert(name, value);
            }
        }
        for (name, topic) in self.local.topics() {
            let place = (name, topic.to_string());
            if !self.statuses.has_topic(&place.0, &place.1) && self.announced.insert(place.clone()) {
                let (name, topic) = place;
                let key = topic_key(&topic, &name);
                let value = topic_bytes();
                self.write(writer, Purpose::Topic(name, topic), (Topic::Statuses, &key), Some(&value));
            }
        }
    }

    pub(super) fn collect(&mut self, writer: &JournalWriter) {
        let now = now();
        let of_configs = self.log.garbage(now).into_iter().map(|key| (Topic::Configs, key));
        let exists = |name: &str| self.log.get(name).is_some();
        let of_statuses = self.statuses.garbage(&self.live, exists, now);
        let of_statuses = of_statuses.into_iter().map(|key| (Topic::Statuses, key));
        let open = of_configs.chain(of_statuses).filter(|(_, key)| !self.collected.contains(key));
        for (topic, key) in open.take(COLLECTIONS).collect::<Vec<_>>() {
            self.collected.insert(key.clone());
            self.write(writer, Purpose::Collect(key.clone()), (topic, &key), None);
        }
    }

    pub(super) fn write(
        &mut self,
        writer: &JournalWriter,
        purpose: Purpose,
        (topic, key): (Topic, &str),
        value: Option<&[u8]>,
    ) {
        let topic = if topic == Topic::Configs { &self.topics.0 } else { &self.topics.1 };
        let sent = writer.send(topic, key, value);
        self.writes.spawn(confirmed(purpose, sent));
    }

    pub(super) fn on_written(&mut self, written: Result<Written, JoinError>) {
        let Ok((purpose, result)) = written else { return };
        let was_refused = std::mem::replace(&mut self.is_refused, result.is_err());
        let Err(error) = result else { return };
        if !was_refused {
            tracing::warn!(
                error,
                action =
                    "check that the brokers are running, and that this user may write to the worker's topics",
                "Kafka did not take a record of this worker"
            );
        }
        match purpose {
            Purpose::Command(id) => {
                if let Some(pending) = self.pending.remove(&id) {
                    self.answer(pending, Err(WorkerError::Kafka(error)));
                }
            }
            Purpose::Status(name) => drop(self.published.remove(&name)),
            Purpose::Topic(name, topic) => drop(self.announced.remove(&(name, topic))),
            Purpose::Collect(key) => drop(self.collected.remove(&key)),
            Purpose::Reset => {}
        }
    }
}

/// Waits until Kafka has a record.
async fn confirmed(
    purpose: Purpose,
    sent: Result<impl Future<Output = Result<(), kafka::Error>>, kafka::Error>,
) -> Written {
    let result = match sent {
        Ok(delivery) => delivery.await,
        Err(error) => Err(error),
    };
    (purpose, result.map_err(|error| chain(&error)))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or_default()
}
