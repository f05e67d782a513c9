//! Requests to the registry's addresses in turn.

use std::{
    error::Error as _,
    io,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

#[cfg(feature = "cloud")]
use reqwest::{Certificate, Identity};
use reqwest::{Client, RequestBuilder, header::RETRY_AFTER};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use url::Url;

use super::{
    RegistryError,
    answer::{Judgement, Reply, judge},
    auth::Authenticator,
    metrics::{Counters, Outcome},
    settings::{RegistryConfig, Tls},
};

/// The largest body that is read. Confluent's registry accepts schemas of 1 MB.
const MAX_BODY: usize = 4 << 20;
/// Requests at the same time.
const CONCURRENCY: usize = 8;
/// The type of what is posted.
const CONTENT: &str = "application/vnd.schemaregistry.v1+json";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a whole answer. Registries that load their schemas from Kafka can take long after a start.
pub(super) const TIMEOUT: Duration = Duration::from_secs(20);

/// Asks a registry at any of its addresses.
pub(crate) struct Http {
    client: Client,
    bases: Vec<Base>,
    /// The address that answered last, which is asked first.
    first: AtomicUsize,
    /// Whether any address has ever answered: what worked once is not a mistake in the settings.
    answered: AtomicBool,
    authenticator: Authenticator,
    permits: Semaphore,
    counters: Counters,
}

struct Base {
    url: Url,
    /// Whether it is known to be a registry, so that its status 404 is about what was asked for.
    is_registry: AtomicBool,
}

/// What is asked of any address.
struct Question<'q> {
    /// Below the address.
    path: &'q [&'q str],
    query: &'q str,
    /// JSON to post.
    body: Option<String>,
}

/// The registry's answer to a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Got<T> {
    Found(T),
    Unknown,
    TooLarge,
}

/// Why there is no answer.
pub(crate) enum Failure {
    /// No retry will help.
    Fatal(RegistryError),
    /// Ask again, after at least this time.
    Retry { after: Duration, problem: String },
}

impl Failure {
    pub(crate) fn retry(problem: String) -> Self {
        Self::Retry { after: Duration::ZERO, problem }
    }
}

impl RegistryConfig {
    /// Reads the files of the section: certificates, keys and tokens. Sends nothing.
    ///
    /// # Errors
    /// [`RegistryError::Settings`].
    pub fn check_files(&self) -> Result<(), RegistryError> {
        with_tls(Client::builder(), &self.tls).map(drop)?;
        Authenticator::new(self.auth.clone()).map(drop)
    }
}

impl Http {
    /// Reads certificates, keys and tokens; sends nothing.
    pub(crate) fn new(
        config: RegistryConfig,
        timeout: Duration,
        counters: Counters,
    ) -> Result<Self, RegistryError> {
        if !cfg!(feature = "cloud") && config.urls.iter().any(|url| url.scheme() == "https") {
            return Err(settings(
                "url",
                "this build has no TLS; build with the feature `cloud`, which is on by default",
            ));
        }
        let builder = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .timeout(timeout)
            .user_agent(concat!("aqueduct/", env!("CARGO_PKG_VERSION")));
        let client = with_tls(builder, &config.tls)?
            .build()
            .map_err(|error| settings("url", format!("no HTTP client: {}", causes(&error))))?;
        let bases =
            config.urls.into_iter().map(|url| Base { url, is_registry: AtomicBool::new(false) }).collect();
        Ok(Self {
            client,
            bases,
            first: AtomicUsize::new(0),
            answered: AtomicBool::new(false),
            authenticator: Authenticator::new(config.auth)?,
            permits: Semaphore::new(CONCURRENCY),
            counters,
        })
    }

    /// The address that is asked first.
    pub(crate) fn url(&self) -> &str {
        self.bases[self.first.load(Ordering::Relaxed)].url.as_str()
    }

    /// Asks for something at a path, which is relative to the address.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &str,
    ) -> Result<Got<T>, Failure> {
        self.request(&Question { path, query, body: None }).await
    }

    /// Sends JSON to a path. The registry must accept it twice, because no answer does not mean that it did not arrive.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: String,
    ) -> Result<Got<T>, Failure> {
        self.request(&Question { path, query: "", body: Some(body) }).await
    }

    /// Asks each address in turn until one answers.
    async fn request<T: DeserializeOwned>(&self, question: &Question<'_>) -> Result<Got<T>, Failure> {
        let _permit =
            self.permits.acquire().await.map_err(|_| Failure::retry("the client is closed".to_owned()))?;
        let first = self.first.load(Ordering::Relaxed);
        let (mut longest, mut problems) = (Duration::ZERO, Vec::new());
        for place in (0..self.bases.len()).map(|step| (first + step) % self.bases.len()) {
            let answer = self.request_at(&self.bases[place], question).await;
            self.counters.count(Outcome::of(&answer));
            match answer {
                Err(Failure::Retry { after, problem }) => {
                    longest = longest.max(after);
                    problems.push(problem);
                }
                answer => {
                    self.first.store(place, Ordering::Relaxed);
                    return answer;
                }
            }
        }
        Err(Failure::Retry { after: longest, problem: problems.join("; ") })
    }

    async fn request_at<T: DeserializeOwned>(
        &self,
        base: &Base,
        question: &Question<'_>,
    ) -> Result<Got<T>, Failure> {
        let reply = self.ask(base, question).await?;
        match judge(&reply) {
            Judgement::Found(found) => {
                base.is_registry.store(true, Ordering::Relaxed);
                Ok(Got::Found(found))
            }
            Judgement::TooLarge => Ok(Got::TooLarge),
            Judgement::Unknown => self.verify(base).await.map(|()| Got::Unknown),
            Judgement::Refused => Err(self.refused(base, reply.status)),
            Judgement::Retry { after, problem } => Err(Failure::Retry { after, problem }),
        }
    }

    /// Whether this address is a registry at all. Otherwise a mistake in its path would reject every record.
    async fn verify(&self, base: &Base) -> Result<(), Failure> {
        if base.is_registry.load(Ordering::Relaxed) {
            return Ok(());
        }
        for path in [&["schemas", "types"][..], &["subjects"]] {
            let reply = self.ask(base, &Question { path, query: "", body: None }).await?;
            match judge::<Vec<String>>(&reply) {
                Judgement::Found(_) | Judgement::TooLarge => {
                    base.is_registry.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                Judgement::Unknown => {}
                Judgement::Refused => return Err(self.refused(base, reply.status)),
                Judgement::Retry { after, problem } => return Err(Failure::Retry { after, problem }),
            }
        }
        let problem = format!(
            "{} is not a schema registry: it has neither schemas/types nor subjects; check the path",
            base.url
        );
        Err(Failure::Fatal(settings("url", problem)))
    }

    /// One request, and a second one with new credentials if those of the first have expired.
    async fn ask(&self, base: &Base, question: &Question<'_>) -> Result<Reply, Failure> {
        let Question { path, query, body } = question;
        let mut url = base.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(*path);
        }
        url.set_query((!query.is_empty()).then_some(*query));
        let mut is_second = false;
        loop {
            let headers = self.authenticator.headers(&self.client).await?;
            let request = match body {
                None => self.client.get(url.clone()),
                Some(body) => {
                    self.client.post(url.clone()).header("content-type", CONTENT).body(body.clone())
                }
            };
            let request = request.headers(headers.clone());
            let accept = "application/vnd.schemaregistry.v1+json, application/json";
            let reply = match send(request.header("accept", accept)).await {
                Err(Failure::Fatal(_)) if self.answered.load(Ordering::Relaxed) => {
                    return Err(Failure::retry("its certificate is no longer trusted".to_owned()));
                }
                reply => reply?,
            };
            self.answered.store(true, Ordering::Relaxed);
            if reply.status != 401 || is_second || !self.authenticator.renew(&headers).await {
                return Ok(reply);
            }
            is_second = true;
        }
    }

    fn refused(&self, base: &Base, status: u16) -> Failure {
        let action = self.authenticator.action();
        Failure::Fatal(RegistryError::Refused { url: base.url.to_string(), status, action })
    }
}

/// Sends a request and reads its answer, within the limit of a body.
pub(crate) async fn send(request: RequestBuilder) -> Result<Reply, Failure> {
    let mut response = request.send().await.map_err(|error| failed(&error))?;
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
        if body.len() + chunk.len() > MAX_BODY {
            return Ok(Reply { status, retry_after, body: None });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply { status, retry_after, body: Some(body) })
}

/// The value of a header for HTTP's basic authentication.
pub(crate) fn basic(user: &str, password: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// No retry helps if the certificate is not trusted or HTTP cannot use the address; any other failure may be temporary.
fn failed(error: &reqwest::Error) -> Failure {
    if error.is_builder() {
        return Failure::Fatal(settings("url", causes(error)));
    }
    if error.is_connect() && is_about_certificate(error) {
        return Failure::Fatal(settings(
            "ca",
            format!("the connection cannot be secured: {}", causes(error)),
        ));
    }
    let problem = if error.is_timeout() { "no answer in time".to_owned() } else { causes(error) };
    Failure::retry(problem)
}

/// rustls reports what is wrong with a handshake as invalid data.
fn is_about_certificate(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(is_invalid_data) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The connector of HTTP may wrap the error of the handshake in another one, whose `source` passes over it.
fn is_invalid_data(error: &io::Error) -> bool {
    let inner = || error.get_ref()?.downcast_ref::<io::Error>();
    error.kind() == io::ErrorKind::InvalidData || inner().is_some_and(is_invalid_data)
}

/// The innermost cause, which is the most specific. It names hosts, never a path or a secret.
fn causes(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn settings(key: &'static str, problem: impl Into<String>) -> RegistryError {
    RegistryError::Settings { key, problem: problem.into() }
}

#[cfg(feature = "cloud")]
fn with_tls(mut builder: reqwest::ClientBuilder, tls: &Tls) -> Result<reqwest::ClientBuilder, RegistryError> {
    if let Some(path) = &tls.ca {
        let authorities = Certificate::from_pem_bundle(&read("ca", path)?)
            .map_err(|error| settings("ca", format!("{}: {}", path.display(), causes(&error))))?;
        if authorities.is_empty() {
            return Err(settings("ca", format!("{} has no certificate", path.display())));
        }
        builder = builder.tls_certs_only(authorities);
    }
    if let Some(path) = &tls.certificate {
        let mut pem = read("certificate", path)?;
        if let Some(key) = &tls.key {
            pem.push(b'\n');
            pem.extend(read("key", key)?);
        }
        let identity = Identity::from_pem(&pem).map_err(|_| {
            settings(
                "certificate",
                format!("{}: not a certificate with its private key, as PEM", path.display()),
            )
        })?;
        builder = builder.identity(identity);
    }
    Ok(builder)
}

/// Without TLS there is no address that they could be for.
#[cfg(not(feature = "cloud"))]
fn with_tls(builder: reqwest::ClientBuilder, _tls: &Tls) -> Result<reqwest::ClientBuilder, RegistryError> {
    Ok(builder)
}

#[cfg(feature = "cloud")]
fn read(key: &'static str, path: &std::path::Path) -> Result<Vec<u8>, RegistryError> {
    std::fs::read(path).map_err(|error| settings(key, format!("{} cannot be read: {error}", path.display())))
}
