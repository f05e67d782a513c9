//! Tables with one row for each window and key: the newest pane replaces the others, and a session replaces the sessions that
//! became part of it.
//!
//! The key is a unique index instead of a primary key, because NULL in a `by` column is a value of the key, and SQLite never
//! considers one NULL equal to another. Panes are ordered by `pane_index`, so a pane never replaces one that is newer.

use flow::row::FlowTable;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};

use super::{
    append::{shared, value},
    body::Decoded,
    fault::Fault,
};
use crate::{WriterError, WriterMode, names};

/// The expressions of the unique index: the window, and for each `by` column whether it is NULL and its text.
pub(super) fn key(flow: &FlowTable) -> String {
    let by = flow.columns.iter().map(|name| format!(", \"{name}\" IS NULL, ifnull(\"{name}\", '')"));
    format!("window_end, window_start{}", by.collect::<String>())
}

/// Fails if the table has the rows of the other mode, which its index shows.
pub(super) fn expect_mode(
    connection: &Connection,
    flow: &FlowTable,
    wanted: WriterMode,
) -> Result<(), Fault> {
    let sql = "SELECT \"unique\" FROM pragma_index_list(?1) WHERE name = ?2";
    let is_unique: Option<bool> =
        connection.query_row(sql, [&*flow.flow, &names::index_name(flow)], |row| row.get(0)).optional()?;
    let found = if is_unique == Some(true) { WriterMode::Upsert } else { WriterMode::Append };
    if found == wanted {
        return Ok(());
    }
    Err(WriterError::other_mode(flow.flow.to_string(), found, wanted).into())
}

/// Writes the rows of a request in their order.
pub(super) fn put(connection: &Connection, flow: &FlowTable, rows: &Decoded<'_>) -> Result<(), Fault> {
    let (names, places) = shared(connection, &flow.flow, rows)?;
    let mut put = connection.prepare_cached(&put_sql(flow, &names))?;
    for row in rows.rows() {
        if flow.merging {
            remove_parts(connection, flow, (&names, &places), row)?;
        }
        put.execute(params_from_iter(places.iter().map(|place| value(row[*place]))))?;
    }
    Ok(())
}

/// Removes the sessions that became part of a newer one. A row with the same window is replaced afterwards.
fn remove_parts(
    connection: &Connection,
    flow: &FlowTable,
    (names, places): (&[&str], &[usize]),
    row: &[flow::row::Cell<'_>],
) -> Result<(), Fault> {
    let used: Vec<&str> = flow.columns.iter().map(String::as_str).chain(WINDOW_AND_PANE).collect();
    let (table, overlapping) = (&flow.flow, overlapping(flow, &used));
    let [start, end, pane] = WINDOW_AND_PANE.map(|name| parameter(&used, name));
    let sql = format!(
        "DELETE FROM \"{table}\" WHERE {overlapping} AND pane_index <= {pane} \
         AND (window_start <> {start} OR window_end <> {end})"
    );
    let values = used.iter().map(|name| value(row[places[position(names, name)]]));
    connection.prepare_cached(&sql)?.execute(params_from_iter(values))?;
    Ok(())
}

const WINDOW_AND_PANE: [&str; 3] = ["window_start", "window_end", "pane_index"];

fn put_sql(flow: &FlowTable, names: &[&str]) -> String {
    let (table, key) = (&flow.flow, key(flow));
    let columns: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let values: Vec<String> = (1..=names.len()).map(|number| format!("?{number}")).collect();
    let replaced: Vec<String> =
        columns.iter().map(|column| format!("{column} = excluded.{column}")).collect();
    // A session that is part of a newer one is not written.
    let unless = match flow.merging {
        true => format!(
            "NOT EXISTS (SELECT 1 FROM \"{table}\" WHERE {} AND pane_index > {})",
            overlapping(flow, names),
            parameter(names, "pane_index")
        ),
        false => "true".to_owned(),
    };
    format!(
        "INSERT INTO \"{table}\" ({}) SELECT {} WHERE {unless} ON CONFLICT ({key}) DO UPDATE SET {} \
         WHERE excluded.pane_index >= \"{table}\".pane_index",
        columns.join(", "),
        values.join(", "),
        replaced.join(", ")
    )
}

/// The condition for rows of the same key whose window overlaps that of a new row. The parameter of a column has its place
/// among `names`, from 1.
fn overlapping(flow: &FlowTable, names: &[&str]) -> String {
    let by = flow.columns.iter().map(|name| format!("\"{name}\" IS {} AND ", parameter(names, name)));
    let (start, end) = (parameter(names, "window_start"), parameter(names, "window_end"));
    format!("{}window_end > {start} AND window_start < {end}", by.collect::<String>())
}

fn parameter(names: &[&str], column: &str) -> String {
    format!("?{}", position(names, column) + 1)
}

fn position(names: &[&str], column: &str) -> usize {
    let place = names.iter().position(|name| name.eq_ignore_ascii_case(column));
    place.expect("every row has its key, window and pane")
}
