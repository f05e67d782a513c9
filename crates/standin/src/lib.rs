//! Stand-ins for Kafka, Pub/Sub, BigQuery and a schema registry within the current process, for the demo, tests and benchmarks.
//!
//! | module | contents |
//! |---|---|
//! | [`pubsub`] | Pub/Sub on a free port: gRPC, REST for topics and subscriptions, injectable faults |
//! | [`kafka`] | librdkafka's mock cluster, which speaks the Kafka protocol |
//! | `tls` | TLS in front of Pub/Sub; needs the feature `tls` |
//! | [`bigquery`] | BigQuery on a free port: the Storage Write API, tables and queries, injectable faults |
//! | [`registry`] | a schema registry on a free port: IDs, GUIDs, credentials, injectable faults |
//!
//! All of them keep their data in memory. They share no code with the rest of Aqueduct, so that a misunderstanding of a
//! protocol cannot be the same on both sides.

#![forbid(unsafe_code)]

pub mod pubsub;

pub mod kafka;

pub mod bigquery;

pub mod registry;

#[cfg(feature = "tls")]
pub mod tls;

mod prompt;
mod rpc;
