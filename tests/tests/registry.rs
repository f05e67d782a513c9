//! Records of other projects' serializers, decoded with schemas from the real registry.

use std::{
    collections::BTreeMap,
    path::Path,
    process,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail, ensure};
use codec::{
    Format, Lookup, Raw, Reject, SchemaId, Source, TopicCodec, TopicFormat, Undecoded,
    registry::{Registry, RegistryError, RegistrySettings},
};
use serde_json::{Value, json};
use tests::{
    kafka::{self, Stored},
    registry::{self, Expected, OwnRegistry},
    services, wait,
};
use tokio::{runtime::Runtime, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// A registry's client with its task.
struct Client {
    registry: Registry,
    stop: CancellationToken,
    fetcher: Option<JoinHandle<Result<(), RegistryError>>>,
    runtime: Runtime,
}

impl Client {
    fn new(url: &str) -> Result<Self> {
        let settings: RegistrySettings = toml::from_str(&format!("url = {url:?}"))?;
        let config = settings.resolve(Path::new("/")).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
        let (registry, fetcher) = Registry::new(config, &service::Metrics::default())?;
        let (stop, runtime) = (CancellationToken::new(), Runtime::new()?);
        let fetcher = Some(runtime.spawn(fetcher.run(stop.clone())));
        Ok(Self { registry, stop, fetcher, runtime })
    }

    fn codec(&self, topic: &str, value: Format, key: Option<Format>) -> TopicCodec {
        let source = |format| Source::Registry(self.registry.schemas(format));
        let format = TopicFormat { value: Some(source(value)), key: key.map(source), unwrap: None };
        TopicCodec::new(topic, format)
    }

    /// Ends the task, which has found no mistake.
    fn finish(mut self) -> Result<()> {
        self.stop.cancel();
        let fetcher = self.fetcher.take().context("it was not ended before")?;
        Ok(self.runtime.block_on(fetcher)??)
    }
}

/// Key and value as JSON; the key is text where it has no format.
fn decoded(codec: &mut TopicCodec, record: &Stored) -> Result<Result<(Option<Value>, Value), Undecoded>> {
    let headers: Vec<(&str, &[u8])> =
        record.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    let raw = Raw { key: record.key.as_deref(), value: record.value.as_deref(), headers: &headers };
    let decoded = match codec.decode(&raw) {
        Ok(decoded) => decoded,
        Err(undecoded) => return Ok(Err(undecoded)),
    };
    let key = decoded.key.map(|key| match serde_json::from_slice(key) {
        Ok(key) => key,
        Err(_) => Value::from(String::from_utf8_lossy(key)),
    });
    let value = serde_json::from_slice(decoded.value.context("there are no tombstones")?)?;
    Ok(Ok((key, value)))
}

/// As a partition is read: in order, and a record whose schema is not known yet is given again.
fn in_order(codec: &mut TopicCodec, record: &Stored) -> Result<(Option<Value>, Value)> {
    wait::until("a schema", || match decoded(codec, record)? {
        Ok(found) => Ok(Some(found)),
        Err(Undecoded::Waits(_)) => Ok(None),
        Err(Undecoded::Reject(reject)) => bail!("offset {}: {reject}", record.offset),
    })
}

/// Compares every record of these topics with its writer's description.
fn check(client: &Client, expected: &[Expected], formats: &[(&str, Format, Option<Format>)]) -> Result<()> {
    for (topic, value, key) in formats {
        let mut of_topic: BTreeMap<i64, &Expected> = expected
            .iter()
            .filter(|record| record.topic == *topic)
            .map(|record| (record.offset, record))
            .collect();
        let mut codec = client.codec(topic, *value, *key);
        for record in kafka::records(topic)? {
            let expected = of_topic.remove(&record.offset).context("its writer describes every record")?;
            let found = in_order(&mut codec, &record).with_context(|| topic.to_string())?;
            ensure!(
                same(&found.1, &expected.value) && found.0 == expected.key,
                "{topic}, offset {}:\n{found:?}\nis not\n{:?}\n{}",
                record.offset,
                expected.key,
                expected.value
            );
        }
        ensure!(of_topic.is_empty(), "{topic}: {} records were not read", of_topic.len());
    }
    Ok(())
}

/// Numbers are compared by value: a decimal keeps zeros that a writer's JSON does not have. A map has no order.
fn same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Number(found), Value::Number(expected)) => {
            found == expected || found.as_f64() == expected.as_f64()
        }
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len()
                && found.iter().zip(expected).all(|(found, expected)| same(found, expected))
        }
        (Value::Object(found), Value::Object(expected)) => {
            found.len() == expected.len()
                && found
                    .iter()
                    .all(|(name, value)| expected.get(name).is_some_and(|other| same(value, other)))
        }
        _ => found == expected,
    }
}

/// A name that no other run has.
fn unique(name: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
    format!("{name}-{}-{now}", process::id())
}

#[test]
fn confluents_serializers_with_apicurio() -> Result<()> {
    let url = services::address(services::SCHEMA_REGISTRY)?;
    let prefix = unique("formats");
    let [avro, protobuf, json] = ["avro", "protobuf", "json"].map(|kind| format!("{prefix}-{kind}"));
    for topic in [&avro, &protobuf, &json] {
        kafka::create_topic(topic, 1, &[])?;
    }
    let expected = registry::confluent(&prefix, "all", &url)?;
    ensure!(expected.len() == 150, "there are {} records", expected.len());
    let client = Client::new(&url)?;
    check(
        &client,
        &expected,
        &[
            (&avro, Format::Avro, Some(Format::Avro)),
            (&protobuf, Format::Protobuf, None),
            (&json, Format::JsonSchema, None),
        ],
    )?;
    // The same records where another format, or another topic, is declared.
    let records = kafka::records(&avro)?;
    let mut wrong = client.codec(&avro, Format::Protobuf, None);
    ensure!(decoded(&mut wrong, &records[0])?.err() == Some(reject(codec::RejectCode::UnusableSchema)));
    let mut foreign = client.codec(&format!("{prefix}-other"), Format::Avro, None);
    ensure!(decoded(&mut foreign, &records[0])?.err() == Some(reject(codec::RejectCode::ForeignSchema)));
    // `check` reads subjects and their versions.
    let names = client.runtime.block_on(client.registry.subjects())?;
    ensure!(names.contains(&format!("{avro}-value")), "{names:?}");
    let versions = client.runtime.block_on(client.registry.versions(&format!("{avro}-value")))?;
    let text = versions[0].schema.as_ref().map_err(|problem| anyhow::anyhow!("{problem}"))?;
    ensure!(text.references.len() == 1);
    ensure!(text.compile(None)?.fields().iter().any(|field| field.pattern.as_str() == "/price/amount"));
    client.finish()
}

#[test]
fn confluents_serializers_with_guids_in_headers() -> Result<()> {
    let runtime = Runtime::new()?;
    let server = runtime.block_on(doubles::registry::SchemaRegistry::start())?;
    let prefix = unique("formats");
    let [avro, protobuf] = ["avro-header", "protobuf-header"].map(|kind| format!("{prefix}-{kind}"));
    for topic in [&avro, &protobuf] {
        kafka::create_topic(topic, 1, &[])?;
    }
    let expected = registry::confluent(&prefix, "header", &server.url())?;
    ensure!(expected.len() == 100, "there are {} records", expected.len());
    let records = kafka::records(&avro)?;
    ensure!(records.iter().all(|record| record.headers.len() == 2), "both IDs are in headers");
    let client = Client::new(&server.url())?;
    check(
        &client,
        &expected,
        &[(&avro, Format::Avro, Some(Format::Avro)), (&protobuf, Format::Protobuf, None)],
    )?;
    client.finish()
}

#[test]
fn the_serializer_from_npm_with_apicurio() -> Result<()> {
    let url = services::address(services::SCHEMA_REGISTRY)?;
    let topic = unique("formats-kafkajs");
    let written = registry::kafkajs(&format!("{topic}-value"), &url)?;
    ensure!(written.len() == 50, "there are {} records", written.len());
    let client = Client::new(&url)?;
    let mut codec = client.codec(&topic, Format::Avro, None);
    for (offset, (bytes, expected)) in (0..).zip(written) {
        let record = Stored { offset, key: None, value: Some(bytes), headers: Vec::new() };
        let (_, found) = in_order(&mut codec, &record)?;
        ensure!(same(&found, &expected), "{found} is not {expected}");
    }
    client.finish()
}

#[test]
fn a_registry_that_is_killed_and_started_again() -> Result<()> {
    let record_of =
        |name: &str| json!({"type": "record", "name": name, "fields": [{"name": "n", "type": "long"}]});
    let mut server = OwnRegistry::start()?;
    let first = server.register("events-value", &record_of("First"))?;
    let second = server.register("events-First", &record_of("Second"))?;
    ensure!(first != second);
    let framed = |id: u32| {
        let value = [&[0], &id.to_be_bytes()[..], &[14]].concat();
        Stored { offset: 0, key: None, value: Some(value), headers: Vec::new() }
    };
    let client = Client::new(&server.url())?;
    let mut codec = client.codec("events", Format::Avro, None);
    ensure!(in_order(&mut codec, &framed(first))?.1 == json!({"n": 7}));

    server.kill()?;
    // What is known is decoded; what is not waits, and nothing is rejected, for longer than several attempts take.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        ensure!(in_order(&mut codec, &framed(first))?.1 == json!({"n": 7}));
        ensure!(decoded(&mut codec, &framed(second))?.err() == Some(Undecoded::Waits(SchemaId::Id(second))));
    }
    // A client that starts during the outage waits, too.
    let late = Client::new(&server.url())?;
    let schemas = late.registry.schemas(Format::Avro);
    ensure!(matches!(schemas.lookup(&SchemaId::Id(first)), Lookup::Pending));

    server.start_again()?;
    let found = wait::until("the second schema", || match decoded(&mut codec, &framed(second))? {
        Err(Undecoded::Waits(_)) => Ok(None),
        other => Ok(Some(other)),
    })?;
    // Its only subject is that of no record of this topic: `<topic>-<record name>` would be events-Second.
    ensure!(found.err() == Some(reject(codec::RejectCode::ForeignSchema)));
    wait::until("the first schema", || {
        Ok(Some(()).filter(|()| !matches!(schemas.lookup(&SchemaId::Id(first)), Lookup::Pending)))
    })?;
    ensure!(matches!(schemas.lookup(&SchemaId::Id(first)), Lookup::Found(_)));
    ensure!(in_order(&mut client.codec("events", Format::Avro, None), &framed(first))?.1 == json!({"n": 7}));
    late.finish()?;
    client.finish()
}

fn reject(code: codec::RejectCode) -> Undecoded {
    Undecoded::Reject(Reject { code, part: codec::Part::Value, at: None })
}
