//! traffic for now
pub mod traffic;
