//! `/admin/loggers`: the levels of Connect's loggers, as far as something here corresponds to them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Json,
    extract::{Path, Query, State},
    http::StatusCode,
    response::IntoResponse as _,
};
use serde_json::{Value, json};

use super::{Answer, Failure, Rest, Sent, bad};

/// Sets the levels of the process, in the form of `AQUEDUCT_LOG`.
type Set = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// The levels that were set, and what sets them.
pub struct Loggers {
    set: Set,
    levels: Mutex<BTreeMap<String, (String, Option<u64>)>>,
}

const ROOT: &str = "root";
/// Loggers that are kept, and the bytes of a name: a client must not fill the memory with them.
const MOST: usize = 1_000;
const LONGEST: usize = 256;
/// Names of Connect's loggers, and the modules here that do their work.
const MODULES: [(&str, &str); 4] = [
    ("org.apache.kafka.connect", "connect"),
    ("com.google.pubsub.kafka", "connect"),
    ("org.apache.kafka.clients", "kafka"),
    ("org.apache.kafka", "kafka"),
];

impl Loggers {
    /// Loggers at the level INFO.
    pub fn new(set: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static) -> Self {
        let names = [ROOT, MODULES[0].0, MODULES[1].0, MODULES[2].0];
        let levels = names.map(|name| (name.to_owned(), ("INFO".to_owned(), None)));
        Self { set: Box::new(set), levels: Mutex::new(levels.into()) }
    }

    fn show(&self) -> BTreeMap<String, Value> {
        let levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = |(name, (level, modified)): (&String, &(String, Option<u64>))| {
            (name.clone(), json!({ "level": level, "last_modified": modified }))
        };
        levels.iter().map(shown).collect()
    }

    /// Sets the level of a logger and of those below it, and returns their names. A logger that is not known is kept, as in
    /// Connect, but not any number of them.
    fn change(&self, logger: &str, level: &str) -> Result<Vec<String>, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64);
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        if logger.len() > LONGEST || (levels.len() >= MOST && !levels.contains_key(logger)) {
            return Err(format!(
                "expected the name of a logger, of at most {LONGEST} bytes and {MOST} of them"
            ));
        }
        let mut changed = levels.clone();
        let is_below = |name: &str| {
            name == logger || name.strip_prefix(logger).is_some_and(|rest| rest.starts_with('.'))
        };
        changed.entry(logger.to_owned()).or_default();
        let mut names = Vec::new();
        for (name, entry) in changed.iter_mut().filter(|(name, _)| is_below(name)) {
            *entry = (level.to_owned(), Some(now));
            names.push(name.clone());
        }
        (self.set)(&filter(&changed))?;
        *levels = changed;
        Ok(names)
    }
}

/// The levels as `AQUEDUCT_LOG` has them. Of several loggers of a module the most specific one counts.
fn filter(levels: &BTreeMap<String, (String, Option<u64>)>) -> String {
    let ours = |level: &str| match level {
        "FATAL" => "error".to_owned(),
        other => other.to_lowercase(),
    };
    let root = levels.get(ROOT).map_or("info".to_owned(), |(level, _)| ours(level));
    let mut modules: BTreeMap<&str, String> = BTreeMap::new();
    for (name, (level, modified)) in levels.iter().filter(|(_, (_, modified))| modified.is_some()) {
        let found =
            MODULES.iter().find(|(prefix, _)| name == prefix || name.starts_with(&format!("{prefix}.")));
        if let (Some((_, module)), true) = (found, modified.is_some()) {
            modules.insert(module, ours(level));
        }
    }
    let modules = modules.into_iter().map(|(module, level)| format!("{module}={level}"));
    std::iter::once(root).chain(modules).collect::<Vec<_>>().join(",")
}

pub(super) async fn list(State(rest): State<Rest>) -> Json<Value> {
    Json(json!(rest.loggers.show()))
}

pub(super) async fn show(State(rest): State<Rest>, Path(logger): Path<String>) -> Answer {
    let found = rest.loggers.show().remove(&logger);
    let missing = || Failure(StatusCode::NOT_FOUND, format!("Logger {logger} not found."));
    Ok(Json(found.ok_or_else(missing)?).into_response())
}

pub(super) async fn set(
    State(rest): State<Rest>,
    Path(logger): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    body: Sent,
) -> Answer {
    let body = body.json()?;
    let level = body.get("level").and_then(Value::as_str);
    let level =
        level.ok_or_else(|| bad("Desired 'level' parameter was not specified in request."))?.to_uppercase();
    if !["OFF", "FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&&*level) {
        return Err(Failure(StatusCode::NOT_FOUND, format!("invalid log level '{level}'.")));
    }
    let names = rest.loggers.change(&logger, &level).map_err(bad)?;
    // A standalone worker is its whole cluster.
    if query.get("scope").is_some_and(|scope| scope.eq_ignore_ascii_case("cluster")) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(Json(names).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loggers_are_bounded() {
        let loggers = Loggers::new(|_| Ok(()));
        assert!(loggers.change(&"x".repeat(LONGEST + 1), "INFO").is_err());
        let accepted = (0..2 * MOST).filter(|number| loggers.change(&format!("l{number}"), "INFO").is_ok());
        assert!(accepted.count() < MOST);
        assert!(loggers.change("l0", "DEBUG").is_ok(), "a known one can be changed");
    }

    #[test]
    fn loggers_are_levels_of_modules() {
        let levels = |entries: &[(&str, &str)]| {
            filter(
                &entries
                    .iter()
                    .map(|(name, level)| ((*name).to_owned(), ((*level).to_owned(), Some(1))))
                    .collect(),
            )
        };
        assert_eq!(levels(&[]), "info");
        assert_eq!(
            levels(&[("root", "WARN"), ("org.apache.kafka.connect.runtime", "TRACE")]),
            "warn,connect=trace"
        );
        assert_eq!(levels(&[("org.apache.kafka.clients", "FATAL"), ("x.y", "DEBUG")]), "info,kafka=error");
    }
}
