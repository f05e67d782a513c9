//! The live page of a running command: the way of an event from Kafka to its row, the click-through rates, the ledger and
//! the configuration in force; and the same as JSON.
//!
//! Rendered on the server. Nothing comes from outside, and without the script, which only refreshes, it is complete.
//!
//! | module | idea |
//! |---|---|
//! | [`facts`] | what there is to be shown, as plain values, and the port that they come through |
//! | [`judge`] | green, amber or red, and why, in words |
//! | [`history`] | totals in, rates and their course out |
//! | [`chart`] | small pictures of numbers |
//! | [`words`] | numbers, times and sizes as people read them |
//! | `html` | the page |
//! | [`routes`] | what is served where |
//!
//! It knows what an event, a window and a ledger are, and nothing of connector, processor or writer: the binary joins them.
#![forbid(unsafe_code)]

pub mod facts;

pub mod judge;

pub mod history;

pub mod chart;

pub mod words;

mod html;

pub mod routes;

pub use facts::{Facts, Source};
pub use routes::router;
