//! Cases for the comparison with Apache Beam, and the processor's results.
//!
//! Every case is generated from its seed, run through the processor's own core, and printed as one line of JSON;
//! `oracle.py` in this directory runs the same cases through Beam and compares.
//!
//! - [`settings`]: windows, lateness and kinds of time; [`script`]: the steps
//! - [`panes`]: runs scripts through [`processor::core::Core`], the whole processor without I/O
//! - [`finals`]: runs bounded inputs through [`processor::replay::Replay`]; [`joins`]: those of flows with a join
//!
//! This crate contains no expected results.
#![forbid(unsafe_code)]

mod finals;
mod joins;
mod panes;
mod script;
mod settings;

use std::io::{BufWriter, Write as _};

use anyhow::Result;
use clap::Parser;

/// Prints generated cases with the processor's results, one line of JSON each.
#[derive(Debug, Parser)]
struct Arguments {
    /// Seed of the first line; further lines have the next seeds.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Scripts of events, watermarks and checkpoints, several cases each: panes.
    #[arg(long, default_value_t = 0)]
    scripts: u64,
    /// Bounded inputs: final rows.
    #[arg(long, default_value_t = 0)]
    finals: u64,
    /// Bounded inputs of flows with a join: final rows.
    #[arg(long, default_value_t = 0)]
    joins: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut out = BufWriter::new(std::io::stdout().lock());
    for seed in arguments.seed..arguments.seed + arguments.scripts {
        serde_json::to_writer(&mut out, &panes::run(seed)?)?;
        out.write_all(b"\n")?;
    }
    for seed in arguments.seed..arguments.seed + arguments.finals {
        serde_json::to_writer(&mut out, &finals::run(seed)?)?;
        out.write_all(b"\n")?;
    }
    for seed in arguments.seed..arguments.seed + arguments.joins {
        serde_json::to_writer(&mut out, &joins::run(seed)?)?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}
