//! The handle of an open database, whichever backend it has.

use std::{fmt, ops::Deref, sync::Arc};

use flow::row::{FlowTable, Row};

use crate::{Backend, WriterConfig, WriterError, backend::Mode, schema::Tables};

/// Rows into one database, exactly once. Clones share the database. See [`Backend`] for what an open one can do.
#[derive(Clone, Debug)]
pub struct Writer(Arc<dyn Backend>);

/// A row of `<flow>_latest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatestRow {
    /// The newest pane.
    pub row: Row,
    /// Whether its allowed lateness has passed, so that no other pane follows.
    pub is_final: bool,
}

/// Records of one partition that one stage refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Refusals {
    /// The Kafka topic; the table if the writer refused a row.
    pub topic: String,
    /// The partition; -1 if the writer refused a row.
    pub partition: i64,
    /// `connector`, `processor` or `writer`.
    pub stage: String,
    /// The reason code.
    pub reason: String,
    /// The number of records.
    #[serde(rename = "records")]
    pub rows: u64,
}

/// The result of [`Writer::setup`] for one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The dataset, table or view.
    pub what: String,
    /// Its state.
    pub state: State,
}

/// The state of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It did not exist and has been created.
    Created,
    /// It existed as required.
    Exists,
    /// It existed for another configuration and has been updated: a view was created again, a table gained columns.
    Updated,
    /// It does not exist; nothing was done.
    WouldCreate,
    /// It exists for another configuration; nothing was done.
    WouldUpdate,
}

/// What [`Backend::claim`] does with tables that belong to another pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Refuses.
    Take,
    /// Takes them over.
    Adopt,
}

impl Writer {
    /// Connects for writing. An SQLite file is created with all tables and views; nothing is sent to BigQuery yet.
    ///
    /// # Errors
    /// Invalid names, a file that cannot be opened or has tables of another shape, missing credentials.
    pub async fn connect(config: &WriterConfig, tables: &[FlowTable]) -> Result<Self, WriterError> {
        Ok(Self(config.place().connect(Tables::try_new(tables)?).await?))
    }

    /// Connects for reading only; creates nothing.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`WriterError::NoFile`] if there is no SQLite file.
    pub async fn open(config: &WriterConfig, tables: &[FlowTable]) -> Result<Self, WriterError> {
        Ok(Self(config.place().open(Tables::try_new(tables)?).await?))
    }

    /// Whether [`claim`](Backend::claim) would succeed; changes nothing.
    ///
    /// # Errors
    /// As [`claim`](Backend::claim).
    pub async fn check_owner(
        config: &WriterConfig,
        tables: &[FlowTable],
        pipeline: &str,
    ) -> Result<(), WriterError> {
        config.place().check_owner(Tables::try_new(tables)?, pipeline).await
    }

    /// Creates what the flows need and is missing: dataset, tables, views, and columns of tables that exist. A column that
    /// no flow needs any more stays, and is NULL in new rows. Safe to repeat.
    ///
    /// # Errors
    /// A table that lacks a column which cannot be added, or has one of another type; a database that does not answer or refuses.
    pub async fn setup(
        config: &WriterConfig,
        tables: &[FlowTable],
        dry_run: bool,
    ) -> Result<Vec<Step>, WriterError> {
        let mode = if dry_run { Mode::DryRun } else { Mode::Apply };
        config.place().prepare(Tables::try_new(tables)?, mode).await
    }

    /// Checks that everything the flows need exists. An SQLite file may be missing, because it is created when it is
    /// first written; its folder may not.
    ///
    /// # Errors
    /// The first table or column that is missing or has another type; a database that does not answer or refuses.
    pub async fn check(config: &WriterConfig, tables: &[FlowTable]) -> Result<(), WriterError> {
        config.place().prepare(Tables::try_new(tables)?, Mode::Check).await.map(drop)
    }
}

impl Deref for Writer {
    type Target = dyn Backend;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

/// `table box_ctr: created`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.state)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Exists => "exists",
            Self::Updated => "updated",
            Self::WouldCreate => "would be created",
            Self::WouldUpdate => "would be updated",
        })
    }
}
