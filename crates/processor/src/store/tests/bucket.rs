//! The store over a bucket: a local server with the part of Google Cloud Storage's XML API that `object_store` uses.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Router,
    extract::{Path as UrlPath, Query, State},
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::{get, put},
};
use object_store::gcp::GoogleCloudStorageBuilder;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::*;
use crate::store::bucket;

const LAST_MODIFIED: &str = "Mon, 23 Nov 2026 10:00:00 GMT";
const XML_MODIFIED: &str = "2026-11-23T10:00:00.000Z";

/// One bucket, named `bucket`. No other exists.
#[derive(Default)]
struct Bucket {
    objects: Mutex<BTreeMap<String, Bytes>>,
    /// The status of every response, if it is set.
    status: Mutex<Option<StatusCode>>,
}

/// The bucket and its server, which stops when this is dropped.
struct Service {
    bucket: Arc<Bucket>,
    url: String,
    _server: AbortOnDropHandle<()>,
}

type Shared = State<Arc<Bucket>>;

impl Bucket {
    fn objects(&self, bucket: &str) -> Result<MutexGuard<'_, BTreeMap<String, Bytes>>, StatusCode> {
        if let Some(status) = *self.status.lock().expect("no handler panics with it") {
            return Err(status);
        }
        let objects = self.objects.lock().expect("no handler panics with it");
        (bucket == "bucket").then_some(objects).ok_or(StatusCode::NOT_FOUND)
    }
}

async fn write_object(
    State(bucket): Shared,
    UrlPath((name, key)): UrlPath<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<impl IntoResponse, StatusCode> {
    let mut objects = bucket.objects(&name)?;
    if headers.get("x-goog-if-generation-match").is_some_and(|expected| expected == "0")
        && objects.contains_key(&key)
    {
        return Err(StatusCode::PRECONDITION_FAILED);
    }
    objects.insert(key, body);
    Ok([("etag", "\"e\""), ("x-goog-generation", "1")])
}

async fn read_object(
    State(bucket): Shared,
    UrlPath((name, key)): UrlPath<(String, String)>,
) -> Result<impl IntoResponse, StatusCode> {
    let body = bucket.objects(&name)?.get(&key).cloned().ok_or(StatusCode::NOT_FOUND)?;
    Ok(([("etag", "\"e\""), ("last-modified", LAST_MODIFIED)], body))
}

async fn delete_object(
    State(bucket): Shared,
    UrlPath((name, key)): UrlPath<(String, String)>,
) -> Result<StatusCode, StatusCode> {
    bucket.objects(&name)?.remove(&key).map(|_| StatusCode::NO_CONTENT).ok_or(StatusCode::NOT_FOUND)
}

async fn list_objects(
    State(bucket): Shared,
    UrlPath(name): UrlPath<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<String, StatusCode> {
    let (prefix, after) = (query.get("prefix"), query.get("start-after"));
    let contents: String = bucket
        .objects(&name)?
        .iter()
        .filter(|(key, _)| prefix.is_none_or(|prefix| key.starts_with(prefix)) && Some(*key) > after)
        .map(|(key, body)| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>{XML_MODIFIED}</LastModified><Size>{}</Size></Contents>",
                body.len()
            )
        })
        .collect();
    Ok(format!("<ListBucketResult>{contents}</ListBucketResult>"))
}

impl Service {
    async fn start() -> Self {
        let bucket = Arc::new(Bucket::default());
        let router = Router::new()
            .route("/{bucket}", get(list_objects))
            .route("/{bucket}/{*key}", put(write_object).get(read_object).delete(delete_object))
            .with_state(Arc::clone(&bucket));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { bucket, url, _server: AbortOnDropHandle::new(server) }
    }

    fn store(&self, bucket: &str) -> Store {
        let key = format!(
            r#"{{"gcs_base_url": "{}", "disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}}"#,
            self.url
        );
        let builder = GoogleCloudStorageBuilder::new().with_service_account_key(key);
        bucket::over(builder, bucket, PREFIX).expect("it is a bucket")
    }

    fn answer(&self, status: Option<StatusCode>) {
        *self.bucket.status.lock().expect("no handler panics with it") = status;
    }
}

async fn hold(store: &Store, takeover_after: Duration) -> Result<Hold, StoreError> {
    store.hold(takeover_after, &CancellationToken::new(), |_| {}).await.map(|hold| hold.expect("not stopped"))
}

const LONG: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_bucket_keeps_the_state_fences_and_hands_over() {
    let service = Service::start().await;
    let (first, second) = (service.store("bucket"), service.store("bucket"));
    let held = hold(&first, LONG).await.expect("it is empty");
    let mut writer = appender(&first).await;
    write(&mut writer, &["one", "B2", "three", "B4", "B5"]).await;
    writer.prune().await;
    assert_eq!(first.list().await.expect("listed").numbers, [4, 5]);
    held.release(writer.newest()).await;

    let _held = hold(&second, LONG).await.expect("it was released");
    let mut taker = appender(&second).await;
    write(&mut taker, &["six"]).await;
    assert!(writer.append(NEITHER, payload("sechs")).await.expect_err("six exists").is_fenced());
    assert_eq!(texts(&first).await, ["B5", "six"]);
    assert_eq!(
        recover(&first).await.expect("whole").0.written_at.map(|at| at.to_string()),
        Some(XML_MODIFIED.to_owned())
    );
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_named_at_once() {
    let service = Service::start().await;
    let store = service.store("missing");
    let error = hold(&store, LONG).await.expect_err("there is no such bucket");
    assert!(matches!(error, StoreError::Missing { .. }), "{error:?}");
    let error = recover(&store).await.expect_err("there is no such bucket");
    assert!(matches!(error, StoreError::Missing { .. }), "{error:?}");
}

#[tokio::test]
async fn refusals_are_for_good_and_overload_passes() {
    let service = Service::start().await;
    let store = service.store("bucket");
    let mut writer = appender(&store).await;
    let check = async |status: StatusCode, writer: &mut Appender| {
        service.answer(Some(status));
        [
            recover(&store).await.expect_err("an injected failure"),
            writer.append(NEITHER, payload("x")).await.expect_err("an injected failure"),
        ]
    };
    for status in [StatusCode::FORBIDDEN, StatusCode::UNAUTHORIZED] {
        for error in check(status, &mut writer).await {
            assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
        }
    }
    for error in check(StatusCode::BAD_REQUEST, &mut writer).await {
        assert!(matches!(error, StoreError::Unusable { .. }), "{error:?}");
    }
    for error in check(StatusCode::SERVICE_UNAVAILABLE, &mut writer).await {
        assert!(error.is_transient(), "{error:?}");
    }
    service.answer(None);
    assert_eq!(writer.append(NEITHER, payload("x")).await.expect("it is back"), 1);
}
