//! The writer against a BigQuery emulator that checks offsets: repeated appends, repeated `setup`, tables with another
//! schema, lost streams, views.
//!
//! `make test` starts the emulator and passes its addresses in `BIGQUERY_REST` and `BIGQUERY_GRPC`. Each test has its
//! own dataset.

use std::{
    process,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use event::{EventTime, Ledger, Millis, ledger::Outcome};
use flow::{
    Flow, FlowSettings, Window,
    append::{Append, Appended, Rows, Table},
    row::{DeadLetterRow, FlowTable, MeasureColumns, Pane, ProgressRow, Row, Shows, Value, Values},
};
use serde_json::json;
use writer::{BigQueryConfig, Endpoints, Letters, State, Writer, WriterConfig, WriterError, WriterMode};

const MINUTE: i64 = 60_000;
/// 2026-09-27T10:00:00Z
const TEN: i64 = 1_790_503_200_000;

fn endpoints() -> Result<Endpoints> {
    let url = |name: &str| {
        std::env::var(name)
            .with_context(|| format!("{name} is not set; run `make test`, which starts the emulator"))
    };
    Ok(Endpoints { rest: url("BIGQUERY_REST")?, grpc: url("BIGQUERY_GRPC")? })
}

/// A unique dataset.
fn config(test: &str) -> Result<WriterConfig> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    Ok(WriterConfig::BigQuery(BigQueryConfig {
        project: "aqueduct-test".to_owned(),
        dataset: format!("{test}_{}_{now}", process::id()),
        location: "EU".to_owned(),
        mode: WriterMode::Append,
        emulator: Some(endpoints()?),
    }))
}

fn flow() -> FlowTable {
    let settings: FlowSettings = serde_json::from_value(json!({
        "name": "box_ctr", "by": { "page": "/page", "box": "/box" }, "views": { "/type": "view" },
        "clicks": { "/type": "click" }, "window": { "size": "10m" }, "join": { "on": "/id", "within": "10m" },
        "allowed_lateness": "10m",
    }))
    .expect("the section is complete");
    Flow::try_from(settings).expect("the flow makes sense").table()
}

fn panes() -> Table {
    Table::Flow("box_ctr".into())
}

fn pane(key: (Option<&str>, Option<&str>), end: i64, index: u32, views: u64) -> Row {
    Row {
        key: [key.0.map(Into::into), key.1.map(Into::into)].into(),
        window: Window { start: EventTime(end - 10 * MINUTE), end: EventTime(end) },
        values: counts([views, views / 2, views / 4]),
        pane: [Pane::Early, Pane::OnTime, Pane::Late][index.min(2) as usize],
        pane_index: index,
        watermark: EventTime(end),
        emitted_at: EventTime(end + 250),
        replaced: flow::row::Replaced::default(),
    }
}

/// Views, clicks, attributed clicks.
fn counts(counts: [u64; 3]) -> Values {
    counts.into_iter().map(Value::Count).collect()
}

fn appends(writer: &Writer, table: &Table, stream: &str, start: u64, rows: Rows<'_>) -> Result<Vec<Append>> {
    let mut offset = start;
    let mut appends = Vec::new();
    for body in writer.encode(table, rows)? {
        let (rows, body) = (body.rows, body.bytes.into());
        appends.push(Append { table: table.clone(), stream: stream.to_owned(), offset, rows, body });
        offset += u64::from(rows);
    }
    Ok(appends)
}

async fn add(writer: &Writer, table: &Table, rows: Rows<'_>) -> Result<()> {
    let stream = writer.open_stream(table).await?;
    for append in appends(writer, table, &stream, 0, rows)? {
        assert_eq!(writer.append(&append).await?, Appended::Done);
    }
    Ok(())
}

fn progress(at: i64, watermark: EventTime) -> ProgressRow {
    let mut ledger = Ledger::default();
    ledger.add(Outcome::Counted, 900);
    ledger.add(Outcome::Late, 3);
    ProgressRow { at: EventTime(at), watermark, ledger }
}

#[tokio::test]
async fn setup_is_idempotent() -> Result<()> {
    let (config, mut flow) = (config("setup")?, flow());
    let flows = std::slice::from_ref(&flow);
    let error = Writer::check(&config, flows).await.expect_err("nothing is there");
    assert!(matches!(error, WriterError::Absent { .. }), "{error:?}");
    assert!(error.to_string().ends_with("does not exist; run `aqueduct setup`"), "{error}");

    let planned = Writer::setup(&config, flows, true).await?;
    assert!(planned.iter().all(|step| step.state == State::WouldCreate), "{planned:?}");
    let made = Writer::setup(&config, flows, false).await?;
    assert_eq!(made.len(), 5);
    assert!(made.iter().all(|step| step.state == State::Created), "{made:?}");
    for dry_run in [true, false] {
        let again = Writer::setup(&config, flows, dry_run).await?;
        assert!(again.iter().all(|step| step.state == State::Exists), "{again:?}");
    }
    Writer::check(&config, flows).await?;

    flow.allowed_lateness = Millis(20 * MINUTE);
    let flows = std::slice::from_ref(&flow);
    assert!(matches!(Writer::check(&config, flows).await, Err(WriterError::Outdated { .. })));
    let changed = |steps: Vec<writer::Step>| -> Vec<State> {
        steps.into_iter().map(|step| step.state).filter(|state| *state != State::Exists).collect()
    };
    assert_eq!(changed(Writer::setup(&config, flows, true).await?), [State::WouldUpdate]);
    assert_eq!(changed(Writer::setup(&config, flows, false).await?), [State::Updated]);
    assert_eq!(changed(Writer::setup(&config, flows, false).await?), []);
    Ok(())
}

#[tokio::test]
async fn a_different_table_is_left_unchanged() -> Result<()> {
    let (config, mut flow) = (config("mismatch")?, flow());
    Writer::setup(&config, std::slice::from_ref(&flow), false).await?;
    flow.columns.push("place".to_owned());
    for result in [
        Writer::check(&config, std::slice::from_ref(&flow)).await,
        Writer::setup(&config, std::slice::from_ref(&flow), false).await.map(drop),
    ] {
        let error = result.expect_err("a column of the key is missing");
        assert!(
            matches!(&error, WriterError::Mismatch { table, difference } if table.ends_with(".box_ctr") && difference.contains("place")),
            "{error}"
        );
    }
    Ok(())
}

/// An added measure becomes a column; the column of a removed measure stays.
#[tokio::test]
async fn a_table_gains_columns_and_loses_none() -> Result<()> {
    let (config, before) = (config("columns")?, flow());
    Writer::setup(&config, std::slice::from_ref(&before), false).await?;
    let mut after = before.clone();
    let revenue = MeasureColumns { name: "revenue".to_owned(), shows: Shows::Number(3) };
    after.measures = after
        .measures
        .iter()
        .filter(|measure| measure.name != "ctr_attributed")
        .cloned()
        .chain([revenue])
        .collect();
    let flows = std::slice::from_ref(&after);
    assert!(matches!(Writer::check(&config, flows).await, Err(WriterError::Absent { .. })));
    let steps = Writer::setup(&config, flows, false).await?;
    assert!(
        steps.iter().any(|step| step.what == "table box_ctr" && step.state == State::Updated),
        "{steps:?}"
    );
    // The emulator changes the schema but not the table, so appends are tested with the stand-in.
    Writer::check(&config, flows).await?;
    let again = Writer::setup(&config, flows, false).await?;
    assert!(again.iter().all(|step| step.state == State::Exists), "{again:?}");
    Ok(())
}

#[tokio::test]
async fn a_repeated_append_adds_rows_once() -> Result<()> {
    let (config, flow) = (config("append")?, flow());
    let flows = std::slice::from_ref(&flow);
    Writer::setup(&config, flows, false).await?;
    let writer = Writer::connect(&config, flows).await?;
    let rows: Vec<_> = (0..6).map(|n| pane((Some("/a"), None), TEN + n * MINUTE, 1, 10)).collect();
    let stream = writer.open_stream(&panes()).await?;
    let mut sent = Vec::new();
    for (n, part) in rows.chunks(2).enumerate() {
        sent.extend(appends(&writer, &panes(), &stream, 2 * n as u64, Rows::Panes(part))?);
    }
    assert_eq!(writer.append(&sent[1]).await?, Appended::Gap);
    assert_eq!(writer.append(&sent[0]).await?, Appended::Done);
    assert_eq!(writer.append(&sent[0]).await?, Appended::Done);
    assert_eq!(writer.append(&sent[2]).await?, Appended::Gap);
    // Another process takes over with only the appends, and sends all of them again.
    let next = Writer::connect(&config, flows).await?;
    for append in sent.iter().chain(&sent) {
        assert_eq!(next.append(append).await?, Appended::Done);
    }
    assert_eq!(writer.append(&sent[1]).await?, Appended::Done);
    assert_eq!(next.count(&panes()).await?, 6);
    for part in [writer, next] {
        part.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_lost_stream_is_recognised() -> Result<()> {
    let (config, flow) = (config("gone")?, flow());
    let flows = std::slice::from_ref(&flow);
    Writer::setup(&config, flows, false).await?;
    let writer = Writer::connect(&config, flows).await?;
    let rows = [pane((Some("/a"), None), TEN, 1, 10)];

    let stream = writer.open_stream(&panes()).await?;
    let (path, _) = stream.rsplit_once('/').context("a stream's name has parts")?;
    let unknown = appends(&writer, &panes(), &format!("{path}/0123456789abcdef"), 0, Rows::Panes(&rows))?;
    assert_eq!(writer.append(&unknown[0]).await?, Appended::StreamGone);

    let late = appends(&writer, &panes(), &stream, 0, Rows::Panes(&rows))?;
    // Finalizes the stream, as the service does with idle streams.
    assert!(!writer.contains(&late[0]).await?);
    assert_eq!(writer.append(&late[0]).await?, Appended::StreamGone);
    add(&writer, &panes(), Rows::Panes(&rows)).await?;
    assert_eq!(writer.count(&panes()).await?, 1);
    Ok(())
}

#[tokio::test]
async fn rows_are_found_by_content() -> Result<()> {
    let (config, flow) = (config("contains")?, flow());
    let flows = std::slice::from_ref(&flow);
    Writer::setup(&config, flows, false).await?;
    let writer = Writer::connect(&config, flows).await?;
    let texts = [None, Some(""), Some("/a"), Some("it's \"quoted\" `so` \\ @p0"), Some("\u{1F600}\n")];
    let rows: Vec<_> = texts.iter().map(|text| pane((*text, None), TEN, 1, 10)).collect();
    let letter = DeadLetterRow {
        topic: "events".into(),
        partition: -1,
        offset: 42,
        stage: "writer".into(),
        reason: "too-large".to_owned(),
        pointer: None,
        seen_at: EventTime(TEN),
    };
    for (table, rows) in [
        (panes(), Rows::Panes(&rows)),
        (Table::Progress("box_ctr".into()), Rows::Progress(&[progress(TEN, EventTime::MIN)])),
        (Table::DeadLetters, Rows::DeadLetters(&[letter])),
    ] {
        let stream = writer.open_stream(&table).await?;
        let (path, _) = stream.rsplit_once('/').context("a stream's name has parts")?;
        // An unknown stream: the table is queried.
        let append = appends(&writer, &table, &format!("{path}/0123456789abcdef"), 0, rows)?.remove(0);
        assert!(!writer.contains(&append).await?, "{table:?}: nothing contains yet");
        add(&writer, &table, rows).await?;
        assert!(writer.contains(&append).await?, "{table:?}");
    }
    let other = [Row { emitted_at: EventTime(TEN + 251), ..rows[2].clone() }];
    let stream = writer.open_stream(&panes()).await?;
    let (path, _) = stream.rsplit_once('/').context("a stream's name has parts")?;
    let other = appends(&writer, &panes(), &format!("{path}/0123456789abcdef"), 0, Rows::Panes(&other))?;
    assert!(!writer.contains(&other[0]).await?);

    // A known stream reports its row count, and is finalized.
    let first = appends(&writer, &panes(), &stream, 0, Rows::Panes(&rows[..2]))?.remove(0);
    let second = appends(&writer, &panes(), &stream, 2, Rows::Panes(&rows[2..]))?.remove(0);
    assert_eq!(writer.append(&first).await?, Appended::Done);
    assert!(writer.contains(&first).await? && !writer.contains(&second).await?);
    assert_eq!(writer.append(&second).await?, Appended::StreamGone);
    Ok(())
}

#[tokio::test]
async fn missing_tables_name_the_next_step() -> Result<()> {
    let config = config("absent")?;
    let flow = flow();
    let flows = std::slice::from_ref(&flow);
    let writer = Writer::connect(&config, flows).await?;
    let error = writer.open_stream(&panes()).await.expect_err("there is no table");
    assert_eq!(error.to_string(), "table box_ctr does not exist; run `aqueduct setup`");
    assert!(!error.is_retryable());

    let WriterConfig::BigQuery(mut nowhere) = config else { unreachable!("it was made above") };
    // Port 9 is the discard port; nothing listens there on loopback.
    let address = "http://127.0.0.1:9".to_owned();
    nowhere.emulator = Some(Endpoints { rest: address.clone(), grpc: address });
    let writer = Writer::connect(&WriterConfig::BigQuery(nowhere), flows).await?;
    let error = writer.open_stream(&panes()).await.expect_err("no server");
    assert!(error.is_retryable(), "{error:?}");
    let error = writer.count(&panes()).await.expect_err("no server");
    assert!(error.is_retryable(), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn each_session_is_shown_once() -> Result<()> {
    let settings: FlowSettings = serde_json::from_value(json!({
        "name": "visits", "by": { "page": "/page", "box": "/box" }, "window": { "session": "10m" },
        "allowed_lateness": "10m", "measures": { "events": { "count": {} } },
    }))?;
    let flow = Flow::try_from(settings)?.table();
    let (config, flows) = (config("sessions")?, std::slice::from_ref(&flow));
    Writer::setup(&config, flows, false).await?;
    let writer = Writer::connect(&config, flows).await?;
    let session = |page: Option<&str>, (start, end): (i64, i64), index: u32, pane_kind: Pane| Row {
        window: Window { start: EventTime(TEN + start * MINUTE), end: EventTime(TEN + end * MINUTE) },
        values: [Value::Count(u64::from(index) + 1)].into_iter().collect(),
        pane: pane_kind,
        ..pane((page, None), TEN, index, 0)
    };
    let rows = [
        session(Some("/a"), (0, 10), 0, Pane::OnTime),
        session(Some("/a"), (18, 28), 0, Pane::OnTime),
        session(None, (0, 10), 0, Pane::OnTime),
        // A late event merged the first two; the panes of the sessions beside them stay.
        session(Some("/a"), (0, 28), 2, Pane::Late),
        session(Some("/a"), (28, 40), 0, Pane::OnTime),
        // Open again, and therefore not final.
        session(None, (0, 25), 1, Pane::Early),
        session(None, (60, 70), 0, Pane::OnTime),
        session(None, (60, 70), 1, Pane::Late),
    ];
    add(&writer, &Table::Flow("visits".into()), Rows::Panes(&rows)).await?;
    let line = progress(TEN, EventTime(TEN + 85 * MINUTE));
    add(&writer, &Table::Progress("visits".into()), Rows::Progress(&[line])).await?;
    let newest = writer.latest("visits", 10).await?;
    let shown: Vec<_> = newest.iter().map(|latest| (latest.row.clone(), latest.is_final)).collect();
    let expected = [(7, false), (4, true), (3, true), (5, false)];
    assert_eq!(shown, expected.map(|(row, is_final)| (rows[row].clone(), is_final)));
    Ok(())
}

#[tokio::test]
async fn the_views_show_the_newest_panes() -> Result<()> {
    let (config, flow) = (config("latest")?, flow());
    let flows = std::slice::from_ref(&flow);
    Writer::setup(&config, flows, false).await?;
    let writer = Writer::connect(&config, flows).await?;
    assert_eq!(writer.latest("box_ctr", 5).await?, []);
    assert_eq!(writer.progress("box_ctr").await?, None);

    let quiet = Row { values: counts([0, 3, 0]), ..pane((None, Some("x")), TEN, 1, 0) };
    let rows = [
        pane((Some("/a"), Some("top")), TEN, 0, 8),
        pane((Some("/a"), Some("top")), TEN, 1, 10),
        pane((Some("/a"), Some("top")), TEN, 2, 12),
        pane((Some("/b"), None), TEN, 1, 20),
        pane((None, None), TEN, 1, 6),
        pane((None, None), TEN, 2, 7),
        quiet,
        pane((Some("/a"), Some("top")), TEN + MINUTE, 0, 99),
    ];
    add(&writer, &panes(), Rows::Panes(&rows)).await?;
    let table = Table::Progress("box_ctr".into());
    let lines = [progress(TEN, EventTime::MIN), progress(TEN + MINUTE, EventTime(TEN))];
    add(&writer, &table, Rows::Progress(&lines)).await?;
    assert_eq!(writer.progress("box_ctr").await?, Some(lines[1].clone()));
    let expected: Vec<_> = [3, 2, 5, 6].iter().map(|&n: &usize| rows[n].clone()).collect();
    let newest = writer.latest("box_ctr", 10).await?;
    assert!(newest.iter().all(|latest| !latest.is_final));
    assert_eq!(newest.into_iter().map(|latest| latest.row).collect::<Vec<_>>(), expected);

    let line = progress(TEN + 2 * MINUTE, EventTime(TEN + 10 * MINUTE));
    add(&writer, &table, Rows::Progress(std::slice::from_ref(&line))).await?;
    let newest = writer.latest("box_ctr", 1).await?;
    assert_eq!(newest.len(), 1);
    assert!(!newest[0].is_final && newest[0].row.window.end == EventTime(TEN + MINUTE), "{newest:?}");

    let line = progress(TEN + 3 * MINUTE, EventTime::MAX);
    add(&writer, &table, Rows::Progress(std::slice::from_ref(&line))).await?;
    assert_eq!(writer.progress("box_ctr").await?, Some(line));
    assert!(writer.latest("box_ctr", 1).await?[0].is_final, "the end of the input makes all final");
    Ok(())
}

#[tokio::test]
async fn dead_letters_are_kept() -> Result<()> {
    let (config, flow) = (config("letters")?, flow());
    let flows = std::slice::from_ref(&flow);
    Writer::setup(&config, flows, false).await?;
    let writer = Writer::connect(&config, flows).await?;
    let letter = DeadLetterRow {
        topic: "events".into(),
        partition: 3,
        offset: 42,
        stage: "connector".into(),
        reason: "not_json".to_owned(),
        pointer: None,
        seen_at: EventTime(TEN),
    };
    let newer = DeadLetterRow {
        stage: "processor".into(),
        reason: "time".to_owned(),
        pointer: Some("/it's \\ \"time\"".to_owned()),
        seen_at: EventTime(TEN + 5),
        ..letter.clone()
    };
    let other = DeadLetterRow { offset: 43, ..letter.clone() };
    let lines = [letter.clone(), letter, newer.clone(), other.clone()];
    add(&writer, &Table::DeadLetters, Rows::DeadLetters(&lines)).await?;
    assert_eq!(writer.count(&Table::DeadLetters).await?, 4);
    let all = || Letters { limit: 100, ..Letters::default() };
    assert_eq!(
        writer.dead_letters(&all()).await?,
        [newer.clone(), other.clone()],
        "the newest of each record"
    );
    let of_pointer = Letters { topic: Some("events".to_owned()), pointer: newer.pointer.clone(), ..all() };
    assert_eq!(writer.dead_letters(&of_pointer).await?, [newer]);
    let after = Letters { after: Some(("events".to_owned(), 3, 42)), to: Some(EventTime(TEN + 1)), ..all() };
    assert_eq!(writer.dead_letters(&after).await?, [other]);
    Ok(())
}

#[tokio::test]
async fn large_appends_are_split() -> Result<()> {
    let (config, flow) = (config("large")?, flow());
    let flows = std::slice::from_ref(&flow);
    Writer::setup(&config, flows, false).await?;
    let writer = Writer::connect(&config, flows).await?;
    let page = "p".repeat(200_000);
    let rows: Vec<_> = (0..60).map(|n| pane((Some(&page), None), TEN + n * MINUTE, 1, 10)).collect();
    let stream = writer.open_stream(&panes()).await?;
    let parts = appends(&writer, &panes(), &stream, 0, Rows::Panes(&rows))?;
    assert!(parts.len() > 1 && parts.iter().all(|append| append.body.len() < 9 << 20));
    for append in &parts {
        assert_eq!(writer.append(append).await?, Appended::Done);
    }
    assert_eq!(writer.count(&panes()).await?, 60);
    Ok(())
}
