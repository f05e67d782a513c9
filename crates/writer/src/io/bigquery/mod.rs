//! A BigQuery dataset.
//!
//! Rows go through the Storage Write API (gRPC) into streams of committed type, as protobuf, at an offset. Datasets,
//! tables, views and queries go through REST. An emulator is given no credentials.

mod append;
mod arrow;
mod contains;
mod fault;
mod owner;
mod read;
mod rest;
mod rows;
mod tables;
mod verdict;
mod wire;

use std::{borrow::Cow, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use flow::{
    append::{Append, Appended, Body, Rows, Table},
    row::{DeadLetterRow, ProgressRow},
};
use google::{Caller, Credentials, channel};

use crate::{
    BigQueryConfig, LatestRow, Letters, Refusals, WriterError,
    backend::{Backend, Mode, Place},
    schema::{Tables, Target},
    writer::{Claim, Step},
};

/// OAuth scope of both APIs.
const SCOPE: &str = "https://www.googleapis.com/auth/bigquery";
/// The address of queries, tables and datasets.
const REST: &str = "https://bigquery.googleapis.com";
/// The address of the Storage Write API.
const GRPC: &str = "https://bigquerystorage.googleapis.com";

/// Clients of one dataset.
#[derive(Debug)]
struct BigQuery {
    config: BigQueryConfig,
    tables: Tables,
    rest: rest::Rest,
    streams: append::Streams,
}

#[async_trait]
impl Place for BigQueryConfig {
    async fn connect(&self, tables: Tables) -> Result<Arc<dyn Backend>, WriterError> {
        Ok(Arc::new(BigQuery::new(self, tables)?))
    }

    async fn prepare(&self, tables: Tables, mode: Mode) -> Result<Vec<Step>, WriterError> {
        tables::prepare(&BigQuery::new(self, tables)?, mode).await
    }

    async fn check_owner(&self, tables: Tables, pipeline: &str) -> Result<(), WriterError> {
        owner::look(&BigQuery::new(self, tables)?, pipeline).await
    }
}

impl BigQuery {
    /// Creates the clients; nothing is sent yet.
    fn new(config: &BigQueryConfig, tables: Tables) -> Result<Self, WriterError> {
        let (rest, grpc, credentials) = match &config.emulator {
            Some(emulator) => (emulator.rest.as_str(), emulator.grpc.as_str(), Credentials::none()),
            None => (REST, GRPC, Credentials::application_default(SCOPE).map_err(fault::connect)?),
        };
        let channel = channel::address(grpc).map_err(fault::connect)?.connect_lazy();
        Ok(Self {
            rest: rest::Rest::new(rest, &config.project, credentials.clone()).map_err(fault::connect)?,
            streams: append::Streams::new(Caller { channel, credentials }),
            config: config.clone(),
            tables,
        })
    }

    /// A table or view as SQL names it. All parts were checked to contain nothing that ends a quote.
    fn quoted(&self, name: &str) -> String {
        format!("`{}.{}.{name}`", self.config.project, self.config.dataset)
    }

    /// `project.dataset.table`, for messages.
    fn full(&self, name: &str) -> String {
        format!("{}.{}.{name}", self.config.project, self.config.dataset)
    }

    /// The path of the dataset in the REST API, below its project.
    fn dataset_path(&self) -> String {
        format!("/datasets/{}", self.config.dataset)
    }

    /// The path of a table or view in the REST API, below its project.
    fn table_path(&self, name: &str) -> String {
        format!("/datasets/{}/tables/{name}", self.config.dataset)
    }

    /// The body of an append as its table takes it. Only rows with a column that the configuration lacks are compared with
    /// the table, which has all others: BigQuery would refuse the rows for a column that the table lacks, too, and forever.
    async fn body(&self, append: &Append, target: &Target<'_>) -> Result<Bytes, WriterError> {
        let body = match rows::current(append, target)? {
            Cow::Borrowed(_) => Bytes::from_owner(append.body.clone()),
            Cow::Owned(bytes) => bytes.into(),
        };
        let columns = rows::Parts::read(append, &body)?.columns(append, &target.columns)?;
        if columns.iter().all(Option::is_some) {
            return Ok(body);
        }
        let Some(found) = tables::get(self, &target.name()).await? else { return Ok(body) };
        Ok(rows::only(append, &body, |column| found.has(column))?.into())
    }
}

#[async_trait]
impl Backend for BigQuery {
    fn too_large(&self, rows: Rows<'_>) -> Vec<usize> {
        rows::too_large(rows)
    }

    fn encode(&self, table: &Table, rows: Rows<'_>) -> Result<Vec<Body>, WriterError> {
        rows::encode(&self.tables.target(table)?, rows)
    }

    fn without(&self, append: &Append, refused: &[u32]) -> Result<Body, WriterError> {
        rows::without(append, &self.tables.target(&append.table)?, refused)
    }

    async fn open_stream(&self, table: &Table) -> Result<String, WriterError> {
        self.tables.target(table)?;
        let (project, dataset) = (&self.config.project, &self.config.dataset);
        let path = format!("projects/{project}/datasets/{dataset}/tables/{}", table.name());
        self.streams.open(&path, table).await
    }

    async fn append(&self, append: &Append) -> Result<Appended, WriterError> {
        let body = self.body(append, &self.tables.target(&append.table)?).await?;
        self.streams.append(append, body).await
    }

    async fn contains(&self, append: &Append) -> Result<bool, WriterError> {
        let target = self.tables.target(&append.table)?;
        if let Some(rows) = self.streams.finish(append).await? {
            return Ok(append.offset + u64::from(append.rows) <= rows);
        }
        contains::ask(self, append, &target).await
    }

    async fn claim(&self, pipeline: &str, claim: Claim) -> Result<(), WriterError> {
        owner::claim(self, pipeline, claim).await
    }

    async fn count(&self, table: &Table) -> Result<u64, WriterError> {
        self.tables.target(table)?;
        read::count(self, table).await
    }

    async fn progress(&self, flow: &str) -> Result<Option<ProgressRow>, WriterError> {
        read::progress(self, self.tables.flow(flow)?).await
    }

    async fn latest(&self, flow: &str, limit: usize) -> Result<Vec<LatestRow>, WriterError> {
        read::latest(self, self.tables.flow(flow)?, limit).await
    }

    async fn refusals(&self) -> Result<Vec<Refusals>, WriterError> {
        read::refusals(self).await
    }

    async fn dead_letters(&self, letters: &Letters) -> Result<Vec<DeadLetterRow>, WriterError> {
        read::dead_letters(self, letters).await
    }

    async fn close(&self) -> Result<(), WriterError> {
        self.streams.close().await;
        Ok(())
    }
}
