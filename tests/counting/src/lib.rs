//! A differential fuzzer of the counting: random configurations and random events through `replay`, through the
//! processor's core with checkpoints and restarts, and through a naive model that shares no code with either.
//!
//! | module | content |
//! |---|---|
//! | `settings` | generates `[events]` and `[[flows]]` with their edits, and renders them as TOML |
//! | `records` | generates the logs of the partitions: views, clicks, copies, refused events, gaps |
//! | `arrival` | generates the order of arrival, ticks, checkpoints and crashes, and expands it with redeliveries |
//! | `model` | the naive model: what is right |
//! | `product` | the same case through `replay` and through the core |
//! | `check` | compares the three |
//! | `panes` | what must hold of every pane |
//! | `shrink` | makes a failing case small |
//! | `report` | prints it |
//! | [`dice`] | random choices, also those of the cases for Apache Beam (`tests/oracle`) |
//!
//! If the rules leave an outcome open (an ID that need not be remembered any more), the model reports it, and the case
//! is run without that event.
#![forbid(unsafe_code)]

mod arrival;
mod case;
mod check;
pub mod dice;
mod hunt;
mod model;
mod panes;
mod product;
mod records;
mod report;
mod settings;
mod shrink;

pub use case::Case;
pub use check::{Finding, check};
pub use hunt::{Hunt, hunt};
pub use product::{configured, ledger_of};
pub use report::{export, report, save};
pub use shrink::shrink;
