//! The report about a sample: counts and names, never a value.

use connector::anonymise::Outcome;
use serde::Serialize;

use super::{
    HEADERS, Sample,
    looks::Look,
    places::{Count, Place, Places},
    times::{Times, TimesReport},
};

/// The report.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The source of the records.
    pub(crate) source: String,
    pub(crate) records: Records,
    /// Why records would be rejected, the most frequent reason first.
    pub(crate) rejects: Vec<Rejected>,
    /// Every place in their values.
    pub(crate) pointers: Vec<Line>,
    /// The Kafka key, as `key`, and the headers, as `header NAME`.
    pub(crate) attributes: Vec<Line>,
    /// When events happened; absent without `[events]`.
    pub(crate) times: Option<TimesReport>,
    /// Warnings about the configuration.
    pub(crate) warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Records {
    pub(crate) read: u64,
    pub(crate) passed: u64,
    pub(crate) filtered: u64,
    pub(crate) rejected: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Rejected {
    pub(crate) reason: &'static str,
    /// The declared pointer that the reason refers to.
    pub(crate) pointer: Option<String>,
    pub(crate) records: u64,
}

/// One field and one outcome.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) pointer: String,
    pub(crate) outcome: &'static str,
    pub(crate) occurrences: u64,
    pub(crate) records: u64,
    /// The share of the accepted records.
    pub(crate) share: f64,
    pub(crate) warnings: Vec<Warning>,
}

/// A reason to inspect a field.
#[derive(Debug, Serialize)]
pub(crate) struct Warning {
    pub(crate) kind: &'static str,
    pub(crate) text: String,
}

/// Bounds for an identifier: at least `FEW` distinct values that are half of all, or `MANY` that are one in twenty.
const FEW: u64 = 20;
const MANY: u64 = 100;

impl Report {
    /// The report of a sample from `source`.
    pub(crate) fn of(
        mut sample: Sample,
        times: Option<Times>,
        source: String,
        mut warnings: Vec<String>,
    ) -> Self {
        let times = times.map(Times::report);
        if let Some(odd) = times.as_ref().map(|times| times.in_january_1970).filter(|odd| *odd > 0) {
            warnings.push(format!(
                "events.time: {odd} event times are in January 1970: numbers are milliseconds since the epoch, and these look like seconds"
            ));
        }
        let (read, passed, filtered) = (sample.records(), sample.passed, sample.filtered);
        sample.values.fold(passed);
        sample.attributes.fold(passed);
        let rejected = sample.rejected.into_iter().map(|((reason, pointer), records)| Rejected {
            reason,
            pointer: pointer.map(|pointer| pointer.to_string()),
            records,
        });
        let mut rejects: Vec<Rejected> = rejected.collect();
        rejects.sort_by_key(|reject| std::cmp::Reverse(reject.records));
        let mut attributes = lines(&sample.attributes, passed);
        for line in &mut attributes {
            let name = line.pointer.trim_start_matches('/');
            line.pointer = match name.strip_prefix(&format!("{HEADERS}/")) {
                Some(header) => format!("header {header}"),
                None => name.to_owned(),
            };
        }
        Self {
            source,
            records: Records { read, passed, filtered, rejected: read - passed - filtered },
            rejects,
            pointers: lines(&sample.values, passed),
            attributes,
            times,
            warnings,
        }
    }
}

fn lines(places: &Places, records: u64) -> Vec<Line> {
    let mut lines = Vec::new();
    add(places, 0, "", records, &mut lines);
    lines
}

/// The lines of a place, and of those below it.
fn add(places: &Places, at: usize, pointer: &str, records: u64, lines: &mut Vec<Line>) {
    let place = &places.all[at];
    lines.extend(place.counts.iter().map(|(outcome, count)| line(place, pointer, *outcome, count, records)));
    for (name, member) in &place.members {
        let name = name.replace('~', "~0").replace('/', "~1");
        add(places, *member, &format!("{pointer}/{name}"), records, lines);
    }
    let Some(star) = place.star else { return };
    let (first, pointer) = (lines.len(), format!("{pointer}/*"));
    add(places, star, &pointer, records, lines);
    let warnings = of_names(place);
    if warnings.is_empty() || !lines[first..].iter().any(|line| is_shown(line.outcome)) {
        return;
    }
    match lines[first..].iter_mut().find(|line| line.pointer == pointer && is_shown(line.outcome)) {
        Some(line) => line.warnings.extend(warnings),
        None => {
            let of_star = &places.all[star];
            let count = Count::of_records(of_star.records);
            let line = line(of_star, &pointer, Outcome::Forwarded, &count, records);
            lines.insert(first, Line { warnings, ..line });
        }
    }
}

fn line(place: &Place, pointer: &str, outcome: Outcome, count: &Count, records: u64) -> Line {
    let records_here = count.records.min(records);
    Line {
        pointer: pointer.to_owned(),
        outcome: code(outcome),
        occurrences: count.times,
        records: records_here,
        share: if records == 0 { 0.0 } else { records_here as f64 / records as f64 },
        warnings: of_values(place, count),
    }
}

/// What the values of a place look like.
fn of_values(place: &Place, count: &Count) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (look, seen) in Look::ALL.into_iter().zip(count.looks).filter(|(_, seen)| *seen > 0) {
        let text = format!("{seen} of {} values look like {}", count.values, look.text());
        warnings.push(Warning { kind: look.code(), text });
    }
    let (different, values) = (count.distinct.count().min(count.values), count.values);
    let is_identifier =
        different >= FEW && different * 2 >= values || different >= MANY && different * 20 >= values;
    if is_identifier && !place.is_time {
        let text = format!("about {different} distinct values among {values}: values may identify persons");
        warnings.push(Warning { kind: "high-cardinality", text });
    }
    warnings
}

/// Warnings about names that are not shown separately, which are forwarded with their values.
fn of_names(place: &Place) -> Vec<Warning> {
    let names = place.names.distinct.count();
    if names == 0 {
        return Vec::new();
    }
    let (names, verb) = if names == 1 {
        ("one member name".to_owned(), "is")
    } else {
        (format!("about {names} distinct member names"), "are")
    };
    let text = format!("{names} that the configuration does not have {verb} forwarded, and may contain IDs");
    let mut warnings = vec![Warning { kind: "names-vary", text }];
    for (look, seen) in Look::ALL.into_iter().zip(place.names.looks).filter(|(_, seen)| *seen > 0) {
        let text = format!("{seen} of these names look like {}", look.text());
        warnings.push(Warning { kind: look.code(), text });
    }
    warnings
}

/// Names pass wherever anything of what they name does.
fn is_shown(outcome: &str) -> bool {
    outcome != code(Outcome::Removed) && outcome != code(Outcome::Dropped)
}

/// The word for programs.
fn code(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Forwarded => "forwarded",
        Outcome::QueryStripped => "query-stripped",
        Outcome::Pseudonymised => "pseudonymised",
        Outcome::Removed => "removed",
        Outcome::Dropped => "dropped",
    }
}
