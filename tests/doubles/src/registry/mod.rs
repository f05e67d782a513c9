//! A schema registry with Confluent's HTTP interface on a free port, with GUIDs, credentials and injectable faults. It
//! does not parse schemas, and has no rules of compatibility.
//!
//! | module | contents |
//! |---|---|
//! | `schemas` | subjects, versions, IDs and GUIDs |
//! | [`access`] | who may read, and an issuer of tokens |
//! | [`faults`] | what goes wrong, and which requests arrived |
//! | `routes`, `server` | the HTTP interface; the running server |

pub mod access;

pub mod faults;

mod routes;

mod schemas;

mod server;

pub use access::Access;
pub use faults::Fault;
pub use schemas::{Reference, Schema};
pub use server::SchemaRegistry;
