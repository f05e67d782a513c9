//! Flows and rows for the tests of this crate.

use event::EventTime;
use flow::{
    Flow, FlowSettings, Window,
    measure::Estimate,
    number::Total,
    row::{FlowTable, Pane, Replaced, Row, Value, Values},
};
use proptest::prelude::*;
use smallvec::smallvec;

/// 2026-09-27T10:10:00Z
pub(crate) const TEN_PAST: EventTime = EventTime(1_790_503_800_000);

/// The table of a flow of the configuration.
pub(crate) fn table(json: &str) -> FlowTable {
    let settings: FlowSettings = serde_json::from_str(json).expect("the flow is well formed");
    Flow::try_from(settings).expect("the flow is right").table()
}

/// Views and clicks by page and box, with or without a join.
pub(crate) fn ctr(join: bool) -> FlowTable {
    let join = if join { r#", "join": { "on": "/view_id", "within": "1m" }"# } else { "" };
    table(&format!(
        r#"{{ "name": "box_ctr", "by": {{ "page": "/page", "box": "/box" }}, "views": {{ "/type": "view" }},
            "clicks": {{ "/type": "click" }}, "window": {{ "size": "10m", "period": "1m" }},
            "allowed_lateness": "2m"{join} }}"#
    ))
}

/// A measure of every kind.
pub(crate) fn measures() -> FlowTable {
    table(
        r#"{ "name": "sales", "by": { "page": "/page" }, "window": { "size": "10m" }, "measures": {
            "views": { "count": { "/type": "view" } },
            "revenue": { "sum": "/price" },
            "lowest": { "min": "/price" },
            "users": { "distinct": "/user", "sketch": true },
            "readers": { "distinct": "/user" },
            "share": { "ratio": ["views", "views"] },
            "rpm": { "ratio": ["revenue", "views"], "per": 1000 } } }"#,
    )
}

/// The number of events in each session of a user on a site.
pub(crate) fn sessions() -> FlowTable {
    table(
        r#"{ "name": "visits", "by": { "user": "/user", "site": "/site" }, "window": { "session": "10m" },
            "measures": { "events": { "count": {} } } }"#,
    )
}

/// A row of [`measures`] with all values or none.
pub(crate) fn measured(revenue: &str, users: Option<u64>) -> Row {
    let number = || Value::Number(Box::new(Total::parse(revenue).expect("a number")));
    let distinct = |number, sketch: Option<&[u8]>| {
        Value::Distinct(Box::new(Estimate { number, sketch: sketch.map(Into::into) }))
    };
    let values: Values = match users {
        Some(n) => smallvec![
            Value::Count(4),
            number(),
            number(),
            distinct(n, Some(&[n as u8, 0xFF, 0])),
            distinct(n, None)
        ],
        None => smallvec![Value::Null; 5],
    };
    Row { key: [Some("/a".into())].into(), values, ..row() }
}

/// A row of [`ctr`].
pub(crate) fn row() -> Row {
    Row {
        key: [Some("/a".into()), None].into(),
        window: Window { start: EventTime(TEN_PAST.0 - 600_000), end: TEN_PAST },
        values: counts([4, 1, 2]),
        pane: Pane::OnTime,
        pane_index: 1,
        watermark: EventTime::MAX,
        emitted_at: EventTime(TEN_PAST.0 + 250),
        replaced: Replaced::default(),
    }
}

/// Views, clicks and so on.
pub(crate) fn counts<const N: usize>(counts: [u64; N]) -> Values {
    counts.into_iter().map(Value::Count).collect()
}

/// Sums of up to 48 digits before the point, small ones and whole ones more often.
pub(crate) fn any_total() -> impl Strategy<Value = Total> {
    let text = prop_oneof![
        "-?[0-9]{1,4}(\\.[0-9]{1,9})?",
        "-?[0-9]{1,19}",
        "-?[0-9]{1,48}\\.[0-9]{1,9}",
        "-?[1-9][0-9]{0,3}0{0,40}",
    ];
    text.prop_map(|text| Total::parse(&text).expect("it fits"))
}
