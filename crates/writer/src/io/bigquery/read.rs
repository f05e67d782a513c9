//! What `status`, `reconcile` and the printer of busiest boxes ask.
//!
//! Times are literals in these queries, so that BigQuery reads only the partitions that they name.

use event::{
    EventTime,
    append::Table,
    row::{FlowTable, ProgressRow},
};
use google_cloud_bigquery::query::Row;

use super::{BigQuery, fault};
use crate::{
    LatestRow, Refusals, WriterError,
    cells::{Value, Values},
    schema::{self, Column, Kind},
    stamp,
};

/// How far behind the watermark the newest window is looked for first.
const WEEK_MILLIS: i64 = 7 * 86_400_000;

pub(crate) async fn count(bigquery: &BigQuery, table: &Table) -> Result<u64, WriterError> {
    let name = table.name();
    let sql = format!("SELECT COUNT(*) AS n FROM {}", bigquery.quoted(&name));
    let rows = rows(bigquery, sql, &name).await?;
    let counted: Option<i64> = match rows.first() {
        Some(row) => cell(row, "n", &name)?,
        None => None,
    };
    counted
        .and_then(|n| u64::try_from(n).ok())
        .ok_or(WriterError::Value { table: name, column: "COUNT(*)".to_owned() })
}

pub(crate) async fn progress(
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
    let rows = rows(bigquery, sql, &name).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Values { table: &name, columns: &columns, values: values(row, &columns, &name)? }.progress().map(Some)
}

pub(crate) async fn latest(
    bigquery: &BigQuery,
    flow: &FlowTable,
    limit: usize,
) -> Result<Vec<LatestRow>, WriterError> {
    let Some(end) = newest_window(bigquery, flow).await? else { return Ok(Vec::new()) };
    let columns = schema::pane_columns(flow);
    let name = flow.latest_name();
    let by: String = flow.columns.iter().map(|column| format!(", t.`{column}`")).collect();
    let sql = format!(
        "SELECT {}, t.is_final AS is_final FROM {} AS t WHERE t.window_end = TIMESTAMP_MILLIS({end}) \
         ORDER BY t.views DESC, t.clicks DESC{by} LIMIT {limit}",
        list(&columns),
        bigquery.quoted(&name)
    );
    let mut latest = Vec::new();
    for row in rows(bigquery, sql, &name).await? {
        let values = values(&row, &columns, &name)?;
        let is_final: Option<bool> = cell(&row, "is_final", &name)?;
        let pane = Values { table: &name, columns: &columns, values }.pane(flow.columns.len())?;
        latest.push(LatestRow { row: pane, is_final: is_final.unwrap_or(false) });
    }
    Ok(latest)
}

pub(crate) async fn refusals(bigquery: &BigQuery) -> Result<Vec<Refusals>, WriterError> {
    let name = Table::DeadLetters.name();
    let sql = format!(
        "SELECT t.topic AS topic, t.`partition` AS `partition`, t.stage AS stage, t.reason AS reason, COUNT(*) AS n \
         FROM {} AS t GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
        bigquery.quoted(&name)
    );
    let text = |row: &Row, column: &str| cell::<String>(row, column, &name).map(Option::unwrap_or_default);
    let number = |row: &Row, column: &str| cell::<i64>(row, column, &name).map(Option::unwrap_or_default);
    let mut refusals = Vec::new();
    for row in rows(bigquery, sql, &name).await? {
        refusals.push(Refusals {
            topic: text(&row, "topic")?,
            partition: number(&row, "partition")?,
            stage: text(&row, "stage")?,
            reason: text(&row, "reason")?,
            rows: number(&row, "n")?.unsigned_abs(),
        });
    }
    Ok(refusals)
}

/// End of the newest window that the watermark has passed, in milliseconds, else of the oldest window.
async fn newest_window(bigquery: &BigQuery, flow: &FlowTable) -> Result<Option<i64>, WriterError> {
    let watermark = progress(bigquery, flow).await?.map_or(EventTime::MIN, |row| row.watermark);
    let to = stamp::millis(watermark);
    let week = (to - WEEK_MILLIS).max(stamp::FIRST);
    for (pick, from, to) in [("MAX", week, to), ("MAX", stamp::FIRST, to), ("MIN", stamp::FIRST, stamp::LAST)]
    {
        let sql = format!(
            "SELECT UNIX_MILLIS({pick}(window_end)) AS e FROM {} \
             WHERE window_end BETWEEN TIMESTAMP_MILLIS({from}) AND TIMESTAMP_MILLIS({to})",
            bigquery.quoted(&flow.flow)
        );
        let rows = rows(bigquery, sql, &flow.flow).await?;
        let found: Option<i64> = match rows.first() {
            Some(row) => cell(row, "e", &flow.flow)?,
            None => None,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

async fn rows(bigquery: &BigQuery, sql: String, table: &str) -> Result<Vec<Row>, WriterError> {
    run(bigquery, sql, &format!("read {table}")).await
}

/// Runs a statement and gives all its rows.
pub(crate) async fn run(bigquery: &BigQuery, sql: String, doing: &str) -> Result<Vec<Row>, WriterError> {
    let query = bigquery.queries.query(sql).set_location(&bigquery.config.location);
    let done = query.until_done().await.map_err(|error| fault::query(doing.to_owned(), error))?;
    let mut answer = done.read();
    let mut rows = Vec::new();
    while let Some(row) = answer.next().await {
        rows.push(row.map_err(|error| fault::row(doing.to_owned(), error))?);
    }
    Ok(rows)
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

fn values(row: &Row, columns: &[Column], table: &str) -> Result<Vec<Value>, WriterError> {
    let mut values = Vec::with_capacity(columns.len());
    for Column { name, kind } in columns {
        let value = match kind {
            Kind::Text => cell(row, name, table)?.map(Value::Text),
            Kind::Integer | Kind::Time => cell(row, name, table)?.map(Value::Integer),
            Kind::Real => cell(row, name, table)?.map(Value::Real),
        };
        values.push(value.unwrap_or(Value::Null));
    }
    Ok(values)
}

pub(crate) fn cell<T: google_cloud_bigquery::query::FromSql>(
    row: &Row,
    column: &str,
    table: &str,
) -> Result<Option<T>, WriterError> {
    row.get::<Option<T>>(column).map_err(|error| fault::row(format!("read {table}"), error))
}
