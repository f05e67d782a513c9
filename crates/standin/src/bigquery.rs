//! BigQuery: the Storage Write API with committed streams and offsets, and as much of REST as it takes to make tables,
//! describe views and ask for rows; with the answers that a test asks for.
//!
//! Rows stand in SQLite, in memory, which answers the queries: of SQL it knows what both know, and times are whole
//! microseconds. [`tables`] holds what there is, [`streams`] judges an append, [`faults`] what goes wrong with it;
//! [`grpc`] and [`append`] speak the Storage Write API, [`rest`] the rest, [`server`] runs them.
//!
//! Not here: streams of other types, rows as protobuf, what a view shows (it is kept as described), jobs, costs, rights.

mod tables;

mod streams;

mod batch;

mod faults;

mod server;

mod grpc;

mod append;

mod rest;

mod wire;

pub use faults::{Fault, Faults};
pub use server::{BigQuery, StartError};
pub use tonic::Code;
