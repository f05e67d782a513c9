//! A Prometheus server for one test, which scrapes the processes of a pipeline and evaluates the shipped alerts.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::{http, process::Process};

/// A running server, stopped when it is dropped.
pub struct Prometheus {
    address: String,
    process: Process,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts a server that scrapes these addresses twice a second.
    ///
    /// # Errors
    /// Debian's `prometheus` is not installed, or does not start.
    pub fn start(targets: &[String]) -> Result<Self> {
        let folder = TempDir::new()?;
        let rules = shipped("prometheus/aqueduct.rules.yml")?;
        let config = format!(
            "global: {{ scrape_interval: 500ms, evaluation_interval: 1s }}\n\
             rule_files: [{rules:?}]\n\
             scrape_configs: [{{ job_name: aqueduct, static_configs: [{{ targets: {targets:?} }}] }}]\n"
        );
        fs::write(folder.path().join("prometheus.yml"), config)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut command = Command::new("prometheus");
        command.current_dir(folder.path()).args([
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            &format!("--web.listen-address={address}"),
        ]);
        let mut process = Process::start("prometheus", &mut command)
            .context("Debian's prometheus is missing; type `apt-get install prometheus`")?;
        process.says("Server is ready to receive web requests")?;
        Ok(Self { address, process, _folder: folder })
    }

    /// The current samples of a query.
    ///
    /// # Errors
    /// The query is not valid PromQL.
    pub fn query(&self, query: &str) -> Result<Vec<Value>> {
        let answer = self.get(&format!("/api/v1/query?query={}", encoded(query)))?;
        answer["result"].as_array().cloned().with_context(|| format!("{query}: {answer}"))
    }

    /// The `data` of an API response.
    ///
    /// # Errors
    /// The status is not `success`.
    pub fn get(&self, path: &str) -> Result<Value> {
        let mut answer = http::json(&self.address, "GET", path, None)?;
        ensure!(answer["status"] == "success", "{path}: {answer}");
        Ok(answer["data"].take())
    }

    /// Its output, for a failed test.
    pub fn log(&self) -> String {
        self.process.err()
    }
}

/// A file below `deploy/`.
///
/// # Errors
/// The file does not exist.
pub fn shipped(name: &str) -> Result<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name);
    fs::canonicalize(&path).with_context(|| path.display().to_string())
}

/// A URL-encoded text.
pub fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
