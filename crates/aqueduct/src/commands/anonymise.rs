//! `aqueduct anonymise`: applies the connector's rules to lines of JSON.
//!
//! See [`connector::anonymise`] for the rules.

use std::{
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::Context as _;
use connector::{
    anonymise::{Anonymiser, Raw},
    decode::{Decoder, Undecoded},
};

use crate::{global::Global, output::Output};

/// The options of `anonymise`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Treat the events as those of this Kafka topic, if it has a section in [events.topics] or [kafka.formats]
    #[arg(long, default_value = "", hide_default_value = true)]
    topic: String,
}

/// Shown by `--help`.
pub(crate) const EXAMPLE: &str = "\
Example: show how three events are published
  aqueduct generate --events 3 --output - | aqueduct anonymise

Requires [anonymise], and [events] if the keyring has more than one key. Skips blank lines and events that do not match [pubsub] filter. For each rejected line, writes its number and the reason to standard error, without any content, and exits with 1.";

const BUFFER: usize = 256 << 10;

/// Reads standard input to the end.
///
/// # Errors
/// The configuration or the keyring is invalid, or standard input or output fails.
pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    let config = global.config()?;
    let decoder = config.line_decoder(&args.topic)?;
    let anonymiser = config.anonymiser()?;
    let mut complaints = BufWriter::new(io::stderr());
    for warning in anonymiser.warnings() {
        writeln!(complaints, "warning: {warning}")?;
    }
    let mut output = Output::create(Path::new("-"))?;
    let input = BufReader::with_capacity(BUFFER, io::stdin());
    let rejected = lines((decoder, anonymiser), &args.topic, input, &mut output, &mut complaints);
    complaints.flush()?;
    let rejected = rejected?;
    output.finish()?;
    Ok(ExitCode::from(u8::from(rejected > 0)))
}

/// Anonymises lines; returns the number of rejected ones.
fn lines(
    (mut decoder, mut anonymiser): (Decoder, Anonymiser),
    topic: &str,
    mut input: impl BufRead,
    output: &mut impl Write,
    complaints: &mut impl Write,
) -> anyhow::Result<u64> {
    let mut rejected = 0;
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        if input.read_until(b'\n', &mut line).context("cannot read standard input")? == 0 {
            break;
        }
        let value = line.trim_ascii();
        if value.is_empty() {
            continue;
        }
        let bytes = codec::Raw { key: None, value: Some(value), headers: &[] };
        let event = match decoder.decode(topic, &bytes) {
            Ok(event) => event,
            Err(Undecoded::Reject(code, _)) => {
                rejected += 1;
                writeln!(complaints, "line {number}: rejected: {code}")?;
                continue;
            }
            Err(Undecoded::Waits(_)) => unreachable!("a line has no schema in a registry"),
        };
        let raw = Raw { topic, value: event.value, key: None, headers: &[] };
        match anonymiser.anonymise_decoded(&raw, event.schema) {
            Ok(None) => {}
            Ok(Some(event)) => output
                .write_all(event.data())
                .and_then(|()| output.write_all(b"\n"))
                .context("cannot write standard output")?,
            Err(reject) => {
                rejected += 1;
                writeln!(complaints, "line {number}: rejected: {reject}")?;
            }
        }
    }
    Ok(rejected)
}
