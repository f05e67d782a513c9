//! The columns of every table, once for all databases. Those of a flow's table follow from the flow.

use std::sync::Arc;

use event::ledger::Outcome;
use flow::{
    append::{Rows, Table},
    row::{Cell, Column, FlowTable, Kind, MeasureColumns, Shows},
};

use crate::{WriterError, cells};

/// What `engines/beam` adds to its rows of `<flow>_progress`.
pub(crate) const DETAIL: &str = "detail";

/// The tables of a pipeline, by flow.
#[derive(Clone, Debug)]
pub(crate) struct Tables(Arc<[FlowTable]>);

/// A table with its columns.
#[derive(Clone, Debug)]
pub(crate) struct Target<'t> {
    pub(crate) table: &'t Table,
    /// The columns that rows have in this configuration. The table may have more.
    pub(crate) columns: Vec<Column>,
    /// The flow of a flow's table.
    pub(crate) flow: Option<&'t FlowTable>,
}

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

    /// All tables.
    pub(crate) fn all(&self) -> Vec<Table> {
        let mut all = Vec::with_capacity(self.0.len() * 2 + 1);
        for flow in self.0.iter() {
            all.push(Table::Flow(flow.flow.clone()));
            all.push(Table::Progress(flow.flow.clone()));
        }
        all.push(Table::DeadLetters);
        all
    }

    /// A table with its columns.
    pub(crate) fn target<'t>(&'t self, table: &'t Table) -> Result<Target<'t>, WriterError> {
        let (columns, flow) = match table {
            Table::Flow(name) => {
                let flow = self.flow(name)?;
                (flow.all_columns(), Some(flow))
            }
            Table::Progress(name) => (self.flow(name).map(|_| progress_columns())?, None),
            Table::DeadLetters => (dead_letter_columns(), None),
        };
        Ok(Target { table, columns, flow })
    }
}

/// The time by which a table is partitioned.
pub(crate) fn partitioned_by(table: &Table) -> &'static str {
    match table {
        Table::Flow(_) => "window_end",
        Table::Progress(_) => "at",
        Table::DeadLetters => "seen_at",
    }
}

impl Target<'_> {
    /// The table's name.
    pub(crate) fn name(&self) -> String {
        self.table.name()
    }

    /// Whether rows are of the kind that the table contains.
    ///
    /// # Errors
    /// [`WriterError::Encode`] if they are not.
    pub(crate) fn expect(&self, rows: Rows<'_>) -> Result<(), WriterError> {
        match (self.table, rows) {
            (Table::Flow(_), Rows::Panes(_))
            | (Table::Progress(_), Rows::Progress(_))
            | (Table::DeadLetters, Rows::DeadLetters(_)) => Ok(()),
            _ => {
                let source = "the rows are of another type than the table".into();
                Err(WriterError::Encode { table: self.name(), source })
            }
        }
    }

    /// Visits the values of a row of this table, in the order of its columns.
    pub(crate) fn cells<'a>(&self, rows: Rows<'a>, index: usize, visit: &mut dyn FnMut(Cell<'a>)) {
        match (rows, self.flow) {
            (Rows::Panes(rows), Some(flow)) => rows[index].cells(flow, visit),
            (Rows::Panes(_), None) => {}
            (Rows::Progress(rows), _) => cells::progress(&rows[index], self.columns.len(), visit),
            (Rows::DeadLetters(rows), _) => cells::dead_letter(&rows[index], visit),
        }
    }

    /// Whether a column may be added to a table that exists: those that existing rows need not have.
    fn may_gain(&self, column: &str) -> bool {
        match self.flow {
            Some(flow) => {
                let mut measures = flow.measures.iter().flat_map(MeasureColumns::columns);
                measures.any(|measure| measure.name == column)
            }
            None => column == DETAIL || Outcome::ALL.iter().any(|outcome| outcome.as_str() == column),
        }
    }

    /// The columns that an existing table has to gain, from its columns by name and type. Columns that only the table has
    /// stay: they are those of measures that were removed.
    ///
    /// # Errors
    /// [`WriterError::Mismatch`] for the first column with another type, and for one that no existing table can lack.
    /// `name` is the table's name in that error.
    pub(crate) fn gained(
        &self,
        name: &str,
        found: &[(String, String)],
        spelled: impl Fn(Kind) -> &'static str,
    ) -> Result<Vec<&Column>, WriterError> {
        let mut gained = Vec::new();
        for column in &self.columns {
            let (wanted, spelled) = (&column.name, spelled(column.kind));
            let difference = match found.iter().find(|(other, _)| other.eq_ignore_ascii_case(wanted)) {
                Some((_, other)) if other == spelled => continue,
                Some((_, other)) => format!("column {wanted} has type {other}, expected {spelled}"),
                None if self.may_gain(wanted) => {
                    gained.push(column);
                    continue;
                }
                None => format!("column {wanted} ({spelled}) is missing"),
            };
            return Err(WriterError::Mismatch { table: name.to_owned(), difference });
        }
        Ok(gained)
    }
}

/// The table that release 0.1.0 had for a flow: it knew no measures but views and clicks.
pub(crate) fn release_0_1_0(table: &FlowTable) -> FlowTable {
    const ATTRIBUTED: &str = "attributed_clicks";
    let share = |of, interval| Shows::Ratio { of, over: 0, per: 1.0, interval };
    let mut measures = vec![("views", Shows::Count(0)), ("clicks", Shows::Count(1)), ("ctr", share(1, true))];
    if table.measures.iter().any(|measure| measure.name == ATTRIBUTED) {
        measures.extend([(ATTRIBUTED, Shows::Count(2)), ("ctr_attributed", share(2, false))]);
    }
    let named = |(name, shows): (&str, Shows)| MeasureColumns { name: name.to_owned(), shows };
    FlowTable { measures: measures.into_iter().map(named).collect(), ..table.clone() }
}

/// The names of the columns that hold counts, the busiest first: rows are shown in their order, descending.
pub(crate) fn counts(table: &FlowTable) -> impl Iterator<Item = &str> {
    let is_count =
        |measure: &&MeasureColumns| matches!(measure.shows, Shows::Count(_) | Shows::Distinct { .. });
    table.measures.iter().filter(is_count).map(|measure| measure.name.as_str())
}

/// The columns of a flow's table that are read back: all but sketches.
pub(crate) fn read_back(table: &FlowTable) -> Vec<Column> {
    let mut columns = table.all_columns();
    columns.retain(|column| column.kind != Kind::Bytes);
    columns
}

/// Columns of `<flow>_progress`.
pub(crate) fn progress_columns() -> Vec<Column> {
    let mut columns = vec![column("at", Kind::Time), column("watermark", Kind::Time)];
    columns.extend(Outcome::ALL.iter().map(|outcome| column(outcome.as_str(), Kind::Integer)));
    columns
}

/// Columns of `dead_letters`.
pub(crate) fn dead_letter_columns() -> Vec<Column> {
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

#[cfg(test)]
mod tests {
    use flow::row::DEAD_LETTERS;

    use super::*;
    use crate::fixtures;

    #[test]
    fn columns_are_in_order() {
        let tables = Tables::try_new(&[fixtures::ctr(true)]).expect("the names are good");
        let names = |table: &Table| -> String {
            let target = tables.target(table).expect("the table is known");
            target.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            names(&Table::Flow("box_ctr".into())),
            "page box window_start window_end views clicks ctr ctr_low ctr_high attributed_clicks ctr_attributed \
             pane pane_index watermark emitted_at"
        );
        assert_eq!(
            names(&Table::Progress("box_ctr".into())),
            "at watermark counted duplicate late rejected ignored unmatched lost absent pending filtered"
        );
        assert_eq!(names(&Table::DeadLetters), "topic partition offset stage reason pointer seen_at");
        assert_eq!(Table::DeadLetters.name(), DEAD_LETTERS);
        assert!(tables.target(&Table::Flow("g".into())).is_err());
    }

    #[test]
    fn the_tables_of_release_0_1_0_are_those_of_ctr_flows() {
        for flow in [fixtures::ctr(true), fixtures::ctr(false)] {
            assert_eq!(release_0_1_0(&flow), flow);
        }
        let other = FlowTable { columns: fixtures::ctr(false).columns, ..fixtures::measures() };
        assert_eq!(release_0_1_0(&other).all_columns(), fixtures::ctr(false).all_columns());
    }

    #[test]
    fn tables_only_gain_measures() {
        type Found = Vec<(String, String)>;
        let tables = Tables::try_new(&[fixtures::ctr(false)]).expect("the names are good");
        let table = Table::Flow("box_ctr".into());
        let target = tables.target(&table).expect("the table is known");
        let spelled = |kind| match kind {
            Kind::Text => "TEXT",
            _ => "OTHER",
        };
        let all: Vec<_> =
            target.columns.iter().map(|c| (c.name.clone(), spelled(c.kind).to_owned())).collect();
        let check = |change: &dyn Fn(&mut Found)| {
            let mut found = all.clone();
            change(&mut found);
            let gained = target.gained("t", &found, spelled);
            gained.map(|gained| gained.iter().map(|column| column.name.clone()).collect::<Vec<_>>()).ok()
        };
        let without = |name: &'static str| move |found: &mut Found| found.retain(|(n, _)| n != name);
        assert_eq!(check(&|found| found.reverse()), Some(Vec::new()));
        assert_eq!(check(&|found| found[0].0 = "PAGE".to_owned()), Some(Vec::new()));
        assert_eq!(check(&|found| found.push(("old".to_owned(), "OTHER".to_owned()))), Some(Vec::new()));
        assert_eq!(check(&without("clicks")), Some(vec!["clicks".to_owned()]));
        for column in ["page", "window_end", "pane"] {
            assert_eq!(check(&without(column)), None, "{column}");
        }
        assert_eq!(check(&|found| found[0].1 = "OTHER".to_owned()), None);
    }
}
