//! Everything that talks to Google Cloud Pub/Sub: connector, processor and `setup` share it.
//!
//! | module | idea |
//! |---|---|
//! | [`settings`] | the `[pubsub]` section and the resource names that follow from it |
//! | [`error`] | what can go wrong, and whether trying again helps |
//! | [`connection`] | Google Cloud or an emulator, and with which credentials |
//! | [`limits`] | what fits into a message and into a publish request |
//! | [`message`] | messages in the bytes of a publish request |
//! | [`publisher`] | one call is one publish request |
//! | [`subscriber`] | parallel streaming pulls into one bounded channel; acks |
//! | [`received`] | messages in the bytes of a response |
//! | `pull` | one stream after another |
//! | `leases`, `keeper` | who holds what until when, and the loop that extends and acknowledges |
//! | `requests`, `wire`, `call` | ack ids in the bytes of requests, fields, and calls over tonic |
//! | [`link`] | whether Pub/Sub answers, for logs, readiness and reconnecting |
//! | [`admin`] | `setup`, `check`, and seeking back |
//!
//! Credentials and administration are Google's own crates, whose types do not leave this one. Publishing and pulling go
//! below them, for speed ([`publisher`] and [`subscriber`] say why). [`link`] tells what a stream does not: that nobody
//! answers.
//!
//! Not here: what a message means (`event`, connector and processor know), permits for messages in flight, retries
//! of a publish (the connector holds both), and metrics.

#![forbid(unsafe_code)]

pub mod settings;

pub mod error;

pub mod connection;

pub mod limits;

pub mod message;

pub mod publisher;

pub mod subscriber;

pub mod received;

mod pull;

mod leases;

mod keeper;

mod requests;

mod wire;

mod call;

pub mod link;

pub mod admin;

pub use connection::{Connection, Endpoint};
pub use error::Error;
pub use message::{Attributes, Encoder, OutMessage};
pub use publisher::Publisher;
pub use received::{Message, Messages};
pub use settings::PubSubSettings;
pub use subscriber::{AckHandle, Inbound, SubscribeOptions, Subscription};
