//! The name and meaning of a metric: for the registry, for `# HELP`, and for the documentation.

use std::fmt::Write as _;

/// A metric as it is registered and documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described {
    /// The exported name, including `_total` and the unit.
    pub name: &'static str,
    /// The type of the metric.
    pub kind: Kind,
    /// The unit of its values.
    pub unit: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// The meaning, for `# HELP` and the documentation.
    pub help: &'static str,
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, and starts at 0 with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How many values were below each bound.
    Histogram,
}

impl Described {
    /// A counter; its name ends in `_total`.
    pub const fn counter(
        name: &'static str,
        unit: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Counter, unit, labels, help }
    }

    /// A gauge.
    pub const fn gauge(
        name: &'static str,
        unit: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Gauge, unit, labels, help }
    }

    /// A histogram.
    pub const fn histogram(
        name: &'static str,
        unit: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Histogram, unit, labels, help }
    }
}

/// A Markdown table of metrics.
pub fn table(metrics: &[Described]) -> String {
    let mut text = "| metric | labels | kind | unit | meaning |\n|---|---|---|---|---|\n".to_owned();
    for Described { name, kind, unit, labels, help } in metrics {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = labels.join(", ");
        // Writing to memory does not fail.
        let _ = writeln!(text, "| `{name}` | {labels} | {kind} | {unit} | {help} |");
    }
    text
}
