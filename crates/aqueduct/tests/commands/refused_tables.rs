//! As [`crate::refusals`], with tables in BigQuery.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
};

use doubles::bigquery::{BigQuery, Code, Fault};

use crate::{
    refusals::{FLOW, done, refused},
    services::{SUBSCRIPTION, Services},
    support::until,
};

/// Services with a thousand events in Pub/Sub, and tables in the BigQuery stand-in.
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

/// A thousand events in Pub/Sub over ten seconds of 2026.
fn published(services: &Services) {
    done(services, &["generate --events 1000 --rate 100 --start 2026-01-01T00:00:00Z"]);
    let connector = services.place.start("connector");
    until("1000 messages", || (services.pubsub.counts(SUBSCRIPTION)?.waiting >= 1000).then_some(()));
    connector.signal("TERM");
    assert_eq!(connector.wait().code, Some(0));
}

#[test]
fn a_processor_stops_when_its_table_refuses() {
    let (services, bigquery) = with_bigquery();
    published(&services);
    // Missing permissions, and rows of an earlier run that are missing in the stream.
    for (code, remedy) in [(Code::PermissionDenied, "gcloud"), (Code::OutOfRange, "aqueduct reconcile")] {
        bigquery.faults().next("box_ctr", Fault::Answer(code));
        refused(&services.place.run("processor"), &["box_ctr", remedy]);
        assert_eq!(bigquery.faults().waiting(), 0, "{code} was met");
    }
    services.stop();
}

#[test]
fn a_state_beyond_its_limit_names_the_flow() {
    let (services, _bigquery) = with_bigquery();
    published(&services);
    let run = services.place.shell("AQUEDUCT__STATE__MEMORY=20kB aqueduct processor");
    refused(&run, &["state.memory", "box_ctr"]);
    services.stop();
}

#[test]
fn a_replay_stops_when_its_table_refuses() {
    let (services, bigquery) = with_bigquery();
    done(&services, &["generate --events 300 --rate 100 --output events.ndjson"]);
    bigquery.faults().next("box_ctr", Fault::Answer(Code::OutOfRange));
    refused(&services.place.run("replay events.ndjson --output bigquery"), &["table box_ctr"]);
    bigquery.faults().refuse("top-picks");
    refused(&services.place.run("replay events.ndjson --output bigquery"), &["table box_ctr"]);
    services.stop();
}

/// The limit on file sizes acts as a full disk for files beyond 512 bytes, such as the first checkpoint with events.
#[test]
fn a_last_checkpoint_without_room_fails() {
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
    while !log.contains("no space") {
        assert_ne!(said.read_line(&mut log).expect("text"), 0, "it ended: {log}");
    }
    let status = Command::new("kill").args(["-s", "TERM", &processor.id().to_string()]).status();
    assert!(status.expect("kill is there").success());
    said.read_to_string(&mut log).expect("text");
    assert_eq!(processor.wait().expect("it is our child").code(), Some(1), "{log}");
    assert!(log.lines().any(|line| line.starts_with("error: ") && line.contains("checkpoint")), "{log}");
    services.stop();
}
