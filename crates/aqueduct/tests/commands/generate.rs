//! `generate` into files: reproducible by seed, compressed by name, replaced only when complete.

use std::{
    io::Read as _,
    process::{Command, Stdio},
};

use crate::support::Place;

const BUSY: &str = "generate --late 5% --duplicates 1% --broken 1%";

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let place = Place::new();
    for (name, more) in
        [("a", "--seed 7"), ("b", "--seed 7"), ("c", "--seed 8"), ("d", "--seed 7 --rate 999")]
    {
        let run = place.run(&format!("{BUSY} --events 3000 --output {name} {more}"));
        assert_eq!((run.code, run.out.as_str()), (Some(0), ""), "{}", run.err);
    }
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| place.read(name));
    assert!(a == b && a != c && a != d);
    let lines = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').count() - 1;
    assert_eq!([&a, &c, &d].map(|bytes| lines(bytes)), [3000; 3]);
}

#[test]
fn start_and_seed_have_fixed_defaults() {
    let place = Place::new();
    let default = place.run("generate --events 100 --output -");
    assert!(
        default.out.starts_with("{\"event_id\":\"")
            && default.out.contains("\"time\":\"2026-01-01T00:00:00.000Z\"")
    );
    assert_eq!(
        place.run("generate --events 100 --seed 1 --start 2026-01-01T00:00:00Z --output -").out,
        default.out
    );
    let moved = place.run("generate --events 1 --start 2026-11-01T12:00:00+01:00 --output -");
    assert!(moved.out.contains("\"time\":\"2026-11-01T11:00:00.000Z\""), "{}", moved.out);
}

#[test]
fn a_summary_is_printed_at_the_end() {
    let run = Place::new().run("generate --rate 10 --duration 2s --output -");
    assert_eq!(run.out.lines().count(), 20);
    assert_eq!(run.err.lines().count(), 1, "{}", run.err);
    assert!(
        run.err.starts_with("20 records to standard output: ") && run.err.ends_with("; seed 1\n"),
        "{}",
        run.err
    );
    assert!(run.err.contains("; 2026-01-01T00:00:00.000Z to 2026-01-01T00:00:01.900Z; "), "{}", run.err);
}

#[test]
fn the_smaller_limit_applies() {
    let place = Place::new();
    let lines = |more: &str| place.run(&format!("generate --rate 10 --output - {more}")).out.lines().count();
    assert_eq!([lines("--events 5 --duration 1h"), lines("--events 500 --duration 1s")], [5, 10]);
}

#[test]
fn the_file_name_selects_compression() {
    let place = Place::new();
    for name in ["plain", "events.ndjson.gz", "events.ndjson.zst"] {
        assert_eq!(place.run(&format!("{BUSY} --events 2000 --output {name}")).code, Some(0));
    }
    let mut unzipped = Vec::new();
    let zipped = place.read("events.ndjson.gz");
    flate2::read::GzDecoder::new(&zipped[..]).read_to_end(&mut unzipped).expect("gzip");
    let plain = place.read("plain");
    assert!(unzipped == plain && zipped.len() < plain.len() / 2);
    assert!(zstd::decode_all(&place.read("events.ndjson.zst")[..]).expect("Zstandard") == plain);
}

#[test]
fn an_unwritable_file_is_named() {
    let run = Place::new().run("generate --events 1 --output nowhere/events");
    assert_eq!(run.code, Some(1));
    assert!(
        run.err.starts_with("error: cannot write nowhere/events\n  caused by: No such file"),
        "{}",
        run.err
    );
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_aqueduct"))
        .args(["generate", "--output", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut first = [0; 100];
    child.stdout.take().expect("a pipe").read_exact(&mut first).expect("an endless stream");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
