//! The queries of `status`, `reconcile` and the live page.
//!
//! Times are literals in these queries, so that BigQuery reads only the partitions that they name.

use std::str::FromStr;

use event::EventTime;
use flow::{
    append::Table,
    row::{Column, DeadLetterRow, FlowTable, Kind, ProgressRow},
};

use super::{
    BigQuery, fault,
    rest::{Answer, Query},
};
use crate::{
    LatestRow, Letters, Refusals, WriterError,
    cells::{Value, Values},
    letters::{self, Dialect, Statement},
    schema, stamp,
};

/// How far behind the watermark the newest window is searched for first.
const WEEK_MILLIS: i64 = 7 * 86_400_000;

/// The number of rows in a table. Where rows replace each other, the number of panes that it has received: a row with pane
/// 2 has replaced two others, and the panes of a session are numbered together with those of its parts.
pub(super) async fn count(bigquery: &BigQuery, table: &Table, replaces: bool) -> Result<u64, WriterError> {
    let name = table.name();
    let amount = if replaces { "COALESCE(SUM(pane_index + 1), 0)" } else { "COUNT(*)" };
    let sql = format!("SELECT {amount} AS n FROM {}", bigquery.quoted(&name));
    let counted: Option<i64> = rows(bigquery, &sql, &name).await?.single("n")?;
    counted
        .and_then(|n| u64::try_from(n).ok())
        .ok_or(WriterError::Value { table: name, column: "COUNT(*)".to_owned() })
}

pub(super) async fn progress(
    bigquery: &BigQuery,
    flow: &FlowTable,
) -> Result<Option<ProgressRow>, WriterError> {
    let columns = schema::progress_columns();
    let name = flow.progress_name();
    let sql = format!(
        "SELECT {} FROM {} AS t ORDER BY t.`at` DESC LIMIT 1",
        list(&columns),
        bigquery.quoted(&name)
    );
    let found = rows(bigquery, &sql, &name).await?;
    let Some(row) = found.iter().next() else { return Ok(None) };
    Values { table: &name, columns: &columns, values: values(&row, &columns)? }.progress().map(Some)
}

pub(super) async fn progress_detail(
    bigquery: &BigQuery,
    flow: &FlowTable,
    at: EventTime,
) -> Result<Option<String>, WriterError> {
    let name = flow.progress_name();
    let at = stamp::millis(at);
    let sql = format!(
        "SELECT t.detail AS detail FROM {} AS t WHERE t.`at` = TIMESTAMP_MILLIS({at}) LIMIT 1",
        bigquery.quoted(&name)
    );
    rows(bigquery, &sql, &name).await?.single("detail")
}

pub(super) async fn latest(
    bigquery: &BigQuery,
    flow: &FlowTable,
    limit: usize,
) -> Result<Vec<LatestRow>, WriterError> {
    if flow.merging {
        // Each session has a window of its own.
        for range in ranges(bigquery, flow).await? {
            let found = panes(bigquery, flow, range, limit).await?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        return Ok(Vec::new());
    }
    match newest_window(bigquery, flow).await? {
        Some(end) => panes(bigquery, flow, Range { last: false, from: end, to: end }, limit).await,
        None => Ok(Vec::new()),
    }
}

/// The panes of `<flow>_latest` whose windows end in a range, the busiest first where the range leaves a choice.
async fn panes(
    bigquery: &BigQuery,
    flow: &FlowTable,
    Range { last, from, to }: Range,
    limit: usize,
) -> Result<Vec<LatestRow>, WriterError> {
    let (columns, name) = (schema::read_back(flow), flow.latest_name());
    let order = if last { " DESC" } else { "" };
    let counts: String = schema::counts(flow).map(|column| format!(", t.`{column}` DESC")).collect();
    let by: String = flow.columns.iter().map(|column| format!(", t.`{column}`")).collect();
    let sql = format!(
        "SELECT {}, t.is_final AS is_final FROM {} AS t \
         WHERE t.window_end BETWEEN TIMESTAMP_MILLIS({from}) AND TIMESTAMP_MILLIS({to}) \
         ORDER BY t.window_end{order}{counts}{by} LIMIT {limit}",
        list(&columns),
        bigquery.quoted(&name)
    );
    let mut latest = Vec::new();
    for row in rows(bigquery, &sql, &name).await?.iter() {
        let is_final: Option<bool> = row.cell("is_final")?;
        let values = values(&row, &columns)?;
        let pane = Values { table: &name, columns: &columns, values }.pane(flow)?;
        latest.push(LatestRow { row: pane, is_final: is_final.unwrap_or(false) });
    }
    Ok(latest)
}

pub(super) async fn refusals(bigquery: &BigQuery) -> Result<Vec<Refusals>, WriterError> {
    let name = Table::DeadLetters.name();
    let sql = letters::refusals(&bigquery.quoted(&name), '`');
    let mut refusals = Vec::new();
    for row in rows(bigquery, &sql, &name).await?.iter() {
        let text = |column: &str| row.cell::<String>(column).map(Option::unwrap_or_default);
        let number = |column: &str| row.cell::<i64>(column).map(Option::unwrap_or_default);
        refusals.push(Refusals {
            topic: text("topic")?,
            partition: number("partition")?,
            stage: text("stage")?,
            reason: text("reason")?,
            rows: number("n")?.unsigned_abs(),
        });
    }
    Ok(refusals)
}

const DIALECT: Dialect = Dialect {
    quote: '`',
    parameter: |number| format!("@p{number}"),
    time: |time: EventTime| format!("TIMESTAMP_MILLIS({})", stamp::millis(time)),
    seen_at: "UNIX_MILLIS(t.seen_at)",
};

pub(super) async fn dead_letters(
    bigquery: &BigQuery,
    letters: &Letters,
) -> Result<Vec<DeadLetterRow>, WriterError> {
    let (name, columns) = (Table::DeadLetters.name(), schema::dead_letter_columns());
    let Statement { sql, parameters } = letters.statement(&bigquery.quoted(&name), &DIALECT);
    let found = run(bigquery, &sql, &parameters, (&format!("read {name}"), &name)).await?;
    let line = |row: Row<'_>| {
        Values { table: &name, columns: &columns, values: values(&row, &columns)? }.dead_letter()
    };
    found.iter().map(line).collect()
}

/// Where windows are looked for, by their ends in milliseconds.
#[derive(Clone, Copy)]
struct Range {
    /// Whether the last window of the range is wanted, or the first.
    last: bool,
    from: i64,
    to: i64,
}

/// The ranges in which the newest window that the watermark has passed is looked for, one after another, and at last the
/// oldest window.
async fn ranges(bigquery: &BigQuery, flow: &FlowTable) -> Result<[Range; 3], WriterError> {
    let watermark = progress(bigquery, flow).await?.map_or(EventTime::MIN, |row| row.watermark);
    let to = stamp::millis(watermark);
    let week = (to - WEEK_MILLIS).max(stamp::FIRST);
    Ok([
        Range { last: true, from: week, to },
        Range { last: true, from: stamp::FIRST, to },
        Range { last: false, from: stamp::FIRST, to: stamp::LAST },
    ])
}

/// End of the newest window that the watermark has passed, in milliseconds, else of the oldest window.
async fn newest_window(bigquery: &BigQuery, flow: &FlowTable) -> Result<Option<i64>, WriterError> {
    for Range { last, from, to } in ranges(bigquery, flow).await? {
        let pick = if last { "MAX" } else { "MIN" };
        let sql = format!(
            "SELECT UNIX_MILLIS({pick}(window_end)) AS e FROM {} \
             WHERE window_end BETWEEN TIMESTAMP_MILLIS({from}) AND TIMESTAMP_MILLIS({to})",
            bigquery.quoted(&flow.flow)
        );
        let found: Option<i64> = rows(bigquery, &sql, &flow.flow).await?.single("e")?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

async fn rows(bigquery: &BigQuery, sql: &str, table: &str) -> Result<Found, WriterError> {
    run(bigquery, sql, &[], (&format!("read {table}"), table)).await
}

/// Runs a statement with text parameters `@p0`, `@p1` and so on, and returns all its rows.
pub(super) async fn run(
    bigquery: &BigQuery,
    sql: &str,
    parameters: &[String],
    (doing, table): (&str, &str),
) -> Result<Found, WriterError> {
    let query = Query { sql, location: &bigquery.config.location, parameters };
    let answer = bigquery.rest.query(&query).await.map_err(|error| fault::rest(doing, error))?;
    Ok(Found { table: table.to_owned(), answer })
}

/// The rows of an answer.
pub(super) struct Found {
    /// The table, for errors.
    table: String,
    answer: Answer,
}

/// One of them.
struct Row<'a> {
    found: &'a Found,
    cells: &'a [Option<String>],
}

impl Found {
    fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.answer.rows.iter().map(|cells| Row { found: self, cells })
    }

    /// A value of the first row; `None` if it is NULL or there is no row.
    pub(super) fn single<T: FromStr>(&self, column: &str) -> Result<Option<T>, WriterError> {
        self.iter().next().map_or(Ok(None), |row| row.cell(column))
    }
}

impl Row<'_> {
    fn cell<T: FromStr>(&self, column: &str) -> Result<Option<T>, WriterError> {
        let wrong = || WriterError::Value { table: self.found.table.clone(), column: column.to_owned() };
        let at = self.found.answer.columns.iter().position(|name| name == column).ok_or_else(wrong)?;
        let cell = self.cells.get(at).ok_or_else(wrong)?;
        cell.as_deref().map(str::parse).transpose().map_err(|_| wrong())
    }
}

/// The columns under their names, times as milliseconds.
fn list(columns: &[Column]) -> String {
    let list: Vec<_> = columns
        .iter()
        .map(|Column { name, kind }| match kind {
            Kind::Time => format!("UNIX_MILLIS(t.`{name}`) AS `{name}`"),
            _ => format!("t.`{name}` AS `{name}`"),
        })
        .collect();
    list.join(", ")
}

fn values(row: &Row<'_>, columns: &[Column]) -> Result<Vec<Value>, WriterError> {
    let mut values = Vec::with_capacity(columns.len());
    for Column { name, kind } in columns {
        let value = match kind {
            Kind::Text | Kind::Decimal => row.cell(name)?.map(Value::Text),
            Kind::Integer | Kind::Time => row.cell(name)?.map(Value::Integer),
            Kind::Real => row.cell(name)?.map(Value::Real),
            Kind::Bytes => None,
        };
        values.push(value.unwrap_or(Value::Null));
    }
    Ok(values)
}
