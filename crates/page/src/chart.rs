//! Small pictures of numbers: a course, an interval, shares. Colours come from the style sheet.
//!
//! They say nothing that does not stand beside them in words: assistive technology passes over them.
//! No text from outside gets into them, only numbers and names of classes.

use event::Ctr;
use svg::{
    Document,
    node::element::{Circle, Line, Path, Rectangle, path::Data},
};

use crate::facts::{Outcome, Point};

/// An SVG element as text.
pub type Svg = String;

const GAP: f64 = 2.0;

fn canvas(width: f64, height: f64, class: &str) -> Document {
    Document::new()
        .set("viewBox", (0.0, 0.0, width, height))
        .set("preserveAspectRatio", "none")
        .set("class", class)
        .set("aria-hidden", "true")
        .set("focusable", "false")
}

/// A course of rates, from nothing to its highest.
pub fn spark(course: &[f64]) -> Svg {
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

/// The click-through rate of window after window with its interval, from nothing to the highest.
pub fn course(points: &[Point], (width, height): (f64, f64), class: &str) -> Svg {
    let mut canvas = canvas(width, height, class);
    let most = highest(points);
    let known: Vec<_> = points.iter().filter(|point| point.ctr.rate().is_some()).collect();
    let (Some(first), Some(last)) = (known.first(), known.last()) else {
        return canvas.add(level(width, height - GAP)).to_string();
    };
    let span = (last.end.0 - first.end.0).max(1) as f64;
    let x = |point: &Point| {
        if known.len() == 1 {
            width / 2.0
        } else {
            GAP + (point.end.0 - first.end.0) as f64 / span * (width - 2.0 * GAP)
        }
    };
    let y = |rate: f64| height - GAP - rate / most.max(f64::MIN_POSITIVE) * (height - 2.0 * GAP);
    let bounds = |point: &&Point| point.ctr.interval().map(|(low, high)| (x(point), y(low), y(high)));
    let band: Vec<_> = known.iter().filter_map(bounds).collect();
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
    let place = |point: &&Point| (x(point), y(point.ctr.rate().unwrap_or(0.0)));
    let points: Vec<_> = known.iter().map(place).collect();
    let end = place(last);
    canvas
        .add(Path::new().set("class", "line").set("d", line(&points)))
        .add(
            Circle::new()
                .set("class", "dot")
                .set("cx", end.0.min(width - GAP))
                .set("cy", end.1)
                .set("r", GAP),
        )
        .to_string()
}

/// The top of [`course`]: the highest bound or rate.
pub fn highest(points: &[Point]) -> f64 {
    let top = |ctr: &Ctr| ctr.interval().map(|(_, high)| high).or(ctr.rate()).unwrap_or(0.0);
    points.iter().map(|point| top(&point.ctr)).fold(0.0, f64::max)
}

/// A rate with its interval on a scale from nothing to `most`.
pub fn interval(ctr: &Ctr, most: f64) -> Svg {
    const SIZE: (f64, f64) = (120.0, 14.0);
    let middle = SIZE.1 / 2.0;
    let mut canvas = canvas(SIZE.0, SIZE.1, "interval").add(level(SIZE.0, middle));
    let x = |rate: f64| (rate / most.max(f64::MIN_POSITIVE)).min(1.0) * (SIZE.0 - 2.0 * GAP) + GAP;
    if let Some((low, high)) = ctr.interval() {
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
    if let Some(rate) = ctr.rate() {
        canvas = canvas.add(
            Rectangle::new()
                .set("class", "mark")
                .set("x", x(rate) - 1.0)
                .set("y", 0)
                .set("width", 2)
                .set("height", SIZE.1),
        );
    }
    canvas.to_string()
}

/// Shares of a whole, side by side; each has its outcome as a class, and is wide enough to be seen.
pub fn shares(ledger: &[Outcome]) -> Svg {
    const SIZE: (f64, f64) = (1000.0, 20.0);
    const LEAST: f64 = 4.0;
    let total: u64 = ledger.iter().map(|outcome| outcome.offsets).sum();
    let mut canvas = canvas(SIZE.0, SIZE.1, "shares");
    let wanted = |outcome: &Outcome| {
        let share = outcome.offsets as f64 / total.max(1) as f64 * SIZE.0;
        if outcome.offsets == 0 { 0.0 } else { share.max(LEAST) }
    };
    let scale = SIZE.0 / ledger.iter().map(wanted).sum::<f64>().max(1.0);
    let mut at = 0.0;
    for outcome in ledger {
        let width = wanted(outcome) * scale;
        if width > 0.0 {
            canvas = canvas.add(
                Rectangle::new()
                    .set("class", outcome.outcome)
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
    use event::EventTime;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_a_flat_line() {
        for picture in [spark(&[]), spark(&[0.0, 0.0]), course(&[], (160.0, 36.0), "course")] {
            assert!(picture.contains("class=\"level\"") && !picture.contains("class=\"line\""), "{picture}");
        }
        assert!(!shares(&[]).contains("<rect"));
    }

    #[test]
    fn every_outcome_that_is_there_is_seen() {
        let outcome = |outcome, offsets| Outcome { outcome, offsets };
        let picture = shares(&[outcome("counted", 1_000_000), outcome("late", 0), outcome("lost", 1)]);
        assert!(picture.contains("class=\"lost\"") && !picture.contains("class=\"late\""), "{picture}");
    }

    proptest! {
        #[test]
        fn every_number_is_finite(counts in prop::collection::vec((0u64..100, 0u64..200), 0..20)) {
            let point = |(n, (views, clicks)): (usize, (u64, u64))| Point {
                end: EventTime(n as i64 * 60_000),
                ctr: Ctr { views, clicks, attributed: 0 },
            };
            let points: Vec<_> = counts.into_iter().enumerate().map(point).collect();
            let mut pictures = vec![course(&points, (160.0, 36.0), "course")];
            pictures.extend(points.iter().map(|point| interval(&point.ctr, highest(&points))));
            for picture in pictures {
                prop_assert!(!picture.contains("NaN") && !picture.contains("inf\""), "{}", picture);
            }
        }
    }
}
