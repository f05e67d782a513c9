//! Which names of flows and columns a database can take. Both become identifiers in SQL, so that
//! nothing but letters, digits and underscores may pass.
//!
//! Not here: quoting; with these names quotes are all that is needed.

use std::collections::HashSet;

use event::row::{DEAD_LETTERS, FlowTable};

use crate::{WriterError, schema};

/// Longest name of a flow or column.
const MAX_LENGTH: usize = 128;
/// The table in which SQLite keeps the ends of streams.
pub(crate) const STREAMS: &str = "aqueduct_streams";
/// Names that a row needs otherwise.
const RESERVED_COLUMNS: [&str; 5] = ["flow", "is_final", "rowid", "attributed_clicks", "ctr_attributed"];
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
    let mut taken: HashSet<String> = [DEAD_LETTERS, STREAMS].map(str::to_owned).into();
    for (flow, table) in tables.iter().enumerate() {
        let error = |column: Option<&str>, problem: String| WriterError::Name {
            flow,
            name: table.flow.to_string(),
            column: column.map(str::to_owned),
            problem,
        };
        identifier(&table.flow).map_err(|problem| error(None, problem))?;
        for name in [table.flow.to_string(), table.progress_name(), table.latest_name()] {
            if !taken.insert(name.to_ascii_lowercase()) {
                return Err(error(
                    None,
                    format!("would make a second table or view {name:?}; choose another"),
                ));
            }
        }
        columns(table).map_err(|(column, problem)| error(Some(column), problem))?;
    }
    Ok(())
}

fn columns(table: &FlowTable) -> Result<(), (&str, String)> {
    let output: HashSet<String> = schema::counts(true).into_iter().map(|column| column.name).collect();
    let mut seen = HashSet::new();
    for column in &table.columns {
        identifier(column).map_err(|problem| (column.as_str(), problem))?;
        let lower = column.to_ascii_lowercase();
        if output.contains(&lower) || RESERVED_COLUMNS.contains(&lower.as_str()) {
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

    fn check(tables: &[FlowTable]) -> String {
        validate_tables(tables).map_or_else(|error| error.to_string(), |()| "ok".to_owned())
    }

    #[test]
    fn names_are_judged() {
        for (flow, column, expected) in [
            ("box_ctr", "page", "ok"),
            ("Box2", "_p", "ok"),
            ("2box", "page", "flow name \"2box\" begins with a digit; begin with a letter"),
            ("box-ctr", "page", "flow name \"box-ctr\" may hold letters, digits and underscores only"),
            ("", "page", "flow name \"\" must be 1 to 128 characters long"),
            (
                "dead_letters",
                "page",
                "flow name \"dead_letters\" would make a second table or view \"dead_letters\"; choose another",
            ),
            (
                "f",
                "Views",
                "column name \"Views\" of flow \"f\" is a column of every row already; choose another",
            ),
            (
                "f",
                "ctr_attributed",
                "column name \"ctr_attributed\" of flow \"f\" is a column of every row already; choose another",
            ),
            (
                "sqlite_x",
                "page",
                "flow name \"sqlite_x\" begins with \"sqlite_\", which databases keep for themselves; choose another",
            ),
            (
                "f",
                "a\"b",
                "column name \"a\\\"b\" of flow \"f\" may hold letters, digits and underscores only",
            ),
        ] {
            assert_eq!(check(&[table(flow, &[column])]), expected, "{flow} {column}");
        }
    }

    #[test]
    fn names_do_not_meet() {
        assert_eq!(check(&[table("a", &["x"]), table("b", &["x"])]), "ok");
        for (tables, expected) in [
            ([("a", vec!["x"]), ("A", vec!["x"])], "flow name \"A\" would make a second table or view \"A\""),
            (
                [("a", vec!["x"]), ("a_latest", vec!["x"])],
                "flow name \"a_latest\" would make a second table or view \"a_latest\"",
            ),
            (
                [("a_progress", vec!["x"]), ("a", vec!["x"])],
                "flow name \"a\" would make a second table or view \"a_progress\"",
            ),
            (
                [("b", vec!["x"]), ("a", vec!["x", "X"])],
                "column name \"X\" of flow \"a\" is there twice (capitals do not tell columns apart)",
            ),
        ] {
            let tables = tables.map(|(name, columns)| table(name, &columns));
            assert_eq!(check(&tables), format!("{expected}; choose another"));
        }
    }
}
