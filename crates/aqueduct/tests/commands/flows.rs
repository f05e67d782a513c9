//! Errors in `[[flows]]`, and contradictions between flows and `[anonymise]`: file, line and key.

use crate::support::Place;

const REST: &str = r#"
[events]
time = "/time"
[anonymise]
pseudonymise = ["/user_id", "/session/user"]
remove = ["/ip", "/payment"]
forward = "all"
[[flows]]
name = "f"
by = { page = "/page" }
"#;
/// The line of the first key that a test adds.
const FIRST: usize = 10;

/// The lines, counted from the first one that was added, and the keys of the errors of `check --offline`.
fn errors(place: &Place) -> Vec<(usize, String)> {
    let run = place.run("check --offline");
    let error = |line: &str| {
        let rest = line.strip_prefix("error: aqueduct.toml:")?;
        let (number, rest) = rest.split_once(": ")?;
        let key = match rest.strip_prefix("unknown key ") {
            Some(rest) => rest.split(';').next()?,
            None => rest.split(": ").next()?,
        };
        Some((number.parse::<usize>().ok()? + 1 - FIRST, key.to_owned()))
    };
    let errors: Vec<_> =
        run.err.lines().map(|line| error(line).unwrap_or_else(|| panic!("{line}"))).collect();
    assert_eq!(run.code, Some(if errors.is_empty() { 0 } else { 2 }), "{}{}", run.out, run.err);
    errors
}

#[track_caller]
fn check(flow: &str, expected: &[(usize, &str)]) {
    let place = Place::with(&format!("{}{flow}\n", REST.trim_start()));
    let expected: Vec<_> = expected.iter().map(|(line, key)| (*line, (*key).to_owned())).collect();
    assert_eq!(errors(&place), expected, "{flow}");
}

#[test]
fn invalid_measures_and_windows_name_the_key() {
    let window = "window = { size = \"10m\" }\n[flows.measures]\n";
    for (measures, line, key) in [
        ("views = { count = {} }", 0, ""),
        ("a = { ratio = [\"b\", \"views\"] }\nviews = { count = {} }", 3, "flows[0].measures.a.ratio"),
        ("page = { count = {} }", 3, "flows[0].measures.page"),
        ("a = { sum = \"/price\", max = \"/price\" }", 3, "flows[0].measures.a.max"),
        ("a = { cuont = {} }", 3, "flows[0].measures.a.cuont"),
        ("a = { distinct = \"/id\", per = 10 }", 3, "flows[0].measures.a.per"),
        ("\"a b\" = { count = {} }", 3, "flows[0].measures.\"a b\""),
        ("a = { sum = \"/price\", sketch = false }", 3, "flows[0].measures.a.sketch"),
        (
            "a = { distinct = \"/id\", sketch = true }\na_sketch = { count = {} }",
            4,
            "flows[0].measures.a_sketch",
        ),
        ("a = { count = { topic = 5 } }", 3, "flows[0].measures.a.count.topic"),
        ("a = { count = { topic = [\"t\", true] } }", 3, "flows[0].measures.a.count.topic"),
        ("a = { count = { \"/day\" = 2026-11-29 } }", 3, "flows[0].measures.a.count.\"/day\""),
        (
            "a = { count = { \"/day\" = [\"x\", 2026-11-29T10:00:00Z] } }",
            3,
            "flows[0].measures.a.count.\"/day\"[1]",
        ),
        ("x = { sum = \"/price\" }\nX = { sum = \"/price\" }", 4, "flows[0].measures.X"),
    ] {
        let expected = [(line, key)];
        check(&format!("{window}{measures}"), if key.is_empty() { &[] } else { &expected });
    }
    for (window, key) in [
        ("{ session = \"30m\", timezone = \"UTC\" }", "flows[0].window.timezone"),
        ("{ session = \"2h\" }", "flows[0].window.session"),
        ("{ size = \"1d\", timezone = \"Europe/Warszaw\" }", "flows[0].window.timezone"),
        ("{ size = \"25h\", timezone = \"Europe/Warsaw\" }", "flows[0].window.size"),
        ("{ size = \"24h\", timezone = \"Europe/Warsaw\" }", "flows[0].window.size"),
        ("{ size = \"182500d\" }", "flows[0].window.size"),
        ("{ size = \"365d\", period = \"1ms\" }", "flows[0].window.period"),
        ("{ size = \"10m\", timzone = \"UTC\" }", "flows[0].window.timzone"),
        ("{ period = \"1m\" }", "flows[0].window"),
    ] {
        check(&format!("window = {window}\nmeasures.views = {{ count = {{}} }}"), &[(1, key)]);
    }
}

#[test]
fn unknown_measure_keys_suggest_the_nearest() {
    for (flow, hint) in [
        ("window = { sise = \"10m\" }\nmeasures.a = { count = {} }", "size"),
        ("window = { size = \"10m\" }\nmeasures.a = { distnct = \"/id\" }", "distinct"),
        (
            "window = { size = \"1d\", timezone = \"Europe/Warszaw\" }\nmeasures.a = { count = {} }",
            "Europe/Warsaw",
        ),
        (
            "window = { size = \"10m\" }\nmeasures.views = { count = {} }\nmeasures.a = { ratio = [\"viws\", \"views\"] }",
            "views",
        ),
    ] {
        let run = Place::with(&format!("{REST}{flow}\n")).run("check --offline");
        let hinted = run.err.rsplit("; did you mean ").next().unwrap_or_default();
        assert_eq!(hinted.trim_end().trim_matches(['?', '"']), hint, "{}", run.err);
    }
}

#[test]
fn pseudonyms_and_removed_fields_cannot_be_measured() {
    let flow = "window = { size = \"10m\" }\n[flows.measures]\n\
                a = { sum = \"/user_id\" }\nb = { min = \"/payment/price\" }\nc = { max = \"/session/user\" }\n\
                d = { sum = \"/price\" }\ne = { distinct = \"/user_id\" }";
    let expected =
        [(3, "flows[0].measures.a.sum"), (4, "flows[0].measures.b.min"), (5, "flows[0].measures.c.max")];
    check(flow, &expected);
    let place = Place::with(&format!(
        "{}{flow}\n[writer]\nkind = \"sqlite\"\npath = \"rows.db\"\n",
        REST.trim_start()
    ));
    assert_eq!(place.run("keys new").code, Some(0));
    place.write("events.ndjson", "{}\n");
    let replay = place.run("replay events.ndjson");
    assert_eq!(replay.code, Some(2), "{}", replay.err);
    assert!(replay.err.contains("flows[0].measures.a.sum: "), "{}", replay.err);
}

#[test]
fn distinct_pseudonyms_need_one_key() {
    let flow = "window = { size = \"10m\" }\n[flows.measures]\nreaders = { distinct = \"/user_id\" }\n\
                pages = { distinct = \"/page\" }";
    let place = Place::with(&format!("{}{flow}\n", REST.trim_start()));
    assert_eq!(place.run("keys new").code, Some(0));
    assert_eq!(errors(&place), []);
    assert_eq!(place.run("keys rotate --at 2999-01-01T00:00:00Z").code, Some(0));
    assert_eq!(errors(&place), [(3, "flows[0].measures.readers.distinct".to_owned())]);
}

/// What needs too much memory is named where the file has it.
#[test]
fn lengths_without_room_are_named() {
    for (line, key) in [
        ("out_of_orderness = \"36500d\"", "flows[0].out_of_orderness"),
        ("allowed_lateness = \"36500d\"", "flows[0].allowed_lateness"),
        ("out_of_orderness = \"106751991167d\"", "flows[0].out_of_orderness"),
    ] {
        let flow = format!("window = {{ size = \"1s\" }}\n{line}\nmeasures.views = {{ count = {{}} }}");
        check(&flow, &[(2, key)]);
    }
}

/// The processor and `replay` refuse what `check` refuses, and in the same words.
#[test]
fn what_check_refuses_does_not_run() {
    let rest = "[pubsub]\nproject = \"project\"\ntopic = \"topic\"\nsubscription = \"events\"\nemulator_host = \"127.0.0.1:9\"\n\
                [writer]\nkind = \"sqlite\"\npath = \"rows.db\"\n";
    let start = REST.trim_start();
    let flow = |by: &str, measure: &str| {
        let start = start.replace("page = \"/page\"", by);
        format!("{start}window = {{ size = \"10m\" }}\n[flows.measures]\na = {measure}\n{rest}")
    };
    for (text, key) in [
        (flow("page = \"/page\"", "{ distinct = \"/user_id\" }"), "flows[0].measures.a.distinct"),
        (flow("user = \"/user_id\"", "{ count = {} }"), "flows[0].by.user"),
        (flow("page = \"/page\"", "{ sum = \"/user_id\" }"), "flows[0].measures.a.sum"),
    ] {
        let place = Place::with(&text);
        assert_eq!(place.run("keys new").code, Some(0));
        assert_eq!(place.run("keys rotate --at 2999-01-01T00:00:00Z").code, Some(0));
        place.write("events.ndjson", b"");
        let checked = place.run("check --offline");
        assert!(checked.err.contains(key), "{}", checked.err);
        for command in ["processor", "replay events.ndjson", "replay --anonymised events.ndjson"] {
            let run = place.run(command);
            assert_eq!((run.code, &run.err), (Some(2), &checked.err), "{command}");
        }
    }
}

#[test]
fn values_that_never_match_are_warnings() {
    let flow = "where = { \"/ip\" = \"1\" }\nwindow = { size = \"10m\" }\n[flows.measures]\n\
                a = { count = { \"/user_id\" = \"u1\" } }\nb = { sum = \"/price\", where = { \"/payment/kind\" = 1 } }\n\
                c = { distinct = \"/payment/card\" }";
    let run = Place::with(&format!("{}{flow}\n", REST.trim_start())).run("check --offline");
    assert_eq!(run.code, Some(0), "{}", run.err);
    for (line, key) in [
        (1, "flows[0].where.\"/ip\""),
        (4, "flows[0].measures.a.count.\"/user_id\""),
        (5, "flows[0].measures.b.where.\"/payment/kind\""),
        (6, "flows[0].measures.c.distinct"),
    ] {
        let start = format!("warning aqueduct.toml:{}: {key}: ", line + FIRST - 1);
        assert!(run.out.lines().any(|line| line.starts_with(&start)), "{start}\n{}", run.out);
    }
}

#[test]
fn memory_is_estimated_for_each_kind_of_window() {
    for (window, most) in [
        // 1 GiB is enough for 600,000 keys with 71 slices of views and clicks.
        (
            "window = { size = \"10m\", period = \"1m\" }\nviews = { \"/t\" = \"v\" }\nclicks = { \"/t\" = \"c\" }",
            600_000,
        ),
        ("window = { session = \"30m\" }\nmeasures.a = { count = {} }", 100_000),
        ("window = { size = \"1d\", timezone = \"UTC\" }\nmeasures.a = { distinct = \"/id\" }", 10_000),
    ] {
        let run =
            Place::with(&format!("{REST}{window}\n[state]\nmemory = \"1GiB\"\n")).run("check --offline");
        let line = run
            .out
            .lines()
            .find(|line| line.starts_with("memory  flow f: "))
            .unwrap_or_else(|| panic!("{}", run.err));
        let keys = line.rsplit("is enough for ").next().unwrap_or_default();
        let keys: u64 = keys
            .trim_start_matches("at least ")
            .split(' ')
            .next()
            .and_then(|keys| keys.parse().ok())
            .unwrap_or_default();
        assert!(keys >= most, "{line}");
    }
}
