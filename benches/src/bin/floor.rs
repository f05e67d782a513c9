//! The lower bound for a replay: the same sliding windows over the same lines, without any other feature of a replay.
//!
//! serde_json borrows four fields of each line, counts are in one list per minute, and windows of ten are summed at
//! their end. Events are in order, times have one form, nothing is checked, rejected or late. Usage: `floor EVENTS
//! ROWS`.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Write as _},
};

use anyhow::Context as _;
use rustc_hash::FxBuildHasher;
use serde::Deserialize;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    time: &'a str,
    page: &'a str,
    #[serde(rename = "box")]
    place: Option<&'a str>,
}

#[derive(Clone, Copy, Default)]
struct Count {
    views: u32,
    clicks: u32,
}

const BUFFER: usize = 256 << 10;
const MINUTE: i64 = 60_000;
const SLICES: i64 = 10;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (events, rows) = arguments.next().zip(arguments.next()).context("usage: floor EVENTS ROWS")?;
    let events = BufReader::with_capacity(BUFFER, File::open(events)?);
    let counted = count(events)?;
    write(&counted, BufWriter::with_capacity(BUFFER, File::create(rows)?))
}

#[derive(Default)]
struct Counted {
    keys: HashMap<String, usize, FxBuildHasher>,
    /// Minutes since the epoch of the first slice.
    first: i64,
    slices: Vec<Vec<Count>>,
}

fn count(mut events: BufReader<File>) -> anyhow::Result<Counted> {
    let mut counted = Counted::default();
    let (mut line, mut key) = (Vec::new(), String::new());
    loop {
        line.clear();
        if events.read_until(b'\n', &mut line)? == 0 {
            return Ok(counted);
        }
        let event: Event<'_> = serde_json::from_slice(&line)?;
        let (views, clicks) = match event.kind {
            "view" => (1, 0),
            "click" => (0, 1),
            _ => continue,
        };
        let minute = millis(event.time.as_bytes()).div_euclid(MINUTE);
        if counted.slices.is_empty() {
            counted.first = minute;
        }
        key.clear();
        key.push_str(event.page);
        key.push('\0');
        key.push_str(event.place.unwrap_or("\0"));
        let id = counted.id(&key);
        let cell = counted.cell(minute, id);
        cell.views += views;
        cell.clicks += clicks;
    }
}

impl Counted {
    fn id(&mut self, key: &str) -> usize {
        if let Some(id) = self.keys.get(key) {
            return *id;
        }
        self.keys.insert(key.to_owned(), self.keys.len());
        self.keys.len() - 1
    }

    fn cell(&mut self, minute: i64, id: usize) -> &mut Count {
        let slice = (minute - self.first) as usize;
        if self.slices.len() <= slice {
            self.slices.resize_with(slice + 1, Vec::new);
        }
        let slice = &mut self.slices[slice];
        if slice.len() <= id {
            slice.resize(id + 1, Count::default());
        }
        &mut slice[id]
    }
}

fn write(counted: &Counted, mut rows: BufWriter<File>) -> anyhow::Result<()> {
    let mut keys = vec![""; counted.keys.len()];
    for (key, id) in &counted.keys {
        keys[*id] = key;
    }
    let slices = counted.slices.len() as i64;
    for end in 1..slices + SLICES {
        let mut sums = vec![Count::default(); keys.len()];
        for slice in (end - SLICES).max(0)..end.min(slices) {
            for (sum, count) in sums.iter_mut().zip(&counted.slices[slice as usize]) {
                sum.views += count.views;
                sum.clicks += count.clicks;
            }
        }
        let end = (counted.first + end) * MINUTE;
        for (key, sum) in keys.iter().zip(&sums).filter(|(_, sum)| sum.views + sum.clicks > 0) {
            let (page, place) = key.split_once('\0').context("a key has two parts")?;
            let place = if place == "\0" { "null".to_owned() } else { format!("\"{place}\"") };
            let Count { views, clicks } = *sum;
            let ctr = f64::from(clicks) / f64::from(views.max(1));
            writeln!(
                rows,
                "{{\"page\":\"{page}\",\"box\":{place},\"window_end\":{end},\"views\":{views},\"clicks\":{clicks},\"ctr\":{ctr}}}"
            )?;
        }
    }
    Ok(rows.flush()?)
}

/// `2026-01-01T00:00:00.000Z`, unchecked; Howard Hinnant's `days_from_civil`.
fn millis(text: &[u8]) -> i64 {
    let number = |from: usize, to: usize| {
        text[from..to].iter().fold(0_i64, |value, digit| value * 10 + i64::from(digit - b'0'))
    };
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let year = if month <= 2 { year - 1 } else { year };
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = year.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    (((days * 24 + number(11, 13)) * 60 + number(14, 16)) * 60 + number(17, 19)) * 1000 + number(20, 23)
}
