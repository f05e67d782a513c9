//! Pub/Sub: what an emulator does, faster, and with the faults that a test asks for.
//!
//! [`broker`] and [`subscription`] are state machines without a clock, [`source`] makes messages while they are
//! delivered; [`server`] drives them: [`grpc`] and
//! [`stream`] carry messages, [`rest`] makes topics and subscriptions (Google's Rust clients use REST for those).
//!
//! Not here: ordering keys, filters, push, snapshots, exactly-once delivery, dead-letter topics, IAM.

mod broker;

mod subscription;

mod source;

mod faults;

mod server;

mod grpc;

mod stream;

mod rest;

mod wire;

pub use faults::Faults;
pub use server::{NoSubscription, Options, PubSub, StartError};
pub use source::{Made, Source};
pub use subscription::Counts;
