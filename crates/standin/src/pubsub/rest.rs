//! The REST calls that create, get, list and delete topics and subscriptions, and seek, as Google's own client makes
//! them.

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use serde_json::{Value, json};
use tonic::Status;

use super::{broker::Spec, server::Shared, subscription::Millis};
use crate::rpc::RestError;

type Answer = Result<Json<Value>, RestError>;

pub(super) fn routes(shared: Shared) -> Router {
    Router::new()
        .route("/v1/projects/{project}/topics", get(list_topics))
        .route("/v1/projects/{project}/topics/{topic}", get(get_topic).put(create_topic).delete(delete_topic))
        .route("/v1/projects/{project}/subscriptions", get(list_subscriptions))
        .route(
            "/v1/projects/{project}/subscriptions/{subscription}",
            get(get_subscription).put(create_subscription).delete(delete_subscription).post(seek),
        )
        .with_state(shared)
}

async fn list_topics(State(shared): State<Shared>, Path(project): Path<String>) -> Answer {
    shared.faults.reachable()?;
    Ok(Json(json!({ "topics": shared.broker().topics(&format!("projects/{project}")) })))
}

async fn create_topic(
    State(shared): State<Shared>,
    path: Path<(String, String)>,
    Json(spec): Json<Spec>,
) -> Answer {
    shared.faults.reachable()?;
    Ok(Json(Value::Object(shared.broker().create_topic(topic_name(path), spec)?)))
}

async fn get_topic(State(shared): State<Shared>, path: Path<(String, String)>) -> Answer {
    shared.faults.reachable()?;
    Ok(Json(Value::Object(shared.broker().topic(&topic_name(path))?.clone())))
}

async fn delete_topic(State(shared): State<Shared>, path: Path<(String, String)>) -> Answer {
    shared.faults.reachable()?;
    shared.broker().delete_topic(&topic_name(path))?;
    Ok(Json(json!({})))
}

async fn list_subscriptions(State(shared): State<Shared>, Path(project): Path<String>) -> Answer {
    shared.faults.reachable()?;
    Ok(Json(json!({ "subscriptions": shared.broker().subscriptions(&format!("projects/{project}")) })))
}

async fn create_subscription(
    State(shared): State<Shared>,
    path: Path<(String, String)>,
    Json(spec): Json<Spec>,
) -> Answer {
    shared.faults.reachable()?;
    Ok(Json(Value::Object(shared.broker().create_subscription(subscription_name(path), spec)?)))
}

async fn get_subscription(State(shared): State<Shared>, path: Path<(String, String)>) -> Answer {
    shared.faults.reachable()?;
    Ok(Json(Value::Object(shared.broker().subscription(&subscription_name(path))?.clone())))
}

/// Open streams end with NOT_FOUND.
async fn delete_subscription(State(shared): State<Shared>, path: Path<(String, String)>) -> Answer {
    shared.faults.reachable()?;
    shared.broker().delete_subscription(&subscription_name(path))?;
    shared.wake.notify_waiters();
    Ok(Json(json!({})))
}

/// `POST .../subscriptions/S:seek` with a time.
async fn seek(
    State(shared): State<Shared>,
    path: Path<(String, String)>,
    Json(request): Json<Value>,
) -> Answer {
    shared.faults.reachable()?;
    let name = subscription_name(path);
    let name =
        name.strip_suffix(":seek").ok_or_else(|| Status::unimplemented("only the verb seek is supported"))?;
    let time = request.get("time").and_then(Value::as_str).and_then(millis);
    let time = time.ok_or_else(|| Status::invalid_argument("seek requires a time in RFC 3339"))?;
    shared.broker().seek(name, time)?;
    shared.wake.notify_waiters();
    Ok(Json(json!({})))
}

fn topic_name(Path((project, topic)): Path<(String, String)>) -> String {
    format!("projects/{project}/topics/{topic}")
}

fn subscription_name(Path((project, subscription)): Path<(String, String)>) -> String {
    format!("projects/{project}/subscriptions/{subscription}")
}

/// Parses an RFC 3339 time; times before the epoch become the epoch.
fn millis(text: &str) -> Option<Millis> {
    let time: prost_types::Timestamp = text.parse().ok()?;
    let millis = time.seconds * 1_000 + i64::from(time.nanos) / 1_000_000;
    Some(Millis::try_from(millis).unwrap_or(0))
}
