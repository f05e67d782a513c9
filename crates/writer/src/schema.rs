//! The columns of every table, once for all databases.
//!
//! Not here: how a database spells them.

use std::sync::Arc;

use event::{append::Table, ledger::Outcome, row::FlowTable};

use crate::WriterError;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Integer,
    Real,
    Time,
}

/// A column; any may be NULL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// The tables of a pipeline, by flow.
#[derive(Clone, Debug)]
pub(crate) struct Tables(Arc<[FlowTable]>);

impl Tables {
    /// Takes tables with names that a database can take.
    pub(crate) fn try_new(tables: &[FlowTable]) -> Result<Self, WriterError> {
        crate::validate_tables(tables)?;
        Ok(Self(tables.into()))
    }

    pub(crate) fn flows(&self) -> &[FlowTable] {
        &self.0
    }

    pub(crate) fn flow(&self, name: &str) -> Result<&FlowTable, WriterError> {
        self.0.iter().find(|table| &*table.flow == name).ok_or_else(|| WriterError::Unknown(name.to_owned()))
    }

    /// All tables with the time that they are partitioned by.
    pub(crate) fn all(&self) -> Vec<(Table, &'static str)> {
        let mut all = Vec::with_capacity(self.0.len() * 2 + 1);
        for flow in self.0.iter() {
            all.push(Table::Flow(flow.flow.clone()));
            all.push(Table::Progress(flow.flow.clone()));
        }
        all.push(Table::DeadLetters);
        all.into_iter().map(|table| (table.clone(), self.partitioned_by(&table))).collect()
    }

    /// The time by which a table is partitioned.
    pub(crate) fn partitioned_by(&self, table: &Table) -> &'static str {
        match table {
            Table::Flow(_) => "window_end",
            Table::Progress(_) => "at",
            Table::DeadLetters => "seen_at",
        }
    }

    /// The columns of a table, in order.
    pub(crate) fn columns(&self, table: &Table) -> Result<Vec<Column>, WriterError> {
        match table {
            Table::Flow(flow) => Ok(pane_columns(self.flow(flow)?)),
            Table::Progress(flow) => self.flow(flow).map(|_| progress_columns()),
            Table::DeadLetters => Ok(dead_letter_columns()),
        }
    }
}

/// Columns of a flow's table: the `by` columns, then what was counted.
pub(crate) fn pane_columns(table: &FlowTable) -> Vec<Column> {
    let by = table.columns.iter().map(|name| column(name, Kind::Text));
    by.chain(counts(table.join)).collect()
}

/// The columns behind the `by` columns.
pub(crate) fn counts(join: bool) -> Vec<Column> {
    let mut columns = vec![
        column("window_start", Kind::Time),
        column("window_end", Kind::Time),
        column("views", Kind::Integer),
        column("clicks", Kind::Integer),
        column("ctr", Kind::Real),
        column("ctr_low", Kind::Real),
        column("ctr_high", Kind::Real),
    ];
    if join {
        columns.push(column("attributed_clicks", Kind::Integer));
        columns.push(column("ctr_attributed", Kind::Real));
    }
    columns.extend([
        column("pane", Kind::Text),
        column("pane_index", Kind::Integer),
        column("watermark", Kind::Time),
        column("emitted_at", Kind::Time),
    ]);
    columns
}

/// Columns of `<flow>_progress`.
pub(crate) fn progress_columns() -> Vec<Column> {
    let mut columns = vec![column("at", Kind::Time), column("watermark", Kind::Time)];
    columns.extend(Outcome::ALL.iter().map(|outcome| column(outcome.as_str(), Kind::Integer)));
    columns
}

fn dead_letter_columns() -> Vec<Column> {
    vec![
        column("topic", Kind::Text),
        column("partition", Kind::Integer),
        column("offset", Kind::Integer),
        column("stage", Kind::Text),
        column("reason", Kind::Text),
        column("pointer", Kind::Text),
        column("seen_at", Kind::Time),
    ]
}

fn column(name: &str, kind: Kind) -> Column {
    Column { name: name.to_owned(), kind }
}

/// The first difference between the columns that a table has, by name and type, and those that it must have.
pub(crate) fn difference(found: &[(String, String)], wanted: &[(String, String)]) -> Option<String> {
    for (name, kind) in wanted {
        match found.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
            None => return Some(format!("column {name} ({kind}) is missing")),
            Some((_, other)) if other != kind => {
                return Some(format!("column {name} is {other}, this configuration needs {kind}"));
            }
            Some(_) => {}
        }
    }
    found
        .iter()
        .find(|(name, _)| !wanted.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)))
        .map(|(name, kind)| format!("column {name} ({kind}) is not part of this configuration"))
}

#[cfg(test)]
mod tests {
    use event::{Millis, row::DEAD_LETTERS};

    use super::*;

    #[test]
    fn columns_stand_in_their_order() {
        let flow = FlowTable {
            flow: "f".into(),
            columns: vec!["page".to_owned()],
            join: true,
            allowed_lateness: Millis(0),
        };
        let tables = Tables::try_new(&[flow]).expect("the names are good");
        let names = |table: &Table| -> String {
            let columns = tables.columns(table).expect("the table is known");
            columns.into_iter().map(|c| c.name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            names(&Table::Flow("f".into())),
            "page window_start window_end views clicks ctr ctr_low ctr_high attributed_clicks ctr_attributed \
             pane pane_index watermark emitted_at"
        );
        assert_eq!(
            names(&Table::Progress("f".into())),
            "at watermark counted duplicate late rejected ignored unmatched lost absent pending"
        );
        assert_eq!(names(&Table::DeadLetters), "topic partition offset stage reason pointer seen_at");
        assert_eq!(Table::DeadLetters.name(), DEAD_LETTERS);
        assert!(tables.columns(&Table::Flow("g".into())).is_err());
    }

    #[test]
    fn differences_name_the_column() {
        let wanted = [("a".to_owned(), "TEXT".to_owned()), ("b".to_owned(), "REAL".to_owned())];
        let check = |found: &[(&str, &str)]| {
            let found: Vec<_> = found.iter().map(|(n, k)| ((*n).to_owned(), (*k).to_owned())).collect();
            difference(&found, &wanted)
        };
        assert_eq!(check(&[("b", "REAL"), ("A", "TEXT")]), None);
        assert_eq!(check(&[("a", "TEXT")]).as_deref(), Some("column b (REAL) is missing"));
        assert_eq!(
            check(&[("a", "REAL"), ("b", "REAL")]).as_deref(),
            Some("column a is REAL, this configuration needs TEXT")
        );
        assert_eq!(
            check(&[("a", "TEXT"), ("b", "REAL"), ("c", "TEXT")]).as_deref(),
            Some("column c (TEXT) is not part of this configuration")
        );
    }
}
