//! User errors before a command runs: the exit code, and the key or file in the error.

use crate::support::{FLOW, Place};

const SHOP: &str = include_str!("../../../../examples/shop/aqueduct.toml");
const KAFKA: &str = "[kafka]\nbootstrap_servers = \"localhost:9\"\ntopics = [\"events\"]\ngroup_id = \"g\"\n";

/// Runs shell commands, and expects an exit code and a key or file in the error.
fn check(place: &Place, cases: &[(&str, i32, &str)]) {
    for (line, code, named) in cases {
        let run = place.shell(line);
        assert_eq!(run.code, Some(*code), "{line}: {}{}", run.out, run.err);
        // `check` reports its findings on standard output.
        let output = run.out + &run.err;
        assert!(output.contains(named), "{line}: no {named:?} in\n{output}");
    }
}

#[test]
fn unusable_streams_fail() {
    let place = Place::with(SHOP);
    check(
        &place,
        &[
            ("aqueduct keys new", 0, "keys.toml"),
            ("aqueduct generate --events 10 --output events.ndjson", 0, "10 records"),
            ("aqueduct anonymise < .", 1, "standard input"),
            ("aqueduct anonymise < events.ndjson > /dev/full", 1, "standard output"),
            ("aqueduct generate --events 10 --output - > /dev/full", 1, "standard output"),
            ("aqueduct generate --events 10 --output /dev/full", 1, "/dev/full"),
            ("aqueduct replay .", 1, "directory"),
            ("aqueduct replay - - < events.ndjson", 2, "standard input"),
        ],
    );
    // The write-ahead log of another program's connection, without which its rows would be lost.
    place.write("rows.db", "old");
    place.write("rows.db-wal", "log");
    check(&place, &[("aqueduct replay events.ndjson --output rows.db --replace", 1, "rows.db-wal")]);
    assert_eq!(place.read("rows.db"), b"old");
}

fn with_properties(properties: &str) -> Place {
    Place::with(&format!(
        "{KAFKA}[kafka.properties]\n{properties}\n[anonymise]\nforward = \"all\"\n{FLOW}window = {{ size = \"10m\" }}\n"
    ))
}

#[test]
fn properties_are_checked_before_anything_runs() {
    let commands = ["generate --events 1", "check --sample 1", "check --offline", "replay --kafka", "status"];
    for (property, value) in [
        ("no.such.property", "1"),
        ("fetch.min.bytes", "\"many\""),
        // A consumer property with an invalid value.
        ("max.partition.fetch.bytes", "0"),
        ("isolation.level", "\"read_comitted\""),
    ] {
        let place = with_properties(&format!("\"{property}\" = {value}"));
        for command in commands {
            let run = place.run(command);
            assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{command}: {}", run.err);
            let expected = format!("error: aqueduct.toml:6: kafka.properties.\"{property}\": ");
            assert!(run.err.starts_with(&expected), "{command}: {}", run.err);
        }
    }
    // An error that only creating a client shows: two conflicting properties.
    let run = with_properties("\"receive.message.max.bytes\" = 1000").run("check --offline");
    assert_eq!(run.code, Some(2), "{}{}", run.out, run.err);
    assert!(run.err.contains(": kafka.properties: "), "{}", run.err);
}

#[cfg(feature = "cloud")]
#[test]
fn a_missing_certificate_is_refused() {
    let missing = "\"security.protocol\" = \"ssl\"\n\"ssl.ca.location\" = \"/nowhere/ca.pem\"";
    let place = with_properties(missing);
    check(
        &place,
        &[
            ("aqueduct check --offline", 2, ": kafka.properties: "),
            ("aqueduct replay --kafka", 1, "[kafka.properties]"),
        ],
    );
}

#[test]
fn unusable_keyrings_fail() {
    let place = Place::with(SHOP);
    std::fs::create_dir(place.path("keys.toml")).expect("a folder");
    check(
        &place,
        &[
            ("chmod 700 keys.toml; aqueduct keys list", 1, "keys.toml"),
            ("aqueduct keys new --keyring nowhere/keys.toml", 1, "nowhere/keys.toml"),
        ],
    );
}

#[test]
fn invalid_values_are_named_by_key() {
    let place = Place::with(SHOP);
    for (variable, named) in [
        ("AQUEDUCT__FLOWS__0__WINDOW__PERIOD=100ms", "flows[0].window"),
        ("AQUEDUCT__KAFKA__GROUP_ID=", "kafka.group_id: "),
        ("AQUEDUCT__KAFKA__GROUP_ID=$(printf '\\377')", "AQUEDUCT__KAFKA__GROUP_ID"),
        (
            "AQUEDUCT__KAFKA__PROPERTIES='{ \"session.timeout.ms\" = \"long\" }'",
            "kafka.properties.\"session.timeout.ms\": ",
        ),
        (
            "AQUEDUCT__KAFKA__PROPERTIES='{ \"client.rack\" = \"a\\u0000b\" }'",
            "kafka.properties.\"client.rack\": ",
        ),
        ("AQUEDUCT__PUBSUB__RETENTION=1m", "pubsub.retention: "),
        ("AQUEDUCT__STATE__CHECKPOINTS=ftp://x", "checkpoints"),
        ("AQUEDUCT__STATE__TAKEOVER_AFTER=5s", "takeover_after"),
        ("AQUEDUCT__WRITER__PATH=", "writer.path: "),
    ] {
        check(&place, &[(&format!("{variable} aqueduct check --offline"), 2, named)]);
    }
    let line = "aqueduct keys new; AQUEDUCT_LOG=loud aqueduct replay events.ndjson";
    check(&place, &[(line, 2, "AQUEDUCT_LOG")]);
}

#[test]
fn a_foreign_listen_address_is_named() {
    let place = Place::with(SHOP);
    let line = "aqueduct keys new; AQUEDUCT__SERVICE__LISTEN=192.0.2.1:9 aqueduct connector";
    check(&place, &[("aqueduct connector", 2, "aqueduct keys new"), (line, 1, "192.0.2.1:9")]);
}

#[test]
fn several_keys_need_the_time_of_events() {
    let place = Place::with("[anonymise]\npseudonymise = [\"/user_id\"]\nforward = \"all\"\n");
    check(
        &place,
        &[
            ("aqueduct keys new && aqueduct keys rotate --at 2999-01-01T00:00:00Z", 0, "2999"),
            ("aqueduct anonymise < keys.toml", 2, "events.time"),
        ],
    );
}

#[test]
fn an_unwritable_state_fails() {
    let place = Place::with(&format!(
        "{FLOW}window = {{ size = \"10m\" }}\n[writer]\nkind = \"sqlite\"\npath = \"rows.db\"\n\
         [state]\ncheckpoints = \"file:///proc/none/state\"\n"
    ));
    check(&place, &[("aqueduct check", 1, "[state] checkpoints")]);
}

#[test]
fn an_interrupted_replay_keeps_the_old_output() {
    let place = Place::with(&format!("{FLOW}window = {{ size = \"10m\" }}\n"));
    place.write("rows.ndjson", "old");
    let started = place.shell("mkfifo events");
    assert_eq!(started.code, Some(0), "{}", started.err);
    let running = place.start("replay events --output rows.ndjson");
    // Opening it returns once the program reads; the program then waits for input that never arrives.
    let writer = std::fs::File::options().write(true).open(place.path("events")).expect("the program reads");
    running.signal("INT");
    let run = running.wait();
    drop(writer);
    assert_eq!(run.code, Some(1), "{}", run.err);
    assert!(run.err.contains("rows.ndjson"), "{}", run.err);
    assert_eq!(place.read("rows.ndjson"), b"old");
}

#[cfg(feature = "cloud")]
#[test]
fn setup_needs_google_cloud_credentials() {
    let place = Place::with(&SHOP.replace("emulator_host = ", "# emulator_host = "));
    check(
        &place,
        &[(
            "GOOGLE_APPLICATION_CREDENTIALS=nowhere.json aqueduct setup",
            1,
            "GOOGLE_APPLICATION_CREDENTIALS",
        )],
    );
}

/// Features that are not in the demo build. Run with `cargo test --package aqueduct --package processor --package
/// writer --no-default-features`.
#[cfg(not(feature = "cloud"))]
#[test]
fn a_build_without_the_cloud_names_the_feature() {
    let place = Place::with(SHOP);
    check(
        &place,
        &[
            ("aqueduct keys new", 0, "keys.toml"),
            ("AQUEDUCT__WRITER__KIND=bigquery aqueduct check --offline", 2, "`cloud`"),
            ("AQUEDUCT__STATE__CHECKPOINTS=gs://b/p aqueduct check --offline", 2, "`cloud`"),
        ],
    );
    let place = Place::with(&SHOP.replace("emulator_host = ", "# emulator_host = "));
    check(&place, &[("aqueduct setup", 2, "`cloud`")]);
    let place = with_properties("\"security.protocol\" = \"sasl_ssl\"");
    check(&place, &[("aqueduct replay --kafka", 2, "`cloud`")]);
}
