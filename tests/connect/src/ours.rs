//! Our side of a case, in the shape of `Transforms.java`.

use std::{borrow::Cow, collections::BTreeMap, sync::OnceLock, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use connect::{
    connector::{self, Defaults},
    converters::Unconverted,
    data::{Datum, Headers, write_json},
    define::Config,
    pipeline::{Pipeline, Raw},
    properties,
};
use doubles::registry::{Schema, SchemaRegistry};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

pub(crate) fn answer(case: &Value) -> Value {
    match case.get("properties") {
        Some(bytes) => of_properties(&decoded(bytes).unwrap_or_default()),
        None => of_record(case),
    }
}

fn of_properties(bytes: &[u8]) -> Value {
    match properties::parse(bytes) {
        Err(_) => json!({ "error": "properties" }),
        Ok(entries) => json!({ "properties": properties::map(entries) }),
    }
}

/// A registry for the schemas of all cases, and what asks it.
static REGISTRY: OnceLock<(Runtime, SchemaRegistry)> = OnceLock::new();

fn registry() -> &'static (Runtime, SchemaRegistry) {
    REGISTRY.get_or_init(|| {
        let runtime = Runtime::new().expect("threads");
        let server = runtime.block_on(SchemaRegistry::start()).expect("a free port");
        (runtime, server)
    })
}

/// The bytes of a part, in the registry's framing if it is Avro.
fn bytes(case: &Value, part: &str) -> Option<Vec<u8>> {
    let bytes = decoded(&case[part])?;
    let converter = &case[format!("{part}.converter")];
    if converter["class"] != "avro" {
        return Some(bytes);
    }
    let text = converter["config"]["schema"].as_str().unwrap_or_default();
    let subject = format!("{}-{part}", case["topic"].as_str().unwrap_or_default());
    let id = registry().1.register(&subject, Schema::new("AVRO", text));
    Some([&[0], &id.to_be_bytes()[..], &bytes].concat())
}

fn of_record(case: &Value) -> Value {
    let defaults = Defaults {
        key_converter: Config::new(),
        value_converter: Config::new(),
        providers: connect::providers::Providers::default(),
    };
    let (validation, connector) = connector::validate(&config(case), &defaults);
    let Some(connector) = connector else {
        let why: Vec<&str> = validation.values.errors().collect();
        return json!({ "error": "config", "why": why });
    };
    let mut pipeline = match Pipeline::new(&connector) {
        Ok(pipeline) => pipeline,
        Err(why) => return json!({ "error": "config", "why": why }),
    };
    let (key, value) = (bytes(case, "key"), bytes(case, "value"));
    for fetcher in pipeline.fetchers() {
        registry().0.spawn(fetcher.run(CancellationToken::new()));
    }
    let headers: Headers<'_> = case["headers"].as_array().into_iter().flatten().map(header).collect();
    let raw = || Raw {
        topic: case["topic"].as_str().unwrap_or_default(),
        partition: case["partition"].as_i64().unwrap_or_default() as i32,
        offset: case["offset"].as_u64().unwrap_or_default(),
        timestamp: case["timestamp"].as_i64(),
        key: key.as_deref(),
        value: value.as_deref(),
        headers: headers.clone(),
    };
    while let Err(Unconverted::Waits) = pipeline.transformed(raw()) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let record = match pipeline.transformed(raw()) {
        Err(error) => return json!({ "error": "record", "why": format!("{error:?}") }),
        Ok(None) => return json!({ "dropped": true }),
        Ok(Some(record)) => record,
    };
    let mut answer = json!({ "topic": record.topic });
    for (name, datum) in [("key", &record.key), ("value", &record.value)] {
        answer[name] = shown(datum);
        answer[format!("{name}.schema")] = Value::from(datum.schema.is_some());
    }
    match pipeline.value_of(&record) {
        Ok((data, attributes)) => {
            answer["data"] = data.map_or(Value::Null, |data| Value::from(STANDARD.encode(data)));
            answer["attributes"] = json!(attributes.into_iter().collect::<BTreeMap<String, String>>());
        }
        Err(error) => {
            answer["message"] = Value::from("refused");
            answer["why"] = Value::from(error.to_string());
        }
    }
    answer
}

fn shown(datum: &Datum<'_>) -> Value {
    let mut out = Vec::new();
    write_json(&datum.value, datum.schema.as_deref(), &mut out);
    serde_json::from_slice(&out).unwrap_or_else(|error| Value::from(format!("not JSON: {error}")))
}

/// The configuration of the case as that of a connector.
fn config(case: &Value) -> Config {
    let mut config: Config = [
        ("name", "case"),
        ("connector.class", connector::CLASS),
        ("topics", "events"),
        ("cps.project", "p"),
        ("cps.topic", "t"),
        ("aqueduct.forward", "all"),
        ("aqueduct.key", "forward"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for part in ["key.converter", "value.converter"] {
        if case[part]["class"] == "avro" {
            config.insert(part.to_owned(), "io.confluent.connect.avro.AvroConverter".to_owned());
            config.insert(format!("{part}.schema.registry.url"), registry().1.url());
            continue;
        }
        config.insert(part.to_owned(), text(&case[part]["class"]));
        add(&mut config, part, &case[part]["config"]);
    }
    let steps = case["transforms"].as_array().cloned().unwrap_or_default();
    let (mut transforms, mut predicates) = (Vec::new(), Vec::new());
    for (number, step) in steps.iter().enumerate() {
        let prefix = format!("transforms.t{number}");
        config.insert(format!("{prefix}.type"), text(&step["type"]));
        add(&mut config, &prefix, &step["config"]);
        if !step["predicate"].is_null() {
            config.insert(format!("predicates.p{number}.type"), text(&step["predicate"]["type"]));
            add(&mut config, &format!("predicates.p{number}"), &step["predicate"]["config"]);
            config.insert(format!("{prefix}.predicate"), format!("p{number}"));
            config.insert(format!("{prefix}.negate"), step["negate"].to_string());
            predicates.push(format!("p{number}"));
        }
        transforms.push(format!("t{number}"));
    }
    config.insert("transforms".to_owned(), transforms.join(","));
    config.insert("predicates".to_owned(), predicates.join(","));
    config
}

fn add(config: &mut Config, prefix: &str, keys: &Value) {
    let empty = Map::new();
    for (key, value) in keys.as_object().unwrap_or(&empty) {
        config.insert(format!("{prefix}.{key}"), value.as_str().unwrap_or_default().to_owned());
    }
}

fn decoded(value: &Value) -> Option<Vec<u8>> {
    value.as_str().and_then(|text| STANDARD.decode(text).ok())
}

fn header(pair: &Value) -> (Cow<'_, str>, Option<&[u8]>) {
    (pair[0].as_str().unwrap_or_default().into(), pair[1].as_str().map(str::as_bytes))
}
