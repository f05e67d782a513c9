//! Upserts in BigQuery: whatever is sent again, in whatever order, each window and key has one row, the newest.
#![cfg(feature = "cloud")]

use doubles::bigquery::{BigQuery, Fault};
use event::{EventTime, Ledger};
use flow::{
    Flow, FlowSettings,
    append::{Append, Appended, Rows, Table},
    row::{DeadLetterRow, FlowTable, Pane, ProgressRow, Replaced, Row, Value},
    window::Window,
};
use serde_json::{Value as Json, json};
use tonic::Code;
use writer::{BigQueryConfig, Endpoints, State, Writer, WriterConfig, WriterError, WriterMode};

const MINUTE: i64 = 60_000;
/// 2026-09-27T10:00:00Z
const TEN: i64 = 1_790_503_200_000;

struct Bench {
    bigquery: BigQuery,
    config: WriterConfig,
    writer: Writer,
}

impl Bench {
    async fn new() -> Self {
        let bigquery = BigQuery::start().await.expect("a free port");
        let config = config(&bigquery, "rates", WriterMode::Upsert);
        Writer::setup(&config, &[visits()], false).await.expect("tables");
        let writer = Writer::connect(&config, &[visits()]).await.expect("a writer");
        Self { bigquery, config, writer }
    }

    fn append(&self, stream: &str, rows: &[Row]) -> Append {
        encoded(&self.writer, stream, rows)
    }

    /// Repeats an append until it is decided, as the processor does.
    async fn sent(&self, append: &Append) -> Result<Appended, WriterError> {
        loop {
            match self.writer.append(append).await {
                Err(error) if error.is_retryable() => {}
                answer => return answer,
            }
        }
    }

    /// The values of a query, row by row.
    async fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let answer = self.call("POST", "queries", &json!({ "query": sql })).await;
        let rows = answer["rows"].as_array().unwrap_or_else(|| panic!("{answer}"));
        let cell = |cell: &Json| cell["v"].as_str().map(str::to_owned);
        rows.iter().map(|row| row["f"].as_array().expect("cells").iter().map(cell).collect()).collect()
    }

    async fn call(&self, method: &str, path: &str, body: &Json) -> Json {
        let url = format!("http://{}/bigquery/v2/projects/shop/{path}", self.bigquery.host());
        let method = method.parse().expect("a method");
        let answer = reqwest::Client::new().request(method, url).json(body).send().await;
        answer.expect("the stand-in answers").json().await.expect("an answer is JSON")
    }

    /// User, start, end and number of events of each row.
    async fn rows(&self) -> Vec<(Option<String>, i64, i64, i64)> {
        let sql = "SELECT user, UNIX_MILLIS(window_start), UNIX_MILLIS(window_end), events FROM `shop.rates.visits` ORDER BY 1, 2";
        let number = |cell: &Option<String>| cell.as_deref().expect("a number").parse().expect("a number");
        let rows = self.query(sql).await;
        let minute = |cell: &Option<String>| (number(cell) - TEN) / MINUTE;
        rows.into_iter()
            .map(|row| (row[0].clone(), minute(&row[1]), minute(&row[2]), number(&row[3])))
            .collect()
    }
}

fn encoded(writer: &Writer, stream: &str, rows: &[Row]) -> Append {
    let body = writer.encode(&table(), Rows::Panes(rows)).expect("rows of this table").remove(0);
    let (rows, body) = (body.rows, body.bytes.into());
    Append { table: table(), stream: stream.to_owned(), offset: 0, rows, body }
}

fn config(bigquery: &BigQuery, dataset: &str, mode: WriterMode) -> WriterConfig {
    let url = format!("http://{}", bigquery.host());
    WriterConfig::BigQuery(BigQueryConfig {
        project: "shop".to_owned(),
        dataset: dataset.to_owned(),
        location: "EU".to_owned(),
        mode,
        emulator: Some(Endpoints { rest: url.clone(), grpc: url }),
    })
}

fn visits() -> FlowTable {
    let settings: FlowSettings = serde_json::from_value(json!({
        "name": "visits", "by": { "user": "/user" }, "window": { "session": "10m" },
        "measures": { "events": { "count": {} } },
    }))
    .expect("the flow is well formed");
    Flow::try_from(settings).expect("the flow is right").table()
}

fn table() -> Table {
    Table::Flow("visits".into())
}

/// A session in minutes after ten, and those that became part of it.
fn session(
    user: Option<&str>,
    (start, end): (i64, i64),
    (index, events): (u32, u64),
    parts: &[(i64, i64)],
) -> Row {
    let window = |start: i64, end: i64| Window {
        start: EventTime(TEN + start * MINUTE),
        end: EventTime(TEN + end * MINUTE),
    };
    Row {
        key: [user.map(Into::into)].into(),
        window: window(start, end),
        values: [Value::Count(events)].into_iter().collect(),
        pane: Pane::OnTime,
        pane_index: index,
        watermark: EventTime(TEN),
        emitted_at: EventTime(TEN),
        replaced: Replaced::from(parts.iter().map(|(start, end)| window(*start, *end)).collect::<Vec<_>>()),
    }
}

#[tokio::test]
async fn repeated_and_reordered_changes_leave_the_newest_rows() {
    let bench = Bench::new().await;
    let stream = bench.writer.open_stream(&table()).await.expect("the default stream");
    let panes = [
        session(Some("a"), (0, 10), (0, 1), &[]),
        session(Some("a"), (18, 28), (0, 1), &[]),
        session(None, (0, 10), (0, 1), &[]),
        session(Some(""), (0, 10), (0, 1), &[]),
        session(Some("a"), (0, 28), (2, 3), &[(0, 10), (18, 28)]),
        session(None, (0, 10), (1, 2), &[]),
    ];
    let appends: Vec<Append> = panes.chunks(2).map(|rows| bench.append(&stream, rows)).collect();
    for append in appends.iter().rev().chain(&appends).chain(&appends[..1]) {
        assert_eq!(bench.sent(append).await.expect("an answer"), Appended::Done);
    }
    let user = |user: &str| Some(user.to_owned());
    let expected = [(None, 0, 10, 2), (user(""), 0, 10, 1), (user("a"), 0, 28, 3)];
    assert_eq!(bench.rows().await, expected);
    assert_eq!(bench.writer.count(&table()).await.expect("a count"), 6, "the rows account for all panes");
    // Applied long ago, and stored once more.
    bench.sent(&appends[0]).await.expect("an answer");
    assert_eq!(bench.rows().await, expected);
}

#[tokio::test]
async fn any_answer_leaves_each_row_once() {
    for fault in [
        Fault::AnswerLost,
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::Answer(Code::ResourceExhausted),
        Fault::Answer(Code::Aborted),
    ] {
        let bench = Bench::new().await;
        let stream = bench.writer.open_stream(&table()).await.expect("the default stream");
        let panes: Vec<Row> =
            (0..6).map(|n| session(Some("a"), (0, 10), (n, u64::from(n) + 1), &[])).collect();
        for (number, rows) in panes.chunks(2).enumerate() {
            (0..2 * number).for_each(|_| bench.bigquery.faults().next("visits", fault));
            let append = bench.append(&stream, rows);
            assert_eq!(bench.sent(&append).await.expect("an answer"), Appended::Done, "{fault:?}");
            assert_eq!(bench.bigquery.faults().waiting(), 0, "{fault:?} was met");
        }
        assert_eq!(bench.rows().await, [(Some("a".to_owned()), 0, 10, 6)], "{fault:?}");
    }
}

#[tokio::test]
async fn a_refused_row_leaves_the_others() {
    let bench = Bench::new().await;
    bench.bigquery.faults().refuse("bad");
    let stream = bench.writer.open_stream(&table()).await.expect("the default stream");
    let panes = [
        session(Some("bad"), (0, 30), (3, 9), &[(0, 10), (20, 30)]),
        session(Some("a"), (0, 28), (2, 3), &[(0, 10)]),
        session(Some("bad"), (40, 50), (0, 1), &[]),
    ];
    let append = bench.append(&stream, &panes);
    let refused = [0, 2].map(|row| (row, "fields_error".to_owned())).to_vec();
    assert_eq!(bench.sent(&append).await.expect("an answer"), Appended::Refused(refused));
    assert_eq!(bench.rows().await, []);
    let rest = bench.writer.without(&append, &[0, 2]).expect("its own bytes");
    let rest = Append { rows: rest.rows, body: rest.bytes.into(), ..append };
    assert_eq!(bench.sent(&rest).await.expect("an answer"), Appended::Done);
    assert_eq!(bench.rows().await, [(Some("a".to_owned()), 0, 28, 3)]);
}

#[tokio::test]
async fn a_table_of_the_other_mode_is_refused() {
    let bench = Bench::new().await;
    let (flows, append) = ([visits()], config(&bench.bigquery, "rates", WriterMode::Append));
    let setup = Writer::setup(&append, &flows, false).await.map(drop);
    for result in [Writer::check(&append, &flows).await, setup] {
        assert!(matches!(result, Err(WriterError::OtherMode { .. })), "{result:?}");
    }
    let other = config(&bench.bigquery, "panes", WriterMode::Append);
    Writer::setup(&other, &flows, false).await.expect("tables");
    let upsert = config(&bench.bigquery, "panes", WriterMode::Upsert);
    let setup = Writer::setup(&upsert, &flows, false).await.map(drop);
    for result in [Writer::check(&upsert, &flows).await, setup] {
        assert!(matches!(result, Err(WriterError::OtherMode { .. })), "{result:?}");
    }
}

#[tokio::test]
async fn a_table_without_its_key_is_refused() {
    let bench = Bench::new().await;
    let path = "datasets/rates/tables/visits";
    let made = bench.call("GET", path, &Json::Null).await;
    let key = json!(["window_start", "window_end", "aqueduct_key"]);
    assert_eq!(made["tableConstraints"]["primaryKey"]["columns"], key);
    assert_eq!(made["clustering"]["fields"], json!(["user", "aqueduct_key"]));
    for dry_run in [true, false] {
        let again = Writer::setup(&bench.config, &[visits()], dry_run).await.expect("it exists");
        assert!(again.iter().all(|step| step.state == State::Exists), "{again:?}");
    }
    let other = json!({ "tableConstraints": { "primaryKey": { "columns": ["window_end"] } } });
    bench.call("PATCH", path, &other).await;
    let checked = Writer::check(&bench.config, &[visits()]).await;
    assert!(matches!(checked, Err(WriterError::Mismatch { .. })), "{checked:?}");

    let stream = bench.writer.open_stream(&table()).await.expect("the default stream");
    bench.call("PATCH", path, &json!({ "tableConstraints": {} })).await;
    let checked = Writer::check(&bench.config, &[visits()]).await;
    assert!(matches!(checked, Err(WriterError::NoKey { .. })), "{checked:?}");
    let append = bench.append(&stream, &[session(Some("a"), (0, 10), (0, 1), &[])]);
    let refused = bench.sent(&append).await.expect_err("changes need a key");
    assert!(!refused.is_retryable(), "{refused:?}");
}

/// A state that moved to a dataset of the other mode: rows that wait in it are sent as the table takes them.
#[tokio::test]
async fn waiting_rows_follow_the_mode() {
    let bench = Bench::new().await;
    let flows = [visits()];
    let other = config(&bench.bigquery, "panes", WriterMode::Append);
    Writer::setup(&other, &flows, false).await.expect("tables");
    let plain = Writer::connect(&other, &flows).await.expect("a writer");
    let panes = [session(Some("a"), (0, 10), (0, 1), &[]), session(Some("a"), (0, 12), (1, 2), &[(0, 10)])];
    let [ours, theirs] = [
        bench.writer.open_stream(&table()).await.expect("the default stream"),
        plain.open_stream(&table()).await.expect("a stream"),
    ];
    let (changes, rows) = (bench.append(&ours, &panes), encoded(&plain, &theirs, &panes));
    for (writer, append, stream) in [(&bench.writer, rows, ours), (&plain, changes, theirs)] {
        assert_eq!(writer.append(&append).await.expect("an answer"), Appended::StreamGone);
        assert!(!writer.contains(&append).await.expect("an answer"));
        let moved = Append { stream, ..append };
        assert_eq!(writer.append(&moved).await.expect("an answer"), Appended::Done);
    }
    assert_eq!(plain.count(&table()).await.expect("a count"), 2);
    // The sessions that a row of the other mode replaces are not known.
    let rows = bench.rows().await;
    assert_eq!(rows, [(Some("a".to_owned()), 0, 10, 1), (Some("a".to_owned()), 0, 12, 2)]);
}

#[tokio::test]
async fn a_key_of_any_length_is_taken() {
    let bench = Bench::new().await;
    let stream = bench.writer.open_stream(&table()).await.expect("the default stream");
    let keys = ["x".repeat(5_000), format!("{}y", "x".repeat(5_000))];
    let panes = keys.each_ref().map(|key| session(Some(key), (0, 10), (0, 1), &[]));
    let newer = session(Some(&keys[0]), (0, 10), (1, 7), &[]);
    for row in [&panes[0], &panes[1], &newer] {
        let append = bench.append(&stream, std::slice::from_ref(row));
        assert_eq!(bench.sent(&append).await.expect("an answer"), Appended::Done);
    }
    let [first, second] = keys;
    assert_eq!(bench.rows().await, [(Some(first), 0, 10, 7), (Some(second), 0, 10, 1)]);
    let lengths = bench.query("SELECT LENGTH(aqueduct_key) AS n FROM `shop.rates.visits`").await;
    assert_eq!(lengths, [[Some("71".to_owned())], [Some("71".to_owned())]]);
}

#[tokio::test]
async fn what_beam_adds_to_progress_is_read_back() {
    let bench = Bench::new().await;
    let at = |seconds: i64| EventTime(TEN + seconds * 1_000);
    let row = |seconds| ProgressRow { at: at(seconds), watermark: at(0), ledger: Ledger::default() };
    let progress = Table::Progress("visits".into());
    let body = bench.writer.encode(&progress, Rows::Progress(&[row(1), row(2)])).expect("rows").remove(0);
    let stream = bench.writer.open_stream(&progress).await.expect("a stream");
    let append = Append { table: progress, stream, offset: 0, rows: 2, body: body.bytes.into() };
    assert_eq!(bench.sent(&append).await.expect("an answer"), Appended::Done);
    let detail =
        async |seconds| bench.writer.progress_detail("visits", at(seconds)).await.expect("an answer");
    assert_eq!(detail(2).await, None, "the processor adds nothing");
    let sql = "UPDATE `shop.rates.visits_progress` SET detail = 'd' WHERE UNIX_MILLIS(`at`)";
    bench.call("POST", "queries", &json!({ "query": format!("{sql} = {}", at(2).0) })).await;
    assert_eq!((detail(1).await, detail(2).await), (None, Some("d".to_owned())));
    assert_eq!(bench.writer.progress("visits").await.expect("an answer"), Some(row(2)));
}

#[tokio::test]
async fn a_repeated_dead_letter_is_one_refusal() {
    let bench = Bench::new().await;
    let letter = |partition, offset, reason: &str, seconds: i64| DeadLetterRow {
        topic: "events".into(),
        partition,
        offset,
        stage: "processor".into(),
        reason: reason.to_owned(),
        pointer: None,
        seen_at: EventTime(TEN + seconds * 1_000),
    };
    let letters = [
        letter(0, 3, "a", 1),
        letter(0, 3, "b", 2),
        letter(0, 3, "b", 2),
        letter(0, 4, "b", 1),
        letter(-1, 7, "a", 1),
        letter(-1, 7, "a", 1),
    ];
    let table = Table::DeadLetters;
    let body = bench.writer.encode(&table, Rows::DeadLetters(&letters)).expect("rows").remove(0);
    let stream = bench.writer.open_stream(&table).await.expect("a stream");
    let append = Append { table, stream, offset: 0, rows: 6, body: body.bytes.into() };
    assert_eq!(bench.sent(&append).await.expect("an answer"), Appended::Done);
    let refusals = bench.writer.refusals().await.expect("an answer");
    let found: Vec<_> = refusals.iter().map(|of| (of.partition, &*of.reason, of.rows)).collect();
    assert_eq!(found, [(-1, "a", 2), (0, "b", 2)]);
}
