//! Tables, indexes and views of the file. A table that exists gains the columns of new measures; nothing else of it
//! changes.
//!
//! `<flow>_latest` looks, for each pane, for a newer one of the same key: of the same window, or of any window that
//! overlaps it where windows merge. An index answers that at once, so that a filter or an order by `window_end` reads only
//! what the view shows.

use std::path::Path;

use flow::row::{FlowTable, Kind};
use rusqlite::{Connection, OptionalExtension};

use super::{fault::Fault, upsert};
use crate::{
    WriterError, WriterMode,
    backend::Mode,
    names::{self, STREAMS},
    schema::{Tables, Target},
    writer::{State, Step},
};

/// Brings the file to what the flows need, in one transaction, as far as the mode goes.
pub(crate) fn prepare(
    connection: &Connection,
    path: &Path,
    tables: (&Tables, WriterMode),
    mode: Mode,
) -> Result<Vec<Step>, WriterError> {
    run(connection, tables, mode).map_err(|fault| fault.at(path, "create the tables"))
}

fn run(connection: &Connection, tables: (&Tables, WriterMode), mode: Mode) -> Result<Vec<Step>, Fault> {
    let mut steps = Vec::new();
    if mode == Mode::Apply {
        connection.execute_batch("BEGIN IMMEDIATE")?;
    }
    let result = walk(connection, tables, mode, &mut steps);
    if mode == Mode::Apply {
        if result.is_ok() {
            connection.execute_batch("COMMIT")?;
        } else if !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK")?;
        }
    }
    result.map(|()| steps)
}

fn walk(
    connection: &Connection,
    (tables, rows): (&Tables, WriterMode),
    mode: Mode,
    steps: &mut Vec<Step>,
) -> Result<(), Fault> {
    if mode == Mode::Apply {
        connection.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {STREAMS} \
             (name TEXT PRIMARY KEY, table_name TEXT NOT NULL, next_offset INTEGER NOT NULL) WITHOUT ROWID"
        ))?;
    }
    for table in tables.all() {
        let target = tables.target(&table)?;
        let state = ensure_table(connection, &target, mode)?;
        match (target.flow, state) {
            (Some(flow), State::Created) => connection.execute_batch(&indexes(flow, rows))?,
            (Some(flow), State::Exists | State::Updated | State::WouldUpdate) => {
                upsert::expect_mode(connection, flow, rows)?;
            }
            _ => {}
        }
        steps.push(Step { what: format!("table {}", table.name()), state });
    }
    for flow in tables.flows() {
        let state = ensure_view(connection, (flow, rows), mode)?;
        steps.push(Step { what: format!("view {}", flow.latest_name()), state });
    }
    Ok(())
}

fn ensure_table(connection: &Connection, target: &Target<'_>, mode: Mode) -> Result<State, Fault> {
    let name = target.name();
    let found = found_columns(connection, &name)?;
    if found.is_empty() {
        return match mode {
            Mode::Apply => {
                let columns = target.columns.iter();
                let list: Vec<_> = columns.map(|c| format!("\"{}\" {}", c.name, spelled(c.kind))).collect();
                connection.execute_batch(&format!("CREATE TABLE \"{name}\" ({})", list.join(", ")))?;
                Ok(State::Created)
            }
            Mode::DryRun => Ok(State::WouldCreate),
            Mode::Check => Err(WriterError::Absent { what: format!("table {name}") }.into()),
        };
    }
    let gained = target.gained(&name, &found, spelled)?;
    match (gained.first(), mode) {
        (None, _) => Ok(State::Exists),
        (Some(_), Mode::Apply) => {
            for column in gained {
                let kind = spelled(column.kind);
                connection.execute_batch(&format!(
                    "ALTER TABLE \"{name}\" ADD COLUMN \"{}\" {kind}",
                    column.name
                ))?;
            }
            Ok(State::Updated)
        }
        (Some(_), Mode::DryRun) => Ok(State::WouldUpdate),
        (Some(column), Mode::Check) => {
            Err(WriterError::Absent { what: format!("column {} of table {name}", column.name) }.into())
        }
    }
}

fn ensure_view(
    connection: &Connection,
    (flow, rows): (&FlowTable, WriterMode),
    mode: Mode,
) -> Result<State, Fault> {
    let name = flow.latest_name();
    let wanted = view(flow, rows);
    let found: Option<String> = connection
        .query_row("SELECT sql FROM sqlite_schema WHERE type = 'view' AND name = ?1", [&name], |row| {
            row.get(0)
        })
        .optional()?;
    match (found, mode) {
        (Some(found), _) if found == wanted => Ok(State::Exists),
        (Some(_), Mode::Apply) => {
            connection.execute_batch(&format!("DROP VIEW \"{name}\"; {wanted}"))?;
            Ok(State::Updated)
        }
        (Some(_), Mode::DryRun) => Ok(State::WouldUpdate),
        (Some(_), Mode::Check) => Err(WriterError::Outdated { view: name }.into()),
        (None, Mode::Apply) => {
            connection.execute_batch(&wanted)?;
            Ok(State::Created)
        }
        (None, Mode::DryRun) => Ok(State::WouldCreate),
        (None, Mode::Check) => Err(WriterError::Absent { what: format!("view {name}") }.into()),
    }
}

/// The columns of a table by name and type; none if there is no such table.
pub(super) fn found_columns(connection: &Connection, table: &str) -> Result<Vec<(String, String)>, Fault> {
    let mut statement = connection.prepare_cached("SELECT name, upper(type) FROM pragma_table_info(?1)")?;
    let found = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// The first finds the panes of a window and key, the second the sessions of a key. Where rows replace each other, the first
/// is the key of the table.
fn indexes(flow: &FlowTable, rows: WriterMode) -> String {
    let by: String = flow.columns.iter().map(|name| format!("\"{name}\", ")).collect();
    let (name, index) = (&flow.flow, names::index_name(flow));
    let mut sql = match rows {
        WriterMode::Append => format!("CREATE INDEX \"{index}\" ON \"{name}\" (window_end, {by}pane_index)"),
        WriterMode::Upsert => {
            format!("CREATE UNIQUE INDEX \"{index}\" ON \"{name}\" ({})", upsert::key(flow))
        }
    };
    if flow.merging {
        let index = names::sessions_index_name(flow);
        sql +=
            &format!("; CREATE INDEX \"{index}\" ON \"{name}\" ({by}window_end, window_start, pane_index)");
    }
    sql
}

/// The view's definition. It also shows whether a view that exists is up to date.
fn view(flow: &FlowTable, rows: WriterMode) -> String {
    let newest = match rows {
        WriterMode::Append if flow.merging => newest_sessions(flow),
        _ => newest(flow, rows),
    };
    format!("CREATE VIEW \"{}\" AS {newest}", flow.latest_name())
}

/// Selects the panes that the view shows, one after the other: for a reader that stops after a few of them. It takes all
/// panes of a key for each session, which is too much for a key with many.
pub(super) fn newest(flow: &FlowTable, rows: WriterMode) -> String {
    let (shown, table) = (shown(flow), &flow.flow);
    if rows == WriterMode::Upsert {
        // Newer panes have replaced all others.
        return format!("SELECT {shown} FROM \"{table}\" AS p");
    }
    let same: String = flow.columns.iter().map(|name| format!("AND n.\"{name}\" IS p.\"{name}\" ")).collect();
    // Sessions that overlap are one session, seen at different times: the later pane counts all that the earlier did.
    let window = if flow.merging {
        "n.window_end > p.window_start AND n.window_start < p.window_end"
    } else {
        "n.window_end = p.window_end"
    };
    format!(
        "SELECT {shown} FROM \"{table}\" AS p WHERE NOT EXISTS (SELECT 1 FROM \"{table}\" AS n \
         WHERE {window} {same}AND n.pane_index >= p.pane_index \
         AND (n.pane_index > p.pane_index OR n.rowid > p.rowid))"
    )
}

/// As [`newest`] for sessions, all at once: panes of a key that overlap, directly or through others, are one session, of
/// which the newest pane counts everything. Sorts the table, and no more. No column of a flow has a name with a space.
fn newest_sessions(flow: &FlowTable) -> String {
    let by: String = flow.columns.iter().map(|name| format!("\"{name}\", ")).collect();
    let key = by.trim_end_matches(", ");
    let (shown, table) = (shown(flow), &flow.flow);
    format!(
        "SELECT {shown} FROM (SELECT *, row_number() OVER (PARTITION BY {by}\"session number\" \
         ORDER BY pane_index DESC, \"row number\" DESC) AS \"pane age\" FROM (SELECT *, sum(\"begins session\") OVER (PARTITION BY {key} \
         ORDER BY window_start, \"row number\") AS \"session number\" FROM (SELECT *, rowid AS \"row number\", \
         coalesce(window_start >= max(window_end) OVER (PARTITION BY {key} ORDER BY window_start, rowid \
         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 1) AS \"begins session\" FROM \"{table}\"))) AS p WHERE \"pane age\" = 1"
    )
}

/// The columns of the view. A session of which an EARLY pane is the newest is still open, however long ago that fired.
fn shown(flow: &FlowTable) -> String {
    let columns: String =
        flow.all_columns().iter().map(|column| format!("p.\"{}\", ", column.name)).collect();
    let (seconds, millis) = (flow.allowed_lateness.0 / 1000, flow.allowed_lateness.0 % 1000);
    let has_ended = if flow.merging { "p.pane <> 'EARLY' AND " } else { "" };
    format!(
        "{columns}COALESCE({has_ended}p.window_end <= strftime('%Y-%m-%dT%H:%M:%fZ', \
         (SELECT watermark FROM \"{}\" ORDER BY rowid DESC LIMIT 1), '-{seconds}.{millis:03} seconds'), 0) AS is_final",
        flow.progress_name()
    )
}

fn spelled(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Time => "TEXT",
        Kind::Integer => "INTEGER",
        Kind::Real => "REAL",
        // A type with BLOB in its name has no affinity, so that SQLite does not make a double of the text.
        Kind::Decimal => "DECIMAL_EXACT BLOB",
        Kind::Bytes => "BLOB",
    }
}
