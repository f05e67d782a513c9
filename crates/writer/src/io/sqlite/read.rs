//! What `status`, `reconcile` and the live table ask.

use event::{
    EventTime,
    row::{FlowTable, ProgressRow},
};
use rusqlite::{Connection, OptionalExtension, Row, types::ValueRef};

use super::fault::Fault;
use crate::{
    LatestRow, Refusals,
    cells::{Value, Values},
    schema::{self, Column},
    stamp,
};

pub(crate) fn count(connection: &Connection, table: &str) -> Result<u64, Fault> {
    let rows: i64 =
        connection.query_row(&format!("SELECT count(*) FROM \"{table}\""), [], |row| row.get(0))?;
    Ok(rows.unsigned_abs())
}

pub(crate) fn progress(connection: &Connection, flow: &FlowTable) -> Result<Option<ProgressRow>, Fault> {
    let columns = schema::progress_columns();
    let table = flow.progress_name();
    let sql = format!("SELECT {} FROM \"{table}\" ORDER BY rowid DESC LIMIT 1", list(&columns));
    let values =
        connection.prepare_cached(&sql)?.query_row([], |row| values(row, columns.len())).optional()?;
    let Some(values) = values else { return Ok(None) };
    Ok(Some(Values { table: &table, columns: &columns, values }.progress()?))
}

pub(crate) fn latest(
    connection: &mut Connection,
    flow: &FlowTable,
    limit: usize,
) -> Result<Vec<LatestRow>, Fault> {
    let columns = schema::pane_columns(flow);
    let view = flow.latest_name();
    // One state of the file for all questions.
    let transaction = connection.transaction()?;
    let Some(end) = newest_window(&transaction, flow)? else { return Ok(Vec::new()) };
    let by: String = flow.columns.iter().map(|name| format!(", \"{name}\"")).collect();
    let sql = format!(
        "SELECT {}, is_final FROM \"{view}\" WHERE window_end = ?1 ORDER BY views DESC, clicks DESC{by} LIMIT ?2",
        list(&columns)
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = transaction.prepare_cached(&sql)?;
    let mut rows = statement.query((end, limit))?;
    let mut latest = Vec::new();
    while let Some(row) = rows.next()? {
        let is_final = row.get(columns.len())?;
        let values = Values { table: &view, columns: &columns, values: values(row, columns.len())? };
        latest.push(LatestRow { row: values.pane(flow.columns.len())?, is_final });
    }
    Ok(latest)
}

pub(crate) fn refusals(connection: &Connection) -> Result<Vec<Refusals>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT topic, partition, stage, reason, count(*) FROM dead_letters GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
    )?;
    let refusals = statement.query_map([], |row| {
        Ok(Refusals {
            topic: row.get(0)?,
            partition: row.get(1)?,
            stage: row.get(2)?,
            reason: row.get(3)?,
            rows: row.get::<_, i64>(4)?.unsigned_abs(),
        })
    })?;
    Ok(refusals.collect::<Result<_, _>>()?)
}

/// End of the newest window that the watermark of the newest row has passed, else of the oldest window.
fn newest_window(connection: &Connection, flow: &FlowTable) -> Result<Option<String>, Fault> {
    let table = &flow.flow;
    let sql = format!("SELECT watermark FROM \"{table}\" ORDER BY rowid DESC LIMIT 1");
    let watermark: Option<String> =
        connection.prepare_cached(&sql)?.query_row([], |row| row.get(0)).optional()?;
    let watermark = watermark.unwrap_or_else(|| stamp::text(EventTime::MIN));
    let sql = format!(
        "SELECT COALESCE((SELECT max(window_end) FROM \"{table}\" WHERE window_end <= ?1), \
         (SELECT min(window_end) FROM \"{table}\"))"
    );
    Ok(connection.prepare_cached(&sql)?.query_row([watermark], |row| row.get(0))?)
}

fn list(columns: &[Column]) -> String {
    columns.iter().map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", ")
}

fn values(row: &Row<'_>, columns: usize) -> rusqlite::Result<Vec<Value>> {
    (0..columns)
        .map(|index| {
            Ok(match row.get_ref(index)? {
                ValueRef::Null | ValueRef::Blob(_) => Value::Null,
                ValueRef::Integer(number) => Value::Integer(number),
                ValueRef::Real(number) => Value::Real(number),
                ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
            })
        })
        .collect()
}
