//! The messages of `google.cloud.bigquery.storage.v1` that appending needs, written by hand: ten messages in the place
//! of a generated client with hundreds. Field numbers are those of Google's `storage.proto` and `stream.proto`.

use bytes::Bytes;
use prost::Message;

pub(super) const CREATE: &str = "/google.cloud.bigquery.storage.v1.BigQueryWrite/CreateWriteStream";
pub(super) const GET: &str = "/google.cloud.bigquery.storage.v1.BigQueryWrite/GetWriteStream";
pub(super) const FINALIZE: &str = "/google.cloud.bigquery.storage.v1.BigQueryWrite/FinalizeWriteStream";
pub(super) const APPEND: &str = "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows";

/// `WriteStream.Type.COMMITTED`: rows are visible as soon as they are appended.
pub(super) const COMMITTED: i32 = 1;

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

/// `AppendRowsRequest` with rows as protobuf.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendRowsRequest {
    #[prost(string, tag = "1")]
    pub(super) write_stream: String,
    /// `google.protobuf.Int64Value`, so that offset 0 differs from no offset.
    #[prost(message, optional, tag = "2")]
    pub(super) offset: Option<i64>,
    /// An encoded `ProtoData`. Protobuf encodes an embedded message and a byte string the same way.
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) proto_rows: Bytes,
}

/// `ProtoSchema`, field 1 of `ProtoData`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ProtoSchema {
    #[prost(message, optional, tag = "1")]
    pub(super) proto_descriptor: Option<prost_types::DescriptorProto>,
}

/// `AppendRowsResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendRowsResponse {
    #[prost(message, optional, tag = "2")]
    pub(super) error: Option<RpcStatus>,
    #[prost(message, repeated, tag = "4")]
    pub(super) row_errors: Vec<RowError>,
}

/// `google.rpc.Status`, in a response or in the metadata of a failed call.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) details: Vec<prost_types::Any>,
}

/// `RowError`. Its text may quote a value of the row and is not read.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RowError {
    #[prost(int64, tag = "1")]
    pub(super) index: i64,
    #[prost(int32, tag = "2")]
    pub(super) code: i32,
}

/// `RowError.RowErrorCode.FIELDS_ERROR`.
pub(super) const FIELDS_ERROR: i32 = 1;

/// `StorageError`: the Storage Write API's own code, a detail of a status.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StorageError {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
}

/// The end of `Any.type_url` for a [`StorageError`].
pub(super) const STORAGE_ERROR: &str = "google.cloud.bigquery.storage.v1.StorageError";

/// `StorageError.StorageErrorCode`, as far as it concerns rows.
pub(super) mod storage_code {
    pub(in super::super) const STREAM_NOT_FOUND: i32 = 3;
    pub(in super::super) const STREAM_FINALIZED: i32 = 6;
    pub(in super::super) const SCHEMA_MISMATCH_EXTRA_FIELDS: i32 = 7;
    pub(in super::super) const OFFSET_ALREADY_EXISTS: i32 = 8;
    pub(in super::super) const OFFSET_OUT_OF_RANGE: i32 = 9;
}
