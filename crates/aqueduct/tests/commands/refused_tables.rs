//! As [`crate::refusals`], with tables in BigQuery.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
};

use standin::bigquery::{BigQuery, Code, Fault};

use crate::{
    refusals::{FLOW, done, refused},
    services::{SUBSCRIPTION, Services},
    support::until,
};

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
