//! The calls of the Storage Write API: create, get and finalize a stream, and append to it.

use axum::{
    Router,
    extract::{Path, State},
    routing::post,
};
use tonic::{Request, Response, Status, Streaming};
use tower::service_fn;

use super::{
    append,
    server::Shared,
    streams::default_of,
    tables,
    wire::{
        AppendRowsRequest, AppendRowsResponse, COMMITTED, CreateWriteStreamRequest,
        FinalizeWriteStreamResponse, NamedRequest, WriteStream,
    },
};
use standin::rpc;

pub(super) fn routes(shared: Shared) -> Router {
    Router::new()
        .route("/google.cloud.bigquery.storage.v1.BigQueryWrite/{method}", post(write))
        .with_state(shared)
}

async fn write(
    State(shared): State<Shared>,
    Path(method): Path<String>,
    request: rpc::HttpRequest,
) -> rpc::HttpResponse {
    match method.as_str() {
        "CreateWriteStream" => {
            rpc::unary(request, service_fn(move |call| create(shared.clone(), call))).await
        }
        "GetWriteStream" => rpc::unary(request, service_fn(move |call| get(shared.clone(), call))).await,
        "FinalizeWriteStream" => {
            rpc::unary(request, service_fn(move |call| finalize(shared.clone(), call))).await
        }
        "AppendRows" => {
            let cut = append::Cut::default();
            let (open, body_cut) = (cut.clone(), cut);
            let serve = move |call: Request<Streaming<AppendRowsRequest>>| {
                append::open(shared.clone(), call.into_inner(), open.clone())
            };
            let answer = rpc::grpc::<AppendRowsResponse, AppendRowsRequest>()
                .streaming(service_fn(serve), request)
                .await;
            answer.map(|body| body_cut.over(body))
        }
        _ => rpc::unimplemented(
            "not implemented; available are CreateWriteStream, GetWriteStream, FinalizeWriteStream and AppendRows",
        ),
    }
}

async fn create(
    shared: Shared,
    call: Request<CreateWriteStreamRequest>,
) -> Result<Response<WriteStream>, Status> {
    let request = call.into_inner();
    let kind = request.write_stream.map_or(0, |stream| stream.kind);
    if kind != COMMITTED {
        return Err(Status::unimplemented("only streams of type COMMITTED are supported"));
    }
    let mut tables = shared.tables();
    tables.resource(&tables::name_of(&request.parent))?;
    let name = tables.streams.make(&request.parent);
    Ok(Response::new(WriteStream { name, kind }))
}

async fn get(shared: Shared, call: Request<NamedRequest>) -> Result<Response<WriteStream>, Status> {
    let name = call.into_inner().name;
    let tables = shared.tables();
    let is_known = match default_of(&name) {
        Some(table) => tables.resource(&tables::name_of(table)).is_ok(),
        None => tables.streams.table(&name).is_some(),
    };
    drop(tables);
    is_known
        .then(|| Response::new(WriteStream { name: name.clone(), kind: COMMITTED }))
        .ok_or_else(|| unknown(&name))
}

async fn finalize(
    shared: Shared,
    call: Request<NamedRequest>,
) -> Result<Response<FinalizeWriteStreamResponse>, Status> {
    let name = call.into_inner().name;
    let rows = shared.tables().streams.finalize(&name).ok_or_else(|| unknown(&name))?;
    Ok(Response::new(FinalizeWriteStreamResponse { row_count: rows as i64 }))
}

fn unknown(name: &str) -> Status {
    Status::not_found(format!("not found: {name}"))
}
