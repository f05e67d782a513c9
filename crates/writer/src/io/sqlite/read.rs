//! What `status`, `reconcile` and the live table ask.

use event::EventTime;
use flow::row::{Column, DEAD_LETTERS, DeadLetterRow, FlowTable, ProgressRow};
use rusqlite::{Connection, OptionalExtension, Row, types::ValueRef};

use super::{ddl, fault::Fault};
use crate::{
    LatestRow, Letters, Refusals, WriterMode,
    cells::{Value, Values},
    letters::{self, Dialect, Statement},
    names::STREAMS,
    schema, stamp,
};

pub(crate) fn count(connection: &Connection, table: &str) -> Result<u64, Fault> {
    let rows: i64 =
        connection.query_row(&format!("SELECT count(*) FROM \"{table}\""), [], |row| row.get(0))?;
    Ok(rows.unsigned_abs())
}

/// The number of rows that streams have brought to a table in which rows replace each other.
pub(crate) fn received(connection: &Connection, table: &str) -> Result<u64, Fault> {
    let sql = format!("SELECT coalesce(sum(next_offset), 0) FROM {STREAMS} WHERE table_name = ?1");
    let rows: i64 = connection.query_row(&sql, [table], |row| row.get(0))?;
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
    (flow, mode): (&FlowTable, WriterMode),
    limit: usize,
) -> Result<Vec<LatestRow>, Fault> {
    // One state of the file for all questions.
    let transaction = connection.transaction()?;
    let watermark = watermark(&transaction, (flow, mode))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    if flow.merging {
        // Each session has a window of its own.
        let ended =
            panes(&transaction, (flow, mode), "window_end <= ?1", "window_end DESC", (&watermark, limit))?;
        return match ended.is_empty() {
            false => Ok(ended),
            true => panes(&transaction, (flow, mode), "window_end > ?1", "window_end", (&watermark, limit)),
        };
    }
    match newest_window(&transaction, flow, &watermark)? {
        Some(end) => panes(&transaction, (flow, mode), "window_end = ?1", "window_end", (&end, limit)),
        None => Ok(Vec::new()),
    }
}

/// The panes of `<flow>_latest` that fulfil a condition, in an order, the busiest first where it leaves a choice.
fn panes(
    connection: &Connection,
    (flow, mode): (&FlowTable, WriterMode),
    condition: &str,
    order: &str,
    (end, limit): (&str, i64),
) -> Result<Vec<LatestRow>, Fault> {
    let (columns, view) = (schema::read_back(flow), flow.latest_name());
    // The view would sort all sessions to show the few of them that are asked for.
    let from = if flow.merging { format!("({})", ddl::newest(flow, mode)) } else { format!("\"{view}\"") };
    let counts: String = schema::counts(flow).map(|name| format!(", \"{name}\" DESC")).collect();
    let by: String = flow.columns.iter().map(|name| format!(", \"{name}\"")).collect();
    let sql = format!(
        "SELECT {}, is_final FROM {from} WHERE {condition} ORDER BY {order}{counts}{by} LIMIT ?2",
        list(&columns)
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query((end, limit))?;
    let mut latest = Vec::new();
    while let Some(row) = rows.next()? {
        let is_final = row.get(columns.len())?;
        let values = Values { table: &view, columns: &columns, values: values(row, columns.len())? };
        latest.push(LatestRow { row: values.pane(flow)?, is_final });
    }
    Ok(latest)
}

/// All panes of a flow in the order in which they were added.
#[cfg(test)]
pub(crate) fn all(connection: &Connection, flow: &FlowTable) -> Result<Vec<flow::row::Row>, Fault> {
    let columns = schema::read_back(flow);
    let sql = format!("SELECT {} FROM \"{}\" ORDER BY rowid", list(&columns), flow.flow);
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut panes = Vec::new();
    while let Some(row) = rows.next()? {
        let values = values(row, columns.len())?;
        panes.push(Values { table: &flow.flow, columns: &columns, values }.pane(flow)?);
    }
    Ok(panes)
}

pub(crate) fn refusals(connection: &Connection) -> Result<Vec<Refusals>, Fault> {
    let mut statement = connection.prepare_cached(&letters::refusals(DEAD_LETTERS, '"'))?;
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

const DIALECT: Dialect = Dialect {
    quote: '"',
    parameter: |number| format!("?{}", number + 1),
    time: letters::sqlite_time,
    seen_at: "t.seen_at",
};

pub(crate) fn dead_letters(connection: &Connection, letters: &Letters) -> Result<Vec<DeadLetterRow>, Fault> {
    let Statement { sql, parameters } = letters.statement(DEAD_LETTERS, &DIALECT);
    let columns = schema::dead_letter_columns();
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(parameters))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let values = values(row, columns.len())?;
        found.push(Values { table: DEAD_LETTERS, columns: &columns, values }.dead_letter()?);
    }
    Ok(found)
}

/// The watermark of the newest row. A row that was replaced keeps its place in the table.
fn watermark(connection: &Connection, (flow, mode): (&FlowTable, WriterMode)) -> Result<String, Fault> {
    let order = match mode {
        WriterMode::Append => "rowid",
        WriterMode::Upsert => "watermark",
    };
    let sql = format!("SELECT watermark FROM \"{}\" ORDER BY {order} DESC LIMIT 1", flow.flow);
    let watermark = connection.prepare_cached(&sql)?.query_row([], |row| row.get(0)).optional()?;
    Ok(watermark.unwrap_or_else(|| stamp::text(EventTime::MIN)))
}

/// End of the newest window that the watermark has passed, else of the oldest window.
fn newest_window(
    connection: &Connection,
    flow: &FlowTable,
    watermark: &str,
) -> Result<Option<String>, Fault> {
    let table = &flow.flow;
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
                ValueRef::Null => Value::Null,
                ValueRef::Blob(_) => Value::Bytes,
                ValueRef::Integer(number) => Value::Integer(number),
                ValueRef::Real(number) => Value::Real(number),
                ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
            })
        })
        .collect()
}
