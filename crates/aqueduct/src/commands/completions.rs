//! `aqueduct completions`: completions for a shell.

use std::{io::Write as _, process::ExitCode};

use clap_complete::Shell;

/// The options of `completions`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Shown by `--help`.
pub(crate) const EXAMPLE: &str = "\
Example: for bash, in new sessions
  mkdir -p ~/.local/share/bash-completion/completions
  aqueduct completions bash > ~/.local/share/bash-completion/completions/aqueduct
for zsh, in a directory of $fpath
  mkdir -p ~/.zfunc
  aqueduct completions zsh > ~/.zfunc/_aqueduct";

/// Writes them to standard output.
///
/// # Errors
/// Standard output is closed.
pub(crate) fn run(args: &Args, mut command: clap::Command) -> anyhow::Result<ExitCode> {
    // First into memory, because the library panics on a closed standard output.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "aqueduct", &mut text);
    std::io::stdout().write_all(&text)?;
    Ok(ExitCode::SUCCESS)
}
