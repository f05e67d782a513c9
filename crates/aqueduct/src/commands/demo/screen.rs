//! What a demo shows: on a terminal a small live table, elsewhere a line now and then, and at the end a summary.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use event::{EventTime, Millis, ledger::Outcome};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::{sync::watch, time::Instant};
use writer::{LatestRow, Writer};

use crate::{progress::Bar, tables::Trouble};

/// How the demo is shown.
pub(super) struct Screen {
    path: PathBuf,
    address: SocketAddr,
    started: Instant,
    duration: Option<Millis>,
    bar: Option<Bar>,
    last: (Instant, u64),
    /// Why rows wait.
    trouble: Trouble,
}

/// What is balanced at the end.
pub(super) struct Totals<'a> {
    pub(super) produced: u64,
    pub(super) connector: &'a connector::Summary,
    pub(super) processor: &'a processor::Summary,
    pub(super) rows: u64,
    pub(super) columns: &'a [String],
}

const LIVE: Duration = Duration::from_secs(1);
const LINES: Duration = Duration::from_secs(5);
const BUSIEST: usize = 8;

impl Screen {
    pub(super) fn new(path: &Path, address: SocketAddr, duration: Option<Millis>, trouble: Trouble) -> Self {
        // Before there is a bar, which lines of others would run into.
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
        Self { path: path.to_owned(), address, started: now, duration, bar, last: (now, 0), trouble }
    }

    /// Shows the pipe until it is dropped; ends by itself only on an error.
    pub(super) async fn run(
        &mut self,
        reader: &Writer,
        flow: &str,
        view: &watch::Receiver<processor::View>,
    ) -> anyhow::Result<()> {
        let mut first_rows = false;
        loop {
            let latest = reader.latest(flow, BUSIEST).await?;
            let seen = view.borrow().clone();
            if !first_rows && !latest.is_empty() {
                first_rows = true;
                self.print(&format!("first rows after {:.1} s\n", self.started.elapsed().as_secs_f64()));
            }
            self.draw(&seen, &latest);
            let pause = if self.bar.is_some() || !first_rows { LIVE } else { LINES };
            tokio::time::sleep(pause).await;
        }
    }

    fn draw(&mut self, view: &processor::View, latest: &[LatestRow]) {
        let (at, events) = std::mem::replace(&mut self.last, (Instant::now(), view.events));
        let rate = view.events.saturating_sub(events) as f64 / at.elapsed().as_secs_f64().max(0.001);
        let watermark = view.flows.first().map_or(EventTime::MIN, |(_, watermark, _)| *watermark);
        let mut status = status(view, rate, watermark);
        if let Some(reason) = self.trouble.reason() {
            let _ = write!(status, "; ROWS WAIT: {reason}");
        }
        match &self.bar {
            Some(bar) => {
                bar.set_message(format!("{status}\n{}", table(latest)));
                let seconds = self.started.elapsed().as_secs();
                bar.set_prefix(so_long(seconds, self.duration));
                bar.set_position(seconds);
            }
            None => {
                let busiest =
                    latest.first().map(|row| format!("; busiest {}", line(row))).unwrap_or_default();
                say(&format!("{status}{busiest}\n"));
            }
        }
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
            "{:>12}  published, {rejected} rejected{}",
            connector.published,
            reasons(connector)
        );
        let mut balanced = connector.published + rejected + absent == totals.produced;
        for (flow, _, ledger) in &view.flows {
            let counts: Vec<String> = ledger
                .iter()
                .filter(|(_, count)| *count > 0)
                .map(|(outcome, count)| format!("{count} {}", outcome.as_str()))
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
        // A row that waits is in no table, and one that was removed is not where it was written.
        let waiting = totals.processor.pending_requests;
        balanced &= totals.rows == view.flow_rows && waiting == 0;
        if waiting > 0 {
            let _ = writeln!(
                text,
                "{waiting:>12}  requests with rows were not written: {}",
                self.trouble.reason().unwrap_or_else(|| "there was not enough time".to_owned())
            );
        }
        let verdict = if balanced {
            "Everything balances."
        } else {
            "DOES NOT BALANCE: not every record is accounted for, or not every row is in the file."
        };
        let _ = writeln!(text, "{verdict} It ran for {} s.", self.started.elapsed().as_secs());
        let columns = totals.columns.join(", ");
        let flow = view.flows.first().map_or("box_ctr", |(name, _, _)| name);
        let _ = writeln!(
            text,
            "Query the rows:\n  sqlite3 -box {} \"select {columns}, window_end, views, clicks, ctr, ctr_low, ctr_high, is_final \
             from {flow}_latest order by window_end desc, views desc limit 10\"",
            self.path.display()
        );
        say(&text);
        let _ = (self.address, self.duration);
        balanced
    }
}

fn reasons(connector: &connector::Summary) -> String {
    let reasons = connector.reasons();
    if reasons.is_empty() { String::new() } else { format!(" ({reasons})") }
}

/// How long it has run, and how long it will.
fn so_long(seconds: u64, duration: Option<Millis>) -> String {
    match duration.map(|duration| duration.0.unsigned_abs() / 1000) {
        Some(all) => format!("{seconds} s of {all} s, {} s left", all.saturating_sub(seconds)),
        None => format!("{seconds} s"),
    }
}

fn status(view: &processor::View, rate: f64, watermark: EventTime) -> String {
    let behind = match watermark {
        EventTime::MIN => "not known yet".to_owned(),
        watermark => {
            let behind = processor::driver::now().0.saturating_sub(watermark.0) as f64 / 1000.0;
            format!("{watermark} ({behind:.1} s behind)")
        }
    };
    format!("{} events, {rate:.0}/s; {} rows; watermark {behind}", view.events, view.flow_rows)
}

/// The busiest boxes of the newest complete window.
fn table(latest: &[LatestRow]) -> String {
    let Some(first) = latest.first() else { return "waiting for the first rows ...".to_owned() };
    let window = first.row.window;
    let mut text =
        format!("window {} to {}\n", &window.start.to_string()[11..16], &window.end.to_string()[11..16]);
    let _ = writeln!(text, "{:<44} {:>8} {:>7} {:>7}  95 % interval", "", "views", "clicks", "CTR");
    for row in latest {
        let _ = writeln!(text, "{}", line(row));
    }
    text
}

fn line(row: &LatestRow) -> String {
    let key: Vec<&str> = row.row.key.iter().map(|value| value.unwrap_or("-")).collect();
    let mut key = key.join("  ");
    if key.chars().count() > 44 {
        key = key.chars().take(43).chain(['…']).collect();
    }
    let percent = |rate: Option<f64>| rate.map_or("-".to_owned(), |rate| format!("{:.2} %", rate * 100.0));
    let interval = row.row.ctr.interval();
    format!(
        "{key:<44} {:>8} {:>7} {:>7}  {} to {}",
        row.row.ctr.views,
        row.row.ctr.clicks,
        percent(row.row.ctr.rate()),
        percent(interval.map(|(low, _)| low)),
        percent(interval.map(|(_, high)| high)),
    )
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

    #[test]
    fn a_demo_says_how_long_it_will_run() {
        let check = |seconds, duration, expected: &str| assert_eq!(so_long(seconds, duration), expected);
        check(0, Some(Millis(40_000)), "0 s of 40 s, 40 s left");
        check(7, Some(Millis(40_000)), "7 s of 40 s, 33 s left");
        check(41, Some(Millis(40_000)), "41 s of 40 s, 0 s left");
        check(7, None, "7 s");
    }
}
