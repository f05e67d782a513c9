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
use crate::{
    WriterError,
    cells::{self, Cell},
    names::STREAMS,
    schema::Column,
    stamp,
};

/// Adds an empty stream. Its name is random, so that no stream of a file that was deleted is taken for it.
pub(crate) fn open_stream(connection: &mut Connection, table: &str) -> Result<String, Fault> {
    let sql = format!(
        "INSERT INTO {STREAMS} (name, table_name, next_offset) \
         VALUES (?1 || '/' || lower(hex(randomblob(12))), ?1, 0) RETURNING name"
    );
    Ok(connection.query_row(&sql, [table], |row| row.get(0))?)
}

/// Adds the rows of an append unless they stand there already.
pub(crate) fn append(
    connection: &mut Connection,
    append: &Append,
    columns: &[Column],
    join: bool,
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
    transaction.commit()?;
    Ok(Appended::Done)
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
    match rows {
        Decoded::Panes(rows) => {
            for row in rows {
                cells::pane(row, join, &mut |cell| values.push(cell));
                add(&mut values)?;
            }
        }
        Decoded::Progress(rows) => {
            for row in rows {
                cells::progress(row, &mut |cell| values.push(cell));
                add(&mut values)?;
            }
        }
        Decoded::DeadLetters(rows) => {
            for row in rows {
                cells::dead_letter(row, &mut |cell| values.push(cell));
                add(&mut values)?;
            }
        }
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
