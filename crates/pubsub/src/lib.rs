//! The Pub/Sub client of connector, processor and `aqueduct setup`: publishing, pulling, and administration.
//!
//! | module | contents |
//! |---|---|
//! | [`settings`] | the `[pubsub]` section and the resource names that follow from it |
//! | [`route`] | a topic whose name has the value of a field in it |
//! | [`error`] | the errors, and whether a retry can help |
//! | [`connection`] | the endpoint (Google Cloud or an emulator) and credentials |
//! | [`limits`] | the limits of a message and of a publish request |
//! | [`message`] | encoding messages for a publish request |
//! | [`pack`] | one message for many records |
//! | [`publisher`] | publishing: one call is one request |
//! | [`subscriber`] | parallel streaming pulls into one bounded channel; acknowledgements |
//! | [`received`] | the messages of a response |
//! | `pull` | one streaming pull after another |
//! | `leases`, `keeper` | which messages are held until when; the loop that extends and acknowledges |
//! | `requests`, `wire`, `call` | encoded requests with ack IDs; protobuf fields; encoded messages on tonic |
//! | [`link`] | whether Pub/Sub answers, for logs, readiness and reconnecting |
//! | [`admin`] | topics and subscriptions: create, check, seek |
//!
//! Calls go over tonic with messages written by hand instead of Google's client, for speed (see [`publisher`] and
//! [`subscriber`]) and because the client takes a minute to build. Credentials and channels are in the crate `google`.
//!
//! The crate does not know what a message means. Permits and retries for publishing are in the connector.

#![forbid(unsafe_code)]

pub mod settings;

pub mod route;

pub mod error;

pub mod connection;

pub mod limits;

pub mod message;

pub mod pack;

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
pub use wire::Malformed;
