//! `aqueduct test`: runs flow tests, which are events and the rows that the flows have to compute from them.
//!
//! | module | idea |
//! |---|---|
//! | `file` | the file of the tests |
//! | `compare` | expected rows against those that were computed |
//! | `update` | writes the computed rows into the file |

mod compare;
mod file;
mod update;

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use connector::keyring::Keyring;
use event::EventTime;
use service::{
    Settings, Source,
    settings::{CONFIG_VARIABLE, DEFAULT_FILE},
};

use self::{
    compare::Row,
    file::{Events, Expectation, FlowTest, TestFile},
};
use super::replay::Given;
use crate::{
    config::{Config, ConfigError, SECTIONS},
    global::Global,
};

/// The options of `test`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Files with [[test]] sections
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Write the computed rows into the failed tests, instead of reporting them
    #[arg(long)]
    update: bool,
}

/// Shown by `--help`.
pub(crate) const EXAMPLE: &str = "\
Example: run the tests of two files
  aqueduct test page.test.toml campaign.test.toml

A file has one [[test]] section per test, with the keys name, events, and expect or expect_panes. Events arrive in the order of their list, or of the file that events = \"FILE\" names. A row of expect must be among the final rows; with only = true no others may be. expect_panes lists every pane in the order in which they fire. Columns that are not named are not compared. config = \"FILE\" names the configuration; the default is the aqueduct.toml beside the test file, and --config has precedence. Requires [events] and [[flows]]; applies [anonymise] with a key of its own, so no keyring is needed.

Exit codes: 0 all tests pass, 1 some fail, 2 a file is invalid.";

/// Runs all tests of all files.
///
/// # Errors
/// A file or its configuration is invalid, or events cannot be read.
pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir().context("cannot create a temporary directory")?;
    let keyring = folder.path().join("keys.toml");
    Keyring::create(&keyring, EventTime(jiff::Timestamp::now().as_millisecond()))?;
    let mut suites = Vec::new();
    for path in &args.files {
        let file = TestFile::read(path)?;
        let config = configuration(&file, global)?.with_keyring(keyring.clone());
        let file = file.checked(&config.flows()?)?;
        suites.push((file, config));
    }
    let (mut passed, mut failed) = (0, 0);
    let mut out = io::stdout().lock();
    for (file, config) in &suites {
        let mut updates = Vec::new();
        for (number, test) in file.tests.iter().enumerate() {
            let outcome = outcome(test, file, config, folder.path())?;
            if args.update && !outcome.problems.is_empty() {
                updates.push((number, test.expectation().key(), outcome.rows));
                continue;
            }
            *if outcome.problems.is_empty() { &mut passed } else { &mut failed } += 1;
            out.write_all(outcome.text(file.path(), &test.name).as_bytes())?;
        }
        if !updates.is_empty() {
            update::write(file.path(), &updates)?;
            writeln!(out, "{}: {} tests updated", file.path().display(), updates.len())?;
        }
    }
    writeln!(out, "{passed} passed, {failed} failed")?;
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// What a test gave.
struct Outcome {
    rows: Vec<Row>,
    problems: Vec<String>,
    /// What was read, with rejected and late events.
    summary: String,
}

impl Outcome {
    /// The lines about a test.
    fn text(&self, file: &Path, name: &str) -> String {
        let (file, ok) = (file.display(), self.problems.is_empty());
        let mut text = format!("{} {file}: {name}\n", if ok { "ok    " } else { "FAILED" });
        if !ok {
            let lines = self.problems.iter().flat_map(|problem| problem.lines()).chain(self.summary.lines());
            lines.for_each(|line| text.push_str(&format!("    {line}\n")));
        }
        text
    }
}

fn configuration(file: &TestFile, global: &Global) -> Result<Config, ConfigError> {
    let (argument, variable) = (global.config.clone(), std::env::var_os(CONFIG_VARIABLE));
    let named =
        file.config()?.map(|path| Source::Named { path, by: format!("config in {}", file.path().display()) });
    let source = match (argument, named) {
        (None, Some(named)) => named,
        (argument, _) => match Source::choose(argument, variable) {
            Source::Default => Source::Named {
                path: file.resolve(Path::new(DEFAULT_FILE)),
                by: format!("{}, which has no key config", file.path().display()),
            },
            named => named,
        },
    };
    Ok(Config::of(Settings::open(&source, SECTIONS)?))
}

/// Replays the events of a test and compares the rows.
fn outcome(test: &FlowTest, file: &TestFile, config: &Config, folder: &Path) -> anyhow::Result<Outcome> {
    let (output, only_final) =
        (folder.join("rows.ndjson"), matches!(test.expectation(), Expectation::Rows { .. }));
    let summary = match &test.events {
        Events::File(path) => Given::File { topic: &test.topic, path: &file.resolve(path) }
            .replay(config, only_final, &output)?,
        Events::Inline(events) => {
            Given::Events(&test.arriving(events)).replay(config, only_final, &output)?
        }
    };
    let text = fs::read_to_string(&output).with_context(|| format!("cannot read {}", output.display()))?;
    let rows: Vec<Row> = text.lines().map(Row::parse).collect::<Result<_, _>>()?;
    let problems = match test.expectation() {
        Expectation::Rows { expected, only } => compare::rows(expected, &rows, only),
        Expectation::Panes(expected) => compare::panes(expected, &rows),
    };
    Ok(Outcome { rows, problems, summary })
}
