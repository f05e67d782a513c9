//! `check --sample-file`: the outcome of every field, without values.

use crate::support::Place;

const CONFIG: &str = r#"
[anonymise]
pseudonymise = ["/user_id", "/session/user", "/items/*/seller_id"]
remove = ["/ip"]
strip_query = ["/page"]
forward = "all"
[events]
time = "/time"
id = "/event_id"
"#;

#[test]
fn the_sample_report_has_no_values() {
    let place = Place::with(CONFIG);
    let lines = (0..40).map(|n| {
        format!(
            "{{\"user_id\":\"secret-{n}\",\"ip\":\"203.0.113.{n}\",\"time\":{n},\"event_id\":\"e-{n}\",\"page\":\"/p?secret={n}\",\
             \"contact\":{{\"mail\":\"secret-{n}@example.com\",\"tel\":\"+48 601 234 5{n:02}\"}},\"seen_by\":{{\"secret-{n}\":true}},\
             \"card\":4111111111111111,\"client\":\"via 203.0.113.{n}:443\"}}\n"
        )
    });
    place.write("events.ndjson", lines.collect::<String>() + "{\"user_id\":[\"secret-x\"]}\nsecret\n");
    let run = place.run("check --sample-file events.ndjson");
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{}", run.out);
    let line = |start: &str| {
        let found = run.out.lines().find(|line| line.starts_with(start));
        found.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap_or_default()
    };
    for (start, expected) in [
        ("42 records", "42 records of events.ndjson: 40 passed, 2 rejected"),
        ("  1 rejected: unexpected", "1 rejected: unexpected-shape at /user_id"),
        ("/user_id", "/user_id 40 100 % pseudonymised"),
        ("/ip", "/ip 40 100 % removed"),
        ("/page", "/page 40 100 % forwarded without query"),
        ("/contact/mail", "/contact/mail 40 100 % forwarded email, high-cardinality"),
        ("/contact/tel", "/contact/tel 40 100 % forwarded phone, high-cardinality"),
        ("/client", "/client 40 100 % forwarded ip, high-cardinality"),
        ("/card", "/card 40 100 % forwarded card"),
        ("/event_id", "/event_id 40 100 % forwarded high-cardinality"),
        ("/time", "/time 40 100 % forwarded"),
        ("/seen_by/*", "/seen_by/* 40 100 % forwarded names-vary"),
        ("warning /contact/mail: 40", "warning /contact/mail: 40 of 40 values look like an e-mail address"),
    ] {
        assert_eq!(line(start), expected, "in\n{}", run.out);
    }
    let json = place.run("check --offline --sample 30 --sample-file events.ndjson --format json");
    let report: serde_json::Value = serde_json::from_str(&json.out).expect("a JSON object");
    assert_eq!((&report["records"]["read"], &report["records"]["passed"]), (&30.into(), &30.into()));
    // The times of these events are a few milliseconds after the epoch, as seconds would be; a file has no Kafka
    // timestamps.
    assert_eq!((&report["times"]["read"], &report["times"]["in_january_1970"]), (&30.into(), &30.into()));
    assert!(report["times"]["delay_p50_ms"].is_null());
    assert!(run.out.contains("January 1970"), "{}", run.out);
    for output in [&run.out, &json.out] {
        for value in ["secret", "203.0", "601", "4111"] {
            assert!(!output.contains(value), "{value} in\n{output}");
        }
    }
    assert!(!place.path("keys.toml").exists(), "a look makes no keyring");
}

#[test]
fn unusable_samples_are_errors() {
    let place = Place::with(CONFIG);
    place.write("empty.ndjson", "\n");
    for (words, code, expected) in [
        ("check --sample-file empty.ndjson", 1, "empty.ndjson contains no records"),
        ("check --sample-file none.ndjson", 1, "cannot read none.ndjson"),
        ("check --sample 10 --offline", 2, "--sample reads Kafka"),
        ("check --format json", 2, "--format requires --sample"),
        ("check --sample 10", 2, "missing section kafka"),
    ] {
        let run = place.run(words);
        assert_eq!(run.code, Some(code), "{words}: {}", run.err);
        assert!(run.err.contains(expected), "{words}: {}", run.err);
    }
    let run = Place::with("[events]\ntime = \"/t\"\n").run_with("check --sample-file -", "{}");
    assert!(run.code == Some(2) && run.err.contains("missing section anonymise"), "{}", run.err);
}
