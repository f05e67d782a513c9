//! The HTTP server over a real socket.

use std::{net::SocketAddr, sync::LazyLock, time::Duration};

use service::{
    LogFormat, LogLevels, Metrics, Readiness, ServiceSettings,
    admin::{self, Admin},
    metrics::Described,
    readiness, telemetry,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Logging is initialised once per process.
static LEVELS: LazyLock<LogLevels> =
    LazyLock::new(|| telemetry::init(LogFormat::Text, &["service"], std::io::sink).expect("once"));

struct Server {
    address: SocketAddr,
    metrics: Metrics,
    readiness: Readiness,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let (metrics, readiness) = (Metrics::default(), Readiness::default());
        let state = Admin { metrics: metrics.clone(), readiness: readiness.clone(), levels: LEVELS.clone() };
        let own = axum::Router::new().route("/own", axum::routing::get(async || "mine"));
        let listener = admin::bind(&ServiceSettings::default(), "127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("address");
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(admin::serve(listener, admin::router(state).merge(own), shutdown.clone()));
        Self { address, metrics, readiness, shutdown, task }
    }

    async fn ask(&self, request: &str) -> String {
        self.ask_as(request, "localhost").await
    }

    async fn ask_as(&self, request: &str, host: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("connection");
        let request =
            format!("{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answer");
        answer
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.expect("no panic");
    }
}

#[track_caller]
fn check(answer: &str, status: &str, body: &str) {
    let (head, content) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    assert!(content.contains(body), "{answer}");
}

#[tokio::test]
async fn probes_explain_their_status() {
    let server = Server::start().await;
    check(&server.ask("GET /healthz").await, "200", "ok");
    server.readiness.beat();
    check(&server.ask("GET /healthz").await, "200", "ok");
    check(&server.ask("GET /readyz").await, "503", r#"{"ready":false,"conditions":[]}"#);
    server.readiness.set("kafka", Err("no broker answers".to_owned()));
    let unready =
        r#"{"ready":false,"conditions":[{"name":"kafka","ready":false,"reason":"no broker answers"}]}"#;
    check(&server.ask("GET /readyz").await, "503", unready);
    server.readiness.set("kafka", Ok(()));
    check(
        &server.ask("GET /readyz").await,
        "200",
        r#"{"ready":true,"conditions":[{"name":"kafka","ready":true}]}"#,
    );
    check(&server.ask("GET /own").await, "200", "mine");
    check(&server.ask("GET /nothing").await, "404", "");
    server.stop().await;
}

#[tokio::test]
async fn metrics_are_open_metrics() {
    let server = Server::start().await;
    const RECORDS: Described = Described::counter("aqueduct_records_total", "records", &[], "Records");
    server.metrics.counter(&RECORDS).inc_by(2);
    let answer = server.ask("GET /metrics").await;
    check(&answer, "200", "aqueduct_records_total 2\n# EOF\n");
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn levels_change_from_this_machine_only() {
    let server = Server::start().await;
    check(&server.ask("PUT /log?filter=debug,rdkafka=error").await, "200", "debug,rdkafka=error\n");
    check(&server.ask("GET /log").await, "200", "debug,rdkafka=error\n");
    check(&server.ask("PUT /log?filter=rdkafka=info").await, "400", "third-party");
    check(&server.ask("PUT /log?filter=loud").await, "400", "invalid log level \"loud\"");
    check(&server.ask("PUT /log").await, "400", "filter");
    check(&server.ask_as("PUT /log?filter=trace", "rebound.example").await, "403", "from this host only");
    check(&server.ask("GET /log").await, "200", "debug,rdkafka=error\n");
    assert!(tracing::enabled!(target: "service", tracing::Level::DEBUG));
    assert!(!tracing::enabled!(target: "h2", tracing::Level::INFO));
    server.stop().await;
}

#[tokio::test]
async fn open_connections_do_not_delay_shutdown() {
    let server = Server::start().await;
    let mut half = TcpStream::connect(server.address).await.expect("connection");
    half.write_all(b"GET /healthz HTTP/1.1\r\n").await.expect("half a request");
    check(&server.ask("GET /healthz").await, "200", "ok");
    tokio::time::timeout(Duration::from_secs(60), server.stop()).await.expect("it ends");
}

#[tokio::test]
async fn a_stalled_loop_is_unhealthy() {
    let server = Server::start().await;
    server.readiness.set("kafka", Ok(()));
    server.readiness.beat();
    tokio::time::pause();
    tokio::time::advance(readiness::STALL_LIMIT + Duration::from_secs(2)).await;
    tokio::time::resume();
    check(&server.ask("GET /healthz").await, "503", "stalled: no iteration of the main loop for 62 s");
    check(&server.ask("GET /readyz").await, "200", "");
    server.stop().await;
}
