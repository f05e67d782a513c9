//! `export-counting`: writes random cases to directories, for programs that count in another language.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;
use counting::{Case, export};

/// Writes random cases: a directory for each, with its configuration and its files of events.
#[derive(Debug, Parser)]
struct Arguments {
    /// Seed of the first case; further cases have the next seeds.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// How many cases. One whose flows all need times that files do not have is left out, and another one follows.
    #[arg(long, default_value_t = 20)]
    cases: usize,
    /// The directory for their directories.
    #[arg(long)]
    into: PathBuf,
}

fn main() -> Result<()> {
    let Arguments { first, cases, into } = Arguments::parse();
    let mut written = 0;
    for seed in first.. {
        if written == cases {
            break;
        }
        let folder = into.join(format!("seed-{seed}"));
        let is_written = export(&Case::generate(seed), &folder);
        written += usize::from(is_written.with_context(|| format!("cannot write {}", folder.display()))?);
    }
    Ok(())
}
