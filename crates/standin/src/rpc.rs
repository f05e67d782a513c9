//! Shared by the stand-ins: gRPC calls routed by path, as tonic's generated services are, without generating services
//! for a few messages; and statuses in the format of Google's REST APIs.

use axum::{
    Json,
    body::Body,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use prost::Message;
use serde_json::json;
use tonic::{
    Code, Status,
    codec::CompressionEncoding,
    server::{Grpc, UnaryService},
};
use tonic_prost::ProstCodec;

/// A request over HTTP.
pub type HttpRequest = axum::extract::Request;
/// Its response.
pub type HttpResponse = Response;

/// A status in the format of Google's REST APIs.
#[derive(Debug)]
pub struct RestError(Status);

/// Reads and writes the messages of a call.
pub fn grpc<Answer, Question>() -> Grpc<ProstCodec<Answer, Question>>
where
    Answer: Message + Send + 'static,
    Question: Message + Default + Send + 'static,
{
    Grpc::new(ProstCodec::default())
        .max_decoding_message_size(usize::MAX)
        .accept_compressed(CompressionEncoding::Gzip)
}

/// Answers a call with one question and one answer.
pub async fn unary<Question, Answer, S>(request: HttpRequest, service: S) -> HttpResponse
where
    Question: Message + Default + Send + 'static,
    Answer: Message + Send + 'static,
    S: UnaryService<Question, Response = Answer>,
{
    grpc::<Answer, Question>().unary(service, request).await.map(Body::new)
}

/// The answer to a call that the stand-in does not have.
pub fn unimplemented(message: &str) -> HttpResponse {
    Status::unimplemented(message).into_http::<tonic::body::Body>().map(Body::new)
}

impl From<Status> for RestError {
    fn from(status: Status) -> Self {
        Self(status)
    }
}

impl IntoResponse for RestError {
    fn into_response(self) -> Response {
        let (http, name) = match self.0.code() {
            Code::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND"),
            Code::AlreadyExists => (StatusCode::CONFLICT, "ALREADY_EXISTS"),
            Code::InvalidArgument => (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT"),
            Code::Unimplemented => (StatusCode::NOT_IMPLEMENTED, "UNIMPLEMENTED"),
            Code::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
        };
        let error = json!({ "code": http.as_u16(), "message": self.0.message(), "status": name });
        (http, Json(json!({ "error": error }))).into_response()
    }
}
