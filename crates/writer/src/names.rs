//! Which names of flows and columns a database can take. Both become identifiers in SQL, so that
//! nothing but letters, digits and underscores may pass.
//!
//! Not here: quoting; with these names quotes are all that is needed.

use std::collections::{HashMap, HashSet};

use event::row::{DEAD_LETTERS, FlowTable};

use crate::{WriterError, schema};

/// Longest name of a flow or column.
const MAX_LENGTH: usize = 128;
/// The table in which SQLite keeps the ends of streams.
pub(crate) const STREAMS: &str = "aqueduct_streams";
/// The table in which SQLite keeps which pipeline writes a flow.
pub(crate) const PIPELINES: &str = "aqueduct_pipelines";
/// Column names that a flow cannot have beside those of every row, and why.
const RESERVED_COLUMNS: [(&str, &str); 5] = [
    ("flow", "names the flow in rows that are written as JSON"),
    ("is_final", "is a column of <flow>_latest"),
    ("rowid", "would hide SQLite's own row number, by which <flow>_latest finds the newest row"),
    ("attributed_clicks", "is a column of flows with a join"),
    ("ctr_attributed", "is a column of flows with a join"),
];
/// Prefixes that BigQuery keeps for itself.
const RESERVED_PREFIXES: [&str; 8] = [
    "_table_",
    "_file_",
    "_partition",
    "_row_timestamp",
    "__root__",
    "_colidentifier",
    "_change_",
    "sqlite_",
];

/// Checks the names of flows and columns, and that no two flows share a table.
///
/// # Errors
/// [`WriterError::Name`] with the flow, the column and what would be right.
pub fn validate_tables(tables: &[FlowTable]) -> Result<(), WriterError> {
    // By name: the flow whose it is, or nothing where it is Aqueduct's own.
    let mut taken: HashMap<String, Option<&str>> =
        [DEAD_LETTERS, STREAMS, PIPELINES].map(|name| (name.to_owned(), None)).into();
    for (flow, table) in tables.iter().enumerate() {
        let error = |column: Option<&str>, problem: String| WriterError::Name {
            flow,
            name: table.flow.to_string(),
            column: column.map(str::to_owned),
            problem,
        };
        identifier(&table.flow).map_err(|problem| error(None, problem))?;
        for name in objects(table) {
            let problem = match taken.insert(name.to_ascii_lowercase(), Some(&table.flow)) {
                None => continue,
                Some(None) => {
                    format!("would make a second table {name:?}, which Aqueduct needs; choose another")
                }
                Some(Some(other)) => format!(
                    "would make a second table, view or index {name:?} beside that of flow {other:?}; choose another"
                ),
            };
            return Err(error(None, problem));
        }
        columns(table).map_err(|(column, problem)| error(Some(column), problem))?;
    }
    Ok(())
}

/// Everything that a flow makes in a database. In SQLite tables, views and indexes share their names.
fn objects(table: &FlowTable) -> [String; 4] {
    [table.flow.to_string(), table.progress_name(), table.latest_name(), index_name(table)]
}

/// The index by which SQLite finds the panes of a window and key.
pub(crate) fn index_name(table: &FlowTable) -> String {
    format!("{}_panes", table.flow)
}

fn columns(table: &FlowTable) -> Result<(), (&str, String)> {
    let output: HashSet<String> = schema::counts(true).into_iter().map(|column| column.name).collect();
    let mut seen = HashSet::new();
    for column in &table.columns {
        identifier(column).map_err(|problem| (column.as_str(), problem))?;
        let lower = column.to_ascii_lowercase();
        if let Some((_, reason)) = RESERVED_COLUMNS.iter().find(|(name, _)| *name == lower) {
            return Err((column, format!("cannot be a column: it {reason}; choose another")));
        }
        if output.contains(&lower) {
            return Err((column, "is a column of every row already; choose another".to_owned()));
        }
        if !seen.insert(lower) {
            return Err((
                column,
                "is there twice (capitals do not tell columns apart); choose another".to_owned(),
            ));
        }
    }
    Ok(())
}

fn identifier(name: &str) -> Result<(), String> {
    let lower = name.to_ascii_lowercase();
    if name.is_empty() || name.len() > MAX_LENGTH {
        return Err(format!("must be 1 to {MAX_LENGTH} characters long"));
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("begins with a digit; begin with a letter".to_owned());
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err("may hold letters, digits and underscores only".to_owned());
    }
    if let Some(prefix) = RESERVED_PREFIXES.iter().find(|prefix| lower.starts_with(**prefix)) {
        return Err(format!("begins with {prefix:?}, which databases keep for themselves; choose another"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use event::Millis;

    use super::*;

    fn table(flow: &str, columns: &[&str]) -> FlowTable {
        FlowTable {
            flow: flow.into(),
            columns: columns.iter().map(|&c| c.to_owned()).collect(),
            join: false,
            allowed_lateness: Millis(0),
        }
    }

    /// The flow and the column that are refused.
    fn check(tables: &[FlowTable]) -> Option<(usize, Option<String>)> {
        match validate_tables(tables) {
            Ok(()) => None,
            Err(WriterError::Name { flow, column, .. }) => Some((flow, column)),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn names_are_judged() {
        for (flow, column, expected) in [
            ("box_ctr", "page", None),
            ("Box2", "_p", None),
            // begins with a digit; begin with a letter
            ("2box", "page", Some(None)),
            // may hold letters, digits and underscores only
            ("box-ctr", "page", Some(None)),
            // must be 1 to 128 characters long
            ("", "page", Some(None)),
            // would make a second table, which Aqueduct needs
            ("dead_letters", "page", Some(None)),
            ("aqueduct_streams", "page", Some(None)),
            ("aqueduct_pipelines", "page", Some(None)),
            // begins with "sqlite_", which databases keep for themselves
            ("sqlite_x", "page", Some(None)),
            // is a column of every row already
            ("f", "Views", Some(Some("Views"))),
            // cannot be a column: it is one of flows with a join
            ("f", "ctr_attributed", Some(Some("ctr_attributed"))),
            ("f", "RowId", Some(Some("RowId"))),
            ("f", "is_final", Some(Some("is_final"))),
            ("f", "a\"b", Some(Some("a\"b"))),
        ] {
            let expected = expected.map(|column: Option<&str>| (0, column.map(str::to_owned)));
            assert_eq!(check(&[table(flow, &[column])]), expected, "{flow} {column}");
        }
    }

    /// A second table, view or index beside that of another flow; a column that is there twice (capitals do not tell columns
    /// apart).
    #[test]
    fn derived_names_do_not_meet() {
        for derived in ["a_latest", "a_progress", "a_panes", "A", "A_Panes"] {
            for names in [["a", derived], [derived, "a"]] {
                let tables = names.map(|name| table(name, &["x"]));
                assert_eq!(check(&tables), Some((1, None)), "{names:?}");
            }
        }
        assert_eq!(check(&[table("a", &["x"]), table("b", &["x"]), table("a_pane", &["x"])]), None);
        assert_eq!(check(&[table("b", &["x"]), table("a", &["x", "X"])]), Some((1, Some("X".to_owned()))));
    }
}
