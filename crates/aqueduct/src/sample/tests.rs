//! Reports about samples of a few events.

use super::*;

const SECTION: &str = r#"{"remove": ["/ip", "/by/*/secret"], "strip_query": ["/page"], "forward": "all", "headers": ["trace"]}"#;
const ALL: &str = r#"{"forward": "all"}"#;

fn report(section: &str, events: impl IntoIterator<Item = String>) -> Report {
    let settings: connector::anonymise::AnonymiseSettings = serde_json::from_str(section).expect("settings");
    let mut anonymiser = Anonymiser::new(&settings, None, None).expect("rules");
    let known = Known {
        times: vec!["/time".parse().expect("a pointer")],
        others: vec!["/type".parse().expect("a pointer")],
    };
    let mut sample = Sample::new(settings.key, &known);
    for event in events {
        let headers: &[(&str, &[u8])] = &[("trace", b"t"), ("x-user-4711", b"u")];
        let raw = Raw { topic: "t", value: Some(event.as_bytes()), key: Some(b"jan@example.com"), headers };
        sample.take(&mut anonymiser, &raw, None);
    }
    Report::of(sample, None, "a test".to_owned(), Vec::new())
}

/// Every line as `pointer outcome records kinds`.
fn lines(report: &Report) -> Vec<String> {
    let line = |line: &report::Line| {
        let kinds: Vec<&str> = line.warnings.iter().map(|warning| warning.kind).collect();
        format!("{} {} {} {}", line.pointer, line.outcome, line.records, kinds.join(","))
            .trim_end()
            .to_owned()
    };
    report.pointers.iter().chain(&report.attributes).map(line).collect()
}

#[test]
fn every_field_is_reported_with_its_outcome() {
    let event = |n: u64| {
        format!(
            r#"{{"type":"view","time":{n},"page":"/p/{}?u=1","ip":"10.0.0.1","mail":"u{n}@example.com",
            "box":{{"name":"b","tags":["a","b"],"none":[]}},"by":{{"u{n}":{{"n":1,"secret":"s"}}}},
            "score":{{"canary-{n}":1}},"price":{n}.5}}"#,
            n % 3
        )
    };
    let report = report(SECTION, (0..100).map(event));
    let expected = [
        "/box/name forwarded 100",
        "/box/none forwarded 100",
        "/box/tags/* forwarded 100",
        "/by/* forwarded 100 names-vary",
        "/by/*/n forwarded 100",
        "/by/*/secret removed 100",
        "/ip removed 100",
        "/mail forwarded 100 email,high-cardinality",
        "/page query-stripped 100",
        "/price forwarded 100",
        "/score/* forwarded 100 names-vary",
        "/time forwarded 100",
        "/type forwarded 100",
        "header * dropped 100",
        "header trace forwarded 100",
        "key dropped 100",
    ];
    let mut found = lines(&report);
    found.sort();
    assert_eq!(found, expected);
    let page = format!("{report}{}", serde_json::to_string(&report).expect("JSON"));
    for value in ["canary", "example.com", "4711", "u42", "10.0.0.1"] {
        assert!(!page.contains(value), "{value} in {page}");
    }
}

#[test]
fn stable_member_names_are_shown() {
    let stable = |n: u64| {
        format!(r#"{{"a":1,"b_c":{n},"größe":2{}}}"#, if n.is_multiple_of(50) { ",\"rare\":1" } else { "" })
    };
    assert_eq!(
        lines(&report(ALL, (0..200).map(stable)))[..4],
        [
            "/a forwarded 200",
            "/b_c forwarded 200 high-cardinality",
            "/größe forwarded 200",
            "/rare forwarded 4"
        ]
    );
    // A name that occurs once is too rare, and a few names in many events may be persons.
    let once = report(ALL, [r#"{"type":1,"jan":2}"#.to_owned()]);
    assert_eq!(lines(&once)[..2], ["/type forwarded 1", "/* forwarded 1 names-vary"]);
    let people = |n: u64| {
        format!(r#"{{"type":1,"of":{{"{}":1}}}}"#, ["ann", "bob", "eve", "joe", "sue"][n as usize % 5])
    };
    assert_eq!(
        lines(&report(ALL, (0..200).map(people)))[..2],
        ["/of/* forwarded 200 names-vary", "/type forwarded 200"]
    );
    for name in ["jan@example.com", "4711x", "+48 601 234 567", "Jan Kowalski", "*", "\\u0007"] {
        let all = report(ALL, (0..9).map(|_| format!("{{\"{name}\":1}}")));
        assert!(lines(&all).iter().all(|line| !line.contains(name) || name == "*"), "{name}");
    }
}

#[test]
fn rejected_records_are_only_counted() {
    let events =
        [r#"{"type":1}"#, r#"{"user":"u","user":"v"}"#, r#"{"page":7}"#, r#"{"page":8}"#].map(str::to_owned);
    let report = report(r#"{"strip_query": ["/page"], "forward": "all"}"#, events);
    assert_eq!((report.records.read, report.records.passed, report.records.rejected), (4, 1, 3));
    let rejects: Vec<_> =
        report.rejects.iter().map(|r| (r.reason, r.pointer.as_deref(), r.records)).collect();
    assert_eq!(rejects, [("unexpected-shape", Some("/page"), 2), ("duplicate-member", None, 1)]);
    assert_eq!(lines(&report)[0], "/type forwarded 1");
    assert!(report.to_string().contains("4 records of a test: 1 passed, 3 rejected"));
}

#[test]
fn memory_is_bounded_for_any_names() {
    let event = |n: u64| {
        let members =
            (0..50).map(|m| format!("\"{}\":{{\"v\":{m}}}", "n".repeat(1 + (n * 50 + m) as usize % 997)));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    };
    let found = lines(&report(ALL, (0..100).map(event)));
    assert_eq!(found[..2], ["/* forwarded 100 names-vary", "/*/v forwarded 100"]);
}
