//! What the benches share: what the connector is told to do, and how a process is watched from outside.
#![forbid(unsafe_code)]

pub mod accounted;
pub mod rules;
pub mod watch;
