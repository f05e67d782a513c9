//! Which names of flows and columns a database can take. Both become identifiers in SQL, so only letters, digits and
//! underscores are allowed; an identifier of these needs quotes and no escaping.

use std::collections::{HashMap, hash_map::Entry};

use flow::row::{DEAD_LETTERS, FlowTable};

use crate::{WriterError, error::NameOf};

/// Longest name of a flow or column.
const MAX_LENGTH: usize = 128;
/// The table in which SQLite keeps the ends of streams.
pub(crate) const STREAMS: &str = "aqueduct_streams";
/// The table in which SQLite keeps which pipeline writes a flow.
pub(crate) const PIPELINES: &str = "aqueduct_pipelines";
/// The column in which BigQuery has the `by` values of a row as one text, where rows replace each other.
pub(crate) const ROW_KEY: &str = "aqueduct_key";
/// Column names that a flow cannot have beside those of every row, and why.
const RESERVED_COLUMNS: [(&str, &str); 4] = [
    (ROW_KEY, "is the key of a row in BigQuery with writer.mode = \"upsert\""),
    ("flow", "is the field for the flow in JSON rows"),
    ("is_final", "is a column of <flow>_latest"),
    ("rowid", "would hide SQLite's rowid, which <flow>_latest uses"),
];
/// The columns of every row.
const FIXED_COLUMNS: [&str; 6] =
    ["window_start", "window_end", "pane", "pane_index", "watermark", "emitted_at"];
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

/// Checks the names of flows, of their `by` columns and of their measures, and that no two flows share a table.
///
/// # Errors
/// [`WriterError::Name`] with the flow, the name and what would be right.
pub fn validate_tables(tables: &[FlowTable]) -> Result<(), WriterError> {
    // By name: the flow that it belongs to; `None` for Aqueduct's own tables.
    let mut taken: HashMap<String, Option<&str>> =
        [DEAD_LETTERS, STREAMS, PIPELINES].map(|name| (name.to_owned(), None)).into();
    for (flow, table) in tables.iter().enumerate() {
        let error =
            |(name, problem)| WriterError::Name { flow, flow_name: table.flow.to_string(), name, problem };
        identifier(&table.flow).map_err(|problem| error((NameOf::Flow, problem)))?;
        for name in objects(table) {
            let problem = match taken.insert(name.to_ascii_lowercase(), Some(&table.flow)) {
                None => continue,
                Some(None) => {
                    format!("would create a second table {name:?}; choose another")
                }
                Some(Some(other)) => {
                    format!("would create {name:?}, which already belongs to flow {other:?}; choose another")
                }
            };
            return Err(error((NameOf::Flow, problem)));
        }
        columns(table).map_err(error)?;
    }
    Ok(())
}

/// Everything that a flow makes in a database. In SQLite tables, views and indexes share their names.
fn objects(table: &FlowTable) -> Vec<String> {
    let mut objects =
        vec![table.flow.to_string(), table.progress_name(), table.latest_name(), index_name(table)];
    objects.extend(table.merging.then(|| sessions_index_name(table)));
    objects
}

/// The index by which SQLite finds the panes of a window and key.
pub(crate) fn index_name(table: &FlowTable) -> String {
    format!("{}_panes", table.flow)
}

/// The index by which SQLite finds the sessions of a key.
pub(crate) fn sessions_index_name(table: &FlowTable) -> String {
    format!("{}_sessions", table.flow)
}

fn columns(table: &FlowTable) -> Result<(), (NameOf, String)> {
    let measures: Vec<(NameOf, String)> = table
        .measures
        .iter()
        .flat_map(|measure| {
            let of = |column: String| NameOf::Measure { measure: measure.name.clone(), column };
            measure.columns().into_iter().map(move |column| (of(column.name.clone()), column.name))
        })
        .collect();
    let by = table.columns.iter().map(|column| (NameOf::By(column.clone()), column.clone()));
    // A `by` column with the name of a measure is reported at the column: measures come first.
    let mut seen: HashMap<String, NameOf> = HashMap::new();
    for (name, column) in measures.into_iter().chain(by) {
        if let Err(problem) = column_name(&column) {
            return Err((name, problem));
        }
        match seen.entry(column.to_ascii_lowercase()) {
            Entry::Vacant(vacant) => {
                vacant.insert(name);
            }
            Entry::Occupied(first) => {
                let problem = format!(
                    "has the same name as {} (column names ignore case); choose another",
                    first.get()
                );
                return Err((name, problem));
            }
        }
    }
    Ok(())
}

fn column_name(column: &str) -> Result<(), String> {
    identifier(column)?;
    let lower = column.to_ascii_lowercase();
    if let Some((_, reason)) = RESERVED_COLUMNS.iter().find(|(name, _)| *name == lower) {
        return Err(format!("cannot be a column: it {reason}; choose another"));
    }
    if FIXED_COLUMNS.contains(&lower.as_str()) {
        return Err("is a column of every row already; choose another".to_owned());
    }
    Ok(())
}

fn identifier(name: &str) -> Result<(), String> {
    let lower = name.to_ascii_lowercase();
    if name.is_empty() || name.len() > MAX_LENGTH {
        return Err(format!("must be 1 to {MAX_LENGTH} characters long"));
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("begins with a digit; expected a letter".to_owned());
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err("can contain only letters, digits and underscores".to_owned());
    }
    if let Some(prefix) = RESERVED_PREFIXES.iter().find(|prefix| lower.starts_with(**prefix)) {
        return Err(format!("begins with {prefix:?}, which is reserved; choose another"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use flow::row::{MeasureColumns, Shows};

    fn table(flow: &str, columns: &[&str]) -> FlowTable {
        let columns = columns.iter().map(|&c| c.to_owned()).collect();
        FlowTable { flow: flow.into(), columns, ..fixtures::ctr(false) }
    }

    /// The flow and the name that are refused.
    fn check(tables: &[FlowTable]) -> Option<(usize, NameOf)> {
        match validate_tables(tables) {
            Ok(()) => None,
            Err(WriterError::Name { flow, name, .. }) => Some((flow, name)),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn names_are_validated() {
        let by = |column: &str| Some((0, NameOf::By(column.to_owned())));
        for (flow, column, expected) in [
            ("box_ctr", "page", None),
            ("Box2", "_p", None),
            ("f", "attributed_clicks", None),
            // begins with a digit; expected a letter
            ("2box", "page", Some((0, NameOf::Flow))),
            // can contain only letters, digits and underscores
            ("box-ctr", "page", Some((0, NameOf::Flow))),
            // must be 1 to 128 characters long
            ("", "page", Some((0, NameOf::Flow))),
            // would create a second table
            ("dead_letters", "page", Some((0, NameOf::Flow))),
            ("aqueduct_streams", "page", Some((0, NameOf::Flow))),
            ("aqueduct_pipelines", "page", Some((0, NameOf::Flow))),
            // begins with "sqlite_", which is reserved
            ("sqlite_x", "page", Some((0, NameOf::Flow))),
            // is a measure of the flow, or one of its columns
            ("f", "Views", by("Views")),
            ("f", "ctr_low", by("ctr_low")),
            // is a column of every row already
            ("f", "Window_End", by("Window_End")),
            ("f", "RowId", by("RowId")),
            ("f", "is_final", by("is_final")),
            ("f", "a\"b", by("a\"b")),
        ] {
            assert_eq!(check(&[table(flow, &[column])]), expected, "{flow} {column}");
        }
    }

    #[test]
    fn measures_are_validated() {
        let check = |names: &[&str]| {
            let shows = Shows::Distinct { value: 0, sketch: true };
            let measures =
                names.iter().map(|name| MeasureColumns { name: (*name).to_owned(), shows }).collect();
            match check(&[FlowTable { measures, ..table("f", &["page"]) }]) {
                None => None,
                Some((0, NameOf::Measure { measure, column })) => Some((measure, column)),
                Some(other) => panic!("{other:?}"),
            }
        };
        let refused = |measure: &str, column: &str| Some((measure.to_owned(), column.to_owned()));
        assert_eq!(check(&["users", "attributed_clicks"]), None);
        for wrong in ["2users", "us-ers", "pane", "Watermark", "_partitiontime", "flow"] {
            assert_eq!(check(&[wrong]), refused(wrong, wrong));
        }
        assert_eq!(check(&["users_sketch", "Users"]), refused("Users", "Users_sketch"));
        assert_eq!(check(&["users", "USERS"]), refused("USERS", "USERS"));
        let long = "u".repeat(125);
        assert_eq!(check(&[&long]), refused(&long, &format!("{long}_sketch")));
    }

    /// A second table, view or index beside that of another flow; a column that is there twice (names ignore case).
    #[test]
    fn derived_names_do_not_collide() {
        for derived in ["a_latest", "a_progress", "a_panes", "A", "A_Panes"] {
            for names in [["a", derived], [derived, "a"]] {
                let tables = names.map(|name| table(name, &["x"]));
                assert_eq!(check(&tables), Some((1, NameOf::Flow)), "{names:?}");
            }
        }
        assert_eq!(
            check(&[table("b", &["x"]), table("a", &["x", "X"])]),
            Some((1, NameOf::By("X".to_owned())))
        );
        let mut tables = [table("a", &["x"]), table("b", &["x"]), table("a_sessions", &["x"])];
        assert_eq!(check(&tables), None);
        tables[0].merging = true;
        assert_eq!(check(&tables), Some((2, NameOf::Flow)));
    }
}
