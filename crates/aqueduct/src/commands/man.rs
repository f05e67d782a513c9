//! `aqueduct man`: manual pages for the program and each command, generated from their help.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;

/// The options of `man`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory for the pages; created if it does not exist
    #[arg(value_name = "DIRECTORY", default_value = ".")]
    folder: PathBuf,
}

/// Shown by `--help`.
pub(crate) const EXAMPLE: &str = "\
Example: install them for the current user
  aqueduct man ~/.local/share/man/man1
  man aqueduct-replay";

/// Writes the pages.
///
/// # Errors
/// The directory cannot be created or written.
pub(crate) fn run(args: &Args, command: clap::Command) -> anyhow::Result<ExitCode> {
    let folder = args.folder.display();
    std::fs::create_dir_all(&args.folder)
        .with_context(|| format!("cannot create the directory {folder}; choose a writable location"))?;
    clap_mangen::generate_to(command, &args.folder)
        .with_context(|| format!("cannot write to {folder}; choose a writable directory"))?;
    Ok(ExitCode::SUCCESS)
}
