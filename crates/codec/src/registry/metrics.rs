//! Metrics of the schema registry.

use std::sync::Arc;

use service::{
    Metrics,
    metrics::{Counter, Described, Family},
};

use super::{
    Shared,
    http::{Failure, Got},
};

/// Requests to the registry.
const REQUESTS: Described = Described::counter(
    "aqueduct_schema_registry_requests_total",
    "requests",
    &["outcome"],
    "Requests to the schema registry: `found`, `unknown` (it has no such schema), `refused` (the credentials), `failed` (no answer that a registry would give)",
);
/// Schemas in memory.
const SCHEMAS: Described = Described::gauge(
    "aqueduct_schema_registry_schemas",
    "schemas",
    &[],
    "Schemas of the registry that are kept in memory",
);
/// Schemas that records wait for.
const WAITING: Described = Described::gauge(
    "aqueduct_schema_registry_waiting_schemas",
    "schemas",
    &[],
    "Schemas that were requested from the registry and have not arrived; partitions wait for them",
);

/// Every metric, for the documentation.
pub const ALL: [Described; 3] = [REQUESTS, SCHEMAS, WAITING];

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Found,
    Unknown,
    Refused,
    Failed,
}

/// Counts requests.
pub(crate) struct Counters(Family<[(&'static str, &'static str); 1], Counter>);

impl Outcome {
    pub(crate) fn of<T>(answer: &Result<Got<T>, Failure>) -> Self {
        match answer {
            Ok(Got::Found(_) | Got::TooLarge) => Self::Found,
            Ok(Got::Unknown) => Self::Unknown,
            Err(Failure::Fatal(_)) => Self::Refused,
            Err(Failure::Retry { .. }) => Self::Failed,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl Counters {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let requests = Self(metrics.counters(&REQUESTS));
        for outcome in [Outcome::Found, Outcome::Unknown, Outcome::Refused, Outcome::Failed] {
            // Exported as 0 before the first request, so that an alert sees the increase.
            drop(requests.0.get_or_create(&[("outcome", outcome.as_str())]));
        }
        requests
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        self.0.get_or_create(&[("outcome", outcome.as_str())]).inc();
    }
}

/// Measures what the cache has.
pub(super) fn measure<S: ?Sized + Send + Sync + 'static>(metrics: &Metrics, shared: &Arc<Shared<S>>) {
    let (of_schemas, of_waiting) = (shared.clone(), shared.clone());
    metrics.measured(&SCHEMAS, move || vec![(Vec::new(), of_schemas.cache().schemas() as f64)]);
    metrics.measured(&WAITING, move || vec![(Vec::new(), of_waiting.cache().waiting() as f64)]);
}
