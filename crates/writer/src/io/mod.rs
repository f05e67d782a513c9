//! The databases. SDK types stay in here.

pub(crate) mod sqlite;

pub(crate) mod bigquery;
