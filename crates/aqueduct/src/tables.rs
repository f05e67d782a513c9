//! The writer behind the processor's port: the two crates do not know each other.

use event::append::{Append, Appended, Body, Rows, Table};
use processor::sink::{Sink, SinkError};
use writer::{Writer, WriterError};

/// A writer as the processor sees it.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    writer: Writer,
    place: String,
}

impl Tables {
    /// `place` is how messages name it.
    pub(crate) fn new(writer: Writer, place: String) -> Self {
        Self { writer, place }
    }

    fn error(&self, source: WriterError) -> SinkError {
        SinkError { place: self.place.clone(), retryable: source.is_retryable(), source: Box::new(source) }
    }
}

impl Sink for Tables {
    fn too_large(&self, rows: Rows<'_>) -> Vec<usize> {
        self.writer.too_large(rows)
    }

    fn encode(&self, table: &Table, rows: Rows<'_>) -> Result<Vec<Body>, SinkError> {
        self.writer.encode(table, rows).map_err(|e| self.error(e))
    }

    fn without(&self, append: &Append, rows: &[u32]) -> Result<Body, SinkError> {
        self.writer.without(append, rows).map_err(|e| self.error(e))
    }

    async fn open(&self, table: &Table) -> Result<String, SinkError> {
        self.writer.open_stream(table).await.map_err(|e| self.error(e))
    }

    async fn append(&self, append: &Append) -> Result<Appended, SinkError> {
        self.writer.append(append).await.map_err(|e| self.error(e))
    }

    async fn stands(&self, append: &Append) -> Result<bool, SinkError> {
        self.writer.stands(append).await.map_err(|e| self.error(e))
    }
}
