//! Support for the end-to-end tests: the real binary as processes, the real services, and an expected result that
//! shares no code with the product.
//!
//! - [`services`]: addresses of Kafka, Pub/Sub and BigQuery; [`kafka`], [`pubsub`], [`bigquery`]: their clients
//! - [`pipe`]: a pipeline with its own configuration, and the commands; [`process`], [`proxy`], [`unaware`]
//! - [`traffic`]: the records; [`produced`] keeps them; [`recount`] counts them naively; [`topics`]: several topics
//!   that change
//! - [`formats`]: the same events in Avro and Protobuf, with the schema registry
//! - [`registry`]: a schema registry, and writers of other formats than JSON
//! - [`canary`]: searches output for IDs
//! - [`rows`]: the rows of the pipeline, compared with the recount
//! - [`backlog`]: hours of events, generated on delivery
//! - [`prometheus`]: a Prometheus server
//! - [`browser`]: a real Chromium, for the live page
//! - [`chaos`]: seeded runs with injected failures
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
