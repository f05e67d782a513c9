//! No ID leaves the connector: IDs in every field of a record, in every rejected shape too, pass through the whole
//! pipeline at the most verbose log level; then all output is searched.

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt as _, path::Path, process, time::Duration};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::BaseRecord,
};
use rusqlite::{Connection, OpenFlags, types::ValueRef};
use serde_json::{Value, json};
use tests::{
    canary::{Search, opened},
    kafka::{Producer, create_topic},
    pipe::Pipe,
    process::{Ended, Process},
    pubsub::{self, Onlooker},
    wait,
};

/// All log levels of our crates and of the client libraries, more than an operator should ever use.
pub(crate) const EVERYTHING: &str = "trace,librdkafka=trace,rdkafka=trace,h2=trace,hyper=trace,hyper_util=trace,tonic=trace,\
    tower=trace,reqwest=trace,google_cloud_pubsub=trace,google_cloud_auth=trace,google_cloud_gax=trace,object_store=trace";

const RULES: [(&str, &str); 4] = [
    // Pseudonyms order the messages, and a field that passes selects their topic.
    ("emulator_host = ", "ordering_key = \"/user_id\"\nemulator_host = "),
    (
        "pseudonymise = [\"/user_id\", \"/session/user\", \"/items/*/seller_id\"]\nremove = [\"/ip\"]\n",
        "pseudonymise = [\"/user_id\", \"/session/user\", \"/items/*/seller_id\", \"/visitors/*\"]\n\
         remove = [\"/ip\", \"/context\"]\nheaders = [\"trace\"]\n",
    ),
    (
        "forward = \"all\"",
        "forward = [\"/event_id\", \"/type\", \"/time\", \"/page\", \"/box\", \"/user_id\", \"/session\", \"/items\", \
         \"/visitors\", \"/context\", \"/ip\"]",
    ),
    // So that the state and the rows contain pseudonyms.
    (
        "by = { page = \"/page\", box = \"/box\" }",
        "by = { page = \"/page\", box = \"/box\", user = \"/user_id\" }",
    ),
];

/// More than Kafka's default, less than Pub/Sub's limit.
const LARGE: usize = 2_000_000;
const TOO_LARGE: usize = 10_000_001;
const ROUNDS: usize = 20;

/// Records, and all IDs in them.
#[derive(Default)]
struct Crowd {
    ids: Vec<String>,
    records: Vec<Record>,
    /// Number of records that must be rejected.
    refused: usize,
}

#[derive(Default)]
struct Record {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(&'static str, Vec<u8>)>,
}

impl Crowd {
    /// A new ID.
    fn id(&mut self, part: &str) -> String {
        let id = format!("canary-{part}-{:x}-{}", process::id(), self.ids.len());
        self.ids.push(id.clone());
        id
    }

    fn passes(&mut self, value: impl Into<Vec<u8>>) {
        let (key, header) = (self.id("key"), self.id("header"));
        let headers = vec![("trace", b"t-1".to_vec()), ("user", header.into_bytes())];
        self.records.push(Record { key: Some(key.into_bytes()), value: Some(value.into()), headers });
    }

    fn is_refused(&mut self, value: impl Into<Vec<u8>>) {
        self.passes(value);
        self.refused += 1;
    }

    fn event(&mut self, n: usize) -> Value {
        let time =
            Timestamp::now().as_millisecond() - 20 * 60_000 + i64::try_from(n).unwrap_or_default() * 1_000;
        let mut id = |part: &str| self.id(part);
        json!({
            "event_id": format!("e-{n}"), "type": "view", "time": time, "box": "top",
            "page": format!("https://{}:{}@shop.example/p?u={}#{}", id("login"), id("word"), id("query"), id("fragment")),
            "user_id": id("user"), "ip": id("ip"), "session": {"user": id("session"), "number": 3},
            "items": [{"seller_id": id("seller")}, {"seller_id": null}, {"seller_id": id("seller")}],
            "visitors": [id("visitor"), id("visitor")],
            // Member names can be IDs, too: in removed and in undeclared values.
            "context": {id("name"): [{id("name"): id("deep")}, [id("deep")]]},
            "undeclared": {id("name"): id("dropped"), "list": [[[id("dropped")]]]},
            id("name"): 1,
        })
    }

    /// The accepted records.
    fn sound(&mut self) {
        for n in 0..ROUNDS {
            let event = self.event(n);
            self.passes(event.to_string());
        }
        // Numbers in every notation, IDs of any alphabet, escapes, white space.
        for (number, text) in [
            ("7734512908846613", "7734512908846613"),
            ("8812.00934571662e5", "881200934.571662"),
            ("66190382745510e2", "6619038274551000"),
        ] {
            self.ids.push(text.to_owned());
            let event = self.event(100).to_string();
            self.passes(event.replace("\"visitors\":[", &format!("\"visitors\":[{number},")));
        }
        let mut foreign = self.event(200);
        for (place, id) in [("user_id", "канарейка-Żółć-4711"), ("ip", "カナリア-😀-4711")]
        {
            self.ids.push(id.to_owned());
            foreign[place] = json!(id);
        }
        self.passes(format!("{foreign:#}"));
        let event = self.event(201).to_string();
        self.passes(escaped(&event, &self.ids, |is_name| !is_name));
        let event = self.event(202).to_string();
        self.passes(escaped(&event, &self.ids, |_| true));
        // A declared name with escapes, after a byte order mark.
        let event = self.event(205).to_string();
        self.passes(format!("\u{feff}{}", event.replacen("\"user_id\"", "\"us\\u0065r_id\"", 1)));
        let mut large = self.event(203);
        large["context"] = json!([format!("{} ", self.id("large")).repeat(LARGE / 40)]);
        self.passes(large.to_string());
        self.ids.extend(["4711", "jo"].map(str::to_owned));
        let mut short = self.event(204);
        short["user_id"] = json!(4711);
        short["session"]["user"] = json!("jo");
        self.passes(short.to_string());
    }

    /// The rejected records.
    fn broken(&mut self) {
        let mut id = || self.id("broken");
        let deep = format!("{}\"{}\"{}", "[".repeat(130), id(), "]".repeat(130));
        let values: Vec<Vec<u8>> = vec![
            format!("{{\"user_id\":\"{}", id()).into(),
            format!("[{{\"user_id\":\"{}\"}}]", id()).into(),
            format!("\"{}\"", id()).into(),
            id().into(),
            format!("{{}} {}", id()).into(),
            format!("{{\"user_id\":{{\"{}\":\"{}\"}}}}", id(), id()).into(),
            format!("{{\"user_id\":[\"{}\"]}}", id()).into(),
            format!("{{\"session\":\"{}\"}}", id()).into(),
            format!("{{\"items\":[\"{}\"]}}", id()).into(),
            format!("{{\"visitors\":\"{}\"}}", id()).into(),
            format!("{{\"user_id\":\"u\",\"user_id\":\"{}\"}}", id()).into(),
            format!("{{\"{0}\":1,\"{0}\":2}}", id()).into(),
            format!("{{\"user_id\":\"u\",\"us\\u0065r_id\":\"{}\"}}", id()).into(),
            format!("{{\"user_id\":\"{}\\ud800\"}}", id()).into(),
            format!("{{\"page\":\"https://{}:p?w@shop.example\"}}", id()).into(),
            format!("{{\"page\":{{\"{}\":1}}}}", id()).into(),
            format!("{{\"context\":{deep}}}").into(),
            format!("{{\"event_id\":\"{} {}\"}}", "x".repeat(TOO_LARGE), "y").into(),
            [format!("{{\"user_id\":\"{}", id()).as_bytes(), b"\xff\"}"].concat(),
            [format!("{{\"{}", id()).as_bytes(), b"\xc0\":1}"].concat(),
        ];
        for value in values {
            self.is_refused(value);
        }
        // No topic and no ordering key can be made of these, and a reject does not say why.
        let kind = self.id("kind");
        let mut event = self.event(302);
        event["type"] = json!(kind);
        self.is_refused(event.to_string());
        self.is_refused(format!("{{\"user_id\":1e999,\"ip\":\"{}\"}}", self.ids[0]));
        let (key, header) = (self.id("tombstone"), self.id("header"));
        let headers = vec![("user", header.into_bytes())];
        self.records.push(Record { key: Some(key.into_bytes()), value: None, headers });
        let key = [self.id("key").as_bytes(), b"\xff"].concat();
        let value = self.event(300).to_string().into_bytes();
        self.records.push(Record { key: Some(key), value: Some(value), headers: Vec::new() });
        for bytes in
            [[self.id("header").as_bytes(), b"\xff"].concat(), self.id("header").repeat(100).into_bytes()]
        {
            let value = self.event(301).to_string().into_bytes();
            self.records.push(Record { key: None, value: Some(value), headers: vec![("trace", bytes)] });
        }
        self.refused += 4;
    }

    fn produce(&self, producer: &Producer, topic: &str) -> Result<()> {
        for record in &self.records {
            let mut outgoing: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).partition(0);
            outgoing.key = record.key.as_deref();
            outgoing.payload = record.value.as_deref();
            let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key, value: Some(value) })
            });
            producer.inner().send(outgoing.headers(headers)).map_err(|(error, _)| error)?;
            producer.inner().poll(Duration::ZERO);
        }
        producer.flush()
    }
}

/// The event with escaped IDs where `wanted` returns true; it is passed whether the ID is a name.
fn escaped(event: &str, ids: &[String], wanted: impl Fn(bool) -> bool) -> String {
    ids.iter().fold(event.to_owned(), |event, id| {
        let quoted = format!("\"{id}\"");
        let mut parts = event.split(&quoted);
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let is_name = part.starts_with(':');
            text += &if wanted(is_name) { format!("\"{}\"", escapes(id)) } else { quoted.clone() };
            text += part;
        }
        text
    })
}

fn escapes(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
}

#[test]
fn no_identifier_leaves_the_connector() -> Result<()> {
    let mut crowd = Crowd::default();
    crowd.sound();
    crowd.broken();
    let pipe = Pipe::new("canary")?;
    for (from, to) in RULES {
        pipe.edit(from, to)?;
    }
    pipe.edit("[kafka.properties]\n", "[kafka.properties]\ndebug = \"all\"\n")?;
    let (topic, selected) = (format!("{}-{{/type}}", pipe.name()), format!("{}-view", pipe.name()));
    pipe.edit(
        &format!("\ntopic = {:?}\n", pipe.name()),
        &format!("\ntopic = {topic:?}\ntopics = [{selected:?}]\n"),
    )?;
    create_topic(pipe.name(), 1, &[("max.message.bytes", "20000000")])?;
    let loud = [("AQUEDUCT_LOG", EVERYTHING), ("RUST_LOG", "trace"), ("RUST_BACKTRACE", "1")];
    let run = |words: &[&str]| -> Result<Ended> { pipe.start_with(words, &loud)?.ended() };
    let mut said = vec![run(&["setup"])?];
    let onlookers =
        [Onlooker::subscribe(&selected)?, Onlooker::subscribe(&format!("{}-marks", pipe.name()))?];
    crowd.produce(&Producer::new(pipe.name(), &[])?, pipe.name())?;

    let mut search = Search::of(&crowd.ids)?;
    let mut processor = pipe.start_with(&["processor"], &loud)?;
    let mut connector = pipe.start_with(&["connector"], &loud)?;
    pipe.until_reconciled()?;
    wait::until("a row of each event that passed", || {
        let rows = texts(&pipe.path("rows.db"), "box_ctr")?;
        Ok((rows.len() >= crowd.records.len() - crowd.refused).then_some(()))
    })?;
    check_modes(&pipe)?;
    search.look_below(pipe.path("aqueduct.toml").parent().context("a folder")?)?;
    look_at_pages(&mut search, &mut connector, &["/api/v1/pipe", "/api/v1/configuration"])?;
    let of_flow = ["/api/v1/pipe", "/api/v1/configuration", "/api/v1/flows/box_ctr/busiest?limit=1000"];
    look_at_pages(&mut search, &mut processor, &of_flow)?;
    for words in [
        ["status", "--format", "json"].as_slice(),
        &["status"],
        &["reconcile"],
        &["check"],
        &["check", "--sample", "1000"],
        &["check", "--sample", "1000", "--format", "json"],
        &["replay", "--kafka", "--output", "replayed.ndjson"],
        &["replay", "--kafka", "--output", "replayed.db"],
    ] {
        let ended = run(words)?;
        ensure!(ended.code == Some(0), "{words:?} ended with {:?}: {}{}", ended.code, ended.out, ended.err);
        said.push(ended);
    }
    said.extend([connector.stop()?, processor.stop()?]);
    for ended in &said {
        search.look("standard output", ended.out.as_bytes())?;
        search.look("a log", ended.err.as_bytes())?;
    }
    let logs: usize = said.iter().map(|ended| ended.err.matches(" TRACE ").count()).sum();
    ensure!(logs > 1_000, "only {logs} lines were logged at TRACE");

    let events = onlookers[0].messages()?;
    assert_eq!(events.len(), crowd.records.len() - crowd.refused, "messages on the data topic");
    let is_pseudonym = |message: &Value| message["orderingKey"].as_str().is_some_and(|key| key.len() == 22);
    ensure!(events.iter().all(is_pseudonym), "a message has no pseudonym as its ordering key");
    let marks = onlookers[1].messages()?;
    ensure!(!marks.is_empty(), "there are no marks");
    for message in events.iter().chain(&marks) {
        search.look("a message", &pubsub::data(message)?)?;
        search.look("a message with its attributes", message.to_string().as_bytes())?;
    }
    search.look_below(pipe.path("aqueduct.toml").parent().context("a folder")?)?;
    for table in ["box_ctr", "box_ctr_progress", "dead_letters"] {
        let rows = texts(&pipe.path("rows.db"), table)?;
        ensure!(!rows.is_empty(), "{table} is empty");
        rows.iter().try_for_each(|row| search.look(table, row.as_bytes()))?;
    }
    let letters = texts(&pipe.path("rows.db"), "dead_letters")?;
    assert_eq!(letters.len(), crowd.refused, "dead letters: {letters:?}");
    check_pseudonyms(&pipe, &events)?;
    say(&format!(
        "{} records, {} ids in {} forms, {} bytes searched, no ID found",
        crowd.records.len(),
        crowd.ids.len(),
        search.forms(),
        search.bytes()
    ));
    Ok(())
}

/// Checks the search itself: the pseudonym of a user is found.
fn check_pseudonyms(pipe: &Pipe, events: &[Value]) -> Result<()> {
    let first: Value = serde_json::from_slice(&pubsub::data(events.first().context("an event")?)?)?;
    let pseudonym = first["user_id"].as_str().context("a pseudonym")?;
    assert_eq!(pseudonym.len(), 22, "{first}");
    let holds = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(pseudonym);
    let mut found = BTreeMap::from([("messages", false), ("rows", false), ("state", false)]);
    for message in events {
        *found.entry("messages").or_default() |= holds(&pubsub::data(message)?);
    }
    for row in texts(&pipe.path("rows.db"), "box_ctr")? {
        *found.entry("rows").or_default() |= holds(row.as_bytes());
    }
    for entry in fs::read_dir(pipe.path("state"))? {
        for content in opened(&fs::read(entry?.path())?) {
            *found.entry("state").or_default() |= holds(&content);
        }
    }
    ensure!(found.values().all(|found| *found), "where a pseudonym was found: {found:?}");
    Ok(())
}

fn look_at_pages(search: &mut Search, process: &mut Process, more: &[&str]) -> Result<()> {
    for path in ["/", "/metrics", "/healthz", "/readyz", "/log"].iter().chain(more) {
        let page = process.get(path).with_context(|| format!("the page {path}"))?;
        search.look(path, page.as_bytes())?;
    }
    Ok(())
}

/// All files and directories that the commands create are private, also while they run, when SQLite's write-ahead log
/// exists.
fn check_modes(pipe: &Pipe) -> Result<()> {
    let folder = pipe.path("aqueduct.toml").parent().context("a folder")?.to_owned();
    let mut open = Vec::new();
    let mut names = Vec::new();
    collect_modes(&folder, &mut |path, mode| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if mode & 0o077 != 0 && name != "aqueduct.toml" {
            open.push(format!("{name} {mode:o}"));
        }
        names.push(name);
    })?;
    ensure!(open.is_empty(), "others may use {open:?}");
    for name in ["keys.toml", "rows.db", "rows.db-wal", "rows.db-shm", "state", "lock"] {
        ensure!(names.iter().any(|found| found == name), "there is no {name}: {names:?}");
    }
    ensure!(names.iter().any(|name| name.len() == 20), "there is no checkpoint: {names:?}");
    Ok(())
}

fn collect_modes(folder: &Path, note: &mut impl FnMut(&Path, u32)) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // A file that a running program has deleted has no mode.
        let Ok(metadata) = path.symlink_metadata() else { continue };
        note(&path, metadata.mode() & 0o777);
        if metadata.is_dir() {
            collect_modes(&path, note)?;
        }
    }
    Ok(())
}

/// The rows of a table, each as text.
fn texts(path: &Path, table: &str) -> Result<Vec<String>> {
    let file = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    file.busy_timeout(Duration::from_secs(10))?;
    let mut statement = file.prepare(&format!("select * from {table}"))?;
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let mut text = String::new();
        for column in 0..columns {
            text += &match row.get_ref(column)? {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Real(number) => number.to_string(),
                ValueRef::Null => String::new(),
            };
            text.push('\t');
        }
        Ok(text)
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The totals of the search, shown with `--nocapture`.
#[expect(clippy::print_stdout, reason = "the totals of the search")]
fn say(text: &str) {
    println!("{text}");
}
