//! `make chaos ARGS="--runs 20 --first 1000"`: seeded runs of the whole pipeline with injected failures.
//!
//! Seed, plan and outcome of each run are a line in `target/chaos.log`; `--resume` skips the seeds that passed.
#![forbid(unsafe_code)]

use std::{
    collections::HashSet,
    fs::{self, OpenOptions},
    io::Write as _,
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context as _, Result};
use clap::Parser;
use tests::{
    chaos::{Plan, run},
    process::keep_words,
};

/// Runs the pipeline with injected failures, and compares its rows with a naive recount.
#[derive(Parser)]
struct Arguments {
    /// Seed of the first run; each further run has the next seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Number of runs.
    #[arg(long, default_value_t = 10)]
    runs: u64,
    /// Only seeds whose plan contains one of these words, such as `AddTopic`, `Upgrade`, `Lose` or `Fill`.
    #[arg(long, value_delimiter = ',')]
    with: Vec<String>,
    /// Skip the seeds that passed according to the log.
    #[arg(long)]
    resume: bool,
    /// The log file.
    #[arg(long, default_value = "target/chaos.log")]
    log: PathBuf,
}

#[expect(clippy::print_stdout, reason = "a command for people")]
fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let done = if arguments.resume { done(&arguments.log) } else { HashSet::new() };
    let mut log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&arguments.log)
        .with_context(|| format!("cannot write {}", arguments.log.display()))?;
    let wanted = |plan: &Plan| {
        arguments.with.is_empty() || arguments.with.iter().any(|word| plan.to_string().contains(word))
    };
    let plans = (arguments.first..).map(Plan::of).filter(wanted);
    let (mut well, mut failed) = (0, Vec::new());
    for plan in plans.take(usize::try_from(arguments.runs)?).filter(|plan| !done.contains(&plan.seed)) {
        let seed = plan.seed;
        println!("seed {seed}: {plan}");
        keep_words();
        let started = Instant::now();
        let outcome = run(&plan);
        let seconds = started.elapsed().as_secs_f64();
        let line = match &outcome {
            Ok(outcome) => format!("ok {seed} in {seconds:.1} s, {outcome:?}, {plan}"),
            Err(error) => format!("FAILED {seed} in {seconds:.1} s, {plan}\n  {error:#}"),
        };
        writeln!(log, "{line}")?;
        println!("{line}");
        match outcome {
            Ok(_) => well += 1,
            Err(_) => {
                failed.push(seed);
                println!("{}", keep_words().unwrap_or_default());
            }
        }
    }
    println!("{well} runs well, {} failed{}", failed.len(), hint(&failed));
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn hint(failed: &[u64]) -> String {
    failed.first().map_or_else(String::new, |seed| {
        format!(": {failed:?}; again with make chaos ARGS=\"--first {seed} --runs 1\"")
    })
}

/// The seeds that passed.
fn done(log: &PathBuf) -> HashSet<u64> {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix("ok ")?.split(' ').next()?.parse().ok()).collect()
}
