//! `aqueduct test`: what passes, what fails and how it is reported, and files that are wrong.

use crate::support::{FLOW, Place};

/// A flow by page, with windows of ten minutes and a pseudonymised user, without a keyring.
fn place() -> Place {
    Place::with(&format!(
        "{FLOW}window = {{ size = \"10m\" }}\nallowed_lateness = \"1h\"\n[flows.measures]\nusers = {{ distinct = \"/user\" }}\n\
         [anonymise]\npseudonymise = [\"/user\"]\nforward = \"all\"\n"
    ))
}

/// A view and a click of one window, and a view of a later one.
const EVENTS: &str = r#"events = [
  '{"time":"2026-01-01T10:00:00Z","type":"view","page":"/a","user":"u1"}',
  '{"time":"2026-01-01T10:01:00Z","type":"click","page":"/a","user":"u1"}',
  '{"time":"2026-01-01T10:30:00Z","type":"view","page":"/b","user":"u2"}',
  '{"time":"2026-01-01T10:02:00Z","type":"view","page":"/a","user":"u3"}',
]
"#;

/// Runs one test with these keys.
fn run(keys: &str) -> (Option<i32>, String) {
    let place = place();
    place.write("page.test.toml", format!("[[test]]\nname = \"t\"\n{EVENTS}{keys}\n"));
    let run = place.run("test page.test.toml");
    (run.code, run.out + &run.err)
}

#[test]
fn rows_are_expected_by_some_of_their_columns() {
    let a = r#"{ flow = "by_page", page = "/a", window_start = "2026-01-01T11:00:00+01:00", views = 2, clicks = 1, ctr = 0.5, users = 2 }"#;
    let b = r#"{ page = "/b", views = 1, clicks = 0 }"#;
    for (keys, code) in [
        (format!("expect = [{a}, {b}]\nonly = true"), 0),
        (format!("expect = [{b}]"), 0),
        (format!("expect = [{b}]\nonly = true"), 1),
        ("expect = []".to_owned(), 0),
        ("expect = []\nonly = true".to_owned(), 1),
        (format!("expect = [{a}, {a}]"), 1),
        ("expect = [{ page = \"/a\", views = 3 }]".to_owned(), 1),
        ("expect = [{ page = \"/b\", ctr = nan }]".to_owned(), 1),
        ("expect = [{ page = \"/c\" }]".to_owned(), 1),
    ] {
        let (found, text) = run(&keys);
        assert_eq!(found, Some(code), "{keys}\n{text}");
    }
}

#[test]
fn panes_are_expected_in_order() {
    let pane = |page: &str, views: u64, pane: &str| {
        format!("{{ page = {page:?}, views = {views}, pane = {pane:?} }}")
    };
    let [first, late, second] = [pane("/a", 1, "ON_TIME"), pane("/a", 2, "LATE"), pane("/b", 1, "ON_TIME")];
    for (panes, code) in [
        (format!("{first}, {late}, {second}"), 0),
        (format!("{late}, {first}, {second}"), 1),
        (format!("{first}, {late}"), 1),
    ] {
        let (found, text) = run(&format!("expect_panes = [{panes}]"));
        assert_eq!(found, Some(code), "{panes}\n{text}");
    }
}

#[test]
fn a_failure_names_the_column_and_what_was_rejected() {
    let place = place();
    place.write(
        "page.test.toml",
        "[[test]]\nname = \"first\"\nevents = ['{\"time\":\"2026-01-01T10:00:00Z\",\"type\":\"view\",\"page\":\"/a\",\"user\":\"secret\"}', 'x']\n\
         expect = [{ page = \"/a\", views = 7 }]\n[[test]]\nname = \"second\"\nevents = []\nexpect = []\nonly = true\n",
    );
    let run = place.run("test page.test.toml");
    assert_eq!(run.code, Some(1), "{}", run.err);
    for text in ["first", "expect[0]", "views", "7", "not-json", "second", "1 passed, 1 failed"] {
        assert!(run.out.contains(text), "{text}: {}", run.out);
    }
    assert!(!run.out.contains("secret"), "{}", run.out);
}

#[test]
fn update_writes_the_rows_and_keeps_the_rest() {
    let place = place();
    let text = format!(
        "# The front page.\n[[test]]\nname = \"a\" # first\n{EVENTS}expect = [{{ page = \"/a\", views = 9 }}]\nonly = true\n\n[[test]]\nname = \"b\"\n{EVENTS}expect_panes = []\n"
    );
    place.write("page.test.toml", &text);
    assert_eq!(place.run("test page.test.toml").code, Some(1));
    assert_eq!(place.run("test --update page.test.toml").code, Some(0));
    let run = place.run("test page.test.toml");
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    let updated = String::from_utf8(place.read("page.test.toml")).expect("text");
    let kept = |part: &str| updated.contains(part);
    assert!(kept("# The front page.") && kept("\"a\" # first") && kept(EVENTS), "{updated}");
}

#[test]
fn events_come_from_files_and_topics() {
    let place = Place::with(
        "[events]\ntime = \"/time\"\n[[flows]]\nname = \"f\"\nby = { page = \"/page\" }\nviews = { topic = \"views\" }\nclicks = { topic = \"clicks\" }\nwindow = { size = \"10m\" }\n",
    );
    place.write("views.ndjson", "{\"time\":\"2026-01-01T10:00:00Z\",\"page\":\"/a\"}\n");
    place.write(
        "page.test.toml",
        r#"
[[test]]
name = "of a file"
events = "views.ndjson"
topic = "views"
expect = [{ page = "/a", views = 1, clicks = 0 }]
only = true

[[test]]
name = "of two topics"
topic = "views"
events = ['{"time":"2026-01-01T10:00:00Z","page":"/a"}', { topic = "clicks", event = '{"time":"2026-01-01T10:00:00Z","page":"/a"}' }]
expect = [{ page = "/a", views = 1, clicks = 1 }]
only = true
"#,
    );
    let run = place.run("test page.test.toml");
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
}

#[test]
fn a_wrong_file_has_line_and_key() {
    for (keys, line, key) in [
        ("expect = [{ flow = \"by_pgae\", views = 1 }]", 9, "did you mean by_page?"),
        ("expect = [\n  { views = 1 },\n  { vews = 1 },\n]", 11, "did you mean views?"),
        ("expect = [{ views = [1] }]", 9, "test[0].expect[0].views"),
        ("expects = []", 9, "did you mean expect?"),
        ("expect = []\nexpect_panes = []", 10, "test[0].expect_panes"),
        ("expect_panes = []\nonly = true", 10, "test[0].only"),
        ("only = true", 1, "test[0]"),
        ("expect = []\ntopic = \"a b\"", 10, "test[0].topic"),
    ] {
        let (code, text) = run(keys);
        assert_eq!(code, Some(2), "{keys}: {text}");
        assert!(
            text.starts_with(&format!("error: page.test.toml:{line}: ")) && text.contains(key),
            "{keys}: {text}"
        );
    }
    let place = place();
    place.write("empty.test.toml", "");
    for words in ["test empty.test.toml", "test nowhere.test.toml"] {
        assert_eq!(place.run(words).code, Some(2), "{words}");
    }
    place.write(
        "page.test.toml",
        "config = \"other.toml\"\n[[test]]\nname = \"t\"\nevents = []\nexpect = []\n",
    );
    let missing = place.run("test page.test.toml");
    assert!(missing.code == Some(2) && missing.err.contains("other.toml"), "{}", missing.err);
    assert_eq!(place.run("test page.test.toml --config aqueduct.toml").code, Some(0));
}
