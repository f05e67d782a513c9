//! Shared by the benchmarks: the rules of the connector, and measurements of a process from outside.
#![forbid(unsafe_code)]

pub mod accounted;
pub mod rules;
pub mod watch;
