//! Files and directories that are deleted, shared, replaced or full while a pipeline uses them, with stand-ins for
//! Kafka and Pub/Sub.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    services::Services,
    support::{FLOW, Place, Run, Running, until},
};

/// Windows of a second that are final a few seconds later, and their tables.
const REST: &str = r#"
window = { size = "1s" }
out_of_orderness = "2s"
allowed_lateness = "1s"
[writer]
kind = "sqlite"
path = "rows.db"
[state]
period = "1s"
cold_start = "1s"
idle_after = "1s"
"#;

/// A pipeline that is set up and not started.
fn pipe() -> Services {
    let services = Services::start();
    append(&services.place, FLOW);
    append(&services.place, REST);
    // The mock cluster does not support static members, so a second connector waits for the session of the first to
    // expire.
    append(&services.place, "[kafka.properties]\n\"session.timeout.ms\" = 6000\n");
    let config = String::from_utf8(services.place.read("aqueduct.toml")).expect("text");
    let config = config.replace("group_id = \"test\"", "group_id = \"test\"\ngroup_instance_id = \"\"");
    services.place.write("aqueduct.toml", config);
    for command in ["keys new", "setup"] {
        let run = services.place.run(command);
        assert_eq!(run.code, Some(0), "{command}: {}", run.err);
    }
    services
}

fn append(place: &Place, text: &str) {
    let config = String::from_utf8(place.read("aqueduct.toml")).expect("text");
    place.write("aqueduct.toml", config + text);
}

/// Produces this many views of a page with the current time.
fn send(services: &Services, page: &str, views: usize) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let event = format!("{{\"time\":{now},\"type\":\"view\",\"page\":\"{page}\"}}");
    let events = vec![event; views];
    services.runtime.block_on(services.kafka.send_all("events", 0, &events)).expect("the cluster takes them");
}

/// The views of a page in the newest panes of `rows.db`; `None` without such a file or table.
fn views(place: &Place, page: &str) -> Option<u64> {
    let rows = rusqlite::Connection::open_with_flags(
        place.path("rows.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    )
    .ok()?;
    let sql = "SELECT coalesce(sum(views), 0) FROM by_page_latest WHERE page = ?1";
    rows.query_row(sql, [page], |row| row.get::<_, i64>(0)).ok().map(i64::unsigned_abs)
}

fn until_counted(services: &Services, page: &str, expected: u64) {
    until(page, || (views(&services.place, page)? == expected).then_some(()));
}

/// A second process of the pipeline, killed when it is dropped.
struct Second(Child);

impl Drop for Second {
    fn drop(&mut self) {
        // It may already have exited.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a second process of the pipeline, with separate output.
fn second(services: &Services, words: &str) -> Second {
    let mut command = services.place.command(words);
    let file = |name| fs::File::create(services.place.path(name)).expect("room");
    command.stdin(Stdio::null()).stdout(file(".out2")).stderr(file(".err2"));
    Second(command.spawn().expect("the program starts"))
}

/// Stops it with SIGTERM, so that a connector leaves its group.
fn stop(mut second: Second) {
    let id = second.0.id().to_string();
    let status = Command::new("kill").args(["-s", "TERM", &id]).status();
    assert!(status.expect("kill is there").success(), "{id}");
    second.0.wait().expect("it is our child");
}

/// The error of a failed run, which must occur once.
fn failed(run: &Run) -> &str {
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    let errors: Vec<&str> = run.err.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{}", run.err);
    errors[0]
}

/// Runs a pipeline until the views of a page are in the table, changes its files while it is idle, and returns the
/// output of the processor when it exits.
fn while_it_runs(services: &Services, deed: impl FnOnce(&Place)) -> Run {
    let connector = second(services, "connector");
    let processor: Running<'_> = services.place.start("processor");
    send(services, "before", 10);
    until_counted(services, "before", 10);
    deed(&services.place);
    let run = processor.wait();
    stop(connector);
    run
}

/// Events after the loss are counted by the next run.
fn the_next_run_counts_what_comes(services: &Services) {
    let connector = second(services, "connector");
    let processor = services.place.start("processor");
    send(services, "after", 7);
    until_counted(services, "after", 7);
    processor.signal("TERM");
    assert_eq!(processor.wait().code, Some(0));
    stop(connector);
}

#[test]
fn deleted_rows_are_detected() {
    let services = pipe();
    let run = while_it_runs(&services, |place| {
        fs::remove_file(place.path("rows.db")).expect("it is there");
        send(&services, "meanwhile", 5);
    });
    assert!(failed(&run).contains("rows.db"), "{}", run.err);
    assert!(!services.place.path("rows.db").exists(), "nothing was made in its place");
    the_next_run_counts_what_comes(&services);
    assert_eq!(views(&services.place, "meanwhile"), Some(5), "they waited in the state or in Pub/Sub");
    services.stop();
}

#[test]
fn a_replaced_database_is_detected_when_idle() {
    let services = pipe();
    let run = while_it_runs(&services, |place| {
        fs::rename(place.path("rows.db"), place.path("old.db")).expect("it is there");
        fs::write(place.path("rows.db"), "").expect("room");
    });
    assert!(failed(&run).contains("rows.db"), "{}", run.err);
    services.stop();
}

#[test]
fn a_deleted_state_is_not_recreated() {
    let services = pipe();
    let run = while_it_runs(&services, |place| {
        fs::remove_dir_all(place.path("state")).expect("it is there");
    });
    assert!(failed(&run).contains("/state"), "{}", run.err);
    assert!(!services.place.path("state").exists(), "the next start finds all of it or nothing");
    the_next_run_counts_what_comes(&services);
    services.stop();
}

#[test]
fn tables_belong_to_one_pipeline() {
    let services = pipe();
    let state = |name: &str| format!("AQUEDUCT__STATE__CHECKPOINTS=file://./{name}");
    let connector = second(&services, "connector");
    let first = services.place.start("processor");
    send(&services, "before", 3);
    until_counted(&services, "before", 3);
    let other = |words: &str| services.place.shell(&format!("{} aqueduct {words}", state("other")));
    let refused = other("processor");
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("/state") && refused.err.contains("/other"), "{}", refused.err);
    let checked = other("check");
    assert_eq!(checked.code, Some(1), "{}", checked.out);
    assert!(checked.out.lines().any(|line| line.starts_with("FAILED") && line.contains("/other")));
    // The standby has the same state.
    let standby = second(&services, "processor");
    until("a standby", || {
        let said = fs::read_to_string(services.place.path(".err2")).ok()?;
        said.contains("standing by").then_some(())
    });
    stop(standby);
    first.signal("TERM");
    assert_eq!(first.wait().code, Some(0));
    // Its state was moved.
    assert_eq!(other("setup --adopt").code, Some(0));
    let moved = services.place.run("check");
    assert_eq!(moved.code, Some(1), "the tables are the other's now: {}", moved.out);
    assert_eq!(other("check").code, Some(0));
    stop(connector);
    services.stop();
}

/// See `commands::demo::place` for the others that are refused.
#[test]
fn a_demo_refuses_the_file_of_another_program() {
    let place = Place::new();
    place.write("text.db", "not a database");
    let refused = place.run("demo --duration 1s --path text.db");
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("text.db") && refused.err.contains("--path"), "{}", refused.err);
    assert_eq!(place.read("text.db"), b"not a database");
}

#[test]
fn a_demo_on_a_full_disk_fails() {
    // Without IDs the state is small, so that the rows fill the disk.
    let place = Place::with(FULL);
    // A file size limit acts as a full disk for that file; the signal would end the program before it sees the error.
    let run = place.shell(
        "trap '' XFSZ; ulimit -f 1000; exec aqueduct demo --config aqueduct.toml --duration 10s --rate 300 --path full.db",
    );
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    // After a write that does not fit, SQLite may also find the file locked.
    assert!(run.err.contains("full.db"), "{}", run.err);
    assert!(!run.out.contains("All records are accounted for"), "{}", run.out);
}

const FULL: &str = r#"
[anonymise]
forward = "all"
max_rejects = "50%"
[events]
time = "/time"
[[flows]]
name = "box_ctr"
by = { box = "/box" }
views = { "/type" = "view" }
clicks = { "/type" = "click" }
window = { size = "10m", period = "1m" }
out_of_orderness = "2s"
early = "1s"
[state]
period = "1s"
idle_after = "2s"
cold_start = "5s"
"#;
