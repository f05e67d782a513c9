//! Exit codes: 0 success, 1 failure, 2 invalid usage or configuration. Only [`crate::run`] needs them.

use std::{
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
};

use service::SettingsError;

use crate::{
    config::ConfigError,
    errors::{WrongUsage, causes},
    output::StdoutClosed,
};

/// Invalid usage or configuration.
const WRONG: u8 = 2;

/// An error of clap; `--help` and `--version` are not failures.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // The pipe was closed, so no error is printed.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(WRONG))
}

/// Prints the error with its causes, and returns the exit code. If the reader of standard output has closed
/// it, that is not a failure.
pub(crate) fn failed(error: &anyhow::Error) -> ExitCode {
    if is_stdout_closed(error) {
        return ExitCode::SUCCESS;
    }
    let text = describe(error);
    // If standard error is closed, the message cannot be shown.
    let _ = io::stderr().write_all(text.as_bytes());
    ExitCode::from(code(error))
}

fn code(error: &anyhow::Error) -> u8 {
    let wrong = error
        .chain()
        .any(|cause| cause.is::<SettingsError>() || cause.is::<ConfigError>() || cause.is::<WrongUsage>());
    if wrong { WRONG } else { 1 }
}

fn is_stdout_closed(error: &anyhow::Error) -> bool {
    let of_stdout = |error: &io::Error| error.get_ref().is_some_and(|inner| inner.is::<StdoutClosed>());
    error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(of_stdout)
}

/// `error: ...` and one line per cause; each configuration error is printed separately.
fn describe(error: &anyhow::Error) -> String {
    if let Some(ConfigError(errors)) = error.downcast_ref::<ConfigError>() {
        return errors.iter().map(|error| lines(error)).collect();
    }
    lines(error.as_ref())
}

/// One error and its causes, each on a line.
fn lines(error: &(dyn Error + 'static)) -> String {
    let mut text = format!("error: {}\n", error.to_string().trim_end());
    for cause in causes(error) {
        text.push_str(&format!("  caused by: {cause}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    fn broken_pipe(inner: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> anyhow::Error {
        anyhow::Error::new(io::Error::new(io::ErrorKind::BrokenPipe, inner)).context("cannot write")
    }

    #[test]
    fn causes_follow_the_error() {
        let error =
            Err::<(), _>(io::Error::other("disk gone")).context("cannot write rows").expect_err("an error");
        assert_eq!(describe(&error), "error: cannot write rows\n  caused by: disk gone\n");
        assert_eq!(code(&error), 1);
    }

    #[test]
    fn invalid_usage_is_exit_code_2() {
        let error = anyhow::Error::new(WrongUsage("no".to_owned())).context("while reading");
        assert_eq!(code(&error), 2);
    }

    #[test]
    fn only_a_closed_standard_output_is_no_failure() {
        assert!(is_stdout_closed(&broken_pipe(StdoutClosed)));
        assert!(!is_stdout_closed(&broken_pipe("a connection")));
    }
}
