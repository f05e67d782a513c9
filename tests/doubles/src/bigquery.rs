//! BigQuery with injectable faults: the Storage Write API with committed streams and offsets, change data capture through
//! default streams, and the part of the REST API that creates tables, describes views and runs queries.
//!
//! No emulator has change data capture, and nothing here was compared with the service. [`changes`] follows
//! <https://docs.cloud.google.com/bigquery/docs/change-data-capture>, and names what that page leaves open.
//!
//! Rows are kept in an in-memory SQLite database, which runs the queries. Only SQL that both databases support is
//! available, and times have microsecond precision. [`tables`] holds datasets, tables and rows, [`streams`] decides
//! about an append, [`changes`] applies changes, and [`faults`] about what goes wrong with it; [`grpc`] and [`append`] implement the Storage Write
//! API, [`rest`] the REST API, and [`server`] runs them.
//!
//! Not implemented: other types of streams, rows in Arrow format, evaluating views (only their description is kept), jobs,
//! costs, permissions.

mod tables;

mod streams;

mod batch;

mod changes;

mod faults;

mod server;

mod grpc;

mod append;

mod rest;

mod wire;

pub use faults::{Fault, Faults};
pub use server::{BigQuery, StartError};
pub use tonic::Code;
