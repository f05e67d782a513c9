//! `AppendRows`: one connection, on which requests are answered in order.
//!
//! As in the service, a request may omit the stream and the schema if they are those of the previous request.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use prost::Message as _;
use prost_types::DescriptorProto;
use rusqlite::types::Value;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Response, Status, Streaming};

use super::{
    batch::Batch,
    changes,
    faults::Fault,
    server::Shared,
    streams::{Verdict, default_of},
    wire::{
        self, AppendResult, AppendRowsRequest, AppendRowsResponse, FIELDS_ERROR, RowError, RpcStatus,
        StorageCode,
    },
};

/// Maximum size of a request, as in the service.
const MOST_BYTES: usize = 10_000_000;

type Answer = Result<AppendRowsResponse, Status>;

/// Resets a connection instead of closing it.
#[derive(Clone, Debug, Default)]
pub(super) struct Cut(Arc<AtomicBool>);

/// The result of one request.
enum Outcome {
    Answer(AppendRowsResponse),
    /// The connection ends with this status.
    End(Status),
    Cut,
    Hang,
}

/// The stream and the schema of the previous request.
#[derive(Default)]
struct Memory {
    stream: String,
    schema: Option<DescriptorProto>,
}

/// Opens a connection.
pub(super) async fn open(
    shared: Shared,
    mut requests: Streaming<AppendRowsRequest>,
    cut: Cut,
) -> Result<Response<ReceiverStream<Answer>>, Status> {
    let (outlet, answers) = mpsc::channel(1);
    let connections = shared.connections.clone();
    let serving = async move {
        let mut memory = Memory::default();
        loop {
            let request = tokio::select! {
                () = shared.stop.cancelled() => return,
                request = requests.message() => request,
            };
            let Ok(Some(request)) = request else { return };
            let answer = match serve(&shared, &mut memory, request) {
                Outcome::Answer(answer) => Ok(answer),
                Outcome::End(status) => Err(status),
                Outcome::Cut => return cut.0.store(true, Ordering::Release),
                Outcome::Hang => return hang(&shared, requests, outlet).await,
            };
            let code = match &answer {
                Ok(answer) => answer.error.as_ref().map_or(0, |error| error.code),
                Err(status) => status.code() as i32,
            };
            shared.faults.answered(code);
            let is_over = answer.is_err();
            if outlet.send(answer).await.is_err() || is_over {
                return;
            }
        }
    };
    connections.spawn(serving);
    Ok(Response::new(ReceiverStream::new(answers)))
}

/// Sends no response until the client has disconnected.
async fn hang(shared: &Shared, mut requests: Streaming<AppendRowsRequest>, outlet: mpsc::Sender<Answer>) {
    let gone = async { while let Ok(Some(_)) = requests.message().await {} };
    tokio::select! {
        () = shared.stop.cancelled() => {}
        () = outlet.closed() => {}
        () = gone => {}
    }
}

fn serve(shared: &Shared, memory: &mut Memory, request: AppendRowsRequest) -> Outcome {
    if request.encoded_len() > MOST_BYTES {
        return Outcome::End(Status::invalid_argument("the request is larger than 10 MB"));
    }
    let data = request.proto_rows.unwrap_or_default();
    if !request.write_stream.is_empty() {
        memory.stream = request.write_stream;
    }
    if let Some(schema) = data.writer_schema {
        memory.schema = schema.proto_descriptor;
    }
    let stream = &memory.stream;
    let Some(schema) = &memory.schema else {
        return Outcome::End(Status::invalid_argument("the first request of a connection has no schema"));
    };
    let rows = data.rows.unwrap_or_default().serialized_rows;
    if rows.is_empty() {
        return Outcome::End(Status::invalid_argument("the request has no rows"));
    }
    let offset = request.offset.map(i64::unsigned_abs);
    let table = shared.tables().streams.table(stream).map(str::to_owned);
    let fault = table.as_deref().and_then(|path| shared.faults.take(path.rsplit('/').next().unwrap_or(path)));
    let done = || match default_of(stream) {
        Some(table) => change(shared, (stream, table), offset, schema, &rows),
        None => append(shared, stream, offset, schema, &rows),
    };
    let lost = || Status::unavailable("response dropped by an injected fault");
    match fault {
        None => done(),
        Some(Fault::AnswerLost) => then(done(), Outcome::End(lost())),
        Some(Fault::CutBefore) => Outcome::Cut,
        Some(Fault::CutAfter) => then(done(), Outcome::Cut),
        Some(Fault::HangBefore) => Outcome::Hang,
        Some(Fault::HangAfter) => then(done(), Outcome::Hang),
        Some(Fault::Answer(code)) => Outcome::End(Status::new(code, "injected fault")),
        Some(Fault::Finalized) => {
            shared.tables().streams.finalize(stream);
            done()
        }
        Some(Fault::Forgotten) => {
            shared.tables().streams.forget(stream);
            done()
        }
        Some(Fault::LostAndFinalized) => {
            let outcome = then(done(), Outcome::End(lost()));
            shared.tables().streams.finalize(stream);
            outcome
        }
        Some(Fault::LostAndForgotten) => {
            let outcome = then(done(), Outcome::End(lost()));
            shared.tables().streams.forget(stream);
            outcome
        }
    }
}

/// Discards the result of an operation that took effect, and answers with another one.
fn then(_: Outcome, answer: Outcome) -> Outcome {
    answer
}

fn append(
    shared: &Shared,
    stream: &str,
    offset: Option<u64>,
    schema: &DescriptorProto,
    rows: &[Vec<u8>],
) -> Outcome {
    let mut tables = shared.tables();
    let refused = |code, own, message| error(wire::status(code, own, stream, message), Vec::new(), stream);
    match tables.streams.judge(stream, offset) {
        Verdict::Fits => {}
        // For an unknown stream, the call itself fails.
        Verdict::NotFound => return Outcome::End(Status::not_found(format!("not found: {stream}"))),
        Verdict::Finalized => {
            let message = "the stream is finalized";
            return refused(Code::InvalidArgument, StorageCode::StreamFinalized, message);
        }
        Verdict::AlreadyExists => {
            let message = "the offset is within the stream";
            return refused(Code::AlreadyExists, StorageCode::OffsetAlreadyExists, message);
        }
        Verdict::OutOfRange => {
            let message = "the offset is beyond the stream's end";
            return refused(Code::OutOfRange, StorageCode::OffsetOutOfRange, message);
        }
    }
    let table = tables.streams.table(stream).unwrap_or_default().to_owned();
    let batch = match tables.columns(&table).map(|columns| Batch::read(schema, rows, &columns)) {
        Ok(Ok(batch)) => batch,
        Ok(Err(refusal)) => return error(refusal.status(stream), Vec::new(), stream),
        Err(status) => return Outcome::End(status),
    };
    let row_errors = row_errors(shared, &batch);
    if !row_errors.is_empty() {
        return error(errors_in_rows(), row_errors, stream);
    }
    if let Err(status) = tables.add(&table, &batch) {
        return error(wire::plain_status(&status), Vec::new(), stream);
    }
    tables.streams.added(stream, batch.rows.len() as u64);
    Outcome::Answer(AppendRowsResponse {
        append_result: Some(AppendResult { offset: offset.map(|offset| offset as i64) }),
        write_stream: stream.to_owned(),
        ..AppendRowsResponse::default()
    })
}

/// Takes rows of a default stream: changes, which are applied later, at the next query, or plain rows, for a table without a
/// primary key.
fn change(
    shared: &Shared,
    (stream, table): (&str, &str),
    offset: Option<u64>,
    schema: &DescriptorProto,
    rows: &[Vec<u8>],
) -> Outcome {
    if offset.is_some() {
        return Outcome::End(Status::invalid_argument("a default stream has no offsets"));
    }
    let mut tables = shared.tables();
    let mut columns = match tables.columns(table) {
        Ok(columns) => columns,
        Err(status) => return Outcome::End(status),
    };
    columns.extend(changes::pseudocolumns());
    let batch = match Batch::read(schema, rows, &columns) {
        Ok(batch) => batch,
        Err(refusal) => return error(refusal.status(stream), Vec::new(), stream),
    };
    if !changes::are_changes(&batch) && !tables.has_primary_key(table) {
        return match tables.add(table, &batch) {
            Ok(()) => taken(stream),
            Err(status) => error(wire::plain_status(&status), Vec::new(), stream),
        };
    }
    let list = match tables.changes(table, &batch) {
        Ok(list) => list,
        Err(status) => return error(wire::plain_status(&status), Vec::new(), stream),
    };
    let mut row_errors = row_errors(shared, &batch);
    for index in list.without_key() {
        let message = "a column of the primary key is NULL".to_owned();
        row_errors.push(RowError { index, code: FIELDS_ERROR, message });
    }
    row_errors.sort_by_key(|row| row.index);
    row_errors.dedup_by_key(|row| row.index);
    if !row_errors.is_empty() {
        return error(errors_in_rows(), row_errors, stream);
    }
    tables.take_changes(table, list);
    taken(stream)
}

/// The answer of a default stream.
fn taken(stream: &str) -> Outcome {
    Outcome::Answer(AppendRowsResponse {
        append_result: Some(AppendResult { offset: None }),
        write_stream: stream.to_owned(),
        ..AppendRowsResponse::default()
    })
}

fn errors_in_rows() -> RpcStatus {
    RpcStatus {
        code: Code::InvalidArgument as i32,
        message: "errors in rows".to_owned(),
        ..RpcStatus::default()
    }
}

fn row_errors(shared: &Shared, batch: &Batch) -> Vec<RowError> {
    let is_planned = |value: &Value| matches!(value, Value::Text(text) if shared.faults.is_refused(text));
    let row_error =
        |index, message: &str| RowError { index, code: FIELDS_ERROR, message: message.to_owned() };
    let planned = (0..).zip(&batch.rows).filter(|(_, row)| row.iter().any(is_planned));
    let planned = planned.map(|(index, _)| row_error(index, "injected fault"));
    let bad = batch.bad_rows.iter().map(|&index| row_error(index, "a value is out of range"));
    let mut all: Vec<_> = planned.chain(bad).collect();
    all.sort_by_key(|row| row.index);
    all.dedup_by_key(|row| row.index);
    all
}

fn error(status: RpcStatus, row_errors: Vec<RowError>, stream: &str) -> Outcome {
    Outcome::Answer(AppendRowsResponse {
        error: Some(status),
        row_errors,
        write_stream: stream.to_owned(),
        ..AppendRowsResponse::default()
    })
}

impl Cut {
    /// Wraps a response body, which fails once the connection is to be reset.
    pub(super) fn over(self, body: tonic::body::Body) -> Body {
        Body::new(Severable { body, cut: self })
    }
}

struct Severable {
    body: tonic::body::Body,
    cut: Cut,
}

impl HttpBody for Severable {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if frame.is_ready() && self.cut.0.load(Ordering::Acquire) {
            return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::ConnectionReset).into())));
        }
        frame.map_err(Into::into)
    }
}
