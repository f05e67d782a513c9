//! What is served, for any flow, and that nothing from users becomes markup.

mod flows;

use axum::{body::Body, http::Request};
use event::EventTime;
use event::{Ledger, Millis};
use flow::{
    Window, Windows,
    row::{MeasureColumns, Pane, Shows, Value},
    window::WindowKind,
};
use processor::{
    board::{Busiest, Busy, KeyWindow, Measured, Point, ShownPane},
    view::Detail,
};
use smallvec::smallvec;
use tower::ServiceExt as _;

use super::*;
use crate::status::{Processor, Setting};

/// A malicious name.
const HOSTILE: &str = "\"><script>alert(1)</script>&<img src=x onerror=alert(2)>";

/// A processor with one flow, whose one key and whose settings are hostile.
struct Hostile;

fn measures() -> Arc<[MeasureColumns]> {
    let measure = |name: &str, shows| MeasureColumns { name: name.to_owned(), shows };
    Arc::new([
        measure("views", Shows::Count(0)),
        measure("clicks", Shows::Count(1)),
        measure("ctr", Shows::Ratio { of: 1, over: 0, per: 1.0, interval: true }),
    ])
}

fn measured() -> Measured {
    Measured { measures: measures(), values: smallvec![Value::Count(1_234), Value::Count(56)] }
}

fn shown() -> Window {
    Window { start: EventTime(600_000), end: EventTime(1_200_000) }
}

fn flow(name: &str, columns: &[&str], measures: Arc<[MeasureColumns]>, windows: WindowKind) -> FlowView {
    FlowView {
        name: name.into(),
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        measures,
        windows,
        out_of_orderness: Millis(0),
        allowed_lateness: Millis(0),
        watermark: None,
        delay_ms: None,
        ledger: Ledger::default(),
        before: 0,
        keys: 0,
        over_limit: 0,
        imbalances: 0,
    }
}

fn sliding() -> WindowKind {
    let windows = Windows::sliding(Millis(600_000), Millis(60_000));
    WindowKind::Aligned(windows.expect("ten minutes of one"))
}

impl Source for Hostile {
    fn status(&self) -> Status {
        let flow = flow("box_ctr", &["page", "box"], measures(), sliding());
        let detail = Detail { held_by: HOSTILE.to_owned(), flows: vec![flow], ..Detail::default() };
        Status {
            at: EventTime(1_300_000),
            version: "0",
            command: "processor",
            started_at: EventTime(0),
            conditions: Vec::new(),
            connector: None,
            processor: Some(Processor { to: HOSTILE.to_owned(), detail, ..Processor::default() }),
            survey: None,
        }
    }

    fn busiest(&self, flow: &str, _: &Ask) -> Option<Busiest> {
        let course = vec![Point { end: shown().end, measured: measured() }];
        let row = Busy {
            key: vec![Some(HOSTILE.into()), None],
            keys: 1,
            session: None,
            measured: measured(),
            course,
        };
        (flow == "box_ctr").then(|| Busiest {
            window: Some(shown()),
            found: 1,
            rows: vec![row],
            ..Busiest::default()
        })
    }

    fn windows(&self, flow: &str, key: &[Option<Box<str>>]) -> Option<Vec<KeyWindow>> {
        assert_eq!(key, [Some(HOSTILE.into()), None], "the key arrives as it was sent");
        let at = EventTime(1_250_000);
        let pane = ShownPane {
            pane: Pane::OnTime,
            pane_index: 0,
            measured: measured(),
            watermark: at,
            emitted_at: at,
        };
        (flow == "box_ctr").then(|| vec![KeyWindow { window: shown(), panes: vec![pane] }])
    }

    fn settings(&self) -> Vec<Setting> {
        vec![Setting { key: "kafka.group_id".to_owned(), value: HOSTILE.to_owned(), from: "a:1".to_owned() }]
    }
}

async fn get(path: &str) -> (StatusCode, Vec<(String, String)>, String) {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let answer = router(Arc::new(Hostile)).oneshot(request).await.expect("routes do not fail");
    let (status, text) =
        (answer.status(), |value: &axum::http::HeaderValue| value.to_str().unwrap_or_default().to_owned());
    let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
    (status, headers, String::from_utf8_lossy(&body).into_owned())
}

fn key() -> String {
    let key = [Some(HOSTILE.into()), None];
    crate::html::key_link("box_ctr", &["page", "box"], &key)
}

#[tokio::test]
async fn external_text_is_escaped() {
    let find = url::form_urlencoded::Serializer::new(String::new()).append_pair("find", HOSTILE).finish();
    for path in ["/".to_owned(), format!("/?{find}"), key()] {
        let (status, _, body) = get(&path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(!body.contains("<script>alert") && !body.contains("<img"), "{path}: {body}");
        assert!(body.contains("&lt;script&gt;alert(1)"), "{path}: {body}");
    }
}

#[tokio::test]
async fn the_page_has_a_content_security_policy() {
    for path in ["/", &key()] {
        let (_, headers, _) = get(path).await;
        let value =
            |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let policy = value("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(
            (value("cache-control"), value("referrer-policy")),
            (Some("no-store"), Some("no-referrer"))
        );
    }
}

#[tokio::test]
async fn the_api_matches_the_page() {
    let (_, _, body) = get("/api/v1/flows/box_ctr/busiest?limit=5").await;
    let busiest: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(busiest["rows"][0]["key"], serde_json::json!([HOSTILE, null]));
    assert_eq!(
        (busiest["rows"][0]["views"].as_u64(), busiest["rows"][0]["clicks"].as_u64()),
        (Some(1234), Some(56))
    );
    assert_eq!(busiest["window"]["window_start"], "1970-01-01T00:10:00.000Z");
    let (_, _, body) = get(&format!("/api/v1{}", key())).await;
    let windows: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(windows[0]["panes"][0]["pane"], "ON_TIME");
    for path in ["/flows/none/key", "/api/v1/flows/none/busiest", "/api/v1/flows/none/key"] {
        let (status, _, body) = get(path).await;
        assert!(status == StatusCode::NOT_FOUND && body.contains("/api/v1/pipe"), "{path}: {body}");
    }
}
