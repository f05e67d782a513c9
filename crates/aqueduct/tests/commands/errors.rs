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
            ("aqueduct keys new", 0, "made "),
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
                "echo old > rows.db; echo log > rows.db-wal; aqueduct replay events.ndjson --output rows.db",
                1,
                "rows.db: another program writes to it (",
            ),
        ],
    );
}

#[test]
fn a_property_that_librdkafka_does_not_know_is_told() {
    let place = Place::with(&format!(
        "{KAFKA}[kafka.properties]\n\"no.such.property\" = 1\n[anonymise]\nforward = \"all\"\n{FLOW}"
    ));
    check(
        &place,
        &[
            (
                "aqueduct generate --events 1",
                1,
                "no Kafka client can be made; correct [kafka] or [kafka.properties]",
            ),
            (
                "aqueduct check --sample 1",
                1,
                "no Kafka client can be made; correct [kafka] or [kafka.properties]",
            ),
            (
                "aqueduct replay --kafka",
                1,
                "no Kafka client can be made; correct [kafka] or [kafka.properties]",
            ),
            ("aqueduct generate --events 1", 1, "no.such.property"),
            ("aqueduct check", 1, "no Kafka client can be made; correct [kafka] or [kafka.properties]"),
        ],
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
                "cannot make a folder for the state; set TMPDIR to one that may be written",
            ),
            ("aqueduct demo --config nowhere.toml", 1, "cannot read nowhere.toml; correct --config"),
            (
                "aqueduct demo --path mine.db",
                1,
                "mine.db exists and holds no rows of a demo; name another file with --path",
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
            ("aqueduct man file/pages", 1, "cannot make the folder file/pages; choose one that you own"),
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
                "AQUEDUCT_LOG: \"loud\" is no log level; write off, error, warn, info, debug or trace",
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
            (
                "AQUEDUCT__FLOWS__0__EARLY=10ms aqueduct check --offline",
                2,
                "early panes more often than every second are not for people",
            ),
            (
                "AQUEDUCT__FLOWS__0__VIEWS='{}' aqueduct check --offline",
                2,
                "matches nothing; name at least one pair",
            ),
            ("AQUEDUCT__WRITER__PATH= aqueduct check --offline", 2, "is empty; name a file such as"),
        ],
    );
}

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
