//! Commands that use services, with stand-ins: rdkafka's mock cluster for Kafka, a server in this process for Pub/Sub.

use std::{collections::BTreeMap, time::Duration};

use doubles::registry::{Access, Schema, SchemaRegistry};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};
use standin::{
    kafka::Kafka,
    pubsub::{Options, PubSub},
};
use tokio::runtime::Runtime;

use crate::support::{Place, until};

const PARTITIONS: i32 = 3;
pub(crate) const SUBSCRIPTION: &str = "projects/shop-analytics/subscriptions/events-ctr";

/// A record's partition and value.
type Consumed = (i32, Option<Vec<u8>>);

pub(crate) struct Services {
    pub(crate) runtime: Runtime,
    pub(crate) kafka: Kafka,
    pub(crate) pubsub: PubSub,
    pub(crate) place: Place,
}

impl Services {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().expect("threads");
        let kafka = Kafka::start(&[("events", PARTITIONS)]).expect("a mock cluster");
        let pubsub = runtime.block_on(PubSub::start(Options::default())).expect("a free port");
        let config = format!(
            r#"
            [kafka]
            bootstrap_servers = "{}"
            topics = ["events"]
            group_id = "test"
            [pubsub]
            project = "shop-analytics"
            topic = "events"
            subscription = "events-ctr"
            emulator_host = "{}"
            [anonymise]
            pseudonymise = ["/user_id", "/session/user", "/items/*/seller_id"]
            remove = ["/ip"]
            forward = "all"
            max_rejects = "100%"
            [service]
            listen = "127.0.0.1:0"
            "#,
            kafka.bootstrap_servers(),
            pubsub.host()
        );
        Self { runtime, kafka, pubsub, place: Place::with(&config) }
    }

    /// Declares the values to be Avro with schemas of this registry.
    fn use_registry(&self, registry: &SchemaRegistry) {
        let config = String::from_utf8(self.place.read("aqueduct.toml")).expect("text");
        let url = registry.url();
        let sections = format!("[kafka.format]\nvalue = \"avro\"\n[schema_registry]\nurl = {url:?}\n");
        self.place.write("aqueduct.toml", format!("{config}\n{sections}"));
    }

    pub(crate) fn stop(self) {
        self.runtime.block_on(self.pubsub.stop());
    }

    /// Reads all partitions until `enough` records were seen: values by key.
    fn consume(&self, enough: usize) -> BTreeMap<String, Vec<Consumed>> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.kafka.bootstrap_servers())
            .set("group.id", "reader")
            .create()
            .expect("a consumer");
        let mut all = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            all.add_partition_offset("events", partition, Offset::Beginning).expect("a partition");
        }
        consumer.assign(&all).expect("an assignment");
        let mut seen = BTreeMap::<String, Vec<_>>::new();
        let mut count = 0;
        until("enough records", || {
            while let Some(record) = consumer.poll(Duration::from_millis(10)) {
                let record = record.expect("a record");
                let key = String::from_utf8(record.key().expect("a key").to_vec()).expect("digits");
                seen.entry(key).or_default().push((record.partition(), record.payload().map(<[u8]>::to_vec)));
                count += 1;
            }
            (count >= enough).then_some(())
        });
        seen
    }
}

#[test]
fn generate_fills_a_topic_by_user() {
    let services = Services::start();
    let words =
        "generate --events 2000 --rate 100000 --users 50 --broken 5% --start 2026-01-01T00:00:00Z --seed 3";
    let run = services.place.run(words);
    assert_eq!((run.code, run.out.as_str()), (Some(0), ""), "{}", run.err);
    assert!(run.err.contains("2000 records to Kafka topic events: "), "{}", run.err);
    let seen = services.consume(2000);
    assert_eq!(seen.values().map(Vec::len).sum::<usize>(), 2000);
    for (user, records) in &seen {
        let same_partition = records.iter().all(|(partition, _)| *partition == records[0].0);
        assert!(same_partition, "the key decides the partition");
        let of_user = |payload: &[u8]| String::from_utf8_lossy(payload).contains(&format!("\"u-{user}\""));
        assert!(records.iter().filter_map(|(_, payload)| payload.as_deref()).any(of_user), "{user}");
    }
    assert!(seen.values().flatten().any(|(_, payload)| payload.is_none()), "tombstones are null values");
    services.stop();
}

#[test]
fn generate_registers_the_schema_of_its_format() {
    let services = Services::start();
    let registry = services.runtime.block_on(SchemaRegistry::start()).expect("a free port");
    let words = "generate --events 200 --rate 100000 --broken 5% --start 2026-01-01T00:00:00Z --format avro";
    let run = services.place.run(words);
    assert_eq!(run.code, Some(2), "{}", run.err);
    assert!(run.err.contains("schema_registry"), "{}", run.err);

    services.use_registry(&registry);
    for format in ["avro", "protobuf"] {
        let run = services.place.run(&words.replace("avro", format));
        assert_eq!(run.code, Some(0), "{}", run.err);
    }
    assert_eq!(registry.requests(), ["/subjects/events-value/versions"; 2]);
    let seen = services.consume(400);
    let framed = |id: u8| {
        let has_prefix = |value: &Vec<u8>| value.starts_with(&[0, 0, 0, 0, id]);
        seen.values()
            .flatten()
            .filter_map(|(_, value)| value.as_ref())
            .filter(|value| has_prefix(value))
            .count()
    };
    assert!(
        (180..200).contains(&framed(1)) && (180..200).contains(&framed(2)),
        "{} {}",
        framed(1),
        framed(2)
    );
    registry.require(Access::Refused);
    let run = services.place.run(words);
    assert_eq!(run.code, Some(1), "{}", run.err);
    assert!(run.err.contains(&registry.url()), "{}", run.err);
    services.stop();
}

#[test]
fn generate_runs_until_interrupted() {
    let services = Services::start();
    let running = services.place.start("generate --rate 500");
    services.consume(50);
    running.signal("INT");
    let run = running.wait();
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(
        run.err.lines().last().is_some_and(|line| line.contains(" records to Kafka topic events: ")),
        "{}",
        run.err
    );
    services.stop();
}

#[test]
fn check_reports_each_connection() {
    let services = Services::start();
    let before = services.place.run("check");
    assert_eq!(before.code, Some(1), "{}", before.err);
    for line in [
        "skipped [events], [[flows]], [writer] (not in the file)",
        "FAILED  the keyring keys.toml does not exist; correct its path, or create it with `aqueduct keys new`",
    ] {
        assert!(before.out.lines().any(|found| found == line), "no {line:?} in\n{}", before.out);
    }
    assert!(
        before.out.contains("projects/shop-analytics/topics/events does not exist; run `aqueduct setup`"),
        "{}",
        before.out
    );
    assert_eq!(services.place.run("keys new").code, Some(0));
    let setup = services.place.run("setup");
    assert_eq!(
        (setup.code, setup.out.lines().filter(|line| line.ends_with(": created")).count()),
        (Some(0), 4),
        "{}",
        setup.err
    );
    let again = services.place.run("setup");
    assert_eq!(
        (again.code, again.out.lines().filter(|line| line.ends_with(": exists")).count()),
        (Some(0), 4),
        "{}",
        again.err
    );
    let after = services.place.run("check");
    // On a slow machine it prints what it waits for.
    let errors = after.err.lines().filter(|line| !line.starts_with("waiting for ")).count();
    assert_eq!((after.code, errors), (Some(0), 0), "{}{}", after.out, after.err);
    assert!(after.out.contains("has 3 partitions\n") && !after.out.contains("FAILED"), "{}", after.out);
    services.stop();
}

/// An Avro record with these fields, as JSON.
fn record(fields: &str) -> Schema {
    Schema::new("AVRO", &format!(r#"{{ "type": "record", "name": "View", "fields": [{fields}] }}"#))
}

#[test]
fn check_compares_pointers_with_every_version() {
    let services = Services::start();
    let registry = services.runtime.block_on(SchemaRegistry::start()).expect("a free port");
    services.use_registry(&registry);
    let config = String::from_utf8(services.place.read("aqueduct.toml")).expect("text");
    let events = "[events]\ntime = \"/time\"\nid = \"/event_id\"\n";
    services.place.write("aqueduct.toml", format!("{config}{events}"));
    let time = r#"{ "name": "time", "type": { "type": "long", "logicalType": "timestamp-millis" } }"#;
    let rest = r#"{ "name": "session", "type": { "type": "record", "name": "S", "fields": [{ "name": "user", "type": "string" }] } },
        { "name": "items", "type": { "type": "array", "items": { "type": "record", "name": "I", "fields": [{ "name": "seller_id", "type": "string" }] } } },
        { "name": "ip", "type": "string" }"#;
    let with = |time: &str, id: &str, user: &str| {
        let user = if user.is_empty() {
            String::new()
        } else {
            format!(r#"{{ "name": "user_id", "type": {user} }},"#)
        };
        record(&format!(r#"{time}, {{ "name": "event_id", "type": {id} }}, {user} {rest}"#))
    };
    registry.register("events-value", with(time, "\"string\"", "\"long\""));
    registry.register("events-value", with(time, r#"["null", "string"]"#, r#"["null", "long"]"#));
    registry.register("events-value", with(r#"{ "name": "time", "type": "boolean" }"#, "\"string\"", ""));
    // Of another topic, whose name begins in the same way.
    registry.register("events-archive-value", record(r#"{ "name": "n", "type": "int" }"#));
    let run = services.place.run("check");
    let found = |key: &str, pointer: &str, versions: &str| {
        let is_it = |line: &&str| {
            line.starts_with("warning aqueduct.toml:")
                && [key, pointer, versions, "events-value"].iter().all(|part| line.contains(part))
        };
        run.out.lines().filter(is_it).count()
    };
    assert_eq!(found("events.time", "\"/time\"", "version 3 "), 1, "{}", run.out);
    assert_eq!(found("events.id", "\"/event_id\"", "version 2 "), 1, "{}", run.out);
    assert_eq!(found("anonymise.pseudonymise", "\"/user_id\"", "version 3 "), 1, "{}", run.out);
    assert_eq!(found("", "", "version"), 3, "{}", run.out);
    assert!(!run.out.contains("archive"), "{}", run.out);

    registry.require(Access::Refused);
    let run = services.place.run("check");
    assert_eq!(run.code, Some(1), "{}", run.err);
    let is_it = |line: &str| line.starts_with("FAILED  schema registry") && line.contains(&registry.url());
    assert!(run.out.lines().any(is_it), "{}", run.out);
    services.stop();
}

#[test]
fn a_registry_that_refuses_ends_the_connector() {
    let services = Services::start();
    let registry = services.runtime.block_on(SchemaRegistry::start()).expect("a free port");
    services.use_registry(&registry);
    assert_eq!(services.place.run("keys new").code, Some(0));
    assert_eq!(services.place.run("setup").code, Some(0));
    let written = services.place.run("generate --events 50 --start 2026-01-01T00:00:00Z --format avro");
    assert_eq!(written.code, Some(0), "{}", written.err);
    registry.require(Access::Bearer("right".to_owned()));
    let run = services.place.run("connector");
    assert_eq!(run.code, Some(1), "{}", run.err);
    let has_both = run.err.contains(&registry.url()) && run.err.contains("schema_registry.basic_auth");
    assert!(has_both, "{}", run.err);
    services.stop();
}

#[test]
fn a_sample_of_a_topic_commits_nothing() {
    let services = Services::start();
    let run = services
        .place
        .run("generate --events 600 --rate 100000 --broken 5% --start 2026-01-01T00:00:00Z --seed 3");
    assert_eq!(run.code, Some(0), "{}", run.err);
    let run = services.place.run("check --sample 300 --format json");
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{}", run.out);
    let report: serde_json::Value = serde_json::from_str(&run.out).expect("a JSON object");
    assert_eq!(report["records"]["read"], 300);
    assert!(report["records"]["rejected"].as_u64().is_some_and(|rejected| rejected > 0), "{}", run.out);
    let outcome = |pointer: &str| {
        let lines =
            report["pointers"].as_array().into_iter().chain(report["attributes"].as_array()).flatten();
        let line = lines.into_iter().find(|line| line["pointer"] == pointer)?;
        line["outcome"].as_str().map(str::to_owned)
    };
    for (pointer, expected) in [
        ("/user_id", "pseudonymised"),
        ("/session/user", "pseudonymised"),
        ("/ip", "removed"),
        ("/page", "forwarded"),
        ("key", "dropped"),
    ] {
        assert_eq!(outcome(pointer).as_deref(), Some(expected), "{pointer} in {}", run.out);
    }
    services.stop();
}

#[test]
fn a_connector_publishes_everything_and_stops() {
    let services = Services::start();
    for command in ["keys new", "setup", "generate --events 1000 --rate 100000 --start 2026-01-01T00:00:00Z"]
    {
        let run = services.place.run(command);
        assert_eq!(run.code, Some(0), "{command}: {}", run.err);
    }
    let running = services.place.start("connector --log-format json");
    until("1000 messages", || (services.pubsub.counts(SUBSCRIPTION)?.waiting >= 1000).then_some(()));
    running.signal("TERM");
    let run = running.wait();
    assert_eq!(run.code, Some(0), "{}", run.err);
    let lines: Vec<serde_json::Value> =
        run.err.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let line =
        |text: &str| lines.iter().find(|line| line["message"].as_str().is_some_and(|m| m.starts_with(text)));
    assert_eq!(line("connector starting").expect("a first line")["topics"], "events");
    let end = line("connector ended").expect("a last line");
    assert_eq!((&end["records"], &end["published"]), (&1000.into(), &1000.into()), "{end}");
    services.stop();
}
