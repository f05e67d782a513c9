//! Invalid configurations: each error with its line and key, all of them at once, exit code 2.

use crate::support::Place;

/// The example that users copy.
const SHOP: &str = include_str!("../../../../examples/shop/aqueduct.toml");

/// The one error of `check --offline` for the example with `old` replaced: it has a line and names the key.
fn check(old: &str, new: &str, key: &str) {
    assert!(SHOP.contains(old), "the example has no {old:?}");
    let place = Place::with(&SHOP.replacen(old, new, 1));
    let run = place.run("check --offline");
    assert_eq!((run.code, run.out.as_str(), run.err.lines().count()), (Some(2), "", 1), "{new}: {}", run.err);
    let located = run.err.strip_prefix("error: aqueduct.toml:").and_then(|rest| rest.split_once(": "));
    let (line, text) = located.unwrap_or_else(|| panic!("{new}: {}", run.err));
    assert!(line.parse::<usize>().is_ok() && text.contains(key), "{new}: {}", run.err);
}

#[test]
fn the_example_is_valid() {
    let place = Place::with(SHOP);
    assert_eq!(place.run("keys new").code, Some(0));
    let run = place.run("check --offline");
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert!(
        run.out.starts_with("ok      aqueduct.toml: the configuration\nmemory  flow box_ctr: "),
        "{}",
        run.out
    );
}

#[test]
fn each_error_has_line_and_key() {
    for (old, new, key) in [
        ("[kafka]", "[kafak]", "kafka"),
        ("[kafka]", "[kafka", "TOML"),
        ("group_id =", "gruop_id =", "kafka.gruop_id; did you mean group_id?"),
        ("group_id = \"aqueduct\"", "", "kafka.group_id"),
        ("group_id =", "buffer = \"12 parsecs\"\ngroup_id =", "kafka.buffer: "),
        (
            "group_id =",
            "properties.\"enable.auto.commit\" = true\ngroup_id =",
            "kafka.properties.\"enable.auto.commit\": ",
        ),
        ("[\"events\"]", "[]", "kafka.topics: "),
        ("[\"events\"]", "[\"${env:AQUEDUCT_TEST_NOT_SET}\"]", "AQUEDUCT_TEST_NOT_SET"),
        ("\"shop-analytics\"", "\"shop\"", "pubsub.project: "),
        ("\"localhost:8085\"", "\"localhost\"", "pubsub.emulator_host: "),
        ("emulator_host =", "filter = {}\nemulator_host =", "pubsub.filter: "),
        ("emulator_host =", "ordering_keys = \"/page\"\nemulator_host =", "did you mean ordering_key?"),
        // It may not pass.
        ("emulator_host =", "ordering_key = \"/ip\"\nemulator_host =", "pubsub.ordering_key: "),
        ("topic = \"events\"", "topic = \"e-{/ip}\"\ntopics = [\"e-1\"]", "pubsub.topic: "),
        ("topic = \"events\"", "topic = \"e-{country}\"\ntopics = [\"e-1\"]", "pubsub.topic: "),
        ("topic = \"events\"", "topic = \"e-{/country}\"", "pubsub.topics: "),
        ("topic = \"events\"", "topic = \"events\"\ntopics = [\"events\"]", "pubsub.topics: "),
        ("forward = \"all\"", "", "anonymise.forward"),
        ("[\"/ip\"]", "[\"ip\"]", "anonymise.remove[0]: "),
        ("strip_query = [\"/page\"]", "strip_query = [\"/user_id\"]", "anonymise.strip_query"),
        ("\"/time\"", "\"/times/*\"", "events.time: "),
        // Even if every topic has its own time pointer: messages of other topics may arrive.
        ("time = \"/time\"", "topics.events.time = \"/at\"", "events.time"),
        ("size = \"10m\"", "size = \"0s\"", "flows[0].window.size: "),
        ("size = \"10m\"", "size = \"10\"", "flows[0].window.size: "),
        ("name = \"box_ctr\"", "", "flows[0].name"),
        ("path = \"aqueduct.db\"", "", "writer.path: "),
        // Without an effect.
        ("id = \"/event_id\"", "id_within = \"1h\"", "events.id_within: "),
        ("window = {", "early = \"10m\"\nwindow = {", "flows[0].early: "),
        ("emulator_host =", "regions = [\"EU\"]\nemulator_host =", "pubsub.regions: "),
        (
            "[pubsub]",
            "[kafka.format]\nvalue = \"avro\"\n[schema_registry]\nurl = \"https://registry\"\nca = \"nowhere.pem\"\n[pubsub]",
            "schema_registry.ca: ",
        ),
        ("path = \"aqueduct.db\"", "path = \"aqueduct.db\"\ntopic = \"ctr\"", "writer.topic: "),
        (
            "kind = \"sqlite\"\npath = \"aqueduct.db\"",
            "kind = \"pubsub\"\ntopic = \"events\"",
            "writer.topic: ",
        ),
        (
            "kind = \"sqlite\"\npath = \"aqueduct.db\"",
            "kind = \"pubsub\"\ntopic = \"events-marks\"",
            "writer.topic: ",
        ),
        ("kind = \"sqlite\"\npath = \"aqueduct.db\"", "kind = \"pubsub\"", "writer.topic: "),
        ("kind = \"sqlite\"", "kind = \"pubsub\"\ntopic = \"ctr\"", "writer.path: "),
        ("kind = \"sqlite\"", "kind = \"sqlite\"\nmode = \"merge\"", "writer.mode"),
        // Errors of a section that another one needs are printed once.
        (
            "kind = \"sqlite\"\npath = \"aqueduct.db\"",
            "kind = \"pubsub\"\ntopic = \"ctr\"\n[pubsub.filter]",
            "pubsub.filter: ",
        ),
        ("kind = \"sqlite\"", "kind = \"sqllite\"", "did you mean sqlite?"),
    ] {
        check(old, new, key);
    }
}

#[test]
fn all_errors_are_reported_at_once() {
    let config = "[kafka]\nbootstrap_servers = \"\"\ntopics = []\ngroup_id = \"a\"\n\n[state]\nperiod = \"0s\"\n\n[writer]\nkind = \"sqlite\"\n";
    let run = Place::with(config).run("check --offline");
    assert_eq!(run.code, Some(2));
    let located: Vec<&str> = run.err.lines().filter_map(|line| line.split(": ").nth(1)).collect();
    assert_eq!(
        located,
        ["aqueduct.toml:2", "aqueduct.toml:3", "aqueduct.toml:9", "aqueduct.toml:7"],
        "{}",
        run.err
    );
}

#[test]
fn a_syntax_error_hides_no_other_error() {
    let config = SHOP
        .replace("topics = [\"events\"]", "topics = [\"events\"")
        .replace("group_id =", "gruop_id =")
        .replace("[pubsub]", "[pubsubs]")
        .replace("project =", "projekt =")
        .replace("size = \"10m\",", "size = \"10m\"");
    let line_of = |start: &str| 1 + config.lines().position(|line| line.starts_with(start)).expect(start);
    let run = Place::with(&config).run("check --offline");
    let lines = run.err.lines().filter_map(|line| line.strip_prefix("error: aqueduct.toml:"));
    let found: Vec<_> = lines.filter_map(|line| line.split(':').next()?.parse::<usize>().ok()).collect();
    let expected = ["topics", "window", "[pubsubs]", "gruop_id", "projekt"].map(line_of);
    assert_eq!(
        (run.code, found.as_slice(), run.err.lines().count()),
        (Some(2), &expected[..], 5),
        "{}",
        run.err
    );
    for key in ["kafka.topics", "flows[0].window", "pubsub?", "group_id?", "project?"] {
        assert!(run.err.contains(key), "{key}: {}", run.err);
    }
}

#[test]
fn all_errors_of_a_table_are_reported_at_once() {
    let config = SHOP
        .replace("group_id =", "buffer = 32\ngroup = \"a\"\ngroup_id =")
        .replace("window = {", "join = { on = \"/view_id\", within = \"2h\", limit = 0 }\nwindow = {");
    let run = Place::with(&config).run("check --offline");
    assert_eq!(run.code, Some(2));
    let mut keys: Vec<&str> = run.err.lines().filter_map(|line| line.split(": ").nth(2)).collect();
    // The text about an unknown key begins with it.
    keys.retain(|key| !key.starts_with("unknown key kafka.group;"));
    let expected = ["kafka.buffer", "flows[0].join.limit", "flows[0].allowed_lateness"];
    assert_eq!((keys.as_slice(), run.err.lines().count()), (&expected[..], 4), "{}", run.err);
}

#[test]
fn an_absent_keyring_is_a_warning_and_an_unusable_one_an_error() {
    let place = Place::with(SHOP);
    let run = place.run("check --offline");
    assert_eq!(run.code, Some(0), "{}", run.err);
    has_line(&run.out, "anonymise.keyring");
    std::fs::create_dir(place.path("keys.toml")).expect("a folder");
    let run = place.run("check --offline");
    assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{}", run.err);
    assert!(run.err.contains(": anonymise.keyring: "), "{}", run.err);
}

#[test]
fn flow_names_are_unique() {
    let (start, end) = (SHOP.find("[[flows]]").expect("a flow"), SHOP.find("[writer]").expect("a writer"));
    let run = Place::with(&format!("{SHOP}\n{}", &SHOP[start..end])).run("check --offline");
    assert_eq!(run.code, Some(2), "{}", run.out);
    assert!(run.err.contains(": flows[1].name: "), "{}", run.err);
}

#[test]
fn compared_pseudonyms_need_one_key() {
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
    }
}

#[test]
fn fields_that_are_not_forwarded_are_warned_about() {
    let place =
        Place::with(&SHOP.replace("forward = \"all\"", "forward = [\"/time\", \"/event_id\", \"/page\"]"));
    let run = place.run("check --offline");
    assert_eq!(run.code, Some(0), "{}", run.err);
    // Each has its line, also if the pointers of views and clicks are not forwarded.
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
fn ineffective_rules_are_warned_about_by_line() {
    let run = Place::with(&SHOP.replace("forward = \"all\"", "forward = [\"/time\"]")).run("check --offline");
    assert_eq!(run.code, Some(0), "{}", run.err);
    for key in ["anonymise.strip_query", "events.id"] {
        has_line(&run.out, key);
    }
}

#[test]
fn a_short_processing_lateness_is_a_warning() {
    // Another producer publishes to the topic: its messages have no positions, and without marks missing messages are
    // not detected.
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
    assert!(!warned(SHOP, "time = \"processing\""), "marks show missing messages");
}

#[test]
fn a_cold_start_shorter_than_a_lease_is_a_warning() {
    let run = |seconds: u32| {
        let place = Place::with(&format!("{SHOP}\n[state]\ncold_start = \"{seconds}s\"\n"));
        assert_eq!(place.run("keys new").code, Some(0));
        place.run("check --offline").out
    };
    has_line(&run(9), "state.cold_start");
    assert!(!run(10).contains("warning"), "{}", run(10));
}

#[test]
fn without_configuration_a_minimal_one_is_shown() {
    for command in ["check", "connector", "generate"] {
        let run = Place::new().run(command);
        assert_eq!(run.code, Some(2), "{command}");
        let example = "\n[kafka]\nbootstrap_servers = \"localhost:9092\"\ntopics = [\"events\"]\ngroup_id = \"aqueduct\"\n";
        assert!(run.err.ends_with(example), "{command}: {}", run.err);
    }
}

#[test]
fn a_given_configuration_must_exist() {
    let run = Place::new().run("check --config other.toml");
    assert_eq!(run.code, Some(2));
    assert!(run.err.starts_with("error: other.toml: "), "{}", run.err);
}

#[test]
fn a_dry_run_of_setup_creates_nothing() {
    let place = Place::with(SHOP);
    let run = place.run("setup --dry-run");
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    for line in [
        "would create if missing: topic projects/shop-analytics/topics/events-marks (message retention 7d)",
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
