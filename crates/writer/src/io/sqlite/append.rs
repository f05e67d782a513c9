//! Appends by offset: one transaction compares the stream's end, adds the rows and moves the end.

use std::cmp::Ordering;

use flow::{
    append::{Append, Appended},
    number::Total,
    row::{Cell, FlowTable},
};
use rusqlite::{
    Connection, OptionalExtension, TransactionBehavior, params, params_from_iter,
    types::{ToSqlOutput, Value as Owned, ValueRef},
};

use super::{
    body::{self, Decoded},
    ddl,
    fault::Fault,
    upsert,
};
use crate::{WriterError, WriterMode, names::STREAMS, requests, schema::Target, stamp};

/// Rows of one statement. More of them gain nothing.
const ROWS: usize = 50;
/// SQLite's limit for the parameters of a statement.
const PARAMETERS: usize = 32_766;

/// Adds an empty stream. Its name is random, so that no stream of a file that was deleted is taken for it.
pub(crate) fn open_stream(connection: &mut Connection, table: &str) -> Result<String, Fault> {
    let sql = format!(
        "INSERT INTO {STREAMS} (name, table_name, next_offset) \
         VALUES (?1 || '/' || lower(hex(randomblob(12))), ?1, 0) RETURNING name"
    );
    Ok(connection.query_row(&sql, [table], |row| row.get(0))?)
}

/// Adds the rows of an append, or lets them replace others, unless that was done already. `still_there` fails where the file was deleted or replaced:
/// what would be committed then goes with the file.
pub(crate) fn append(
    connection: &mut Connection,
    append: &Append,
    target: &Target<'_>,
    (mode, still_there): (WriterMode, &dyn Fn() -> Result<(), WriterError>),
) -> Result<Appended, Fault> {
    let body = body::current(append, target)?;
    let rows = Decoded::read(append, &body)?;
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
        let problem = "it overlaps the end of its stream";
        return Err(WriterError::Append { table, offset: append.offset, problem }.into());
    }
    match (mode, target.flow) {
        (WriterMode::Upsert, Some(flow)) => upsert::put(&transaction, flow, &rows)?,
        (_, flow) => insert(&transaction, (&table, flow), &rows)?,
    }
    transaction
        .prepare_cached(&format!("UPDATE {STREAMS} SET next_offset = ?2 WHERE name = ?1"))?
        .execute(params![append.stream, i64::try_from(next).unwrap_or(i64::MAX)])?;
    still_there()?;
    transaction.commit()?;
    // Deleted while it was committed: the answer must not be that the rows are there.
    still_there()?;
    Ok(Appended::Done)
}

/// Whether one of the append's rows is in its table, in all its columns, whatever stream it arrived by.
pub(crate) fn contains(connection: &Connection, append: &Append, target: &Target<'_>) -> Result<bool, Fault> {
    let body = body::current(append, target)?;
    let rows = Decoded::read(append, &body)?;
    let table = append.table.name();
    let (names, places) = shared(connection, &table, &rows)?;
    let same: Vec<_> = names.iter().map(|name| format!("\"{name}\" IS ?")).collect();
    let sql = format!("SELECT 1 FROM \"{table}\" WHERE {} LIMIT 1", same.join(" AND "));
    let mut statement = connection.prepare_cached(&sql)?;
    let all: Vec<_> = rows.rows().collect();
    for index in requests::witnesses(append.rows) {
        if statement.exists(params_from_iter(places.iter().map(|place| value(all[index][*place]))))? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn insert<'r>(
    connection: &Connection,
    (table, flow): (&str, Option<&FlowTable>),
    rows: &Decoded<'r>,
) -> Result<(), Fault> {
    let (names, places) = shared(connection, table, rows)?;
    let mut all: Vec<_> = rows.rows().collect();
    // Where windows merge, the order in which panes of a key arrived counts.
    if let Some(flow) = flow.filter(|flow| !flow.merging) {
        sort(&mut all, &rows.columns, flow);
    }
    let columns: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let values = format!("({})", vec!["?"; columns.len()].join(", "));
    let sql = |rows: usize| {
        let values = vec![&*values; rows].join(", ");
        format!("INSERT INTO \"{table}\" ({}) VALUES {values}", columns.join(", "))
    };
    let cells = |row: &[Cell<'r>]| places.iter().map(|place| value(row[*place])).collect::<Vec<_>>();
    let many = (PARAMETERS / places.len().max(1)).clamp(1, ROWS);
    let groups = all.chunks_exact(many);
    let rest = groups.remainder();
    if groups.len() > 0 {
        let mut statement = connection.prepare_cached(&sql(many))?;
        for group in groups {
            statement.execute(params_from_iter(group.iter().flat_map(|row| cells(row))))?;
        }
    }
    let mut statement = connection.prepare_cached(&sql(1))?;
    for row in rest {
        statement.execute(params_from_iter(cells(row)))?;
    }
    Ok(())
}

/// Sorts rows as the table's index does. Otherwise each row is added at another place of the index, which for many keys is
/// larger than SQLite's cache.
fn sort(rows: &mut [&[Cell<'_>]], columns: &[&str], flow: &FlowTable) {
    let by = flow.columns.iter().map(String::as_str);
    let place = |name: &str| columns.iter().position(|column| column.eq_ignore_ascii_case(name));
    let places: Vec<usize> = std::iter::once("window_end").chain(by).filter_map(place).collect();
    // Stable: of two panes of a window and key, the later one has the higher row number.
    rows.sort_by(|a, b| {
        places
            .iter()
            .fold(Ordering::Equal, |order, place| order.then_with(|| compare(&a[*place], &b[*place])))
    });
}

/// The order of two cells of one column of texts or times.
fn compare(a: &Cell<'_>, b: &Cell<'_>) -> Ordering {
    match (a, b) {
        (Cell::Text(a), Cell::Text(b)) => a.cmp(b),
        (Cell::Time(a), Cell::Time(b)) => a.cmp(b),
        (a, b) => matches!(b, Cell::Null).cmp(&matches!(a, Cell::Null)),
    }
}

/// The columns that both rows and table have, and their places in the rows. A measure that was removed while its rows
/// waited has no column in a table that was created since.
pub(super) fn shared<'r>(
    connection: &Connection,
    table: &str,
    rows: &Decoded<'r>,
) -> Result<(Vec<&'r str>, Vec<usize>), Fault> {
    let found = ddl::found_columns(connection, table)?;
    let has = |name: &str| found.iter().any(|(column, _)| column.eq_ignore_ascii_case(name));
    let places = rows.columns.iter().copied().zip(0..).filter(|(name, _)| has(name));
    Ok(places.unzip())
}

/// A value as SQLite holds it.
///
/// No column of decimals has an affinity, so SQLite keeps what it is given: an integer for a whole number of 64 bits, a
/// double where 15 digits are enough to write the number, because such a double prints as the same 15 digits, and text
/// otherwise. The first two compare and sort as numbers.
pub(super) fn value(cell: Cell<'_>) -> ToSqlOutput<'_> {
    match cell {
        Cell::Null => ToSqlOutput::Borrowed(ValueRef::Null),
        Cell::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        Cell::Integer(number) => ToSqlOutput::Owned(Owned::Integer(number)),
        Cell::Decimal(total) => ToSqlOutput::Owned(decimal(total)),
        Cell::Real(number) => ToSqlOutput::Owned(Owned::Real(number)),
        Cell::Time(time) => ToSqlOutput::Owned(Owned::Text(stamp::text(time))),
        Cell::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
    }
}

fn decimal(total: Total) -> Owned {
    const EXACT_DIGITS: usize = 15;
    let text = total.to_string();
    if let Ok(whole) = text.parse() {
        return Owned::Integer(whole);
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if digits.trim_matches('0').len() <= EXACT_DIGITS {
        return Owned::Real(total.to_f64());
    }
    Owned::Text(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_kept_exactly() {
        for (text, expected) in [
            ("0", Owned::Integer(0)),
            ("-9223372036854775808", Owned::Integer(i64::MIN)),
            ("12.5", Owned::Real(12.5)),
            ("0.000000001", Owned::Real(1e-9)),
            ("1000000000000000000000000", Owned::Real(1e24)),
            ("123456.123456789", Owned::Real(123_456.123_456_789)),
            ("1234567.123456789", Owned::Text("1234567.123456789".to_owned())),
            ("9223372036854775808", Owned::Text("9223372036854775808".to_owned())),
        ] {
            assert_eq!(decimal(Total::parse(text).expect("a number")), expected, "{text}");
        }
    }
}
