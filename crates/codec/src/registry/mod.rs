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

mod answer;
mod auth;
mod cache;
mod fetch;
mod http;
pub mod metrics;
mod outage;
pub mod settings;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use service::{Backoff, Metrics};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use cache::{Answer, Cache, State};
use fetch::Fetched;
use http::{Failure, Http};
use metrics::Counters;
use outage::Outage;
pub use settings::{Problem, RegistryConfig, RegistrySettings};

use crate::{Format, Lookup, Schema, SchemaError, SchemaId, SchemaText, Schemas};

/// IDs that are asked for before the fetcher takes them. One that finds no room is asked for again by the next lookup.
const QUEUED: usize = 1_024;
/// IDs that are fetched at the same time. Most of them wait for an answer or for the next attempt; the number of
/// requests has a bound of its own.
const FETCHED: usize = 256;

/// The cache of a registry. Cheap to clone; clones share the schemas. `S` is what schemas are compiled to.
pub struct Registry<S: ?Sized = dyn Schema> {
    shared: Arc<Shared<S>>,
}

/// Asks the registry for the schemas that lookups have asked for.
pub struct Fetcher<S: ?Sized = dyn Schema> {
    shared: Arc<Shared<S>>,
    asked: mpsc::Receiver<SchemaId>,
}

struct Shared<S: ?Sized> {
    cache: Mutex<Cache<S>>,
    /// IDs on their way to the fetcher.
    queue: mpsc::Sender<SchemaId>,
    http: Http,
    compile: Compile<S>,
    outage: Outage,
    /// The bounds of the pause between two attempts.
    pause: (Duration, Duration),
}

/// Makes a schema of its text.
pub type Compile<S> = Arc<dyn Fn(&SchemaText) -> Result<Arc<S>, SchemaError> + Send + Sync>;

/// What a test replaces.
struct Parts<S: ?Sized> {
    compile: Compile<S>,
    timeout: Duration,
    pause: (Duration, Duration),
}

/// A version of a subject.
#[derive(Clone, PartialEq, Eq)]
pub struct Version {
    /// The version, from 1.
    pub version: u32,
    /// The ID of its schema, if the registry sends it.
    pub id: Option<u32>,
    /// Its schema with everything that it refers to, or why there is none.
    pub schema: Result<SchemaText, String>,
}

/// Why the registry cannot be used. Retries help only for [`RegistryError::Unavailable`].
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry refuses the credentials, or there are none.
    #[error("the schema registry {url} refuses the request with status {status}; {action}")]
    Refused {
        /// The address that refused it.
        url: String,
        /// The status: 401 or 403, from an issuer of tokens also 400 or 404.
        status: u16,
        /// What to set.
        action: &'static str,
    },
    /// The settings can never work: a file that cannot be read, a certificate that is not trusted, an address that is not
    /// that of a registry.
    #[error("schema_registry.{key}: {problem}")]
    Settings {
        /// The key within `[schema_registry]`.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The registry did not answer a request of a command that does not wait. A retry may help.
    #[error("the schema registry {url} does not answer: {problem}")]
    Unavailable {
        /// The registry's address.
        url: String,
        /// What happened.
        problem: String,
    },
    /// The registry does not accept a schema that was to be registered.
    #[error(
        "the schema registry {url} does not accept the schema for subject {subject:?}; check its compatibility rules, or write to another topic"
    )]
    NotAccepted {
        /// The registry's address.
        url: String,
        /// The subject.
        subject: String,
    },
    /// There is no such subject.
    #[error("the schema registry has no subject {0:?}")]
    NoSubject(String),
}

impl Registry {
    /// A cache without schemas, and the task that fills it. Reads the files of the settings; sends nothing. A registry of
    /// metrics has at most one of them, because their metrics have no label.
    ///
    /// # Errors
    /// [`RegistryError::Settings`].
    pub fn new(config: RegistryConfig, metrics: &Metrics) -> Result<(Self, Fetcher), RegistryError> {
        Self::compiling(config, metrics, Arc::new(|text: &SchemaText| text.compile(None)))
    }
}

impl<S: ?Sized> Clone for Registry<S> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<S: ?Sized + Send + Sync + 'static> Registry<S> {
    /// As [`Registry::new`], for schemas that are more than a way to JSON.
    ///
    /// # Errors
    /// [`RegistryError::Settings`].
    pub fn compiling(
        config: RegistryConfig,
        metrics: &Metrics,
        compile: Compile<S>,
    ) -> Result<(Self, Fetcher<S>), RegistryError> {
        let pause = (Duration::from_millis(200), Duration::from_secs(5));
        Self::with(config, metrics, Parts { compile, timeout: http::TIMEOUT, pause })
    }

    fn with(
        config: RegistryConfig,
        metrics: &Metrics,
        parts: Parts<S>,
    ) -> Result<(Self, Fetcher<S>), RegistryError> {
        let (queue, asked) = mpsc::channel(QUEUED);
        let http = Http::new(config, parts.timeout, Counters::new(metrics))?;
        let shared = Arc::new(Shared {
            cache: Mutex::default(),
            queue,
            http,
            compile: parts.compile,
            outage: Outage::default(),
            pause: parts.pause,
        });
        metrics::measure(metrics, &shared);
        Ok((Self { shared: shared.clone() }, Fetcher { shared, asked }))
    }

    /// The registry's schemas of one format. Those of another format are [`Lookup::Unusable`].
    pub fn schemas(&self, format: Format) -> Arc<dyn Schemas<S>> {
        Arc::new(OfFormat { shared: self.shared.clone(), format })
    }

    /// Waits until [`Schemas::lookup`] has an answer for this ID, for as long as the registry does not answer. Asks the
    /// registry itself, so that no [`Fetcher`] needs to run.
    ///
    /// # Errors
    /// As [`Fetcher::run`].
    pub async fn wait_for(&self, id: &SchemaId) -> Result<(), RegistryError> {
        // The lock is released before the registry is asked.
        let state = self.shared.cache().get(id, Instant::now());
        match state {
            State::Answered(_) => Ok(()),
            State::Pending | State::Missing => self.shared.fetch(id.clone()).await,
        }
    }

    /// The names of all subjects.
    ///
    /// # Errors
    /// As [`Fetcher::run`], and [`RegistryError::Unavailable`] if no address of the registry answers.
    pub async fn subjects(&self) -> Result<Vec<String>, RegistryError> {
        let http = &self.shared.http;
        http.subjects().await.map_err(|failure| failure.into_error(http.url()))
    }

    /// Every version of a subject that is not deleted, from the oldest.
    ///
    /// # Errors
    /// As [`Registry::subjects`], and [`RegistryError::NoSubject`].
    pub async fn versions(&self, subject: &str) -> Result<Vec<Version>, RegistryError> {
        let http = &self.shared.http;
        let versions = http.versions(subject).await.map_err(|failure| failure.into_error(http.url()))?;
        versions.ok_or_else(|| RegistryError::NoSubject(subject.to_owned()))
    }

    /// Registers a schema without references for a subject, unless it is there, and returns its ID.
    ///
    /// # Errors
    /// As [`Registry::subjects`], and [`RegistryError::NotAccepted`].
    pub async fn register(&self, subject: &str, format: Format, text: &str) -> Result<u32, RegistryError> {
        let http = &self.shared.http;
        let id =
            http.register(subject, format, text).await.map_err(|failure| failure.into_error(http.url()))?;
        id.ok_or_else(|| RegistryError::NotAccepted {
            url: http.url().to_owned(),
            subject: subject.to_owned(),
        })
    }

    /// How many IDs wait for an answer of the registry.
    pub fn waiting(&self) -> usize {
        self.shared.cache().waiting()
    }
}

impl<S: ?Sized + Send + Sync + 'static> Fetcher<S> {
    /// Asks the registry until `shutdown`. An outage is logged when it begins and when it ends, and waited for.
    ///
    /// # Errors
    /// [`RegistryError::Refused`] if the registry refuses the credentials; [`RegistryError::Settings`] if no request can
    /// ever succeed: a certificate that is not trusted, an address that is not that of a registry.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), RegistryError> {
        let mut fetches = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                id = self.asked.recv(), if fetches.len() < FETCHED => {
                    let Some(id) = id else { return Ok(()) };
                    let shared = self.shared.clone();
                    fetches.spawn(async move { shared.fetch(id).await });
                }
                Some(done) = fetches.join_next() => match done {
                    Ok(fetched) => fetched?,
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
            }
        }
    }
}

impl<S: ?Sized + Send + Sync + 'static> Shared<S> {
    fn cache(&self) -> MutexGuard<'_, Cache<S>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer about an ID, or `None` after it was asked for.
    fn answer(&self, id: &SchemaId) -> Option<Answer<S>> {
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

    /// Asks for a schema until there is an answer, and puts that into the cache.
    async fn fetch(&self, id: SchemaId) -> Result<(), RegistryError> {
        let mut backoff = Backoff::new(self.pause.0, self.pause.1);
        let mut attempt = self.outage.attempt();
        let fetched = loop {
            match self.http.schema(&id).await {
                Ok(fetched) => break fetched,
                Err(Failure::Fatal(error)) => return Err(error),
                Err(Failure::Retry { after, problem }) => {
                    if attempt.failed() {
                        tracing::warn!(
                            url = self.http.url(),
                            problem,
                            action = "check the network and the registry's log",
                            "the schema registry does not respond; retrying; partitions that need an unknown schema wait"
                        );
                    }
                    tokio::time::sleep(after.max(backoff.next(random()))).await;
                }
            }
        };
        if let Some(length) = attempt.worked() {
            tracing::info!(
                seconds = length.as_secs(),
                url = self.http.url(),
                "the schema registry answers again"
            );
        }
        let answer = self.compiled(fetched).await;
        if matches!(answer, Answer::Unusable) {
            // Why is the schema's text, which no log may have.
            tracing::warn!(
                schema = %Shown(&id),
                action = "see what `aqueduct check` reports about the topic's schemas",
                "a schema of the registry cannot be used; records with it are rejected"
            );
        }
        self.cache().answered(id, answer, Instant::now());
        Ok(())
    }

    /// The schema of a text. Large ones take long, so this happens where it blocks no other task.
    async fn compiled(&self, fetched: Fetched) -> Answer<S> {
        let (text, compile) = match fetched {
            Fetched::Schema(text) => (text, self.compile.clone()),
            Fetched::Unusable(_) => return Answer::Unusable,
            Fetched::Unknown => return Answer::Unknown,
        };
        let format = text.format;
        match tokio::task::spawn_blocking(move || compile(&text)).await {
            Ok(Ok(schema)) => Answer::Found(format, schema),
            // A library that panics has a mistake in it, which the registry's text has found.
            Ok(Err(_)) | Err(_) => Answer::Unusable,
        }
    }
}

/// The schemas of one format.
struct OfFormat<S: ?Sized> {
    shared: Arc<Shared<S>>,
    format: Format,
}

impl<S: ?Sized + Send + Sync + 'static> Schemas<S> for OfFormat<S> {
    fn lookup(&self, id: &SchemaId) -> Lookup<S> {
        match self.shared.answer(id) {
            None => Lookup::Pending,
            Some(Answer::Unknown) => Lookup::Unknown,
            Some(Answer::Found(format, schema)) if format == self.format => Lookup::Found(schema),
            Some(Answer::Found(..) | Answer::Unusable) => Lookup::Unusable,
        }
    }
}

/// An ID for the log, without the name of a subject.
struct Shown<'a>(&'a SchemaId);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            SchemaId::Id(id) => write!(f, "{id}"),
            SchemaId::Guid(guid) => f.write_str(&answer::guid_text(guid)),
            SchemaId::Version(_, version) => write!(f, "version {version}"),
        }
    }
}

/// A uniform random number from 0 to 1, to spread the attempts of many replicas.
fn random() -> f64 {
    getrandom::u32().map_or(1.0, |draw| f64::from(draw) / f64::from(u32::MAX))
}
