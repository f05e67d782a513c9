//! Streams of committed type, and appends by offset; and the default stream, which has no offsets.
//!
//! One connection (a call of `AppendRows`) per table stays open. The service closes connections that are idle for ten
//! minutes, and the access token of an old one may have expired. So if a connection that was used before ends instead of
//! answering, or answers that the stream is gone or with an error that no retry helps against, the append is sent once
//! more on a new connection, whose answer counts.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use flow::append::{Append, Appended, Table};
use google::{CallError, Caller};
use http::uri::PathAndQuery;
use tokio::{sync::Mutex, sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming, client::Grpc};
use tonic_prost::ProstCodec;

use super::{
    fault,
    rows::Parts,
    verdict,
    wire::{
        self, AppendRowsRequest, AppendRowsResponse, COMMITTED, CreateWriteStreamRequest,
        FinalizeWriteStreamResponse, NamedRequest, WriteStream,
    },
};
use crate::WriterError;

/// The end of the name of a table's default stream. It always exists, and stores what it is sent at least once.
pub(super) const DEFAULT: &str = "/streams/_default";
/// An append that takes longer is abandoned and sent again. Without a limit it could wait forever.
const APPEND_DEADLINE: Duration = Duration::from_secs(30);
/// How long creating, finding or finalizing a stream may take.
const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// Maximum size of an answer. One that refuses many rows has a few bytes and a text for each.
const MAX_ANSWER: usize = 16 << 20;

/// The open connections, one for each table.
#[derive(Debug)]
pub(super) struct Streams {
    caller: Caller,
    open: Mutex<HashMap<Table, Connection>>,
}

/// A call of `AppendRows`, on which requests are answered in order.
#[derive(Debug)]
struct Connection {
    stream: String,
    requests: mpsc::Sender<AppendRowsRequest>,
    answers: Streaming<AppendRowsResponse>,
    /// The schema of the last request. The service applies it to requests without a schema.
    schema: Vec<u8>,
}

/// What happened to a request.
enum Sent {
    /// There was an answer, and the connection remains open.
    Answered(Result<Appended, WriterError>),
    /// The connection ended, or could not be opened.
    Ended(Result<Appended, WriterError>),
    /// There was no answer in time.
    Late(WriterError),
}

impl Streams {
    pub(super) fn new(caller: Caller) -> Self {
        Self { caller, open: Mutex::default() }
    }

    /// Creates a stream for the table at `path` and returns its name.
    pub(super) async fn open(&self, path: &str, table: &Table) -> Result<String, WriterError> {
        let write_stream = Some(WriteStream { name: String::new(), kind: COMMITTED });
        let request = CreateWriteStreamRequest { parent: path.to_owned(), write_stream };
        let created = self.call::<_, WriteStream>(wire::CREATE, ("parent", path), request).await;
        match created {
            Ok(stream) => Ok(stream.name),
            Err(CallError::Status(status)) if status.code() == Code::NotFound => {
                Err(WriterError::Absent { what: format!("table {}", table.name()) })
            }
            Err(error) => Err(fault::call(format!("open a stream of {}", table.name()), error)),
        }
    }

    /// Sends an append with this body and returns the outcome of its rows.
    pub(super) async fn append(&self, append: &Append, body: Bytes) -> Result<Appended, WriterError> {
        // Taken out: a connection that fails, or whose caller goes away while it waits, is not used again.
        let kept = self.open.lock().await.remove(&append.table);
        if let Some(connection) = kept.filter(|connection| connection.stream == append.stream) {
            match self.send(Some(connection), append, &body).await? {
                Sent::Answered(Ok(Appended::StreamGone)) | Sent::Ended(Ok(Appended::StreamGone) | Err(_)) => {
                }
                Sent::Answered(Err(error)) if !error.is_retryable() => {}
                Sent::Answered(answer) | Sent::Ended(answer) => return answer,
                Sent::Late(error) => return Err(error),
            }
        }
        if !self.exists(append).await? {
            return Ok(Appended::StreamGone);
        }
        match self.send(None, append, &body).await? {
            Sent::Answered(answer) | Sent::Ended(answer) => answer,
            Sent::Late(error) => Err(error),
        }
    }

    /// Finalizes the stream of an append, and returns how many rows it has received; `None` if the stream does not
    /// exist, or does not report it.
    pub(super) async fn finish(&self, append: &Append) -> Result<Option<u64>, WriterError> {
        self.open.lock().await.remove(&append.table);
        let request = NamedRequest { name: append.stream.clone() };
        let routing = ("name", append.stream.as_str());
        let ended = self.call::<_, FinalizeWriteStreamResponse>(wire::FINALIZE, routing, request).await;
        match ended {
            Ok(ended) => Ok(u64::try_from(ended.row_count).ok()),
            Err(error) => match fault::call(format!("end a stream of {}", append.table.name()), error) {
                error if error.is_retryable() => Err(error),
                // Its table is queried instead.
                _ => Ok(None),
            },
        }
    }

    /// Closes all connections.
    pub(super) async fn close(&self) {
        self.open.lock().await.clear();
    }

    async fn exists(&self, append: &Append) -> Result<bool, WriterError> {
        let request = NamedRequest { name: append.stream.clone() };
        let routing = ("name", append.stream.as_str());
        match self.call::<_, WriteStream>(wire::GET, routing, request).await {
            Ok(_) => Ok(true),
            Err(CallError::Status(status)) if status.code() == Code::NotFound => Ok(false),
            Err(error) => Err(fault::call(format!("find a stream of {}", append.table.name()), error)),
        }
    }

    /// Sends an append on a connection, or on a new one, and keeps the connection if it can be used again.
    async fn send(
        &self,
        connection: Option<Connection>,
        append: &Append,
        body: &Bytes,
    ) -> Result<Sent, WriterError> {
        let doing = || format!("append to {}", append.table.name());
        let offset = i64::try_from(append.offset).map_err(|_| WriterError::Append {
            table: append.table.name(),
            offset: append.offset,
            problem: "the offset is beyond the end of any stream",
        })?;
        let schema = Parts::read(append, body)?.schema;
        let request = |proto_rows| AppendRowsRequest {
            write_stream: append.stream.clone(),
            offset: (!append.stream.ends_with(DEFAULT)).then_some(offset),
            proto_rows,
        };
        let exchange = async {
            let mut connection = match connection {
                Some(mut connection) => {
                    let rows =
                        if connection.schema == schema { body.slice(schema.len()..) } else { body.clone() };
                    schema.clone_into(&mut connection.schema);
                    // Fails if the connection has ended; its answers then say why.
                    let _ = connection.requests.send(request(rows)).await;
                    connection
                }
                None => self.connect(&append.stream, request(body.clone()), schema).await?,
            };
            let answer = connection.answers.message().await?;
            answer.map(|answer| (connection, answer)).ok_or_else(|| {
                CallError::from(Status::unavailable("the connection was closed without a response"))
            })
        };
        Ok(match timeout(APPEND_DEADLINE, exchange).await {
            Ok(Ok((connection, answer))) => {
                let appended = verdict::of_answer(answer, doing);
                if matches!(appended, Ok(Appended::Done)) {
                    self.open.lock().await.insert(append.table.clone(), connection);
                }
                Sent::Answered(appended)
            }
            Ok(Err(CallError::Status(status))) => Sent::Ended(verdict::of_end(status, doing)),
            Ok(Err(error)) => Sent::Ended(Err(fault::call(doing(), error))),
            Err(elapsed) => {
                Sent::Late(WriterError::Unavailable { doing: doing(), source: Some(elapsed.into()) })
            }
        })
    }

    /// Opens a connection with its first request. The service may send nothing, not even headers, before it has
    /// received one.
    async fn connect(
        &self,
        stream: &str,
        first: AppendRowsRequest,
        schema: &[u8],
    ) -> Result<Connection, CallError> {
        let (requests, outlet) = mpsc::channel(1);
        requests.try_send(first).expect("a new channel has capacity");
        let mut request = Request::new(ReceiverStream::new(outlet));
        *request.metadata_mut() = self.caller.credentials.metadata("write_stream", stream).await?;
        let mut grpc = Grpc::new(self.caller.channel.clone()).max_decoding_message_size(MAX_ANSWER);
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let codec = ProstCodec::<AppendRowsRequest, AppendRowsResponse>::default();
        let answers =
            grpc.streaming(request, PathAndQuery::from_static(wire::APPEND), codec).await?.into_inner();
        Ok(Connection { stream: stream.to_owned(), requests, answers, schema: schema.to_owned() })
    }

    async fn call<Q, A>(
        &self,
        method: &'static str,
        routing: (&str, &str),
        request: Q,
    ) -> Result<A, CallError>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let call = self.caller.unary(method, routing, request);
        let late = |_| CallError::Status(Status::deadline_exceeded("timed out"));
        timeout(CALL_DEADLINE, call).await.map_err(late)?
    }
}
