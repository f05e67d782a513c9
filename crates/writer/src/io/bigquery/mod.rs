//! A BigQuery dataset.
//!
//! Rows go through the Storage Write API (gRPC) into streams of committed type, as protobuf, at an offset. Where rows replace
//! each other, the rows of flows go through the default stream as changes: see [`upsert`]. Datasets, tables, views and queries
//! go through REST. An emulator is given no credentials.

mod append;
mod arrow;
mod contains;
mod fault;
mod owner;
mod read;
mod rest;
mod rows;
mod tables;
mod upsert;
mod verdict;
mod wire;

use std::{borrow::Cow, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use event::EventTime;
use flow::{
    append::{Append, Appended, Body, Rows, Table},
    row::{DeadLetterRow, ProgressRow},
};
use google::{Caller, Credentials, channel};

use crate::{
    BigQueryConfig, LatestRow, Letters, Refusals, WriterError, WriterMode,
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

    /// The path of a table in the Storage Write API.
    fn path(&self, table: &Table) -> String {
        let (project, dataset) = (&self.config.project, &self.config.dataset);
        format!("projects/{project}/datasets/{dataset}/tables/{}", table.name())
    }

    /// The stream that every table has.
    fn default_stream(&self, table: &Table) -> String {
        format!("{}{}", self.path(table), append::DEFAULT)
    }

    /// Whether the rows of a table replace each other.
    fn replaces(&self, table: &Table) -> bool {
        self.config.mode == WriterMode::Upsert && matches!(table, Table::Flow(_))
    }

    /// The body of an append as its table takes it. Only rows with a column that the configuration lacks are compared with
    /// the table, which has all others: BigQuery would refuse the rows for a column that the table lacks, too, and forever.
    async fn body(&self, append: &Append, target: &Target<'_>) -> Result<Bytes, WriterError> {
        let mut body = match rows::current(append, target)? {
            Cow::Borrowed(_) => Bytes::from_owner(append.body.clone()),
            Cow::Owned(bytes) => bytes.into(),
        };
        if self.replaces(&append.table) {
            body = upsert::changes(append, &body, target)?.map_or(body, Bytes::from);
        } else if matches!(append.table, Table::Flow(_)) {
            body = upsert::panes(append, &body)?.map_or(body, Bytes::from);
        }
        let columns = rows::Parts::read(append, &body)?.columns(append, &target.columns)?;
        let unknown = columns.iter().filter(|column| column.is_none()).count();
        if unknown == if self.replaces(&append.table) { upsert::COLUMNS } else { 0 } {
            return Ok(body);
        }
        let Some(found) = tables::get(self, &target.name()).await? else { return Ok(body) };
        Ok(rows::only(append, &body, |column| found.has(column) || upsert::is_pseudocolumn(column))?.into())
    }
}

#[async_trait]
impl Backend for BigQuery {
    fn too_large(&self, rows: Rows<'_>) -> Vec<usize> {
        match rows {
            Rows::Panes(panes) if self.config.mode == WriterMode::Upsert => upsert::too_large(panes),
            rows => rows::too_large(rows),
        }
    }

    fn encode(&self, table: &Table, rows: Rows<'_>) -> Result<Vec<Body>, WriterError> {
        let target = self.tables.target(table)?;
        match rows {
            Rows::Panes(panes) if self.replaces(table) => upsert::encode(&target, panes),
            rows => rows::encode(&target, rows),
        }
    }

    fn without(&self, append: &Append, refused: &[u32]) -> Result<Body, WriterError> {
        let target = self.tables.target(&append.table)?;
        if !self.replaces(&append.table) {
            return rows::without(append, &target, refused);
        }
        let body = rows::current(append, &target)?;
        let changes = upsert::changes(append, &body, &target)?;
        upsert::without(append, changes.as_deref().unwrap_or(&body), refused)
    }

    /// Where rows replace each other, the stream is the default stream, which needs not be created.
    async fn open_stream(&self, table: &Table) -> Result<String, WriterError> {
        self.tables.target(table)?;
        if !self.replaces(table) {
            return self.streams.open(&self.path(table), table).await;
        }
        match tables::get(self, &table.name()).await? {
            Some(_) => Ok(self.default_stream(table)),
            None => Err(WriterError::Absent { what: format!("table {}", table.name()) }),
        }
    }

    async fn append(&self, append: &Append) -> Result<Appended, WriterError> {
        let is_default = self.replaces(&append.table);
        if is_default != append.stream.ends_with(append::DEFAULT)
            || (is_default && append.stream != self.default_stream(&append.table))
        {
            // Rows of a state that was moved, from a table with the rows of the other mode.
            return Ok(Appended::StreamGone);
        }
        let body = self.body(append, &self.tables.target(&append.table)?).await?;
        match self.streams.append(append, body.clone()).await? {
            Appended::Refused(changes) if is_default => {
                Ok(Appended::Refused(upsert::rows_of(append, &body, changes)?))
            }
            appended => Ok(appended),
        }
    }

    async fn contains(&self, append: &Append) -> Result<bool, WriterError> {
        if self.replaces(&append.table) || append.stream.ends_with(append::DEFAULT) {
            // Sending changes again changes nothing, and rows that waited as changes are in no table of the other mode.
            return Ok(false);
        }
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
        read::count(self, table, self.replaces(table)).await
    }

    async fn progress(&self, flow: &str) -> Result<Option<ProgressRow>, WriterError> {
        read::progress(self, self.tables.flow(flow)?).await
    }

    async fn progress_detail(&self, flow: &str, at: EventTime) -> Result<Option<String>, WriterError> {
        read::progress_detail(self, self.tables.flow(flow)?, at).await
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
