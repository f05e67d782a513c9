//! `aqueduct connect`: files that are refused before anything starts. `tests/connect` has the worker itself.

use crate::support::Place;

const WORKER: &str = "\
bootstrap.servers=localhost:9092
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.converters.ByteArrayConverter
listeners=http://127.0.0.1:0
";

const SINK: &str = "\
name=sink
connector.class=com.google.pubsub.kafka.sink.CloudPubSubSinkConnector
topics=events
cps.project=p
cps.topic=t
aqueduct.forward=all
";

/// Runs with these files, and checks that the refusal names this key.
#[track_caller]
fn refused(worker: &str, sink: &str, key: &str) {
    let place = Place::new();
    place.write("worker.properties", worker);
    place.write("sink.properties", sink);
    let run = place.run("connect worker.properties sink.properties");
    assert_eq!(run.code, Some(2), "{}", run.err);
    assert!(run.err.contains(key), "no {key:?} in {}", run.err);
}

#[test]
fn a_wrong_worker_file_is_refused() {
    refused(&WORKER.replace("bootstrap.servers=localhost:9092", ""), SINK, "bootstrap.servers");
    refused(&WORKER.replace("ByteArray", "Avro"), SINK, "value.converter");
    refused(&WORKER.replace("http:", "https:"), SINK, "listeners");
    refused(&format!("{WORKER}consumer.isolation.level=read_uncommitted"), SINK, "isolation.level");
    let shared = format!("{WORKER}config.storage.topic=configs\ngroup.id=workers\n");
    refused(&shared, SINK, "status.storage.topic");
    // A distributed worker takes its connectors from Kafka.
    refused(&format!("{shared}status.storage.topic=states"), SINK, "group.id");
}

#[test]
fn a_wrong_connector_file_is_refused() {
    refused(WORKER, &SINK.replace("com.google.pubsub.kafka.sink.", "com.example."), "connector.class");
    refused(WORKER, &SINK.replace("cps.topic=t", ""), "cps.topic");
    refused(WORKER, &SINK.replace("name=sink", ""), "name");
    refused(WORKER, &SINK.replace("aqueduct.forward=all", ""), "aqueduct.forward");
    refused(WORKER, &format!("{SINK}cps.tpic=t"), "cps.tpic");
    refused(WORKER, &format!("{SINK}transforms=t\ntransforms.t.type=com.example.Smt"), "transforms.t.type");
    refused(WORKER, &format!("{SINK}gcp.credentials.json=${{env:NO_SUCH_VARIABLE}}"), "gcp.credentials.json");
}

#[test]
fn files_that_cannot_be_read_are_refused() {
    let place = Place::new();
    place.write("worker.properties", WORKER);
    place.write("broken.json", "{\"name\": \"sink\",");
    place.write("list.json", "[]");
    for file in ["none.properties", "broken.json", "list.json"] {
        let run = place.run(&format!("connect worker.properties {file}"));
        assert_eq!(run.code, Some(2), "{file}: {}", run.err);
        assert!(run.err.contains(file), "{}", run.err);
    }
    assert_eq!(place.run("connect none.properties").code, Some(2));
}

/// The examples of docs/connect.md, and of Google's own sample: what is printed has no mistake in it.
#[test]
fn a_translation_passes_the_check() {
    let sample = SINK
        .replace("cps.project=p", "cps.project=shop-analytics")
        .replace("cps.topic=t", "cps.topic=events");
    let masked = "transforms=m\ntransforms.m.type=org.apache.kafka.connect.transforms.MaskField$Value\ntransforms.m.fields=user_id,ip";
    let avro = "value.converter=io.confluent.connect.avro.AvroConverter\nvalue.converter.schema.registry.url=http://localhost:8081";
    let hashed = "transforms=h,t\ntransforms.h.type=io.aiven.kafka.connect.transforms.Hash$Value\ntransforms.h.field.name=user_id\ntransforms.h.function=sha256\ntransforms.t.type=io.aiven.kafka.connect.transforms.TombstoneHandler\ntransforms.t.behavior=drop_silent";
    let debezium = "value.converter=org.apache.kafka.connect.json.JsonConverter\ntransforms=u\ntransforms.u.type=io.debezium.transforms.ExtractNewRecordState";
    let clients = "consumer.override.auto.offset.reset=latest\nconsumer.override.group.id=own\nconsumer.override.fetch.max.wait.ms=100\nmaxOutstandingRequestBytes=33554432\naqueduct.key=forward\nheaders.publish=true\naqueduct.headers=trace";
    for more in [
        "",
        masked,
        avro,
        hashed,
        debezium,
        clients,
        "topics=\ntopics.regex=shop\\\\..*",
        "aqueduct.forward=",
    ] {
        let place = Place::new();
        place.write("worker.properties", WORKER);
        place.write("sink.properties", format!("{sample}{more}"));
        let run = place.run("connect --translate sink.properties worker.properties");
        assert_eq!(run.code, Some(0), "{}", run.err);
        place.write("aqueduct.toml", &run.out);
        let check = place.run("check --offline");
        let needs_keys = check.err.contains("keyring") && run.out.contains("pseudonymise");
        assert!(check.code == Some(0) || needs_keys, "{}\n{}", run.out, check.err);
    }
    let place = Place::new();
    place.write("sink.json", r#"{"name":"sink","config":{"connector.class":"CloudPubSubSinkConnector"}}"#);
    let run = place.run("connect --translate sink.json");
    assert!(run.code == Some(0) && run.out.contains("[kafka]"), "{}", run.out);
    assert_eq!(place.run("connect").code, Some(2));
}
