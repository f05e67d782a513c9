//! Streams of committed type, and appends by offset.
//!
//! One connection a table stays open. One that was used before is not believed that its stream is gone, or that no
//! waiting helps; what a new one says holds. (An emulator says so of every append but the first on a connection, as the
//! client leaves the stream's name out then, which the service allows.)

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
    open: Mutex<HashMap<Table, Arc<CommittedWriter<Arrow>>>>,
}

impl Streams {
    pub(crate) fn new(client: Write) -> Self {
        Self { client, open: Mutex::default() }
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
        self.open.lock().await.insert(table.clone(), Arc::new(writer));
        Ok(name)
    }

    /// Sends an append and says what became of it.
    pub(crate) async fn append(&self, append: &Append, columns: &[Column]) -> Result<Appended, WriterError> {
        if let Some(writer) = self.kept(append).await {
            match self.send(&writer, append).await {
                Ok(Appended::StreamGone) => {}
                Err(error) if !error.is_retryable() => {}
                answer => return answer,
            }
        }
        match self.attach(append, columns).await? {
            Some(writer) => self.send(&writer, append).await,
            None => Ok(Appended::StreamGone),
        }
    }

    /// Ends the stream of an append, and tells how many rows it has had; nothing where the stream is no more, or does
    /// not tell.
    pub(crate) async fn finish(
        &self,
        append: &Append,
        columns: &[Column],
    ) -> Result<Option<u64>, WriterError> {
        let Some(writer) = self.attach(append, columns).await? else { return Ok(None) };
        self.open.lock().await.remove(&append.table);
        let doing = format!("end a stream of {}", append.table.name());
        match timeout(OPENING, writer.finalize()).await {
            Ok(Ok(ended)) => Ok(u64::try_from(ended.row_count).ok()),
            Ok(Err(error)) => match fault::error(doing, error) {
                error if error.is_retryable() => Err(error),
                // A stream that has ended before: its table is asked.
                _ => Ok(None),
            },
            Err(elapsed) => Err(late(doing, elapsed)),
        }
    }

    async fn send(
        &self,
        writer: &Arc<CommittedWriter<Arrow>>,
        append: &Append,
    ) -> Result<Appended, WriterError> {
        let doing = || format!("append to {}", append.table.name());
        let offset = i64::try_from(append.offset).map_err(|_| WriterError::Append {
            table: append.table.name(),
            offset: append.offset,
            problem: "is beyond the end of any stream",
        })?;
        let batch = ArrowRecordBatch::new().set_serialized_record_batch(append.body.to_vec());
        let sent = timeout(PATIENCE, writer.append(batch).set_offset(offset).send()).await;
        let answer = match sent {
            Ok(Ok(_)) => {
                self.open.lock().await.insert(append.table.clone(), writer.clone());
                return Ok(Appended::Done);
            }
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

    /// The open connection of an append's stream.
    async fn kept(&self, append: &Append) -> Option<Arc<CommittedWriter<Arrow>>> {
        let open = self.open.lock().await;
        open.get(&append.table).filter(|writer| writer.write_stream() == append.stream).cloned()
    }

    /// A new connection of an append's stream, nothing when the stream is no more.
    async fn attach(
        &self,
        append: &Append,
        columns: &[Column],
    ) -> Result<Option<Arc<CommittedWriter<Arrow>>>, WriterError> {
        let attaching = self
            .client
            .attach_to_stream::<CommittedStream>(append.stream.as_str())
            .build_arrow(schema(columns));
        let doing = format!("attach to a stream of {}", append.table.name());
        match timeout(OPENING, attaching).await {
            Ok(Ok(writer)) => Ok(Some(Arc::new(writer))),
            Ok(Err(WriterBuilderError::Rpc { source, .. })) if fault::is_absent(&source) => Ok(None),
            Ok(Err(error)) => Err(builder_error(&doing, error)),
            Err(elapsed) => Err(late(doing, elapsed)),
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
