//! Kafka and Pub/Sub: their SDKs' types stay in here.

pub(crate) mod orders;

pub(crate) mod reader;

pub(crate) mod intake;

pub(crate) mod assignment;

pub(crate) mod lookup;

pub(crate) mod rebalance;

pub(crate) mod positions;

pub(crate) mod context;

pub(crate) mod brokers;

pub(crate) mod unwrapped;

pub(crate) mod facts;

pub(crate) mod faults;

pub mod survey;

pub mod pubsub;
