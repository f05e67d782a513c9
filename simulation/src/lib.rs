//! The simulation of the pure cores is a test: see `tests/`.
#![forbid(unsafe_code)]
