//! The bodies of requests and responses. Pure.

use serde_json::{Map, Value, json};

use crate::{
    connector::VERSION,
    define::Config,
    worker::{OffsetChange, Patch, Target, TaskStatus, View},
};

/// The body of `POST /connectors`.
pub(super) struct Create {
    pub(super) name: String,
    pub(super) config: Config,
    pub(super) state: Option<Target>,
}

impl Create {
    pub(super) fn parse(body: &Value) -> Result<Self, String> {
        let object = object(body)?;
        let known = ["name", "config", "initial_state"];
        if let Some(unknown) = object.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(format!("Unrecognized field \"{unknown}\"; expected name, config and initial_state"));
        }
        let config = config(
            object.get("config").ok_or("config is missing; expected an object with the configuration")?,
        )?;
        let named = object.get("name").and_then(Value::as_str).map(str::trim);
        let name = named.or(config.get("name").map(String::as_str)).unwrap_or_default().to_owned();
        let state = match object.get("initial_state") {
            None | Some(Value::Null) => None,
            Some(state) => {
                let parsed = state.as_str().and_then(Target::parse);
                Some(parsed.ok_or("invalid initial_state; expected RUNNING, PAUSED or STOPPED")?)
            }
        };
        Ok(Self { name, config, state })
    }
}

fn object(body: &Value) -> Result<&Map<String, Value>, String> {
    body.as_object().ok_or_else(|| "expected a JSON object".to_owned())
}

/// A configuration: names and values, which are taken as text.
pub(super) fn config(body: &Value) -> Result<Config, String> {
    let entry = |(key, value): (String, Option<String>)| match value {
        Some(value) => Ok((key, value)),
        None => Err(invalid("Null value can not be supplied as the configuration value.")),
    };
    patch(body)?.into_iter().map(entry).collect()
}

/// A change of a configuration: null removes a key.
pub(super) fn patch(body: &Value) -> Result<Patch, String> {
    let entry = |(key, value): (&String, &Value)| match value {
        Value::Null => Ok((key.clone(), None)),
        Value::String(text) => Ok((key.clone(), Some(text.clone()))),
        Value::Bool(_) | Value::Number(_) => Ok((key.clone(), Some(value.to_string()))),
        Value::Array(_) | Value::Object(_) => Err(format!("the value of {key} is not a string")),
    };
    object(body)?.iter().map(entry).collect()
}

fn invalid(error: &str) -> String {
    crate::worker::WorkerError::Invalid(vec![error.to_owned()]).to_string()
}

/// `ConnectorInfo`.
pub(super) fn info(view: &View) -> Value {
    let task = |task: &TaskStatus| json!({ "connector": view.name, "task": task.id });
    let tasks: Vec<Value> = view.status.tasks.iter().map(task).collect();
    json!({ "name": view.name, "config": view.config, "tasks": tasks, "type": "sink" })
}

/// `ConnectorStateInfo`.
pub(super) fn status(view: &View) -> Value {
    let connector =
        json!({ "state": view.status.connector, "worker_id": view.status.worker, "version": VERSION });
    let tasks: Vec<Value> = view.status.tasks.iter().map(task).collect();
    json!({ "name": view.name, "connector": connector, "tasks": tasks, "type": "sink" })
}

/// `TaskState`.
pub(super) fn task(status: &TaskStatus) -> Value {
    let TaskStatus { id, state, worker, trace } = status;
    let mut task = json!({ "id": id, "state": state, "worker_id": worker, "version": VERSION });
    if let Some(trace) = trace {
        task["trace"] = Value::from(trace.clone());
    }
    task
}

/// `/connectors/{name}/tasks`.
pub(super) fn tasks(view: &View) -> Value {
    let mut config = view.config.clone();
    config.insert("task.class".to_owned(), "com.google.pubsub.kafka.sink.CloudPubSubSinkTask".to_owned());
    let task =
        |task: &TaskStatus| json!({ "id": { "connector": view.name, "task": task.id }, "config": config });
    view.status.tasks.iter().map(task).collect()
}

/// `/connectors/{name}/offsets`.
pub(super) fn offsets(offsets: &[((String, i32), u64)]) -> Value {
    let offset = |((topic, partition), offset): &((String, i32), u64)| {
        json!({
            "partition": { "kafka_topic": topic, "kafka_partition": partition },
            "offset": { "kafka_offset": offset },
        })
    };
    json!({ "offsets": offsets.iter().map(offset).collect::<Vec<_>>() })
}

/// The body of `PATCH /connectors/{name}/offsets`.
pub(super) fn offset_changes(body: &Value) -> Result<Vec<OffsetChange>, String> {
    let offsets = body.get("offsets").and_then(Value::as_array).filter(|offsets| !offsets.is_empty());
    let offsets = offsets.ok_or("Partitions / offsets need to be provided for an alter offsets request")?;
    offsets.iter().map(offset_change).collect()
}

fn offset_change(entry: &Value) -> Result<OffsetChange, String> {
    let partition = &entry["partition"];
    let (Some(topic), Some(number)) = (partition.get("kafka_topic"), partition.get("kafka_partition")) else {
        return Err("The partition for a sink connector offset must contain the keys 'kafka_topic' and 'kafka_partition'".to_owned());
    };
    let topic = topic.as_str().ok_or("kafka_topic must be a string")?.to_owned();
    let number = integer(number).and_then(|number| i32::try_from(number).ok());
    let number = number.ok_or("Failed to parse the Kafka partition; partitions need to be integers.")?;
    if entry["offset"].is_null() {
        return Ok(((topic, number), None));
    }
    let offset = &entry["offset"]["kafka_offset"];
    let parsed = integer(offset).ok_or_else(|| {
        let text = offset.as_str().map_or_else(|| offset.to_string(), str::to_owned);
        format!("Failed to parse the following Kafka offset value in the provided offsets: '{text}'. Offset values for sink connectors need to be integers.")
    })?;
    Ok(((topic, number), Some(parsed)))
}

/// A whole number, or the text of one.
fn integer(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// A name as a segment of a path.
pub(super) fn encoded(name: &str) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    name.bytes()
        .map(|byte| if is_plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_checked() {
        let parse =
            |body: Value| Create::parse(&body).map(|create| (create.name, create.config.len(), create.state));
        assert_eq!(
            parse(json!({ "name": "a", "config": { "b": 1, "c": true } })),
            Ok(("a".to_owned(), 2, None))
        );
        let paused = json!({ "config": { "name": "a" }, "initial_state": "paused" });
        assert_eq!(parse(paused), Ok(("a".to_owned(), 1, Some(Target::Paused))));
        for wrong in [
            json!([]),
            json!({ "name": "a" }),
            json!({ "name": "a", "config": { "b": null } }),
            json!({ "name": "a", "config": { "b": {} } }),
            json!({ "name": "a", "config": {}, "more": 1 }),
            json!({ "name": "a", "config": {}, "initial_state": "NOPE" }),
        ] {
            assert!(parse(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn offsets_are_checked() {
        let change = |partition: Value, offset: Value| {
            offset_changes(&json!({ "offsets": [{ "partition": partition, "offset": offset }] }))
        };
        let partition = json!({ "kafka_topic": "t", "kafka_partition": 3 });
        let of = |offset| Ok(vec![(("t".to_owned(), 3), offset)]);
        assert_eq!(change(partition.clone(), json!({ "kafka_offset": 12 })), of(Some(12)));
        assert_eq!(change(partition.clone(), json!({ "kafka_offset": "12" })), of(Some(12)));
        assert_eq!(change(partition.clone(), Value::Null), of(None));
        assert!(change(partition, json!({ "kafka_offset": "x" })).is_err());
        assert!(change(json!({ "kafka_topic": "t" }), Value::Null).is_err());
        assert!(offset_changes(&json!({ "offsets": [] })).is_err() && offset_changes(&json!({})).is_err());
    }

    #[test]
    fn names_are_encoded() {
        assert_eq!(encoded("a/b ü"), "a%2Fb%20%C3%BC");
    }
}
