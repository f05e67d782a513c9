//! Where rows go: lines of JSON, an SQLite file, or the configured tables.

use event::Ledger;
use flow::{Flow, row::Row};
use tokio_util::sync::CancellationToken;

use super::{lines::Lines, plan::Target, tables::Tables};

/// A destination for rows. Without [`RowSink::finish`] no file is replaced.
pub(super) enum RowSink {
    Lines(Lines),
    Tables(Box<Tables>),
    /// It accepts no more rows.
    Closed,
}

impl RowSink {
    /// Opens it; takes the handle of the runtime that it is called in.
    pub(super) fn create(
        target: &Target,
        flows: &[Flow],
        threads: usize,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        Ok(match target {
            Target::Lines(path) => Self::Lines(Lines::create(path, flows, threads)?),
            Target::Database(path) => Self::Tables(Box::new(Tables::replace(path, flows, shutdown)?)),
            Target::Tables(config) => Self::Tables(Box::new(Tables::connect(config, flows, shutdown)?)),
        })
    }

    /// The file, `standard output` or the database.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Lines(lines) => lines.name(),
            Self::Tables(tables) => tables.name(),
            Self::Closed => "",
        }
    }

    /// Takes all rows of a flow.
    pub(super) fn write(&mut self, flow: usize, rows: &mut Vec<Row>) -> anyhow::Result<()> {
        match self {
            Self::Lines(lines) => lines.write(flow, rows),
            Self::Tables(tables) => tables.write(flow, rows),
            Self::Closed => Ok(()),
        }
    }

    /// Completes the output; returns the number of rows and their destination.
    pub(super) fn finish(self, ledgers: &[Ledger]) -> anyhow::Result<String> {
        let name = self.name().to_owned();
        let rows = match self {
            Self::Lines(lines) => lines.finish()?,
            Self::Tables(tables) => tables.finish(ledgers)?,
            Self::Closed => 0,
        };
        Ok(format!("{rows} rows in {name}"))
    }
}
