//! Rows into BigQuery (Storage Write API), an SQLite file or a Pub/Sub topic, exactly once, behind one interface: [`Backend`].
//!
//! | module | contents |
//! |---|---|
//! | `settings` | the `[writer]` section and what it resolves to |
//! | `names` | which names of flows and columns a database can take |
//! | `schema` | the columns of every table |
//! | `stamp` | times as a table can contain them |
//! | `cells` | rows as the values of their columns, and back |
//! | `ndjson` | rows as lines of JSON |
//! | `requests` | how rows are divided into requests |
//! | `backend` | the interface of a database |
//! | `writer` | the handle of an open database |
//! | `io::sqlite` | the backend for SQLite |
//! | `io::pubsub` | the backend for a Pub/Sub topic, whose readers remove repetitions |
//! | `io::bigquery` | the backend for BigQuery; needs the feature `cloud` |
//!
//! The processor decides when rows fire and which stream and offset they get, and makes that durable before the first
//! attempt.

#![forbid(unsafe_code)]

mod settings;

mod names;

mod schema;

mod stamp;

mod cells;

mod ndjson;

mod requests;

mod letters;

mod backend;

mod writer;

mod error;

mod io;

#[cfg(test)]
mod fixtures;

pub use backend::Backend;
pub use error::{NameOf, WriterError};
pub use io::sqlite::pipelines;
pub use letters::Letters;
pub use names::validate_tables;
pub use ndjson::NdjsonFormat;
pub use settings::{
    BigQueryConfig, Endpoints, PubSubConfig, SqliteConfig, TopicPath, WriterConfig, WriterKind, WriterMode,
    WriterSettings,
};
pub use writer::{Claim, LatestRow, Refusals, State, Step, Writer};
