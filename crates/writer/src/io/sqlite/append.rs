//! Appends by offset: one transaction compares the stream's end, adds the rows and moves the end.

use event::append::{Append, Appended};
use rusqlite::{
    Connection, OptionalExtension, ToSql, TransactionBehavior, params, params_from_iter,
    types::{ToSqlOutput, Value as Owned, ValueRef},
};

use super::{
    body::{self, Decoded},
    fault::Fault,
};
use crate::{WriterError, cells::Cell, names::STREAMS, requests, schema::Column, stamp};

/// Adds an empty stream. Its name is random, so that no stream of a file that was deleted is taken for it.
pub(crate) fn open_stream(connection: &mut Connection, table: &str) -> Result<String, Fault> {
    let sql = format!(
        "INSERT INTO {STREAMS} (name, table_name, next_offset) \
         VALUES (?1 || '/' || lower(hex(randomblob(12))), ?1, 0) RETURNING name"
    );
    Ok(connection.query_row(&sql, [table], |row| row.get(0))?)
}

/// Adds the rows of an append unless they are there already. `still_there` fails where the file was deleted or replaced:
/// what would be committed then goes with the file.
pub(crate) fn append(
    connection: &mut Connection,
    append: &Append,
    columns: &[Column],
    join: bool,
    still_there: &dyn Fn() -> Result<(), WriterError>,
) -> Result<Appended, Fault> {
    let rows = body::decode(append)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let table = append.table.name();
    let end: Option<i64> = transaction
        .prepare_cached(&format!("SELECT next_offset FROM {STREAMS} WHERE name = ?1 AND table_name = ?2"))?
        .query_row(params![append.stream, table], |row| row.get(0))
        .optional()?;
    let Some(end) = end else { return Ok(Appended::StreamGone) };
    let end = end.unsigned_abs();
    let next = append.offset + u64::from(append.rows);
    if next <= end {
        still_there()?;
        return Ok(Appended::Done);
    }
    if append.offset > end {
        return Ok(Appended::Gap);
    }
    if append.offset < end {
        let problem = "covers the end of its stream";
        return Err(WriterError::Append { table, offset: append.offset, problem }.into());
    }
    insert(&transaction, &table, &rows, columns, join)?;
    transaction
        .prepare_cached(&format!("UPDATE {STREAMS} SET next_offset = ?2 WHERE name = ?1"))?
        .execute(params![append.stream, i64::try_from(next).unwrap_or(i64::MAX)])?;
    still_there()?;
    transaction.commit()?;
    // Deleted while it was committed: the answer must not be that the rows are there.
    still_there()?;
    Ok(Appended::Done)
}

/// Whether one of the append's rows stands in its table, in all its columns, whatever stream it came by.
pub(crate) fn stands(
    connection: &Connection,
    append: &Append,
    columns: &[Column],
    join: bool,
) -> Result<bool, Fault> {
    let rows = body::decode(append)?;
    let same: Vec<_> = columns.iter().map(|column| format!("\"{}\" IS ?", column.name)).collect();
    let sql = format!("SELECT 1 FROM \"{}\" WHERE {} LIMIT 1", append.table.name(), same.join(" AND "));
    let mut statement = connection.prepare_cached(&sql)?;
    for index in requests::witnesses(append.rows) {
        let mut values = Vec::with_capacity(columns.len());
        rows.cells(index, join, &mut |cell| values.push(cell));
        if statement.exists(params_from_iter(values))? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn insert(
    connection: &Connection,
    table: &str,
    rows: &Decoded,
    columns: &[Column],
    join: bool,
) -> Result<(), Fault> {
    let names: Vec<_> = columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
    let places = vec!["?"; columns.len()].join(", ");
    let mut statement = connection
        .prepare_cached(&format!("INSERT INTO \"{table}\" ({}) VALUES ({places})", names.join(", ")))?;
    let mut values = Vec::with_capacity(columns.len());
    let mut add =
        |values: &mut Vec<Cell<'_>>| statement.execute(params_from_iter(values.drain(..))).map(drop);
    for index in 0..rows.len() {
        rows.cells(index, join, &mut |cell| values.push(cell));
        add(&mut values)?;
    }
    Ok(())
}

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match *self {
            Cell::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Cell::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Cell::Integer(number) => ToSqlOutput::Owned(Owned::Integer(number)),
            Cell::Real(number) => ToSqlOutput::Owned(Owned::Real(number)),
            Cell::Time(time) => ToSqlOutput::Owned(Owned::Text(stamp::text(time))),
        })
    }
}
