//! Stand-ins for Kafka and Pub/Sub within the current process, for the demo, tests and benchmarks.
//!
//! | module | contents |
//! |---|---|
//! | [`pubsub`] | Pub/Sub on a free port: gRPC, REST for topics and subscriptions, injectable faults |
//! | [`kafka`] | librdkafka's mock cluster, which speaks the Kafka protocol |
//! | `tls` | TLS in front of Pub/Sub; needs the feature `tls` |
//! | [`rpc`], [`prompt`] | what every stand-in of a Google service needs |
//!
//! Both keep their data in memory. They share no code with the rest of Aqueduct, so that a misunderstanding of a
//! protocol cannot be the same on both sides.

#![forbid(unsafe_code)]

pub mod pubsub;

pub mod kafka;

#[cfg(feature = "tls")]
pub mod tls;

pub mod prompt;

pub mod rpc;
