//! The files of a demo, and its configuration.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use connector::keyring::Keyring;
use service::{LogLevels, Settings};

use crate::{
    config::{Config, ConfigError, SECTIONS},
    errors::WrongUsage,
    global::Global,
};

/// A temporary directory for keyring and state, and the file for the rows, which remains.
#[derive(Debug)]
pub(super) struct Place {
    folder: tempfile::TempDir,
    rows: PathBuf,
    /// The user's file, or the built-in one.
    text: (PathBuf, String),
}

/// The owner that the tables record.
pub(super) const PIPELINE: &str = "demo";
const BUILT_IN: &str = include_str!("demo.toml");

impl Place {
    /// Prepares the file for the rows and reads the configuration.
    pub(super) fn prepare(rows: &Path, config: Option<&Path>) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("aqueduct-demo-")
            .tempdir()
            .context("cannot create a directory for the state; set TMPDIR to a writable directory")?;
        let text = match config {
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|error| {
                    WrongUsage(format!("cannot read {}; correct --config: {error}", path.display()))
                })?;
                (path.to_owned(), text)
            }
            None => (folder.path().join("demo.toml"), BUILT_IN.to_owned()),
        };
        let rows = std::path::absolute(rows)
            .with_context(|| format!("cannot resolve {}; make --path absolute", rows.display()))?;
        replace(&rows)?;
        Keyring::create(&folder.path().join("keys.toml"), processor::driver::now())?;
        Ok(Self { folder, rows, text })
    }

    /// The configuration with the demo's addresses and paths.
    pub(super) fn config(&self, brokers: &str, pubsub: &str) -> anyhow::Result<Config> {
        let inside = |name: &str| self.folder.path().join(name).display().to_string();
        let keys = [
            ("KAFKA__BOOTSTRAP_SERVERS", brokers.to_owned()),
            ("KAFKA__TOPICS", format!("[\"{}\"]", super::feed::TOPIC)),
            ("PUBSUB__EMULATOR_HOST", pubsub.to_owned()),
            ("ANONYMISE__KEYRING", inside("keys.toml")),
            ("WRITER__KIND", "sqlite".to_owned()),
            ("WRITER__PATH", self.rows.display().to_string()),
            ("STATE__CHECKPOINTS", format!("file://{}", inside("state"))),
        ];
        let mut variables: Vec<(String, String)> =
            keys.into_iter().map(|(key, value)| (format!("AQUEDUCT__{key}"), value)).collect();
        let (path, mut text) = (self.text.0.clone(), self.text.1.clone());
        if path != self.folder.path().join("demo.toml") {
            text = with_missing_sections(&text);
            variables.push(("AQUEDUCT__SERVICE__LISTEN".to_owned(), "127.0.0.1:0".to_owned()));
        }
        let settings = Settings::parse(&text, &path, variables, SECTIONS).map_err(ConfigError::from)?;
        Ok(Config::of(settings))
    }
}

/// A user's file may omit what only the real services need.
fn with_missing_sections(text: &str) -> String {
    let mut text = text.to_owned();
    let sections = [
        ("[kafka]", "\n[kafka]\ngroup_id = \"aqueduct-demo\"\n"),
        (
            "[pubsub]",
            "\n[pubsub]\nproject = \"aqueduct-demo\"\ntopic = \"events\"\nsubscription = \"events-ctr\"\n",
        ),
    ];
    for (section, lines) in sections {
        if !text.lines().any(|line| line.trim_start().starts_with(section)) {
            text.push_str(lines);
        }
    }
    text
}

/// Removes the file of an earlier demo and no other file. The tables of a processor look the same; only the
/// record of their pipeline distinguishes them.
fn replace(rows: &Path) -> anyhow::Result<()> {
    match rows.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(metadata) if metadata.is_file() && metadata.len() == 0 => {}
        _ => refuse_unless_demo(rows)?,
    }
    for suffix in ["", "-wal", "-shm"] {
        let mut name = rows.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| {
                    format!("cannot replace {}; choose another file with --path", rows.display())
                });
            }
            _ => {}
        }
    }
    Ok(())
}

fn refuse_unless_demo(rows: &Path) -> Result<(), WrongUsage> {
    let path = rows.display();
    let owners = writer::pipelines(rows).unwrap_or_default();
    if owners.is_empty() || owners.iter().any(|owner| owner != PIPELINE) {
        return Err(WrongUsage(format!(
            "{path} exists and was not created by the demo; choose another file with --path, or move this one"
        )));
    }
    // Leaves WAL mode, which requires that no other connection uses the file.
    let unused =
        rusqlite::Connection::open(rows).and_then(|file| file.pragma_update(None, "journal_mode", "delete"));
    unused.map_err(|_| {
        WrongUsage(format!(
            "{path} is in use by another program; stop it, or choose another file with --path"
        ))
    })
}

/// Logs only warnings by default, because the demo prints its own lines. Rows and checkpoints that wait for a disk are
/// warnings.
pub(super) fn start_logging(global: &Global) -> anyhow::Result<LogLevels> {
    let levels = global.start_logging()?;
    if std::env::var_os(service::telemetry::LOG_VARIABLE).is_none() {
        levels.set("error,processor::io=warn")?;
    }
    Ok(levels)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use writer::{Claim, SqliteConfig, Writer, WriterConfig, WriterMode};

    use super::*;

    /// A file with the tables of this pipeline.
    fn of_pipeline(path: &Path, pipeline: &str) {
        let flow = json!({
            "name": "f", "by": { "page": "/p" }, "window": { "size": "10s" }, "measures": { "n": { "count": {} } },
        });
        let flow: flow::FlowSettings = serde_json::from_value(flow).expect("the flow");
        let tables = [flow::Flow::try_from(flow).expect("the flow is valid").table()];
        let config = WriterConfig::Sqlite(SqliteConfig { path: path.to_owned(), mode: WriterMode::Append });
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let writer = Writer::connect(&config, &tables).await.expect("a file");
            writer.claim(pipeline, Claim::Take).await.expect("it is new");
            writer.close().await.expect("it closes");
        });
    }

    #[test]
    fn only_the_file_of_a_demo_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let check = |name: &str, is_replaced: bool| {
            let path = folder.path().join(name);
            let before = fs::read(&path).ok();
            assert_eq!(replace(&path).is_ok(), is_replaced, "{name}");
            assert_eq!(fs::read(&path).ok(), before.filter(|_| !is_replaced), "{name}");
        };
        let path = |name: &str| folder.path().join(name);
        check("absent.db", true);
        fs::write(path("empty.db"), "").expect("room");
        check("empty.db", true);
        fs::write(path("text.db"), "not a database").expect("room");
        check("text.db", false);
        of_pipeline(&path("rows.db"), "state file:///state");
        check("rows.db", false);
        let other = rusqlite::Connection::open(path("other.db")).expect("a file");
        other.execute_batch("CREATE TABLE dead_letters (letter TEXT)").expect("room");
        check("other.db", false);
        of_pipeline(&path("demo.db"), PIPELINE);
        check("demo.db", true);
    }

    #[test]
    fn a_file_in_use_is_not_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("demo.db");
        of_pipeline(&path, PIPELINE);
        let reader = rusqlite::Connection::open(&path).expect("a file");
        reader.pragma_update(None, "journal_mode", "wal").expect("no other connection is open");
        reader.query_row("SELECT count(*) FROM f", [], |row| row.get::<_, i64>(0)).expect("the table");
        assert!(replace(&path).is_err() && path.exists());
        drop(reader);
        replace(&path).expect("it is not in use any more");
    }
}
