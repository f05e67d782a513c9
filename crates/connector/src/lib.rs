//! Kafka -> anonymise -> Pub/Sub, with every offset accounted for by exactly one data message or mark.
//!
//! | module | idea |
//! |---|---|
//! | [`keyring`] | the secrets that make pseudonyms |
//! | [`anonymise`] | a raw record in, an [`anonymise::Anonymised`] or a reject out |
//! | [`message`] | data messages, and the port that takes nothing else |
//! | [`settings`] | the `[kafka]` section |
//! | [`run`] | the connector as a whole: [`run()`], its [`Config`] and its end |
//! | `fencing` | whether to join again when our name in the group was taken |
//! | `recreated` | whether topics were recreated, so that the Kafka client has to be replaced |
//! | [`fit`] | whether to join again because the group's assignment does not fit the topics |
//! | [`core`] | the state machine: what was read and acknowledged in, what to publish, mark and commit out |
//! | [`ledger`], [`marks`], [`rejects`], [`start`], [`plan`], [`slot`], [`asked`], [`batch`] | its parts, all pure |
//! | `driver`, `deliver`, `outage`, `pace` | the one `select!`, bringing a batch to Pub/Sub until it is there, and whether it goes on |
//! | [`view`], [`metrics`], [`figures`] | what a spectator sees; what is counted; what librdkafka counts |
//! | [`io`] | the Kafka threads and the publisher; SDKs stay in there |
//!
//! Unsafe code stands in `io/unwrapped.rs` alone, for what rust-rdkafka does not wrap.

pub mod keyring;

pub mod anonymise;

pub mod message;

pub mod settings;

pub mod run;

pub mod core;

pub mod ledger;

pub mod marks;

pub mod rejects;

pub mod start;

pub mod plan;

pub mod slot;

pub mod asked;

pub mod batch;

mod driver;

mod fencing;

mod recreated;

pub mod fit;

mod deliver;

mod outage;

mod pace;

mod stimulus;

pub mod io;

pub mod metrics;

pub mod figures;

pub mod summary;

pub mod view;

pub mod error;

pub use error::ConnectorError;
pub use io::{faults::refusal, pubsub::PubSubPublisher};
pub use metrics::ConnectorMetrics;
pub use run::{Config, Shown, run};
pub use settings::{KafkaConfig, KafkaSettings};
pub use summary::Summary;
pub use view::View;
