//! What can go wrong before anything runs, each provoked: the message, its next step, and the exit code. The page of all
//! errors (docs/troubleshooting.md) names these tests.

use crate::support::Place;

const SHOP: &str = include_str!("../../../../examples/shop/aqueduct.toml");
const KAFKA: &str = "[kafka]\nbootstrap_servers = \"localhost:9\"\ntopics = [\"events\"]\ngroup_id = \"g\"\n";

const FLOW: &str = "[events]\ntime = \"/time\"\n[[flows]]\nname = \"f\"\nby = { page = \"/page\" }\n\
    views = { \"/type\" = \"view\" }\nclicks = { \"/type\" = \"click\" }\nwindow = { size = \"10m\" }\n";

/// What a line of the shell says, and its exit code.
fn check(place: &Place, cases: &[(&str, i32, &str)]) {
    for (line, code, expected) in cases {
        let run = place.shell(line);
        assert_eq!(run.code, Some(*code), "{line}: {}{}", run.out, run.err);
        // What `check` finds stands in its report.
        let said = run.out + &run.err;
        assert!(said.contains(expected), "{line}: no {expected:?} in\n{said}");
    }
}

#[test]
fn streams_that_cannot_be_used_are_told() {
    let place = Place::with(SHOP);
    check(
        &place,
        &[
            ("aqueduct keys new", 0, "created "),
            ("aqueduct generate --events 10 --output events.ndjson", 0, "10 records"),
            ("aqueduct anonymise < .", 1, "cannot read standard input"),
            ("aqueduct anonymise < events.ndjson > /dev/full", 1, "cannot write standard output"),
            ("aqueduct generate --events 10 --output - > /dev/full", 1, "cannot write standard output"),
            ("aqueduct generate --events 10 --output /dev/full", 1, "cannot write /dev/full"),
            ("aqueduct replay .", 1, "cannot read .: it is a folder; name the files in it"),
            (
                "aqueduct replay - - < events.ndjson",
                2,
                "- is standard input, which can be read only once; name it once",
            ),
            (
                "echo old > rows.db; echo log > rows.db-wal; aqueduct replay events.ndjson --output rows.db --replace",
                1,
                "rows.db: another program writes to it (",
            ),
        ],
    );
}

fn with_properties(properties: &str) -> Place {
    Place::with(&format!("{KAFKA}[kafka.properties]\n{properties}\n[anonymise]\nforward = \"all\"\n{FLOW}"))
}

/// Each names the property: see librdkafka's CONFIGURATION.md.
#[test]
fn properties_are_checked_before_anything_runs() {
    let commands = ["generate --events 1", "check --sample 1", "check --offline", "replay --kafka", "status"];
    for (property, value) in [
        ("no.such.property", "1"),
        ("fetch.min.bytes", "\"many\""),
        // The consumer's alone, and out of its range.
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
    // What shows only when a client is made: two properties that contradict each other.
    let run = with_properties("\"receive.message.max.bytes\" = 1000").run("check --offline");
    assert_eq!(run.code, Some(2), "{}{}", run.out, run.err);
    assert!(run.err.contains(": kafka.properties: "), "{}", run.err);
}

#[cfg(feature = "cloud")]
#[test]
fn a_certificate_that_is_not_there_is_told() {
    let missing = "\"security.protocol\" = \"ssl\"\n\"ssl.ca.location\" = \"/nowhere/ca.pem\"";
    let place = with_properties(missing);
    let run = place.run("check --offline");
    assert_eq!(run.code, Some(2), "{}{}", run.out, run.err);
    assert!(run.err.contains(": kafka.properties: "), "{}", run.err);
    check(
        &place,
        &[(
            "aqueduct replay --kafka",
            1,
            "cannot create a Kafka client; correct [kafka] or [kafka.properties]",
        )],
    );
}

#[test]
fn a_demo_says_what_it_cannot_use() {
    let place = Place::new();
    place.write("mine.db", "not a demo's");
    check(
        &place,
        &[
            (
                "TMPDIR=/proc/none aqueduct demo",
                1,
                "cannot create a folder for the state; set TMPDIR to a writable folder",
            ),
            ("aqueduct demo --config nowhere.toml", 2, "cannot read nowhere.toml; correct --config"),
            (
                "aqueduct demo --path mine.db",
                2,
                "mine.db exists and was not created by a demo; name another file with --path",
            ),
        ],
    );
    assert_eq!(place.read("mine.db"), b"not a demo's");
}

#[test]
fn manual_pages_need_a_folder_that_may_be_written() {
    let place = Place::new();
    place.write("file", "");
    check(
        &place,
        &[
            ("aqueduct man file/pages", 1, "cannot create folder file/pages; choose a folder that you own"),
            (
                "aqueduct man /proc/self",
                1,
                "cannot write manual pages into /proc/self; choose a folder that you own",
            ),
        ],
    );
}

#[test]
fn a_keyring_that_cannot_be_used_is_told() {
    let place = Place::with(SHOP);
    std::fs::create_dir(place.path("keys.toml")).expect("a folder");
    check(
        &place,
        &[
            (
                "chmod 700 keys.toml; aqueduct keys list",
                1,
                "cannot read the keyring keys.toml; check that the user who runs this owns it",
            ),
            (
                "aqueduct keys new --keyring nowhere/keys.toml",
                1,
                "cannot write the keyring nowhere/keys.toml; check the folder's permissions and free space",
            ),
            (
                "aqueduct keys list --keyring none.toml",
                1,
                "no keyring at none.toml; make one with `aqueduct keys new`",
            ),
            (
                "aqueduct keys new --keyring k.toml && aqueduct keys rotate --at 2020-01-01T00:00:00Z --keyring k.toml",
                1,
                "has passed: events since then have their pseudonyms; choose a later time than",
            ),
            (
                "aqueduct keys rotate --at 2999-01-01T00:00:00Z --keyring k.toml && aqueduct keys rotate --at 2998-01-01T00:00:00Z --keyring k.toml",
                1,
                "a key that holds from 2999-01-01T00:00:00.000Z is in the keyring; choose a later time than that",
            ),
            (
                "touch k.toml.new; aqueduct keys rotate --at 3000-01-01T00:00:00Z --keyring k.toml",
                1,
                "k.toml.new exists: another rotation is under way; if none is, remove that file",
            ),
        ],
    );
}

#[test]
fn what_a_section_lacks_is_told_with_the_next_step() {
    let place = Place::with(SHOP);
    check(
        &place,
        &[
            ("aqueduct connector", 2, "no keyring at keys.toml; make one with `aqueduct keys new`"),
            (
                "aqueduct keys new; AQUEDUCT_LOG=loud aqueduct replay events.ndjson",
                2,
                "AQUEDUCT_LOG: invalid log level \"loud\" (expected off, error, warn, info, debug or trace",
            ),
            (
                "AQUEDUCT__FLOWS__0__WINDOW__PERIOD=100ms aqueduct check --offline",
                2,
                "an event would fall into more than 1440 windows; use a longer period or a shorter size",
            ),
            (
                "AQUEDUCT__STATE__TAKEOVER_AFTER=5s aqueduct check --offline",
                2,
                "takeover_after = \"5s\" is too short for period = \"5s\": a stand-by would take over from a processor that lives",
            ),
            (
                "AQUEDUCT__STATE__CHECKPOINTS=ftp://x aqueduct check --offline",
                2,
                "checkpoints = \"ftp://x\" is no place for the state; write \"file://FOLDER\" or \"gs://BUCKET/PATH\"",
            ),
            ("AQUEDUCT__KAFKA__BUFFER=32 aqueduct check --offline", 2, "kafka.buffer"),
            (
                "rm -rf keys.toml; aqueduct keys new; AQUEDUCT__SERVICE__LISTEN=192.0.2.1:9 aqueduct connector",
                1,
                "cannot listen on 192.0.2.1:9; correct [service] listen (or AQUEDUCT__SERVICE__LISTEN)",
            ),
        ],
    );
}

#[test]
fn what_cannot_be_is_told_with_what_can() {
    let place = Place::with(SHOP);
    check(
        &place,
        &[
            (
                "AQUEDUCT__KAFKA__GROUP_ID= aqueduct check --offline",
                2,
                "is empty; write a name that no other consumer uses",
            ),
            (
                "AQUEDUCT__PUBSUB__RETENTION=1m aqueduct check --offline",
                2,
                "is out of bounds; Pub/Sub keeps messages from 10m to 31d",
            ),
            (
                "AQUEDUCT__FLOWS__0__NAME= aqueduct check --offline",
                2,
                "a flow needs a name; it is also its table",
            ),
            ("AQUEDUCT__FLOWS__0__EARLY=10ms aqueduct check --offline", 2, "flows[0].early: "),
            (
                "AQUEDUCT__FLOWS__0__VIEWS='{}' aqueduct check --offline",
                2,
                "matches nothing; name at least one pair",
            ),
            ("AQUEDUCT__WRITER__PATH= aqueduct check --offline", 2, "is empty; name a file such as"),
            (
                "AQUEDUCT__FLOWS__0__JOIN='{ on = \"/view_id\", within = \"2h\" }' aqueduct check --offline",
                2,
                "is shorter than join.within: a view could still be missing when its click is given up; make it at least",
            ),
            (
                "AQUEDUCT__KAFKA__GROUP_ID=$(printf '\\377') aqueduct check --offline",
                2,
                "AQUEDUCT__KAFKA__GROUP_ID: the value is not UTF-8",
            ),
            (
                "AQUEDUCT__KAFKA__PROPERTIES='{ \"session.timeout.ms\" = \"long\" }' aqueduct check --offline",
                2,
                "kafka.properties.\"session.timeout.ms\": is no number of milliseconds",
            ),
            (
                "AQUEDUCT__KAFKA__PROPERTIES='{ \"client.rack\" = \"a\\u0000b\" }' aqueduct check --offline",
                2,
                "a property cannot hold a NUL character",
            ),
        ],
    );
}

#[test]
fn two_flows_with_one_name_are_told() {
    let flow = &SHOP[SHOP.find("[[flows]]").expect("a flow")..SHOP.find("[writer]").expect("a writer")];
    let place = Place::with(&format!("{SHOP}\n{flow}"));
    check(
        &place,
        &[(
            "aqueduct check --offline",
            2,
            "flows[1].name: another flow is already named \"box_ctr\"; choose a different name",
        )],
    );
}

#[test]
fn several_keys_without_the_event_s_time_are_told() {
    let place = Place::with("[anonymise]\npseudonymise = [\"/user_id\"]\nforward = \"all\"\n");
    check(
        &place,
        &[
            ("aqueduct keys new && aqueduct keys rotate --at 2999-01-01T00:00:00Z", 0, "2999"),
            (
                "aqueduct anonymise < keys.toml",
                2,
                "the keyring has several keys, and the event's time chooses between them; say in events.time where it stands",
            ),
        ],
    );
}

#[test]
fn a_place_for_the_state_that_takes_nothing_is_told() {
    let place = Place::with(&format!(
        "{FLOW}[writer]\nkind = \"sqlite\"\npath = \"rows.db\"\n[state]\ncheckpoints = \"file:///proc/none/state\"\n"
    ));
    check(
        &place,
        &[(
            "aqueduct check",
            1,
            "cannot write in /proc; correct its permissions or [state] checkpoints, or free some space",
        )],
    );
}

#[test]
fn a_demo_s_file_that_cannot_go_is_told() {
    let place = Place::new();
    place.write("demo.db", "");
    // A folder stands where SQLite would have a file of its own.
    check(
        &place,
        &[
            ("mkdir demo.db-shm; aqueduct demo --path demo.db", 1, "demo.db; name another file with --path"),
            (
                "mkdir gone; cd gone; rmdir ../gone; aqueduct demo --path rows.db",
                1,
                "cannot resolve rows.db; make --path absolute",
            ),
        ],
    );
}

#[test]
fn limits_of_the_system_are_told() {
    let place =
        Place::with(&format!("{FLOW}[anonymise]\npseudonymise = [\"/user_id\"]\nforward = \"all\"\n"));
    check(
        &place,
        &[
            ("aqueduct keys new && aqueduct generate --events 10 --output events.ndjson", 0, "10 records"),
            (
                "ulimit -n 4; aqueduct replay events.ndjson",
                1,
                "cannot start; raise the limit of open files (ulimit -n)",
            ),
        ],
    );
}

/// Each thread needs room for its stack. How much the program needs beside those is not ours to know: somewhere between
/// too little to start and enough for 64 threads it starts and cannot have them all.
#[test]
fn threads_that_cannot_be_had_are_told() {
    let place = Place::with(FLOW);
    assert_eq!(place.run("generate --events 10 --output events.ndjson").code, Some(0));
    let expected = "cannot start the threads of the replay; ask for fewer with --threads";
    let told = (100..3_000).step_by(50).any(|mebibytes| {
        let line = format!("ulimit -v {}; aqueduct replay events.ndjson --threads 64", mebibytes << 10);
        place.shell(&line).err.contains(expected)
    });
    assert!(told, "no bound on memory leads to it");
}

#[test]
fn what_is_interrupted_says_that_it_is_not_complete() {
    let place = Place::with(FLOW);
    place.write("rows.ndjson", "old");
    let started = place.shell("mkfifo events");
    assert_eq!(started.code, Some(0), "{}", started.err);
    let running = place.start("replay events --output rows.ndjson");
    // Opened once the program reads; it then waits for what never comes.
    let writer = std::fs::File::options().write(true).open(place.path("events")).expect("the program reads");
    running.signal("INT");
    let run = running.wait();
    drop(writer);
    assert_eq!(run.code, Some(1), "{}", run.err);
    assert!(
        run.err
            .contains("error: interrupted: the input was not read completely, and rows.ndjson is incomplete"),
        "{}",
        run.err
    );
    assert_eq!(place.read("rows.ndjson"), b"old");
}

#[cfg(feature = "cloud")]
#[test]
fn without_credentials_google_cloud_is_not_asked() {
    let place = Place::with(&SHOP.replace("emulator_host = ", "# emulator_host = "));
    check(
        &place,
        &[(
            "GOOGLE_APPLICATION_CREDENTIALS=nowhere.json aqueduct setup",
            1,
            "no usable Google Cloud credentials; run `gcloud auth application-default login`, or set",
        )],
    );
}

/// Parts that are left out of the demo's build. Run with `cargo test --package aqueduct --package processor --package
/// writer --no-default-features`.
#[cfg(not(feature = "cloud"))]
#[test]
fn a_build_without_the_cloud_names_the_feature() {
    let place = Place::with(SHOP);
    check(
        &place,
        &[
            ("aqueduct keys new", 0, "created "),
            (
                "AQUEDUCT__WRITER__KIND=bigquery aqueduct check --offline",
                2,
                "writer.kind: is \"bigquery\", which this build lacks",
            ),
            (
                "AQUEDUCT__STATE__CHECKPOINTS=gs://b/p aqueduct check --offline",
                2,
                "is in Cloud Storage, which this build lacks",
            ),
        ],
    );
    let place = Place::with(&SHOP.replace("emulator_host = ", "# emulator_host = "));
    check(&place, &[("aqueduct setup", 2, "names no emulator, and this build cannot reach Google Cloud")]);
    let properties = "[kafka.properties]\n\"security.protocol\" = \"sasl_ssl\"\n";
    let place = Place::with(&format!("{KAFKA}{properties}[anonymise]\nforward = \"all\"\n{FLOW}"));
    check(&place, &[("aqueduct replay --kafka", 2, "needs TLS, which this build lacks")]);
}
