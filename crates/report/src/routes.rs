//! What is served where: the page, what it is made of, and the same as JSON.
//!
//! Nothing is cached, nothing may be framed, and the browser must not load anything from other hosts.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderName, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use processor::{board::Ask, view::FlowView};
use serde::{Deserialize, Serialize};

use crate::{
    html::{KeyPage, Overview, Rates},
    judge::{self, Health, Station},
    status::{Source, Status},
};

/// Keys on the page, and in an answer of the interface unless it asks for fewer or more.
const SHOWN: usize = 20;
/// Keys in an answer at most.
const MOST: usize = 1000;

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

type Shared = State<Arc<dyn Source>>;

/// The routes of the page; none of them is one of the probes'.
pub fn router(source: Arc<dyn Source>) -> Router {
    Router::new()
        .route("/", get(overview))
        .route("/flows/{flow}/key", get(key))
        .route("/api/v1/pipe", get(api_pipe))
        .route("/api/v1/flows/{flow}/busiest", get(api_busiest))
        .route("/api/v1/flows/{flow}/key", get(api_key))
        .route("/api/v1/configuration", get(api_configuration))
        .route("/page/style.css", get(async || file("text/css; charset=utf-8", include_str!("page.css"))))
        .route(
            "/page/script.js",
            get(async || file("text/javascript; charset=utf-8", include_str!("page.js"))),
        )
        .route("/page/icon.svg", get(async || file("image/svg+xml", include_str!("icon.svg"))))
        .with_state(source)
}

/// What the first page is asked for.
#[derive(Clone, Debug, Default, Deserialize)]
struct Choice {
    flow: Option<String>,
    by: Option<String>,
    find: Option<String>,
    limit: Option<usize>,
}

impl Choice {
    /// The choice as far as the flow has it.
    fn ask(&self, flow: &FlowView) -> Ask {
        let by = self.by.as_ref().and_then(|by| flow.columns.iter().position(|column| column == by));
        let find = self.find.clone().unwrap_or_default();
        Ask { by, find, limit: self.limit.unwrap_or(SHOWN).min(MOST) }
    }
}

async fn overview(State(source): Shared, Query(choice): Query<Choice>) -> Response {
    let status = source.status();
    let stations = judge::stations(&status);
    let overall = judge::overall(&status, &stations);
    let settings = source.settings();
    let flow = status.processor.as_ref().and_then(|processor| {
        let flows = &processor.detail.flows;
        let named = flows.iter().find(|flow| choice.flow.as_deref() == Some(&*flow.name));
        Some((flows, named.or(flows.first())?))
    });
    let ask = flow.map(|(_, flow)| Ask { limit: SHOWN, ..choice.ask(flow) }).unwrap_or_default();
    let busiest = flow.and_then(|(_, flow)| source.busiest(&flow.name, &ask)).unwrap_or_default();
    let (now, since) = (status.at, status.started_at);
    let rates = flow.map(|(flows, flow)| Rates { flows, flow, ask: &ask, busiest: &busiest, now, since });
    let page =
        Overview { status: &status, stations: &stations, overall: &overall, rates, settings: &settings }
            .render();
    html(page.into_string())
}

async fn key(
    State(source): Shared,
    Path(name): Path<String>,
    Query(values): Query<Vec<(String, String)>>,
) -> Response {
    let status = source.status();
    let Some(flow) = flow_of(&status, &name) else { return no_flow() };
    let key = key_of(flow, &values);
    let windows = source.windows(&name, &key).unwrap_or_default();
    let overall = judge::overall(&status, &judge::stations(&status));
    let page = KeyPage { status: &status, overall: &overall, flow, key: &key, windows: &windows };
    html(page.render().into_string())
}

#[derive(Serialize)]
struct Pipe<'a> {
    health: &'a Health,
    stations: &'a [Station],
    #[serde(flatten)]
    status: &'a Status,
}

async fn api_pipe(State(source): Shared) -> Response {
    let status = source.status();
    let stations = judge::stations(&status);
    json(&Pipe { health: &judge::overall(&status, &stations), stations: &stations, status: &status })
}

async fn api_busiest(
    State(source): Shared,
    Path(name): Path<String>,
    Query(choice): Query<Choice>,
) -> Response {
    let status = source.status();
    let Some(flow) = flow_of(&status, &name) else { return no_flow() };
    json(&source.busiest(&name, &choice.ask(flow)).unwrap_or_default())
}

async fn api_key(
    State(source): Shared,
    Path(name): Path<String>,
    Query(values): Query<Vec<(String, String)>>,
) -> Response {
    let status = source.status();
    let Some(flow) = flow_of(&status, &name) else { return no_flow() };
    json(&source.windows(&name, &key_of(flow, &values)).unwrap_or_default())
}

async fn api_configuration(State(source): Shared) -> Response {
    json(&source.settings())
}

fn flow_of<'a>(status: &'a Status, name: &str) -> Option<&'a FlowView> {
    status.processor.as_ref()?.detail.flows.iter().find(|flow| *flow.name == *name)
}

/// A key by its columns; one that is not named is NULL.
fn key_of(flow: &FlowView, values: &[(String, String)]) -> Vec<Option<Box<str>>> {
    let value = |column: &String| {
        values.iter().find(|(name, _)| name == column).map(|(_, value)| value.as_str().into())
    };
    flow.columns.iter().map(value).collect()
}

fn no_flow() -> Response {
    (StatusCode::NOT_FOUND, "unknown flow; /api/v1/pipe lists the flows\n").into_response()
}

const NEVER_STORED: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

fn html(page: String) -> Response {
    (NEVER_STORED, [(header::CONTENT_SECURITY_POLICY, POLICY)], Html(page)).into_response()
}

fn json(value: &impl Serialize) -> Response {
    (NEVER_STORED, Json(value)).into_response()
}

fn file(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

#[cfg(test)]
mod tests;
