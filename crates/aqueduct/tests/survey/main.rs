//! The built `aqueduct status` and `aqueduct reconcile` over a state, a table and a mock Kafka that this test fills.

mod beam;
mod pipe;

use pipe::{Pipe, Ran};

fn json(ran: &Ran) -> serde_json::Value {
    serde_json::from_str(&ran.out).expect("JSON")
}

#[test]
fn a_drained_pipeline_is_complete() {
    let pipe = Pipe::filled();
    let ran = pipe.run(&["status", "--format", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let status = json(&ran);
    let partition = &status["partitions"][0];
    for (key, expected) in [("log_end", 10), ("committed", 10), ("frontier", 10), ("lag", 0)] {
        assert_eq!(partition[key], expected, "{key}: {status:#}");
    }
    assert_eq!(partition["clock"], "2025-10-09T08:53:45.000Z");
    let flow = &status["flows"][0];
    assert_eq!(
        (&flow["watermark"], &flow["rows"]),
        (&"2025-10-09T08:53:45.000Z".into(), &2.into()),
        "{status:#}"
    );
    assert_eq!((&flow["total"], &flow["ledger"]["counted"]), (&10.into(), &9.into()));
    assert_eq!(status["state"]["checkpoint"], 1);
    assert_eq!(status["held_by"], "events[0] at 2025-10-09T08:53:45.000Z, the lowest clock");

    let text = pipe.run(&["status"]);
    assert_eq!(text.code, Some(0), "{}", text.err);
    for part in [
        "state     file://./state: checkpoint 1, written ",
        "watermark held back by events[0] at ",
        "10 = 9 counted + 1 rejected",
    ] {
        assert!(text.out.contains(part), "{part}\n{}", text.out);
    }

    let ran = pipe.run(&["reconcile"]);
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.out, ran.err);
    assert!(ran.out.ends_with("\nnothing is missing\n"), "{}", ran.out);
    let findings = json(&pipe.run(&["reconcile", "--format", "json"]));
    assert_eq!(findings["nothing_missing"], true);
    assert_eq!(
        (&findings["windows"][0]["expected"], &findings["windows"][0]["differing"]),
        (&2.into(), &0.into())
    );
}

#[test]
fn uncommitted_records_and_deleted_rows_are_missing() {
    let pipe = Pipe::filled();
    pipe.produce(3);
    let ran = pipe.run(&["reconcile"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.out.contains("10..13 not committed"), "{}", ran.out);
    assert!(ran.out.ends_with("\nmissing: 3 offsets not committed by the connector\n"), "{}", ran.out);
    pipe.commit(12);
    let status = json(&pipe.run(&["status", "--format", "json"]));
    assert_eq!(status["partitions"][0]["lag"], 3, "{status:#}");
    pipe.delete_a_row();
    let ran = pipe.run(&["reconcile"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let verdict = "\nmissing: one offset not committed by the connector, \
                   2 offsets committed and not received by the processor, one row, one key of complete windows\n";
    assert!(ran.out.ends_with(verdict), "{}", ran.out);
}

#[test]
fn unreachable_services_are_reported() {
    let pipe = Pipe::filled();
    let nowhere =
        [("AQUEDUCT__KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1"), ("AQUEDUCT__WRITER__PATH", "none.db")];
    let ran = pipe.run_with(&["status"], &nowhere);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for part in
        ["Kafka     no response from Kafka at 127.0.0.1:1", "none.db does not exist", "10 = 9 counted"]
    {
        assert!(ran.out.contains(part), "{part}\n{}", ran.out);
    }
    let ran = pipe.run_with(&["reconcile"], &nowhere);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.out.ends_with("\nincomplete: 2 sources could not be read\n"), "{}", ran.out);
}

#[test]
fn a_new_pipeline_has_a_status() {
    let pipe = Pipe::empty();
    let ran = pipe.run(&["status"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(
        ran.out.contains("no checkpoint yet") && ran.out.contains("has not sent a mark yet"),
        "{}",
        ran.out
    );
    assert!(!pipe.path("state").exists() && !pipe.path("rows.db").exists(), "looking makes nothing");
}

#[test]
fn an_unreadable_state_is_a_failure() {
    let pipe = Pipe::filled();
    let config = std::fs::read_to_string(pipe.path("aqueduct.toml")).expect("the file");
    std::fs::write(pipe.path("aqueduct.toml"), config.replace("10s", "20s")).expect("room");
    for command in ["status", "reconcile"] {
        let ran = pipe.run(&[command]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
        assert!(ran.err.starts_with("error: window of flow \"f\" "), "{}", ran.err);
    }
    pipe.spoil();
    let ran = pipe.run(&["status"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
    let expected =
        "error: cannot decode the state in checkpoint 2; run the version that wrote it\n  caused by: ";
    assert!(ran.err.starts_with(expected), "{}", ran.err);
}
