//! The HTTP interface.

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{
    faults::Fault,
    schemas::{Reference, Schema},
    server::Shared,
};

const PAGE: &str = "<!DOCTYPE html><html><body><h1>Service unavailable</h1></body></html>";

pub(super) fn routes(shared: Shared) -> Router {
    Router::new()
        .route("/schemas/types", get(async || Json(json!(["JSON", "PROTOBUF", "AVRO"]))))
        .route("/schemas/ids/{id}", get(by_id))
        .route("/schemas/ids/{id}/versions", get(versions_of))
        .route("/schemas/guids/{guid}", get(by_guid))
        .route("/schemas/guids/{guid}/ids", get(ids_of))
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(find))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route("/subjects/{subject}/versions/{version}", get(by_version))
        .fallback(async || (StatusCode::NOT_FOUND, Html(PAGE)))
        .layer(from_fn_with_state(shared.clone(), guard))
        .route("/token", post(token))
        .with_state(shared)
}

/// Checks the credentials, and lets a fault happen instead of the answer.
async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let (refusal, fault) = {
        let mut state = shared.state();
        state.requests.push(request.uri().path().to_owned());
        let refusal = state.gate.refusal(authorization(&request));
        (refusal, if refusal.is_some() { None } else { state.next.pop_front().or(state.always.clone()) })
    };
    if let Some(status) = refusal {
        return problem(status);
    }
    match fault {
        None => next.run(request).await,
        Some(Fault::Status(status)) => problem(status),
        Some(Fault::Busy(seconds)) => {
            ([(header::RETRY_AFTER, seconds.to_string())], problem(429)).into_response()
        }
        Some(Fault::Page(status)) => (code(status), Html(PAGE)).into_response(),
        Some(Fault::Text(text)) => text.into_response(),
        Some(Fault::Huge(bytes)) => Body::from(vec![b' '; bytes]).into_response(),
        Some(Fault::Another) => another(&shared, &request),
        Some(Fault::Late(delay)) => {
            tokio::select! {
                () = tokio::time::sleep(delay) => next.run(request).await,
                () = shared.stop.cancelled() => problem(500),
            }
        }
        Some(Fault::Silent) => {
            shared.stop.cancelled().await;
            problem(500)
        }
    }
}

/// The schema after the one that was asked for, with the ID that it really has.
fn another(shared: &Shared, request: &Request) -> Response {
    let asked =
        request.uri().path().rsplit('/').next().and_then(|last| last.parse::<u32>().ok()).unwrap_or(0);
    let schema = shared.state().schemas.by_id(asked + 1).map(|mut schema| {
        schema["id"] = json!(asked + 1);
        schema["version"] = json!(asked + 1);
        schema
    });
    found(schema)
}

async fn by_id(State(shared): State<Shared>, Path(id): Path<u32>) -> Response {
    found(shared.state().schemas.by_id(id))
}

async fn versions_of(State(shared): State<Shared>, Path(id): Path<u32>) -> Response {
    found(shared.state().schemas.versions_of(id))
}

async fn by_guid(State(shared): State<Shared>, Path(guid): Path<String>) -> Response {
    let state = shared.state();
    found(state.schemas.id_of(&guid).and_then(|id| state.schemas.by_id(id)))
}

async fn ids_of(State(shared): State<Shared>, Path(guid): Path<String>) -> Response {
    found(shared.state().schemas.id_of(&guid).map(|id| json!([{"context": ".", "id": id}])))
}

async fn subjects(State(shared): State<Shared>) -> Response {
    found(Some(shared.state().schemas.subjects()))
}

async fn versions(State(shared): State<Shared>, Path(subject): Path<String>) -> Response {
    found(shared.state().schemas.versions(&subject))
}

async fn by_version(
    State(shared): State<Shared>,
    Path((subject, version)): Path<(String, String)>,
) -> Response {
    found(shared.state().schemas.by_version(&subject, &version))
}

async fn register(
    State(shared): State<Shared>,
    Path(subject): Path<String>,
    Json(body): Json<Value>,
) -> Response {
    let Some(schema) = schema(&body) else { return problem(422) };
    let mut state = shared.state();
    state.schemas.register(&subject, schema.clone());
    found(state.schemas.find(&subject, &schema))
}

async fn find(
    State(shared): State<Shared>,
    Path(subject): Path<String>,
    Json(body): Json<Value>,
) -> Response {
    let Some(schema) = schema(&body) else { return problem(422) };
    found(shared.state().schemas.find(&subject, &schema))
}

/// The issuer of tokens.
async fn token(State(shared): State<Shared>, request: Request) -> Response {
    let header = authorization(&request).map(str::to_owned);
    let form = axum::body::to_bytes(request.into_body(), 1 << 16).await.unwrap_or_default();
    let issued = shared.state().gate.issue(header.as_deref(), &String::from_utf8_lossy(&form));
    match issued {
        Some(token) => {
            Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600})).into_response()
        }
        None => (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"}))).into_response(),
    }
}

fn schema(body: &Value) -> Option<Schema> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let references = body["references"].as_array().map(Vec::as_slice).unwrap_or_default();
    let references = references.iter().map(|to| {
        let version = to["version"].as_u64().and_then(|version| u32::try_from(version).ok())?;
        Some(Reference { name: text(&to["name"])?, subject: text(&to["subject"])?, version })
    });
    Some(Schema {
        kind: text(&body["schemaType"]).unwrap_or_else(|| "AVRO".to_owned()),
        text: text(&body["schema"])?,
        references: references.collect::<Option<_>>()?,
    })
}

fn authorization(request: &Request) -> Option<&str> {
    request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok())
}

fn found(answer: Option<Value>) -> Response {
    match answer {
        Some(answer) => {
            let kind = [(header::CONTENT_TYPE, "application/vnd.schemaregistry.v1+json")];
            (kind, answer.to_string()).into_response()
        }
        None => problem(404),
    }
}

/// An error as the registry reports it.
fn problem(status: u16) -> Response {
    let error_code = if status == 404 { 40403 } else { u32::from(status) };
    (code(status), Json(json!({"error_code": error_code, "message": "refused by the stand-in"})))
        .into_response()
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
