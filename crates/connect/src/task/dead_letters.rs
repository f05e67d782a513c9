//! Skipped records as records of another topic.
//!
//! A dead letter says where a record is and why it was skipped, in headers with the names that Connect gives them. It has
//! the record itself only if `aqueduct.deadletters=payload` says so: a converter may have failed before anything could be
//! pseudonymised.

use std::sync::Arc;

use kafka::{Appender, NewRecord};

use super::{Task, TaskError, chain, intake::Skipped};
use crate::{
    connector::{CLASS, Connector},
    converters,
    data::DataError,
    transforms,
};

/// The topic for dead letters.
pub(super) struct DeadLetters {
    /// `None` only while it is being closed.
    appender: Option<Appender>,
    connector: Arc<str>,
    task: u32,
    /// Whether letters with a payload have the headers, too.
    has_context: bool,
}

/// The exceptions of Connect for what failed here.
const EXCEPTION: &str = "org.apache.kafka.connect.errors.DataException";

/// The topic for dead letters of a connector; `None` if it has none.
pub(super) fn topic(connector: &Connector) -> Option<&str> {
    let topic = connector.values.text("errors.deadletterqueue.topic.name").map(str::trim);
    topic.filter(|topic| !topic.is_empty() && connector.skips_errors())
}

/// Whether dead letters have the record itself.
pub(super) fn have_payload(connector: &Connector) -> bool {
    topic(connector).is_some() && connector.values.text("aqueduct.deadletters") == Some("payload")
}

impl DeadLetters {
    /// Opens the topic, and creates it if it does not exist. `None` if the connector has none.
    pub(super) async fn open(task: &Task) -> Result<Option<Self>, TaskError> {
        let values = &task.connector.values;
        let Some(topic) = topic(&task.connector).map(str::to_owned) else { return Ok(None) };
        let replicas = values.number("errors.deadletterqueue.topic.replication.factor");
        let replicas = i32::try_from(replicas).unwrap_or(i32::MAX);
        let kafka = task.kafka.clone();
        let opened = tokio::task::spawn_blocking(move || Appender::open(&kafka, &topic, replicas)).await;
        let appender = match opened {
            Ok(Ok(appender)) => appender,
            Ok(Err(error)) => return Err(TaskError::Other(chain(&error))),
            Err(_) => return Err(TaskError::Other("opening the dead-letter topic panicked".to_owned())),
        };
        Ok(Some(Self {
            appender: Some(appender),
            connector: task.connector.name.as_str().into(),
            task: task.place.task,
            has_context: values.is_true("errors.deadletterqueue.context.headers.enable"),
        }))
    }

    /// Writes a letter for each of these records, and returns once Kafka has them.
    pub(super) async fn write(&self, skipped: &[Skipped]) -> Result<(), String> {
        let Some(appender) = &self.appender else { return Ok(()) };
        let headers: Vec<_> = skipped.iter().map(|skipped| self.headers(skipped)).collect();
        let letters = skipped.iter().zip(&headers).map(|(skipped, headers)| {
            let payload = skipped.payload.as_ref();
            let (key, value) = payload.map_or((None, None), |all| (all.key.as_deref(), all.value.as_deref()));
            NewRecord { key, value, headers }
        });
        appender.append(letters).await.map_err(|error| chain(&error))
    }

    /// The headers of a letter. Without a payload they are all that it has.
    fn headers(&self, skipped: &Skipped) -> Vec<(String, Option<Vec<u8>>)> {
        let mut headers = skipped.payload.as_ref().map(|payload| payload.headers.clone()).unwrap_or_default();
        if skipped.payload.is_some() && !self.has_context {
            return headers;
        }
        let Skipped { slot, offset, error, .. } = skipped;
        let context = [
            ("topic", slot.topic.to_string()),
            ("partition", slot.partition.to_string()),
            ("offset", offset.to_string()),
            ("connector.name", self.connector.to_string()),
            ("task.id", self.task.to_string()),
            ("stage", error.stage.name().to_owned()),
            ("class.name", class(error)),
            ("exception.class.name", EXCEPTION.to_owned()),
            ("exception.message", error.to_string()),
        ];
        let context =
            context.map(|(name, text)| (format!("__connect.errors.{name}"), Some(text.into_bytes())));
        headers.extend(context);
        headers
    }
}

/// Closing a producer may take a moment, and must not hold up an async thread.
impl Drop for DeadLetters {
    fn drop(&mut self) {
        if let Some(appender) = self.appender.take() {
            tokio::task::spawn_blocking(move || drop(appender));
        }
    }
}

/// The full name of the class whose work failed.
fn class(error: &DataError) -> String {
    let converter = converters::find(&error.step).map(|plugin| plugin.class.to_owned());
    let transform = || transforms::named(&error.step).map(|plugin| plugin.class.to_owned());
    converter.or_else(transform).unwrap_or_else(|| CLASS.to_owned())
}

#[cfg(test)]
mod tests {
    use kafka::Slot;

    use super::*;
    use crate::{data::Stage, task::intake::Payload};

    fn skipped(payload: Option<Payload>) -> Skipped {
        let error = DataError::new("JsonConverter", "invalid JSON at byte 3").at(Stage::ValueConverter);
        Skipped { slot: Slot { topic: "t".into(), partition: 2, generation: 1 }, offset: 7, error, payload }
    }

    #[track_caller]
    fn check(payload: Option<Payload>, has_context: bool, expected: &[(&str, &str)]) {
        let letters = DeadLetters { appender: None, connector: "c".into(), task: 0, has_context };
        let headers = letters.headers(&skipped(payload));
        let found: Vec<_> = headers
            .iter()
            .map(|(name, value)| {
                (
                    name.trim_start_matches("__connect.errors."),
                    String::from_utf8_lossy(value.as_deref().unwrap_or(b"null")),
                )
            })
            .collect();
        let expected: Vec<_> = expected.iter().map(|(name, value)| (*name, (*value).into())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn headers_have_position_and_reason() {
        let context = [
            ("topic", "t"),
            ("partition", "2"),
            ("offset", "7"),
            ("connector.name", "c"),
            ("task.id", "0"),
            ("stage", "VALUE_CONVERTER"),
            ("class.name", "org.apache.kafka.connect.json.JsonConverter"),
            ("exception.class.name", EXCEPTION),
            ("exception.message", "JsonConverter: invalid JSON at byte 3"),
        ];
        let headers = || vec![("own".into(), Some(b"h".to_vec())), ("flag".into(), None)];
        let payload = || Some(Payload { headers: headers(), ..Payload::default() });
        check(None, false, &context);
        check(payload(), false, &[("own", "h"), ("flag", "null")]);
        check(payload(), true, &[&[("own", "h"), ("flag", "null")], &context[..]].concat());
    }
}
