//! The examples are valid, and give the expected ledgers.

use std::{collections::BTreeSet, fs, path::Path};

use crate::support::Place;

/// Directory, arguments of `replay`, and expected ledgers.
const EXAMPLES: &[(&str, &str, &[&str])] = &[
    ("shop", "events.ndjson", &["flow box_ctr: 200 = 195 counted + 5 ignored"]),
    ("news", "events.ndjson", &["flow article_ctr: 140 = 140 counted"]),
    (
        "two-topics",
        "views=views.ndjson clicks=clicks.ndjson",
        &["flow box_ctr: 184 = 177 counted + 7 duplicate"],
    ),
    ("revenue", "events.ndjson", &["flow variant_revenue: 200 = 199 counted + 1 rejected"]),
    ("results", "events.ndjson", &["flow provider_failures: 8 = 8 counted"]),
    ("sessions", "events.ndjson", &["flow reader_session: 80 = 79 counted + 1 ignored"]),
    ("daily-uniques", "events.ndjson", &["flow section_day: 285 = 285 counted"]),
    ("avro", "events.avro", &["flow box_ctr: 200 = 188 counted + 12 ignored"]),
    ("protobuf", "events.ndjson", &["flow box_ctr: 200 = 188 counted + 12 ignored"]),
    (
        "hermes",
        "pl.shop.events=events.ndjson",
        &["flow box_ctr: 124 = 111 counted + 4 duplicate + 9 ignored"],
    ),
    ("debezium", "shop.public.orders=orders.ndjson", &["flow orders: 119 = 108 counted + 11 ignored"]),
    ("cloudevents", "events=events.ndjson", &["flow box_ctr: 100 = 92 counted + 8 ignored"]),
    (
        "three-flows",
        "events.ndjson",
        &[
            "flow box_ctr: 200 = 200 counted",
            "flow page_hour: 200 = 200 counted",
            "flow campaign_day: 200 = 92 counted + 108 ignored",
        ],
    ),
];

#[test]
fn every_example_is_checked_and_replayed() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let there: BTreeSet<String> = fs::read_dir(&examples)
        .expect("examples")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(there, EXAMPLES.iter().map(|(name, ..)| (*name).to_owned()).collect());
    for (name, files, ledgers) in EXAMPLES {
        let place = Place::new();
        for entry in fs::read_dir(examples.join(name)).expect("the example") {
            let entry = entry.expect("an entry");
            place.write(&entry.file_name().to_string_lossy(), fs::read(entry.path()).expect("a file"));
        }
        assert_eq!(place.run("keys new").code, Some(0), "{name}");
        let check = place.run("check --offline");
        assert_eq!((check.code, check.err.as_str()), (Some(0), ""), "{name}");
        let replay = place.run(&format!("replay --final --output rows.ndjson {files}"));
        assert_eq!(replay.code, Some(0), "{name}: {}", replay.err);
        let printed: Vec<&str> = replay.err.lines().filter(|line| line.starts_with("flow ")).collect();
        assert_eq!(printed, *ledgers, "{name}");
        assert!(!place.read("rows.ndjson").is_empty(), "{name}");
        let tests = place.run("test flow.test.toml");
        assert_eq!(tests.code, Some(0), "{name}: {}{}", tests.out, tests.err);
    }
}

#[cfg(feature = "cloud")]
#[test]
fn the_kubernetes_configuration_is_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kubernetes/base/aqueduct.toml");
    let text = fs::read_to_string(path).expect("the configuration");
    let mounted = "/etc/aqueduct/keyring/keys.toml";
    assert!(text.contains(mounted), "{text}");
    let place = Place::new();
    place.write("aqueduct.toml", text.replace(mounted, "keys.toml").into_bytes());
    assert_eq!(place.run("keys new").code, Some(0));
    let check = place.run("check --offline");
    assert_eq!((check.code, check.err.as_str()), (Some(0), ""), "{}", check.out);
}
