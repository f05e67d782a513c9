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
//! | [`subscriber`] | parallel streaming pulls into one bounded channel; leases, acks |
//! | [`link`] | whether Pub/Sub answers, for logs, readiness and reconnecting |
//! | [`admin`] | `setup`, `check`, and seeking back |
//!
//! It is built on Google's own `google-cloud-pubsub`, whose types do not leave this crate; publishing alone goes below
//! it, for speed ([`publisher`] says why). Its subscriber serves us
//! as it is: it extends leases every three seconds for up to an hour, an ack handle holds an id and a channel but no
//! payload, and dropping its stream keeps leases and acks alive until the last handle is gone. What it lacks stands
//! in [`link`]: it reconnects silently, and pauses up to a minute.
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

pub mod link;

pub mod admin;

pub use connection::{Connection, Endpoint};
pub use error::Error;
pub use message::{Encoder, OutMessage};
pub use publisher::Publisher;
pub use settings::PubSubSettings;
pub use subscriber::{AckHandle, Inbound, SubscribeOptions, Subscription};
