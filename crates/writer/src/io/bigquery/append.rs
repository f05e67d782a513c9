//! Streams of committed type, and appends by offset.
//!
//! On Google Cloud one connection a table stays open. The emulator answers NOT_FOUND to every
//! append but the first on a connection, because the client leaves the stream's name out then, as
//! the service allows; there each append attaches anew.

use std::{collections::HashMap, sync::Arc, time::Duration};

use event::append::{Append, Appended, Table};
use google_cloud_bigquery::{
    client::Write,
    error::WriterBuilderError,
    model::{ArrowRecordBatch, ArrowSchema},
    write::{CommittedWriter, format::Arrow, stream_type::CommittedStream},
};
use tokio::{
    sync::Mutex,
    time::{error::Elapsed, timeout},
};

use super::{fault, rows, verdict};
use crate::{WriterError, schema::Column};

/// An append that takes longer is given up and sent again: without a limit one could wait for ever.
const PATIENCE: Duration = Duration::from_secs(30);
/// So long a stream may take to be made or found.
const OPENING: Duration = Duration::from_secs(10);

/// The open streams, one a table.
#[derive(Debug)]
pub(crate) struct Streams {
    client: Write,
    /// Whether a connection serves many appends.
    keep: bool,
    open: Mutex<HashMap<Table, Arc<CommittedWriter<Arrow>>>>,
}

impl Streams {
    pub(crate) fn new(client: Write, keep: bool) -> Self {
        Self { client, keep, open: Mutex::default() }
    }

    /// Makes a stream and gives its name.
    pub(crate) async fn open(
        &self,
        path: &str,
        table: &Table,
        columns: &[Column],
    ) -> Result<String, WriterError> {
        let building = self.client.create_stream::<CommittedStream>(path).build_arrow(schema(columns));
        let writer: CommittedWriter<Arrow> = match timeout(OPENING, building).await {
            Ok(Ok(writer)) => writer,
            Ok(Err(WriterBuilderError::Rpc { source, .. })) if fault::is_absent(&source) => {
                return Err(WriterError::Absent { what: format!("table {}", table.name()) });
            }
            Ok(Err(error)) => {
                return Err(builder_error(&format!("open a stream of {}", table.name()), error));
            }
            Err(elapsed) => return Err(late(format!("open a stream of {}", table.name()), elapsed)),
        };
        let name = writer.write_stream().to_owned();
        self.remember(table, Arc::new(writer)).await;
        Ok(name)
    }

    /// Sends an append and says what became of it.
    pub(crate) async fn append(&self, append: &Append, columns: &[Column]) -> Result<Appended, WriterError> {
        let doing = || format!("append to {}", append.table.name());
        let Some(writer) = self.writer(append, columns).await? else { return Ok(Appended::StreamGone) };
        let offset = i64::try_from(append.offset).map_err(|_| WriterError::Append {
            table: append.table.name(),
            offset: append.offset,
            problem: "is beyond the end of any stream",
        })?;
        let batch = ArrowRecordBatch::new().set_serialized_record_batch(append.body.to_vec());
        let sent = timeout(PATIENCE, writer.append(batch).set_offset(offset).send()).await;
        let answer = match sent {
            Ok(Ok(_)) => return Ok(Appended::Done),
            Ok(Err(error)) => verdict::of(error, doing),
            Err(elapsed) => Err(late(doing(), elapsed)),
        };
        // After any error the connection may be half closed; the next append attaches anew.
        self.open.lock().await.remove(&append.table);
        answer
    }

    /// Closes all connections.
    pub(crate) async fn close(&self) {
        self.open.lock().await.clear();
    }

    /// The connection of an append's stream, nothing when the stream is no more.
    async fn writer(
        &self,
        append: &Append,
        columns: &[Column],
    ) -> Result<Option<Arc<CommittedWriter<Arrow>>>, WriterError> {
        if let Some(writer) = self.open.lock().await.get(&append.table)
            && writer.write_stream() == append.stream
        {
            return Ok(Some(writer.clone()));
        }
        let attaching = self
            .client
            .attach_to_stream::<CommittedStream>(append.stream.as_str())
            .build_arrow(schema(columns));
        let doing = format!("attach to a stream of {}", append.table.name());
        let writer: CommittedWriter<Arrow> = match timeout(OPENING, attaching).await {
            Ok(Ok(writer)) => writer,
            Ok(Err(WriterBuilderError::Rpc { source, .. })) if fault::is_absent(&source) => return Ok(None),
            Ok(Err(error)) => return Err(builder_error(&doing, error)),
            Err(elapsed) => return Err(late(doing, elapsed)),
        };
        let writer = Arc::new(writer);
        self.remember(&append.table, writer.clone()).await;
        Ok(Some(writer))
    }

    async fn remember(&self, table: &Table, writer: Arc<CommittedWriter<Arrow>>) {
        if self.keep {
            self.open.lock().await.insert(table.clone(), writer);
        }
    }
}

fn schema(columns: &[Column]) -> ArrowSchema {
    ArrowSchema::new().set_serialized_schema(rows::schema_message(columns))
}

fn builder_error(doing: &str, error: WriterBuilderError) -> WriterError {
    match error {
        WriterBuilderError::Rpc { source, .. } => fault::error(doing, source),
        other => WriterError::BigQuery { doing: doing.to_owned(), source: other.into() },
    }
}

fn late(doing: String, elapsed: Elapsed) -> WriterError {
    WriterError::Unavailable { doing, source: Some(elapsed.into()) }
}
