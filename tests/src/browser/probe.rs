//! Accessibility checks of the open page: contrast, names, and keyboard access.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Browser, Key};

/// Text with too little contrast by WCAG 2.2 (1.4.3), with its contrast ratio.
///
/// # Errors
/// The browser is gone.
pub fn faint(browser: &Browser) -> Result<Vec<String>> {
    strings(&browser.run(include_str!("faint.js"))?)
}

/// Elements beyond the right edge of the page, which cause horizontal scrolling.
///
/// # Errors
/// The browser is gone.
pub fn beyond_edge(browser: &Browser) -> Result<Vec<String>> {
    const BODY: &str = "
        const width = document.documentElement.clientWidth;
        if (document.documentElement.scrollWidth <= width) return [];
        const wide = [...document.body.querySelectorAll('*')].filter(one => one.getBoundingClientRect().right > width + 1);
        return wide.map(one => `<${one.tagName} class=${one.getAttribute('class')}> ${(one.textContent || '').slice(0, 40)}`);";
    strings(&browser.run(BODY)?)
}

/// The accessibility tree of the page, summarised.
#[derive(Debug, Default)]
pub struct Summary {
    /// Interactive elements without an accessible name.
    pub nameless: Vec<String>,
    /// The levels of the headings, in order.
    pub headings: Vec<u64>,
    /// Number of elements of each role.
    pub roles: BTreeMap<String, usize>,
}

/// Requests the accessibility tree from Chromium.
///
/// # Errors
/// The browser is gone.
pub fn summary(browser: &Browser) -> Result<Summary> {
    const USED: [&str; 6] = ["link", "button", "searchbox", "textbox", "table", "navigation"];
    let tree = browser.devtools("Accessibility.getFullAXTree", &json!({}))?;
    let mut summary = Summary::default();
    for node in tree["nodes"].as_array().context("a tree has nodes")? {
        if node["ignored"] == Value::Bool(true) {
            continue;
        }
        let role = node["role"]["value"].as_str().unwrap_or_default();
        *summary.roles.entry(role.to_owned()).or_default() += 1;
        let name = node["name"]["value"].as_str().unwrap_or_default();
        if USED.contains(&role) && name.trim().is_empty() {
            summary.nameless.push(node.to_string());
        }
        if role == "heading" {
            let level =
                node["properties"].as_array().into_iter().flatten().find(|one| one["name"] == "level");
            summary.headings.push(level.and_then(|one| one["value"]["value"].as_u64()).unwrap_or(0));
        }
    }
    Ok(summary)
}

/// All interactive elements, as `id or address or name`, in page order.
///
/// # Errors
/// The browser is gone.
pub fn usable(browser: &Browser) -> Result<Vec<String>> {
    strings(&browser.run(&format!(
        "{NAME} return [...document.querySelectorAll('a[href], button, summary, input:not([type=hidden])')].map(name);"
    ))?)
}

/// The elements that the Tab key reaches, in order. Each must show its focus.
///
/// # Errors
/// The browser has exited, or an element does not show its focus.
pub fn reached(browser: &Browser) -> Result<Vec<String>> {
    let body = format!(
        "{NAME} const one = document.activeElement;
         if (!one || one === document.body) return null;
         const style = getComputedStyle(one), box = one.getBoundingClientRect();
         const seen = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 && box.width > 1 && box.height > 1;
         return [name(one), seen ? 'seen' : 'unseen'];"
    );
    browser.run("document.activeElement.blur(); getSelection().removeAllRanges(); scrollTo(0, 0);")?;
    let mut reached = Vec::new();
    loop {
        browser.press(Key::Tab)?;
        let focused = browser.run(&body)?;
        if focused.is_null() {
            return Ok(reached);
        }
        let focused = strings(&focused)?;
        let [name, seen] = focused.as_slice() else { anyhow::bail!("{focused:?}") };
        anyhow::ensure!(seen == "seen", "the focus cannot be seen on {name}");
        if reached.first() == Some(name) {
            return Ok(reached);
        }
        reached.push(name.clone());
    }
}

const NAME: &str = "const name = one => one.id || one.getAttribute('href') || one.textContent;";

fn strings(value: &Value) -> Result<Vec<String>> {
    let list = value.as_array().with_context(|| format!("{value} is no list"))?;
    Ok(list.iter().map(|one| one.as_str().unwrap_or_default().to_owned()).collect())
}
