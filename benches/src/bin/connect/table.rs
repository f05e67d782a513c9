//! The output: each run as it ends, and the median, minimum and maximum of all runs.

use crate::{Cost, Killed, worker::Worker};

/// The results of one worker by run.
struct Row<T> {
    worker: Worker,
    part: &'static str,
    runs: Vec<T>,
}

pub(crate) struct Table<T> {
    rows: Vec<Row<T>>,
}

impl<T> Table<T> {
    pub(crate) fn new() -> Self {
        Self { rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, worker: Worker, part: &'static str, results: T) {
        match self.rows.iter_mut().find(|row| row.worker == worker && row.part == part) {
            Some(row) => row.runs.push(results),
            None => self.rows.push(Row { worker, part, runs: vec![results] }),
        }
    }
}

#[expect(clippy::print_stdout, reason = "a command for people")]
impl Table<Cost> {
    pub(crate) fn print(&self) {
        println!("\n| worker | | events/s (least to most) | CPU-seconds a million | of the stand-in | MB |");
        println!("|---|---|---|---|---|---|");
        for Row { worker, part, runs } in &self.rows {
            let rate = spread(runs, 0, Cost::rate);
            let (cpu, own) =
                (spread(runs, 2, Cost::cpu_a_million), spread(runs, 2, Cost::stand_in_a_million));
            let megabytes = runs.iter().map(|cost| cost.megabytes).fold(0.0, f64::max);
            println!("| {worker} | {part} | {rate} | {cpu} | {own} | {megabytes:.0} |");
        }
    }
}

#[expect(clippy::print_stdout, reason = "a command for people")]
impl Table<Killed> {
    pub(crate) fn print(&self) {
        println!("\n| worker | goes on after s (least to most) | duplicates (least to most) |");
        println!("|---|---|---|");
        for Row { worker, runs, .. } in &self.rows {
            let seconds = spread(runs, 1, |killed| killed.seconds);
            let duplicates = spread(runs, 0, |killed| killed.duplicates() as f64);
            println!("| {worker} | {seconds} | {duplicates} |");
        }
        println!();
    }
}

/// Median, minimum and maximum.
fn spread<T>(runs: &[T], digits: usize, value: impl Fn(&T) -> f64) -> String {
    let mut results: Vec<f64> = runs.iter().map(value).collect();
    results.sort_by(f64::total_cmp);
    let middle = (results[results.len() / 2] + results[(results.len() - 1) / 2]) / 2.0;
    let (least, most) = (results[0], results[results.len() - 1]);
    format!("{middle:.digits$} ({least:.digits$} to {most:.digits$})")
}
