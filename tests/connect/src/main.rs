//! Compares our transforms, converters and messages with Kafka's own and with Google's sink, on generated records.
//!
//! `Transforms.java` runs the originals in one Java process. Both sides get the same configuration and the same bytes;
//! values, topics, dropped records, refused records, data and attributes must be equal.

mod avro;
mod cases;
mod compare;
mod ours;

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, bail, ensure};
use cases::Dice;
use clap::Parser;
use serde_json::Value;

#[derive(Parser)]
struct Args {
    /// The folder with Kafka's jars in `libs`, Google's sink in `sink` and Apicurio's converter in `avro/converter`.
    #[arg(long)]
    jars: PathBuf,
    /// `Transforms.java`.
    #[arg(long, default_value = "tests/connect/Transforms.java")]
    source: PathBuf,
    /// How many records.
    #[arg(long, default_value_t = 5_000)]
    cases: u64,
    /// Where the cases begin.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[expect(clippy::print_stdout, reason = "a report for the terminal")]
fn main() -> Result<()> {
    let args = Args::parse();
    let seeds = args.seed..args.seed + args.cases;
    let cases: Vec<Value> = seeds.clone().map(|seed| cases::case(&mut Dice::new(seed))).collect();
    let answers = originals(&args, &cases)?;
    ensure!(answers.len() == cases.len(), "{} answers to {} cases", answers.len(), cases.len());
    let mut counts = compare::Counts::default();
    let mut failures = 0;
    for ((seed, case), answer) in seeds.zip(&cases).zip(&answers) {
        if let Err(difference) = compare::check(case, answer, &mut counts) {
            failures += 1;
            if failures <= 5 {
                println!("seed {seed}: {difference}\n  case     {case}\n  original {answer}");
            }
        }
    }
    println!("{} cases: {counts}", cases.len());
    counts.check()?;
    if failures > 0 {
        bail!("{failures} of {} cases differ", cases.len());
    }
    Ok(())
}

/// What the originals make of the cases.
fn originals(args: &Args, cases: &[Value]) -> Result<Vec<Value>> {
    let mut java = Command::new("java")
        .args(["-Xmx512m", "-XX:+UseSerialGC", "-Duser.timezone=UTC", "-cp"])
        .arg(args.jars.join("libs/*"))
        .arg(&args.source)
        .arg(args.jars.join("sink"))
        .arg(args.jars.join("avro/converter"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start java")?;
    let mut input = java.stdin.take().context("a pipe")?;
    let lines: Vec<String> = cases.iter().map(Value::to_string).collect();
    // Beside reading: neither pipe holds everything.
    let writer = thread::spawn(move || lines.iter().try_for_each(|line| writeln!(input, "{line}")));
    let output = BufReader::new(java.stdout.take().context("a pipe")?);
    let mut answers = Vec::new();
    for line in output.lines() {
        answers.push(serde_json::from_str(&line?).context("an answer that is not JSON")?);
    }
    java.wait()?;
    writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))?.context("java ended early")?;
    Ok(answers)
}
