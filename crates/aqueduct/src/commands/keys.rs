//! `aqueduct keys`: creates, rotates and lists the keyring. Never prints a key or overwrites a keyring.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use connector::keyring::{Key, Keyring};
use event::EventTime;

use crate::{
    global::{self, Global},
    grid::grid,
    output,
};

/// The options of `keys`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Action {
    /// Create a keyring with one key; fails if the file exists
    #[command(after_long_help = "Example:\n  aqueduct keys new --keyring keys.toml")]
    New(Place),
    /// Add a key that takes effect at a future time; older keys are kept
    ///
    /// Events with a time from then on get pseudonyms of the new key, so a person cannot be linked to earlier events. Flows
    /// that compare values over time (by, join.on, events.id) must therefore not use pseudonyms; `aqueduct check` reports
    /// those that do.
    ///
    /// A connector reads its keyring only when it starts. Before the new key takes effect, copy the keyring to every
    /// connector, set anonymise.newest_key to the ID of the new key, so that a connector without it does not start, and
    /// restart the connectors.
    #[command(after_long_help = "Example:\n  aqueduct keys rotate --at 2027-01-01T00:00:00Z")]
    Rotate {
        /// Event time at which the new key takes effect
        #[arg(long, value_name = "TIME", value_parser = global::time)]
        at: EventTime,
        #[command(flatten)]
        place: Place,
    },
    /// List the IDs of the keys and the times from which they are valid
    #[command(after_long_help = "Example:\n  aqueduct keys list")]
    List(Place),
}

#[derive(Clone, Debug, clap::Args)]
struct Place {
    /// Keyring file [default: anonymise.keyring, or keys.toml next to the configuration]
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
}

/// Shown by `--help`.
pub(crate) const EXAMPLE: &str = "\
Example: create the keyring of the configured connector, and list it
  aqueduct keys new
  aqueduct keys list

The keyring contains the secrets from which pseudonyms are derived. Anyone who has it can resolve a pseudonym by trying all IDs. If it is lost, the same IDs get different pseudonyms. Keep a backup that only operators can read.";

/// Runs the action.
///
/// # Errors
/// The keyring does not exist, exists already, or cannot be read or written.
pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    let now = EventTime(jiff::Timestamp::now().as_millisecond());
    let text = match &args.action {
        Action::New(place) => {
            let path = place.path(global)?;
            let keyring = Keyring::create(&path, now)?;
            format!(
                "created {} with key {}; keep a backup in a safe place\n",
                path.display(),
                newest(&keyring).id()
            )
        }
        Action::Rotate { at, place } => {
            let path = place.path(global)?;
            let keyring = Keyring::rotate(&path, *at, now)?;
            let id = newest(&keyring).id();
            format!(
                "added key {id} to {}, valid from {at}\n\
                 before that time, copy the keyring to every connector, set newest_key = \"{id}\" in [anonymise], so that \
                 a connector without the key does not start, and restart them\n",
                path.display()
            )
        }
        Action::List(place) => list(&place.path(global)?, now)?,
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn list(path: &Path, now: EventTime) -> anyhow::Result<String> {
    let keyring = Keyring::load(path)?;
    let current = keyring.key_at(now).id();
    let row = |key: &Key| {
        let from = key.from().map_or("always".to_owned(), |from| from.to_string());
        let created = key.created().map_or_else(|| "unknown".to_owned(), |created| created.to_string());
        let state = match key.from() {
            _ if key.id() == current => "in use",
            Some(from) if from > now => "planned",
            _ => "for earlier events",
        };
        vec![key.id().to_string(), from, created, state.to_owned()]
    };
    Ok(grid(&["key", "from", "created", "state"], &keyring.keys().iter().map(row).collect::<Vec<_>>()))
}

fn newest(keyring: &Keyring) -> &Key {
    keyring.keys().last().expect("a keyring has at least one key")
}

impl Place {
    fn path(&self, global: &Global) -> anyhow::Result<PathBuf> {
        match &self.keyring {
            Some(path) => Ok(path.clone()),
            None => Ok(global.config()?.keyring_path()?),
        }
    }
}
