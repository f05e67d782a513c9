//! Rows into BigQuery (Storage Write API) or an SQLite file, exactly once, behind one port: [`Writer`].
//!
//! | module | idea |
//! |---|---|
//! | `settings` | the `[writer]` section and what it resolves to |
//! | `names` | which flows and columns a database can take |
//! | `schema` | the columns of every table |
//! | `stamp` | times as a table can hold them |
//! | `cells` | a row as the values of its columns; the way there and back |
//! | `ndjson` | rows as lines of JSON |
//! | `writer` | the port |
//! | `io::sqlite` | SQLite behind it |
//! | `io::bigquery` | BigQuery behind it |
//!
//! Not here: when rows fire and which stream and offset they go to (the processor decides and makes
//! that durable before the first attempt).

#![forbid(unsafe_code)]

mod settings;

mod names;

mod schema;

mod stamp;

mod cells;

mod ndjson;

mod writer;

mod error;

mod io;

pub use error::WriterError;
pub use io::sqlite::pipelines;
pub use names::validate_tables;
pub use ndjson::NdjsonFormat;
pub use settings::{BigQueryConfig, Endpoints, WriterConfig, WriterKind, WriterSettings};
pub use writer::{Claim, LatestRow, Refusals, State, Step, Writer};
