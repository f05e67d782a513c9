//! A headless Chromium, driven over WebDriver, with a new profile for each test. See [`probe`] for accessibility checks
//! and [`driver`] for the protocol.

mod driver;
pub mod probe;

use anyhow::{Context as _, Result, bail, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::driver::Driver;
use crate::wait;

/// A browser with one open page.
pub struct Browser {
    driver: Driver,
    // Dropped after the driver, because Chromium uses it until it exits.
    _profile: TempDir,
}

/// Viewport and colour scheme.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Width in pixels.
    pub width: u32,
    /// Whether the dark colour scheme is preferred.
    pub is_dark: bool,
}

/// Desktop and mobile width, light and dark.
pub const LOOKS: [Look; 4] = [
    Look { width: 1280, is_dark: false },
    Look { width: 1280, is_dark: true },
    Look { width: 390, is_dark: false },
    Look { width: 390, is_dark: true },
];

/// No requests of the browser itself, and no data of an earlier run.
const ARGUMENTS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
];

impl Browser {
    /// Starts one.
    ///
    /// # Errors
    /// Chromium or its driver is not installed; the error names the package to install.
    pub fn start() -> Result<Self> {
        let profile = TempDir::new()?;
        let own = format!("--user-data-dir={}", profile.path().display());
        let arguments: Vec<String> = ARGUMENTS.iter().map(|&one| one.to_owned()).chain([own]).collect();
        Ok(Self { driver: Driver::start(&arguments)?, _profile: profile })
    }

    /// Loads an address.
    ///
    /// # Errors
    /// The page cannot be loaded.
    pub fn open(&self, url: &str) -> Result<()> {
        self.driver.send("/url", &json!({"url": url})).map(drop)
    }

    /// Runs a function body in the page, and returns its result.
    ///
    /// # Errors
    /// The function throws.
    pub fn run(&self, body: &str) -> Result<Value> {
        self.driver.send("/execute/sync", &json!({"script": body, "args": []}))
    }

    /// As [`run`](Self::run), for a function that returns text.
    ///
    /// # Errors
    /// The function throws, or returns another type.
    pub fn text(&self, body: &str) -> Result<String> {
        let value = self.run(body)?;
        value.as_str().map(str::to_owned).with_context(|| format!("{body:?} gave {value}"))
    }

    /// Waits until a function body returns true.
    ///
    /// # Errors
    /// The function throws, or does not return true in time.
    pub fn until(&self, what: &str, body: &str) -> Result<()> {
        wait::until(what, || Ok((self.run(body)? == Value::Bool(true)).then_some(())))
    }

    /// Presses a key in the focused element.
    ///
    /// # Errors
    /// The browser has exited.
    pub fn press(&self, key: Key) -> Result<()> {
        let (name, code) = match key {
            Key::Tab => ("Tab", 9),
            Key::Enter => ("Enter", 13),
        };
        let text = if code == 13 { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            self.devtools(
                "Input.dispatchKeyEvent",
                &json!({"type": kind, "key": name, "code": name, "windowsVirtualKeyCode": code, "text": text}),
            )?;
        }
        Ok(())
    }

    /// One command of Chromium's DevTools.
    ///
    /// # Errors
    /// Chromium rejects the command.
    pub fn devtools(&self, command: &str, parameters: &Value) -> Result<Value> {
        self.driver.send("/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// Messages on the console since the last call, including those of the browser.
    ///
    /// # Errors
    /// The browser has exited.
    pub fn console(&self) -> Result<Vec<String>> {
        let entries = self.log("browser")?;
        Ok(entries.iter().map(ToString::to_string).collect())
    }

    /// The addresses of all requests since the last call.
    ///
    /// # Errors
    /// The browser has exited.
    pub fn requests(&self) -> Result<Vec<String>> {
        let mut addresses = Vec::new();
        for entry in self.log("performance")? {
            let message = entry["message"].as_str().context("a message is text")?;
            let message: Value = serde_json::from_str(message)?;
            if message["message"]["method"] == "Network.requestWillBeSent" {
                let url = message["message"]["params"]["request"]["url"].as_str();
                let url = url.context("a request has an address")?;
                // The initial page is part of Chromium and makes no requests.
                if !url.starts_with("chrome://") && !url.starts_with("data:") {
                    addresses.push(url.to_owned());
                }
            }
        }
        Ok(addresses)
    }

    fn log(&self, kind: &str) -> Result<Vec<Value>> {
        match self.driver.send("/se/log", &json!({"type": kind}))? {
            Value::Array(entries) => Ok(entries),
            other => bail!("the log {kind} is {other}"),
        }
    }

    /// Enables or disables JavaScript from the next page load on.
    ///
    /// # Errors
    /// The browser has exited.
    pub fn set_scripts(&self, run: bool) -> Result<()> {
        self.devtools("Emulation.setScriptExecutionDisabled", &json!({"value": !run})).map(drop)
    }

    /// Sets viewport and colour scheme.
    ///
    /// # Errors
    /// The browser has exited.
    pub fn look(&self, look: Look) -> Result<()> {
        self.size(look.width, 900)?;
        let scheme = if look.is_dark { "dark" } else { "light" };
        self.devtools(
            "Emulation.setEmulatedMedia",
            &json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        )?;
        Ok(())
    }

    fn size(&self, width: u32, height: u64) -> Result<()> {
        let is_phone = width < 600;
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone}),
        )
        .map(drop)
    }

    /// The whole page as a PNG, with this width.
    ///
    /// # Errors
    /// The browser has exited.
    pub fn picture(&self, look: Look) -> Result<Vec<u8>> {
        self.look(look)?;
        let height = self.run("return Math.ceil(document.documentElement.getBoundingClientRect().height)")?;
        let height = height.as_u64().context("a page has a height")?;
        ensure!(height > 0, "the page is empty");
        self.size(look.width, height)?;
        let shot = self.devtools("Page.captureScreenshot", &json!({"format": "png"}))?;
        let data = shot["data"].as_str().context("a picture")?;
        Ok(BASE64_STANDARD.decode(data)?)
    }
}

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Moves the focus to the next element.
    Tab,
    /// Activates the element.
    Enter,
}
