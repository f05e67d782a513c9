//! The built `aqueduct replay` over generated and hand-written files, against an independent recount.

mod configurations;

mod place;

mod recount;

mod kafka;

use place::{Place, Ran, finals, gzip, rows};
use recount::{Flow, recount, recount_joined};

const EVENTS: &str = "[events]\ntime = \"/time\"\nid = \"/event_id\"\n";

const SLIDING: Flow = Flow { name: "box_ctr", by: &["page", "box"], size: 600_000, period: 60_000 };
const FIXED: Flow = Flow { name: "page_ctr", by: &["page"], size: 300_000, period: 300_000 };
const JOINED: Flow = Flow { name: "joined", by: &["box"], size: 600_000, period: 120_000 };

fn flow(name: &str, by: &str, rest: &str) -> String {
    format!(
        "[[flows]]\nname = \"{name}\"\nby = {{ {by} }}\nviews = {{ \"/type\" = \"view\" }}\n\
         clicks = {{ \"/type\" = \"click\" }}\n{rest}\n"
    )
}

fn three_flows() -> String {
    [
        EVENTS,
        &flow("box_ctr", "page = \"/page\", box = \"/box\"", "window = { size = \"10m\", period = \"1m\" }"),
        &flow("page_ctr", "page = \"/page\"", "window = { size = \"5m\" }"),
        &flow(
            "joined",
            "box = \"/box\"",
            "window = { size = \"10m\", period = \"2m\" }\njoin = { on = \"/view_id\", within = \"30m\" }",
        ),
    ]
    .concat()
}

/// One flow by page with windows of ten seconds, without allowed lateness.
fn impatient() -> String {
    let rest = "window = { size = \"10s\" }\nout_of_orderness = \"0s\"\nallowed_lateness = \"0s\"";
    format!("[events]\ntime = \"/time\"\n{}", flow("f", "page = \"/page\"", rest))
}

/// Twenty minutes of traffic with late, duplicate and broken events.
fn generate(place: &Place, name: &str, extra: &[&str]) -> Vec<u8> {
    let shape =
        ["generate", "--rate", "10", "--duration", "20m", "--pages", "5", "--boxes", "3", "--output", name];
    let ran = place.run(&[&shape[..], extra].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    place.read(name)
}

const TROUBLE: &[&str] = &["--late", "5%", "--duplicates", "2%", "--broken", "2%"];

fn event(seconds: i64, kind: &str, page: &str) -> String {
    format!("{{\"time\":{},\"type\":\"{kind}\",\"page\":\"{page}\"}}\n", seconds * 1000)
}

#[test]
fn generated_events_match_a_recount() {
    let place = Place::new(&three_flows());
    let text = generate(&place, "events.ndjson", TROUBLE);
    let ran = place.replay(&["--final", "events.ndjson"]);
    let all = rows(&ran.out);
    let expected =
        [recount(&text, &SLIDING), recount(&text, &FIXED), recount_joined(&text, &JOINED, 30 * 60_000)];
    let records = text.split(|b| *b == b'\n').filter(|line| !line.is_empty()).count();
    for (flow, expected) in [&SLIDING, &FIXED, &JOINED].into_iter().zip(expected) {
        let own: Vec<_> = all.iter().filter(|row| row["flow"] == flow.name).cloned().collect();
        let found = finals(&own, flow.by);
        assert_eq!(own.len(), found.len(), "one row a window and key");
        assert_eq!(found, expected.finals, "{}", flow.name);
        let line = ran.err.lines().find(|line| line.starts_with(&format!("flow {}: ", flow.name)));
        let line = line.expect("every flow has a line");
        assert!(line.starts_with(&format!("flow {}: {records} = ", flow.name)), "{line}");
        assert!(line.contains(&format!(" + {} duplicate", expected.duplicates)), "{line}");
        assert!(line.contains(&format!(" + {} rejected", expected.rejected)), "{line}");
        assert!(!line.contains("late") && !line.contains("pending"), "{line}");
        assert!(expected.duplicates > 0 && expected.rejected > 0, "{expected:?}");
    }
    assert!(all.iter().all(|row| row["pane"] != "EARLY"));
    // Without --final there are more panes, with the same last pane of each window and key.
    let panes = rows(&place.replay(&["events.ndjson"]).out);
    assert!(panes.iter().any(|row| row["pane"] == "LATE"));
    assert_eq!(finals(&panes, &["page", "box"]), finals(&all, &["page", "box"]));
}

#[test]
fn compressed_files_and_standard_input_are_the_same() {
    let place = Place::new(&three_flows());
    let text = generate(&place, "events.ndjson", TROUBLE);
    place.write("events.ndjson.gz", &gzip(&text));
    place.write("events.zst", &zstd::encode_all(&text[..], 1).expect("memory"));
    place.write("nameless", &gzip(&text));
    let crlf: Vec<u8> = text
        .iter()
        .flat_map(|b| if *b == b'\n' { &b"\r\n\n"[..] } else { std::slice::from_ref(b) })
        .copied()
        .collect();
    place.write("crlf", crlf.trim_ascii_end());
    let expected = rows(&place.replay(&["events.ndjson"]).out);
    assert!(!expected.is_empty());
    for name in ["events.ndjson.gz", "events.zst", "nameless", "crlf"] {
        assert!(rows(&place.replay(&[name]).out) == expected, "{name}");
    }
    for bytes in [text.clone(), gzip(&text)] {
        let ran = place.run_with(&["replay", "-"], &bytes);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert!(rows(&ran.out) == expected);
    }
    for output in ["rows.ndjson", "rows.ndjson.gz"] {
        let ran = place.replay(&["events.ndjson", "--output", output]);
        assert!(ran.out.is_empty() && ran.err.ends_with(&format!(" rows in {output}\n")), "{}", ran.err);
    }
    assert!(rows(&place.read("rows.ndjson")) == expected);
}

#[test]
fn sqlite_output_has_the_same_rows() {
    let place = Place::new(&three_flows());
    generate(&place, "events.ndjson", TROUBLE);
    place.write("rows.db", b"");
    let expected = rows(&place.replay(&["--final", "events.ndjson"]).out);
    place.replay(&["--final", "events.ndjson", "--output", "rows.db"]);
    assert_eq!(place.names(), ["aqueduct.toml", "events.ndjson", "rows.db"], "nothing else is left");
    let database = rusqlite::Connection::open(place.path("rows.db")).expect("a database");
    for flow in ["box_ctr", "page_ctr", "joined"] {
        let views: i64 =
            expected.iter().filter(|row| row["flow"] == flow).filter_map(|row| row["views"].as_i64()).sum();
        let count = expected.iter().filter(|row| row["flow"] == flow).count() as i64;
        let sql = format!("SELECT count(*), sum(views), sum(is_final) FROM {flow}_latest");
        let found: (i64, i64, i64) =
            database.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("a row");
        assert_eq!(found, (count, views, count), "{flow}");
    }
}

/// Sessions, sums and distinct values: the last panes equal the view, in any order of arrival.
#[test]
fn final_session_rows_match_the_view() {
    let place = Place::new(&format!(
        "{EVENTS}[[flows]]\nname = \"s\"\nby = {{ page = \"/page\" }}\nwindow = {{ session = \"1m\" }}\n\
         allowed_lateness = \"10m\"\nout_of_orderness = \"0s\"\n[flows.measures]\nreads = {{ count = {{}} }}\n\
         price = {{ sum = \"/price\" }}\nusers = {{ distinct = \"/user\" }}\n"
    ));
    let event = |n: i64| {
        let (page, price) = (if n % 7 == 0 { "a" } else { "b" }, n % 10);
        let time = n * 9_000 + if n % 40 > 30 { 120_000 } else { 0 };
        format!(
            "{{\"time\":{time},\"event_id\":\"{n}\",\"page\":\"{page}\",\"price\":0.{price},\"user\":{}}}\n",
            n % 5
        )
    };
    // Within ten minutes, in an order that merges sessions late.
    let order: Vec<i64> = (0..300).map(|n| n / 50 * 50 + n * 37 % 50).collect();
    place.write("sorted.ndjson", (0..300).map(event).collect::<String>().as_bytes());
    place.write("events.ndjson", order.iter().copied().map(event).collect::<String>().as_bytes());
    let columns = ["window_start", "window_end", "page", "reads", "price", "users"];
    let values = |bytes: &[u8]| {
        let value = |row: &serde_json::Value| {
            columns.map(|column| row[column].to_string().trim_matches('"').to_owned())
        };
        rows(bytes).iter().map(value).collect::<std::collections::BTreeSet<_>>()
    };
    let late = values(&place.replay(&["--final", "events.ndjson"]).out);
    assert!(late.len() > 5 && late == values(&place.replay(&["--final", "sorted.ndjson"]).out), "{late:?}");
    place.replay(&["events.ndjson", "--output", "rows.db"]);
    let database = rusqlite::Connection::open(place.path("rows.db")).expect("a database");
    let count = |table: &str| -> i64 {
        database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("the table")
    };
    assert!(count("s") > count("s_latest"), "sessions were merged");
    let list = columns.map(|column| format!("CAST({column} AS TEXT)")).join(", ");
    let mut view = database.prepare(&format!("SELECT {list} FROM s_latest")).expect("the view");
    let found = view.query_map([], |row| {
        let values: Vec<String> = (0..columns.len()).map(|at| row.get(at)).collect::<Result<_, _>>()?;
        Ok(<[String; 6]>::try_from(values).expect("six columns"))
    });
    assert_eq!(
        found.expect("rows").map(|row| row.expect("a row")).collect::<std::collections::BTreeSet<_>>(),
        late
    );
}

#[test]
fn files_are_merged_by_event_time() {
    let place = Place::new(&impatient());
    let halves = |keep: i64| -> String {
        (0..600)
            .filter(|n| n % 2 == keep)
            .map(|n| event(n, if n % 3 == 0 { "click" } else { "view" }, "p"))
            .collect()
    };
    place.write("a.ndjson", halves(0).as_bytes());
    place.write("b.ndjson", halves(1).as_bytes());
    // Read one after the other, the whole second file would be late.
    let ran = place.replay(&["a.ndjson", "b.ndjson"]);
    let found = rows(&ran.out);
    assert_eq!(found.len(), 60);
    assert!(
        found
            .iter()
            .all(|row| row["views"].as_u64().zip(row["clicks"].as_u64()).is_some_and(|(v, c)| v + c == 10))
    );
    assert!(ran.err.contains("flow f: 600 = 600 counted\n"), "{}", ran.err);
}

#[test]
fn a_file_can_be_a_topic() {
    let config = "[events]\ntime = \"/time\"\n[events.topics.clicks]\ntime = \"/at\"\n[[flows]]\nname = \"f\"\n\
                  by = { page = \"/page\" }\nviews = { topic = \"views\" }\nclicks = { topic = [\"clicks\", \"taps\"] }\n\
                  window = { size = \"10s\" }\n";
    let place = Place::new(config);
    place.write("v", b"{\"time\":1000,\"page\":\"p\"}\n{\"time\":2000,\"page\":\"p\"}");
    place.write("c", b"{\"at\":1500,\"page\":\"p\"}\n");
    let ran = place.run_with(&["replay", "views=v", "clicks=c", "taps=-"], b"{\"time\":3000,\"page\":\"p\"}");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let found = rows(&ran.out);
    assert_eq!((found.len(), &found[0]["views"], &found[0]["clicks"]), (1, &2.into(), &2.into()));
    assert!(ran.err.contains("4 records of 3 partitions, 0 rejected"), "{}", ran.err);
}

#[test]
fn rejected_events_are_shown_by_position() {
    let place = Place::new(&impatient());
    let text = [
        &event(5, "view", "p"),
        &event(25, "view", "p"),
        "\n",
        &event(4, "click", "p"),
        "{\"time\":\"secret\"}\n",
        "{\"time\":26000,\"type\":\"view\",\"page\":{\"secret\":1}}\n",
        "secret\n",
        &event(3, "view", "p"),
    ];
    place.write("e.ndjson", text.concat().as_bytes());
    let ran = place.replay(&["e.ndjson"]);
    assert!(!ran.err.contains("secret"), "{}", ran.err);
    for line in [
        "rejected 1: time at /time (e.ndjson:5)",
        "rejected 1: unexpected-shape at /page (e.ndjson:6)",
        "rejected 1: not-json (e.ndjson:7)",
        "late 2 in flow f (e.ndjson:4, e.ndjson:8)",
        "flow f: 7 = 2 counted + 2 late + 3 rejected",
    ] {
        assert!(ran.err.lines().any(|found| found == line), "{line}\n{}", ran.err);
    }
    assert!(ran.err.contains("\n7 records of 1 partition, 3 rejected, in "), "{}", ran.err);
    assert_eq!(rows(&ran.out).len(), 2);
}

#[test]
fn events_are_anonymised_if_configured() {
    let anonymise =
        "[anonymise]\npseudonymise = [\"/user_id\"]\nstrip_query = [\"/page\"]\nforward = \"all\"\n";
    let by_user = flow("by_user", "user = \"/user_id\"", "window = { size = \"10m\" }");
    let place = Place::new(&format!("{}{anonymise}{by_user}", three_flows()));
    assert_eq!(place.run(&["keys", "new"]).code, Some(0));
    let text = generate(&place, "raw.ndjson", &["--late", "5%", "--users", "20"]);
    let published = place.run_with(&["anonymise"], &text);
    assert_eq!(published.code, Some(0), "{}", published.err);
    place.write("published.ndjson", &published.out);
    let raw = rows(&place.replay(&["raw.ndjson"]).out);
    assert!(raw == rows(&place.replay(&["--anonymised", "published.ndjson"]).out));
    let is_pseudonym = |row: &serde_json::Value| row["user"].as_str().is_none_or(|user| user.len() == 22);
    assert!(raw.iter().filter(|row| row["flow"] == "by_user").all(is_pseudonym));
    assert!(raw.iter().any(|row| row["flow"] == "by_user" && row["user"].is_string()));
}

#[track_caller]
fn refused(ran: &Ran, code: i32, message: &str) {
    assert_eq!(ran.code, Some(code), "{}", ran.err);
    assert!(ran.err.contains(message), "{message}\n{}", ran.err);
    assert!(ran.out.is_empty());
}

#[test]
fn kafka_time_is_rejected_for_files() {
    for time in ["processing", "kafka"] {
        let rest = format!("window = {{ size = \"10s\" }}\n\ntime = \"{time}\"");
        let place =
            Place::new(&format!("[events]\ntime = \"/time\"\n{}", flow("f", "page = \"/page\"", &rest)));
        let ran = place.run(&["replay", "-"]);
        refused(&ran, 2, "aqueduct.toml:10: flows[0].time: ");
    }
}

#[test]
fn missing_things_are_named() {
    let place = Place::new("[events]\ntime = \"/time\"\n");
    refused(&place.run(&["replay", "-"]), 2, "[[flows]]");
    let place = Place::new(&impatient());
    refused(&place.run(&["replay"]), 2, "FILE");
    refused(&place.run(&["replay", "nowhere.ndjson"]), 1, "cannot read nowhere.ndjson");
    refused(&place.run(&["replay", "-", "-"]), 2, "standard input");
    refused(&place.run(&["replay", "--kafka"]), 2, "[kafka]");
    refused(&place.run(&["replay", "-", "--output", "bigquery"]), 2, "[writer]");
    refused(&place.run(&["replay", "-", "--from", "2026-01-01T00:00:00Z"]), 2, "--kafka");
}

#[test]
fn an_output_in_another_format_is_refused() {
    let place = Place::new(&three_flows());
    generate(&place, "events.ndjson", &["--events", "10"]);
    for (output, named) in [("rows.parquet", "rows.parquet"), ("rows.db.gz", "rows.db.gz")] {
        let ran = place.run(&["replay", "events.ndjson", "--output", output]);
        refused(&ran, 2, named);
        assert!(!place.path(output).exists(), "{output}");
    }
    let ran = place.run(&["replay", "events.ndjson", "--output", "rows.ndjson", "--replace"]);
    refused(&ran, 2, "--replace");
}

#[test]
fn an_output_is_replaced_only_when_complete() {
    let place = Place::new(&impatient());
    let text: String = (0..50_000).map(|n| event(n, "view", "p")).collect();
    let whole = gzip(text.as_bytes());
    place.write("cut.gz", &whole[..whole.len() / 2]);
    for output in ["rows.ndjson", "rows.db"] {
        place.write(output, b"old");
        let replace: &[&str] = if output == "rows.db" { &["--replace"] } else { &[] };
        let ran = place.run(&[&["replay", "cut.gz", "--output", output], replace].concat());
        refused(&ran, 1, "error: cannot read cut.gz to the end");
        let counted =
            ran.err.lines().find(|line| line.contains(" records of 1 partition")).expect("a summary");
        assert!(!counted.starts_with("0 ") && counted.contains("; no output"), "{counted}");
        assert_eq!(place.read(output), b"old");
    }
    assert_eq!(place.names(), ["aqueduct.toml", "cut.gz", "rows.db", "rows.ndjson"], "nothing else is left");
    refused(
        &place.run(&["replay", "cut.gz", "--output", "nowhere/rows.ndjson"]),
        1,
        "cannot write nowhere/rows.ndjson",
    );
}

#[test]
fn an_overlong_line_is_rejected() {
    let place = Place::new(&impatient());
    let long = format!("{{\"x\":\"{}\"}}\n", "x".repeat(10_000_001));
    place.write("e", [event(1, "view", "p"), long, event(2, "view", "p")].concat().as_bytes());
    let ran = place.replay(&["e"]);
    assert!(ran.err.contains("rejected 1: too-large (e:2)\n"), "{}", ran.err);
    assert!(ran.err.contains("flow f: 3 = 2 counted + 1 rejected\n"), "{}", ran.err);
}

/// The output would replace the input.
#[test]
fn output_does_not_replace_input() {
    let place = Place::new(&impatient());
    let text: String = (0..5).map(|second| event(second, "view", "/a")).collect();
    for link in ["", "symbolic", "hard"] {
        place.write("events.ndjson", text.as_bytes());
        let output = match link {
            "" => {
                "./../".to_owned()
                    + &place.path("").file_name().expect("a name").to_string_lossy()
                    + "/events.ndjson"
            }
            "symbolic" => {
                std::os::unix::fs::symlink("events.ndjson", place.path("link")).expect("a link");
                "link".to_owned()
            }
            _ => {
                std::fs::hard_link(place.path("events.ndjson"), place.path("hard")).expect("a link");
                "hard".to_owned()
            }
        };
        let ran = place.run(&["replay", "events.ndjson", "--output", &output]);
        assert_eq!(ran.code, Some(2), "{link}: {}", ran.err);
        assert_eq!(place.read("events.ndjson"), text.as_bytes(), "{link}");
    }
    let ran = place.run(&["replay", "events.ndjson", "--output", "aqueduct.toml"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    // A device is not replaced.
    let ran = place.run(&["replay", "/dev/null", "--output", "/dev/null"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}

/// Other files need --replace.
#[test]
fn only_databases_of_replays_are_replaced() {
    let place = Place::new(&impatient());
    place.write("events.ndjson", event(1, "view", "/a").as_bytes());
    for _ in 0..2 {
        place.replay(&["events.ndjson", "--output", "own.db"]);
    }
    let writer = rusqlite::Connection::open(place.path("own.db")).expect("a file");
    writer.execute("UPDATE aqueduct_pipelines SET pipeline = 'state file:///state'", []).expect("the table");
    writer.close().expect("closed");
    let foreign = rusqlite::Connection::open(place.path("foreign.db")).expect("a file");
    foreign.execute_batch("CREATE TABLE mine (x TEXT)").expect("room");
    foreign.close().expect("closed");
    for name in ["own.db", "foreign.db"] {
        let before = place.read(name);
        let ran = place.run(&["replay", "events.ndjson", "--output", name]);
        assert_eq!(ran.code, Some(2), "{name}: {}", ran.err);
        assert!(place.read(name) == before, "{name}");
        place.replay(&["events.ndjson", "--output", name, "--replace"]);
        place.replay(&["events.ndjson", "--output", name]);
    }
}

/// The user must correct the configuration or the input.
#[test]
fn only_rejects_is_a_failure() {
    let place = Place::new(&impatient());
    place.write("good.ndjson", event(1, "view", "/a").as_bytes());
    place.replay(&["good.ndjson", "--output", "rows.db"]);
    let before = place.read("rows.db");
    place.write("bad.ndjson", b"{\"type\":\"view\"}\nnot json\n");
    let ran = place.run(&["replay", "bad.ndjson", "--output", "rows.db"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(place.read("rows.db") == before, "the old rows stay");
    // Some accepted records are enough, and so is empty input.
    place.replay(&["good.ndjson", "bad.ndjson"]);
    place.write("empty.ndjson", b"");
    place.replay(&["empty.ndjson"]);
}

#[test]
fn a_flow_without_panes_has_a_ledger() {
    let place = Place::new(&impatient());
    let text: String = (0..5).map(|second| event(second, "other", "/a")).collect();
    place.write("events.ndjson", text.as_bytes());
    place.replay(&["events.ndjson", "--output", "rows.db"]);
    let rows = rusqlite::Connection::open(place.path("rows.db")).expect("a file");
    let ignored: i64 =
        rows.query_row("SELECT ignored FROM f_progress", [], |row| row.get(0)).expect("a line");
    assert_eq!(ignored, 5);
}

#[test]
fn unrepresentable_times_are_rejected() {
    let place = Place::new(&impatient());
    let at = |time: &str| format!("{{\"time\":{time},\"type\":\"view\",\"page\":\"/a\"}}\n");
    let (first, last) = (-62_135_596_800_000i64, 253_402_300_799_999i64);
    let text = [
        at(&first.to_string()),
        at(&(first - 1).to_string()),
        at("-99999999999999999"),
        at(&(first + 10_000).to_string()),
        at(&last.to_string()),
    ]
    .concat();
    place.write("events.ndjson", text.as_bytes());
    let ran = place.replay(&["events.ndjson"]);
    assert!(ran.err.contains("rejected 4: time-range at /time ("), "{}", ran.err);
    assert_eq!(rows(&ran.out).len(), 1, "{}", ran.err);
}

#[test]
fn one_future_event_makes_no_event_late() {
    let place = Place::new(&impatient());
    let start = 1_760_000_000;
    let mut text: Vec<String> = (0..60).map(|second| event(start + second, "view", "/a")).collect();
    text.insert(10, event(start + 86_400, "view", "/a"));
    place.write("events.ndjson", text.concat().as_bytes());
    for threads in ["1", "2", "4"] {
        let ran = place.replay(&["events.ndjson", "--threads", threads]);
        let flow = ran.err.lines().find(|line| line.starts_with("flow f: ")).expect("a line");
        assert_eq!(flow, "flow f: 61 = 60 counted + 1 rejected", "{}", ran.err);
        assert!(ran.err.contains("rejected 1: future at /time (events.ndjson:11)"), "{}", ran.err);
    }
}

#[test]
fn neighbours_span_batches() {
    let place = Place::new(&impatient());
    let start = 1_760_000_000;
    // Long lines, so that a batch has only a few, and an outlier at every position in a batch.
    let padding = "x".repeat(20_000);
    let line = |second: i64| {
        format!("{{\"time\":{},\"type\":\"view\",\"page\":\"/a\",\"pad\":\"{padding}\"}}\n", second * 1000)
    };
    let ahead = |n: i64| n % 19 == 18;
    let text: String = (0..200).map(|n| line(start + if ahead(n) { 86_400 + n } else { n })).collect();
    place.write("events.ndjson", text.as_bytes());
    let outliers = (0..200 - 16).filter(|n| ahead(*n)).count();
    for threads in ["1", "3"] {
        let ran = place.replay(&["events.ndjson", "--threads", threads]);
        assert!(ran.err.contains(&format!("rejected {outliers}: future at /time")), "{}", ran.err);
    }
}

#[test]
fn seconds_instead_of_milliseconds_are_warned_about() {
    let place = Place::new(&impatient());
    place.write("events.ndjson", b"{\"time\":1760000000,\"type\":\"view\",\"page\":\"/a\"}\n");
    assert!(place.replay(&["events.ndjson"]).err.contains("January 1970"));
    place.write("events.ndjson", event(1_760_000_000, "view", "/a").as_bytes());
    assert!(!place.replay(&["events.ndjson"]).err.contains("January 1970"));
}

#[test]
fn the_join_limit_is_applied() {
    let rest = "window = { size = \"1h\" }\njoin = { on = \"/view_id\", within = \"30m\", limit = 4 }";
    let place = Place::new(&format!("[events]\ntime = \"/time\"\n{}", flow("f", "page = \"/page\"", rest)));
    let event = |seconds: i64, kind: &str, page: &str| {
        let time = seconds * 1000;
        format!("{{\"time\":{time},\"type\":\"{kind}\",\"page\":\"{page}\",\"view_id\":\"undefined\"}}\n")
    };
    let views = (0..4).map(|n| event(n, "view", "/a"));
    let clicks = (4..10).map(|n| event(n, "click", "/b"));
    place.write("events.ndjson", views.chain(clicks).collect::<String>().as_bytes());
    let ran = place.replay(&["--final", "events.ndjson"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let counts: Vec<_> = rows(&ran.out)
        .iter()
        .map(|row| (row["page"].to_string(), row["views"].as_u64(), row["clicks"].as_u64()))
        .collect();
    let expected = [("\"/a\"".to_owned(), Some(4), Some(0)), ("\"/b\"".to_owned(), Some(0), Some(6))];
    assert_eq!(counts, expected);
    assert!(ran.err.contains("join.limit"), "it is reported: {}", ran.err);
}
