//! Flows of any measures and windows.

use flow::{
    calendar::{Calendar, Unit},
    measure::Estimate,
    number::Amount,
    row::{Value, Values},
};
use serde_json::json;

use super::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// 2026-10-25T00:00 in Warsaw, whose day has 25 hours.
const MIDNIGHT: EventTime = EventTime(1_792_879_200_000);

/// One flow with one key.
struct One {
    flow: FlowView,
    busiest: Busiest,
    windows: Vec<KeyWindow>,
}

impl Source for One {
    fn status(&self) -> Status {
        let detail = Detail { flows: vec![self.flow.clone()], ..Detail::default() };
        let processor = Some(Processor { detail, ..Processor::default() });
        Status { at: MIDNIGHT, processor, ..Hostile.status() }
    }

    fn busiest(&self, _: &str, _: &Ask) -> Option<Busiest> {
        Some(self.busiest.clone())
    }

    fn windows(&self, _: &str, _: &[Option<Box<str>>]) -> Option<Vec<KeyWindow>> {
        Some(self.windows.clone())
    }

    fn settings(&self) -> Vec<Setting> {
        Vec::new()
    }
}

fn measure(name: &str, shows: Shows) -> MeasureColumns {
    MeasureColumns { name: name.to_owned(), shows }
}

/// Views, clicks, revenue, readers and ratios of them.
fn all_measures() -> Arc<[MeasureColumns]> {
    let ratio = |of, over, per, interval| Shows::Ratio { of, over, per, interval };
    Arc::new([
        measure("views", Shows::Count(0)),
        measure("clicks", Shows::Count(1)),
        measure("revenue", Shows::Number(2)),
        measure("readers", Shows::Distinct { value: 3, sketch: true }),
        measure("rpm", ratio(2, 0, 1_000.0, false)),
        measure("ctr", ratio(1, 0, 1.0, true)),
        measure("course", Shows::Count(1)),
    ])
}

fn values(views: u64, clicks: u64, revenue: &str, readers: u64) -> Values {
    let estimate = Estimate { number: readers, sketch: Some(Box::new([1, 2, 3])) };
    let revenue = Amount::parse(revenue).map_or(Value::Null, Value::from);
    smallvec![Value::Count(views), Value::Count(clicks), revenue, Value::Distinct(Box::new(estimate))]
}

fn of_all(values: Values) -> Measured {
    Measured { measures: all_measures(), values }
}

fn window(start: i64, end: i64) -> Window {
    Window { start: EventTime(MIDNIGHT.0 + start), end: EventTime(MIDNIGHT.0 + end) }
}

fn pane(pane_index: u32, measured: Measured) -> ShownPane {
    ShownPane { pane: Pane::OnTime, pane_index, measured, watermark: MIDNIGHT, emitted_at: MIDNIGHT }
}

fn one(windows: WindowKind, shown: Window, panes: Vec<(Window, ShownPane)>) -> One {
    let session = matches!(windows, WindowKind::Sessions { .. }).then_some(shown);
    let measured = of_all(values(1_200, 60, "1999.50", 310));
    let point = |end: i64| Point { end: EventTime(shown.end.0 + end), measured: measured.clone() };
    let row = Busy {
        key: vec![Some("/news".into())],
        keys: 1,
        session,
        measured: measured.clone(),
        course: vec![point(-HOUR), point(0)],
    };
    One {
        flow: flow("sections", &["section"], all_measures(), windows),
        busiest: Busiest {
            window: Some(shown),
            is_complete: true,
            found: 1,
            left_out: false,
            rows: vec![row],
        },
        windows: panes.into_iter().map(|(window, pane)| KeyWindow { window, panes: vec![pane] }).collect(),
    }
}

async fn body(source: One, path: &str) -> String {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let answer = router(Arc::new(source)).oneshot(request).await.expect("routes do not fail");
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
    String::from_utf8_lossy(&body).into_owned()
}

fn warsaw(unit: Unit) -> WindowKind {
    WindowKind::Aligned(Windows::Calendar(Calendar::try_new(unit, "Europe/Warsaw").expect("a zone")))
}

fn day() -> One {
    one(warsaw(Unit::Day), window(0, 25 * HOUR), Vec::new())
}

/// The texts of the cells of a measure.
fn cells<'a>(body: &'a str, label: &str) -> Vec<&'a str> {
    let start = format!("data-label=\"{label}\">");
    let cells = body.split(start.as_str()).skip(1);
    cells.map(|cell| cell.split("</td>").next().unwrap_or_default()).collect()
}

#[tokio::test]
async fn each_measure_has_a_column() {
    let body = body(day(), "/").await;
    assert_eq!(cells(&body, "views"), ["<data value=\"1200\">1,200</data>"]);
    assert_eq!(cells(&body, "revenue"), ["<data value=\"1999.5\">1,999.5</data>"]);
    assert_eq!(cells(&body, "readers"), ["<data value=\"310\">310</data>"]);
    assert_eq!(cells(&body, "rpm"), ["1,666.2"]);
    assert_eq!(cells(&body, "ctr"), ["5.00 %"]);
    assert!(cells(&body, "95 % interval")[0].starts_with("<span>3.90 % to 6.38 %</span>"), "{body}");
    assert!(body.contains("ctr, over time"), "the first ratio with an interval leads: {body}");
}

#[tokio::test]
async fn json_has_the_columns_of_the_table() {
    let api = "/api/v1/flows/sections/busiest";
    let busiest: serde_json::Value = serde_json::from_str(&body(day(), api).await).expect("JSON");
    let row = &busiest["rows"][0];
    assert_eq!(row["views"], json!(1_200));
    assert_eq!(row["revenue"], json!(1_999.5));
    assert_eq!(row["readers"], json!(310));
    assert_eq!(row["ctr"], json!(0.05));
    assert!(row["ctr_low"].as_f64() < Some(0.05) && row["ctr_high"].as_f64() > Some(0.05), "{row}");
    assert!(row.get("readers_sketch").is_none() && row.get("session").is_none(), "{row}");
    // A member of the answer keeps its name.
    assert_eq!((row["measure_course"].clone(), row["course"][0]["views"].clone()), (json!(60), json!(1_200)));
    let pipe: serde_json::Value = serde_json::from_str(&body(day(), "/api/v1/pipe").await).expect("JSON");
    let flow = &pipe["processor"]["flows"][0];
    let columns =
        json!(["views", "clicks", "revenue", "readers", "rpm", "ctr", "ctr_low", "ctr_high", "course"]);
    assert_eq!(flow["measures"], columns);
    assert_eq!((&flow["unit"], &flow["timezone"]), (&json!("day"), &json!("Europe/Warsaw")));
}

#[tokio::test]
async fn calendar_windows_have_dates_and_their_length() {
    let body = body(day(), "/").await;
    let start = "datetime=\"2026-10-24T22:00:00.000Z\"";
    assert!(body.contains(start) && body.contains(">2026-10-25</time>"), "{body}");
    assert!(body.contains("> (25 h, "), "{body}");
    let body =
        super::flows::body(one(warsaw(Unit::Week), window(-6 * 24 * HOUR, 25 * HOUR), Vec::new()), "/").await;
    assert!(body.contains(">2026-10-19 to 2026-10-25</time>"), "{body}");
}

#[tokio::test]
async fn merged_sessions_are_hidden() {
    let windows = WindowKind::Sessions { gap: Millis(30 * 60_000) };
    let (first, second) = (window(0, 40 * MINUTE), window(60 * MINUTE, 100 * MINUTE));
    let (merged, later) = (window(0, 100 * MINUTE), window(200 * MINUTE, 240 * MINUTE));
    let measured = |views| of_all(values(views, 1, "0", 1));
    let panes = vec![
        (later, pane(0, measured(9))),
        (second, pane(0, measured(2))),
        (merged, pane(2, measured(5))),
        (first, pane(0, measured(3))),
    ];
    let source = || one(windows.clone(), merged, panes.clone());
    let page = body(source(), "/flows/sections/key?section=/news").await;
    assert_eq!(page.matches("merged into a longer session").count(), 2, "{page}");
    assert!(
        page.contains("1 h 40 min") && page.contains("sessions, ended by 30 min without an event"),
        "{page}"
    );
    let chart =
        page.split("class=\"line\"").nth(1).and_then(|rest| rest.split(" d=\"").nth(1).or(Some(rest)));
    assert!(chart.is_some(), "two sessions that are not replaced make a chart: {page}");
    let overview = body(source(), "/").await;
    assert_eq!(cells(&overview, "session").len(), 1, "{overview}");
    let json: serde_json::Value =
        serde_json::from_str(&body(source(), "/api/v1/flows/sections/busiest").await).expect("JSON");
    assert_eq!(json["rows"][0]["session"]["window_start"], "2026-10-24T22:00:00.000Z");
}

/// A key with an hour of windows, to be looked at: `AQUEDUCT_PAGE=folder cargo test -p report pages_to_look_at`.
#[tokio::test]
async fn all_pages_render() {
    let clicks = [41_u64, 44, 39, 47, 52, 60, 58, 66, 71, 64, 59, 55, 57, 62, 70, 76, 81, 74, 69, 63];
    let panes = clicks.iter().enumerate().rev().map(|(n, clicks)| {
        let start = n as i64 * MINUTE;
        let measured = of_all(values(1_000 + 10 * n as u64, *clicks, "1999.50", 310));
        (window(start, start + 10 * MINUTE), pane(0, measured))
    });
    let source = || one(sliding(), window(0, 10 * MINUTE), panes.clone().collect());
    let pages = [
        ("key", body(source(), "/flows/sections/key?section=/news").await),
        ("flow", body(source(), "/").await),
        ("day", body(day(), "/").await),
    ];
    for (name, page) in pages {
        assert!(page.contains("</html>"), "{name}");
        if let Some(folder) = std::env::var_os("AQUEDUCT_PAGE") {
            let style = format!("<style>{}</style>", include_str!("../../page.css"));
            let file = std::path::Path::new(&folder).join(format!("{name}.html"));
            std::fs::write(file, page.replace("</head>", &format!("{style}</head>"))).expect("the folder");
        }
    }
}
