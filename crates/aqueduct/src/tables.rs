//! The writer as the processor's `Sink`; the two crates do not depend on each other.

use std::sync::{Arc, Mutex, PoisonError};

use flow::append::{Append, Appended, Body, Rows, Table};
use processor::sink::{Sink, SinkError};
use writer::{Writer, WriterError};

use crate::errors::one_line;

/// A writer as the processor sees it.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    writer: Writer,
    place: String,
    trouble: Trouble,
}

/// Why rows wait for their table: the error of the last append, until one succeeds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    /// The reason as text; `None` while rows are accepted.
    pub(crate) fn reason(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note<T>(&self, result: &Result<T, SinkError>) {
        let reason = result.as_ref().err().map(|error| one_line(error));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

impl Tables {
    /// `place` is its name in messages.
    pub(crate) fn new(writer: Writer, place: String, trouble: Trouble) -> Self {
        Self { writer, place, trouble }
    }

    fn error(&self, source: WriterError) -> SinkError {
        SinkError { place: self.place.clone(), retryable: source.is_retryable(), source: Box::new(source) }
    }
}

impl Sink for Tables {
    fn too_large(&self, rows: Rows<'_>) -> Vec<usize> {
        self.writer.too_large(rows)
    }

    fn check_place(&self) -> Result<(), SinkError> {
        self.writer.check_place().map_err(|e| self.error(e))
    }

    fn encode(&self, table: &Table, rows: Rows<'_>) -> Result<Vec<Body>, SinkError> {
        self.writer.encode(table, rows).map_err(|e| self.error(e))
    }

    fn without(&self, append: &Append, rows: &[u32]) -> Result<Body, SinkError> {
        self.writer.without(append, rows).map_err(|e| self.error(e))
    }

    async fn open(&self, table: &Table) -> Result<String, SinkError> {
        let opened = self.writer.open_stream(table).await.map_err(|e| self.error(e));
        self.trouble.note(&opened);
        opened
    }

    async fn append(&self, append: &Append) -> Result<Appended, SinkError> {
        let appended = self.writer.append(append).await.map_err(|e| self.error(e));
        self.trouble.note(&appended);
        appended
    }

    async fn contains(&self, append: &Append) -> Result<bool, SinkError> {
        self.writer.contains(append).await.map_err(|e| self.error(e))
    }
}
