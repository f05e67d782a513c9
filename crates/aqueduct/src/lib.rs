//! The one binary of Aqueduct: its command line, and what each command puts together from the other crates.
//!
//! | module | idea |
//! |---|---|
//! | [`cli`] | the words of the command line |
//! | [`commands`] | one file a command |
//! | [`config`] | the sections of `aqueduct.toml`, read when a command needs them |
//! | [`exit`] | errors as people read them, and exit codes |
//! | [`output`] | where rows and events go: a file, compressed or not, or standard output |
//! | `grid` | columns of text |
//! | [`input`] | where they come from: a file, compressed or not, or standard input |
//! | `kafka` | questions to Kafka |
//! | `topic` | a stretch of a Kafka topic, read without a trace |
//! | `sample` | what a sample of records holds and what becomes of it |
//! | [`progress`] | a bar on a terminal |
//! | [`runtime`] | threads and signals |
//! | `tables` | the writer behind the processor's port |
//! | `live` | the page of a running command |
//! | `survey` | what there is to see of a pipeline from outside |
//! | `parts` | which part of it stands still |
//! | `refused` | what was refused, by reason |
//! | `totals` | the minute's line in the log |
//! | [`traffic`] | page views and clicks made from a seed |
//!
//! Not here: what an event, a window or a row is; the crates below own that.

#![forbid(unsafe_code)]

pub mod cli;

pub mod commands;

pub mod config;

pub mod exit;

pub mod input;

pub mod grid;

mod kafka;

mod late;

pub mod output;

pub mod progress;

pub mod runtime;

mod sample;

mod tables;

mod topic;

mod parts;

mod refused;

mod survey;

mod live;

mod totals;

pub mod traffic;

use std::process::ExitCode;

use clap::Parser as _;
use nix::sys::stat::{Mode, umask};

/// Reads the command line, does what it says, and tells how it went. Errors stand on standard error.
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

/// Rows, checkpoints and copies of events hold what was forwarded, and pseudonyms: files and folders are made for their
/// owner alone, whatever library makes them. Who wants to share a file changes its mode, and it stays changed. Manual
/// pages are for everybody.
fn keep_files_private() {
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
}
