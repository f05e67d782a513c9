//! What services refuse while a command runs, each provoked by a stand-in that answers so: the message, its next step,
//! and the exit code. Before anything runs: [`crate::errors`].

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
};

use rdkafka::types::{RDKafkaApiKey as Request, RDKafkaRespErr as Answer};
use standin::bigquery::{BigQuery, Code, Fault};

use crate::{
    services::{SUBSCRIPTION, Services},
    support::{Run, until},
};

/// A flow whose windows are over at once.
const FLOW: &str = r#"
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
fn refused(run: &Run, words: &[&str]) {
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    let said = format!("{}{}", run.out, run.err);
    for words in words {
        assert!(said.contains(words), "no {words:?} in\n{said}");
    }
}

fn done(services: &Services, commands: &[&str]) {
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

/// Services with a thousand events in Pub/Sub, and tables in a BigQuery of this process.
fn with_bigquery() -> (Services, BigQuery) {
    let services = Services::start();
    let bigquery = services.runtime.block_on(BigQuery::start()).expect("a free port");
    let config = String::from_utf8(services.place.read("aqueduct.toml")).expect("text");
    let url = format!("http://{}", bigquery.host());
    services.place.write(
        "aqueduct.toml",
        format!(
            "{config}\n{FLOW}\n[state]\ncold_start = \"1s\"\n[writer]\nkind = \"bigquery\"\nproject = \"shop\"\ndataset = \"rates\"\nlocation = \"EU\"\n\
             rest_endpoint = \"{url}\"\ngrpc_endpoint = \"{url}\"\n"
        ),
    );
    done(&services, &["keys new", "setup"]);
    (services, bigquery)
}

/// A thousand events over ten seconds of 2026 that are in Pub/Sub.
fn published(services: &Services) {
    done(services, &["generate --events 1000 --rate 100 --start 2026-01-01T00:00:00Z"]);
    let connector = services.place.start("connector");
    until("1000 messages", || (services.pubsub.counts(SUBSCRIPTION)?.waiting >= 1000).then_some(()));
    connector.signal("TERM");
    assert_eq!(connector.wait().code, Some(0));
}

#[test]
fn a_processor_whose_tables_refuse_says_which_and_why() {
    let (services, bigquery) = with_bigquery();
    published(&services);
    for (code, words) in [
        (
            Code::PermissionDenied,
            &["rows cannot be written to BigQuery", "bigquery refuses to append to box_ctr"][..],
        ),
        (
            Code::OutOfRange,
            &[
                "the stream of table box_ctr ends before the rows that come next: rows that were delivered are gone; run \
               `aqueduct reconcile` to see which",
            ][..],
        ),
    ] {
        bigquery.faults().next("box_ctr", Fault::Answer(code));
        refused(&services.place.run("processor"), words);
        assert_eq!(bigquery.faults().waiting(), 0, "{code} was met");
    }
    services.stop();
}

#[test]
fn a_state_that_outgrows_its_bound_is_told_with_its_flow() {
    let (services, _bigquery) = with_bigquery();
    published(&services);
    let run = services.place.shell("AQUEDUCT__STATE__MEMORY=20kB aqueduct processor");
    refused(
        &run,
        &["the live state needs ", "more than [state] memory allows; most of it is flow box_ctr with "],
    );
    services.stop();
}

#[test]
fn a_replay_into_tables_that_refuse_says_what_to_do() {
    let (services, bigquery) = with_bigquery();
    done(&services, &["generate --events 300 --rate 100 --output events.ndjson"]);
    bigquery.faults().next("box_ctr", Fault::Answer(Code::OutOfRange));
    refused(
        &services.place.run("replay events.ndjson --output bigquery"),
        &["table box_ctr has fewer rows than were sent to it; empty it and replay again"],
    );
    bigquery.faults().refuse("top-picks");
    refused(
        &services.place.run("replay events.ndjson --output bigquery"),
        &["table box_ctr rejected ", "; correct its columns, or give the flow a new name"],
    );
    services.stop();
}

/// A disk that takes no file beyond 512 bytes, which the first checkpoint with events is.
#[test]
fn a_last_checkpoint_that_finds_no_room_is_told() {
    let (services, _bigquery) = with_bigquery();
    published(&services);
    let program = env!("CARGO_BIN_EXE_aqueduct");
    let mut processor = Command::new("sh")
        .args(["-ec", &format!("trap '' XFSZ; ulimit -f 1; exec {program} processor")])
        .current_dir(services.place.folder())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell starts");
    let mut said = BufReader::new(processor.stderr.take().expect("piped"));
    let mut log = String::new();
    while !log.contains("no space is left for the state in ") {
        assert_ne!(said.read_line(&mut log).expect("text"), 0, "it ended: {log}");
    }
    let status = Command::new("kill").args(["-s", "TERM", &processor.id().to_string()]).status();
    assert!(status.expect("kill is there").success());
    said.read_to_string(&mut log).expect("text");
    assert_eq!(processor.wait().expect("it is our child").code(), Some(1), "{log}");
    let expected = "error: the last checkpoint could not be written; what it would have held is not acknowledged and comes \
                    again at the next start";
    assert!(log.contains(expected), "{log}");
    services.stop();
}
