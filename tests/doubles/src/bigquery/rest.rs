//! The REST calls that create and get datasets, tables and views, and run queries.

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    routing::{get, post},
};
use serde_json::{Value, json};
use tonic::Status;

use super::{server::Shared, tables::Resource};
use standin::rpc::RestError;

type Answer = Result<Json<Value>, RestError>;

/// Maximum size of a query, as in the service.
const MOST_BYTES: usize = 10_000_000;
const PROJECT: &str = "/bigquery/v2/projects/{project}";

pub(super) fn routes(shared: Shared) -> Router {
    let datasets = format!("{PROJECT}/datasets");
    Router::new()
        .route(&datasets, post(make_dataset))
        .route(&format!("{datasets}/{{dataset}}"), get(show_dataset))
        .route(&format!("{datasets}/{{dataset}}/tables"), post(make_table))
        .route(&format!("{datasets}/{{dataset}}/tables/{{table}}"), get(show_table).patch(change_table))
        .route(&format!("{PROJECT}/queries"), post(query).layer(DefaultBodyLimit::max(MOST_BYTES)))
        .with_state(shared)
}

async fn make_dataset(
    State(shared): State<Shared>,
    Path(project): Path<String>,
    Json(resource): Json<Resource>,
) -> Answer {
    let id = id(&resource, "datasetReference", "datasetId")?;
    shown(shared.tables().make(format!("{project}.{id}"), resource)?)
}

async fn show_dataset(State(shared): State<Shared>, Path(path): Path<(String, String)>) -> Answer {
    shown(shared.tables().resource(&format!("{}.{}", path.0, path.1))?)
}

async fn make_table(
    State(shared): State<Shared>,
    Path((project, dataset)): Path<(String, String)>,
    Json(resource): Json<Resource>,
) -> Answer {
    let id = id(&resource, "tableReference", "tableId")?;
    let mut tables = shared.tables();
    tables.resource(&format!("{project}.{dataset}"))?;
    shown(tables.make(format!("{project}.{dataset}.{id}"), resource)?)
}

async fn show_table(State(shared): State<Shared>, Path(path): Path<(String, String, String)>) -> Answer {
    shown(shared.tables().resource(&format!("{}.{}.{}", path.0, path.1, path.2))?)
}

async fn change_table(
    State(shared): State<Shared>,
    Path(path): Path<(String, String, String)>,
    Json(change): Json<Resource>,
) -> Answer {
    shown(shared.tables().change(&format!("{}.{}.{}", path.0, path.1, path.2), change)?)
}

async fn query(
    State(shared): State<Shared>,
    Path(project): Path<String>,
    Json(request): Json<Value>,
) -> Answer {
    let sql = request["query"].as_str().unwrap_or_default();
    let parameters: Vec<_> = request["queryParameters"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|parameter| {
            let value = parameter["parameterValue"]["value"].as_str()?;
            Some((parameter["name"].as_str()?.to_owned(), value.to_owned()))
        })
        .collect();
    let mut answer = shared.tables().query(sql, &parameters)?;
    answer["jobReference"] = json!({ "projectId": project, "jobId": "answered" });
    Ok(Json(answer))
}

fn id(resource: &Resource, reference: &str, key: &str) -> Result<String, Status> {
    let id = resource.get(reference).and_then(|reference| reference[key].as_str());
    id.map(str::to_owned).ok_or_else(|| Status::invalid_argument(format!("{reference}.{key} is missing")))
}

fn shown(resource: &Resource) -> Answer {
    Ok(Json(Value::Object(resource.clone())))
}
