//! The live page of a running command: the pipeline's stages from Kafka to the tables, the measures of each flow, the
//! ledger and the configuration in force; and the same as JSON.
//!
//! The page is rendered on the server, loads nothing from other hosts, and is complete without its script, which only
//! refreshes it.
//!
//! | module | contents |
//! |---|---|
//! | [`facts`] | what is shown, as plain values, and the trait that provides them |
//! | [`judge`] | green, amber or red, and the reason |
//! | [`history`] | totals to rates and their course |
//! | [`measures`] | measures of any flow as text and as points of a chart |
//! | [`chart`] | charts as SVG |
//! | [`words`] | numbers, times and sizes as text |
//! | `html` | the page |
//! | [`routes`] | what is served where |
//!
//! The crate knows flows and ledgers, and neither connector, processor nor writer: the binary joins them.
#![forbid(unsafe_code)]

pub mod facts;

pub mod judge;

pub mod history;

pub mod measures;

pub mod chart;

pub mod words;

mod html;

pub mod routes;

pub use facts::{Facts, Source};
pub use routes::router;
