//! The port: rows in, exactly once, whatever database stands behind it.
//!
//! Not here: retries (whoever calls knows what waits) and which rows go where.

use std::{fmt, sync::Arc};

use event::{
    CtrRow,
    append::{Append, Appended, Body, Rows, Table},
    row::ProgressRow,
};

use crate::{
    WriterConfig, WriterError,
    io::{bigquery::BigQuery, sqlite::Sqlite},
    schema::Tables,
};
use event::row::FlowTable;

/// Bytes of rows in one request: BigQuery takes 10 MB with everything around them.
pub(crate) const BODY_BYTES: usize = 4 << 20;

/// Rows into one database. Clones share it.
#[derive(Clone, Debug)]
pub struct Writer(Arc<Backend>);

#[derive(Debug)]
enum Backend {
    Sqlite(Sqlite),
    BigQuery(Box<BigQuery>),
}

/// A row of `<flow>_latest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatestRow {
    /// The newest pane.
    pub row: CtrRow,
    /// Whether its allowed lateness has passed, so that no other pane follows.
    pub is_final: bool,
}

/// Records of one partition that one stage refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusals {
    /// The Kafka topic; the table where the writer refused.
    pub topic: String,
    /// The partition; -1 where the writer refused.
    pub partition: i64,
    /// `connector`, `processor` or `writer`.
    pub stage: String,
    /// The reason code.
    pub reason: String,
    /// How many.
    pub rows: u64,
}

/// One thing that [`Writer::setup`] looked after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The dataset, table or view.
    pub what: String,
    /// What became of it.
    pub state: State,
}

/// What became of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It was not there.
    Created,
    /// It was there as it should be.
    Exists,
    /// It was there for an older configuration (views only).
    Updated,
    /// It is not there; nothing was done.
    WouldCreate,
    /// It is there for an older configuration; nothing was done.
    WouldUpdate,
}

/// How far [`Writer::setup`] and [`Writer::check`] go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Makes what is missing.
    Apply,
    /// Says what would be made.
    DryRun,
    /// Fails at what is missing.
    Check,
}

/// What [`Writer::claim`] does with tables that belong to another pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Refuses.
    Take,
    /// Makes them this pipeline's.
    Adopt,
}

impl Writer {
    /// Connects for writing. An SQLite file is made with all tables and views; BigQuery is not asked yet.
    ///
    /// # Errors
    /// Names that are none, a file that cannot be opened or has tables of another shape, missing credentials.
    pub async fn connect(config: &WriterConfig, tables: &[FlowTable]) -> Result<Self, WriterError> {
        let tables = Tables::try_new(tables)?;
        let backend = match config {
            WriterConfig::Sqlite { path } => Backend::Sqlite(Sqlite::connect(path, tables).await?),
            WriterConfig::BigQuery(config) => {
                Backend::BigQuery(Box::new(BigQuery::connect(config, tables).await?))
            }
        };
        Ok(Self(Arc::new(backend)))
    }

    /// Connects for reading only; makes nothing.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`WriterError::NoFile`] where there is no SQLite file.
    pub async fn open(config: &WriterConfig, tables: &[FlowTable]) -> Result<Self, WriterError> {
        let WriterConfig::Sqlite { path } = config else { return Self::connect(config, tables).await };
        let tables = Tables::try_new(tables)?;
        Ok(Self(Arc::new(Backend::Sqlite(Sqlite::open(path, tables).await?))))
    }

    /// Records that `pipeline` writes the tables of the flows. Two pipelines that write the same tables would each add their own
    /// rows; one and its stand-by share the state, and with it the name. Tables without a record, as earlier versions made
    /// them, are taken.
    ///
    /// # Errors
    /// [`WriterError::Owned`] where another pipeline writes one of them; or as [`count`](Self::count).
    pub async fn claim(&self, pipeline: &str, claim: Claim) -> Result<(), WriterError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.claim(pipeline, claim).await,
            Backend::BigQuery(bigquery) => bigquery.claim(pipeline, claim).await,
        }
    }

    /// Whether [`claim`](Self::claim) would succeed; changes nothing.
    ///
    /// # Errors
    /// As [`claim`](Self::claim).
    pub async fn check_owner(
        config: &WriterConfig,
        tables: &[FlowTable],
        pipeline: &str,
    ) -> Result<(), WriterError> {
        let tables = Tables::try_new(tables)?;
        match config {
            WriterConfig::Sqlite { path } => Sqlite::check_owner(path, tables, pipeline).await,
            WriterConfig::BigQuery(config) => {
                BigQuery::connect(config, tables).await?.check_owner(pipeline).await
            }
        }
    }

    /// Whether the database is still where it was when it was opened. Looks at the file system only.
    ///
    /// # Errors
    /// [`WriterError::Gone`] where an SQLite file was deleted or replaced.
    pub fn check_place(&self) -> Result<(), WriterError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.check_place(),
            Backend::BigQuery(_) => Ok(()),
        }
    }

    /// Makes what the flows need and is missing: dataset, tables, views. Safe to repeat.
    ///
    /// # Errors
    /// A table of another shape, which is never altered; a database that does not answer or refuses.
    pub async fn setup(
        config: &WriterConfig,
        tables: &[FlowTable],
        dry_run: bool,
    ) -> Result<Vec<Step>, WriterError> {
        Self::prepare(config, tables, if dry_run { Mode::DryRun } else { Mode::Apply }).await
    }

    /// Whether everything that the flows need is there. An SQLite file may be missing (it is made
    /// when first written), its folder may not.
    ///
    /// # Errors
    /// The first thing that is missing or of another shape; a database that does not answer or refuses.
    pub async fn check(config: &WriterConfig, tables: &[FlowTable]) -> Result<(), WriterError> {
        Self::prepare(config, tables, Mode::Check).await.map(drop)
    }

    async fn prepare(
        config: &WriterConfig,
        tables: &[FlowTable],
        mode: Mode,
    ) -> Result<Vec<Step>, WriterError> {
        let tables = Tables::try_new(tables)?;
        match config {
            WriterConfig::Sqlite { path } => Sqlite::prepare(path, tables, mode).await,
            WriterConfig::BigQuery(config) => BigQuery::connect(config, tables).await?.prepare(mode).await,
        }
    }

    /// The rows (indexes) that are larger than a request to the database may be.
    pub fn too_large(&self, rows: Rows<'_>) -> Vec<usize> {
        match &*self.0 {
            Backend::Sqlite(_) => Vec::new(),
            Backend::BigQuery(_) => crate::io::bigquery::too_large(rows),
        }
    }

    /// Rows as the bytes of requests. The same rows give the same bytes; nothing is sent.
    ///
    /// # Errors
    /// A table of no flow; a row that is [too large](Self::too_large).
    pub fn encode(&self, table: &Table, rows: Rows<'_>) -> Result<Vec<Body>, WriterError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.encode(table, rows),
            Backend::BigQuery(bigquery) => bigquery.encode(table, rows),
        }
    }

    /// The append without these rows (indexes in it): what is left after a table refused some.
    ///
    /// # Errors
    /// The append's bytes are none of this writer's.
    pub fn without(&self, append: &Append, rows: &[u32]) -> Result<Body, WriterError> {
        match &*self.0 {
            Backend::Sqlite(_) => crate::io::sqlite::without(append, rows),
            Backend::BigQuery(bigquery) => bigquery.without(append, rows),
        }
    }

    /// A new stream of a table, empty.
    ///
    /// # Errors
    /// The table is missing, or the database does not answer or refuses.
    pub async fn open_stream(&self, table: &Table) -> Result<String, WriterError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.open_stream(table).await,
            Backend::BigQuery(bigquery) => bigquery.open_stream(table).await,
        }
    }

    /// Adds rows at their place, once, however often it is called with the same append. Appends of
    /// one stream are sent one after another.
    ///
    /// # Errors
    /// After one that [is retryable](WriterError::is_retryable) the same append is to be sent again:
    /// the rows may stand in the table or not. After any other an operator is needed.
    pub async fn append(&self, append: &Append) -> Result<Appended, WriterError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.append(append).await,
            Backend::BigQuery(bigquery) => bigquery.append(append).await,
        }
    }

    /// Whether the rows of an append to a stream that is gone stand in their table. They do all or none, as an append
    /// lands whole. To be asked only after [`Appended::StreamGone`]: then nothing can add them any more.
    ///
    /// # Errors
    /// As [`count`](Self::count); the append's bytes are none of this writer's.
    pub async fn stands(&self, append: &Append) -> Result<bool, WriterError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.stands(append).await,
            Backend::BigQuery(bigquery) => bigquery.stands(append).await,
        }
    }

    /// How many rows a table has.
    ///
    /// # Errors
    /// The table is missing, or the database does not answer or refuses.
    pub async fn count(&self, table: &Table) -> Result<u64, WriterError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.count(table).await,
            Backend::BigQuery(bigquery) => bigquery.count(table).await,
        }
    }

    /// The newest line of `<flow>_progress`.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub async fn progress(&self, flow: &str) -> Result<Option<ProgressRow>, WriterError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.progress(flow).await,
            Backend::BigQuery(bigquery) => bigquery.progress(flow).await,
        }
    }

    /// The busiest keys of the newest window that the watermark has passed (of the oldest open one
    /// before that): their newest panes, the most views first.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub async fn latest(&self, flow: &str, limit: usize) -> Result<Vec<LatestRow>, WriterError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.latest(flow, limit).await,
            Backend::BigQuery(bigquery) => bigquery.latest(flow, limit).await,
        }
    }

    /// What stands in `dead_letters`, by partition, stage and reason.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub async fn refusals(&self) -> Result<Vec<Refusals>, WriterError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.refusals().await,
            Backend::BigQuery(bigquery) => bigquery.refusals().await,
        }
    }

    /// Lets go of the database. An SQLite file is complete in itself then; clones answer [`WriterError::Closed`].
    ///
    /// # Errors
    /// The file cannot be completed; all rows are safe beside it all the same.
    pub async fn close(self) -> Result<(), WriterError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.close().await,
            Backend::BigQuery(bigquery) => {
                bigquery.close().await;
                Ok(())
            }
        }
    }
}

/// Where to cut rows so that each part stays below [`BODY_BYTES`], or is a single row: exclusive ends.
pub(crate) fn cuts(sizes: &[usize]) -> Vec<usize> {
    let (mut cuts, mut bytes, mut end) = (Vec::new(), 0, 0);
    for (index, size) in sizes.iter().enumerate() {
        if bytes > 0 && bytes + size > BODY_BYTES {
            cuts.push(index);
            bytes = 0;
        }
        bytes += size;
        end = index + 1;
    }
    if end > 0 {
        cuts.push(end);
    }
    cuts
}

/// Rows of an append that bear witness to all of it: one that stands is enough, and there are several only because
/// somebody may have deleted rows since. Indexes, spread over all.
pub(crate) fn witnesses(rows: u32) -> impl Iterator<Item = usize> {
    const MOST: u32 = 8;
    let step = (rows / MOST).max(1);
    (0..rows).step_by(step as usize).take(MOST as usize).map(|index| index as usize)
}

/// About how many bytes each row takes in a request.
pub(crate) fn sizes(rows: Rows<'_>) -> Vec<usize> {
    const FIXED: usize = 160;
    match rows {
        Rows::Ctr(rows) => rows.iter().map(|row| FIXED + key_bytes(row)).collect(),
        Rows::Progress(rows) => rows.iter().map(|_| FIXED).collect(),
        Rows::DeadLetters(rows) => {
            let text = |row: &event::row::DeadLetterRow| {
                row.topic.len() + row.reason.len() + row.pointer.as_ref().map_or(0, String::len)
            };
            rows.iter().map(|row| FIXED + text(row)).collect()
        }
    }
}

fn key_bytes(row: &CtrRow) -> usize {
    row.key.iter().map(|value| 16 + value.map_or(0, str::len)).sum()
}

/// Whether rows are of the kind that a table holds.
pub(crate) fn belongs(table: &Table, rows: Rows<'_>) -> bool {
    matches!(
        (table, rows),
        (Table::Flow(_), Rows::Ctr(_))
            | (Table::Progress(_), Rows::Progress(_))
            | (Table::DeadLetters, Rows::DeadLetters(_))
    )
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
