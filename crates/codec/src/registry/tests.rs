//! The client against a registry in this process. The real one is in `tests/tests/registry.rs`.

use std::{fs, future::Future, path::Path};

use doubles::registry::{Access, Fault, Schema as Registered, SchemaRegistry};
use tokio::task::JoinHandle;

use super::*;
use crate::{Field, Payload, Reject};

const AVRO: &str = r#""string""#;

/// A schema that shows what it was made of.
struct Shows {
    text: SchemaText,
}

impl Schema for Shows {
    fn decode(&self, _payload: Payload<'_>, out: &mut Vec<u8>) -> Result<(), Reject> {
        for (name, text) in &self.text.references {
            out.extend(format!("{name}={text} ").bytes());
        }
        out.extend(self.text.text.bytes());
        Ok(())
    }

    fn fields(&self) -> &[Field] {
        &[]
    }

    fn name(&self) -> Option<&str> {
        None
    }

    fn subjects(&self) -> Option<&[String]> {
        self.text.subjects.as_deref()
    }
}

fn compile(text: &SchemaText) -> Result<Arc<dyn Schema>, SchemaError> {
    assert!(text.text != "panic", "as a library does at a text that it did not expect");
    if text.text == "broken" {
        return Err(SchemaError("it is broken".to_owned()));
    }
    Ok(Arc::new(Shows { text: text.clone() }))
}

/// A client of a stand-in, with short pauses.
struct Client {
    registry: Registry,
    metrics: Metrics,
    stop: CancellationToken,
    fetcher: JoinHandle<Result<(), RegistryError>>,
}

impl Client {
    fn of(server: &SchemaRegistry) -> Self {
        Self::with(&format!("url = {:?}", server.url()))
    }

    /// With this section.
    fn with(section: &str) -> Self {
        Self::new(section).unwrap_or_else(|error| panic!("{error}"))
    }

    fn new(section: &str) -> Result<Self, RegistryError> {
        let settings: RegistrySettings = toml::from_str(section).expect("it is a section");
        let config = settings.resolve(Path::new("/")).unwrap_or_else(|problems| panic!("{problems:?}"));
        let pause = (Duration::from_millis(1), Duration::from_millis(20));
        let parts = Parts { compile: Arc::new(compile), timeout: Duration::from_millis(500), pause };
        let (metrics, stop) = (Metrics::default(), CancellationToken::new());
        let (registry, fetcher) = Registry::with(config, &metrics, parts)?;
        let fetcher = tokio::spawn(fetcher.run(stop.clone()));
        Ok(Self { registry, metrics, stop, fetcher })
    }

    fn lookup(&self, id: &SchemaId) -> Lookup {
        self.registry.schemas(Format::Avro).lookup(id)
    }

    /// What the schema shows, after the fetcher has fetched it.
    async fn fetched(&self, id: &SchemaId) -> Result<String, &'static str> {
        until(async || !matches!(self.lookup(id), Lookup::Pending)).await;
        match self.lookup(id) {
            Lookup::Found(schema) => {
                let mut out = Vec::new();
                let payload = Payload { bytes: b"", indexes: crate::Indexes::None };
                schema.decode(payload, &mut out).expect("it decodes everything");
                Ok(String::from_utf8(out).expect("it is text"))
            }
            Lookup::Unknown => Err("unknown"),
            Lookup::Unusable => Err("unusable"),
            Lookup::Pending => Err("pending"),
        }
    }

    /// The error with which the fetcher ends.
    async fn ends(self) -> RegistryError {
        self.fetcher.await.expect("it does not panic").expect_err("it cannot go on")
    }
}

/// Waits for a condition, for as long as the test may take.
async fn until<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    while !condition().await {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn server() -> SchemaRegistry {
    SchemaRegistry::start().await.expect("there is a free port")
}

fn avro(text: &str) -> Registered {
    Registered::new("AVRO", text)
}

fn count(server: &SchemaRegistry, path: &str) -> usize {
    server.requests().iter().filter(|request| *request == path).count()
}

#[tokio::test]
async fn every_kind_of_id_leads_to_the_schema_and_its_subjects() {
    let server = server().await;
    let id = server.register("a-value", avro(AVRO));
    server.register("b-value", avro(AVRO));
    let client = Client::of(&server);
    let both = ["a-value".to_owned(), "b-value".to_owned()];
    for (id, subjects) in [
        (SchemaId::Id(id), &both[..]),
        (SchemaId::Guid(server.guid(id)), &both[..]),
        (SchemaId::Version("b-value".into(), 1), &both[1..]),
    ] {
        assert_eq!(client.fetched(&id).await.as_deref(), Ok(AVRO));
        let Lookup::Found(schema) = client.lookup(&id) else { panic!("{id:?}") };
        assert_eq!(schema.subjects(), Some(subjects), "{id:?}");
    }
    for id in [SchemaId::Id(99), SchemaId::Guid([9; 16]), SchemaId::Version("b-value".into(), 2)] {
        assert_eq!(client.fetched(&id).await, Err("unknown"), "{id:?}");
    }
}

#[tokio::test]
async fn references_come_before_what_needs_them() {
    let server = server().await;
    server.register("a", avro("A"));
    server.register("b", avro("B").with_reference("a", "a", 1));
    server.register("c", avro("C").with_reference("b", "b", 1).with_reference("a", "a", 1));
    let id = server.register("d", avro("D").with_reference("c", "c", 1).with_reference("b", "b", 1));
    let client = Client::of(&server);
    assert_eq!(client.fetched(&SchemaId::Id(id)).await.as_deref(), Ok("a=A b=B c=C D"));
}

#[tokio::test]
async fn a_circle_of_references_ends() {
    let server = server().await;
    server.register("a/x.proto", avro("A").with_reference("b", "b", 1));
    server.register("b", avro("B").with_reference("a", "a/x.proto", 1));
    let client = Client::of(&server);
    assert_eq!(client.fetched(&SchemaId::Id(1)).await.as_deref(), Ok("a=A b=B A"));
}

#[tokio::test]
async fn a_chain_of_references_has_an_end() {
    let server = server().await;
    let mut last = 0;
    for place in 0..600 {
        let schema = avro(&place.to_string());
        let (name, subject) = (format!("n{place}"), format!("s{}", place - 1));
        let schema = if place == 0 { schema } else { schema.with_reference(&name, &subject, 1) };
        last = server.register(&format!("s{place}"), schema);
    }
    let client = Client::of(&server);
    assert_eq!(client.fetched(&SchemaId::Id(last)).await, Err("unusable"));
    assert_eq!(client.fetched(&SchemaId::Id(300)).await.map(|shown| shown.len() > 1_000), Ok(true));
}

#[tokio::test]
async fn what_is_not_an_answer_is_waited_for() {
    let server = server().await;
    server.register("a-value", avro(AVRO));
    server.register("b-value", avro("another"));
    let statuses = [408, 429, 500, 502, 503, 504].map(Fault::Status);
    let others = [
        Fault::Busy(0),
        Fault::Page(200),
        Fault::Page(404),
        Fault::Page(503),
        Fault::Text("{}".to_owned()),
        Fault::Text(String::new()),
        Fault::Another,
        Fault::Silent,
    ];
    for fault in statuses.into_iter().chain(others) {
        let client = Client::of(&server);
        let before = count(&server, "/schemas/ids/1");
        server.next([fault.clone(), fault.clone()]);
        assert_eq!(client.fetched(&SchemaId::Id(1)).await.as_deref(), Ok(AVRO), "{fault:?}");
        assert_eq!(count(&server, "/schemas/ids/1") - before, 3, "{fault:?}");
        assert!(!client.fetcher.is_finished());
    }
}

#[tokio::test]
async fn a_busy_registry_is_left_alone_for_as_long_as_it_says() {
    let server = server().await;
    server.register("a-value", avro(AVRO));
    let client = Client::of(&server);
    server.next([Fault::Busy(1)]);
    let began = Instant::now();
    assert_eq!(client.fetched(&SchemaId::Id(1)).await.as_deref(), Ok(AVRO));
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_slow_answer_is_an_answer() {
    let server = server().await;
    server.register("a-value", avro(AVRO));
    let client = Client::of(&server);
    server.next([Fault::Late(Duration::from_millis(200))]);
    assert_eq!(client.fetched(&SchemaId::Id(1)).await.as_deref(), Ok(AVRO));
    assert_eq!(count(&server, "/schemas/ids/1"), 1);
}

#[tokio::test]
async fn a_schema_that_cannot_be_used_is_asked_for_once() {
    let server = server().await;
    let ids = [
        server.register("a", avro("broken")),
        server.register("b", avro("panic")),
        server.register("c", Registered::new("XML", "<a/>")),
        // Usable, but not where values are declared to be Avro.
        server.register("d", Registered::new("JSON", "{}")),
    ];
    let client = Client::of(&server);
    for id in ids {
        for _ in 0..2 {
            assert_eq!(client.fetched(&SchemaId::Id(id)).await, Err("unusable"));
        }
        assert_eq!(count(&server, &format!("/schemas/ids/{id}")), 1);
    }
    assert!(matches!(client.registry.schemas(Format::JsonSchema).lookup(&SchemaId::Id(4)), Lookup::Found(_)));
}

#[tokio::test]
async fn a_body_without_measure_is_not_read() {
    let server = server().await;
    server.register("a", avro(AVRO));
    let client = Client::of(&server);
    server.next([Fault::Huge(5 << 20)]);
    assert_eq!(client.fetched(&SchemaId::Id(1)).await, Err("unusable"));
}

#[tokio::test]
async fn lookups_of_one_id_are_one_request() {
    let server = server().await;
    server.register("a-value", avro(AVRO));
    let client = Client::of(&server);
    server.next([Fault::Status(503)]);
    for _ in 0..1_000 {
        assert!(matches!(client.lookup(&SchemaId::Id(1)), Lookup::Pending));
    }
    assert_eq!(client.registry.waiting(), 1);
    assert_eq!(client.fetched(&SchemaId::Id(1)).await.as_deref(), Ok(AVRO));
    for _ in 0..1_000 {
        client.lookup(&SchemaId::Id(1));
    }
    assert_eq!(count(&server, "/schemas/ids/1"), 2);
    assert_eq!(client.registry.waiting(), 0);
    let text = client.metrics.encode().expect("it is text");
    for line in [
        "aqueduct_schema_registry_requests_total{outcome=\"failed\"} 1",
        "aqueduct_schema_registry_requests_total{outcome=\"found\"} 2",
        "aqueduct_schema_registry_schemas 1",
        "aqueduct_schema_registry_waiting_schemas 0",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn more_ids_than_the_queue_holds_are_all_fetched() {
    let server = server().await;
    let many = QUEUED as u32 + 100;
    for place in 0..many {
        server.register(&format!("s{place}"), avro(&place.to_string()));
    }
    let client = Client::of(&server);
    // No other task runs between these lookups, so that the queue is full at the end.
    for id in 1..=many {
        assert!(matches!(client.lookup(&SchemaId::Id(id)), Lookup::Pending));
    }
    for id in 1..=many {
        assert_eq!(client.fetched(&SchemaId::Id(id)).await, Ok((id - 1).to_string()));
    }
}

#[tokio::test]
async fn an_outage_holds_up_only_what_is_not_known() {
    let first = server().await;
    first.register("a-value", avro(AVRO));
    let client = Client::of(&first);
    assert!(client.fetched(&SchemaId::Id(1)).await.is_ok());
    let address = first.address();
    drop(first);
    for _ in 0..100 {
        assert!(matches!(client.lookup(&SchemaId::Id(1)), Lookup::Found(_)));
        assert!(matches!(client.lookup(&SchemaId::Id(2)), Lookup::Pending));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut second = SchemaRegistry::start_at(address).await;
    while second.is_err() {
        // The connections of the first one are still being closed.
        tokio::time::sleep(Duration::from_millis(5)).await;
        second = SchemaRegistry::start_at(address).await;
    }
    let second = second.expect("it is free again");
    second.register("a-value", avro(AVRO));
    second.register("b-value", avro("\"int\""));
    assert_eq!(client.fetched(&SchemaId::Id(2)).await.as_deref(), Ok("\"int\""));
}

#[tokio::test]
async fn the_next_address_is_asked_when_one_does_not_answer() {
    let (closed, broken, working) = (server().await, server().await, server().await);
    working.register("a-value", avro(AVRO));
    working.register("b-value", avro("B"));
    broken.always(Some(Fault::Page(502)));
    let section = format!("url = [{:?}, {:?}, {:?}]", closed.url(), broken.url(), working.url());
    drop(closed);
    let client = Client::with(&section);
    assert_eq!(client.fetched(&SchemaId::Id(1)).await.as_deref(), Ok(AVRO));
    assert_eq!(client.fetched(&SchemaId::Id(2)).await.as_deref(), Ok("B"));
    assert_eq!(broken.requests().len(), 1, "the address that answered is asked first from then on");
}

#[tokio::test]
async fn refused_credentials_end_the_fetcher() {
    let server = server().await;
    server.register("a-value", avro(AVRO));
    for (access, section) in [
        (Access::Refused, ""),
        (Access::Bearer("right".to_owned()), ""),
        (Access::Bearer("right".to_owned()), "bearer_token = \"hidden\""),
        (
            Access::Basic { user: "u".to_owned(), password: "right".to_owned() },
            "basic_auth = { user = \"u\", password = \"hidden\" }",
        ),
    ] {
        server.require(access);
        let client = Client::with(&format!("url = {:?}\n{section}", server.url()));
        client.lookup(&SchemaId::Id(1));
        let error = client.ends().await;
        let RegistryError::Refused { url, status: 401 | 403, .. } = &error else { panic!("{error}") };
        assert_eq!(url.trim_end_matches('/'), server.url());
        assert!(!format!("{error} {error:?}").contains("hidden"));
    }
}

#[tokio::test]
async fn credentials_reach_the_registry() {
    let server = server().await;
    server.register("a-value", avro(AVRO));
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("token");
    fs::write(&file, "right\n").expect("there is room");
    for (access, section) in [
        (
            Access::Basic { user: "u".to_owned(), password: "ä:p".to_owned() },
            "basic_auth = { user = \"u\", password = \"ä:p\" }".to_owned(),
        ),
        (Access::Bearer("right".to_owned()), "bearer_token = \"right\"".to_owned()),
        (Access::Bearer("right".to_owned()), format!("bearer_token_file = {file:?}")),
        (
            Access::OAuth { id: "c".to_owned(), secret: "s-1".to_owned() },
            format!(
                "oauth = {{ token_url = \"{}/token\", client_id = \"c\", client_secret = \"s-1\", scope = \"a b\" }}",
                server.url()
            ),
        ),
    ] {
        server.require(access);
        let client = Client::with(&format!("url = {:?}\n{section}", server.url()));
        assert_eq!(client.fetched(&SchemaId::Id(1)).await.as_deref(), Ok(AVRO), "{section}");
    }
}

#[tokio::test]
async fn a_token_is_used_until_it_is_refused() {
    let server = server().await;
    server.require(Access::OAuth { id: "c".to_owned(), secret: "s".to_owned() });
    for text in ["1", "2", "3"] {
        server.register(text, avro(text));
    }
    let client = Client::with(&format!(
        "url = \"{0}\"\noauth = {{ token_url = \"{0}/token\", client_id = \"c\", client_secret = \"s\" }}",
        server.url()
    ));
    assert!(client.fetched(&SchemaId::Id(1)).await.is_ok());
    assert!(client.fetched(&SchemaId::Id(2)).await.is_ok());
    assert_eq!(server.issued_tokens(), 1);
    server.withdraw_tokens();
    assert!(client.fetched(&SchemaId::Id(3)).await.is_ok());
    assert_eq!(server.issued_tokens(), 2);
}

#[tokio::test]
async fn a_token_in_a_file_is_replaced() {
    let server = server().await;
    server.require(Access::Bearer("old".to_owned()));
    for text in ["1", "2"] {
        server.register(text, avro(text));
    }
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("token");
    fs::write(&file, "old").expect("there is room");
    let client = Client::with(&format!("url = {:?}\nbearer_token_file = {file:?}", server.url()));
    assert!(client.fetched(&SchemaId::Id(1)).await.is_ok());
    server.require(Access::Bearer("new".to_owned()));
    fs::write(&file, "new").expect("there is room");
    assert!(client.fetched(&SchemaId::Id(2)).await.is_ok());
}

#[tokio::test]
async fn an_issuer_that_refuses_the_client_ends_the_fetcher() {
    let server = server().await;
    server.require(Access::OAuth { id: "c".to_owned(), secret: "s".to_owned() });
    let client = Client::with(&format!(
        "url = \"{0}\"\noauth = {{ token_url = \"{0}/token\", client_id = \"c\", client_secret = \"hidden\" }}",
        server.url()
    ));
    client.lookup(&SchemaId::Id(1));
    let error = client.ends().await;
    assert!(matches!(&error, RegistryError::Refused { status: 401, .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("hidden"));
}

#[tokio::test]
async fn an_address_without_a_registry_ends_the_fetcher() {
    let server = server().await;
    server.register("a-value", avro(AVRO));
    // As Apicurio answers below a path that is not that of this interface.
    let app = axum::Router::new().fallback(async || axum::http::StatusCode::NOT_FOUND);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    let other = tokio::spawn(axum::serve(listener, app).into_future());
    let client = Client::with(&format!("url = \"http://{address}/apis\""));
    client.lookup(&SchemaId::Id(1));
    let error = client.ends().await;
    assert!(matches!(error, RegistryError::Settings { key: "url", .. }), "{error}");
    other.abort();
}

#[cfg(feature = "cloud")]
#[tokio::test]
async fn a_handshake_that_can_never_succeed_ends_the_fetcher() {
    let server = server().await;
    let client = Client::with(&format!("url = \"https://{}\"", server.address()));
    client.lookup(&SchemaId::Id(1));
    let error = client.ends().await;
    assert!(matches!(error, RegistryError::Settings { key: "ca", .. }), "{error}");
}

/// A registry with TLS, and PEM files: its authority, a certificate of that authority, and one of its own.
#[cfg(feature = "cloud")]
async fn secured() -> (SchemaRegistry, tempfile::TempDir) {
    use standin::tls::Identity;

    let [authority, server] =
        [include_bytes!("pem/authority.pem").as_slice(), include_bytes!("pem/server.pem")];
    let identity = Identity::for_clients_of(authority, server, server).expect("certificates");
    let registry = SchemaRegistry::start_secured(&identity).await.expect("there is a free port");
    registry.register("a-value", avro(AVRO));
    let folder = tempfile::tempdir().expect("there is room");
    for (name, pem) in [
        ("authority", authority),
        ("client", include_bytes!("pem/client.pem")),
        ("stranger", include_bytes!("pem/stranger.pem")),
    ] {
        fs::write(folder.path().join(format!("{name}.pem")), pem).expect("there is room");
    }
    (registry, folder)
}

#[cfg(feature = "cloud")]
#[tokio::test]
async fn a_client_certificate_is_presented() {
    let (server, folder) = secured().await;
    let path = |name: &str| folder.path().join(format!("{name}.pem"));
    let section = |ca: &str, certificate: &str| {
        let (ca, certificate) = (path(ca), path(certificate));
        format!("url = \"https://{}\"\nca = {ca:?}\ncertificate = {certificate:?}", server.address())
    };
    let client = Client::with(&section("authority", "client"));
    assert_eq!(client.fetched(&SchemaId::Id(1)).await.as_deref(), Ok(AVRO));

    // Its certificate is not of the expected authority.
    let client = Client::with(&section("stranger", "client"));
    client.lookup(&SchemaId::Id(1));
    let error = client.ends().await;
    assert!(matches!(error, RegistryError::Settings { key: "ca", .. }), "{error}");
}

#[tokio::test]
async fn files_that_cannot_be_read_are_found_at_once() {
    for (key, section) in [
        ("ca", "ca = \"nowhere.pem\""),
        ("certificate", "certificate = \"nowhere.pem\""),
        ("bearer_token_file", "bearer_token_file = \"nowhere\""),
        ("bearer_token", "bearer_token = \"a\\nb\""),
    ] {
        let error = Client::new(&format!("url = \"https://localhost\"\n{section}")).err().expect(key);
        assert!(matches!(error, RegistryError::Settings { key: found, .. } if found == key), "{error}");
    }
}

#[tokio::test]
async fn a_batch_waits_without_the_fetcher() {
    let server = server().await;
    server.register("a-value", avro(AVRO));
    server.next([Fault::Status(503)]);
    let client = Client::of(&server);
    client.stop.cancel();
    client.registry.wait_for(&SchemaId::Id(1)).await.expect("it answers at last");
    assert!(matches!(client.lookup(&SchemaId::Id(1)), Lookup::Found(_)));
    client.registry.wait_for(&SchemaId::Id(9)).await.expect("that is an answer");
    assert!(matches!(client.lookup(&SchemaId::Id(9)), Lookup::Unknown));
    server.require(Access::Refused);
    let refused = client.registry.wait_for(&SchemaId::Id(2)).await;
    assert!(matches!(refused, Err(RegistryError::Refused { status: 403, .. })));
}

#[tokio::test]
async fn subjects_and_their_versions_are_listed() {
    let server = server().await;
    server.register("common.proto", Registered::new("PROTOBUF", "P"));
    server.register("a-value", avro("1"));
    server.register("a-value", Registered::new("PROTOBUF", "2").with_reference("c.proto", "common.proto", 1));
    let client = Client::of(&server);
    assert_eq!(
        client.registry.subjects().await.ok(),
        Some(vec!["a-value".to_owned(), "common.proto".to_owned()])
    );
    let versions = client.registry.versions("a-value").await.expect("there are two");
    let shown: Vec<_> = versions
        .iter()
        .map(|version| {
            let text = version.schema.as_ref().map(|schema| (schema.text.as_str(), schema.references.len()));
            (version.version, version.id, text.ok())
        })
        .collect();
    assert_eq!(shown, [(1, Some(2), Some(("1", 0))), (2, Some(3), Some(("2", 1)))]);
    let none = client.registry.versions("b-value").await;
    assert!(matches!(none, Err(RegistryError::NoSubject(subject)) if subject == "b-value"));
    server.always(Some(Fault::Status(500)));
    assert!(matches!(client.registry.subjects().await, Err(RegistryError::Unavailable { .. })));
}

#[tokio::test]
async fn a_schema_is_registered_once() {
    let server = server().await;
    let client = Client::of(&server);
    let register = async |format, text| client.registry.register("a-value", format, text).await;
    let id = register(Format::Avro, AVRO).await.expect("it is accepted");
    assert_eq!(register(Format::Avro, AVRO).await.ok(), Some(id));
    assert_ne!(register(Format::Protobuf, "P").await.ok(), Some(id));
    assert_eq!(client.fetched(&SchemaId::Id(id)).await.as_deref(), Ok(AVRO));
    let kinds: Vec<_> = client.registry.versions("a-value").await.expect("two versions");
    let kinds: Vec<_> =
        kinds.iter().filter_map(|version| Some(version.schema.as_ref().ok()?.format)).collect();
    assert_eq!(kinds, [Format::Avro, Format::Protobuf]);
    server.next([Fault::Status(409)]);
    let refused = register(Format::Avro, "\"int\"").await;
    assert!(matches!(refused, Err(RegistryError::NotAccepted { subject, .. }) if subject == "a-value"));
    server.next([Fault::Status(503)]);
    assert!(matches!(register(Format::Avro, AVRO).await, Err(RegistryError::Unavailable { .. })));
    server.require(Access::Refused);
    assert!(matches!(register(Format::Avro, AVRO).await, Err(RegistryError::Refused { status: 403, .. })));
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_the_registry() {
    let server = server().await;
    server.always(Some(Fault::Silent));
    let client = Client::of(&server);
    client.lookup(&SchemaId::Id(1));
    until(async || !server.requests().is_empty()).await;
    client.stop.cancel();
    assert!(client.fetcher.await.expect("it does not panic").is_ok());
}
