//! BigQuery and a schema registry within the current process, for tests. No command uses them, so they are no part of the
//! program; Pub/Sub and Kafka, which the demo needs, are in [`standin`].
//!
//! | module | contents |
//! |---|---|
//! | [`bigquery`] | BigQuery on a free port: the Storage Write API, tables and queries, injectable faults |
//! | [`registry`] | a schema registry on a free port: IDs, GUIDs, credentials, injectable faults |
//!
//! Both keep their data in memory. They share no code with the rest of Aqueduct, so that a misunderstanding of a protocol
//! cannot be the same on both sides.

#![forbid(unsafe_code)]

pub mod bigquery;

pub mod registry;
