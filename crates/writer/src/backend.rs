//! The interface of a database, and of the place where it is.
//!
//! A new backend is one file (or folder) in `io` with both traits, and one line in each of `settings`'s enums and in
//! [`WriterConfig::place`](crate::WriterConfig). Everything else works with `dyn Backend`.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use event::EventTime;
use flow::{
    append::{Append, Appended, Body, Rows, Table},
    row::{DeadLetterRow, ProgressRow},
};

use crate::{
    LatestRow, Letters, Refusals, WriterError,
    schema::Tables,
    writer::{Claim, Step},
};

/// How far [`Place::prepare`] goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Creates missing tables and views.
    Apply,
    /// Reports what would be created.
    DryRun,
    /// Fails if something is missing.
    Check,
}

/// Where a database is, before it is opened: what `[writer]` names.
#[async_trait]
pub(crate) trait Place: Send + Sync {
    /// Opens the database for writing. May create it.
    async fn connect(&self, tables: Tables) -> Result<Arc<dyn Backend>, WriterError>;

    /// Opens the database for reading; creates nothing.
    async fn open(&self, tables: Tables) -> Result<Arc<dyn Backend>, WriterError> {
        self.connect(tables).await
    }

    /// Creates, compares or looks for what the flows need.
    async fn prepare(&self, tables: Tables, mode: Mode) -> Result<Vec<Step>, WriterError>;

    /// Fails if another pipeline writes one of the tables; changes nothing.
    async fn check_owner(&self, tables: Tables, pipeline: &str) -> Result<(), WriterError>;
}

/// An open database.
///
/// A row reaches its table once because an [`Append`] has a place: a stream and an offset, which are fixed before the
/// first attempt. A backend whose rows replace each other by key could ignore the place, because repeating such an
/// append is harmless.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync {
    /// The rows (indexes) that are larger than a request to the database may be.
    fn too_large(&self, _rows: Rows<'_>) -> Vec<usize> {
        Vec::new()
    }

    /// Whether the database is still where it was when it was opened. Looks at the file system only.
    ///
    /// # Errors
    /// [`WriterError::Gone`] if an SQLite file was deleted or replaced.
    fn check_place(&self) -> Result<(), WriterError> {
        Ok(())
    }

    /// Encodes rows as the bodies of requests. The same rows give the same bytes; nothing is sent.
    ///
    /// # Errors
    /// A table of no flow; a row that is [too large](Self::too_large).
    fn encode(&self, table: &Table, rows: Rows<'_>) -> Result<Vec<Body>, WriterError>;

    /// The body of an append without these rows (indexes in it), after the table has refused them.
    ///
    /// # Errors
    /// The body was not encoded by this backend.
    fn without(&self, append: &Append, refused: &[u32]) -> Result<Body, WriterError>;

    /// Records that `pipeline` writes the tables of the flows. Two pipelines that write the same tables would each add
    /// their own rows; a pipeline and its standby share the state, and with it the name. Tables without a record, as
    /// earlier versions created them, are taken.
    ///
    /// # Errors
    /// [`WriterError::Owned`] if another pipeline writes one of them; or as [`count`](Self::count).
    async fn claim(&self, pipeline: &str, claim: Claim) -> Result<(), WriterError>;

    /// Creates an empty stream of a table and returns its name.
    ///
    /// # Errors
    /// The table is missing, or the database does not answer or refuses.
    async fn open_stream(&self, table: &Table) -> Result<String, WriterError>;

    /// Adds rows at their place, once, however often it is called with the same append. Appends to one stream are sent
    /// one after another.
    ///
    /// # Errors
    /// If the error [is retryable](WriterError::is_retryable), the rows may or may not be in the table, and the same
    /// append has to be sent again. Any other error needs an operator.
    async fn append(&self, append: &Append) -> Result<Appended, WriterError>;

    /// Whether the rows of an append to a stream that is gone are in their table. Either all or none are, because an
    /// append is atomic. To be called only after [`Appended::StreamGone`], when nothing can add them any more.
    ///
    /// # Errors
    /// As [`count`](Self::count); the body was not encoded by this backend.
    async fn contains(&self, append: &Append) -> Result<bool, WriterError>;

    /// The number of rows in a table. Where rows replace each other, the number of rows that the table has received.
    ///
    /// # Errors
    /// The table is missing, or the database does not answer or refuses.
    async fn count(&self, table: &Table) -> Result<u64, WriterError>;

    /// The newest row of `<flow>_progress`.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    async fn progress(&self, flow: &str) -> Result<Option<ProgressRow>, WriterError>;

    /// What `engines/beam` adds to a row of `<flow>_progress` in its column `detail`; `None` if another program wrote the row.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    async fn progress_detail(&self, _flow: &str, _at: EventTime) -> Result<Option<String>, WriterError> {
        Ok(None)
    }

    /// The busiest keys of the newest window that the watermark has passed (before that, of the oldest open one): their
    /// newest panes, by the flow's counts in their order, the largest first. Of a flow with sessions: those that ended last
    /// before the watermark (before that, those that end first). Sketches are not read back.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    async fn latest(&self, flow: &str, limit: usize) -> Result<Vec<LatestRow>, WriterError>;

    /// The contents of `dead_letters`, by partition, stage and reason. A record that was rejected again counts
    /// once, by its newest line.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    async fn refusals(&self) -> Result<Vec<Refusals>, WriterError>;

    /// Lines of `dead_letters`, in the order of topic, partition and offset.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    async fn dead_letters(&self, letters: &Letters) -> Result<Vec<DeadLetterRow>, WriterError>;

    /// Closes the database. An SQLite file is complete in itself afterwards. Other clones of the writer return
    /// [`WriterError::Closed`].
    ///
    /// # Errors
    /// The file cannot be completed. All rows are safe in the log beside it.
    async fn close(&self) -> Result<(), WriterError>;
}
