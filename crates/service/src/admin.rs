//! The HTTP server of a running command: `/metrics`, `/healthz`, `/readyz` and `/log`.
//!
//! It binds to loopback by default and serves no personal data. The caller owns the socket and the token, and merges
//! its own routes into [`router`].

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{ConnectInfo, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{LogLevels, Metrics, Readiness, ServiceError, metrics};

/// How long open connections may finish their responses after shutdown.
const GRACE: Duration = Duration::from_secs(2);

/// The section `[service]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceSettings {
    /// Address of the live page, `/api/v1/`, `/metrics`, `/healthz`, `/readyz` and `/log`. There is no login. Port 0
    /// selects a free port, which is logged. The defaults differ so that the parts of one configuration run side by
    /// side on one machine.
    ///
    /// Default: `"127.0.0.1:9464"` for the connector, `"127.0.0.1:9465"` for the processor
    ///
    /// Example: `listen = "0.0.0.0:9464"`
    pub listen: Option<String>,
}

/// What the server exposes.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Served at `/metrics`.
    pub metrics: Metrics,
    /// Served at `/readyz`.
    pub readiness: Readiness,
    /// Read and changed at `/log`.
    pub levels: LogLevels,
}

/// Binds the address of the settings, or `default` if they have none.
///
/// # Errors
/// [`ServiceError::AddressInUse`] and [`ServiceError::Listen`] name the address and the key to change.
pub async fn bind(settings: &ServiceSettings, default: &str) -> Result<TcpListener, ServiceError> {
    let listen = settings.listen.as_deref().unwrap_or(default);
    let address = || listen.to_owned();
    let listener = TcpListener::bind(listen).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ServiceError::AddressInUse { address: address() },
        _ => ServiceError::Listen { address: address(), source },
    })?;
    match listener.local_addr() {
        Ok(bound) if bound.ip().is_loopback() => {}
        _ => tracing::warn!(
            listen,
            action = "restrict access to operators and Prometheus, because there is no authentication",
            "the admin server is reachable from other hosts"
        ),
    }
    Ok(listener)
}

/// The routes that every command has. Also exports readiness as a metric.
pub fn router(admin: Admin) -> Router {
    admin.readiness.show(&admin.metrics);
    Router::new()
        .route("/metrics", get(show_metrics))
        .route("/healthz", get(show_health))
        .route("/readyz", get(show_readiness))
        .route("/log", get(show_levels).put(change_levels))
        .with_state(admin)
}

/// Serves until `shutdown`, and then lets open responses finish for at most two seconds.
///
/// Pass a token that is cancelled only when the work is drained, so that probes are answered until then. If accepting
/// fails because too many files are open, it is retried every second.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let deadline = async {
        shutdown.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        // It is documented never to fail.
        _ = server.into_future() => {}
        () = deadline => {}
    }
}

async fn show_metrics(State(admin): State<Admin>) -> Response {
    match admin.metrics.encode() {
        Ok(page) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], page).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "cannot encode the metrics\n").into_response(),
    }
}

/// Whether waiting can help: a loop that no longer turns is repaired only by a restart.
async fn show_health(State(admin): State<Admin>) -> Response {
    match admin.readiness.stillness() {
        None => "ok\n".into_response(),
        Some(silence) => {
            let body = format!(
                "stalled: no iteration of the main loop for {} s; restart the process\n",
                silence.as_secs()
            );
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

async fn show_readiness(State(admin): State<Admin>) -> Response {
    let report = admin.readiness.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

async fn show_levels(State(admin): State<Admin>) -> String {
    format!("{}\n", admin.levels.text())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeLevels {
    filter: String,
}

async fn change_levels(
    State(admin): State<Admin>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Query(change): Query<ChangeLevels>,
) -> Response {
    if !is_local(peer.ip(), &headers) {
        return (StatusCode::FORBIDDEN, "log levels can be changed from this host only\n").into_response();
    }
    if let Err(error) = admin.levels.set(&change.filter) {
        return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response();
    }
    let levels = admin.levels.text();
    tracing::info!(levels, "log levels changed");
    format!("{levels}\n").into_response()
}

/// Whether the request is from this machine and was addressed to it. A web page that makes its own name resolve to
/// loopback sends that name as the host.
fn is_local(peer: IpAddr, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    peer.to_canonical().is_loopback() && (name == "localhost" || address.is_ok_and(|ip| ip.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_must_be_local() {
        let cases = [
            ("127.0.0.1", "127.0.0.1:9464", true),
            ("127.0.0.1", "localhost", true),
            ("::1", "[::1]:9464", true),
            ("::1", "[::1]", true),
            ("::ffff:127.0.0.1", "localhost:1", true),
            ("127.0.0.1", "rebound.example:9464", false),
            ("127.0.0.1", "", false),
            ("10.0.0.7", "localhost:9464", false),
        ];
        for (peer, host, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().expect("header"));
            assert_eq!(is_local(peer.parse().expect("address"), &headers), expected, "{peer} {host}");
        }
    }

    #[tokio::test]
    async fn an_address_in_use_is_named_with_its_key() {
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let listen = taken.local_addr().expect("address").to_string();
        for (configured, default) in [(Some(listen.clone()), "127.0.0.1:0"), (None, &*listen)] {
            let error = bind(&ServiceSettings { listen: configured }, default).await.expect_err("in use");
            assert!(
                matches!(&error, ServiceError::AddressInUse { address } if *address == listen),
                "{error}"
            );
        }
        let nowhere = ServiceSettings { listen: Some("nowhere".to_owned()) };
        let error = bind(&nowhere, &listen).await.expect_err("no address");
        assert!(matches!(error, ServiceError::Listen { .. }), "{error}");
    }
}
