//! The part of BigQuery's REST API that is used here: datasets, tables and queries.
//!
//! Reads are tried up to [`ATTEMPTS`] times. A call that creates or changes something is tried once: the caller can
//! repeat it, because `setup` and `claim` are safe to repeat.

use std::time::Duration;

use google::{Credentials, TokenError};
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// How often a read is tried before the caller gets the error.
const ATTEMPTS: u32 = 4;
/// The pause after the first failed attempt; doubled after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
const CALL_DEADLINE: Duration = Duration::from_secs(60);
/// How long one call waits for a query.
const QUERY_WAIT: Duration = Duration::from_secs(10);
/// How long a query may take in all.
const QUERY_DEADLINE: Duration = Duration::from_secs(300);

/// A client of one project.
#[derive(Debug)]
pub(super) struct Rest {
    http: reqwest::Client,
    credentials: Credentials,
    /// `https://bigquery.googleapis.com/bigquery/v2/projects/P`.
    project: String,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RestError {
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No answer, or none that can be read.
    #[error(transparent)]
    Way(#[from] reqwest::Error),
    /// An answer other than success.
    #[error("{message} (HTTP {status}, {reason})")]
    Answer {
        status: u16,
        /// Google's reason code, such as `rateLimitExceeded`.
        reason: String,
        message: String,
    },
    #[error("the query did not finish within {} s", QUERY_DEADLINE.as_secs())]
    Slow,
}

impl RestError {
    /// Whether the same call may succeed later.
    pub(super) fn is_temporary(&self) -> bool {
        match self {
            Self::Token(error) => error.is_temporary(),
            Self::Way(error) => !error.is_builder(),
            Self::Answer { status: 429 | 500.., .. } | Self::Slow => true,
            // BigQuery answers 403 to both a missing permission and an exceeded rate.
            Self::Answer { status, reason, .. } => {
                *status == 403 && ["rateLimitExceeded", "quotaExceeded"].contains(&reason.as_str())
            }
        }
    }
}

/// A query with named parameters of type STRING.
#[derive(Debug)]
pub(super) struct Query<'a> {
    pub(super) sql: &'a str,
    pub(super) location: &'a str,
    pub(super) parameters: &'a [String],
}

/// The rows of an answer. Every value is text or NULL.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Option<String>>>,
}

/// A response of `jobs.query` or `jobs.getQueryResults`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    job_complete: bool,
    job_reference: Option<JobReference>,
    schema: Option<Schema>,
    #[serde(default)]
    rows: Vec<PageRow>,
    page_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobReference {
    job_id: String,
    location: Option<String>,
}

/// The schema of an answer.
#[derive(Debug, Deserialize)]
struct Schema {
    #[serde(default)]
    fields: Vec<Field>,
}

#[derive(Debug, Deserialize)]
struct Field {
    name: String,
}

#[derive(Debug, Deserialize)]
struct PageRow {
    #[serde(default)]
    f: Vec<PageCell>,
}

#[derive(Debug, Deserialize)]
struct PageCell {
    #[serde(default)]
    v: Value,
}

#[derive(Debug, Default, Deserialize)]
struct ErrorBody {
    #[serde(default)]
    error: ErrorText,
}

#[derive(Debug, Default, Deserialize)]
struct ErrorText {
    #[serde(default)]
    message: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    errors: Vec<Reason>,
}

#[derive(Debug, Deserialize)]
struct Reason {
    #[serde(default)]
    reason: String,
}

impl Rest {
    /// `url` is the address of the service, without a path.
    pub(super) fn new(url: &str, project: &str, credentials: Credentials) -> Result<Self, RestError> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("aqueduct/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_DEADLINE)
            .timeout(CALL_DEADLINE)
            .build()?;
        let project = format!("{}/bigquery/v2/projects/{project}", url.trim_end_matches('/'));
        Ok(Self { http, credentials, project })
    }

    /// Reads a resource below the project, such as `/datasets/D`.
    pub(super) async fn get<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<T, RestError> {
        self.repeated(|| self.request(Method::GET, path)).await
    }

    /// Creates a resource.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<(), RestError> {
        self.once(self.request(Method::POST, path).json(body)).await.map(|_: Value| ())
    }

    /// Changes the fields of a resource that the body names.
    pub(super) async fn patch(&self, path: &str, body: &Value) -> Result<(), RestError> {
        self.once(self.request(Method::PATCH, path).json(body)).await.map(|_: Value| ())
    }

    /// Runs a query and returns all rows of its result. A query can run twice if its answer is lost.
    pub(super) async fn query(&self, query: &Query<'_>) -> Result<Answer, RestError> {
        let deadline = Instant::now() + QUERY_DEADLINE;
        let body = query_request(query);
        let mut page: Page = self.repeated(|| self.request(Method::POST, "/queries").json(&body)).await?;
        let job = page.job_reference.take();
        let mut answer = Answer::default();
        loop {
            let token = page.page_token.take();
            if page.job_complete {
                answer.add(page);
                if token.is_none() {
                    return Ok(answer);
                }
            } else if Instant::now() > deadline {
                return Err(RestError::Slow);
            }
            let Some(job) = &job else { return Ok(answer) };
            let mut parameters = vec![
                ("location", job.location.as_deref().unwrap_or(query.location).to_owned()),
                ("timeoutMs", QUERY_WAIT.as_millis().to_string()),
            ];
            parameters.extend(token.map(|token| ("pageToken", token)));
            let path = format!("/queries/{}", job.job_id);
            page = self.repeated(|| self.request(Method::GET, &path).query(&parameters)).await?;
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.project))
    }

    async fn repeated<T: for<'de> Deserialize<'de>>(
        &self,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<T, RestError> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            match self.once(request()).await {
                Err(error) if error.is_temporary() => {}
                answer => return answer,
            }
            sleep(pause).await;
            pause *= 2;
        }
        self.once(request()).await
    }

    async fn once<T: for<'de> Deserialize<'de>>(&self, request: RequestBuilder) -> Result<T, RestError> {
        let answer = request.headers(self.credentials.headers().await?).send().await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.json().await?);
        }
        // A proxy in between may answer with something other than JSON.
        let ErrorBody { error } = answer.json().await.unwrap_or_default();
        let reason = error.errors.into_iter().next().map_or(error.status, |first| first.reason);
        Err(RestError::Answer { status: status.as_u16(), reason, message: error.message })
    }
}

fn query_request(query: &Query<'_>) -> Value {
    let mut body = json!({
        "query": query.sql,
        "useLegacySql": false,
        "location": query.location,
        "timeoutMs": QUERY_WAIT.as_millis(),
        // A cached result could be older than rows that a stream has taken since.
        "useQueryCache": false,
    });
    if !query.parameters.is_empty() {
        let parameters = query.parameters.iter().enumerate().map(|(number, text)| {
            json!({
                "name": format!("p{number}"),
                "parameterType": { "type": "STRING" },
                "parameterValue": { "value": text },
            })
        });
        body["parameterMode"] = "NAMED".into();
        body["queryParameters"] = parameters.collect();
    }
    body
}

impl Answer {
    fn add(&mut self, page: Page) {
        if let Some(schema) = page.schema {
            self.columns = schema.fields.into_iter().map(|field| field.name).collect();
        }
        let cell = |cell: PageCell| match cell.v {
            Value::Null => None,
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        };
        self.rows.extend(page.rows.into_iter().map(|row| row.f.into_iter().map(cell).collect()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, reason: &str) -> RestError {
        RestError::Answer { status, reason: reason.to_owned(), message: String::new() }
    }

    #[test]
    fn quota_and_outage_errors_are_temporary() {
        for (status, reason, expected) in [
            (429, "", true),
            (500, "backendError", true),
            (503, "", true),
            (403, "rateLimitExceeded", true),
            (403, "accessDenied", false),
            (400, "invalidQuery", false),
            (404, "notFound", false),
        ] {
            assert_eq!(answered(status, reason).is_temporary(), expected, "{status} {reason}");
        }
        assert!(RestError::Slow.is_temporary());
    }

    #[test]
    fn pages_are_joined() {
        let page = |text: &str| serde_json::from_str::<Page>(text).expect("a page");
        let mut answer = Answer::default();
        answer.add(page(
            r#"{"jobComplete":true,"schema":{"fields":[{"name":"n","type":"INTEGER"}]},"rows":[{"f":[{"v":"1"}]}]}"#,
        ));
        answer.add(page(r#"{"jobComplete":true,"rows":[{"f":[{"v":null}]},{"f":[{"v":true}]}]}"#));
        assert_eq!(answer.columns, ["n"]);
        assert_eq!(answer.rows, [[Some("1".to_owned())], [None], [Some("true".to_owned())]]);
    }
}
