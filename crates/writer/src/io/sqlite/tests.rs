//! The backend against real files.

use event::{
    EventTime, Millis,
    ledger::{Ledger, Outcome},
};
use flow::{
    number::Total,
    row::{DeadLetterRow, FlowTable, MeasureColumns, Pane, Row, Value},
    window::Window,
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{Claim, State, Writer, WriterConfig, WriterMode, fixtures};

const MINUTE: i64 = 60_000;

fn flow() -> FlowTable {
    fixtures::ctr(true)
}

fn panes() -> Table {
    Table::Flow("box_ctr".into())
}

fn pane(page: Option<&str>, end: i64, index: u32, views: u64) -> Row {
    Row {
        key: [page.map(Into::into), None].into(),
        window: Window { start: EventTime(end - 10 * MINUTE), end: EventTime(end) },
        values: fixtures::counts([views, views / 2, 0]),
        pane: if index == 0 { Pane::OnTime } else { Pane::Late },
        pane_index: index,
        watermark: EventTime(end),
        emitted_at: EventTime(end + 1),
        replaced: flow::row::Replaced::default(),
    }
}

struct File {
    folder: TempDir,
    mode: WriterMode,
}

impl File {
    fn new() -> Self {
        Self::of(WriterMode::Append)
    }

    fn of(mode: WriterMode) -> Self {
        Self { folder: tempfile::tempdir().expect("a folder can be made"), mode }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("rows.db")
    }

    fn config(&self) -> WriterConfig {
        WriterConfig::Sqlite(SqliteConfig { path: self.path(), mode: self.mode })
    }

    async fn connect(&self, flow: &FlowTable) -> Writer {
        Writer::connect(&self.config(), std::slice::from_ref(flow)).await.expect("the file opens")
    }

    fn sqlite(&self, flow: &FlowTable) -> impl Future<Output = Sqlite> {
        let (path, tables, mode) = (self.path(), Tables::try_new(std::slice::from_ref(flow)), self.mode);
        async move {
            Sqlite::connect(&path, tables.expect("the names are good"), mode).await.expect("the file opens")
        }
    }

    /// All panes in the order in which they were added.
    fn panes(&self, flow: &FlowTable) -> Vec<Row> {
        let connection = Connection::open(self.path()).expect("the file opens");
        read::all(&connection, flow).unwrap_or_else(|_| panic!("the rows are read"))
    }
}

fn append_of(writer: &Writer, stream: &str, offset: u64, rows: &[Row]) -> Append {
    let mut bodies = writer.encode(&panes(), Rows::Panes(rows)).expect("rows encode");
    assert_eq!(bodies.len(), 1, "few rows make one body");
    let body = bodies.remove(0);
    Append { table: panes(), stream: stream.to_owned(), offset, rows: body.rows, body: body.bytes.into() }
}

async fn add(writer: &Writer, rows: &[Row]) {
    let stream = writer.open_stream(&panes()).await.expect("a stream opens");
    let append = append_of(writer, &stream, 0, rows);
    assert_eq!(writer.append(&append).await.expect("rows are added"), Appended::Done);
}

async fn add_progress(writer: &Writer, rows: &[ProgressRow]) {
    add_progress_of(writer, "box_ctr", rows).await;
}

async fn add_progress_of(writer: &Writer, flow: &str, rows: &[ProgressRow]) {
    let table = Table::Progress(flow.into());
    let stream = writer.open_stream(&table).await.expect("a stream opens");
    let body = writer.encode(&table, Rows::Progress(rows)).expect("rows encode").remove(0);
    let append = Append { table, stream, offset: 0, rows: body.rows, body: body.bytes.into() };
    assert_eq!(writer.append(&append).await.expect("rows are added"), Appended::Done);
}

fn progress(at: i64, watermark: EventTime) -> ProgressRow {
    let mut ledger = Ledger::default();
    ledger.add(Outcome::Counted, 7);
    ledger.add(Outcome::Pending, 2);
    ProgressRow { at: EventTime(at), watermark, ledger }
}

#[tokio::test]
async fn many_rows_are_added_in_the_order_of_the_index() {
    let (file, flow) = (File::new(), flow());
    let writer = file.connect(&flow).await;
    // More than two statements take, with several panes of each window and key.
    let row = |n: i64| {
        let page = format!("/{}", n * 7 % 5);
        pane(Some(&page).filter(|_| n % 4 > 0).map(String::as_str), n % 3 * MINUTE, (n / 60) as u32, n as u64)
    };
    let mut rows: Vec<_> = (0..123).map(row).collect();
    add(&writer, &rows).await;
    rows.sort_by(|a, b| (a.window.end, &a.key).cmp(&(b.window.end, &b.key)));
    assert_eq!(file.panes(&flow), rows);
}

#[tokio::test]
async fn an_append_is_added_once_at_its_offset() {
    let (file, flow) = (File::new(), flow());
    let writer = file.connect(&flow).await;
    let stream = writer.open_stream(&panes()).await.expect("a stream opens");
    let rows: Vec<_> = (0..5).map(|n| pane(Some("/a"), n * MINUTE, 0, 4)).collect();
    let first = append_of(&writer, &stream, 0, &rows[..3]);
    let second = append_of(&writer, &stream, 3, &rows[3..]);

    let sent = async |append: &Append| writer.append(append).await.expect("the file answers");
    assert_eq!(sent(&second).await, Appended::Gap);
    assert_eq!(sent(&first).await, Appended::Done);
    assert_eq!(sent(&first).await, Appended::Done);
    assert_eq!(sent(&second).await, Appended::Done);
    assert_eq!(sent(&first).await, Appended::Done);
    assert_eq!(file.panes(&flow), rows);

    let unknown = Append { stream: "box_ctr/0000".to_owned(), ..first.clone() };
    assert_eq!(sent(&unknown).await, Appended::StreamGone);
    let other = Append { table: Table::DeadLetters, ..first.clone() };
    assert!(writer.append(&other).await.is_err(), "rows of another table are no dead letters");
    let across = append_of(&writer, &stream, 4, &rows[3..]);
    let error = writer.append(&across).await.expect_err("one row is in the table and one is not");
    assert_eq!(
        error.to_string(),
        "invalid append to box_ctr at offset 4 in the state: it overlaps the end of its stream; another version wrote it, or it was modified"
    );
    let altered = Append { body: [9_u8, 0].as_slice().into(), ..first };
    assert!(!writer.append(&altered).await.expect_err("the version is unknown").is_retryable());
    assert_eq!(writer.count(&panes()).await.expect("rows are counted"), 5);
}

#[tokio::test]
async fn rows_of_a_lost_stream_are_found() {
    let (file, flow) = (File::new(), flow());
    let writer = file.connect(&flow).await;
    let rows = [pane(None, MINUTE, 0, 0), pane(Some("/it's"), MINUTE, 0, 4)];
    let contains = async |rows: &[Row]| {
        writer.contains(&append_of(&writer, "box_ctr/0000", 0, rows)).await.expect("the file answers")
    };
    assert!(!contains(&rows).await);
    add(&writer, &rows).await;
    assert!(contains(&rows).await && contains(&rows[..1]).await && contains(&rows[1..]).await);
    let with = |change: fn(&mut Row)| {
        let mut row = rows[1].clone();
        change(&mut row);
        [row]
    };
    assert!(!contains(&with(|row| row.key = [None, None].into())).await);
    assert!(!contains(&with(|row| row.pane_index = 1)).await);
    assert!(!contains(&with(|row| row.emitted_at = EventTime(MINUTE))).await);
    assert!(!contains(&with(|row| row.values[2] = Value::Count(1))).await);
    let line = progress(7, EventTime::MAX);
    let table = Table::Progress("box_ctr".into());
    let body =
        writer.encode(&table, Rows::Progress(std::slice::from_ref(&line))).expect("rows encode").remove(0);
    let append = Append {
        table,
        stream: "box_ctr_progress/0000".to_owned(),
        offset: 0,
        rows: 1,
        body: body.bytes.into(),
    };
    assert!(!writer.contains(&append).await.expect("the file answers"));
    add_progress(&writer, &[line]).await;
    assert!(writer.contains(&append).await.expect("the file answers"));
}

#[tokio::test]
async fn the_view_shows_the_newest_pane() {
    let (file, mut flow) = (File::new(), flow());
    let writer = file.connect(&flow).await;
    let (early, late) = (20 * MINUTE, 21 * MINUTE);
    let rows = [
        pane(Some("/a"), early, 0, 10),
        pane(None, early, 0, 4),
        pane(Some("/a"), late, 0, 6),
        pane(Some("/a"), early, 1, 12),
        pane(None, early, 1, 5),
        // The open window: above the watermark of the newest row.
        Row { watermark: EventTime(late), ..pane(Some("/a"), 22 * MINUTE, 0, 99) },
    ];
    add(&writer, &rows).await;
    let newest = writer.latest("box_ctr", 10).await.expect("panes are read");
    assert_eq!(newest.iter().map(|l| l.row.clone()).collect::<Vec<_>>(), [rows[2].clone()]);
    assert!(!newest[0].is_final, "nothing is final without progress");
    assert_eq!(writer.progress("box_ctr").await.expect("progress is read"), None);

    // The first window is final, to the millisecond, and the second is not.
    let lines = [progress(1, EventTime(0)), progress(2, EventTime(early + 2 * MINUTE))];
    add_progress(&writer, &lines).await;
    assert_eq!(writer.progress("box_ctr").await.expect("progress is read"), Some(lines[1].clone()));
    let seen = |flow: &FlowTable| -> Vec<(Option<String>, i64, bool)> {
        let connection = Connection::open(file.path()).expect("the file opens");
        let sql = format!(
            "SELECT page, views, is_final FROM {} ORDER BY window_end, page IS NULL",
            flow.latest_name()
        );
        let mut statement = connection.prepare(&sql).expect("the view is there");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        rows.expect("the view answers").map(|row| row.expect("a row reads")).collect()
    };
    let a = || Some("/a".to_owned());
    assert_eq!(seen(&flow), [(a(), 12, true), (None, 5, true), (a(), 6, false), (a(), 99, false)]);

    // One more millisecond of lateness, and the view is created again.
    writer.close().await.expect("the file closes");
    flow.allowed_lateness = Millis(2 * MINUTE + 1);
    let flows = std::slice::from_ref(&flow);
    let planned = Writer::setup(&file.config(), flows, true).await.expect("the file is read");
    assert_eq!(planned.last().map(|step| step.state), Some(State::WouldUpdate));
    let done = Writer::setup(&file.config(), flows, false).await.expect("the file is written");
    assert_eq!(done.last().map(ToString::to_string).as_deref(), Some("view box_ctr_latest: updated"));
    assert_eq!(seen(&flow), [(a(), 12, false), (None, 5, false), (a(), 6, false), (a(), 99, false)]);

    // The end of the input makes all final.
    let writer = file.connect(&flow).await;
    add_progress(&writer, &[progress(3, EventTime::MAX)]).await;
    assert!(seen(&flow).iter().all(|(_, _, is_final)| *is_final));
    let line = writer.progress("box_ctr").await.expect("progress is read").expect("there are lines");
    assert_eq!(line.watermark, EventTime::MAX);
}

#[tokio::test]
async fn the_view_uses_the_index() {
    let (file, flow) = (File::new(), flow());
    let writer = file.connect(&flow).await;
    add(&writer, &[pane(Some("/a"), 0, 0, 1)]).await;
    let connection = Connection::open(file.path()).expect("the file opens");
    let mut statement = connection
        .prepare("EXPLAIN QUERY PLAN SELECT * FROM box_ctr_latest ORDER BY window_end DESC LIMIT 10")
        .expect("the view is there");
    let plan: Vec<String> = statement
        .query_map([], |row| row.get(3))
        .expect("the plan is read")
        .map(|row| row.expect("a line reads"))
        .collect();
    let plan = plan.join("\n");
    assert!(plan.contains("SCAN p USING INDEX box_ctr_panes"), "{plan}");
    assert!(
        plan.contains(
            "SEARCH n USING COVERING INDEX box_ctr_panes (window_end=? AND page=? AND box=? AND pane_index>?)"
        ),
        "{plan}"
    );
    assert!(!plan.contains("TEMP B-TREE"), "{plan}");
}

#[tokio::test]
async fn a_full_disk_is_retried() {
    let (file, flow) = (File::new(), flow());
    let sqlite = file.sqlite(&flow).await;
    let stream = sqlite.open_stream(&panes()).await.expect("a stream opens");
    let page = "x".repeat(100_000);
    let rows: Vec<_> = (0..20).map(|n| pane(Some(&page), n * MINUTE, 0, 4)).collect();
    let body = sqlite.encode(&panes(), Rows::Panes(&rows)).expect("rows encode").remove(0);
    let append = Append { table: panes(), stream, offset: 0, rows: body.rows, body: body.bytes.into() };
    let limit = async |pages: u32| {
        sqlite
            .write("limit the file", move |connection| {
                Ok(connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?)
            })
            .await
            .expect("the pragma is known");
    };
    limit(40).await;
    for _ in 0..2 {
        let error = sqlite.append(&append).await.expect_err("the file is full");
        assert!(error.is_retryable());
        assert_eq!(
            error.to_string(),
            format!(
                "cannot write to {}: disk full or I/O error; free disk space; rows are kept in the state",
                file.path().display()
            )
        );
        assert_eq!(sqlite.count(&panes()).await.expect("rows are counted"), 0);
    }
    limit(1_000_000).await;
    assert_eq!(sqlite.append(&append).await.expect("there is room"), Appended::Done);
    assert_eq!(sqlite.count(&panes()).await.expect("rows are counted"), 20);
}

#[tokio::test]
async fn readers_do_not_block_writes() {
    let (file, flow) = (File::new(), flow());
    let sqlite = file.sqlite(&flow).await;
    let other = Connection::open(file.path()).expect("the file opens");
    other.execute_batch("BEGIN; SELECT count(*) FROM box_ctr").expect("it is read");
    let stream = sqlite.open_stream(&panes()).await.expect("a reader does not hinder");
    let rows = [pane(Some("/a"), 0, 0, 4)];
    let body = sqlite.encode(&panes(), Rows::Panes(&rows)).expect("rows encode").remove(0);
    let append = Append { table: panes(), stream, offset: 0, rows: body.rows, body: body.bytes.into() };
    other.execute_batch("COMMIT; BEGIN IMMEDIATE").expect("it is locked");
    let hurry = |connection: &mut Connection| Ok(connection.busy_timeout(Duration::ZERO)?);
    sqlite.write("hurry", hurry).await.expect("the timeout is set");
    let error = sqlite.append(&append).await.expect_err("the file is locked");
    assert!(error.is_retryable() && matches!(error, WriterError::Busy { .. }), "{error}");
    other.execute_batch("COMMIT").expect("it is released");
    assert_eq!(sqlite.append(&append).await.expect("it is free"), Appended::Done);
}

#[tokio::test]
async fn a_file_is_prepared_and_closed() {
    let (file, flow) = (File::new(), flow());
    let flows = std::slice::from_ref(&flow);
    let config = file.config();
    let missing = Writer::open(&config, flows).await.expect_err("there is no file");
    assert!(matches!(missing, WriterError::NoFile { .. }), "{missing}");
    Writer::check(&config, flows).await.expect("a file that is not there yet is no fault");
    let planned = Writer::setup(&config, flows, true).await.expect("nothing prevents it");
    assert!(planned.iter().all(|step| step.state == State::WouldCreate));
    assert!(!file.path().exists(), "a dry run makes nothing");
    let what: Vec<_> = Writer::setup(&config, flows, false)
        .await
        .expect("nothing prevents it")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        what,
        [
            "table box_ctr: created",
            "table box_ctr_progress: created",
            "table dead_letters: created",
            "view box_ctr_latest: created"
        ]
    );
    let again = Writer::setup(&config, flows, false).await.expect("it is all there");
    assert!(again.iter().all(|step| step.state == State::Exists));
    Writer::check(&config, flows).await.expect("it is all there");

    let writer = file.connect(&flow).await;
    add(&writer, &[pane(None, 0, 0, 1)]).await;
    let reader = Writer::open(&config, flows).await.expect("the file is there");
    assert_eq!(reader.count(&panes()).await.expect("rows are counted"), 1);
    assert!(reader.open_stream(&panes()).await.is_err(), "a reader does not write");
    reader.close().await.expect("the file closes");
    let clone = writer.clone();
    writer.close().await.expect("the file closes");
    assert!(matches!(clone.count(&panes()).await, Err(WriterError::Closed)));
    let left: Vec<_> = std::fs::read_dir(file.folder.path()).expect("the folder is read").collect();
    assert_eq!(left.len(), 1, "the file is whole: {left:?}");
}

#[tokio::test]
async fn a_different_table_is_left_unchanged() {
    let (file, flow) = (File::new(), flow());
    file.connect(&flow).await.close().await.expect("the file closes");
    let mut other = flow.clone();
    other.columns = vec!["page".to_owned(), "box".to_owned(), "country".to_owned()];
    let expected = "table box_ctr: column country (TEXT) is missing; give the flow a new name, or move the old \
                    table away and run `aqueduct setup`";
    let flows = std::slice::from_ref(&other);
    for error in [
        Writer::connect(&file.config(), flows).await.expect_err("the shape differs"),
        Writer::setup(&file.config(), flows, false).await.expect_err("the shape differs"),
        Writer::setup(&file.config(), flows, true).await.expect_err("the shape differs"),
        Writer::check(&file.config(), flows).await.expect_err("the shape differs"),
    ] {
        assert_eq!(error.to_string(), expected);
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn an_unusable_path_is_named() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let connect = async |path: PathBuf| {
        Writer::connect(&WriterConfig::Sqlite(SqliteConfig { path, mode: WriterMode::Append }), &[flow()])
            .await
            .expect_err("it is no database")
    };
    let nowhere = connect(folder.path().join("no/such/rows.db")).await;
    assert!(matches!(nowhere, WriterError::Open { .. }), "{nowhere:?}");
    let directory = connect(folder.path().to_path_buf()).await;
    assert!(matches!(directory, WriterError::Open { .. }), "{directory:?}");
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a database at all, but long enough to be one".repeat(40))
        .expect("it is written");
    let damaged = connect(text).await;
    assert!(matches!(damaged, WriterError::Damaged { .. }), "{damaged:?}");
}

#[tokio::test]
async fn dead_letters_are_kept() {
    let (file, flow) = (File::new(), flow());
    let writer = file.connect(&flow).await;
    let letter = DeadLetterRow {
        topic: "events".into(),
        partition: -1,
        offset: u64::MAX,
        stage: "processor".into(),
        reason: "no_time".to_owned(),
        pointer: Some("/time".to_owned()),
        seen_at: EventTime(0),
    };
    let table = Table::DeadLetters;
    let stream = writer.open_stream(&table).await.expect("a stream opens");
    let body = writer.encode(&table, Rows::DeadLetters(&[letter])).expect("rows encode").remove(0);
    let append = Append { table: table.clone(), stream, offset: 0, rows: 1, body: body.bytes.into() };
    assert_eq!(writer.append(&append).await.expect("rows are added"), Appended::Done);
    let connection = Connection::open(file.path()).expect("the file opens");
    let sql = "SELECT topic, partition, \"offset\", stage, reason, pointer, seen_at FROM dead_letters";
    let row = connection.query_row(sql, [], |row| {
        let numbers: (i64, i64) = (row.get(1)?, row.get(2)?);
        let texts: [String; 2] = [row.get(5)?, row.get(6)?];
        Ok((numbers, texts))
    });
    let expected = ((-1, i64::MAX), ["/time".to_owned(), "1970-01-01T00:00:00.000Z".to_owned()]);
    assert_eq!(row.expect("there is a row"), expected);
}

/// A record that was rejected again is found by its newest line only.
#[tokio::test]
async fn dead_letters_are_found_by_their_newest_line() {
    let (file, flow) = (File::new(), flow());
    let writer = file.connect(&flow).await;
    let letter = |(partition, offset): (i32, u64), stage: &str, reason: &str, seen_at| DeadLetterRow {
        topic: "events".into(),
        partition,
        offset,
        stage: stage.into(),
        reason: reason.to_owned(),
        pointer: (stage == "processor").then(|| "/it's".to_owned()),
        seen_at: EventTime(seen_at),
    };
    let lines = [
        letter((0, 9), "connector", "not-json", 1_000),
        letter((0, 9), "processor", "time", 5_000),
        letter((1, 2), "connector", "not-json", 3_000),
        letter((0, 10), "connector", "tombstone", 2_000),
        letter((-1, 7), "writer", "a", 1_000),
        letter((-1, 7), "writer", "b", 2_000),
    ];
    let table = Table::DeadLetters;
    let stream = writer.open_stream(&table).await.expect("a stream opens");
    let body = writer.encode(&table, Rows::DeadLetters(&lines)).expect("rows encode").remove(0);
    let append = Append { table, stream, offset: 0, rows: 6, body: body.bytes.into() };
    assert_eq!(writer.append(&append).await.expect("rows are added"), Appended::Done);
    let check = async |letters: Letters, expected: &[usize]| {
        let found = writer.dead_letters(&letters).await.expect("the table can be read");
        let expected: Vec<DeadLetterRow> = expected.iter().map(|line| lines[*line].clone()).collect();
        assert_eq!(found, expected, "{letters:?}");
    };
    let all = || Letters { limit: 100, ..Letters::default() };
    let text = |text: &str| Some(text.to_owned());
    check(Letters { partition: Some(0), ..all() }, &[1, 3]).await;
    check(Letters { limit: 1, partition: Some(0), ..all() }, &[1]).await;
    check(Letters { reasons: vec!["not-json".to_owned()], ..all() }, &[2]).await;
    check(Letters { reasons: vec!["not-json".to_owned(), "tombstone".to_owned()], ..all() }, &[3, 2]).await;
    check(Letters { pointer: text("/it's"), ..all() }, &[1]).await;
    check(
        Letters {
            stage: text("connector"),
            from: Some(EventTime(2_000)),
            to: Some(EventTime(3_000)),
            ..all()
        },
        &[3],
    )
    .await;
    check(Letters { topic: text("other"), ..all() }, &[]).await;
    check(Letters { after: Some(("events".to_owned(), 0, 9)), ..all() }, &[3, 2]).await;
    let writers = writer.dead_letters(&Letters { stage: text("writer"), ..all() }).await;
    assert_eq!(writers.expect("the table can be read").len(), 2);
}

#[tokio::test]
async fn a_repeated_dead_letter_is_one_refusal() {
    let (file, flow) = (File::new(), flow());
    let writer = file.connect(&flow).await;
    let letter = |partition, offset, reason: &str, seconds: i64| DeadLetterRow {
        topic: "events".into(),
        partition,
        offset,
        stage: "processor".into(),
        reason: reason.to_owned(),
        pointer: None,
        seen_at: EventTime(seconds * 1_000),
    };
    let lines = [
        letter(0, 3, "a", 1),
        letter(0, 3, "b", 2),
        letter(0, 3, "b", 2),
        letter(0, 4, "b", 1),
        letter(-1, 7, "a", 1),
        letter(-1, 7, "a", 1),
    ];
    let table = Table::DeadLetters;
    let stream = writer.open_stream(&table).await.expect("a stream opens");
    let body = writer.encode(&table, Rows::DeadLetters(&lines)).expect("rows encode").remove(0);
    let append = Append { table, stream, offset: 0, rows: 6, body: body.bytes.into() };
    assert_eq!(writer.append(&append).await.expect("rows are added"), Appended::Done);
    let refusals = writer.refusals().await.expect("the table can be read");
    let found: Vec<_> = refusals.iter().map(|of| (of.partition, &*of.reason, of.rows)).collect();
    assert_eq!(found, [(-1, "a", 2), (0, "b", 2)]);
}

fn any_pane() -> impl Strategy<Value = Row> {
    let text = || proptest::option::of("[^\0]{0,12}".prop_map(String::into_boxed_str));
    let counts = (0_u64..1000, 0_u64..1000, 0_u64..1000);
    let time = prop_oneof![-5_000_000_000_000_i64..5_000_000_000_000, Just(i64::MAX), Just(i64::MIN)];
    let pane = proptest::sample::select(&Pane::ALL[..]);
    ((text(), text()), counts, 0_i64..100, time, pane, 0_u32..5).prop_map(
        |((page, other), (views, clicks, attributed), start, watermark, pane, pane_index)| Row {
            key: [page, other].into(),
            window: Window { start: EventTime(start), end: EventTime(start + 600) },
            values: fixtures::counts([views, clicks, attributed]),
            pane,
            pane_index,
            watermark: EventTime(watermark),
            emitted_at: EventTime(start),
            replaced: flow::row::Replaced::default(),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Whatever is sent again, in whatever order, and wherever the process dies between two calls:
    /// once every append was sent in turn, the table holds each row once and as it was.
    #[test]
    fn rows_are_read_back_equal(
        batches in proptest::collection::vec(proptest::collection::vec(any_pane(), 1..6), 1..6),
        script in proptest::collection::vec((0_usize..6, any::<bool>()), 0..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime is made");
        runtime.block_on(async {
            let (file, flow) = (File::new(), flow());
            let mut writer = file.connect(&flow).await;
            let stream = writer.open_stream(&panes()).await.expect("a stream opens");
            let mut offset = 0;
            let mut appends = Vec::new();
            for batch in &batches {
                appends.push(append_of(&writer, &stream, offset, batch));
                offset += batch.len() as u64;
            }
            let mut delivered = 0;
            for (which, dies) in script.into_iter().chain((0..appends.len()).map(|n| (n, false))) {
                let which = which % appends.len();
                let answer = writer.append(&appends[which]).await.expect("the file answers");
                let expected = if which > delivered { Appended::Gap } else { Appended::Done };
                assert_eq!(answer, expected);
                delivered += usize::from(which == delivered);
                if dies {
                    writer = file.connect(&flow).await;
                }
            }
            // In the order of the index within an append.
            let in_any_order = |mut rows: Vec<Row>| {
                rows.sort_by_cached_key(|row| format!("{row:?}"));
                rows
            };
            assert_eq!(in_any_order(file.panes(&flow)), in_any_order(batches.concat()));
        });
    }
}

#[tokio::test]
async fn a_foreign_value_is_named_by_column() {
    let (file, flow) = (File::new(), flow());
    let writer = file.connect(&flow).await;
    add(&writer, &[pane(Some("/a"), 10 * MINUTE, 0, 3)]).await;
    add_progress(&writer, &[progress(1, EventTime(10 * MINUTE))]).await;
    for (change, table, column) in [
        ("UPDATE box_ctr SET pane = 'FINAL'", "box_ctr_latest", "pane"),
        ("UPDATE box_ctr SET pane = 'ON_TIME', views = -1", "box_ctr_latest", "views"),
        ("UPDATE box_ctr SET views = 3, emitted_at = 'today'", "box_ctr_latest", "emitted_at"),
        ("UPDATE box_ctr_progress SET counted = 'many'", "box_ctr_progress", "counted"),
    ] {
        Connection::open(file.path()).expect("the file opens").execute(change, []).expect(change);
        let error = match table {
            "box_ctr_latest" => writer.latest("box_ctr", 5).await.map(drop).expect_err(change),
            _ => writer.progress("box_ctr").await.map(drop).expect_err(change),
        };
        assert_eq!(
            error.to_string(),
            format!(
                "table {table}: column {column} contains a value that Aqueduct does not write; check whether another program writes to the table"
            )
        );
    }
}

#[tokio::test]
async fn a_deleted_or_replaced_file_is_detected() {
    for replace in [false, true] {
        let file = File::new();
        let writer = file.connect(&flow()).await;
        let stream = writer.open_stream(&panes()).await.expect("a stream opens");
        let first = append_of(&writer, &stream, 0, &[pane(Some("/a"), 10 * MINUTE, 0, 1)]);
        assert_eq!(writer.append(&first).await.expect("rows are added"), Appended::Done);
        writer.check_place().expect("it is where it was opened");
        std::fs::remove_file(file.path()).expect("it is there");
        if replace {
            std::fs::write(file.path(), "").expect("room");
        }
        assert!(matches!(writer.check_place(), Err(WriterError::Gone { .. })), "replaced: {replace}");
        let next = append_of(&writer, &stream, 1, &[pane(Some("/a"), 11 * MINUTE, 0, 1)]);
        // The first one again: its rows went with the file.
        for append in [&next, &first] {
            let error = writer.append(append).await.expect_err("the file is gone");
            assert!(matches!(error, WriterError::Gone { .. }) && !error.is_retryable(), "{error}");
        }
        writer.close().await.expect("there is nothing to complete");
        assert_eq!(file.path().exists(), replace);
    }
}

#[tokio::test]
async fn tables_belong_to_the_pipeline_that_claimed_them() {
    let file = File::new();
    let look = |pipeline: &'static str| {
        let config = file.config();
        async move { Writer::check_owner(&config, &[flow()], pipeline).await }
    };
    look("state file:///one").await.expect("there is no file yet");
    let flow = flow();
    let writer = file.connect(&flow).await;
    look("state file:///one").await.expect("it is unclaimed");
    assert_eq!(crate::pipelines(&file.path()).expect("it reads"), [""; 0]);
    writer.claim("state file:///one", Claim::Take).await.expect("it is free");
    // Another connection, as that of a standby.
    let second = file.connect(&flow).await;
    second.claim("state file:///one", Claim::Take).await.expect("the same state");
    let refused = second.claim("state file:///two", Claim::Take).await.expect_err("another's");
    assert!(
        matches!(refused, WriterError::Owned { ref owner, .. } if owner == "state file:///one"),
        "{refused}"
    );
    assert!(look("state file:///two").await.is_err());
    // A flow without a writer is free.
    let other = FlowTable { flow: "other".into(), ..flow.clone() };
    let third = file.connect(&other).await;
    third.claim("state file:///two", Claim::Take).await.expect("its flow is free");
    second.claim("state file:///two", Claim::Adopt).await.expect("the state was moved");
    assert_eq!(crate::pipelines(&file.path()).expect("it reads"), ["state file:///two"]);
}

/// Adds rows to a flow's table by a stream of their own, and returns the append.
async fn add_to(writer: &Writer, flow: &FlowTable, rows: &[Row]) -> Append {
    let table = Table::Flow(flow.flow.clone());
    let stream = writer.open_stream(&table).await.expect("a stream opens");
    let body = writer.encode(&table, Rows::Panes(rows)).expect("rows encode").remove(0);
    let append = Append { table, stream, offset: 0, rows: body.rows, body: body.bytes.into() };
    assert_eq!(writer.append(&append).await.expect("rows are added"), Appended::Done);
    append
}

/// Sketches are not read back.
fn without_sketch(mut row: Row) -> Row {
    for value in &mut row.values {
        if let Value::Distinct(estimate) = value {
            estimate.sketch = None;
        }
    }
    row
}

#[tokio::test]
async fn every_kind_of_measure_is_read_back() {
    let (file, flow) = (File::new(), fixtures::measures());
    let writer = file.connect(&flow).await;
    let rows = [fixtures::measured("-0.1", Some(7)), fixtures::measured("0", None)];
    let append = add_to(&writer, &flow, &rows).await;
    assert_eq!(file.panes(&flow), rows.clone().map(without_sketch));
    assert!(writer.contains(&append).await.expect("the file answers"));
    let other = Append {
        body: writer
            .encode(&append.table, Rows::Panes(&[fixtures::measured("-0.2", Some(7))]))
            .expect("rows encode")
            .remove(0)
            .bytes
            .into(),
        rows: 1,
        ..append.clone()
    };
    assert!(!writer.contains(&other).await.expect("the file answers"));
    let rest = writer.without(&append, &[0]).expect("its own bytes");
    assert_eq!(vec![rest], writer.encode(&append.table, Rows::Panes(&rows[1..])).expect("rows encode"));

    let connection = Connection::open(file.path()).expect("the file opens");
    let sql = "SELECT typeof(revenue), users, users_sketch, share, rpm FROM sales ORDER BY rowid LIMIT 1";
    let seen: (String, i64, Vec<u8>, f64, f64) = connection
        .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .expect("a row");
    assert_eq!(seen, ("real".to_owned(), 7, vec![7, 0xFF, 0], 1.0, -25.0));
    let sql = "SELECT count(*) FROM sales WHERE views IS NULL AND revenue IS NULL AND users_sketch IS NULL AND rpm IS NULL";
    assert_eq!(connection.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a row"), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    #[test]
    fn decimals_are_read_back_exactly(totals in proptest::collection::vec(fixtures::any_total(), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime is made");
        runtime.block_on(async {
            let (file, flow) = (File::new(), fixtures::measures());
            let writer = file.connect(&flow).await;
            let rows: Vec<_> = totals.iter().map(|total| fixtures::measured(&total.to_string(), Some(1))).collect();
            add_to(&writer, &flow, &rows).await;
            let read: Vec<_> = file.panes(&flow).into_iter().map(|row| row.values[1].clone()).collect();
            let expected: Vec<_> = totals.iter().map(|total| Value::Number(Box::new(*total))).collect();
            assert_eq!(read, expected);
        });
    }
}

#[tokio::test]
async fn tables_gain_measures_and_keep_removed_ones() {
    let (file, old) = (
        File::new(),
        fixtures::table(
            r#"{ "name": "sales", "by": { "page": "/page" }, "window": { "size": "10m" },
            "measures": { "lowest": { "min": "/price" }, "old": { "max": "/price" } } }"#,
        ),
    );
    let flow = fixtures::measures();
    let number = |text| Value::Number(Box::new(Total::parse(text).expect("a number")));
    let row = Row {
        key: [Some("/a".into())].into(),
        values: [number("1.5"), number("2.5")].into_iter().collect(),
        ..fixtures::row()
    };
    let writer = file.connect(&old).await;
    let append = add_to(&writer, &old, std::slice::from_ref(&row)).await;
    // Encoded before the edit, and sent after it.
    let body =
        writer.encode(&append.table, Rows::Panes(std::slice::from_ref(&row))).expect("rows encode").remove(0);
    let waiting = Append { offset: 1, body: body.bytes.into(), ..append };
    writer.close().await.expect("the file closes");

    let (config, flows) = (file.config(), std::slice::from_ref(&flow));
    assert!(matches!(Writer::open(&config, flows).await, Err(WriterError::Absent { .. })));
    let states = |steps: Vec<Step>| [0, 1, 3].map(|step: usize| steps[step].state);
    let planned = Writer::setup(&config, flows, true).await.expect("nothing prevents it");
    assert_eq!(states(planned), [State::WouldUpdate, State::Exists, State::WouldUpdate]);
    let done = Writer::setup(&config, flows, false).await.expect("nothing prevents it");
    assert_eq!(states(done), [State::Updated, State::Exists, State::Updated]);
    let again = Writer::setup(&config, flows, false).await.expect("nothing prevents it");
    assert_eq!(states(again), [State::Exists; 3]);

    let writer = file.connect(&flow).await;
    assert!(writer.contains(&waiting).await.expect("the file answers"), "the same row is in the table");
    assert_eq!(writer.append(&waiting).await.expect("rows are added"), Appended::Done);
    let new = fixtures::measured("3", Some(2));
    add_to(&writer, &flow, std::slice::from_ref(&new)).await;
    let lacking = Row {
        values: [Value::Null, Value::Null, number("1.5"), Value::Null, Value::Null].into_iter().collect(),
        ..row
    };
    assert_eq!(file.panes(&flow), [lacking.clone(), lacking, without_sketch(new)]);
    let connection = Connection::open(file.path()).expect("the file opens");
    let mut statement =
        connection.prepare("SELECT old FROM sales ORDER BY rowid").expect("the column is kept");
    let old: Vec<Option<f64>> = statement
        .query_map([], |row| row.get(0))
        .expect("rows")
        .map(|value| value.expect("a value"))
        .collect();
    assert_eq!(old, [Some(2.5), Some(2.5), None]);

    // The table was deleted since: the removed measure has no column.
    let (empty, table) = (File::new(), waiting.table.clone());
    let writer = empty.connect(&flow).await;
    let stream = writer.open_stream(&table).await.expect("a stream opens");
    assert_eq!(
        writer.append(&Append { stream, offset: 0, ..waiting }).await.expect("rows are added"),
        Appended::Done
    );

    let mut other = flow.clone();
    other.measures =
        [flow.measures[0].clone(), MeasureColumns { name: "old".to_owned(), ..flow.measures[0].clone() }]
            .into();
    assert!(
        matches!(Writer::connect(&config, &[other]).await, Err(WriterError::Mismatch { .. })),
        "a column has one type for good"
    );
}

fn session(user: Option<&str>, (start, end): (i64, i64), index: u32, events: u64) -> Row {
    Row {
        key: [user.map(Into::into), None].into(),
        window: Window { start: EventTime(start * MINUTE), end: EventTime(end * MINUTE) },
        values: fixtures::counts([events]),
        pane: Pane::Late,
        pane_index: index,
        watermark: EventTime(0),
        emitted_at: EventTime(0),
        replaced: flow::row::Replaced::default(),
    }
}

/// Panes as sessions of ten minutes fire them: one after each event, numbered above those of the sessions that merged.
fn fire(events: &[(bool, i64)]) -> Vec<Row> {
    let mut open: Vec<Row> = Vec::new();
    let mut panes = Vec::new();
    for (is_known, minute) in events {
        let mut new = session(is_known.then_some("/u"), (*minute, minute + 10), 0, 1);
        let (merged, rest) =
            open.into_iter().partition(|other| other.key == new.key && other.window.overlaps(new.window));
        open = rest;
        for other in merged {
            new.window.start = new.window.start.min(other.window.start);
            new.window.end = new.window.end.max(other.window.end);
            new.pane_index = new.pane_index.max(other.pane_index + 1);
            new.values =
                fixtures::counts([new.values[0].count().unwrap_or(0) + other.values[0].count().unwrap_or(0)]);
        }
        panes.push(new.clone());
        open.push(new);
    }
    panes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// The view against sessions that are computed from all events at once.
    #[test]
    fn the_view_has_each_session_once(events in proptest::collection::vec((any::<bool>(), 0_i64..200), 1..25)) {
        let mut expected = Vec::new();
        for is_known in [false, true] {
            let mut times: Vec<_> = events.iter().filter(|event| event.0 == is_known).map(|event| event.1).collect();
            times.sort_unstable();
            for part in times.chunk_by(|a, b| b - a < 10) {
                let user = is_known.then(|| "/u".to_owned());
                expected.push((user, part[0] * MINUTE, (part[part.len() - 1] + 10) * MINUTE, part.len() as i64));
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime is made");
        let seen = async |mode, shown: &str| {
            let (file, flow) = (File::of(mode), fixtures::sessions());
            let writer = file.connect(&flow).await;
            add_to(&writer, &flow, &fire(&events)).await;
            let connection = Connection::open(file.path()).expect("the file opens");
            let sql = format!("SELECT user, window_start, window_end, events FROM {shown} ORDER BY user, window_start");
            let mut statement = connection.prepare(&sql).expect("the view is there");
            let time = |text: String| crate::stamp::parse(&text).expect("a time").0;
            let rows = statement.query_map([], |row| {
                Ok((row.get(0)?, time(row.get(1)?), time(row.get(2)?), row.get(3)?))
            });
            rows.expect("rows").map(|row| row.expect("a row")).collect::<Vec<(Option<String>, i64, i64, i64)>>()
        };
        prop_assert_eq!(&runtime.block_on(seen(WriterMode::Append, "visits_latest")), &expected);
        // With upserts, the table has no session that became part of another.
        prop_assert_eq!(&runtime.block_on(seen(WriterMode::Upsert, "visits")), &expected);
        prop_assert_eq!(&runtime.block_on(seen(WriterMode::Upsert, "visits_latest")), &expected);
    }
}

#[tokio::test]
async fn the_latest_sessions_are_first() {
    let (file, flow) = (File::new(), fixtures::sessions());
    let writer = file.connect(&flow).await;
    assert_eq!(writer.latest("visits", 5).await.expect("panes are read"), []);
    let rows = [
        session(Some("/a"), (0, 20), 0, 3),
        session(Some("/b"), (5, 20), 0, 4),
        session(Some("/a"), (30, 45), 0, 1),
        session(Some("/c"), (30, 41), 0, 1),
        // Replaces two, and ends later than the watermark.
        session(Some("/a"), (0, 80), 1, 9),
        Row { watermark: EventTime(50 * MINUTE), ..session(Some("/d"), (44, 90), 0, 2) },
    ];
    add_to(&writer, &flow, &rows[..5]).await;
    let shown = async |limit| -> Vec<Row> {
        let latest = writer.latest("visits", limit).await.expect("panes are read");
        latest.into_iter().map(|latest| latest.row).collect()
    };
    assert_eq!(shown(1).await, [rows[1].clone()], "all are open: the first to end");
    add_to(&writer, &flow, &rows[5..]).await;
    assert_eq!(shown(5).await, [rows[3].clone(), rows[1].clone()]);
}

/// What an EARLY pane shows has not ended, even if the watermark is far past what was its end when it fired.
#[tokio::test]
async fn an_open_session_is_not_final() {
    let (file, flow) = (File::new(), fixtures::sessions());
    let writer = file.connect(&flow).await;
    let rows = [
        Row { pane: Pane::OnTime, ..session(Some("/a"), (0, 10), 0, 1) },
        Row { pane: Pane::Early, ..session(Some("/a"), (0, 25), 1, 3) },
        Row { pane: Pane::OnTime, ..session(Some("/b"), (0, 10), 0, 1) },
        Row { pane: Pane::OnTime, ..session(Some("/c"), (200, 210), 0, 1) },
    ];
    let sql = "SELECT user, events, is_final FROM visits_latest ORDER BY user";
    let shown = async |rows: &[Row], watermark: i64| -> Vec<(String, i64, bool)> {
        add_to(&writer, &flow, rows).await;
        let line = progress(watermark, EventTime(watermark * MINUTE));
        add_progress_of(&writer, "visits", &[line]).await;
        let newest = writer.latest("visits", 10).await.expect("panes are read");
        let connection = Connection::open(file.path()).expect("the file opens");
        let mut statement = connection.prepare(sql).expect("the view is there");
        let shown = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let shown: Vec<(String, i64, bool)> = shown.expect("rows").map(|row| row.expect("a row")).collect();
        for (user, _, is_final) in &shown {
            let read = newest.iter().find(|latest| latest.row.key.get(0) == Some(user.as_str()));
            assert!(read.is_none_or(|latest| latest.is_final == *is_final), "{user}: {newest:?}");
        }
        shown
    };
    let name = |name: &str| name.to_owned();
    assert_eq!(shown(&rows[..3], 79).await, [(name("/a"), 3, false), (name("/b"), 1, false)]);
    let c = (name("/c"), 1, false);
    assert_eq!(shown(&rows[3..], 212).await, [(name("/a"), 3, false), (name("/b"), 1, true), c.clone()]);
    let end = Row { pane: Pane::OnTime, ..session(Some("/a"), (0, 90), 2, 8) };
    assert_eq!(shown(&[end], 213).await, [(name("/a"), 8, true), (name("/b"), 1, true), c]);
}

#[tokio::test]
async fn an_index_finds_the_sessions_of_a_key() {
    let (file, flow) = (File::new(), fixtures::sessions());
    let writer = file.connect(&flow).await;
    add_to(&writer, &flow, &[session(None, (0, 10), 0, 1)]).await;
    let connection = Connection::open(file.path()).expect("the file opens");
    let sql = format!("EXPLAIN QUERY PLAN {}", ddl::newest(&flow, WriterMode::Append));
    let mut statement = connection.prepare(&sql).expect("the table is there");
    let plan: Vec<String> =
        statement.query_map([], |row| row.get(3)).expect("a plan").map(|row| row.expect("a line")).collect();
    let expected = "SEARCH n USING COVERING INDEX visits_sessions (user=? AND site=? AND window_end>?)";
    assert!(plan.iter().any(|line| line == expected), "{plan:?}");
}

/// One key with all sessions is the worst case.
#[tokio::test]
async fn the_view_of_sessions_takes_as_many_steps_as_a_sort() {
    let mut steps = Vec::new();
    for sessions in [500, 4_000] {
        let (file, flow) = (File::new(), fixtures::sessions());
        let writer = file.connect(&flow).await;
        let rows: Vec<_> = (0..sessions).map(|n| session(Some("/a"), (20 * n, 20 * n + 10), 0, 1)).collect();
        add_to(&writer, &flow, &rows).await;
        let connection = Connection::open(file.path()).expect("the file opens");
        let mut statement = connection
            .prepare("SELECT count(*), sum(is_final) FROM visits_latest")
            .expect("the view is there");
        let count: i64 = statement.query_row([], |row| row.get(0)).expect("a row");
        assert_eq!(count, sessions);
        steps.push(statement.get_status(rusqlite::StatementStatus::VmStep));
    }
    assert!(steps[1] < 10 * steps[0], "{steps:?} steps for eight times as many sessions");
}

/// A window and key, the number of the pane, and its views.
type Fired = (Option<&'static str>, i64, u32, u64);

fn any_fired() -> impl Strategy<Value = Fired> {
    let page = prop_oneof![Just(None), Just(Some("")), Just(Some("/a"))];
    (page, 0_i64..3, 0_u32..5, 0_u64..100)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// In any order, with repetitions, and divided into requests in any way.
    #[test]
    fn the_newest_pane_replaces_the_others(fired in proptest::collection::vec(any_fired(), 1..40), cut in 0_usize..40) {
        let rows: Vec<Row> = fired.iter().map(|(page, end, index, views)| pane(*page, end * MINUTE, *index, *views)).collect();
        let mut expected: Vec<Row> = Vec::new();
        for row in &rows {
            match expected.iter_mut().find(|other| other.key == row.key && other.window == row.window) {
                Some(other) if other.pane_index <= row.pane_index => *other = row.clone(),
                Some(_) => {}
                None => expected.push(row.clone()),
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime is made");
        runtime.block_on(async {
            let (file, flow) = (File::of(WriterMode::Upsert), flow());
            let writer = file.connect(&flow).await;
            let (first, second) = rows.split_at(cut.min(rows.len()));
            for part in [first, second].into_iter().filter(|part| !part.is_empty()) {
                add(&writer, part).await;
            }
            assert_eq!(file.panes(&flow), expected);
            let received = writer.count(&panes()).await.expect("the file answers");
            assert_eq!(received, rows.len() as u64, "rows that were replaced were received, too");
        });
    }
}

#[tokio::test]
async fn the_newest_window_follows_the_newest_watermark() {
    let (file, flow) = (File::of(WriterMode::Upsert), flow());
    let writer = file.connect(&flow).await;
    let (first, second) = (20 * MINUTE, 21 * MINUTE);
    add(&writer, &[pane(Some("/a"), first, 0, 1), pane(Some("/a"), second, 0, 2)]).await;
    // The row that was added first is replaced last.
    let late = Row { watermark: EventTime(second), ..pane(Some("/a"), first, 1, 3) };
    add(&writer, std::slice::from_ref(&late)).await;
    let newest = writer.latest("box_ctr", 10).await.expect("panes are read");
    assert_eq!(newest.into_iter().map(|latest| latest.row.pane_index).collect::<Vec<_>>(), [0]);
    assert_eq!(file.panes(&flow)[0], late);
}

/// The restored backup of a file: its streams are unknown, and rows that it lacks are written again.
#[tokio::test]
async fn rows_of_a_lost_stream_replace_nothing_newer() {
    let (file, flow) = (File::of(WriterMode::Upsert), flow());
    let writer = file.connect(&flow).await;
    let newer = pane(Some("/a"), 0, 2, 9);
    add(&writer, std::slice::from_ref(&newer)).await;
    let old = append_of(&writer, "box_ctr/unknown", 0, &[pane(Some("/a"), 0, 1, 4), pane(None, 0, 0, 1)]);
    assert_eq!(writer.append(&old).await.expect("the file answers"), Appended::StreamGone);
    assert!(!writer.contains(&old).await.expect("the file answers"));
    add(&writer, &[pane(Some("/a"), 0, 1, 4), pane(None, 0, 0, 1)]).await;
    assert_eq!(file.panes(&flow), [newer, pane(None, 0, 0, 1)]);
}

#[tokio::test]
async fn a_table_of_the_other_mode_is_refused() {
    for (mut file, flow) in [(File::new(), flow()), (File::of(WriterMode::Upsert), fixtures::sessions())] {
        file.connect(&flow).await.close().await.expect("the file closes");
        let flows = std::slice::from_ref(&flow);
        Writer::check(&file.config(), flows).await.expect("it is of this mode");
        file.mode = if file.mode == WriterMode::Append { WriterMode::Upsert } else { WriterMode::Append };
        let is_refused = |error: Option<WriterError>| matches!(error, Some(WriterError::OtherMode { .. }));
        assert!(is_refused(Writer::setup(&file.config(), flows, true).await.err()));
        assert!(is_refused(Writer::setup(&file.config(), flows, false).await.err()));
        assert!(is_refused(Writer::check(&file.config(), flows).await.err()));
        assert!(is_refused(Writer::connect(&file.config(), flows).await.err()));
        assert!(is_refused(Writer::open(&file.config(), flows).await.err()));
    }
}
