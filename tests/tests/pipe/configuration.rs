//! Wrong configurations: exit code 2, and exactly what is wrong, where, and what to do.

use anyhow::Result;
use tests::pipe::Pipe;

const RIGHT: &str = r#"[kafka]
bootstrap_servers = "localhost:9092"
topics = ["events"]
group_id = "shop"
[pubsub]
project = "shop-analytics"
topic = "events"
subscription = "events-ctr"
[anonymise]
pseudonymise = ["/user_id"]
forward = "all"
[events]
time = "/time"
[[flows]]
name = "box_ctr"
by = { page = "/page" }
views = { "/type" = "view" }
clicks = { "/type" = "click" }
window = { size = "10m", period = "1m" }
[writer]
kind = "sqlite"
path = "rows.db"
[state]
period = "5s"
"#;

/// Runs a command and expects these words on standard error, and no others.
fn check(command: &str, config: Option<&str>, expected: &str) -> Result<()> {
    let pipe = Pipe::bare("configuration")?;
    if let Some(config) = config {
        pipe.write("aqueduct.toml", config)?;
    }
    let ended = pipe.run(&[command])?;
    assert_eq!((ended.code, ended.err.as_str()), (Some(2), expected), "{command} with {config:?}");
    assert_eq!(ended.out, "");
    Ok(())
}

/// As [`check`], with something of the right configuration replaced.
fn check_with(command: &str, (right, wrong): (&str, &str), expected: &str) -> Result<()> {
    assert!(RIGHT.contains(right), "{right} stands in the configuration");
    check(command, Some(&RIGHT.replacen(right, wrong, 1)), &format!("error: aqueduct.toml:{expected}\n"))
}

#[test]
fn what_is_wrong_is_named_with_its_place() -> Result<()> {
    for (command, change, expected) in [
        ("connector", ("group_id", "grup_id"), "4: unknown key kafka.grup_id; did you mean group_id?"),
        ("processor", ("[state]", "[stat]"), "23: unknown section stat; did you mean state?"),
        ("processor", ("[pubsub]", "[pubsub"), "5: invalid TOML: unclosed table, expected `]`"),
        ("connector", ("forward = \"all\"\n", ""), "9: missing key anonymise.forward"),
        (
            "connector",
            ("topics =", "buffer = \"12 parsecs\"\ntopics ="),
            "3: kafka.buffer: invalid size \"12 parsecs\" (expected a number with B, KiB, MiB, GiB, kB, MB or GB, such as \
             \"32MiB\")",
        ),
        (
            "connector",
            ("[pubsub]", "[kafka.properties]\n\"enable.auto.commit\" = true\n[pubsub]"),
            "6: kafka.properties.\"enable.auto.commit\": cannot be set: an offset is committed only when Pub/Sub has \
             everything before it",
        ),
        (
            "connector",
            ("\"/user_id\"", "\"user_id\""),
            "10: anonymise.pseudonymise[0]: invalid JSON pointer \"user_id\"; write a \"/\" before each name, such as \
             \"/user_id\" or \"/session/user\"",
        ),
        (
            "connector",
            ("localhost:9092", "${env:AQUEDUCT_TEST_NOT_SET}"),
            "2: kafka.bootstrap_servers: ${env:AQUEDUCT_TEST_NOT_SET}: the variable AQUEDUCT_TEST_NOT_SET is not set (or \
             not UTF-8)",
        ),
        // Though every topic has a time of its own: there may be messages of none of them.
        (
            "processor",
            ("time = \"/time\"", "[events.topics.events]\ntime = \"/at\""),
            "12: missing key events.time",
        ),
        (
            "connector",
            ("[events]", "[events]"),
            "9: anonymise.keyring: no keyring at keys.toml; make one with `aqueduct keys new`",
        ),
        (
            "processor",
            ("events-ctr", "goog-ctr"),
            "8: pubsub.subscription: \"goog-ctr\" is no name for Pub/Sub; write 3 to 249 letters, digits and -_.~+%, a \
             letter first, not \"goog\"",
        ),
        (
            "processor",
            ("\"10m\"", "\"0s\""),
            "19: flows[0].window.size: size and period must be longer than 0",
        ),
        (
            "processor",
            ("\"sqlite\"", "\"postgres\""),
            "21: writer.kind: unknown value \"postgres\"; known values: sqlite, bigquery",
        ),
        (
            "processor",
            ("period = \"5s\"", "takeover_after = \"1s\""),
            "24: state.takeover_after: takeover_after = \"1s\" is too short for period = \"5s\": a stand-by would take \
             over from a processor that lives; write at least \"10s\"",
        ),
    ] {
        check_with(command, change, expected)?;
    }
    Ok(())
}

#[test]
fn what_is_missing_is_shown() -> Result<()> {
    let kafka = "the section kafka is missing; the least to add is\n\n[kafka]\nbootstrap_servers = \
                 \"localhost:9092\"\ntopics = [\"events\"]\ngroup_id = \"aqueduct\"\n";
    check("connector", None, &format!("error: aqueduct.toml (no such file): {kafka}"))?;
    check("connector", Some(""), &format!("error: aqueduct.toml: {kafka}"))?;
    let nothing = "error: aqueduct.toml: pubsub: neither [pubsub] nor [writer] is configured: there is nothing to set up\n";
    check("setup", Some("[state]\nperiod = \"5s\"\n"), nothing)
}
