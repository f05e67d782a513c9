//! Wrong configurations: the exact messages, all of them at once, exit code 2.

use crate::support::Place;

/// The example that people copy.
const SHOP: &str = include_str!("../../../../examples/shop/aqueduct.toml");

/// The errors of `check --offline` for the example with `old` replaced.
fn check(old: &str, new: &str, expected: &str) {
    assert!(SHOP.contains(old), "the example has no {old:?}");
    let place = Place::with(&SHOP.replacen(old, new, 1));
    let run = place.run("check --offline");
    assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{new}: {}", run.err);
    let errors: Vec<&str> = run.err.lines().map(without_place).collect();
    assert_eq!(errors, [expected], "{new}");
}

/// The text behind `error: aqueduct.toml:12: `; the number moves with the example.
fn without_place(line: &str) -> &str {
    line.strip_prefix("error: aqueduct.toml:")
        .and_then(|line| line.split_once(": "))
        .map_or(line, |(_, text)| text)
}

#[test]
fn the_example_is_right() {
    let place = Place::with(SHOP);
    let run = place.run("check --offline");
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert!(
        run.out.starts_with("ok      aqueduct.toml: the configuration\nmemory  flow box_ctr: "),
        "{}",
        run.out
    );
}

#[test]
fn every_mistake_has_its_message() {
    for (old, new, expected) in [
        ("[kafka]", "[kafak]", "unknown section kafak; did you mean kafka?"),
        ("group_id =", "gruop_id =", "unknown key kafka.gruop_id; did you mean group_id?"),
        ("group_id = \"aqueduct\"", "", "missing key kafka.group_id"),
        ("[\"events\"]", "[]", "kafka.topics: names no topic; write at least one"),
        (
            "group_id =",
            "properties.\"enable.auto.commit\" = true\ngroup_id =",
            "kafka.properties.\"enable.auto.commit\": cannot be set: an offset is committed only when Pub/Sub has \
             everything before it",
        ),
        (
            "\"shop-analytics\"",
            "\"shop\"",
            "pubsub.project: \"shop\" is no project id; write 6 or more lower-case letters, digits and hyphens, a letter first",
        ),
        (
            "\"localhost:8085\"",
            "\"localhost\"",
            "pubsub.emulator_host: emulator host \"localhost\" is no address; write host:port, such as \"localhost:8085\"",
        ),
        ("forward = \"all\"", "", "missing key anonymise.forward"),
        (
            "[\"/ip\"]",
            "[\"ip\"]",
            "anonymise.remove[0]: invalid JSON pointer \"ip\"; write a \"/\" before each name, such as \"/user_id\" or \"/session/user\"",
        ),
        (
            "strip_query = [\"/page\"]",
            "strip_query = [\"/user_id\"]",
            "anonymise: \"/user_id\" in anonymise.strip_query meets \"/user_id\" in anonymise.pseudonymise; take one of the two out",
        ),
        (
            "\"/time\"",
            "\"/times/*\"",
            "events.time: \"/times/*\" has a \"*\", but one place is needed here; write the name or number of the member or element",
        ),
        ("size = \"10m\"", "size = \"0s\"", "flows[0].window.size: size and period must be longer than 0"),
        (
            "size = \"10m\"",
            "size = \"10\"",
            "flows[0].window.size: invalid duration \"10\" (expected a number with ms, s, m, h or d, such as \"30s\" or \"1h30m\")",
        ),
        ("name = \"box_ctr\"", "", "missing key flows[0].name"),
        ("path = \"aqueduct.db\"", "", "writer.path: is missing; kind = \"sqlite\" needs it"),
        (
            "kind = \"sqlite\"",
            "kind = \"sqllite\"",
            "writer.kind: unknown value \"sqllite\"; did you mean sqlite?",
        ),
    ] {
        check(old, new, expected);
    }
}

#[test]
fn all_mistakes_are_told_at_once_with_their_lines() {
    let config = "[kafka]\nbootstrap_servers = \"\"\ntopics = []\ngroup_id = \"a\"\n\n[state]\nperiod = \"0s\"\n\n[writer]\nkind = \"sqlite\"\n";
    let run = Place::with(config).run("check --offline");
    assert_eq!(run.code, Some(2));
    assert_eq!(
        run.err,
        "error: aqueduct.toml:2: kafka.bootstrap_servers: names no broker; write host:port, such as \"localhost:9092\"\n\
         error: aqueduct.toml:3: kafka.topics: names no topic; write at least one\n\
         error: aqueduct.toml:9: writer.path: is missing; kind = \"sqlite\" needs it\n\
         error: aqueduct.toml:7: state.period: period must be longer than 0s\n"
    );
}

#[test]
fn pseudonyms_that_change_are_refused_where_they_are_compared() {
    let config = SHOP
        .replace("id = \"/event_id\"", "id = \"/user_id\"")
        .replace("window = {", "join = { on = \"/session/user\", within = \"30m\" }\nwindow = {");
    let place = Place::with(&config);
    assert_eq!(place.run("keys new").code, Some(0));
    assert_eq!(place.run("check --offline").code, Some(0), "one key: nothing changes");
    assert_eq!(place.run("keys rotate --at 2999-01-01T00:00:00Z").code, Some(0));
    for command in ["check --offline", "connector"] {
        let run = place.run(command);
        assert_eq!(run.code, Some(2), "{command}: {}", run.err);
        let keys: Vec<_> = run.err.lines().filter_map(|line| line.split(": ").nth(2)).collect();
        assert_eq!(keys, ["events.id", "flows[0].join.on"], "{}", run.err);
        assert!(
            run.err.contains("\"/user_id\" is pseudonymised and the keyring has 2 keys: "),
            "{}",
            run.err
        );
    }
}

#[test]
fn what_a_flow_reads_and_nobody_forwards_is_a_warning() {
    let place =
        Place::with(&SHOP.replace("forward = \"all\"", "forward = [\"/time\", \"/event_id\", \"/page\"]"));
    let run = place.run("check --offline");
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(
        run.out.contains(
            ": flows[0].by.box: \"/box\" is not forwarded by [anonymise], so the processor will not find it\n"
        ),
        "{}",
        run.out
    );
    // Each of them has its line, also where the pointers of views and clicks do not pass.
    for key in ["flows[0].by.box", "flows[0].views.\"/type\"", "flows[0].clicks.\"/type\""] {
        has_line(&run.out, key);
    }
}

/// The warning about a key, which must have a line of the file.
fn has_line(out: &str, key: &str) {
    let found = out.lines().find(|line| line.contains(&format!(": {key}: ")));
    let found = found.unwrap_or_else(|| panic!("{key}: {out}"));
    let place = found.strip_prefix("warning aqueduct.toml:").and_then(|rest| rest.split(':').next());
    assert!(place.is_some_and(|line| line.parse::<u32>().is_ok()), "{found}");
}

#[test]
fn odd_rules_are_warnings_with_their_lines() {
    let run = Place::with(&SHOP.replace("forward = \"all\"", "forward = [\"/time\"]")).run("check --offline");
    assert_eq!(run.code, Some(0), "{}", run.err);
    for key in ["anonymise.strip_query", "events.id"] {
        has_line(&run.out, key);
    }
}

#[test]
fn processing_time_that_a_restart_shifts_is_a_warning() {
    // Another producer fills the topic: its messages have no positions, and no marks say what is missing.
    let (head, rest) = SHOP.split_once("[kafka]").expect("the example has the section");
    let unpositioned = format!("{head}{}", &rest[rest.find("\n[").expect("another section")..]);
    let warned = |config: &str, flow: &str| {
        let config = config.replace("[[flows]]", &format!("[[flows]]\n{flow}"));
        let run = Place::with(&config).run("check --offline");
        assert_eq!(run.code, Some(0), "{}", run.err);
        let is_warned = run.out.contains(": flows[0].out_of_orderness: ");
        if is_warned {
            has_line(&run.out, "flows[0].out_of_orderness");
        }
        is_warned
    };
    assert!(warned(&unpositioned, "time = \"processing\""), "the default is shorter than a restart");
    assert!(!warned(&unpositioned, "time = \"processing\"\nout_of_orderness = \"5m\""));
    assert!(!warned(&unpositioned, "time = \"event\""));
    assert!(!warned(SHOP, "time = \"processing\""), "marks say what is missing");
}

#[test]
fn a_cold_start_shorter_than_a_lease_is_a_warning() {
    let run = |seconds: u32| {
        let place = Place::with(&format!("{SHOP}\n[state]\ncold_start = \"{seconds}s\"\n"));
        place.run("check --offline").out
    };
    has_line(&run(9), "state.cold_start");
    assert!(!run(10).contains("warning"), "{}", run(10));
}

#[test]
fn without_any_configuration_the_least_is_shown() {
    for command in ["check", "connector", "generate"] {
        let run = Place::new().run(command);
        assert_eq!(run.code, Some(2), "{command}");
        assert_eq!(
            run.err,
            "error: aqueduct.toml (no such file): the section kafka is missing; the least to add is\n\n\
             [kafka]\nbootstrap_servers = \"localhost:9092\"\ntopics = [\"events\"]\ngroup_id = \"aqueduct\"\n",
            "{command}"
        );
    }
}

#[test]
fn a_named_file_must_be_there() {
    let run = Place::new().run("check --config other.toml");
    assert_eq!(
        (run.code, run.err.as_str()),
        (Some(2), "error: other.toml: no such file (named by --config)\n")
    );
}

#[test]
fn a_dry_run_of_setup_says_what_it_would_make_and_makes_nothing() {
    let place = Place::with(SHOP);
    let run = place.run("setup --dry-run");
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    for line in [
        "would ensure topic projects/shop-analytics/topics/events-marks (keeps messages 7d)",
        "table box_ctr: would be created",
    ] {
        assert!(run.out.lines().any(|found| found == line), "no {line:?} in\n{}", run.out);
    }
    assert_eq!(
        std::fs::read_dir(place.folder()).expect("the folder").count(),
        2,
        "the configuration and .input"
    );
}
