//! Invalid and valid configurations, which `engines/beam` reads as well: each case is the base with one text replaced.

use serde_json::Value;

use crate::place::Place;

const CASES: &str = include_str!("configurations.json");

/// The lines and keys of all errors, such as `7 flows[0].by`.
fn errors(config: &str) -> Vec<String> {
    let place = Place::new(config);
    place.write("events.ndjson", b"");
    let ran = place.run(&["replay", "--anonymised", "events.ndjson"]);
    keys(&ran.err, "error: ")
}

/// The lines and keys in those lines of a text that have a prefix.
fn keys(text: &str, prefix: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
    let place_and_key = |line: &str| {
        let (place, text) = line.split_once(": ")?;
        let number = place.strip_prefix("aqueduct.toml")?.strip_prefix(':').unwrap_or("0");
        let text = ["unknown key ", "missing key ", "unknown section ", "missing section "]
            .iter()
            .find_map(|start| text.strip_prefix(start))
            .unwrap_or(text);
        let key = text.split([';', ':']).next()?.trim();
        Some(format!("{number} {}", if key == "invalid TOML" { "" } else { key }))
    };
    lines.map(|line| place_and_key(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

#[test]
fn errors_have_their_line_and_key() {
    let cases: Value = serde_json::from_str(CASES).expect("the cases are JSON");
    let base = cases["base"].as_str().expect("a base");
    let mut wrong = Vec::new();
    for case in cases["cases"].as_array().expect("a list of cases") {
        let (old, new) = (case["old"].as_str().expect("a text"), case["new"].as_str().expect("a text"));
        assert!(base.contains(old), "the base has no {old:?}");
        let expected: Vec<&str> =
            case["errors"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        let found = errors(&base.replacen(old, new, 1));
        if found != expected {
            wrong.push(format!("{new}\n  expected {expected:?}\n  found    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_beam_engine_is_checked_for_its_writers() {
    let cases: Value = serde_json::from_str(CASES).expect("the cases are JSON");
    let base = cases["base"].as_str().expect("a base");
    let texts = |list: &Value| -> Vec<String> {
        let texts = list.as_array().expect("a list").iter();
        texts.map(|text| text.as_str().expect("a text").to_owned()).collect()
    };
    for case in cases["writers"].as_array().expect("a list of cases") {
        let added = case["add"].as_str().expect("a text");
        let ran = Place::new(&format!("{base}{added}")).run(&["check", "--offline", "--engine", "beam"]);
        assert_eq!(keys(&ran.err, "error: "), texts(&case["errors"]), "{added}");
        let out = String::from_utf8(ran.out).expect("the output is text");
        assert_eq!(keys(&out, "beam    "), texts(&case["refused"]), "{added}");
    }
    let flow = base.replacen("name = \"ctr\"", "name = \"ctr\"\ntime = \"kafka\"", 1);
    let ran = Place::new(&flow).run(&["check", "--offline", "--engine", "beam"]);
    assert_eq!(keys(&String::from_utf8_lossy(&ran.out), "beam    "), ["7 flows[0].time"]);
}
