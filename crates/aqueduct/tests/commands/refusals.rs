//! What services refuse while a command runs, each provoked by a stand-in that answers so: the message, its next step,
//! and the exit code. Before anything runs: [`crate::errors`]; tables in BigQuery: [`crate::refused_tables`].

use rdkafka::types::{RDKafkaApiKey as Request, RDKafkaRespErr as Answer};

use crate::{services::Services, support::Run};

/// A flow whose windows are over at once.
pub(crate) const FLOW: &str = r#"
[events]
time = "/time"
[[flows]]
name = "box_ctr"
by = { page = "/page", box = "/box" }
views = { "/type" = "view" }
clicks = { "/type" = "click" }
window = { size = "1s" }
out_of_orderness = "0s"
allowed_lateness = "1s"
"#;

#[track_caller]
pub(crate) fn refused(run: &Run, words: &[&str]) {
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    let said = format!("{}{}", run.out, run.err);
    for words in words {
        assert!(said.contains(words), "no {words:?} in\n{said}");
    }
}

pub(crate) fn done(services: &Services, commands: &[&str]) {
    for command in commands {
        let run = services.place.run(command);
        assert_eq!(run.code, Some(0), "{command}: {}{}", run.out, run.err);
    }
}

#[test]
fn what_kafka_refuses_is_told_with_its_topic() {
    let services = Services::start();
    services.kafka.answer(Request::Produce, &[Answer::RD_KAFKA_RESP_ERR_POLICY_VIOLATION; 20]);
    refused(
        &services.place.run("generate --events 1"),
        &["Kafka rejected an event for topic events; check the broker's log and [kafka.properties]"],
    );
    services.stop();
    let services = Services::start();
    done(&services, &["generate --events 10 --rate 1000"]);
    services.kafka.answer(Request::Fetch, &[Answer::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 20]);
    refused(
        &services.place.run("check --sample 10"),
        &["Kafka denies reading topic events; allow this user to read it"],
    );
    done(&services, &["keys new"]);
    let flows = String::from_utf8(services.place.read("aqueduct.toml")).expect("text") + FLOW;
    services.place.write("flows.toml", flows);
    let wrong = "AQUEDUCT__KAFKA__PROPERTIES='{ \"receive.message.max.bytes\" = \"1000\" }' \
                 aqueduct replay --kafka --config flows.toml";
    refused(
        &services.place.shell(wrong),
        &["cannot create a Kafka consumer; correct [kafka.properties]", "receive.message.max.bytes"],
    );
    services.kafka.refuse("events", Answer::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).expect("the topic");
    refused(&services.place.run("check"), &[" denies access to topic events; allow this user to use it"]);
    services.stop();
}

#[test]
fn a_connector_without_its_topic_is_told_to_make_it() {
    let services = Services::start();
    done(&services, &["keys new", "generate --events 10 --rate 1000"]);
    refused(
        &services.place.run("connector"),
        &["cannot publish to Pub/Sub", " does not exist; run `aqueduct setup`"],
    );
    services.stop();
}
