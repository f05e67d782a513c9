//! Chromedriver as a process, and a WebDriver client: JSON over HTTP, one session.
//!
//! Existing crates have a licence that `deny.toml` does not allow and a dozen duplicate dependencies, for six requests.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{http, process::Process};

/// A driver with a session.
pub(super) struct Driver {
    _process: Process,
    host: String,
    session: String,
}

const PORT: &str = "started successfully on port ";

impl Driver {
    /// Starts a driver on a free port, and Chromium with these arguments.
    pub(super) fn start(arguments: &[String]) -> Result<Self> {
        let mut process = Process::start("chromedriver", Command::new("chromedriver").arg("--port=0")).context(
            "the page is looked at in Chromium; `apt-get install chromium chromium-driver` brings it and its driver",
        )?;
        process.says(PORT)?;
        let out = process.out();
        let port = out.split(PORT).nth(1).and_then(|rest| rest.split(['.', '\n']).next());
        let host = format!("127.0.0.1:{}", port.context("it said its port")?);
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let answer =
            http::json_by_1_1(&host, "POST", "/session", Some(&wanted)).context("Chromium does not start")?;
        let session = answer["value"]["sessionId"].as_str().context("a session has an id")?.to_owned();
        Ok(Self { _process: process, host, session })
    }

    /// Sends a command to the session, and returns the value of the response.
    pub(super) fn send(&self, path: &str, body: &Value) -> Result<Value> {
        self.ask("POST", path, Some(body))
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let path = format!("/session/{}{path}", self.session);
        Ok(http::json_by_1_1(&self.host, method, &path, body)?["value"].take())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Also ends Chromium. If the driver has already exited, there is nothing to end.
        let _ = self.ask("DELETE", "", None);
    }
}
