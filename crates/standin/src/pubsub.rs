//! Pub/Sub with the features of an emulator, faster, and with injectable faults.
//!
//! [`broker`] and [`subscription`] are state machines without a clock, and [`source`] generates messages during
//! delivery. [`server`] drives them: [`grpc`] and [`stream`] carry messages, [`admin`] and [`rest`] manage topics and
//! subscriptions (Google's Rust client uses REST for those).
//!
//! Not implemented: ordering keys, filters, push, snapshots, exactly-once delivery, dead-letter topics, IAM.

mod admin;

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
