//! Stand-ins for Kafka and Pub/Sub that run in this process, for the demo, tests and benches.
//!
//! | module | idea |
//! |---|---|
//! | [`pubsub`] | Pub/Sub on a free port: gRPC for messages, REST for topics and subscriptions, faults on demand |
//! | [`kafka`] | librdkafka's mock cluster, which speaks the Kafka protocol |
//!
//! Both keep everything in memory. Not here: anything of Aqueduct's own, so that a misunderstanding of ours cannot
//! hide on both sides; and BigQuery, whose place SQLite takes.

#![forbid(unsafe_code)]

pub mod pubsub;

pub mod kafka;
