//! The report about a sample as text.

use std::fmt;

use super::{
    report::{Line, Report},
    times::TimesReport,
};
use crate::grid::grid;

/// The page.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = &self.records;
        let filtered = match records.filtered {
            0 => String::new(),
            filtered => format!(", {filtered} filtered"),
        };
        writeln!(
            f,
            "{} records of {}: {} passed{filtered}, {} rejected",
            records.read, self.source, records.passed, records.rejected
        )?;
        for reject in &self.rejects {
            let at = reject.pointer.as_ref().map(|pointer| format!(" at {pointer}")).unwrap_or_default();
            writeln!(f, "  {} rejected: {}{at}", reject.records, reject.reason)?;
        }
        let lines = || self.pointers.iter().chain(&self.attributes);
        let rows: Vec<Vec<String>> = lines().map(row).collect();
        if !rows.is_empty() {
            let head = ["FIELD", "RECORDS", "SHARE", "OUTCOME", "NOTE"];
            write!(f, "\n{}", grid(&head, &rows))?;
        }
        if let Some(times) = &self.times {
            writeln!(f, "\n{}", of_times(times))?;
        }
        let noted: Vec<&Line> = lines().filter(|line| !line.warnings.is_empty()).collect();
        if !noted.is_empty() || !self.warnings.is_empty() {
            writeln!(f)?;
        }
        for line in noted {
            for warning in &line.warnings {
                writeln!(f, "warning {}: {}", line.pointer, warning.text)?;
            }
        }
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning {warning}"))?;
        writeln!(
            f,
            "\nValues are not shown. Member names that are not in the configuration are shown as * if they vary or occur once.\nA field without a note can still be personal data: check every forwarded field."
        )
    }
}

fn of_times(times: &TimesReport) -> String {
    let seconds = |millis: i64| format!("{:.1} s", millis as f64 / 1e3);
    match (times.delay_p50_ms, times.delay_max_ms, times.ahead_max_ms) {
        (Some(middle), Some(most), Some(ahead)) => format!(
            "{} event times; delay until the Kafka timestamp: median {}, maximum {}; at most {} ahead of it",
            times.read,
            seconds(middle),
            seconds(most),
            seconds(ahead)
        ),
        _ => format!("{} event times, without Kafka timestamps to compare", times.read),
    }
}

fn row(line: &Line) -> Vec<String> {
    let outcome = match line.outcome {
        "query-stripped" => "forwarded without query",
        other => other,
    };
    let kinds: Vec<&str> = line.warnings.iter().map(|warning| warning.kind).collect();
    vec![
        line.pointer.clone(),
        line.records.to_string(),
        share(line.share),
        outcome.to_owned(),
        kinds.join(", "),
    ]
}

/// A share such as `12 %`; a small one is not shown as zero.
fn share(share: f64) -> String {
    match share * 100.0 {
        percent if percent > 0.0 && percent < 1.0 => "< 1 %".to_owned(),
        percent => format!("{:.0} %", percent.floor()),
    }
}
