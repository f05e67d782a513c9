//! Stand-ins for Kafka, Pub/Sub and BigQuery that run in this process, for the demo, tests and benches.
//!
//! | module | idea |
//! |---|---|
//! | [`pubsub`] | Pub/Sub on a free port: gRPC for messages, REST for topics and subscriptions, faults on demand |
//! | [`kafka`] | librdkafka's mock cluster, which speaks the Kafka protocol |
//! | [`tls`] | TLS in front of Pub/Sub |
//! | [`bigquery`] | BigQuery on a free port: the Storage Write API, tables and queries, answers that fail on demand |
//!
//! All keep everything in memory. Not here: anything of Aqueduct's own, so that a misunderstanding of ours cannot
//! hide on both sides.

#![forbid(unsafe_code)]

pub mod pubsub;

pub mod kafka;

pub mod bigquery;

pub mod tls;

mod prompt;
mod rpc;
