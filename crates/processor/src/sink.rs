//! The interface to the tables. The `writer` crate provides the implementation, and the binary connects the two.

use std::{error::Error, future::Future};

use flow::append::{Append, Appended, Body, Rows, Table};

/// Why an append failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot write rows to {place}")]
pub struct SinkError {
    /// The table or database.
    pub place: String,
    /// Whether waiting can help.
    pub retryable: bool,
    /// The cause.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Tables to which rows are appended, each request exactly once by its stream and offset.
pub trait Sink: Send + Sync + 'static {
    /// The indexes of rows that are too large for a request.
    fn too_large(&self, rows: Rows<'_>) -> Vec<usize>;

    /// Checks that the tables still exist where they were opened. Called about once a second; an append checks for
    /// itself. Must not block.
    ///
    /// # Errors
    /// Returns an error if the tables were deleted or replaced, because later writes would be lost.
    fn check_place(&self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Encodes rows as requests. The same rows always give the same bytes.
    ///
    /// # Errors
    /// Returns an error if the rows do not fit the table, or one of them is too large.
    fn encode(&self, table: &Table, rows: Rows<'_>) -> Result<Vec<Body>, SinkError>;

    /// The request without the rows at these indexes.
    ///
    /// # Errors
    /// Returns an error if this writer did not encode the bytes.
    fn without(&self, append: &Append, rows: &[u32]) -> Result<Body, SinkError>;

    /// Opens a stream of a table and returns its name.
    fn open(&self, table: &Table) -> impl Future<Output = Result<String, SinkError>> + Send;

    /// Appends a request. Repeating the same request changes nothing.
    fn append(&self, append: &Append) -> impl Future<Output = Result<Appended, SinkError>> + Send;

    /// Whether the rows of a request whose stream is gone are in their table: either all are or none. By the time of
    /// this call nothing can add them any more.
    fn contains(&self, append: &Append) -> impl Future<Output = Result<bool, SinkError>> + Send;
}
