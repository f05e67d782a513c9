//! Every response that the Storage Write API can give to an append, or no response: in the end each row is in its table
//! once.
#![cfg(feature = "cloud")]

use doubles::bigquery::{BigQuery, Fault};
use event::{EventTime, Ledger, ledger::Outcome};
use flow::{
    Flow, FlowSettings,
    append::{Append, Appended, Rows, Table},
    measure::Estimate,
    number::Total,
    row::{DeadLetterRow, FlowTable, Pane, ProgressRow, Row, Value, Values},
    window::Window,
};
use tonic::Code;
use writer::{BigQueryConfig, Claim, Endpoints, State, Writer, WriterConfig, WriterError, WriterMode};

const MINUTE: i64 = 60_000;
/// 2026-09-27T10:00:00Z
const TEN: i64 = 1_790_503_200_000;

struct Bench {
    bigquery: BigQuery,
    config: WriterConfig,
    flow: FlowTable,
    writer: Writer,
}

impl Bench {
    async fn new() -> Self {
        let flow = table(
            r#"{ "name": "box_ctr", "by": { "page": "/page", "box": "/box" }, "views": { "/type": "view" },
                "clicks": { "/type": "click" }, "join": { "on": "/view_id", "within": "10m" },
                "window": { "size": "10m", "period": "1m" }, "allowed_lateness": "10m" }"#,
        );
        Self::of(flow).await
    }

    async fn of(flow: FlowTable) -> Self {
        let bigquery = BigQuery::start().await.expect("a free port");
        let url = format!("http://{}", bigquery.host());
        let config = WriterConfig::BigQuery(BigQueryConfig {
            project: "shop".to_owned(),
            dataset: "rates".to_owned(),
            location: "EU".to_owned(),
            mode: WriterMode::Append,
            emulator: Some(Endpoints { rest: url.clone(), grpc: url }),
        });
        let flows = std::slice::from_ref(&flow);
        Writer::setup(&config, flows, false).await.expect("tables");
        Writer::check(&config, flows).await.expect("all of them");
        let writer = Writer::connect(&config, flows).await.expect("a writer");
        Self { bigquery, config, flow, writer }
    }

    /// An append of these rows at an offset.
    fn append(&self, table: &Table, stream: &str, offset: u64, rows: Rows<'_>) -> Append {
        let body = self.writer.encode(table, rows).expect("rows of this table").remove(0);
        let (rows, body) = (body.rows, body.bytes.into());
        Append { table: table.clone(), stream: stream.to_owned(), offset, rows, body }
    }

    /// Repeats an append until it is decided, as the processor does.
    async fn sent(&self, append: &Append) -> (u32, Result<Appended, WriterError>) {
        let mut errors = 0;
        loop {
            match self.writer.append(append).await {
                Err(error) if error.is_retryable() => errors += 1,
                answer => return (errors, answer),
            }
        }
    }

    async fn rows(&self, table: &Table) -> u64 {
        self.writer.count(table).await.expect("a count")
    }
}

/// The table of a flow of the configuration.
fn table(json: &str) -> FlowTable {
    let settings: FlowSettings = serde_json::from_str(json).expect("the flow is well formed");
    Flow::try_from(settings).expect("the flow is right").table()
}

fn flow() -> Table {
    Table::Flow("box_ctr".into())
}

fn pane(page: Option<&str>, end: i64, index: u32) -> Row {
    Row {
        key: [page.map(Into::into), None].into(),
        window: Window { start: EventTime(end - 10 * MINUTE), end: EventTime(end) },
        values: [10, 5, 2].map(Value::Count).into_iter().collect(),
        pane: Pane::Late,
        pane_index: index,
        watermark: EventTime(end),
        emitted_at: EventTime(end + 250),
        replaced: flow::row::Replaced::default(),
    }
}

/// The number of errors that the processor gets in between, and whether the rows are in the table if the stream is gone.
/// The first fault hits a connection that was used before, the next one a new connection.
async fn check(faults: &[Fault], errors: u32, answer: Appended, contains: Option<bool>) {
    let bench = Bench::new().await;
    let stream = bench.writer.open_stream(&flow()).await.expect("a stream");
    let rows: Vec<_> = (0..6).map(|n| pane(Some("/a"), TEN + n * MINUTE, 0)).collect();
    let appends: Vec<_> = (0..3)
        .map(|n| bench.append(&flow(), &stream, 2 * n, Rows::Panes(&rows[2 * n as usize..][..2])))
        .collect();
    assert_eq!(bench.sent(&appends[0]).await.1.expect("an answer"), Appended::Done);
    for fault in faults {
        bench.bigquery.faults().next("box_ctr", *fault);
    }
    let met = bench.sent(&appends[1]).await;
    assert_eq!((met.0, met.1.expect("an answer")), (errors, answer.clone()), "{faults:?}");
    assert_eq!(bench.bigquery.faults().waiting(), 0, "{faults:?} were met");
    if answer == Appended::Done {
        assert_eq!(bench.sent(&appends[2]).await.1.expect("an answer"), Appended::Done, "{faults:?}");
    }
    if let Some(contains) = contains {
        let found = [bench.writer.contains(&appends[1]).await, bench.writer.contains(&appends[2]).await];
        assert_eq!(found.map(|answer| answer.expect("an answer")), [contains, false], "{faults:?}");
        let next = bench.writer.open_stream(&flow()).await.expect("a stream");
        let mut offset = 0;
        for append in &appends[if contains { 2 } else { 1 }..] {
            let append = Append { stream: next.clone(), offset, ..append.clone() };
            assert_eq!(bench.sent(&append).await.1.expect("an answer"), Appended::Done, "{faults:?}");
            offset += 2;
        }
    }
    assert_eq!(bench.rows(&flow()).await, 6, "{faults:?}: each row is in the table once");
}

#[tokio::test]
async fn retries_add_rows_once() {
    for code in [
        Code::Unavailable,
        Code::ResourceExhausted,
        Code::Aborted,
        Code::Internal,
        Code::DeadlineExceeded,
        Code::Cancelled,
        Code::Unknown,
    ] {
        check(&[Fault::Answer(code)], 0, Appended::Done, None).await;
        check(&[Fault::Answer(code); 2], 1, Appended::Done, None).await;
    }
    check(&[Fault::CutBefore], 0, Appended::Done, None).await;
    check(&[Fault::CutBefore; 2], 1, Appended::Done, None).await;
}

#[tokio::test]
async fn rows_with_a_lost_response_already_exist() {
    for fault in [Fault::AnswerLost, Fault::CutAfter] {
        check(&[fault], 0, Appended::Done, None).await;
    }
    for second in [Fault::Answer(Code::Unavailable), Fault::CutBefore] {
        check(&[Fault::AnswerLost, second], 1, Appended::Done, None).await;
    }
}

#[tokio::test]
async fn rows_of_a_lost_stream_are_searched() {
    let gone = Appended::StreamGone;
    check(&[Fault::Finalized], 0, gone.clone(), Some(false)).await;
    check(&[Fault::Forgotten], 0, gone.clone(), Some(false)).await;
    check(&[Fault::LostAndFinalized], 0, gone.clone(), Some(true)).await;
    check(&[Fault::LostAndForgotten], 0, gone.clone(), Some(true)).await;
    check(&[Fault::Answer(Code::Unavailable), Fault::LostAndFinalized], 1, gone, Some(true)).await;
}

#[tokio::test]
async fn permanent_errors_are_returned() {
    let bench = Bench::new().await;
    let stream = bench.writer.open_stream(&flow()).await.expect("a stream");
    let append = bench.append(&flow(), &stream, 0, Rows::Panes(&[pane(None, TEN, 0)]));
    let beyond = Append { offset: 1, ..append.clone() };
    assert_eq!(bench.sent(&beyond).await.1.expect("an answer"), Appended::Gap);
    bench.bigquery.faults().next("box_ctr", Fault::Answer(Code::PermissionDenied));
    let refused = bench.sent(&append).await.1.expect_err("no rights");
    assert!(matches!(refused, WriterError::Denied { .. }), "{refused:?}");
    assert_eq!(
        refused.to_string(),
        "BigQuery denied access (append to box_ctr): the credentials are missing, expired or lack a permission; run `gcloud auth application-default login`, or grant roles/bigquery.dataEditor and roles/bigquery.jobUser"
    );
    assert_eq!(bench.sent(&append).await.1.expect("an answer"), Appended::Done);
    assert_eq!(bench.sent(&append).await.1.expect("an answer"), Appended::Done);
    assert_eq!(bench.bigquery.faults().answers(Code::AlreadyExists), 1);
    assert_eq!(bench.bigquery.faults().answers(Code::OutOfRange), 1);
    assert_eq!(bench.rows(&flow()).await, 1);
}

#[tokio::test]
async fn errors_name_the_call_and_its_cause() {
    let bench = Bench::new().await;
    let stream = bench.writer.open_stream(&flow()).await.expect("a stream");
    let append = bench.append(&flow(), &stream, 0, Rows::Panes(&[pane(None, TEN, 0)]));
    for (code, retryable) in [(Code::Unavailable, true), (Code::FailedPrecondition, false)] {
        bench.bigquery.faults().next("box_ctr", Fault::Answer(code));
        let error = bench.writer.append(&append).await.expect_err("an injected fault");
        assert!(error.to_string().contains("append to box_ctr"), "{error}");
        assert_eq!(error.is_retryable(), retryable);
        assert!(said_by_the_service(&error).contains("injected fault"), "{error:?}");
    }
    let other = Table::Flow("page_ctr".into());
    for error in [
        bench.writer.open_stream(&other).await.expect_err("no such flow"),
        bench.writer.encode(&other, Rows::Panes(&[])).expect_err("no such flow"),
        bench.writer.count(&other).await.expect_err("no such flow"),
    ] {
        assert_eq!(
            error.to_string(),
            "table page_ctr belongs to no configured flow; this is a bug, please report it"
        );
    }
    let error =
        bench.writer.encode(&Table::DeadLetters, Rows::Panes(&[pane(None, TEN, 0)])).expect_err("panes");
    assert_eq!(error.to_string(), "cannot encode rows for dead_letters");
    assert_eq!(said_by_the_service(&error), "the rows are of another type than the table");
}

fn said_by_the_service(error: &WriterError) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[tokio::test]
async fn a_dataset_in_another_location_is_rejected() {
    let bigquery = BigQuery::start().await.expect("a free port");
    let url = format!("http://{}", bigquery.host());
    let config = |location: &str| {
        WriterConfig::BigQuery(BigQueryConfig {
            project: "shop".to_owned(),
            dataset: "rates".to_owned(),
            location: location.to_owned(),
            mode: WriterMode::Append,
            emulator: Some(Endpoints { rest: url.clone(), grpc: url.clone() }),
        })
    };
    Writer::setup(&config("EU"), &[], false).await.expect("a dataset");
    let error = Writer::check(&config("US"), &[]).await.expect_err("it is in the EU");
    assert_eq!(
        error.to_string(),
        "dataset shop.rates is in EU, but writer.location is US; correct writer.location, or choose another dataset"
    );
    Writer::check(&config("eu"), &[]).await.expect("locations ignore case");
}

#[tokio::test]
async fn a_table_belongs_to_the_pipeline_that_claimed_it() {
    let bench = Bench::new().await;
    let look = async |pipeline: &str| {
        Writer::check_owner(&bench.config, std::slice::from_ref(&bench.flow), pipeline).await
    };
    look("state gs://b/one").await.expect("it is unclaimed");
    for _ in 0..2 {
        bench.writer.claim("state gs://b/one", Claim::Take).await.expect("it is free, or ours");
    }
    look("state gs://b/one").await.expect("it is ours");
    let other = "state gs://b/two";
    assert!(matches!(look(other).await, Err(WriterError::Owned { .. })));
    let refused = bench.writer.claim(other, Claim::Take).await;
    assert!(matches!(refused, Err(WriterError::Owned { .. })));
    bench.writer.claim(other, Claim::Adopt).await.expect("adoption takes any table over");
    look(other).await.expect("it is the other's now");
    // Only the label changed.
    Writer::check(&bench.config, std::slice::from_ref(&bench.flow)).await.expect("the columns are the same");
}

#[tokio::test]
async fn a_rejected_row_is_removed_from_its_append() {
    let bench = Bench::new().await;
    bench.bigquery.faults().refuse("/bad");
    let rows = [pane(Some("/a"), TEN, 0), pane(Some("/bad"), TEN, 0), pane(None, TEN, 0)];
    let stream = bench.writer.open_stream(&flow()).await.expect("a stream");
    let append = bench.append(&flow(), &stream, 0, Rows::Panes(&rows));
    let refused = vec![(1, "fields_error".to_owned())];
    assert_eq!(bench.sent(&append).await.1.expect("an answer"), Appended::Refused(refused));
    assert_eq!(bench.rows(&flow()).await, 0, "none of the append was added");
    let rest = bench.writer.without(&append, &[1]).expect("its own bytes");
    let rest = Append { rows: rest.rows, body: rest.bytes.into(), ..append };
    assert_eq!(bench.sent(&rest).await.1.expect("an answer"), Appended::Done);
    assert_eq!(bench.rows(&flow()).await, 2);
}

#[tokio::test]
async fn the_row_size_limit_is_exact() {
    let bench = Bench::new().await;
    let (fits, large) = ("p".repeat((8 << 20) - 1_000), "p".repeat(8 << 20));
    let rows = [pane(None, TEN, 0), pane(Some(&large), TEN, 0), pane(Some(&fits), TEN, 0)];
    assert_eq!(bench.writer.too_large(Rows::Panes(&rows)), [1]);
    let error = bench.writer.encode(&flow(), Rows::Panes(&rows)).expect_err("one fits no request");
    assert_eq!(
        error.to_string(),
        "row 1 for box_ctr exceeds the maximum size of a request; this is a bug, please report it"
    );
    let stream = bench.writer.open_stream(&flow()).await.expect("a stream");
    let append = bench.append(&flow(), &stream, 0, Rows::Panes(&rows[2..]));
    assert_eq!(bench.sent(&append).await.1.expect("an answer"), Appended::Done);
    bench.bigquery.faults().forget_streams("box_ctr");
    assert!(bench.writer.contains(&append).await.expect("an answer"), "a large row is found too");
}

#[tokio::test]
async fn rows_of_every_table_are_found_by_their_values() {
    let bench = Bench::new().await;
    let texts = ["/a", "", "it's \"quoted\" `so` \\ @p0", "\u{1F600}\n"];
    let mut panes: Vec<_> = texts.iter().map(|text| pane(Some(text), TEN, 0)).collect();
    panes.extend((0..100).map(|n| pane(None, TEN + n * MINUTE, 1)));
    let mut ledger = Ledger::default();
    ledger.add(Outcome::Counted, 900);
    let lines = [ProgressRow { at: EventTime(TEN), watermark: EventTime::MIN, ledger }];
    let letters = [DeadLetterRow {
        topic: "events".into(),
        partition: -1,
        offset: 42,
        stage: "writer".into(),
        reason: "too-large".to_owned(),
        pointer: None,
        seen_at: EventTime(TEN),
    }];
    let progress = Table::Progress("box_ctr".into());
    for (table, rows) in [
        (flow(), Rows::Panes(&panes)),
        (progress.clone(), Rows::Progress(&lines)),
        (Table::DeadLetters, Rows::DeadLetters(&letters)),
    ] {
        let stream = bench.writer.open_stream(&table).await.expect("a stream");
        let append = bench.append(&table, &stream, 0, rows);
        bench.bigquery.faults().forget_streams(&table.name());
        assert!(!bench.writer.contains(&append).await.expect("an answer"), "{table:?}: the table is empty");
        let next = bench.writer.open_stream(&table).await.expect("a stream");
        let moved = Append { stream: next, ..append.clone() };
        assert_eq!(bench.sent(&moved).await.1.expect("an answer"), Appended::Done);
        assert!(bench.writer.contains(&append).await.expect("an answer"), "{table:?}: by whatever stream");
    }
    // Any difference makes it another row.
    let other = |change: fn(&mut Row)| {
        let mut row = pane(Some("/a"), TEN, 0);
        change(&mut row);
        row
    };
    for row in [
        other(|row| row.key = [Some("/b".into()), None].into()),
        other(|row| row.key = [Some("/a".into()), Some("".into())].into()),
        other(|row| row.window.end = EventTime(TEN + 1)),
        other(|row| row.pane_index = 1),
        other(|row| row.emitted_at = EventTime(TEN + 251)),
        other(|row| row.values[1] = Value::Count(6)),
    ] {
        let append = bench.append(
            &flow(),
            "projects/shop/datasets/rates/tables/box_ctr/streams/gone",
            0,
            Rows::Panes(std::slice::from_ref(&row)),
        );
        assert!(!bench.writer.contains(&append).await.expect("an answer"), "{row:?}");
    }
}

/// A body that was in the state when the processor was upgraded.
#[tokio::test]
async fn rows_of_release_0_1_0_are_sent_and_found() {
    let bench = Bench::new().await;
    let append = |stream: String, offset| Append {
        table: flow(),
        stream,
        offset,
        rows: 11,
        body: include_bytes!("data/panes.arrow").as_slice().into(),
    };
    let stream = bench.writer.open_stream(&flow()).await.expect("a stream");
    let new = bench.append(&flow(), &stream, 0, Rows::Panes(&[pane(None, TEN, 0)]));
    assert_eq!(bench.sent(&new).await.1.expect("an answer"), Appended::Done);
    for _ in 0..2 {
        let old = append(stream.clone(), 1);
        assert_eq!(bench.sent(&old).await.1.expect("an answer"), Appended::Done);
    }
    assert_eq!(bench.rows(&flow()).await, 12);
    bench.bigquery.faults().forget_streams("box_ctr");
    assert!(bench.writer.contains(&append(stream, 1)).await.expect("an answer"));
}

/// A measure of each kind, and `more`.
fn sales(more: &str) -> FlowTable {
    table(&format!(
        r#"{{ "name": "sales", "by": {{ "page": "/page" }}, "window": {{ "size": "10m" }}, "measures": {{
            "views": {{ "count": {{ "/type": "view" }} }}, "revenue": {{ "sum": "/price" }},
            "users": {{ "distinct": "/user", "sketch": true }}, "rpm": {{ "ratio": ["revenue", "views"] }}{more} }} }}"#
    ))
}

fn sale(revenue: &str, values: impl IntoIterator<Item = Value>) -> Row {
    let revenue = Value::Number(Box::new(Total::parse(revenue).expect("a number")));
    let users = Value::Distinct(Box::new(Estimate { number: 3, sketch: Some([0xFF, 0].into()) }));
    let values: Values = [Value::Count(2), revenue, users].into_iter().chain(values).collect();
    Row { key: [Some("/a".into())].into(), values, ..pane(None, TEN, 0) }
}

/// The values of a query, row by row.
async fn query(bench: &Bench, sql: &str) -> Vec<Vec<Option<String>>> {
    let url = format!("http://{}/bigquery/v2/projects/shop/queries", bench.bigquery.host());
    let request = reqwest::Client::new().post(url).json(&serde_json::json!({ "query": sql }));
    let answer = request.send().await.expect("the stand-in answers");
    let answer: serde_json::Value = answer.json().await.expect("an answer is JSON");
    let rows = answer["rows"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let cell = |cell: &serde_json::Value| cell["v"].as_str().map(str::to_owned);
    rows.iter().map(|row| row["f"].as_array().expect("cells").iter().map(cell).collect()).collect()
}

#[tokio::test]
async fn every_kind_of_measure_is_written_and_found() {
    let bench = Bench::of(sales("")).await;
    let table = Table::Flow("sales".into());
    let none = Row { values: [Value::Null, Value::Null, Value::Null].into_iter().collect(), ..sale("0", []) };
    let rows = [sale("-0.000000001", []), sale("12345678901234567890123456789", []), none];
    let stream = bench.writer.open_stream(&table).await.expect("a stream");
    let append = bench.append(&table, &stream, 0, Rows::Panes(&rows));
    assert_eq!(bench.sent(&append).await.1.expect("an answer"), Appended::Done);
    let seen = query(
        &bench,
        "SELECT views, revenue, users, users_sketch, rpm FROM `shop.rates.sales` ORDER BY rowid",
    )
    .await;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(seen[0], [text("2"), text("-0.000000001"), text("3"), text("/wA="), text("-0.0000000005")]);
    assert_eq!(seen[1][1], text("12345678901234567890123456789"));
    assert_eq!(seen[2], [None, None, None, None, None]);

    bench.bigquery.faults().forget_streams("sales");
    for row in 0..rows.len() {
        let single = bench.append(&table, &stream, 0, Rows::Panes(&rows[row..=row]));
        assert!(bench.writer.contains(&single).await.expect("an answer"), "{row}");
    }
    for other in [sale("-0.000000002", []), sale("99999999999999999999999999999999", [])] {
        let append = bench.append(&table, &stream, 0, Rows::Panes(std::slice::from_ref(&other)));
        assert!(!bench.writer.contains(&append).await.expect("an answer"), "{other:?}");
    }
}

#[tokio::test]
async fn a_sum_beyond_numeric_is_rejected() {
    let bench = Bench::of(sales("")).await;
    let table = Table::Flow("sales".into());
    let rows = [sale("100000000000000000000000000000", []), sale("1", [])];
    let stream = bench.writer.open_stream(&table).await.expect("a stream");
    let append = bench.append(&table, &stream, 0, Rows::Panes(&rows));
    let refused = vec![(0, "fields_error".to_owned())];
    assert_eq!(bench.sent(&append).await.1.expect("an answer"), Appended::Refused(refused));
    let rest = bench.writer.without(&append, &[0]).expect("its own bytes");
    let rest = Append { rows: rest.rows, body: rest.bytes.into(), ..append };
    assert_eq!(bench.sent(&rest).await.1.expect("an answer"), Appended::Done);
}

#[tokio::test]
async fn tables_gain_measures_and_keep_removed_ones() {
    let mut bench = Bench::of(sales(r#", "old": { "max": "/price" }"#)).await;
    let table = Table::Flow("sales".into());
    let price = |text| Value::Number(Box::new(Total::parse(text).expect("a number")));
    let stream = bench.writer.open_stream(&table).await.expect("a stream");
    // Encoded before the edit, and sent after it.
    let waiting = bench.append(&table, &stream, 0, Rows::Panes(&[sale("1", [price("7.5")])]));

    bench.flow = sales(r#", "lowest": { "min": "/price" }"#);
    let flows = std::slice::from_ref(&bench.flow);
    assert!(matches!(Writer::check(&bench.config, flows).await, Err(WriterError::Absent { .. })));
    let states = async |dry_run| -> Vec<State> {
        let steps = Writer::setup(&bench.config, flows, dry_run).await.expect("nothing prevents it");
        steps.into_iter().map(|step| step.state).filter(|state| *state != State::Exists).collect()
    };
    assert_eq!(states(true).await, [State::WouldUpdate; 2]);
    assert_eq!(states(false).await, [State::Updated; 2]);
    assert_eq!(states(false).await, []);
    Writer::check(&bench.config, flows).await.expect("all columns are there");

    bench.writer = Writer::connect(&bench.config, flows).await.expect("a writer");
    assert_eq!(bench.sent(&waiting).await.1.expect("an answer"), Appended::Done);
    let new = bench.append(&table, &stream, 1, Rows::Panes(&[sale("2", [price("0.5")])]));
    assert_eq!(bench.sent(&new).await.1.expect("an answer"), Appended::Done);
    let seen = query(&bench, "SELECT revenue, old, lowest FROM `shop.rates.sales` ORDER BY rowid").await;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(seen, [[text("1"), text("7.5"), None], [text("2"), None, text("0.5")]]);
    bench.bigquery.faults().forget_streams("sales");
    assert!(bench.writer.contains(&waiting).await.expect("an answer"), "what both have is compared");

    let other = sales(r#", "lowest": { "count": {} }"#);
    assert!(matches!(Writer::setup(&bench.config, &[other], false).await, Err(WriterError::Mismatch { .. })));

    // A dataset that was created since: the removed measure has no column.
    let new = Bench::of(sales(r#", "lowest": { "min": "/price" }"#)).await;
    let stream = new.writer.open_stream(&table).await.expect("a stream");
    let moved = Append { stream, offset: 0, ..waiting };
    let appended = new.writer.append(&moved).await;
    assert_eq!(appended.expect("the table takes the other columns"), Appended::Done);
    let seen = query(&new, "SELECT views, revenue, lowest FROM `shop.rates.sales`").await;
    assert_eq!(seen, [[text("2"), text("1"), None]]);
    new.bigquery.faults().forget_streams("sales");
    assert!(new.writer.contains(&moved).await.expect("an answer"));
}
