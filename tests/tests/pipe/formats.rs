//! Topics in Avro, Protobuf and Hermes's framing beside JSON, with the real registry: rows equal to a recount, through kills of
//! every process and a restart of the registry.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tests::{
    formats::{Encoder, Wire, normal, parts, register, registry},
    kafka::{Producer, create_topic},
    pipe::Pipe,
    produced::{Produced, Refused},
    recount::{Recount, recount},
    registry::OwnRegistry,
    rows::{Database, difference},
    services,
    traffic::{Outgoing, Traffic},
    wait,
};

const WIRES: [(&str, Wire); 4] =
    [("json", Wire::Json), ("avro", Wire::Avro), ("protobuf", Wire::Protobuf), ("hermes", Wire::Hermes)];

/// The topics of a pipe, each with its writer and what was written.
pub(crate) struct Topics {
    topics: Vec<(Producer, Encoder, Produced)>,
}

impl Topics {
    /// `at` is the registry that has the schemas.
    pub(crate) fn new(pipe: &Pipe, partitions: i32, at: &(String, String)) -> Result<Self> {
        let topic = |(name, wire): (&str, Wire)| {
            let topic = format!("{}-{name}", pipe.name());
            create_topic(&topic, partitions, &[])?;
            Ok((Producer::new(&topic, &[])?, Encoder::new(wire, &topic, at)?, Produced::default()))
        };
        Ok(Self { topics: WIRES.into_iter().map(topic).collect::<Result<_>>()? })
    }

    /// Writes the next events of each topic's traffic.
    pub(crate) fn produce(&mut self, traffic: &mut [Traffic], events: usize) -> Result<()> {
        for ((producer, encoder, produced), traffic) in self.topics.iter_mut().zip(traffic) {
            let mut wires = Vec::new();
            let outgoing: Vec<Outgoing> = traffic
                .by_ref()
                .take(events)
                .map(|outgoing| {
                    let event = normal(outgoing.value.as_deref().context("no tombstones")?)?;
                    wires.push(encoder.encode(&event)?);
                    Ok(Outgoing { value: Some(event.to_string().into_bytes()), ..outgoing })
                })
                .collect::<Result<_>>()?;
            producer.produce_as(outgoing.into_iter().zip(wires), produced)?;
        }
        Ok(())
    }

    /// Everything that was written, as one.
    fn recount(&self) -> Result<Recount> {
        let mut all = Produced::default();
        for (_, _, produced) in &self.topics {
            all.records.extend(produced.records.iter().cloned());
        }
        recount(&all)
    }
}

/// A pipe over topics of every format, with a registry at this address.
pub(crate) fn pipe(test: &str, url: &str) -> Result<Pipe> {
    let pipe = Pipe::new(test)?;
    let name = pipe.name().to_owned();
    let topics: Vec<String> = WIRES.iter().map(|(wire, _)| format!("{name}-{wire}")).collect();
    pipe.edit(&format!("topics = [\"{name}\"]"), &format!("topics = {topics:?}"))?;
    pipe.edit("cold_start = \"2s\"", "cold_start = \"20s\"")?;
    pipe.edit(
        "[pubsub]",
        &format!(
            "[kafka.formats]\n{name}-avro = {{ value = \"avro\" }}\n{name}-protobuf = {{ value = \"protobuf\" }}\n\
             {name}-hermes = {{ value = \"avro\", schema = \"hermes\", unwrap = \"hermes\" }}\n\
             [schema_registry]\nurl = \"{url}\"\n[pubsub]"
        ),
    )?;
    pipe.run_well(&["setup"])?;
    Ok(pipe)
}

/// Traffic with ids of its own for each topic.
pub(crate) fn traffic(events: u64, partitions: i32) -> Vec<Traffic> {
    WIRES.iter().map(|(name, _)| Traffic::new(events, partitions).with_ids(name)).collect()
}

fn rows_are_those_of(pipe: &Pipe, recount: &Recount) -> Result<Database> {
    let database = Database::open(&pipe.path("rows.db"))?;
    wait::until_right("the rows", || Ok(difference(&database.latest()?.0, &recount.counts)))?;
    Ok(database)
}

#[test]
fn formats_side_by_side_survive_kills() -> Result<()> {
    let pipe = pipe("formats", &services::address(services::SCHEMA_REGISTRY)?)?;
    let mut topics = Topics::new(&pipe, 2, &registry()?)?;
    let mut traffic = traffic(3_000, 2);
    topics.produce(&mut traffic, 1_000)?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    wait::until("the first records to be published", || {
        Ok((connector.metric("aqueduct_connector_records_total", "published")? > 0).then_some(()))
    })?;
    connector.kill()?;
    topics.produce(&mut traffic, 1_000)?;
    let mut connector = pipe.start(&["connector"])?;
    wait::until("events to be counted", || {
        Ok((processor.metric("aqueduct_processor_messages_total", "")? > 2_000).then_some(()))
    })?;
    processor.kill()?;
    topics.produce(&mut traffic, 1_000)?;
    let mut processor = pipe.start(&["processor"])?;
    let recount = topics.recount()?;
    let database = rows_are_those_of(&pipe, &recount)?;
    connector.stop()?;
    pipe.until_reconciled()?;
    processor.stop()?;
    assert_eq!(database.ledger()?, recount.ledger);

    pipe.run_well(&["check"])?;
    let ended = pipe.run_well(&["replay", "--kafka", "--final", "--output", "replayed.db"])?;
    ensure!(ended.err.contains(" 0 rejected"), "{}", ended.err);
    let replayed = Database::open(&pipe.path("replayed.db"))?;
    assert_eq!(difference(&replayed.latest()?.0, &recount.counts), None);
    Ok(())
}

/// A time without anything to wait for.
fn passes(time: Duration) -> Result<()> {
    let since = Instant::now();
    wait::until("some time to pass", || Ok((since.elapsed() >= time).then_some(())))
}

#[test]
fn a_registry_that_is_away_delays_and_loses_nothing() -> Result<()> {
    let mut own = OwnRegistry::start()?;
    let pipe = pipe("registry-away", &own.url())?;
    let mut topics = Topics::new(&pipe, 1, &parts(&own.url())?)?;
    let mut traffic = traffic(600, 1);
    own.kill()?;
    // Down at the start: JSON goes on, the others wait, and nothing is rejected.
    topics.produce(&mut traffic, 300)?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    wait::until("the records without a schema", || {
        Ok((connector.metric("aqueduct_connector_records_total", "published")? >= 300).then_some(()))
    })?;
    // Longer than the session timeout of the group.
    passes(Duration::from_secs(8))?;
    // On a slow host the group may have moved its partitions, so that some were published twice.
    ensure!(connector.metric("aqueduct_connector_records_total", "published")? <= 600);
    own.start_again()?;
    wait::until("all records", || {
        Ok((connector.metric("aqueduct_connector_records_total", "published")? >= 1_200).then_some(()))
    })?;
    // Down again: what is known stays known.
    own.kill()?;
    topics.produce(&mut traffic, 300)?;
    let recount = topics.recount()?;
    let database = rows_are_those_of(&pipe, &recount)?;
    let summary = connector.stop()?;
    ensure!(!summary.err.contains("joining again"), "{}", summary.err);
    pipe.until_reconciled()?;
    processor.stop()?;
    assert_eq!(database.ledger()?, recount.ledger);
    Ok(())
}

#[test]
fn records_that_cannot_be_decoded_are_dead_letters() -> Result<()> {
    let pipe = pipe("undecodable", &services::address(services::SCHEMA_REGISTRY)?)?;
    let mut topics = Topics::new(&pipe, 1, &registry()?)?;
    let other = register(&registry()?, &format!("{}-other-value", pipe.name()), "AVRO", "\"string\"")?;
    let prefixed = |id: u32, rest: &[u8]| [&[0][..], &id.to_be_bytes(), rest].concat();
    let (producer, encoder, produced) = &mut topics.topics[1];
    let sound = encoder.encode(&normal(
        Traffic::new(1, 1).next().context("an event")?.value.as_deref().context("a value")?,
    )?)?;
    let cases = [
        ("no-schema-id", b"{}".to_vec()),
        ("unknown-schema", prefixed(999_999_999, b"")),
        ("foreign-schema", prefixed(other, b"\x02a")),
        ("truncated", sound.value[..sound.value.len() - 1].to_vec()),
        ("trailing-data", [&sound.value[..], b"x"].concat()),
    ];
    for (reason, value) in &cases {
        let refused = Some(Refused { stage: "connector", reason, pointer: None });
        let outgoing = Outgoing { partition: 0, key: None, value: Some(value.clone()), refused };
        producer.produce([outgoing], produced)?;
    }
    let letters = produced.dead_letters();
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    let database = Database::open(&pipe.path("rows.db"))?;
    wait::until("the dead letters", || Ok((database.dead_letters()?.len() == cases.len()).then_some(())))?;
    assert_eq!(database.dead_letters()?, letters);
    connector.stop()?;
    processor.stop()?;
    Ok(())
}

#[test]
fn tags_and_keys_are_pseudonymised() -> Result<()> {
    let pipe = pipe("tagged", &services::address(services::SCHEMA_REGISTRY)?)?;
    pipe.edit("pseudonymise = [\"/user_id\"", "pseudonymise = [\"tag:PII\", \"/user_id\"")?;
    pipe.edit("-avro = { value = \"avro\" }", "-avro = { value = \"avro\", key = \"avro\" }")?;
    let topics = Topics::new(&pipe, 1, &registry()?)?;
    let (producer, encoder, _) = &topics.topics[1];
    let key_id = register(&registry()?, &format!("{}-avro-key", pipe.name()), "AVRO", "\"string\"")?;
    let event = json!({
        "event_id": "1", "type": "view", "time": "2026-01-01T00:00:00Z", "page": "/a", "user_id": "u", "mail": "canary@mail",
        "ip": "1", "session": { "user": "u" }, "items": [], "people": {},
    });
    let value = encoder.encode(&event)?.value;
    let key = Some(tests::formats::avro_key(key_id, b"canary@mail")?);
    producer.send(&Outgoing { partition: 0, key, value: Some(value), refused: None })?;
    producer.flush()?;
    let onlooker = tests::pubsub::Onlooker::subscribe(pipe.name())?;
    let mut connector = pipe.start(&["connector"])?;
    let message = wait::until("the message", || Ok(onlooker.messages()?.into_iter().next()))?;
    connector.stop()?;
    let data: serde_json::Value = serde_json::from_slice(&tests::pubsub::data(&message)?)?;
    let (mail, key) = (data["mail"].as_str(), message["attributes"]["kafka.key"].as_str());
    // The same value has the same pseudonym wherever it comes from.
    assert!(mail.is_some() && mail == key, "{message}");
    assert_eq!(mail.map(str::len), Some(22));
    Ok(())
}

/// Parts of values, keys, names of types, symbols, defaults, comments and fields that no schema has.
const SECRETS: [&str; 12] = [
    "canary-user-",
    "canary-ip-",
    "canary-session-",
    "canary-seller",
    "canary-key-",
    "canary-person",
    "canary-doc",
    "canary-default",
    "canary-unknown",
    "canaryspace",
    "CanaryKind",
    "canary_symbol",
];

#[test]
fn neither_values_nor_schemas_leak() -> Result<()> {
    let pipe = pipe("leaks", &services::address(services::SCHEMA_REGISTRY)?)?;
    pipe.edit("forward = \"all\"", "forward = [\"/event_id\", \"/type\", \"/time\", \"/page\", \"/box\", \"/user_id\", \"/session\", \"/items\"]")?;
    let mut topics = Topics::new(&pipe, 1, &registry()?)?;
    for (producer, encoder, produced) in &mut topics.topics {
        let mut wires = Vec::new();
        let mut outgoing = Vec::new();
        for sent in Traffic::new(100, 1) {
            let mut event = normal(sent.value.as_deref().context("a value")?)?;
            event["people"] = json!({ "canary-person": "canary-person" });
            wires.push(encoder.encode(&event)?);
            outgoing.push(Outgoing { value: Some(event.to_string().into_bytes()), ..sent });
        }
        producer.produce_as(outgoing.into_iter().zip(wires.clone()), produced)?;
        // Cut off within a value, at every byte of one of them.
        let whole = &wires[0];
        for end in 0..whole.value.len() {
            let cut = tests::formats::Encoded {
                value: whole.value[..end].to_vec(),
                headers: whole.headers.clone(),
            };
            let refused = Refused { stage: "connector", reason: "", pointer: None };
            let sent = Outgoing { partition: 0, key: None, value: Some(Vec::new()), refused: Some(refused) };
            producer.produce_as([(sent, cut)], produced)?;
        }
    }
    let onlookers = [pipe.name().to_owned(), format!("{}-marks", pipe.name())];
    let onlookers = onlookers.map(|topic| tests::pubsub::Onlooker::subscribe(&topic));
    let trace = [("AQUEDUCT_LOG", crate::canary::EVERYTHING)];
    let mut processor = pipe.start_with(&["processor"], &trace)?;
    let mut connector = pipe.start_with(&["connector"], &trace)?;
    let records: usize = topics.topics.iter().map(|(_, _, produced)| produced.records.len()).sum();
    wait::until("all records", || {
        let read = connector.metric("aqueduct_connector_records_total", "")?;
        Ok((read >= records as u64).then_some(()))
    })?;
    let mut search = tests::canary::Search::of(&SECRETS.map(str::to_owned))?;
    for process in [&mut connector, &mut processor] {
        for path in ["/", "/metrics", "/readyz", "/log", "/api/v1/pipe", "/api/v1/configuration"] {
            let page = match process.get(path) {
                // A process that is not ready yet reports the reason.
                Err(error) if path == "/readyz" => format!("{error:#}"),
                page => page?,
            };
            search.look(path, page.as_bytes())?;
        }
    }
    for words in
        [&["check"][..], &["check", "--sample", "400"], &["replay", "--kafka", "--output", "replayed.ndjson"]]
    {
        let ended = pipe.run(words)?;
        search.look("standard output", ended.out.as_bytes())?;
        search.look("standard error", ended.err.as_bytes())?;
    }
    for ended in [connector.stop()?, processor.stop()?] {
        search.look("a log", ended.err.as_bytes())?;
    }
    for onlooker in onlookers {
        for message in onlooker?.messages()? {
            search.look("a message", &tests::pubsub::data(&message)?)?;
            search.look("a message with its attributes", message.to_string().as_bytes())?;
        }
    }
    search.look_below(pipe.path("aqueduct.toml").parent().context("a folder")?)
}
