//! The real schema registry, and serializers of other projects.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{http, process::Process, services, wait};

/// Where the interface of Confluent's registry is in Apicurio's.
const PATH: &str = "/apis/ccompat/v7";

/// A record as its writer describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Its topic.
    pub topic: String,
    /// Its offset in partition 0.
    pub offset: i64,
    /// The key as JSON, or the text that it is.
    pub key: Option<Value>,
    /// The event.
    pub value: Value,
}

/// Runs Confluent's serializers, which register schemas and write to topics that begin with `prefix`.
///
/// # Errors
/// They fail.
pub fn confluent(prefix: &str, which: &str, registry: &str) -> Result<Vec<Expected>> {
    let mut command = Command::new("python3");
    command.arg(formats().join("registry_writer.py")).args([prefix, which]).env("SCHEMA_REGISTRY", registry);
    lines(&mut command)?
        .iter()
        .map(|line| {
            Ok(Expected {
                topic: line["topic"].as_str().context("a line names its topic")?.to_owned(),
                offset: line["offset"].as_i64().context("a line has an offset")?,
                key: Some(line["key"].clone()).filter(|key| !key.is_null()),
                value: line["value"].clone(),
            })
        })
        .collect()
}

/// Runs the serializer from npm, which registers a schema for a subject. Returns bytes of values, and what they are.
///
/// # Errors
/// It fails, or cannot be installed.
pub fn kafkajs(subject: &str, registry: &str) -> Result<Vec<(Vec<u8>, Value)>> {
    let (from, to) = (formats().join("kafkajs"), formats().join("../../target/formats/kafkajs"));
    fs::create_dir_all(&to)?;
    for name in ["package.json", "package-lock.json", "writer.mjs"] {
        fs::copy(from.join(name), to.join(name))?;
    }
    if !to.join("node_modules/.package-lock.json").exists() {
        let mut install = Command::new("npm");
        install.args(["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&to);
        run(&mut install).context("npm, which comes with Node.js, has to be installed")?;
    }
    let mut command = Command::new("node");
    command.arg("writer.mjs").arg(subject).current_dir(&to).env("SCHEMA_REGISTRY", registry);
    let lines = lines(&mut command)?;
    lines
        .into_iter()
        .map(|line| {
            let bytes = line["bytes"].as_str().context("a line has bytes")?;
            Ok((STANDARD.decode(bytes)?, line["value"].clone()))
        })
        .collect()
}

/// A registry that a test has for itself, to kill it. It keeps its schemas.
pub struct OwnRegistry {
    jar: PathBuf,
    data: tempfile::TempDir,
    port: u16,
    process: Option<Process>,
}

impl OwnRegistry {
    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    /// The jar is not there, or it does not answer.
    pub fn start() -> Result<Self> {
        let jar = PathBuf::from(services::address(services::SCHEMA_REGISTRY_JAR)?);
        // Nothing listens there any more when it is closed.
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut registry = Self { jar, data: tempfile::tempdir()?, port, process: None };
        registry.start_again()?;
        Ok(registry)
    }

    /// Starts it after it was killed.
    ///
    /// # Errors
    /// It does not answer.
    pub fn start_again(&mut self) -> Result<()> {
        let mut java = Command::new("java");
        java.args([
            "-Xmx512m",
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-Dquarkus.http.host=127.0.0.1",
        ]);
        java.arg(format!("-Dquarkus.http.port={}", self.port)).arg("-jar").arg(&self.jar);
        // A database that delays its writes would lose the newest schemas when it is killed.
        let database = format!("jdbc:h2:file:{}/registry;WRITE_DELAY=0", self.data.path().display());
        java.env("REGISTRY_DATASOURCE_URL", database).current_dir(self.data.path());
        let mut process = Process::start("registry", &mut java)?;
        wait::until("the registry to answer", || {
            ensure!(process.has_ended()?.is_none(), "the registry ended: {}", process.err());
            Ok(http::json(&self.host(), "GET", &format!("{PATH}/subjects"), None).ok())
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Kills it.
    ///
    /// # Errors
    /// It had ended before.
    pub fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it runs")?;
        process.signal(Signal::SIGKILL)?;
        process.ended()?;
        Ok(())
    }

    /// Its address as clients write it.
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.host())
    }

    /// Registers an Avro schema for a subject, and returns its ID.
    ///
    /// # Errors
    /// It refuses the schema.
    pub fn register(&self, subject: &str, schema: &Value) -> Result<u32> {
        let body = serde_json::json!({"schema": schema.to_string()});
        let answer =
            http::json(&self.host(), "POST", &format!("{PATH}/subjects/{subject}/versions"), Some(&body))?;
        Ok(u32::try_from(answer["id"].as_u64().context("it answers with an ID")?)?)
    }

    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn formats() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("formats")
}

/// The lines of a command's output that are JSON: an installer prints others.
fn lines(command: &mut Command) -> Result<Vec<Value>> {
    let output = run(command)?;
    output.lines().filter(|line| line.starts_with('{')).map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn run(command: &mut Command) -> Result<String> {
    let name = format!("{command:?}");
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("{name} cannot be started"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name}: {errors}{}", String::from_utf8_lossy(&output.stdout));
    Ok(String::from_utf8(output.stdout)?)
}
