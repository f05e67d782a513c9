//! The registry of metrics, and its OpenMetrics text.
//!
//! A thin wrapper around `prometheus-client`: several crates register into one registry, and a metric is registered as
//! it is [`Described`], so its name in the code, on the dashboard and in `docs/metrics.md` is one constant. The metrics
//! themselves are in a `metrics.rs` of each crate; those of every process are in [`crate::process`] and
//! [`crate::readiness`].

use std::{
    collections::BTreeSet,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, text},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::{Metric, Registry, Unit},
};

pub use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram};

pub use crate::described::{Described, Kind};

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A gauge for a fraction: seconds, ratios.
pub type FloatGauge = Gauge<f64, std::sync::atomic::AtomicU64>;

/// The result of a measurement: any number of label sets with their values.
pub type Samples = Vec<(Vec<(&'static str, String)>, f64)>;

/// The registry of a process, shared by cloning.
#[derive(Clone, Default)]
pub struct Metrics {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    registry: Registry,
    names: BTreeSet<&'static str>,
}

/// Upper bounds of a histogram's buckets, ascending, without the infinite one.
#[derive(Clone, Copy, Debug)]
pub struct Buckets(pub &'static [f64]);

impl Metrics {
    /// A counter.
    pub fn counter(&self, what: &Described) -> Counter {
        self.register(what, Kind::Counter, Counter::default())
    }

    /// Counters with labels.
    pub fn counters<L: Labels>(&self, what: &Described) -> Family<L, Counter> {
        self.register(what, Kind::Counter, Family::default())
    }

    /// A gauge of whole numbers.
    pub fn gauge(&self, what: &Described) -> Gauge {
        self.register(what, Kind::Gauge, Gauge::default())
    }

    /// Gauges of whole numbers with labels.
    pub fn gauges<L: Labels>(&self, what: &Described) -> Family<L, Gauge> {
        self.register(what, Kind::Gauge, Family::default())
    }

    /// A gauge of fractions.
    pub fn float_gauge(&self, what: &Described) -> FloatGauge {
        self.register(what, Kind::Gauge, FloatGauge::default())
    }

    /// Gauges of fractions with labels.
    pub fn float_gauges<L: Labels>(&self, what: &Described) -> Family<L, FloatGauge> {
        self.register(what, Kind::Gauge, Family::default())
    }

    /// A histogram.
    pub fn histogram(&self, what: &Described, buckets: Buckets) -> Histogram {
        self.register(what, Kind::Histogram, Histogram::new(buckets.0.iter().copied()))
    }

    /// A counter or gauge that is measured on each scrape. It is omitted while the measurement returns nothing.
    pub fn measured(&self, what: &'static Described, measure: impl Fn() -> Samples + Send + Sync + 'static) {
        self.take_name(what);
        self.lock().registry.register_collector(Box::new(Measured { what, measure: Box::new(measure) }));
    }

    /// All metrics as OpenMetrics text.
    ///
    /// # Errors
    /// If a metric cannot be encoded.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.lock().registry)?;
        Ok(page)
    }

    fn register<M: Metric + Clone>(&self, what: &Described, kind: Kind, metric: M) -> M {
        assert_eq!(what.kind, kind, "{} is registered with the type of its description", what.name);
        self.take_name(what);
        let (stem, unit) = stem(what);
        let mut shared = self.lock();
        // The encoder adds a full stop to every help text.
        let help = what.help.trim_end_matches('.');
        match unit {
            Some(unit) => shared.registry.register_with_unit(stem, help, unit, metric.clone()),
            None => shared.registry.register(stem, help, metric.clone()),
        }
        metric
    }

    /// A name that is used twice makes the whole exposition invalid, so this is checked at start-up.
    fn take_name(&self, what: &Described) {
        let is_new = self.lock().names.insert(what.name);
        assert!(is_new, "metric {} is registered once", what.name);
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A poisoned lock is harmless: the registry is never left half changed.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name that the encoder expects: it appends the unit, and `_total` for counters.
fn stem(what: &Described) -> (&'static str, Option<Unit>) {
    let name = what.name.strip_suffix("_total").unwrap_or(what.name);
    for (suffix, unit) in [("_bytes", Unit::Bytes), ("_seconds", Unit::Seconds)] {
        if let Some(stem) = name.strip_suffix(suffix) {
            return (stem, Some(unit));
        }
    }
    (name, None)
}

struct Measured {
    what: &'static Described,
    measure: Box<dyn Fn() -> Samples + Send + Sync>,
}

impl Collector for Measured {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let samples = (self.measure)();
        if samples.is_empty() {
            return Ok(());
        }
        let (stem, unit) = stem(self.what);
        let kind = match self.what.kind {
            Kind::Counter => ConstCounter::new(0.0).metric_type(),
            Kind::Gauge | Kind::Histogram => ConstGauge::new(0.0).metric_type(),
        };
        let help = format!("{}.", self.what.help.trim_end_matches('.'));
        let mut family = encoder.encode_descriptor(stem, &help, unit.as_ref(), kind)?;
        // A metric without labels is not a family.
        if let [(labels, value)] = samples.as_slice()
            && labels.is_empty()
        {
            return self.write(*value, family);
        }
        samples.iter().try_for_each(|(labels, value)| self.write(*value, family.encode_family(labels)?))
    }
}

impl Measured {
    fn write(&self, value: f64, to: MetricEncoder<'_>) -> fmt::Result {
        match self.what.kind {
            Kind::Counter => ConstCounter::new(value).encode(to),
            Kind::Gauge | Kind::Histogram => ConstGauge::new(value).encode(to),
        }
    }
}

impl fmt::Debug for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Measured").field(&self.what.name).finish()
    }
}

/// Types that can be the labels of a family: a struct that derives `EncodeLabelSet`, or an array of pairs.
pub trait Labels: EncodeLabelSet + Clone + Hash + Eq + Send + Sync + fmt::Debug + 'static {}

impl<T: EncodeLabelSet + Clone + Hash + Eq + Send + Sync + fmt::Debug + 'static> Labels for T {}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Metrics").field(&self.lock().names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: Described =
        Described::counter("aqueduct_records_total", "records", &["outcome"], "Records read.");
    const HOLES: Described = Described::gauge("aqueduct_holes", "ranges", &[], "Offsets not seen yet");
    const DELAY: Described = Described::gauge("aqueduct_delay_seconds", "seconds", &[], "How far behind");
    const SIZE: Described = Described::histogram("aqueduct_size_bytes", "bytes", &[], "Sizes");
    const RETRIES: Described =
        Described::counter("aqueduct_retries_total", "attempts", &[], "Attempts again");
    const SENT: Described = Described::counter("aqueduct_sent_bytes_total", "bytes", &["to"], "Bytes sent");

    #[test]
    fn names_are_exposed_as_they_are_written() {
        let metrics = Metrics::default();
        let records = metrics.counters::<[(&str, &str); 1]>(&RECORDS);
        records.get_or_create(&[("outcome", "published")]).inc_by(3);
        metrics.gauge(&HOLES).set(7);
        metrics.float_gauge(&DELAY).set(1.5);
        metrics.histogram(&SIZE, Buckets(&[1.0, 8.0])).observe(3.0);
        metrics.clone().counter(&RETRIES).inc();
        metrics.measured(&SENT, || vec![(vec![("to", "a".to_owned())], 9.0)]);
        let page = metrics.encode().expect("text");
        for line in [
            "# HELP aqueduct_records Records read.",
            "# TYPE aqueduct_records counter",
            "aqueduct_records_total{outcome=\"published\"} 3",
            "aqueduct_holes 7",
            "# UNIT aqueduct_delay_seconds seconds",
            "aqueduct_delay_seconds 1.5",
            "aqueduct_size_bytes_bucket{le=\"8.0\"} 1",
            "aqueduct_retries_total 1",
            "# HELP aqueduct_sent_bytes Bytes sent.",
            "# TYPE aqueduct_sent_bytes counter",
            "# UNIT aqueduct_sent_bytes bytes",
            "aqueduct_sent_bytes_total{to=\"a\"} 9.0",
            "# EOF",
        ] {
            assert!(page.lines().any(|other| other == line), "{line} in\n{page}");
        }
    }

    #[test]
    fn missing_measurements_are_omitted() {
        let metrics = Metrics::default();
        metrics.measured(&SENT, Vec::new);
        assert_eq!(metrics.encode().expect("text"), "# EOF\n");
    }

    #[test]
    #[should_panic(expected = "metric aqueduct_holes is registered once")]
    fn a_name_is_registered_once() {
        let metrics = Metrics::default();
        metrics.gauge(&HOLES);
        metrics.gauge(&HOLES);
    }

    #[test]
    #[should_panic(expected = "aqueduct_holes is registered with the type of its description")]
    fn metrics_match_their_descriptions() {
        Metrics::default().counter(&HOLES);
    }
}
