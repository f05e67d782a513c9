//! Calls to Google Cloud over gRPC: credentials, channels and routing headers. Shared by Pub/Sub and BigQuery, so that
//! the binary contains one gRPC stack.
//!
//! | module | contents |
//! |---|---|
//! | [`credentials`] | application default credentials, or none for an emulator |
//! | [`channel`] | the address of a service, with TLS and keep-alive |
//! | [`call`] | one attempt of a unary call; headers of a streaming call |
//! | [`status`] | which statuses are temporary, and their names |
//!
//! Without the feature `cloud` only emulators can be reached, and neither TLS nor Google's library is built.

#![forbid(unsafe_code)]

pub mod credentials;

pub mod channel;

pub mod call;

pub mod status;

pub use call::{CallError, Caller, Compression};
pub use channel::ChannelError;
pub use credentials::{Credentials, TokenError};
