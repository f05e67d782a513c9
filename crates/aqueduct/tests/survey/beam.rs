//! `aqueduct reconcile --engine beam` and `aqueduct status --engine beam` over a folder of rows and a mock Kafka.

use std::fs;

use crate::{
    json,
    pipe::{Pipe, RECORDS},
};

const ENGINE: [&str; 4] = ["--engine", "beam", "--rows", "output"];

/// What a pipeline has written that has counted these records, one of which was rejected.
fn write(pipe: &Pipe, records: u64) {
    let detail = serde_json::json!({
        "panes": 2, "dead_letters": 1, "accounted": records,
        "partitions": [{
            "topic": "events", "incarnation": pipe.partition().incarnation, "partition": 0,
            "accounted": [[0, records]], "lost": [],
        }],
    });
    let progress = serde_json::json!({
        "flow": "f", "at": "2025-10-09T08:54:00.000Z", "watermark": "2025-10-09T08:53:45.000Z",
        "counted": records - 1, "rejected": 1, "detail": detail.to_string(),
    });
    let letter = serde_json::json!({
        "topic": "events", "partition": 0, "offset": 4, "stage": "processor", "reason": "time", "pointer": "/t",
        "seen_at": "2025-10-09T08:53:50.000Z",
    });
    let row = |page: &str| serde_json::json!({ "flow": "f", "page": page, "views": 4, "pane_index": 0 });
    for (folder, lines) in
        [("progress", vec![progress]), ("dead_letters", vec![letter]), ("rows", vec![row("p0"), row("p1")])]
    {
        let folder = pipe.path("output").join(folder);
        fs::create_dir_all(&folder).expect("room");
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(folder.join("1.ndjson"), text).expect("room");
    }
}

#[test]
fn a_pipeline_of_beam_is_compared() {
    let pipe = Pipe::empty();
    pipe.produce(RECORDS);
    pipe.commit(RECORDS);
    write(&pipe, RECORDS);
    let run = |command: &str| pipe.run(&[&[command][..], &ENGINE].concat());
    let ran = run("reconcile");
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.out, ran.err);
    assert!(ran.out.ends_with("\nnothing is missing\n"), "{}", ran.out);
    let ran = run("status");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("10 = 9 counted + 1 rejected"), "{}", ran.out);
    let status = json(&pipe.run(&[&["status", "--format", "json"][..], &ENGINE].concat()));
    assert_eq!((&status["partitions"][0]["lag"], &status["flows"][0]["total"]), (&0.into(), &10.into()));

    // Of each kind, one line is gone.
    for kind in ["rows", "dead_letters", "progress"] {
        write(&pipe, RECORDS);
        let path = pipe.path("output").join(kind).join("1.ndjson");
        let text = fs::read_to_string(&path).expect("the file");
        fs::write(&path, text.split_once('\n').expect("a line").1).expect("room");
        let ran = run("reconcile");
        assert_eq!(ran.code, Some(1), "{kind}: {}\n{}", ran.out, ran.err);
    }
    write(&pipe, RECORDS - 3);
    let ran = run("reconcile");
    assert_eq!(ran.code, Some(1), "{}\n{}", ran.out, ran.err);
    assert!(ran.out.contains("7..10 not received"), "{}", ran.out);
}

#[test]
fn places_that_beam_does_not_write_to_are_wrong_usage() {
    let pipe = Pipe::empty();
    for command in ["reconcile", "status"] {
        // The writer is SQLite.
        let ran = pipe.run(&[command, "--engine", "beam"]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{}", ran.err);
        assert!(ran.err.contains("--rows"), "{}", ran.err);
        let ran = pipe.run(&[&[command][..], &ENGINE].concat());
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{}", ran.err);
        assert_eq!(pipe.run(&[command, "--rows", "output"]).code, Some(2));
    }
    fs::create_dir(pipe.path("output")).expect("room");
    let ran = pipe.run(&[&["reconcile"][..], &ENGINE].concat());
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.out.contains("flow f has no row of progress"), "{}", ran.out);
}
