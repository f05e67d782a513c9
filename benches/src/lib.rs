//! What the benches share: what the operating system accounts to a process.
#![forbid(unsafe_code)]

pub mod accounted;
