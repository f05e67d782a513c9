//! The output of a demo: a live table on a terminal, otherwise a line at intervals, and a summary at the end.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use event::{EventTime, Millis, ledger::Outcome};
use flow::row::{FlowTable, MeasureColumns, Row, Shows};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use processor::board::Measured;
use report::measures;
use tokio::{sync::watch, time::Instant};
use writer::{LatestRow, Writer};

use crate::{progress::Bar, tables::Trouble};

/// The output of the demo.
pub(super) struct Screen {
    path: PathBuf,
    started: Instant,
    duration: Option<Millis>,
    bar: Option<Bar>,
    last: (Instant, u64),
    /// Why rows wait.
    trouble: Trouble,
}

/// The totals that are compared at the end.
pub(super) struct Totals<'a> {
    pub(super) produced: u64,
    pub(super) connector: &'a connector::Summary,
    pub(super) processor: &'a processor::Summary,
    pub(super) rows: u64,
    pub(super) table: &'a FlowTable,
}

const LIVE: Duration = Duration::from_secs(1);
const LINES: Duration = Duration::from_secs(5);
const BUSIEST: usize = 8;

impl Screen {
    pub(super) fn new(path: &Path, address: SocketAddr, duration: Option<Millis>, trouble: Trouble) -> Self {
        // Before the bar is created, which other output would break.
        say(&format!(
            "Kafka (mock) -> connector -> Pub/Sub (stand-in) -> processor -> {}\nlive page: http://{address}/ \
             (metrics: /metrics)\n",
            path.display()
        ));
        let terminal = io::stderr().is_terminal();
        let bar = terminal.then(|| {
            let bar = ProgressBar::with_draw_target(
                duration.map(|d| d.0.unsigned_abs() / 1000),
                ProgressDrawTarget::stderr(),
            );
            let template = if duration.is_some() {
                "{msg}\n{bar:40} {prefix}; Ctrl-C to stop"
            } else {
                "{msg}\n{spinner} {prefix}; Ctrl-C to stop"
            };
            bar.set_style(
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar.set_prefix(so_long(0, duration));
            Bar::over(bar)
        });
        let now = Instant::now();
        Self { path: path.to_owned(), started: now, duration, bar, last: (now, 0), trouble }
    }

    /// Shows the progress until it is dropped; returns only on an error.
    pub(super) async fn run(
        &mut self,
        reader: &Writer,
        table: &FlowTable,
        view: &watch::Receiver<processor::View>,
    ) -> anyhow::Result<()> {
        let mut first_rows = false;
        loop {
            let latest = reader.latest(&table.flow, BUSIEST).await?;
            let seen = view.borrow().clone();
            if !first_rows && !latest.is_empty() {
                first_rows = true;
                self.print(&format!("first rows after {:.1} s\n", self.started.elapsed().as_secs_f64()));
            }
            self.draw(&seen, table, &latest);
            let pause = if self.bar.is_some() || !first_rows { LIVE } else { LINES };
            tokio::time::sleep(pause).await;
        }
    }

    fn draw(&mut self, view: &processor::View, flow: &FlowTable, latest: &[LatestRow]) {
        let (at, events) = std::mem::replace(&mut self.last, (Instant::now(), view.events));
        let rate = view.events.saturating_sub(events) as f64 / at.elapsed().as_secs_f64().max(0.001);
        let watermark = view.flows.first().map_or(EventTime::MIN, |(_, watermark, _)| *watermark);
        let mut status = status(view, rate, watermark);
        if let Some(reason) = self.trouble.reason() {
            let _ = write!(status, "; ROWS NOT WRITTEN: {reason}");
        }
        match &self.bar {
            Some(bar) => {
                bar.set_message(format!("{status}\n{}", table(flow, latest)));
                let seconds = self.started.elapsed().as_secs();
                bar.set_prefix(so_long(seconds, self.duration));
                bar.set_position(seconds);
            }
            None => {
                let busiest = latest.first().map(|row| format!("; busiest {}", named(flow, &row.row)));
                let busiest = busiest.unwrap_or_default();
                say(&format!("{status}{busiest}\n"));
            }
        }
    }

    /// No more events are generated.
    pub(super) fn ending(&self) {
        let seconds = self.started.elapsed().as_secs();
        self.print(&format!("end of the events after {seconds} s; waiting until all of them are counted\n"));
    }

    fn print(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text.trim_end()),
            None => say(text),
        }
    }

    /// The summary at the end: records, outcomes, rows, and whether they balance.
    pub(super) fn summary(&self, totals: &Totals<'_>) -> bool {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let (connector, view) = (totals.connector, &totals.processor.view);
        let (rejected, absent) =
            (connector.rejected.values().sum::<u64>(), connector.absent.values().sum::<u64>());
        let mut text = String::new();
        let _ = writeln!(text, "{:>12}  records in Kafka", totals.produced);
        let _ = writeln!(
            text,
            "{:>12}  published, {rejected} rejected by the connector{}",
            connector.published,
            reasons(connector)
        );
        let accounted = connector.published + connector.filtered + rejected + absent;
        let mut balanced = accounted == totals.produced;
        for (flow, _, ledger) in &view.flows {
            let counts: Vec<String> = ledger
                .iter()
                .filter(|(_, count)| *count > 0)
                .map(|(outcome, count)| {
                    let is_shared = outcome == Outcome::Rejected && rejected > 0;
                    let of_those =
                        if is_shared { format!(" ({rejected} by the connector)") } else { String::new() };
                    format!("{count} {}{of_those}", outcome.as_str())
                })
                .collect();
            let _ = writeln!(text, "{:>12}  accounted for by {flow}: {}", ledger.total(), counts.join(" + "));
            balanced &= ledger.total() == totals.produced && ledger.get(Outcome::Lost) == 0;
        }
        let _ = writeln!(
            text,
            "{:>12}  rows written, {} in {}",
            view.flow_rows,
            totals.rows,
            self.path.display()
        );
        // A row that waits is in no table, and a deleted one is missing.
        let waiting = totals.processor.pending_requests;
        balanced &= totals.rows == view.flow_rows && waiting == 0;
        if waiting > 0 {
            let _ = writeln!(
                text,
                "{waiting:>12}  requests with rows not written: {}",
                self.trouble.reason().unwrap_or_else(|| "timed out".to_owned())
            );
        }
        let verdict = if balanced {
            "All records are accounted for."
        } else {
            "MISMATCH: some records are not accounted for, or some rows are not in the file."
        };
        let _ = writeln!(text, "{verdict} It ran for {} s.", self.started.elapsed().as_secs());
        let _ = writeln!(
            text,
            "Query the rows:\n  sqlite3 -box {} \"{}\"",
            self.path.display(),
            query(totals.table)
        );
        say(&text);
        balanced
    }
}

fn reasons(connector: &connector::Summary) -> String {
    let reasons = connector.reasons();
    if reasons.is_empty() { String::new() } else { format!(" ({reasons})") }
}

/// The elapsed and the remaining time.
fn so_long(seconds: u64, duration: Option<Millis>) -> String {
    match duration.map(|duration| duration.0.unsigned_abs() / 1000) {
        Some(all) => format!("{seconds} s of {all} s, {} s left", all.saturating_sub(seconds)),
        None => format!("{seconds} s"),
    }
}

fn status(view: &processor::View, rate: f64, watermark: EventTime) -> String {
    let delay = match watermark {
        EventTime::MIN => "unknown".to_owned(),
        watermark => {
            let delay = processor::driver::now().0.saturating_sub(watermark.0) as f64 / 1000.0;
            format!("{watermark} ({delay:.1} s behind)")
        }
    };
    format!("{} events, {rate:.0}/s; {} rows; watermark {delay}", view.events, view.flow_rows)
}

/// The newest rows of a flow, the busiest first.
fn query(table: &FlowTable) -> String {
    let of_measures = table.measures.iter().flat_map(MeasureColumns::shown);
    // Sketches are not readable.
    let columns: Vec<String> =
        table.columns.iter().cloned().chain(["window_end".to_owned()]).chain(of_measures).collect();
    let is_count =
        |measure: &&MeasureColumns| matches!(measure.shows, Shows::Count(_) | Shows::Distinct { .. });
    let busiest = table.measures.iter().find(is_count);
    let busiest = busiest.map(|measure| format!(", {} desc", measure.name)).unwrap_or_default();
    format!(
        "select {}, is_final from {} order by window_end desc{busiest} limit 10",
        columns.join(", "),
        table.latest_name()
    )
}

/// The busiest keys of the newest complete window.
fn table(flow: &FlowTable, latest: &[LatestRow]) -> String {
    let Some(first) = latest.first() else { return "waiting for the first rows...".to_owned() };
    let window = first.row.window;
    let mut text = if latest.iter().all(|row| row.row.window == window) {
        format!("window {} to {}\n", &window.start.to_string()[..16], &window.end.to_string()[..16])
    } else {
        "newest windows\n".to_owned()
    };
    let leading = measures::leading(&flow.measures);
    let _ = write!(text, "{:<KEY$}", "");
    for measure in flow.measures.iter() {
        let _ = write!(text, " {:>1$}", measure.name, width(measure));
    }
    let has_interval =
        leading.is_some_and(|leading| matches!(leading.shows, Shows::Ratio { interval: true, .. }));
    let _ = writeln!(text, "{}", if has_interval { "  95 % interval" } else { "" });
    for row in latest {
        let measured = Measured { measures: flow.measures.clone(), values: row.row.values.clone() };
        let _ = write!(text, "{:<KEY$}", key(&row.row));
        for measure in flow.measures.iter() {
            let _ = write!(text, " {:>1$}", measures::text(measure, &measured).text, width(measure));
        }
        let interval = leading.and_then(|leading| measures::interval(leading, &measured));
        let _ = writeln!(text, "{}", interval.map(|interval| format!("  {interval}")).unwrap_or_default());
    }
    text
}

/// A row as text without a heading.
fn named(flow: &FlowTable, row: &Row) -> String {
    let measured = Measured { measures: flow.measures.clone(), values: row.values.clone() };
    let text =
        |measure: &MeasureColumns| format!("{} {}", measure.name, measures::text(measure, &measured).text);
    let texts: Vec<String> = flow.measures.iter().map(text).collect();
    format!("{}: {}", key(row), texts.join(", "))
}

/// Maximum characters of a key.
const KEY: usize = 44;

fn key(row: &Row) -> String {
    let key: Vec<&str> = row.key.iter().map(|value| value.unwrap_or("-")).collect();
    let key = key.join("  ");
    if key.chars().count() > KEY { key.chars().take(KEY - 1).chain(['…']).collect() } else { key }
}

fn width(measure: &MeasureColumns) -> usize {
    measure.name.chars().count().max(8)
}

/// Writes to standard output; a closed pipe is not an error of the demo.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> FlowTable {
        let settings: flow::FlowSettings = serde_json::from_value(serde_json::json!({
            "name": "f", "by": { "page": "/page" }, "window": { "size": "10m" }, "measures": {
                "revenue": { "sum": "/price" },
                "share": { "ratio": ["views", "views"] },
                "users": { "distinct": "/user", "sketch": true },
                "views": { "count": {} },
            },
        }))
        .expect("the flow");
        flow::Flow::try_from(settings).expect("the flow makes sense").table()
    }

    #[test]
    fn the_table_has_the_columns_of_any_flow() {
        let amount = flow::number::Amount::parse("1999.5").expect("it fits");
        let row = Row {
            key: [Some("/a".into())].into(),
            window: flow::Window { start: EventTime(0), end: EventTime(600_000) },
            values: smallvec::smallvec![amount.into(), flow::row::Value::Null, flow::row::Value::Count(20)],
            pane: flow::row::Pane::OnTime,
            pane_index: 0,
            watermark: EventTime(0),
            emitted_at: EventTime(0),
            replaced: flow::row::Replaced::default(),
        };
        let text = table(&flow(), &[LatestRow { row, is_final: false }]);
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[1], ["revenue", "share", "users", "views", "95", "%", "interval"]);
        assert_eq!(words[2], ["/a", "1,999.5", "100.00", "%", "–", "20", "83.89", "%", "to", "100.00", "%"]);
    }

    #[test]
    fn the_query_omits_sketches() {
        assert_eq!(
            query(&flow()),
            "select page, window_end, revenue, share, share_low, share_high, users, views, is_final from f_latest \
             order by window_end desc, users desc limit 10"
        );
    }

    #[test]
    fn the_demo_shows_the_remaining_time() {
        let check = |seconds, duration, expected: &str| assert_eq!(so_long(seconds, duration), expected);
        check(0, Some(Millis(40_000)), "0 s of 40 s, 40 s left");
        check(7, Some(Millis(40_000)), "7 s of 40 s, 33 s left");
        check(41, Some(Millis(40_000)), "41 s of 40 s, 0 s left");
        check(7, None, "7 s");
    }
}
