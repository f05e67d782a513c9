//! What the end-to-end tests stand on: the real binary as processes, the real services, and an expectation that
//! shares no code with the product.
//!
//! - [`services`]: where Kafka, Pub/Sub and BigQuery are; [`kafka`], [`pubsub`], [`bigquery`] speak to them
//! - [`pipe`]: a configuration of its own for a test, and the commands that run with it; [`process`], [`proxy`],
//!   [`unaware`]
//! - [`traffic`]: what is produced; [`produced`] keeps it; [`recount`] counts it, naively; [`topics`]: to which topics, where
//!   these change
//! - [`formats`]: the same events in Avro and Protobuf, with the schema registry
//! - [`registry`]: a schema registry, and writers of other formats than JSON
//! - [`canary`]: whether an id left in any form
//! - [`rows`]: what the pipe wrote, to be compared with the recount
//! - [`backlog`]: hours of events that nobody keeps, made while they are delivered
//! - [`prometheus`]: what watches it
//! - [`browser`]: a real Chromium, for the live page
//! - [`chaos`]: seeded runs of all of it in which things go wrong
//!
//! Not here: the tests (`tests/`).
#![forbid(unsafe_code)]

pub mod backlog;
pub mod bigquery;
pub mod browser;
pub mod canary;
pub mod chaos;
pub mod formats;
pub mod http;
pub mod kafka;
pub mod pipe;
pub mod process;
pub mod produced;
pub mod prometheus;
pub mod proxy;
pub mod pubsub;
pub mod recount;
pub mod registry;
pub mod rows;
pub mod services;
pub mod topics;
pub mod traffic;
pub mod unaware;
pub mod wait;
