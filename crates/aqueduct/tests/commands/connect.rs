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
