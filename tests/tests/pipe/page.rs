//! The live page shows the rows of the tables.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::{
    rows::{Database, Rows as _, finals, wait_for},
    traffic::Traffic,
};

use crate::{prepared, produced};

#[test]
fn the_page_shows_the_rates_of_the_table() -> Result<()> {
    let pipe = prepared("page", 2)?;
    let (_, recount) = produced(&pipe, Traffic::new(3_000, 2).with_trouble())?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    let database = Database::open(&pipe.path("rows.db"))?;
    wait_for(&database, &recount)?;

    let busiest: Value = serde_json::from_str(&processor.get("/api/v1/flows/box_ctr/busiest?limit=1000")?)?;
    let start = busiest["window"]["window_start"].as_str().context("a window is shown")?;
    let finals = finals(&database.rows()?)?;
    let expected = finals.iter().filter(|((of, ..), _)| of == start).count();
    let shown = busiest["rows"].as_array().context("rows")?;
    ensure!(shown.len() == expected && expected > 0, "{} of {expected} keys are shown", shown.len());
    for row in shown {
        let part = |n: usize| row["key"][n].as_str().map(str::to_owned);
        let counts = finals.get(&(start.to_owned(), part(0), part(1)));
        let found = (row["views"].as_u64(), row["clicks"].as_u64());
        assert_eq!(counts.map(|counts| (Some(counts.0), Some(counts.1))), Some(found), "{row}");
    }

    let page = processor.get("/")?;
    for part in ["Measures", "The ledger"] {
        ensure!(page.contains(part), "the page has no {part:?}");
    }
    let busiest = shown.first().and_then(|row| row["key"][0].as_str()).context("a busiest page")?;
    ensure!(page.contains(busiest), "the page does not show {busiest}");
    ensure!(connector.get("/")?.contains("Pub/Sub"), "the connector serves no page");
    connector.stop()?;
    processor.stop()?;
    Ok(())
}
