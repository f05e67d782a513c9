//! The credentials of a request.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use google::{Credentials, TokenError};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::{Url, form_urlencoded};

use super::{
    RegistryError,
    answer::{Judgement, judge},
    http::{self, Failure},
    settings::{Auth, OAuth},
};

/// The scope of Google's registry.
const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The assumed life of a token without `expires_in`.
const ASSUMED_LIFE: Duration = Duration::from_secs(300);

/// Makes the headers that authenticate a request. It has no `Debug`: it has secrets.
pub(crate) enum Authenticator {
    /// The same headers for every request.
    Fixed(HeaderMap),
    /// A token in a file.
    File(PathBuf),
    /// A token from an issuer.
    Issued(Box<Issuer>),
    /// Google's application default credentials.
    Google(Credentials),
}

/// An issuer of tokens, with the token in use.
pub(crate) struct Issuer {
    token_url: Url,
    oauth: OAuth,
    token: Mutex<Option<Token>>,
}

/// A token that is used until it has less than a fifth of its life left.
pub(crate) struct Token {
    header: HeaderMap,
    until: Instant,
}

#[derive(Deserialize)]
struct TokenReply {
    access_token: String,
    #[serde(default)]
    expires_in: Option<f64>,
}

impl Authenticator {
    /// # Errors
    /// If a file cannot be read, or there are no credentials.
    pub(crate) fn new(auth: Auth) -> Result<Self, RegistryError> {
        Ok(match auth {
            Auth::None => Self::Fixed(HeaderMap::new()),
            Auth::Basic(basic) => {
                let value = http::basic(&basic.user, &basic.password.0);
                Self::Fixed(header("basic_auth", &value)?)
            }
            Auth::Bearer(token) => {
                Self::Fixed(header("bearer_token", &format!("Bearer {}", token.0.trim()))?)
            }
            Auth::BearerFile(path) => {
                read_token(&path)?;
                Self::File(path)
            }
            Auth::Issued { token_url, oauth } => {
                Self::Issued(Box::new(Issuer { token_url, oauth, token: Mutex::default() }))
            }
            Auth::Google => {
                let credentials =
                    Credentials::application_default(GOOGLE_SCOPE).map_err(|error| no_google(&error))?;
                Self::Google(credentials)
            }
        })
    }

    /// The headers of the next request. Requests a token if there is none, or it is about to expire.
    pub(crate) async fn headers(&self, client: &reqwest::Client) -> Result<HeaderMap, Failure> {
        match self {
            Self::Fixed(headers) => Ok(headers.clone()),
            // The file may be about to be replaced.
            Self::File(path) => read_token(path).map_err(|error| Failure::retry(error.to_string())),
            Self::Issued(issuer) => {
                // Requests that need a token at the same time wait for the one that requests it.
                let mut token = issuer.token.lock().await;
                if let Some(token) = token.as_ref()
                    && Instant::now() < token.until
                {
                    return Ok(token.header.clone());
                }
                let requested = request_token(client, &issuer.token_url, &issuer.oauth).await?;
                Ok(token.insert(requested).header.clone())
            }
            Self::Google(credentials) => credentials.headers().await.map_err(|error| match error {
                TokenError::Temporary(_) => Failure::retry(error.to_string()),
                _ => Failure::Fatal(no_google(&error)),
            }),
        }
    }

    /// The registry has refused the headers of a request. Returns whether new ones may be accepted: a token may have been
    /// withdrawn before its time, or replaced in its file.
    pub(crate) async fn renew(&self, refused: &HeaderMap) -> bool {
        match self {
            Self::Fixed(_) | Self::Google(_) => false,
            Self::File(path) => read_token(path).is_ok_and(|headers| headers != *refused),
            Self::Issued(issuer) => {
                let mut token = issuer.token.lock().await;
                if token.as_ref().is_some_and(|token| token.header == *refused) {
                    *token = None;
                }
                true
            }
        }
    }

    /// What to set when the registry refuses the credentials.
    pub(crate) fn action(&self) -> &'static str {
        match self {
            Self::Fixed(headers) if headers.is_empty() => {
                "set schema_registry.basic_auth, bearer_token, bearer_token_file, oauth, google or certificate"
            }
            Self::Fixed(_) => {
                "check schema_registry.basic_auth or bearer_token, and that it may read schemas"
            }
            Self::File(_) => {
                "check the token in schema_registry.bearer_token_file, and that it may read schemas"
            }
            Self::Issued(_) => "check schema_registry.oauth, and that the client may read schemas",
            Self::Google(_) => {
                "check that the service account may read schemas (roles/managedkafka.schemaRegistryViewer)"
            }
        }
    }
}

async fn request_token(client: &reqwest::Client, url: &Url, oauth: &OAuth) -> Result<Token, Failure> {
    let scope = oauth.scope.as_ref().map(|scope| ("scope", scope.as_str()));
    let form = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("grant_type", "client_credentials")].into_iter().chain(scope))
        .finish();
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let basic = http::basic(&encode(&oauth.client_id), &encode(&oauth.client_secret.0));
    let request = client
        .post(url.clone())
        .headers(header("oauth", &basic).map_err(Failure::Fatal)?)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept", "application/json")
        .body(form);
    let reply = http::send(request).await?;
    let refused = |status| RegistryError::Refused {
        url: url.to_string(),
        status,
        action: "check schema_registry.oauth: token_url, client_id, client_secret and scope",
    };
    // RFC 6749 answers wrong credentials, a wrong scope and a wrong grant with status 400, too.
    if matches!(reply.status, 400 | 404) {
        return Err(Failure::Fatal(refused(reply.status)));
    }
    match judge::<TokenReply>(&reply) {
        Judgement::Found(found) => {
            let life = found.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            let life = life.unwrap_or(ASSUMED_LIFE).min(Duration::from_secs(86_400));
            let header =
                header("oauth", &format!("Bearer {}", found.access_token)).map_err(Failure::Fatal)?;
            Ok(Token { header, until: Instant::now() + life.mul_f64(0.8) })
        }
        Judgement::Refused | Judgement::Unknown => Err(Failure::Fatal(refused(reply.status))),
        Judgement::TooLarge => Err(Failure::retry("the token is too large".to_owned())),
        Judgement::Retry { after, problem } => {
            Err(Failure::Retry { after, problem: format!("no token: {problem}") })
        }
    }
}

fn read_token(path: &Path) -> Result<HeaderMap, RegistryError> {
    let token = std::fs::read_to_string(path).map_err(|error| RegistryError::Settings {
        key: "bearer_token_file",
        problem: format!("{} cannot be read: {error}", path.display()),
    })?;
    header("bearer_token_file", &format!("Bearer {}", token.trim()))
}

/// The header, which is never shown by `Debug`.
fn header(key: &'static str, value: &str) -> Result<HeaderMap, RegistryError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| RegistryError::Settings {
        key,
        problem: "contains a character that is not allowed in an HTTP header".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
}

fn no_google(error: &TokenError) -> RegistryError {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    RegistryError::Settings { key: "google", problem: format!("{error}{cause}") }
}
