//! What the benches share: how a process is watched from outside.
#![forbid(unsafe_code)]

pub mod accounted;

pub mod watch;
