//! A real Chromium without a window, driven over WebDriver; one for each test, with a new and empty profile.
//!
//! Not here: what a page must be like ([`probe`] asks it, the tests judge), and how Chromium is spoken to ([`driver`]).

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
    // Dropped after the driver: Chromium uses it to its end.
    _profile: TempDir,
}

/// How large the page is, and in which colours it is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Pixels.
    pub width: u32,
    /// Whether dark colours are preferred.
    pub is_dark: bool,
}

/// Widths of a desk and of a phone, light and dark.
pub const LOOKS: [Look; 4] = [
    Look { width: 1280, is_dark: false },
    Look { width: 1280, is_dark: true },
    Look { width: 390, is_dark: false },
    Look { width: 390, is_dark: true },
];

/// Nothing of its own goes out, and nothing of an earlier run is seen.
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
    /// Chromium or its driver is missing; the error says how to get it.
    pub fn start() -> Result<Self> {
        let profile = TempDir::new()?;
        let own = format!("--user-data-dir={}", profile.path().display());
        let arguments: Vec<String> = ARGUMENTS.iter().map(|&one| one.to_owned()).chain([own]).collect();
        Ok(Self { driver: Driver::start(&arguments)?, _profile: profile })
    }

    /// Goes to an address and waits until it is loaded.
    ///
    /// # Errors
    /// It cannot be loaded.
    pub fn open(&self, url: &str) -> Result<()> {
        self.driver.tell("/url", &json!({"url": url})).map(drop)
    }

    /// Runs the body of a function in the page, and gives what it returns.
    ///
    /// # Errors
    /// It throws.
    pub fn run(&self, body: &str) -> Result<Value> {
        self.driver.tell("/execute/sync", &json!({"script": body, "args": []}))
    }

    /// As [`run`](Self::run), where text comes back.
    ///
    /// # Errors
    /// It throws, or returns something else.
    pub fn text(&self, body: &str) -> Result<String> {
        let value = self.run(body)?;
        value.as_str().map(str::to_owned).with_context(|| format!("{body:?} gave {value}"))
    }

    /// Waits until the body of a function returns true.
    ///
    /// # Errors
    /// It throws, or does not for too long.
    pub fn until(&self, what: &str, body: &str) -> Result<()> {
        wait::until(what, || Ok((self.run(body)? == Value::Bool(true)).then_some(())))
    }

    /// Presses a key where the focus is.
    ///
    /// # Errors
    /// The browser is gone.
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
    /// Chromium refuses it.
    pub fn devtools(&self, command: &str, parameters: &Value) -> Result<Value> {
        self.driver.tell("/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// What was written to the console since it was asked last, and what the browser says of the page there.
    ///
    /// # Errors
    /// The browser is gone.
    pub fn console(&self) -> Result<Vec<String>> {
        let entries = self.log("browser")?;
        Ok(entries.iter().map(ToString::to_string).collect())
    }

    /// The addresses of all requests since it was asked last.
    ///
    /// # Errors
    /// The browser is gone.
    pub fn requests(&self) -> Result<Vec<String>> {
        let mut addresses = Vec::new();
        for entry in self.log("performance")? {
            let message = entry["message"].as_str().context("a message is text")?;
            let message: Value = serde_json::from_str(message)?;
            if message["message"]["method"] == "Network.requestWillBeSent" {
                let url = message["message"]["params"]["request"]["url"].as_str();
                let url = url.context("a request has an address")?;
                // The page that Chromium begins with is a part of itself, and asks nobody.
                if !url.starts_with("chrome://") && !url.starts_with("data:") {
                    addresses.push(url.to_owned());
                }
            }
        }
        Ok(addresses)
    }

    fn log(&self, kind: &str) -> Result<Vec<Value>> {
        match self.driver.tell("/se/log", &json!({"type": kind}))? {
            Value::Array(entries) => Ok(entries),
            other => bail!("the log {kind} is {other}"),
        }
    }

    /// Whether the page's own scripts run from the next page on.
    ///
    /// # Errors
    /// The browser is gone.
    pub fn set_scripts(&self, run: bool) -> Result<()> {
        self.devtools("Emulation.setScriptExecutionDisabled", &json!({"value": !run})).map(drop)
    }

    /// Shows the page so from now on.
    ///
    /// # Errors
    /// The browser is gone.
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

    /// The whole page as a PNG, as wide as this and as high as it is.
    ///
    /// # Errors
    /// The browser is gone.
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

/// A key of the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// To the next thing that takes the focus.
    Tab,
    /// Does it.
    Enter,
}
