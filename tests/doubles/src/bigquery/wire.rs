//! The messages of `google.cloud.bigquery.storage.v1` that appending needs, written by hand, without the fields that
//! are not used here.

use prost::Message;
use prost_types::{Any, DescriptorProto};
use tonic::{Code, Status};

/// `CreateWriteStreamRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CreateWriteStreamRequest {
    #[prost(string, tag = "1")]
    pub(super) parent: String,
    #[prost(message, optional, tag = "2")]
    pub(super) write_stream: Option<WriteStream>,
}

/// `WriteStream`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WriteStream {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int32, tag = "2")]
    pub(super) kind: i32,
}

/// `WriteStream.Type.COMMITTED`.
pub(super) const COMMITTED: i32 = 1;

/// `GetWriteStreamRequest` and `FinalizeWriteStreamRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct NamedRequest {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

/// `FinalizeWriteStreamResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct FinalizeWriteStreamResponse {
    #[prost(int64, tag = "1")]
    pub(super) row_count: i64,
}

/// `AppendRowsRequest` with rows in protobuf format.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendRowsRequest {
    #[prost(string, tag = "1")]
    pub(super) write_stream: String,
    #[prost(message, optional, tag = "2")]
    pub(super) offset: Option<i64>,
    #[prost(message, optional, tag = "4")]
    pub(super) proto_rows: Option<ProtoData>,
}

/// `AppendRowsRequest.ProtoData`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ProtoData {
    #[prost(message, optional, tag = "1")]
    pub(super) writer_schema: Option<ProtoSchema>,
    #[prost(message, optional, tag = "2")]
    pub(super) rows: Option<ProtoRows>,
}

/// `ProtoSchema`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ProtoSchema {
    #[prost(message, optional, tag = "1")]
    pub(super) proto_descriptor: Option<DescriptorProto>,
}

/// `ProtoRows`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ProtoRows {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(super) serialized_rows: Vec<Vec<u8>>,
}

/// `AppendRowsResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendRowsResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) append_result: Option<AppendResult>,
    #[prost(message, optional, tag = "2")]
    pub(super) error: Option<RpcStatus>,
    #[prost(message, repeated, tag = "4")]
    pub(super) row_errors: Vec<RowError>,
    #[prost(string, tag = "5")]
    pub(super) write_stream: String,
}

/// `AppendRowsResponse.AppendResult`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendResult {
    #[prost(message, optional, tag = "1")]
    pub(super) offset: Option<i64>,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) details: Vec<Any>,
}

/// `RowError`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RowError {
    #[prost(int64, tag = "1")]
    pub(super) index: i64,
    #[prost(int32, tag = "2")]
    pub(super) code: i32,
    #[prost(string, tag = "3")]
    pub(super) message: String,
}

/// `RowError.RowErrorCode.FIELDS_ERROR`.
pub(super) const FIELDS_ERROR: i32 = 1;

/// `StorageError`, a detail of a status, next to its general code.
#[derive(Clone, PartialEq, Message)]
struct StorageError {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    entity: String,
    #[prost(string, tag = "3")]
    error_message: String,
}

/// `StorageError.StorageErrorCode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StorageCode {
    StreamFinalized = 6,
    SchemaMismatch = 7,
    OffsetAlreadyExists = 8,
    OffsetOutOfRange = 9,
}

/// A status with a code of the Storage Write API as its detail.
pub(super) fn status(code: Code, own: StorageCode, stream: &str, message: &str) -> RpcStatus {
    let error =
        StorageError { code: own as i32, entity: stream.to_owned(), error_message: message.to_owned() };
    let any = Any {
        type_url: "type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError".to_owned(),
        value: error.encode_to_vec(),
    };
    RpcStatus { code: code as i32, message: message.to_owned(), details: vec![any] }
}

/// A status without details.
pub(super) fn plain_status(status: &Status) -> RpcStatus {
    RpcStatus { code: status.code() as i32, message: status.message().to_owned(), details: Vec::new() }
}
