//! Kafka Connect without the JVM: Google's Pub/Sub sink, run from the configurations that exist.
//!
//! | module | contents |
//! |---|---|
//! | [`properties`], [`providers`] | Java's properties files; values that are in files or the environment |
//! | [`define`] | definitions of keys, validated with Kafka's rules and messages |
//! | [`client_properties`] | properties of Java's clients as those of librdkafka |
//! | [`connector`] | a connector's configuration, and what it must say about personal data |
//! | [`data`] | records, values and schemas |
//! | [`converters`], [`transforms`] | one file each |
//! | [`message`], [`pipeline`] | the message that the sink makes of a record |
//! | [`translate`] | the same as a configuration of `aqueduct connector` |
//! | [`task`] | a member of a consumer group that publishes what it reads |
//! | [`distributed`] | what several workers share through Kafka |
//! | [`worker`], [`rest`] | the connectors of a process, and Connect's REST interface |

#![forbid(unsafe_code)]

pub mod client_properties;
pub mod connector;
pub mod converters;
pub mod data;
pub mod define;
pub mod distributed;
pub mod message;
pub mod pipeline;
pub mod properties;
pub mod providers;
pub mod rest;
pub mod task;
pub mod transforms;
pub mod translate;
pub mod worker;
