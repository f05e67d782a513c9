//! A flow's table in the BigQuery emulator or the stand-in, over REST; and the stand-in, with injected faults.

use anyhow::{Context as _, Result};
use doubles::bigquery::{BigQuery, Faults};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    http,
    pipe::PROJECT,
    recount::stamp,
    rows::{Row, Rows},
    services,
};

/// The BigQuery stand-in in this process.
pub struct StandIn {
    bigquery: BigQuery,
    /// Its runtime.
    _runtime: Runtime,
}

impl StandIn {
    /// Starts one.
    ///
    /// # Errors
    /// No port is free.
    pub fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let bigquery = runtime.block_on(BigQuery::start())?;
        Ok(Self { bigquery, _runtime: runtime })
    }

    /// Its address, for REST and gRPC.
    pub fn url(&self) -> String {
        format!("http://{}", self.bigquery.host())
    }

    /// Its injected faults.
    pub fn faults(&self) -> Faults {
        self.bigquery.faults()
    }

    /// A dataset of it.
    pub fn dataset(&self, name: String) -> Dataset {
        Dataset { host: self.bigquery.host(), name }
    }
}

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

    /// The single number that a query returns.
    ///
    /// # Errors
    /// The emulator rejects the query, or the result is not a number.
    pub fn number(&self, sql: &str) -> Result<u64> {
        let rows = self.query(sql)?;
        let number = rows.first().and_then(|row| row.first()).and_then(Value::as_str);
        number.context("a query for a number gives one")?.parse().context("a number")
    }

    /// The cells of every row of a query.
    ///
    /// # Errors
    /// The emulator rejects it.
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

    /// The name of a table or view of the dataset in a query.
    pub fn table(&self, name: &str) -> String {
        format!("`{PROJECT}.{}.{name}`", self.name)
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
