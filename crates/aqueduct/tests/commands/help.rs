//! The examples in `--help` work.

use crate::{support::Place, usage::COMMANDS};

/// The example that users copy.
const SHOP: &str = include_str!("../../../../examples/shop/aqueduct.toml");

/// Commands that these tests cannot run, with the place of their test.
const ELSEWHERE: &[(&str, &str)] = &[
    ("aqueduct demo --duration 1m", "a minute long; tests/tests/pipe/demo.rs"),
    ("sqlite3 -box demo.db", "after the demo, and not ours"),
    ("aqueduct setup", "needs Pub/Sub; tests/tests/pipe"),
    ("aqueduct connector", "needs Kafka and Pub/Sub; tests/tests/pipe"),
    ("aqueduct connect connect-standalone.properties pubsub-sink.json", "needs Kafka; tests/connect"),
    ("aqueduct connect connect-distributed.properties", "needs Kafka; tests/connect"),
    ("aqueduct connect --translate", "needs files; connect.rs"),
    ("aqueduct processor --config aqueduct.toml", "needs Pub/Sub; tests/tests/pipe"),
    ("aqueduct check", "needs all services; services.rs"),
    ("aqueduct check --sample 10000", "needs Kafka; tests/survey"),
    ("aqueduct generate --rate 2000", "needs Kafka and does not end; tests/replay/kafka.rs"),
    ("aqueduct replay --kafka --from", "needs Kafka; tests/replay/kafka.rs"),
    ("aqueduct replay views=views.ndjson.zst", "needs two topics; examples.rs"),
    ("aqueduct test page.test.toml", "needs files; flow_tests.rs"),
    ("aqueduct status", "needs a state; tests/survey"),
    ("aqueduct reconcile", "needs a state; tests/survey"),
    ("aqueduct dead-letters list", "needs a state; tests/tests/pipe/redrive.rs"),
    ("aqueduct dead-letters redrive", "needs Kafka; tests/tests/pipe/redrive.rs"),
    ("man aqueduct-replay", "not ours"),
];

/// The files in the examples.
const FILES: [&str; 3] = ["monday.ndjson.gz", "tuesday.ndjson.gz", "events.ndjson"];

fn elsewhere(line: &str) -> Option<&'static (&'static str, &'static str)> {
    // An entry that is a prefix of others matches only the whole line.
    let longest =
        ELSEWHERE.iter().filter(|(known, _)| line == *known || line.starts_with(&format!("{known} ")));
    longest.max_by_key(|(known, _)| known.len()).filter(|(known, _)| {
        let is_whole = matches!(*known, "aqueduct setup" | "aqueduct check" | "aqueduct connector");
        !is_whole || line == *known
    })
}

#[test]
fn every_example_works() {
    let (mut tried, mut left) = (0, Vec::new());
    for command in COMMANDS {
        let place = Place::with(SHOP);
        // Commands that create a keyring start without one.
        if !matches!(command, "keys" | "keys new" | "connector") {
            assert_eq!(place.run("keys new").code, Some(0));
        }
        for file in FILES {
            let made = place.run(&format!("generate --events 200 --output {file}"));
            assert_eq!(made.code, Some(0), "{}", made.err);
        }
        let help = place.run(&format!("{command} --help")).out;
        let (_, examples) = help.split_once("Example").expect("an example");
        for line in examples.lines().filter_map(|line| line.strip_prefix("  ")) {
            if let Some(known) = elsewhere(line) {
                left.push(known.0);
                continue;
            }
            let run = place.shell(line);
            assert_eq!(run.code, Some(0), "{command}: {line}: {}", run.err);
            tried += 1;
        }
    }
    assert!(tried >= 15, "{tried} examples were tried");
    for (line, why) in ELSEWHERE {
        assert!(left.contains(line), "no example is {line} any more ({why})");
    }
}
