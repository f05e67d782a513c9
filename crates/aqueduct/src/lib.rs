//! The binary of Aqueduct: its command line, and the commands, which wire the other crates together.
//!
//! | module | idea |
//! |---|---|
//! | `cli` | the command line |
//! | `commands` | one file for each command |
//! | `config` | the sections of `aqueduct.toml`, read when a command needs them |
//! | `decoding` | from records to events, waiting for the schema registry |
//! | `global` | the options of every command |
//! | `errors` | the text of errors |
//! | `exit` | exit codes |
//! | `memory` | how many keys fit into the processor's memory |
//! | `output` | where rows and events go: a file, compressed or not, or standard output |
//! | `grid` | columns of text |
//! | `input` | where they come from: a file, compressed or not, or standard input |
//! | `sample` | what a sample of records contains, and what happens to it |
//! | `progress` | a bar on a terminal |
//! | `runtime` | threads and signals |
//! | `tables` | the writer behind the processor's port |
//! | `live` | the status of a running command |
//! | `survey` | what can be seen of a pipeline from outside |
//! | `edits` | flows that were edited so that their state does not fit |
//! | `sections` | what `status` and `reconcile` both print |
//! | [`traffic`] | generated page views and clicks |

#![forbid(unsafe_code)]

mod cli;

mod commands;

mod config;

mod decoding;

mod errors;

mod exit;

mod global;

mod memory;

mod input;

mod grid;

mod edits;

mod output;

mod progress;

mod runtime;

mod sample;

mod tables;

mod sections;

mod survey;

mod live;

pub mod traffic;

use std::process::ExitCode;

use clap::Parser as _;
use nix::sys::stat::{Mode, umask};

/// Parses the command line, runs the command and returns its exit code. Errors go to standard error.
pub fn run() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    if !matches!(cli.command, cli::Command::Man(_)) {
        keep_files_private();
    }
    match cli.command.run(&cli.global) {
        Ok(code) => code,
        Err(error) => exit::failed(&error),
    }
}

/// Rows, checkpoints and copies of events contain forwarded values and pseudonyms, so files and directories are created
/// private, whichever library creates them. A mode that the user changes is kept. Manual pages are public.
fn keep_files_private() {
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
}
