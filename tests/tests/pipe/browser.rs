//! The live page in a real Chromium: it shows the numbers of the tables, refreshes automatically, shows a lost
//! connection, and is accessible.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::{
    browser::{Browser, Key, LOOKS, probe},
    pipe::Pipe,
    proxy::Proxy,
    rows::{Database, Row, Rows as _, finals, wait_for},
    traffic::Traffic,
    wait,
};

use crate::{prepared, produced};

/// The contents of the rates table: the window start, and key, views, clicks and rate of each row.
const RATES: &str = "
    const text = cell => cell.querySelector('.null') ? null : cell.textContent.trim();
    const figure = (line, name) => line.querySelector(`[data-label='${name}']`);
    const value = (line, name) => Number(figure(line, name).querySelector('data').value);
    return {
      start: document.querySelector('#busiest time').dateTime,
      lines: [...document.querySelectorAll('table.rates tbody tr')].map(line => ({
        key: [...line.querySelectorAll('.key')].map(text),
        counts: [value(line, 'views'), value(line, 'clicks')],
        rate: figure(line, 'ctr').textContent,
      })),
    };";

/// The contents of a key's page: window start, kind, index and counts of each pane.
const PANES: &str = "
    const panes = [];
    for (const line of document.querySelectorAll('table.panes tbody tr')) {
      for (const [label, kind] of [['early', 'EARLY'], ['on time', 'ON_TIME'], ['late', 'LATE']]) {
        for (const pane of line.querySelectorAll(`[data-label='${label}'] .pane`)) {
          const [views, clicks] = [...pane.querySelectorAll('data')].map(one => Number(one.value));
          const index = Number(pane.textContent.match(/as no\\. (\\d+)/)[1]);
          panes.push({ start: line.querySelector('time').dateTime, kind, index, counts: [views, clicks] });
        }
      }
    }
    return panes;";

#[test]
fn the_page_survives_a_restart() -> Result<()> {
    let pipe = prepared("browser", 2)?;
    let (_, recount) = produced(&pipe, Traffic::new(3_000, 2).with_trouble())?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    let database = Database::open(&pipe.path("rows.db"))?;
    wait_for(&database, &recount)?;
    pipe.until_reconciled()?;

    let door = Proxy::closed(&processor.address()?)?;
    door.open()?;
    let home = format!("http://{}/", door.address());
    let browser = Browser::start()?;
    browser.open(&home)?;
    let rows = database.rows()?;
    rates_are_those_of(&browser, &rows)?;
    ledger_is_that_of(&browser, &recount.ledger)?;
    anyone_can_use_it(&browser)?;
    search_finds(&browser, &rows)?;
    key_has_the_panes_of(&browser, &rows)?;
    anyone_can_use_it(&browser)?;
    let console = browser.console()?;
    ensure!(console.is_empty(), "the console has {console:?}");

    browser.open(&home)?;
    processor.stop()?;
    browser.until(
        "the page to say that it has lost touch",
        "const lost = document.getElementById('lost');
         return !lost.hidden && lost.textContent.startsWith('No answer from Aqueduct since') && document.body.classList.contains('stale');",
    )?;
    let faint = probe::faint(&browser)?;
    ensure!(faint.is_empty(), "what is stale cannot be read: {faint:#?}");
    let mut processor = pipe.start(&["processor"])?;
    door.lead_to(&processor.address()?);
    browser.until(
        "the page to resume automatically",
        "return document.getElementById('lost').hidden && !document.body.classList.contains('stale');",
    )?;
    // The ledger is part of the state, and is restored with it.
    browser.until("the ledger to come back", "return document.querySelectorAll('#ledgers tfoot').length == 1 && document.querySelector('#ledgers tfoot data').value !== '0'")?;
    ledger_is_that_of(&browser, &recount.ledger)?;

    for request in browser.requests()? {
        ensure!(request.starts_with(&home), "the page asks elsewhere: {request}");
    }
    connector.stop()?;
    processor.stop()?;
    Ok(())
}

#[test]
fn the_page_works_without_scripts() -> Result<()> {
    let pipe = Pipe::bare("seen")?;
    let mut demo = pipe.start(&["demo", "--rate", "200"])?;
    let home = format!("http://{}/", demo.demo_address()?);
    let browser = Browser::start()?;
    browser.open(&home)?;
    // A reloaded page does not have this marker.
    browser.run("window.mark = true;")?;
    browser.until(
        "a window to be complete",
        "return document.querySelector('#busiest').textContent.includes('the newest complete one')",
    )?;
    let database = Database::open(&pipe.path("demo.db"))?;
    let shown = browser.run(RATES)?;
    wait::until_right("every row that is shown to be in the table", || {
        let rows = database.rows()?;
        let missing = lines(&shown)?.into_iter().find(|line| !line.stands_in(&rows));
        Ok(missing.map(|line| format!("{line:?}")))
    })?;
    let counted = "Number(document.querySelector('#ledgers tfoot data').value)";
    let before = browser.run(&format!("return {counted}"))?;
    browser.until("the numbers to go on", &format!("return window.mark === true && {counted} > {before}"))?;
    let console = browser.console()?;
    ensure!(console.is_empty(), "the console has {console:?}");

    browser.set_scripts(false)?;
    browser.open(&home)?;
    let text = browser.text("return document.body.innerText")?;
    for part in [
        "Pipeline",
        "the newest complete one",
        "The ledger",
        "Partitions",
        "Configuration in force",
        "Without JavaScript",
    ] {
        ensure!(text.contains(part), "without scripts the page has no {part:?}:\n{text}");
    }
    ensure!(!lines(&browser.run(RATES)?)?.is_empty(), "without scripts there are no rates");
    for request in browser.requests()? {
        ensure!(request.starts_with(&home), "the page asks elsewhere: {request}");
    }
    demo.stop()?;
    Ok(())
}

/// A row of the rates table.
#[derive(Debug)]
struct Line {
    key: tests::recount::Key,
    counts: (u64, u64),
    rate: String,
}

impl Line {
    fn stands_in(&self, rows: &[Row]) -> bool {
        rows.iter().any(|row| row.key == self.key && (row.views, row.clicks) == self.counts)
    }
}

fn counts(value: &Value) -> Result<(u64, u64)> {
    let count = |at: usize| value[at].as_u64().with_context(|| format!("{value} has no count at {at}"));
    Ok((count(0)?, count(1)?))
}

fn lines(shown: &Value) -> Result<Vec<Line>> {
    let start = shown["start"].as_str().context("a window is shown")?;
    let line = |line: &Value| {
        let part = |at: usize| line["key"][at].as_str().map(str::to_owned);
        let rate = line["rate"].as_str().context("a rate")?.to_owned();
        Ok(Line { key: (start.to_owned(), part(0), part(1)), counts: counts(&line["counts"])?, rate })
    };
    shown["lines"].as_array().context("lines")?.iter().map(line).collect()
}

fn rates_are_those_of(browser: &Browser, rows: &[Row]) -> Result<()> {
    let (finals, lines) = (finals(rows)?, lines(&browser.run(RATES)?)?);
    let start = &lines.first().context("there are lines")?.key.0;
    let of_window = finals.iter().filter(|((of, ..), _)| of == start);
    let expected: BTreeMap<_, _> = of_window.collect();
    ensure!(lines.len() == expected.len().min(20), "{} of {} keys are shown", lines.len(), expected.len());
    for line in &lines {
        assert_eq!(expected.get(&line.key), Some(&&line.counts), "{line:?}");
        let (views, clicks) = line.counts;
        assert_eq!(line.rate, format!("{:.2} %", clicks as f64 / views as f64 * 100.0), "{line:?}");
    }
    ensure!(lines.is_sorted_by(|a, b| a.counts.0 >= b.counts.0), "the busiest come first: {lines:?}");
    Ok(())
}

fn ledger_is_that_of(browser: &Browser, ledger: &BTreeMap<&'static str, u64>) -> Result<()> {
    const BODY: &str = "return Object.fromEntries([...document.querySelectorAll('#ledgers tbody tr')]
        .map(line => [line.querySelector('th').textContent.trim(), Number(line.querySelector('data').value)]));";
    assert_eq!(browser.run(BODY)?, json!(ledger));
    Ok(())
}

/// Viewports, colour schemes, keyboard and accessibility tree.
fn anyone_can_use_it(browser: &Browser) -> Result<()> {
    browser.run("document.querySelectorAll('details').forEach(one => { one.open = true; });")?;
    for look in LOOKS {
        browser.look(look)?;
        let (faint, beyond) = (probe::faint(browser)?, probe::beyond_edge(browser)?);
        ensure!(faint.is_empty(), "{look:?}: text with too little contrast: {faint:#?}");
        ensure!(beyond.is_empty(), "{look:?}: the page is too wide: {beyond:#?}");
    }
    browser.look(LOOKS[0])?;
    let summary = probe::summary(browser)?;
    ensure!(summary.nameless.is_empty(), "without a name: {:#?}", summary.nameless);
    ensure!(summary.headings.first() == Some(&1), "the first heading is the page's: {:?}", summary.headings);
    ensure!(summary.headings.iter().filter(|level| **level == 1).count() == 1, "{:?}", summary.headings);
    ensure!(summary.headings.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{:?}", summary.headings);
    for landmark in ["banner", "main", "contentinfo", "navigation"] {
        ensure!(summary.roles.contains_key(landmark), "there is no {landmark}: {:?}", summary.roles);
    }
    let (usable, reached) = (probe::usable(browser)?, probe::reached(browser)?);
    ensure!(usable == reached, "the keyboard reaches {reached:#?}\nof {usable:#?}");

    browser.run("document.activeElement.blur();")?;
    browser.press(Key::Tab)?;
    browser.press(Key::Enter)?;
    browser.until("the first link to skip to the content", "return document.activeElement.id === 'content'")
}

/// Searches by keyboard: the result matches the table.
fn search_finds(browser: &Browser, rows: &[Row]) -> Result<()> {
    browser.run("document.getElementById('find').focus();")?;
    browser.devtools("Input.insertText", &json!({"text": "BOX-3"}))?;
    browser.press(Key::Enter)?;
    browser.until(
        "the search",
        "return location.search.includes('find=BOX-3') && document.readyState === 'complete'",
    )?;
    let lines = lines(&browser.run(RATES)?)?;
    let finals = finals(rows)?;
    let start = &lines.first().context("something is found")?.key.0;
    let expected = finals.keys().filter(|(of, _, place)| of == start && place.as_deref() == Some("box-3"));
    assert_eq!(lines.len(), expected.count());
    assert!(lines.iter().all(|line| line.key.2.as_deref() == Some("box-3")), "{lines:?}");
    Ok(())
}

/// The page of the first key: its panes are the rows of the table.
fn key_has_the_panes_of(browser: &Browser, rows: &[Row]) -> Result<()> {
    let key = lines(&browser.run(RATES)?)?.into_iter().next().context("a line")?.key;
    browser.run("document.querySelector('table.rates tbody a').focus();")?;
    browser.press(Key::Enter)?;
    browser.until(
        "the key's page",
        "return location.pathname.endsWith('/key') && document.readyState === 'complete'",
    )?;
    let shown = browser.run(PANES)?;
    let shown = shown.as_array().context("panes")?;
    ensure!(!shown.is_empty(), "no pane is shown of {key:?}");
    for pane in shown {
        let counts = counts(&pane["counts"])?;
        let is_it = |row: &&Row| {
            (&row.key.0, &row.key.1, &row.key.2)
                == (&pane["start"].as_str().unwrap_or_default().to_owned(), &key.1, &key.2)
                && (row.pane.as_str(), row.index)
                    == (pane["kind"].as_str().unwrap_or_default(), pane["index"].as_u64().unwrap_or(u64::MAX))
        };
        let row = rows.iter().find(is_it).with_context(|| format!("{pane} is no row of {key:?}"))?;
        assert_eq!((row.views, row.clicks), counts, "{pane}");
    }
    Ok(())
}
