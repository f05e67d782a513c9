//! Charts as SVG: a course, an interval, shares. Colours are in the style sheet.
//!
//! Everything that they show is also text beside them, so assistive technology skips them. They contain numbers and names
//! of classes, and no text of users.

use event::Ledger;
use svg::{
    Document,
    node::element::{Circle, Line, Path, Rectangle, path::Data},
};

use crate::measures::Reading;

/// An SVG element as text.
pub(crate) type Svg = String;

const GAP: f64 = 2.0;
/// Charts in rows are wider than this for their height.
const LARGE: f64 = 4.0;

fn canvas(width: f64, height: f64, class: &str) -> Document {
    Document::new()
        .set("viewBox", (0.0, 0.0, width, height))
        .set("preserveAspectRatio", "none")
        .set("class", class)
        .set("aria-hidden", "true")
        .set("focusable", "false")
}

/// Rates over time, from zero to the highest.
pub(crate) fn spark(course: &[f64]) -> Svg {
    const SIZE: (f64, f64) = (160.0, 36.0);
    let canvas = canvas(SIZE.0, SIZE.1, "spark");
    let most = course.iter().copied().fold(0.0, f64::max);
    if course.len() < 2 || most <= 0.0 {
        return canvas.add(level(SIZE.0, SIZE.1 - GAP)).to_string();
    }
    let x = |place: usize| place as f64 * SIZE.0 / (course.len() - 1) as f64;
    let y = |rate: f64| SIZE.1 - GAP - rate / most * (SIZE.1 - 2.0 * GAP);
    let points: Vec<_> = course.iter().enumerate().map(|(place, rate)| (x(place), y(*rate))).collect();
    let mut area = Data::new().move_to((0.0, SIZE.1));
    for point in &points {
        area = area.line_to(*point);
    }
    let area = area.line_to((SIZE.0, SIZE.1)).close();
    canvas
        .add(Path::new().set("class", "area").set("d", area))
        .add(Path::new().set("class", "line").set("d", line(&points)))
        .to_string()
}

/// What a chart spans: from the lowest to the highest value, and always 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    /// A scale for these readings with their intervals.
    pub(crate) fn of<'a>(readings: impl IntoIterator<Item = &'a Reading>) -> Self {
        let mut scale = Self { low: 0.0, high: 0.0 };
        for reading in readings {
            let (low, high) = reading.interval.unzip();
            for value in [reading.value, low, high].into_iter().flatten() {
                scale.low = scale.low.min(value);
                scale.high = scale.high.max(value);
            }
        }
        scale
    }

    /// The same scale out to round numbers, and lines between them, the highest first.
    pub(crate) fn rounded(self) -> (Self, Vec<f64>) {
        const LINES: f64 = 4.0;
        let span = self.high - self.low;
        if !(span.is_finite() && span > 0.0) {
            return (Self { low: 0.0, high: 1.0 }, vec![0.0]);
        }
        let exact = span / LINES;
        let power = 10_f64.powf(exact.log10().floor());
        let step =
            [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= exact);
        let step = step.unwrap_or(exact);
        let (first, last) = ((self.low / step).floor() as i64, (self.high / step).ceil() as i64);
        let scale = Self { low: first as f64 * step, high: last as f64 * step };
        (scale, (first..=last).rev().map(|line| line as f64 * step).collect())
    }

    fn share(self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low).max(f64::MIN_POSITIVE)
    }
}

/// A measure of window after window with its interval. `lines` are drawn behind it.
pub(crate) fn course(
    readings: &[Reading],
    scale: Scale,
    lines: &[f64],
    (width, height): (f64, f64),
    class: &str,
) -> Svg {
    let mut canvas = canvas(width, height, class);
    let y = |value: f64| height - GAP - scale.share(value) * (height - 2.0 * GAP);
    for value in lines {
        canvas = canvas.add(level(width, y(*value)));
    }
    let known = || readings.iter().filter_map(|reading| Some((reading, reading.value?)));
    let (Some((first, _)), Some((last, last_value))) = (known().next(), known().next_back()) else {
        return canvas.add(level(width, height - GAP)).to_string();
    };
    let span = last.end.0 - first.end.0;
    let x = |reading: &Reading| {
        if span == 0 {
            width / 2.0
        } else {
            GAP + (reading.end.0 - first.end.0) as f64 / span as f64 * (width - 2.0 * GAP)
        }
    };
    let bounds = |(reading, _): (&Reading, f64)| {
        let (low, high) = reading.interval?;
        Some((x(reading), y(low), y(high)))
    };
    let band: Vec<_> = known().filter_map(bounds).collect();
    if band.len() > 1 {
        let mut area = Data::new().move_to((band[0].0, band[0].2));
        for (x, _, high) in &band {
            area = area.line_to((*x, *high));
        }
        for (x, low, _) in band.iter().rev() {
            area = area.line_to((*x, *low));
        }
        canvas = canvas.add(Path::new().set("class", "band").set("d", area.close()));
    }
    let points: Vec<_> = known().map(|(reading, value)| (x(reading), y(value))).collect();
    canvas = canvas.add(Path::new().set("class", "line").set("d", line(&points)));
    // Stretched with the rest, a dot in a large chart would be an ellipse.
    if width / height > LARGE {
        let (cx, cy) = (x(last).min(width - GAP), y(last_value));
        canvas = canvas.add(Circle::new().set("class", "dot").set("cx", cx).set("cy", cy).set("r", GAP));
    }
    canvas.to_string()
}

/// A value with its interval on a scale.
pub(crate) fn interval(reading: &Reading, scale: Scale) -> Svg {
    const SIZE: (f64, f64) = (120.0, 14.0);
    let middle = SIZE.1 / 2.0;
    let mut canvas = canvas(SIZE.0, SIZE.1, "interval").add(level(SIZE.0, middle));
    let x = |value: f64| scale.share(value).clamp(0.0, 1.0) * (SIZE.0 - 2.0 * GAP) + GAP;
    if let Some((low, high)) = reading.interval {
        let width = (x(high) - x(low)).max(1.0);
        canvas = canvas.add(
            Rectangle::new()
                .set("class", "range")
                .set("x", x(low))
                .set("y", middle - 3.0)
                .set("width", width)
                .set("height", 6)
                .set("rx", 3),
        );
    }
    if let Some(value) = reading.value {
        canvas = canvas.add(
            Rectangle::new()
                .set("class", "mark")
                .set("x", x(value) - 1.0)
                .set("y", 0)
                .set("width", 2)
                .set("height", SIZE.1),
        );
    }
    canvas.to_string()
}

/// Shares of a whole, side by side; each has its outcome as a class, and is wide enough to be seen.
pub(crate) fn shares(ledger: &Ledger) -> Svg {
    const SIZE: (f64, f64) = (1000.0, 20.0);
    const LEAST: f64 = 4.0;
    let mut canvas = canvas(SIZE.0, SIZE.1, "shares");
    let wanted = |offsets: u64| {
        let share = offsets as f64 / ledger.total().max(1) as f64 * SIZE.0;
        if offsets == 0 { 0.0 } else { share.max(LEAST) }
    };
    let scale = SIZE.0 / ledger.iter().map(|(_, offsets)| wanted(offsets)).sum::<f64>().max(1.0);
    let mut at = 0.0;
    for (outcome, offsets) in ledger.iter() {
        let width = wanted(offsets) * scale;
        if width > 0.0 {
            canvas = canvas.add(
                Rectangle::new()
                    .set("class", outcome.as_str())
                    .set("x", at)
                    .set("y", 0)
                    .set("width", width)
                    .set("height", SIZE.1),
            );
        }
        at += width;
    }
    canvas.to_string()
}

fn level(width: f64, y: f64) -> Line {
    Line::new().set("class", "level").set("x1", 0).set("x2", width).set("y1", y).set("y2", y)
}

fn line(points: &[(f64, f64)]) -> Data {
    let mut data = Data::new();
    for (place, point) in points.iter().enumerate() {
        data = if place == 0 { data.move_to(*point) } else { data.line_to(*point) };
    }
    data
}

#[cfg(test)]
mod tests {
    use event::{EventTime, ledger::Outcome};
    use proptest::prelude::*;

    use super::*;

    fn reading(minute: i64, value: Option<f64>, interval: Option<(f64, f64)>) -> Reading {
        Reading { end: EventTime(minute * 60_000), value, interval }
    }

    #[test]
    fn an_empty_series_is_a_flat_line() {
        let none = course(&[], Scale::of([]), &[], (160.0, 36.0), "course");
        for picture in [spark(&[]), spark(&[0.0, 0.0]), none] {
            assert!(picture.contains("class=\"level\"") && !picture.contains("class=\"line\""), "{picture}");
        }
        assert!(!shares(&Ledger::default()).contains("<rect"));
    }

    #[test]
    fn every_nonzero_outcome_is_visible() {
        let mut ledger = Ledger::default();
        ledger.add(Outcome::Counted, 1_000_000);
        ledger.add(Outcome::Lost, 1);
        let picture = shares(&ledger);
        assert!(picture.contains("class=\"lost\"") && !picture.contains("class=\"late\""), "{picture}");
    }

    #[test]
    fn grid_lines_are_at_round_numbers() {
        let check = |low, high, lines: &[f64]| {
            let (scale, found) = Scale { low, high }.rounded();
            let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-9;
            assert!(
                found.len() == lines.len() && found.iter().zip(lines).all(near),
                "{low} {high}: {found:?}"
            );
            assert!(scale.low <= low && scale.high >= high);
        };
        check(0.0, 0.0712, &[0.08, 0.06, 0.04, 0.02, 0.0]);
        check(0.0, 100.0, &[100.0, 75.0, 50.0, 25.0, 0.0]);
        check(-30.0, 70.0, &[75.0, 50.0, 25.0, 0.0, -25.0, -50.0]);
        check(0.0, 0.0, &[0.0]);
    }

    proptest! {
        #[test]
        fn every_number_is_finite(values in prop::collection::vec((any::<bool>(), -1e30f64..1e30, 0.0f64..1e3), 0..20)) {
            let some = |(n, (known, value, width)): (usize, (bool, f64, f64))| {
                reading(n as i64, known.then_some(value), known.then_some((value - width, value + width)))
            };
            let readings: Vec<_> = values.into_iter().enumerate().map(some).collect();
            let (scale, lines) = Scale::of(&readings).rounded();
            let mut pictures = vec![course(&readings, scale, &lines, (160.0, 36.0), "course")];
            pictures.extend(readings.iter().map(|reading| interval(reading, Scale::of(&readings))));
            for picture in pictures {
                prop_assert!(!picture.contains("NaN") && !picture.contains("inf\""), "{}", picture);
            }
        }
    }
}
