//! The writer as the processor's `Sink`; the two crates do not depend on each other.

use std::sync::{Arc, Mutex, PoisonError};

use flow::{
    append::{Append, Appended, Body, Rows, Table},
    row::FlowTable,
};
use processor::sink::{Sink, SinkError};
use tokio::sync::OnceCell;
use writer::{Claim, Writer, WriterConfig, WriterError};

use crate::errors::one_line;

/// A writer as the processor sees it.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    writer: Writer,
    place: String,
    trouble: Trouble,
    unseen: Option<Arc<Unseen>>,
}

/// Tables that were not available when the processor started, beside others that were. They are checked before they are first
/// used.
#[derive(Debug)]
pub(crate) struct Unseen {
    pub(crate) config: WriterConfig,
    pub(crate) tables: Vec<FlowTable>,
    pub(crate) pipeline: String,
    pub(crate) checked: OnceCell<()>,
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
    /// `place` is its name in messages. Tables that were not checked yet are `unseen`.
    pub(crate) fn new(writer: Writer, place: String, trouble: Trouble, unseen: Option<Unseen>) -> Self {
        Self { writer, place, trouble, unseen: unseen.map(Arc::new) }
    }

    /// Checks and claims tables that were not available before.
    async fn ready(&self) -> Result<(), SinkError> {
        let Some(unseen) = &self.unseen else { return Ok(()) };
        let check = async || {
            Writer::check(&unseen.config, &unseen.tables).await?;
            self.writer.claim(&unseen.pipeline, Claim::Take).await
        };
        match unseen.checked.get_or_try_init(check).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.error(error)),
        }
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
        let opened = async {
            self.ready().await?;
            self.writer.open_stream(table).await.map_err(|e| self.error(e))
        };
        let opened = opened.await;
        self.trouble.note(&opened);
        opened
    }

    async fn append(&self, append: &Append) -> Result<Appended, SinkError> {
        let appended = async {
            self.ready().await?;
            self.writer.append(append).await.map_err(|e| self.error(e))
        };
        let appended = appended.await;
        self.trouble.note(&appended);
        appended
    }

    async fn contains(&self, append: &Append) -> Result<bool, SinkError> {
        self.ready().await?;
        self.writer.contains(append).await.map_err(|e| self.error(e))
    }
}
