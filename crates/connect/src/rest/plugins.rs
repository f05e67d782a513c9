//! `/connector-plugins`: which classes there are, their keys, and the validation of a configuration.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, Query, State},
    http::StatusCode,
    response::IntoResponse as _,
};
use serde_json::{Value, json};

use super::{Answer, Failure, Rest, Sent, bad, bodies};
use crate::{
    connector, converters,
    define::Key,
    transforms::{self, predicates},
};

/// The version of what is Kafka's, and of what is not.
const KAFKA: &str = super::VERSION;

/// Class, kind and version of everything that is not a connector.
fn others() -> Vec<(String, &'static str)> {
    let converters = converters::PLUGINS.iter().map(|plugin| (plugin.class.to_owned(), "converter"));
    let transforms = transforms::PLUGINS
        .iter()
        .flat_map(|plugin| transforms::classes(plugin).into_iter().map(|class| (class, "transformation")));
    let predicates = predicates::PLUGINS.iter().map(|plugin| (plugin.class.to_owned(), "predicate"));
    let mut all: Vec<_> = converters.chain(transforms).chain(predicates).collect();
    all.sort_by(|a, b| (b.1, &a.0).cmp(&(a.1, &b.0)));
    all
}

pub(super) async fn list(Query(query): Query<BTreeMap<String, String>>) -> Json<Value> {
    let mut plugins =
        vec![json!({ "class": connector::CLASS, "type": "sink", "version": connector::VERSION })];
    if query.get("connectorsOnly").is_some_and(|only| only.eq_ignore_ascii_case("false")) {
        let version = |class: &str| {
            if class.starts_with("org.apache.kafka.") { KAFKA } else { env!("CARGO_PKG_VERSION") }
        };
        let other = |(class, kind): (String, &str)| json!({ "version": version(&class), "class": class, "type": kind });
        plugins.extend(others().into_iter().map(other));
    }
    Json(Value::from(plugins))
}

pub(super) async fn keys(Path(plugin): Path<String>) -> Answer {
    let keys = keys_of(&plugin)
        .ok_or_else(|| Failure(StatusCode::NOT_FOUND, format!("Unknown plugin {plugin}.")))?;
    Ok(Json(keys).into_response())
}

fn keys_of(class: &str) -> Option<Vec<Key>> {
    if connector::is_class(class) {
        return Some(connector::keys());
    }
    if let Some(plugin) = converters::find(class) {
        return Some((plugin.keys)());
    }
    if let Some(found) = transforms::find(class) {
        return Some((found.plugin.keys)());
    }
    predicates::find(class).map(|plugin| (plugin.keys)())
}

pub(super) async fn validate(State(rest): State<Rest>, Path(plugin): Path<String>, body: Sent) -> Answer {
    let config = bodies::config(&body.json()?).map_err(bad)?;
    match config.get("connector.class") {
        None => return Err(bad("Connector config contains no connector type")),
        Some(class) if connector::is_class(class) && connector::is_class(&plugin) => {}
        Some(class) => {
            return Err(bad(format!("Included connector type {class} does not match request type {plugin}")));
        }
    }
    let (validation, _) = connector::validate(&config, &rest.worker.config.defaults);
    let errors = validation.values.errors().count();
    let configs: Vec<Value> = validation
        .values
        .all
        .iter()
        .map(|(definition, value)| json!({ "definition": definition, "value": value }))
        .collect();
    let body = json!({
        "name": connector::CLASS,
        "error_count": errors,
        "groups": validation.groups,
        "configs": configs,
    });
    Ok(Json(body).into_response())
}
