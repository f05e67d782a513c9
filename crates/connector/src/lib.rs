//! Kafka to Pub/Sub, with personal data pseudonymised or removed. Every offset is accounted for by exactly one data message
//! or mark.
//!
//! | module | contents |
//! |---|---|
//! | [`keyring`] | the secrets from which pseudonyms are derived |
//! | [`anonymise`] | a raw record in, an [`anonymise::Anonymised`] or a reject out |
//! | [`outgoing`] | whether a record is published, to which topic, and in which order |
//! | [`message`] | data messages, and the publishing port, which takes nothing else |
//! | [`packing`] | many records in one message |
//! | [`run`] | the connector as a whole: [`run()`] and its [`Config`] |
//! | `fencing` | whether to join again after another member took this replica's name |
//! | [`core`] | the state machine: records and acknowledgements in, messages, marks and commits out |
//! | [`ledger`], [`marks`], [`rejects`], [`batch`] | its parts, all pure |
//! | [`decode`] | from the bytes of a record to the event that is anonymised |
//! | `intake` | from a record of Kafka to a batch, on the thread that polls |
//! | `driver`, `deliver`, `outage`, `pace` | the one `select!`; publishing a batch until Pub/Sub has it; whether it makes progress |
//! | `rates` | how fast the messages of one ordering key are published |
//! | [`redrive`] | publishing rejected records again |
//! | `publisher` | the publishing port over Pub/Sub's client |
//! | [`view`], [`metrics`] | the state once a second, and the metrics |
//!
//! See the crate `kafka` for the consumer, its threads, and where partitions are read from.

#![forbid(unsafe_code)]

pub mod keyring;

pub mod anonymise;

pub mod outgoing;

pub mod message;

pub mod packing;

pub mod run;

pub mod core;

pub mod ledger;

pub mod marks;

pub mod rejects;

pub mod batch;

pub mod decode;

mod driver;

mod fencing;

mod deliver;

mod outage;

mod pace;

mod rates;

mod intake;

mod publisher;

pub mod redrive;

pub mod metrics;

pub mod summary;

pub mod view;

pub mod error;

pub use error::ConnectorError;
pub use metrics::ConnectorMetrics;
pub use publisher::PubSubPublisher;
pub use run::{Config, Shown, run};
pub use summary::Summary;
pub use view::View;
