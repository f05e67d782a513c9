//! One status of a pipeline, judged once: the live page of a running command, the same as JSON, and `aqueduct status`.
//!
//! The page is rendered on the server, loads nothing from other hosts, and is complete without its script, which only
//! refreshes it.
//!
//! | module | contents |
//! |---|---|
//! | [`status`] | the status, as plain values that serialise, and the trait that provides them |
//! | [`judge`] | green, amber or red, and the reason |
//! | [`history`] | totals to rates and their course |
//! | [`measures`] | measures of any flow as text and as points of a chart |
//! | `chart` | charts as SVG |
//! | [`words`] | numbers, times and sizes as text |
//! | `html` | the page |
//! | [`late`] | the share of late events |
//! | `routes` | what is served where |
//!
//! What a processor knows of itself is `processor::view`, which is part of the status. Connector and writer are unknown here:
//! the binary adds what they report.
#![forbid(unsafe_code)]

pub mod status;

pub mod late;

pub mod judge;

pub mod history;

pub mod measures;

mod chart;

pub mod words;

mod html;

mod routes;

pub use routes::router;
pub use status::{Source, Status};
