//! What several benches need: how a process is watched from outside.
#![forbid(unsafe_code)]

pub mod watch;
