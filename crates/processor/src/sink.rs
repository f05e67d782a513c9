//! The port to the tables. The writer stands behind it; the binary joins the two.

use std::{error::Error, future::Future};

use flow::append::{Append, Appended, Body, Rows, Table};

/// Why an append could not be made.
#[derive(Debug, thiserror::Error)]
#[error("rows cannot be written to {place}")]
pub struct SinkError {
    /// Which table or database.
    pub place: String,
    /// Whether waiting helps.
    pub retryable: bool,
    /// What it says.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Tables that rows are appended to, each request exactly once by its stream and offset.
pub trait Sink: Send + Sync + 'static {
    /// The rows (indexes) that no request can carry.
    fn too_large(&self, rows: Rows<'_>) -> Vec<usize>;

    /// Whether the tables are still where they were opened. Called about once a second; an append looks for itself. Must not
    /// block.
    ///
    /// # Errors
    /// When they were deleted or replaced: what is written from here on would be lost.
    fn check_place(&self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Encodes rows into requests, the same bytes for the same rows.
    ///
    /// # Errors
    /// When the rows do not fit the table, or one of them is too large.
    fn encode(&self, table: &Table, rows: Rows<'_>) -> Result<Vec<Body>, SinkError>;

    /// The request without these rows (indexes in it).
    ///
    /// # Errors
    /// When the bytes are none of this writer's.
    fn without(&self, append: &Append, rows: &[u32]) -> Result<Body, SinkError>;

    /// Opens a stream of a table and returns its name.
    fn open(&self, table: &Table) -> impl Future<Output = Result<String, SinkError>> + Send;

    /// Appends; repeated with the same request it changes nothing.
    fn append(&self, append: &Append) -> impl Future<Output = Result<Appended, SinkError>> + Send;

    /// Whether the rows of a request, whose stream is gone, stand in their table: all do or none. Nothing can add them
    /// any more when this is asked.
    fn stands(&self, append: &Append) -> impl Future<Output = Result<bool, SinkError>> + Send;
}
