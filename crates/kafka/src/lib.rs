//! Kafka, as the rest of Aqueduct sees it. This is the only crate that uses librdkafka, and the only one with unsafe
//! code. It knows neither the anonymiser nor Pub/Sub.
//!
//! | module | contents |
//! |---|---|
//! | `settings` | the `[kafka]` section: [`KafkaSettings`] as written, [`KafkaConfig`] as resolved |
//! | `format` | the declared formats of topics, as they are written |
//! | `error` | [`Error`], the one error |
//! | `client/` | librdkafka's clients: properties, callbacks, the meaning of its errors, functions that rust-rdkafka does not wrap; [`Brokers`], the client that asks questions; [`topic_properties`] |
//! | `group/` | [`Member`], a member of a consumer group: one thread polls and speaks one closed enum, [`Stimulus`]; the pure rules [`start`], [`plan`], [`fit`] |
//! | [`survey`] | how far the logs and the group are, without joining it |
//! | [`offsets`] | setting and deleting the offsets of a group without members |
//! | `range` | [`Log`], a range of one topic without a group, for `replay` and samples |
//! | `pick` | [`Picker`], single records by their offsets, for `dead-letters redrive` |
//! | `claim` | [`Claim`], what only one process at a time may hold, with its progress |
//! | `producer` | [`Producer`], for `generate` |
//! | `append` | [`Appender`], single records that must not be lost, each confirmed |
//! | [`journal`] | a compacted topic that several processes read and write |
//! | `roster` | [`Roster`], a membership that only says who is there |
//! | `record` | [`Record`], what a poll returns |
//! | [`metrics`] | librdkafka's statistics |
//!
//! Every blocking function is documented as such. None of them may be called on an async thread.
//!
//! # Example
//!
//! ```
//! let section = r#"
//!     bootstrap_servers = "localhost:9092"
//!     topics = ["events"]
//!     group_id = "aqueduct"
//!
//!     [properties]
//!     "session.timeout.ms" = 6000
//! "#;
//! let settings: kafka::KafkaSettings = toml::from_str(section).expect("valid TOML");
//! let config = settings.resolve("node-1").expect("no mistakes");
//! assert_eq!(config.instance.as_deref(), Some("node-1"));
//! assert_eq!(config.session_timeout.as_secs(), 6);
//! assert!(config.consumer().any(|property| property == ("isolation.level", "read_committed")));
//! config.check_properties().expect("librdkafka knows every property");
//! ```

mod append;

mod client;

mod error;

mod format;

mod group;

mod claim;

mod pick;

mod producer;

mod range;

mod record;

mod roster;

mod settings;

pub mod journal;

pub mod metrics;

pub mod offsets;

pub mod survey;

use std::sync::Arc;

pub use append::{Appender, NewRecord};
pub use claim::Claim;
pub use client::{admin::topic_properties, brokers::Brokers};
pub use error::{Error, KafkaText};
pub use format::{FormatSettings, KeyFormat, SchemaSource, TopicFormat, Unwrap, ValueFormat};
pub use group::{
    Admission, Intake, Member, ask, fit,
    orders::Orders,
    permits::Permits,
    plan,
    slot::{Commit, Slot},
    start,
    stimulus::{Stimuli, Stimulus},
};
pub use metrics::KafkaMetrics;
pub use pick::Picker;
pub use producer::Producer;
pub use range::{Log, LogRange, Polled};
pub use record::{OwnedRecord, Record};
pub use roster::{Look, Roster};
pub use settings::{KafkaConfig, KafkaSettings, Problem, Properties, Property};
pub use start::StartRule;

/// The name of a topic, and the number of one of its partitions.
pub type TopicPartition = (Arc<str>, i32);
