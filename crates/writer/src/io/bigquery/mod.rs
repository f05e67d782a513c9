//! A BigQuery dataset behind the port.
//!
//! Rows go through the Storage Write API into streams of committed type, as Arrow, at an offset;
//! datasets, tables, views and queries go through REST. An emulator is given no credentials.

mod append;
mod fault;
mod owner;
mod read;
mod rows;
mod stands;
mod tables;
mod verdict;

use event::{
    append::{Append, Appended, Body, Rows, Table},
    row::ProgressRow,
};
use google_cloud_auth::credentials::{Credentials, anonymous};
use google_cloud_bigquery::client::{BigQuery as Queries, Write};
use google_cloud_bigquery_v2::client::{DatasetService, TableService};
use google_cloud_gax::retry_policy::{Aip194Strict, RetryPolicyExt};
pub(crate) use rows::too_large;

use crate::{
    BigQueryConfig, LatestRow, Refusals, WriterError,
    schema::Tables,
    writer::{Claim, Mode, Step},
};

/// How often a REST call is tried before whoever asked is told.
const ATTEMPTS: u32 = 4;

/// Clients of one dataset.
#[derive(Debug)]
pub(crate) struct BigQuery {
    config: BigQueryConfig,
    tables: Tables,
    datasets: DatasetService,
    definitions: TableService,
    queries: Queries,
    streams: append::Streams,
}

impl BigQuery {
    /// Makes the clients; nothing is sent yet.
    pub(crate) async fn connect(config: &BigQueryConfig, tables: Tables) -> Result<Self, WriterError> {
        let policy = || Aip194Strict.with_attempt_limit(ATTEMPTS);
        let mut datasets = DatasetService::builder().with_retry_policy(policy());
        let mut definitions = TableService::builder().with_retry_policy(policy());
        let mut queries = Queries::builder().with_project_id(&config.project).with_retry_policy(policy());
        let mut write = Write::builder();
        if let Some(endpoints) = &config.emulator {
            let nobody = || -> Credentials { anonymous::Builder::new().build() };
            datasets = datasets.with_endpoint(&endpoints.rest).with_credentials(nobody());
            definitions = definitions.with_endpoint(&endpoints.rest).with_credentials(nobody());
            queries = queries.with_endpoint(&endpoints.rest).with_credentials(nobody());
            write = write.with_endpoint(&endpoints.grpc).with_credentials(nobody());
        }
        Ok(Self {
            datasets: datasets.build().await.map_err(fault::credentials)?,
            definitions: definitions.build().await.map_err(fault::credentials)?,
            queries: queries.build().await.map_err(fault::credentials)?,
            streams: append::Streams::new(write.build().await.map_err(fault::credentials)?),
            config: config.clone(),
            tables,
        })
    }

    pub(crate) fn encode(&self, table: &Table, rows: Rows<'_>) -> Result<Vec<Body>, WriterError> {
        let join = self.has_join(table)?;
        rows::encode(table, &self.tables.columns(table)?, join, rows)
    }

    pub(crate) fn without(&self, append: &Append, rows: &[u32]) -> Result<Body, WriterError> {
        rows::without(append, &self.tables.columns(&append.table)?, rows)
    }

    pub(crate) async fn open_stream(&self, table: &Table) -> Result<String, WriterError> {
        let columns = self.tables.columns(table)?;
        let path = format!(
            "projects/{}/datasets/{}/tables/{}",
            self.config.project,
            self.config.dataset,
            table.name()
        );
        self.streams.open(&path, table, &columns).await
    }

    pub(crate) async fn append(&self, append: &Append) -> Result<Appended, WriterError> {
        self.streams.append(append, &self.tables.columns(&append.table)?).await
    }

    pub(crate) async fn stands(&self, append: &Append) -> Result<bool, WriterError> {
        let columns = self.tables.columns(&append.table)?;
        if let Some(rows) = self.streams.finish(append, &columns).await? {
            return Ok(append.offset + u64::from(append.rows) <= rows);
        }
        stands::ask(self, append, &columns).await
    }

    pub(crate) async fn prepare(&self, mode: Mode) -> Result<Vec<Step>, WriterError> {
        tables::prepare(self, mode).await
    }

    pub(crate) async fn claim(&self, pipeline: &str, claim: Claim) -> Result<(), WriterError> {
        owner::claim(self, pipeline, claim).await
    }

    pub(crate) async fn check_owner(&self, pipeline: &str) -> Result<(), WriterError> {
        owner::look(self, pipeline).await
    }

    pub(crate) async fn count(&self, table: &Table) -> Result<u64, WriterError> {
        self.tables.columns(table)?;
        read::count(self, table).await
    }

    pub(crate) async fn progress(&self, flow: &str) -> Result<Option<ProgressRow>, WriterError> {
        read::progress(self, self.tables.flow(flow)?).await
    }

    pub(crate) async fn latest(&self, flow: &str, limit: usize) -> Result<Vec<LatestRow>, WriterError> {
        read::latest(self, self.tables.flow(flow)?, limit).await
    }

    pub(crate) async fn refusals(&self) -> Result<Vec<Refusals>, WriterError> {
        read::refusals(self).await
    }

    pub(crate) async fn close(&self) {
        self.streams.close().await;
    }

    fn has_join(&self, table: &Table) -> Result<bool, WriterError> {
        match table {
            Table::Flow(flow) => Ok(self.tables.flow(flow)?.join),
            _ => Ok(false),
        }
    }

    /// A table or view as SQL names it. All parts were checked to hold nothing that ends a quote.
    fn quoted(&self, name: &str) -> String {
        format!("`{}.{}.{name}`", self.config.project, self.config.dataset)
    }

    /// `project.dataset.table`, for messages.
    fn full(&self, name: &str) -> String {
        format!("{}.{}.{name}", self.config.project, self.config.dataset)
    }
}
