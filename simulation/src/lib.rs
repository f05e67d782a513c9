//! Holds the simulation of the pure cores; it is a test, and stands in `tests/`.
#![forbid(unsafe_code)]
