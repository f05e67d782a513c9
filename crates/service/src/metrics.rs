//! The registry of metrics, and its OpenMetrics text.
//!
//! A thin wrapper around `prometheus-client`: it lets several crates register into one registry and takes the names as
//! they are exposed (`..._total` included), so that a name in the code is the name on the dashboard. Not here: the names
//! themselves; they stand in a `metrics.rs` of each crate.

use std::{
    collections::BTreeSet,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{EncodeLabelSet, text},
    registry::{Metric, Registry},
};

pub use prometheus_client::metrics::{
    counter::Counter,
    family::{Family, MetricConstructor},
    gauge::Gauge,
    histogram::Histogram,
};

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A gauge that holds a fraction: seconds, ratios.
pub type FloatGauge = Gauge<f64, std::sync::atomic::AtomicU64>;

/// Histograms with the same buckets, one a set of labels.
pub type Histograms<L> = Family<L, Histogram, Buckets>;

/// The registry of a process, shared by cloning.
#[derive(Clone, Default)]
pub struct Metrics {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    registry: Registry,
    names: BTreeSet<String>,
}

/// Upper bounds of a histogram's buckets, ascending, without the infinite one.
#[derive(Clone, Copy, Debug)]
pub struct Buckets(pub &'static [f64]);

impl Metrics {
    /// A counter; its name ends in `_total`.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.register(name, help, Counter::default())
    }

    /// Counters with labels.
    pub fn counters<L: Labels>(&self, name: &str, help: &str) -> Family<L, Counter> {
        self.register(name, help, Family::default())
    }

    /// A gauge of whole numbers.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(name, help, Gauge::default())
    }

    /// Gauges of whole numbers with labels.
    pub fn gauges<L: Labels>(&self, name: &str, help: &str) -> Family<L, Gauge> {
        self.register(name, help, Family::default())
    }

    /// A gauge of fractions.
    pub fn float_gauge(&self, name: &str, help: &str) -> FloatGauge {
        self.register(name, help, FloatGauge::default())
    }

    /// Gauges of fractions with labels.
    pub fn float_gauges<L: Labels>(&self, name: &str, help: &str) -> Family<L, FloatGauge> {
        self.register(name, help, Family::default())
    }

    /// A histogram.
    pub fn histogram(&self, name: &str, help: &str, buckets: Buckets) -> Histogram {
        self.register(name, help, buckets.new_metric())
    }

    /// Histograms with labels.
    pub fn histograms<L: Labels>(&self, name: &str, help: &str, buckets: Buckets) -> Histograms<L> {
        self.register(name, help, Family::new_with_constructor(buckets))
    }

    /// Any other metric of `prometheus-client`; gives it back.
    ///
    /// # Panics
    /// When the name was registered before, which would make the whole exposition invalid: a defect that shows at
    /// start-up.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        // The encoder adds `_total` to counters and a full stop to every help text.
        let stem = name.strip_suffix("_total").unwrap_or(name);
        let mut shared = self.lock();
        let is_new = shared.names.insert(stem.to_owned());
        assert!(is_new, "metric {name} is registered once");
        shared.registry.register(stem, help.trim_end_matches('.'), metric.clone());
        metric
    }

    /// Something that is measured only when it is asked for.
    pub fn collect(&self, collector: Box<dyn Collector>) {
        self.lock().registry.register_collector(collector);
    }

    /// All metrics as OpenMetrics text.
    ///
    /// # Errors
    /// A metric or collector could not write itself.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.lock().registry)?;
        Ok(page)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A registry is never left half changed.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What can be the labels of a family: a struct that derives `EncodeLabelSet`, or an array of pairs.
pub trait Labels: EncodeLabelSet + Clone + Hash + Eq + Send + Sync + fmt::Debug + 'static {}

impl<T: EncodeLabelSet + Clone + Hash + Eq + Send + Sync + fmt::Debug + 'static> Labels for T {}

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Metrics").field(&self.lock().names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exposed_as_they_are_written() {
        let metrics = Metrics::default();
        let records = metrics.counters::<[(&str, &str); 1]>("aqueduct_records_total", "Records read.");
        records.get_or_create(&[("outcome", "published")]).inc_by(3);
        metrics.gauge("aqueduct_holes", "Offsets not seen yet").set(7);
        metrics.float_gauge("aqueduct_delay_seconds", "How far behind").set(1.5);
        metrics.histogram("aqueduct_size_bytes", "Sizes", Buckets(&[1.0, 8.0])).observe(3.0);
        metrics.clone().counter("aqueduct_retries_total", "Attempts again").inc();
        let page = metrics.encode().expect("text");
        for line in [
            "# HELP aqueduct_records Records read.",
            "# TYPE aqueduct_records counter",
            "aqueduct_records_total{outcome=\"published\"} 3",
            "aqueduct_holes 7",
            "aqueduct_delay_seconds 1.5",
            "aqueduct_size_bytes_bucket{le=\"8.0\"} 1",
            "aqueduct_retries_total 1",
            "# EOF",
        ] {
            assert!(page.lines().any(|other| other == line), "{line} in\n{page}");
        }
    }

    #[test]
    #[should_panic(expected = "metric a_total is registered once")]
    fn a_name_is_registered_once() {
        let metrics = Metrics::default();
        metrics.gauge("a", "First");
        metrics.counter("a_total", "Second");
    }
}
