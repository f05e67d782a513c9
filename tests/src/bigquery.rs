//! A flow's table in the BigQuery emulator, by its REST interface.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    http,
    pipe::PROJECT,
    recount::stamp,
    rows::{Row, Rows},
    services,
};

/// A dataset.
pub struct Dataset {
    host: String,
    name: String,
}

impl Dataset {
    /// A dataset of the emulator.
    ///
    /// # Errors
    /// The emulator was not started.
    pub fn new(name: String) -> Result<Self> {
        let url = services::address(services::BIGQUERY_REST)?;
        Ok(Self { host: url.trim_start_matches("http://").to_owned(), name })
    }

    /// The cells of every row that a query gives.
    ///
    /// # Errors
    /// The emulator refuses it.
    pub fn query(&self, sql: &str) -> Result<Vec<Vec<Value>>> {
        let body = json!({"query": sql, "useLegacySql": false, "maxResults": 100_000, "timeoutMs": 60_000});
        let path = format!("/bigquery/v2/projects/{PROJECT}/queries");
        let answer = http::json(&self.host, "POST", &path, Some(&body))?;
        let rows = answer["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        let cells = |row: &Value| {
            let cells = row["f"].as_array().context("a row has cells")?;
            Ok(cells.iter().map(|cell| cell["v"].clone()).collect())
        };
        rows.iter().map(cells).collect()
    }

    /// A table or view of the dataset, as a query names it.
    pub fn table(&self, name: &str) -> String {
        format!("`{PROJECT}`.`{}`.`{name}`", self.name)
    }
}

impl Rows for Dataset {
    fn rows(&self) -> Result<Vec<Row>> {
        let sql = format!(
            "select unix_millis(window_start), page, box, views, clicks, ctr, pane, pane_index from {}",
            self.table("box_ctr")
        );
        self.query(&sql)?.iter().map(|cells| row(cells).with_context(|| format!("{cells:?}"))).collect()
    }
}

fn row(cells: &[Value]) -> Result<Row> {
    let [start, page, r#box, views, clicks, ctr, pane, index] = cells else {
        anyhow::bail!("eight cells were asked for");
    };
    let text = |cell: &Value| cell.as_str().map(str::to_owned);
    let number = |cell: &Value| -> Result<u64> { Ok(cell.as_str().context("a number")?.parse()?) };
    Ok(Row {
        key: (stamp(start.as_str().context("a time")?.parse()?)?, text(page), text(r#box)),
        views: number(views)?,
        clicks: number(clicks)?,
        ctr: ctr.as_str().map(str::parse).transpose()?,
        pane: text(pane).context("a pane")?,
        index: number(index)?,
    })
}
