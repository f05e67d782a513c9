//! The backends, one module for each. SDK types do not leave it.

pub(crate) mod sqlite;

mod pubsub;

#[cfg(feature = "cloud")]
mod bigquery;

#[cfg(not(feature = "cloud"))]
mod absent;
