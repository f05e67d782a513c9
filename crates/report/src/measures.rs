//! Measures of any flow as text and as points of a chart: a count of events, an exact decimal, an estimate, a ratio.

use event::EventTime;
use flow::row::{Cell, MeasureColumns, Shows, Value};
use processor::board::{Measured, Point};

use crate::words;

/// One measure at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reading {
    /// The end of its window.
    pub(crate) end: EventTime,
    /// `None` for NULL.
    pub(crate) value: Option<f64>,
    /// The 95 % interval of a ratio of counts.
    pub(crate) interval: Option<(f64, f64)>,
}

/// A measure as a person reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The value; a dash for NULL.
    pub text: String,
    /// The same for machines; `None` for NULL and for ratios.
    pub exact: Option<String>,
}

/// The measure that charts show: the first ratio with an interval, else the first ratio, else the first measure.
pub fn leading(measures: &[MeasureColumns]) -> Option<&MeasureColumns> {
    let has_interval =
        |measure: &&MeasureColumns| matches!(measure.shows, Shows::Ratio { interval: true, .. });
    let is_ratio = |measure: &&MeasureColumns| matches!(measure.shows, Shows::Ratio { .. });
    measures.iter().find(has_interval).or_else(|| measures.iter().find(is_ratio)).or(measures.first())
}

/// A measure of a row as a point of a chart.
pub(crate) fn reading(measure: &MeasureColumns, measured: &Measured, end: EventTime) -> Reading {
    let value = match measure.shows {
        Shows::Count(value) | Shows::Number(value) | Shows::Distinct { value, .. } => {
            measured.values.get(value).and_then(Value::to_f64)
        }
        Shows::Ratio { .. } => measure.shows.rate(&measured.values),
    };
    Reading { end, value, interval: measure.shows.interval(&measured.values) }
}

/// A measure of several rows as points of a chart.
pub(crate) fn readings(measure: &MeasureColumns, points: &[Point]) -> Vec<Reading> {
    points.iter().map(|point| reading(measure, &point.measured, point.end)).collect()
}

/// Whether a measure is a part of a whole and shown in percent: one number of events divided by another.
pub(crate) fn is_share(measure: &MeasureColumns, measures: &[MeasureColumns]) -> bool {
    let is_count = |value: usize| measures.iter().any(|measure| measure.shows == Shows::Count(value));
    match measure.shows {
        Shows::Ratio { of, over, per, .. } => per == 1.0 && is_count(of) && is_count(over),
        _ => false,
    }
}

/// The value of a measure in a row.
pub fn text(measure: &MeasureColumns, measured: &Measured) -> Text {
    if is_share(measure, &measured.measures) {
        return Text { text: words::percent(measure.shows.rate(&measured.values)), exact: None };
    }
    let mut first = None;
    measure.cells(&measured.values, &mut |cell| {
        first.get_or_insert_with(|| match cell {
            Cell::Integer(number) => {
                Text { text: words::number(number.unsigned_abs()), exact: Some(number.to_string()) }
            }
            Cell::Decimal(total) => {
                let exact = total.to_string();
                Text { text: words::decimal(&exact), exact: Some(exact) }
            }
            Cell::Real(number) => Text { text: words::real(number), exact: None },
            _ => Text { text: "–".to_owned(), exact: None },
        });
    });
    first.unwrap_or_else(|| Text { text: "–".to_owned(), exact: None })
}

/// The 95 % interval of a ratio of counts: `4.21 % to 7.05 %`.
pub fn interval(measure: &MeasureColumns, measured: &Measured) -> Option<String> {
    let (low, high) = measure.shows.interval(&measured.values)?;
    let text = |value| scaled(measure, &measured.measures, value);
    Some(format!("{} to {}", text(low), text(high)))
}

/// A label of an axis: as few digits as a round number needs.
pub(crate) fn label(measure: &MeasureColumns, measures: &[MeasureColumns], value: f64) -> String {
    if is_share(measure, measures) { format!("{} %", words::real(value * 100.0)) } else { words::real(value) }
}

/// A value of a measure that is not in a row, such as a bound of its interval.
pub(crate) fn scaled(measure: &MeasureColumns, measures: &[MeasureColumns], value: f64) -> String {
    if is_share(measure, measures) { words::percent(Some(value)) } else { words::real(value) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flow::{measure::Estimate, number::Amount};
    use smallvec::smallvec;

    use super::*;

    fn measure(name: &str, shows: Shows) -> MeasureColumns {
        MeasureColumns { name: name.to_owned(), shows }
    }

    fn ratio(name: &str, of: usize, per: f64, interval: bool) -> MeasureColumns {
        measure(name, Shows::Ratio { of, over: 0, per, interval })
    }

    fn measures() -> Arc<[MeasureColumns]> {
        Arc::new([
            measure("views", Shows::Count(0)),
            measure("clicks", Shows::Count(1)),
            measure("revenue", Shows::Number(2)),
            measure("users", Shows::Distinct { value: 3, sketch: true }),
            ratio("rpm", 2, 1_000.0, false),
            ratio("ctr", 1, 1.0, true),
            ratio("per_mille", 1, 1_000.0, true),
        ])
    }

    #[test]
    fn each_kind_has_its_text() {
        let estimate = Estimate { number: 1_048, sketch: Some(Box::new([1])) };
        let values = smallvec![
            Value::Count(1_250),
            Value::Count(50),
            Value::from(Amount::parse("1999.50").expect("it fits")),
            Value::Distinct(Box::new(estimate)),
        ];
        let measured = Measured { measures: measures(), values };
        let texts: Vec<_> = measured.measures.iter().map(|measure| text(measure, &measured).text).collect();
        assert_eq!(texts, ["1,250", "50", "1,999.5", "1,048", "1,599.6", "4.00 %", "40"]);
        let null = Measured { values: smallvec![Value::Null; 4], ..measured };
        assert!(null.measures.iter().all(|measure| text(measure, &null).text == "–"));
    }

    #[test]
    fn charts_lead_with_a_ratio() {
        let all = measures();
        let name = |measures: &[MeasureColumns]| leading(measures).map(|measure| measure.name.clone());
        assert_eq!(name(&all).as_deref(), Some("ctr"));
        assert_eq!(name(&all[..5]).as_deref(), Some("rpm"));
        assert_eq!(name(&all[2..4]).as_deref(), Some("revenue"));
        assert_eq!(name(&[]), None);
    }
}
