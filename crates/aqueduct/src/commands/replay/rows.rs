//! Where rows go: lines of JSON, an SQLite file, or the configured tables.

use std::{io::Write as _, path::Path};

use anyhow::Context as _;
use event::{CtrRow, Ledger};
use processor::flow::Flow;
use tokio_util::sync::CancellationToken;
use writer::NdjsonFormat;

use super::{plan::Target, tables::Tables};
use crate::output::Output;

/// A place for rows. Without [`RowSink::finish`] no file is replaced.
pub(super) enum RowSink {
    Lines(Box<Lines>),
    Tables(Box<Tables>),
    /// Nothing is taken any more.
    Closed,
}

/// So many lines are handed on at once.
const TOGETHER: usize = 256;

/// Lines of JSON.
pub(super) struct Lines {
    output: Output,
    formats: Vec<NdjsonFormat>,
    lines: Vec<u8>,
    rows: u64,
}

impl RowSink {
    /// Opens it; takes the handle of the runtime that it is called in.
    pub(super) fn create(
        target: &Target,
        flows: &[Flow],
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        Ok(match target {
            Target::Lines(path) => Self::Lines(Box::new(Lines::create(path, flows)?)),
            Target::Database(path) => Self::Tables(Box::new(Tables::replace(path, flows, shutdown)?)),
            Target::Tables(config) => Self::Tables(Box::new(Tables::connect(config, flows, shutdown)?)),
        })
    }

    /// The file, `standard output` or the database.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Lines(lines) => lines.output.name(),
            Self::Tables(tables) => tables.name(),
            Self::Closed => "",
        }
    }

    /// Takes rows of a flow.
    pub(super) fn write(&mut self, flow: usize, rows: &[CtrRow]) -> anyhow::Result<()> {
        match self {
            Self::Lines(lines) => lines.write(flow, rows),
            Self::Tables(tables) => tables.write(flow, rows),
            Self::Closed => Ok(()),
        }
    }

    /// Completes it; tells how many rows are where.
    pub(super) fn finish(self, ledgers: &[Ledger]) -> anyhow::Result<String> {
        let name = self.name().to_owned();
        let rows = match self {
            Self::Lines(lines) => {
                lines.output.finish()?;
                lines.rows
            }
            Self::Tables(tables) => tables.finish(ledgers)?,
            Self::Closed => 0,
        };
        Ok(format!("{rows} rows in {name}"))
    }
}

impl Lines {
    fn create(path: &Path, flows: &[Flow]) -> anyhow::Result<Self> {
        let formats = flows.iter().map(|flow| NdjsonFormat::new(&flow.table())).collect();
        Ok(Self { output: Output::create(path)?, formats, lines: Vec::new(), rows: 0 })
    }

    fn write(&mut self, flow: usize, rows: &[CtrRow]) -> anyhow::Result<()> {
        self.rows += rows.len() as u64;
        for some in rows.chunks(TOGETHER) {
            self.lines.clear();
            some.iter().for_each(|row| self.formats[flow].write(row, &mut self.lines));
            self.output
                .write_all(&self.lines)
                .with_context(|| format!("cannot write {}", self.output.name()))?;
        }
        Ok(())
    }
}
