//! `fuzz-counting`: random cases through `replay`, the processor's core and a naive model, until they differ or the
//! limit is reached. Exits with 1 on a difference, and prints it minimised.
#![forbid(unsafe_code)]

use std::{
    io::Write as _,
    path::PathBuf,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use clap::Parser;
use counting::{Hunt, hunt, report, save, shrink};

/// Compares the counting with a naive model on random cases.
#[derive(Debug, Parser)]
struct Arguments {
    /// Seed of the first case; further cases have the next seeds.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// At most this many cases [default: 10000, or no limit with --seconds].
    #[arg(long)]
    cases: Option<u64>,
    /// At most for this long.
    #[arg(long)]
    seconds: Option<u64>,
    /// Number of parallel cases [default: one per core].
    #[arg(long)]
    threads: Option<usize>,
    /// Count the cases that differ instead of stopping at the first.
    #[arg(long)]
    count: bool,
    /// Directory for the configuration and the events of a finding.
    #[arg(long)]
    save: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    // A panic of the product is a finding, which shrinking repeats many times.
    std::panic::set_hook(Box::new(|_| {}));
    let most = if arguments.seconds.is_some() { u64::MAX } else { 10_000 };
    let (checked, found, finding) = hunt(&Hunt {
        first: arguments.first,
        cases: arguments.cases.unwrap_or(most),
        until: arguments.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
        threads: arguments.threads.unwrap_or_else(cores),
        counts: arguments.count,
    });
    let mut out = std::io::stdout().lock();
    let first = arguments.first;
    let Some(finding) = finding else {
        writeln!(out, "{checked} cases from seed {first}: no difference")?;
        return Ok(ExitCode::SUCCESS);
    };
    writeln!(out, "{checked} cases from seed {first}: {found} differ; the smallest case that was found:\n")?;
    let finding = shrink(finding);
    write!(out, "{}", report(&finding))?;
    if let Some(folder) = &arguments.save {
        save(&finding, folder).with_context(|| format!("cannot write {}", folder.display()))?;
        writeln!(out, "\nwritten to {}", folder.display())?;
    }
    Ok(ExitCode::FAILURE)
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
