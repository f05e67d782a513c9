//! The pipeline of one test: a directory with a configuration whose names are unique, and the commands run in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::{
    process::{Ended, Process},
    services, wait,
};

/// The Pub/Sub project of all tests.
pub const PROJECT: &str = "aqueduct-test";

/// A configuration and its directory.
pub struct Pipe {
    name: String,
    folder: TempDir,
    overrides: Vec<(String, String)>,
}

const CONFIG: &str = r#"
[kafka]
bootstrap_servers = "{kafka}"
topics = ["{name}"]
group_id = "{name}"
group_instance_id = "{name}"
[kafka.properties]
"session.timeout.ms" = 6000

[pubsub]
project = "aqueduct-test"
topic = "{name}"
subscription = "{name}-ctr"
emulator_host = "{pubsub}"

[anonymise]
pseudonymise = ["/user_id", "/session/user", "/items/*/seller_id"]
remove = ["/ip"]
strip_query = ["/page"]
forward = "all"
key = "pseudonymise"
max_rejects = "50%"

[events]
time = "/time"
id = "/event_id"

[[flows]]
name = "box_ctr"
by = { page = "/page", box = "/box" }
views = { "/type" = "view" }
clicks = { "/type" = "click" }
window = { size = "10m", period = "1m" }
out_of_orderness = "10s"
allowed_lateness = "2h"

[writer]
kind = "sqlite"
path = "rows.db"

[state]
period = "1s"
idle_after = "1s"
cold_start = "2s"

[service]
listen = "127.0.0.1:0"
"#;

impl Pipe {
    /// A configuration with names that begin with the test's, and a new keyring.
    ///
    /// # Errors
    /// The services are not running, or the binary does not exist.
    pub fn new(test: &str) -> Result<Self> {
        let pipe = Self::bare(test)?;
        let config = CONFIG
            .replace("{name}", &pipe.name)
            .replace("{kafka}", &services::address(services::KAFKA)?)
            .replace("{pubsub}", &services::address(services::PUBSUB)?);
        pipe.write("aqueduct.toml", &config)?;
        pipe.run_well(&["keys", "new"])?;
        Ok(pipe)
    }

    /// A directory without a configuration.
    ///
    /// # Errors
    /// The disk is full.
    pub fn bare(test: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let name = format!("{test}-{seconds}-{}-{count}", process::id());
        Ok(Self { name, folder: TempDir::new()?, overrides: Vec::new() })
    }

    /// Overrides a key such as `kafka.bootstrap_servers` with an environment variable.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.set(key, value);
        self
    }

    /// As [`with`](Self::with), for later commands.
    pub fn set(&mut self, key: &str, value: &str) {
        let variable = format!("AQUEDUCT__{}", key.to_uppercase().replace('.', "__"));
        self.overrides.push((variable, value.to_owned()));
    }

    /// Writes rows to a new dataset in the BigQuery emulator.
    ///
    /// # Errors
    /// The emulator was not started, or the configuration cannot be written.
    pub fn into_bigquery(self) -> Result<Self> {
        let (rest, grpc) =
            (services::address(services::BIGQUERY_REST)?, services::address(services::BIGQUERY_GRPC)?);
        self.into_bigquery_at(&rest, &grpc)
    }

    /// As [`into_bigquery`](Self::into_bigquery), with the two addresses of an emulator.
    ///
    /// # Errors
    /// The configuration cannot be written.
    pub fn into_bigquery_at(self, rest: &str, grpc: &str) -> Result<Self> {
        let text = fs::read_to_string(self.path("aqueduct.toml"))?;
        let writer = format!(
            "kind = \"bigquery\"\nproject = \"{PROJECT}\"\ndataset = \"{}\"\nlocation = \"EU\"\nrest_endpoint = \
             \"{rest}\"\ngrpc_endpoint = \"{grpc}\"\n",
            self.dataset()
        );
        self.write("aqueduct.toml", &text.replace("kind = \"sqlite\"\npath = \"rows.db\"\n", &writer))?;
        Ok(self)
    }

    /// The topic, the consumer group and the Pub/Sub topic.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The BigQuery dataset.
    pub fn dataset(&self) -> String {
        self.name.replace('-', "_")
    }

    /// A file in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in the directory.
    ///
    /// # Errors
    /// The disk is full.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.path(name), text)?)
    }

    /// Replaces a string in the configuration.
    ///
    /// # Errors
    /// It does not occur.
    pub fn edit(&self, from: &str, to: &str) -> Result<()> {
        let text = fs::read_to_string(self.path("aqueduct.toml"))?;
        ensure!(text.contains(from), "the configuration has no {from:?}");
        self.write("aqueduct.toml", &text.replace(from, to))
    }

    /// Starts a command of the binary.
    ///
    /// # Errors
    /// The binary does not exist.
    pub fn start(&self, arguments: &[&str]) -> Result<Process> {
        self.start_with(arguments, &[])
    }

    /// As [`start`](Self::start), with environment variables.
    ///
    /// # Errors
    /// The binary does not exist.
    pub fn start_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Process> {
        self.run_as(Command::new(binary()?), arguments, variables)
    }

    /// As [`start`](Self::start), for a process in which a write beyond a file size limit ([`Process::limit_files`])
    /// fails as on a full disk, instead of ending the process with a signal.
    ///
    /// # Errors
    /// The binary does not exist.
    pub fn start_limitable(&self, arguments: &[&str]) -> Result<Process> {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(binary()?);
        self.run_as(shell, arguments, &[])
    }

    /// As [`start`](Self::start), on the first cores of the machine.
    ///
    /// # Errors
    /// The binary does not exist, or util-linux is not installed.
    pub fn start_on(&self, cores: u32, arguments: &[&str]) -> Result<Process> {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &format!("0-{}", cores - 1)]).arg(binary()?);
        self.run_as(command, arguments, &[])
    }

    fn run_as(
        &self,
        mut command: Command,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Process> {
        command.args(arguments).current_dir(self.folder.path()).env_remove("AQUEDUCT_CONFIG");
        command.env_remove(services::PUBSUB).env_remove("AQUEDUCT_LOG").env("NO_COLOR", "1");
        command
            .envs(self.overrides.iter().map(|(name, value)| (name, value)))
            .envs(variables.iter().copied());
        Process::start(&arguments.join(" "), &mut command)
    }

    /// Runs a command of the binary until it exits.
    ///
    /// # Errors
    /// The binary does not exist, or it takes too long.
    pub fn run(&self, arguments: &[&str]) -> Result<Ended> {
        self.start(arguments)?.ended()
    }

    /// As [`run`](Self::run), for a command that must succeed.
    ///
    /// # Errors
    /// As [`run`](Self::run), or its exit code is not 0.
    pub fn run_well(&self, arguments: &[&str]) -> Result<Ended> {
        let ended = self.run(arguments)?;
        ensure!(ended.code == Some(0), "{arguments:?} ended with {:?}: {}", ended.code, ended.err);
        Ok(ended)
    }

    /// The output of `reconcile` while something is missing.
    ///
    /// # Errors
    /// The binary does not exist, or it takes too long.
    pub fn missing(&self) -> Result<Option<String>> {
        let ended = self.run(&["reconcile"])?;
        Ok((ended.code != Some(0)).then(|| ended.out + &ended.err))
    }

    /// Waits until the processor's state accounts for every record: the last marks of a connector may still be in
    /// flight when the rows are complete.
    ///
    /// # Errors
    /// Something is still missing after the time limit.
    pub fn until_reconciled(&self) -> Result<()> {
        wait::until_right("reconcile to find nothing missing", || self.missing())
    }

    /// The first file below a path in the directory that contains a text.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn find(&self, below: &str, text: &str) -> Result<Option<PathBuf>> {
        find(&self.path(below), text.as_bytes())
    }
}

fn find(path: &Path, text: &[u8]) -> Result<Option<PathBuf>> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            if let Some(found) = find(&entry?.path(), text)? {
                return Ok(Some(found));
            }
        }
        return Ok(None);
    }
    let bytes = fs::read(path)?;
    Ok(bytes.windows(text.len()).any(|part| part == text).then(|| path.to_owned()))
}

/// The binary next to this program: `target/debug/aqueduct` for `target/debug/deps/TEST` and `target/debug/chaos`.
fn binary() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let folder = this.parent().context("a program lies in a folder")?;
    let profile = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let binary = profile.join("aqueduct");
    ensure!(
        binary.is_file(),
        "{} does not exist; run `cargo build -p aqueduct` first, as `make test` does",
        binary.display()
    );
    Ok(binary)
}
