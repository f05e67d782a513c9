//! Connect's REST interface, as Kafka 4.4 answers it. docs/connect.md lists the differences.

mod bodies;
mod loggers;
mod plugins;
mod sent;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
pub use loggers::Loggers;
use sent::Sent;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{
    define::Config,
    worker::{Handle, Target, View, WorkerError},
};

/// The version of Kafka whose interface this is.
const VERSION: &str = crate::connector::KAFKA_VERSION;

/// What the routes share.
#[derive(Clone)]
pub struct Rest {
    worker: Handle,
    loggers: Arc<Loggers>,
    /// The ID of the Kafka cluster, which never changes.
    cluster: Arc<tokio::sync::OnceCell<String>>,
}

/// An error as a response.
struct Failure(StatusCode, String);

type Answer = Result<Response, Failure>;

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = json!({ "error_code": self.0.as_u16(), "message": self.1 });
        (self.0, Json(body)).into_response()
    }
}

impl From<WorkerError> for Failure {
    fn from(error: WorkerError) -> Self {
        let status = match &error {
            WorkerError::NoConnector(_)
            | WorkerError::Unknown(_)
            | WorkerError::NoTask(..)
            | WorkerError::UnknownTask(..) => StatusCode::NOT_FOUND,
            WorkerError::Exists(_) | WorkerError::Conflict => StatusCode::CONFLICT,
            WorkerError::NoClass
            | WorkerError::OtherClass(_)
            | WorkerError::OtherName(..)
            | WorkerError::Invalid(_)
            | WorkerError::NotStopped(_) => StatusCode::BAD_REQUEST,
            WorkerError::Kafka(_) | WorkerError::TimedOut => StatusCode::INTERNAL_SERVER_ERROR,
            WorkerError::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.to_string())
    }
}

fn bad(message: impl Into<String>) -> Failure {
    Failure(StatusCode::BAD_REQUEST, message.into())
}

/// The configuration of a connector in a JSON file: the body of `POST /connectors`, or the configuration alone.
///
/// # Errors
/// What is wrong with the file.
pub fn definition(bytes: &[u8]) -> Result<(Config, Option<Target>), String> {
    let body: Value = serde_json::from_slice(bytes)
        .map_err(|error| format!("invalid JSON at line {}, column {}", error.line(), error.column()))?;
    if !body.get("config").is_some_and(Value::is_object) {
        return Ok((bodies::config(&body)?, None));
    }
    let bodies::Create { name, mut config, state } = bodies::Create::parse(&body)?;
    config.insert("name".to_owned(), name);
    Ok((config, state))
}

/// The routes of a worker, beside `own`, which Connect does not have.
pub fn router(worker: Handle, loggers: Loggers, own: Router) -> Router {
    let rest = Rest { worker, loggers: Arc::new(loggers), cluster: Arc::default() };
    let routes = Router::new()
        .route("/", get(root))
        .route("/health", get(health))
        .route("/connectors", get(list).post(create))
        .route("/connectors/{name}", get(info).delete(delete))
        .route("/connectors/{name}/config", get(config).put(put_config).patch(patch_config))
        .route("/connectors/{name}/status", get(status))
        .route("/connectors/{name}/tasks", get(tasks))
        .route("/connectors/{name}/tasks/{task}/status", get(task_status))
        .route("/connectors/{name}/tasks/{task}/restart", post(restart_task))
        .route("/connectors/{name}/restart", post(restart))
        .route("/connectors/{name}/pause", put(pause))
        .route("/connectors/{name}/resume", put(resume))
        .route("/connectors/{name}/stop", put(stop))
        .route("/connectors/{name}/topics", get(topics))
        .route("/connectors/{name}/topics/reset", put(reset_topics))
        .route("/connectors/{name}/offsets", get(offsets).patch(alter_offsets).delete(reset_offsets))
        .route("/connector-plugins", get(plugins::list))
        .route("/connector-plugins/{plugin}/config", get(plugins::keys))
        .route("/connector-plugins/{plugin}/config/validate", put(plugins::validate))
        .route("/admin/loggers", get(loggers::list))
        .route("/admin/loggers/{logger}", get(loggers::show).put(loggers::set))
        .fallback(async || Failure(StatusCode::NOT_FOUND, "HTTP 404 Not Found".to_owned()))
        .method_not_allowed_fallback(async || {
            Failure(StatusCode::METHOD_NOT_ALLOWED, "HTTP 405 Method Not Allowed".to_owned())
        })
        .with_state(rest)
        .merge(own);
    // Before a route is chosen: some clients end a path with a slash, which Connect ignores.
    Router::new().fallback_service(ServiceExt::<Request>::map_request(routes, without_last_slash))
}

fn without_last_slash(mut request: Request) -> Request {
    let uri = request.uri();
    let Some(path) = uri.path().strip_suffix('/').filter(|path| !path.is_empty()) else { return request };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    if let Ok(shorter) = Uri::try_from(format!("{path}{query}")) {
        *request.uri_mut() = shorter;
    }
    request
}

async fn root(State(rest): State<Rest>) -> Answer {
    let cluster = rest.cluster.get_or_try_init(|| rest.worker.cluster()).await?;
    let commit = concat!("aqueduct-", env!("CARGO_PKG_VERSION"));
    Ok(Json(json!({ "version": VERSION, "commit": commit, "kafka_cluster_id": cluster })).into_response())
}

async fn health(State(rest): State<Rest>) -> Response {
    let (status, state, message) = match rest.worker.is_ready() {
        true => (StatusCode::OK, "healthy", "Worker has completed startup and is ready to handle requests."),
        false => (StatusCode::SERVICE_UNAVAILABLE, "starting", "Worker is still starting up."),
    };
    (status, Json(json!({ "status": state, "message": message }))).into_response()
}

async fn list(State(rest): State<Rest>, Query(query): Query<Vec<(String, String)>>) -> Answer {
    let expands: Vec<&str> =
        query.iter().filter(|(key, _)| key == "expand").map(|(_, value)| &**value).collect();
    let views = rest.worker.list().await?;
    if expands.is_empty() {
        let names: Vec<&str> = views.iter().map(|view| &*view.name).collect();
        return Ok(Json(json!(names)).into_response());
    }
    let expanded = |view: &View| {
        let mut parts = BTreeMap::new();
        for expand in &expands {
            match *expand {
                "info" => drop(parts.insert("info", bodies::info(view))),
                "status" => drop(parts.insert("status", bodies::status(view))),
                _ => {}
            }
        }
        (view.name.clone(), parts)
    };
    Ok(Json(json!(views.iter().map(expanded).collect::<BTreeMap<_, _>>())).into_response())
}

async fn create(State(rest): State<Rest>, headers: HeaderMap, body: Sent) -> Answer {
    let request = bodies::Create::parse(&body.json()?).map_err(bad)?;
    let view = rest.worker.create(&request.name, request.config, request.state).await?;
    Ok(created(&headers, &view))
}

fn created(headers: &HeaderMap, view: &View) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let location = format!("http://{host}/connectors/{}", bodies::encoded(&view.name));
    (StatusCode::CREATED, [(header::LOCATION, location)], Json(bodies::info(view))).into_response()
}

async fn info(State(rest): State<Rest>, Path(name): Path<String>) -> Answer {
    Ok(Json(bodies::info(&rest.worker.get(&name).await?)).into_response())
}

async fn delete(State(rest): State<Rest>, Path(name): Path<String>) -> Answer {
    rest.worker.delete(&name).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn config(State(rest): State<Rest>, Path(name): Path<String>) -> Answer {
    Ok(Json(rest.worker.get(&name).await?.config).into_response())
}

async fn put_config(
    State(rest): State<Rest>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Sent,
) -> Answer {
    let config = bodies::config(&body.json()?).map_err(bad)?;
    let (view, is_new) = rest.worker.replace(&name, config).await?;
    Ok(if is_new { created(&headers, &view) } else { Json(bodies::info(&view)).into_response() })
}

async fn patch_config(State(rest): State<Rest>, Path(name): Path<String>, body: Sent) -> Answer {
    let patch = bodies::patch(&body.json()?).map_err(bad)?;
    Ok(Json(bodies::info(&rest.worker.patch(&name, patch).await?)).into_response())
}

async fn status(State(rest): State<Rest>, Path(name): Path<String>) -> Answer {
    match rest.worker.get(&name).await {
        Ok(view) => Ok(Json(bodies::status(&view)).into_response()),
        Err(WorkerError::NoConnector(name)) => {
            Err(Failure(StatusCode::NOT_FOUND, format!("No status found for connector {name}")))
        }
        Err(error) => Err(error.into()),
    }
}

async fn tasks(State(rest): State<Rest>, Path(name): Path<String>) -> Answer {
    Ok(Json(bodies::tasks(&rest.worker.get(&name).await?)).into_response())
}

async fn task_status(State(rest): State<Rest>, Path((name, task)): Path<(String, String)>) -> Answer {
    let missing = || Failure(StatusCode::NOT_FOUND, format!("No status found for task {name}-{task}"));
    let view = rest.worker.get(&name).await.map_err(|_| missing())?;
    let found = view.status.tasks.iter().find(|found| found.id.to_string() == task);
    found.map(|task| Json(bodies::task(task)).into_response()).ok_or_else(missing)
}

async fn restart_task(State(rest): State<Rest>, Path((name, task)): Path<(String, u32)>) -> Answer {
    rest.worker.restart(&name, Some(task), false).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn restart(
    State(rest): State<Rest>,
    Path(name): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Answer {
    let is_true = |key: &str| query.get(key).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if !is_true("includeTasks") {
        // The connector itself has nothing that could be restarted.
        let view = rest.worker.get(&name).await;
        view.map_err(|_| WorkerError::Unknown(format!(": {name}")))?;
        if !is_true("onlyFailed") {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
    if is_true("includeTasks") {
        let view = rest.worker.restart(&name, None, is_true("onlyFailed")).await?;
        return Ok((StatusCode::ACCEPTED, Json(bodies::status(&view))).into_response());
    }
    Ok((StatusCode::ACCEPTED, Json(bodies::status(&rest.worker.get(&name).await?))).into_response())
}

async fn pause(State(rest): State<Rest>, Path(name): Path<String>) -> Answer {
    rest.worker.aim(&name, Target::Paused).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

async fn resume(State(rest): State<Rest>, Path(name): Path<String>) -> Answer {
    rest.worker.aim(&name, Target::Running).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

async fn stop(State(rest): State<Rest>, Path(name): Path<String>) -> Answer {
    rest.worker.aim(&name, Target::Stopped).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn topics(State(rest): State<Rest>, Path(name): Path<String>) -> Answer {
    let topics = rest.worker.get(&name).await.map(|view| view.status.topics).unwrap_or_default();
    Ok(Json(json!({ name: { "topics": topics } })).into_response())
}

async fn reset_topics(State(rest): State<Rest>, Path(name): Path<String>) -> Answer {
    rest.worker.reset_topics(&name).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

async fn offsets(State(rest): State<Rest>, Path(name): Path<String>) -> Answer {
    let offsets = rest.worker.offsets(&name).await?;
    Ok(Json(bodies::offsets(&offsets)).into_response())
}

async fn alter_offsets(State(rest): State<Rest>, Path(name): Path<String>, body: Sent) -> Answer {
    let changes = bodies::offset_changes(&body.json()?).map_err(bad)?;
    rest.worker.alter_offsets(&name, changes).await?;
    let message = "The Connect framework-managed offsets for this connector have been altered successfully. However, if this connector manages offsets externally, they will need to be manually altered in the system that the connector uses.";
    Ok(Json(json!({ "message": message })).into_response())
}

async fn reset_offsets(State(rest): State<Rest>, Path(name): Path<String>) -> Answer {
    rest.worker.reset_offsets(&name).await?;
    let message = "The Connect framework-managed offsets for this connector have been reset successfully. However, if this connector manages offsets externally, they will need to be manually reset in the system that the connector uses.";
    Ok(Json(json!({ "message": message })).into_response())
}
