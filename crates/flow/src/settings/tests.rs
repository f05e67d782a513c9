use serde_json::{Value, json};

use super::*;
use crate::{definition::Edit, measure::Kind};

/// A flow of views and clicks with other keys over it; a key with null is taken out.
fn flow(changes: &Value) -> Result<Flow, FlowErrors> {
    let mut flow = json!({
        "name": "f",
        "by": { "page": "/page" },
        "views": { "/type": "view" },
        "clicks": { "/type": "click" },
        "window": { "size": "10m", "period": "1m" },
    });
    for (key, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => flow.as_object_mut().expect("an object").remove(key),
            value => flow.as_object_mut().expect("an object").insert(key.clone(), value.clone()),
        };
    }
    let settings: FlowSettings = serde_json::from_value(flow).expect("the types are right");
    Flow::try_from(settings)
}

fn columns(changes: &Value) -> Vec<String> {
    let table = flow(changes).expect("the flow is right").table();
    let names = table.all_columns().into_iter().map(|column| column.name);
    names.skip(3).take_while(|name| name != "pane").collect()
}

#[test]
fn views_and_clicks_are_short_for_three_measures() {
    let ctr = ["views", "clicks", "ctr", "ctr_low", "ctr_high"];
    assert_eq!(columns(&json!({})), ctr);
    let join = json!({ "join": { "on": "/id", "within": "30m" } });
    assert_eq!(columns(&join)[5..], ["attributed_clicks", "ctr_attributed"]);
    let measures = json!({ "measures": {
        "revenue": { "sum": "/price", "where": { "/type": "purchase" } },
        "rpm": { "ratio": ["revenue", "views"], "per": 1000 },
        "users": { "distinct": "/user", "sketch": true },
    }});
    assert_eq!(columns(&measures)[5..], ["revenue", "rpm", "users", "users_sketch"]);
    let long = json!({ "views": null, "clicks": null, "measures": {
        "views": { "count": { "/type": "view" } },
        "ctr": { "ratio": ["clicks", "views"] },
        "clicks": { "count": { "/type": "click" } },
    }});
    // JSON of a test sorts its keys: a ratio may come before a measure that it divides by.
    assert_eq!(columns(&long), ["clicks", "ctr", "ctr_low", "ctr_high", "views"]);
    let ratio = &flow(&long).expect("the flow is right").measures[1];
    assert_eq!(ratio.kind, Kind::Ratio { of: 0, over: 1, per: 1.0, interval: true });
}

#[test]
fn errors_name_the_key() {
    let count = || json!({ "count": { "/type": "view" } });
    for (changes, key) in [
        (json!({ "name": "" }), "name"),
        (json!({ "views": {} }), "views"),
        (json!({ "clicks": null }), "views"),
        (json!({ "views": null }), "clicks"),
        (json!({ "views": null, "clicks": null }), "measures"),
        (json!({ "where": {} }), "where"),
        (json!({ "early": "10ms" }), "early"),
        (json!({ "measures": { "page": count() } }), "measures.page"),
        (json!({ "by": { "views": "/page" } }), "by.views"),
        (json!({ "measures": { "views": count() } }), "measures.views"),
        (json!({ "measures": { "CTR_LOW": count() } }), "measures.CTR_LOW"),
        (json!({ "measures": { "window_end": count() } }), "measures.window_end"),
        (json!({ "measures": { "a": {} } }), "measures.a"),
        (json!({ "measures": { "a": { "sum": "/x", "min": "/x" } } }), "measures.a.min"),
        (json!({ "measures": { "a": { "sum": "/x", "sketch": true } } }), "measures.a.sketch"),
        (json!({ "measures": { "a": { "sum": "/x", "sketch": false } } }), "measures.a.sketch"),
        (json!({ "measures": { "a": { "sum": "/x", "per": 10 } } }), "measures.a.per"),
        (json!({ "measures": { "a": { "sum": "/x", "where": {} } } }), "measures.a.where"),
        (json!({ "measures": { "a": { "ratio": ["clicks", "viws"] } } }), "measures.a.ratio"),
        (json!({ "measures": { "a": { "ratio": ["ctr", "views"] } } }), "measures.a.ratio"),
        (json!({ "measures": { "a": { "ratio": ["clicks", "views"], "per": 0 } } }), "measures.a.per"),
        (json!({ "window": {} }), "window"),
        (json!({ "window": { "size": "0s" } }), "window.size"),
        (json!({ "window": { "size": "2d", "period": "1s" } }), "window.period"),
        (json!({ "window": { "size": "1mo" } }), "window.size"),
        (json!({ "window": { "size": "2d", "timezone": "UTC" } }), "window.size"),
        (json!({ "window": { "size": "24h", "timezone": "UTC" } }), "window.size"),
        (json!({ "window": { "size": "7d", "timezone": "UTC" } }), "window.size"),
        (json!({ "window": { "size": "182500d" } }), "window.size"),
        (json!({ "window": { "size": "365d", "period": "1ms" } }), "window.period"),
        (json!({ "window": { "size": "365d", "period": "86400001ms" } }), "window.period"),
        (json!({ "window": { "session": "182500d" }, "allowed_lateness": "36525d" }), "window.session"),
        (json!({ "window": { "size": "1h", "period": "106751991167d" } }), "window.period"),
        (json!({ "out_of_orderness": "106751991167d" }), "out_of_orderness"),
        (json!({ "allowed_lateness": "106751991167d" }), "allowed_lateness"),
        (json!({ "early": "106751991167d" }), "early"),
        (json!({ "join": { "on": "/id", "within": "106751991167d" } }), "join.within"),
        (json!({ "join": { "on": "/id", "within": "1m", "limit": 0 } }), "join.limit"),
        (json!({ "join": { "on": "/id", "within": "1m", "limit": 1_000_001 } }), "join.limit"),
        (json!({ "window": { "size": "1d", "timezone": "Europe/Warszaw" } }), "window.timezone"),
        (json!({ "window": { "size": "1d", "period": "1d", "timezone": "UTC" } }), "window.period"),
        (json!({ "window": { "session": "30m", "size": "1h" } }), "window.size"),
        (json!({ "window": { "session": "2h" } }), "window.session"),
        (json!({ "window": { "session": "0s" } }), "window.session"),
        (json!({ "join": { "on": "/id", "within": "2h" } }), "allowed_lateness"),
        (json!({ "window": { "size": "1d", "timezone": "GMT+2" } }), "window.timezone"),
        (json!({ "window": { "session": "30m" }, "join": { "on": "/id", "within": "1m" } }), "join"),
        (
            json!({ "views": null, "clicks": null, "measures": { "a": count() }, "join": { "on": "/id", "within": "1m" } }),
            "join",
        ),
    ] {
        let errors = flow(&changes).expect_err("the flow is wrong").0;
        let keys: Vec<&str> = errors.iter().map(|error| error.key.as_str()).collect();
        assert_eq!(keys, [key], "{changes}");
    }
}

#[test]
fn all_errors_of_a_flow_are_found() {
    let changes = json!({
        "where": {}, "views": null, "early": "10m", "window": { "size": "1m", "timezone": "UTC" },
        "measures": { "a": {} }, "join": { "on": "/id", "within": "2h", "limit": 0 },
    });
    let keys: Vec<String> =
        flow(&changes).expect_err("the flow is wrong").0.into_iter().map(|e| e.key).collect();
    let expected = ["window.size", "where", "clicks", "join.limit", "allowed_lateness", "measures.a"];
    assert_eq!(keys, expected);
}

#[test]
fn early_panes_are_of_open_windows() {
    for (window, early, is_valid) in [
        (json!({ "size": "10m", "period": "1m" }), "599s", true),
        (json!({ "size": "10m", "period": "1m" }), "10m", false),
        (json!({ "size": "1d", "timezone": "UTC" }), "22h", true),
        (json!({ "size": "1d", "timezone": "UTC" }), "1d", false),
        (json!({ "session": "1m" }), "10m", true),
    ] {
        let flow = flow(&json!({ "window": window, "early": early })).expect("a flow");
        let key = flow.ineffective().map(|error| error.key);
        assert_eq!(key.as_deref(), (!is_valid).then_some("early"), "{window} {early}");
    }
}

#[test]
fn only_measures_and_tolerances_may_change() {
    let base = flow(&json!({})).expect("the flow is right").definition();
    let edit = |changes: Value| -> Option<Edit> {
        flow(&changes).expect("the flow is right").definition().edited(&base)
    };
    for allowed in [
        json!({ "out_of_orderness": "5s", "allowed_lateness": "2h", "early": "10s" }),
        json!({ "measures": { "users": { "distinct": "/user" } } }),
        json!({ "measures": { "again": { "ratio": ["clicks", "views"] } } }),
    ] {
        assert_eq!(edit(allowed.clone()), None, "{allowed}");
    }
    for (changes, key) in [
        (json!({ "by": { "page": "/p" } }), "by"),
        (json!({ "where": { "/country": "PL" } }), "where"),
        (json!({ "views": { "/type": "seen" } }), "views"),
        (json!({ "window": { "size": "10m" } }), "window"),
        (json!({ "window": { "size": "1d", "timezone": "UTC" } }), "window"),
        (json!({ "time": "kafka" }), "time"),
        (json!({ "join": { "on": "/id", "within": "1m" } }), "join"),
    ] {
        assert_eq!(edit(changes.clone()).expect("it is an edit").key, key, "{changes}");
    }
    let with = |measure: Value| {
        let changes = json!({ "measures": { "m": measure } });
        flow(&changes).expect("the flow is right").definition()
    };
    let (sum, max) = (with(json!({ "sum": "/x" })), with(json!({ "max": "/x" })));
    assert_eq!(max.edited(&sum).expect("it is an edit").key, "measures.m");
    assert_eq!(max.places_in(&sum), [Some(0), Some(1), None]);
    assert_eq!(base.edited(&sum), None, "a measure may be removed");
    let sketch = with(json!({ "distinct": "/x", "sketch": true }));
    assert_eq!(sketch.edited(&with(json!({ "distinct": "/x" }))), None);
}

/// Version 2 of the state knew a flow by one text.
#[test]
fn an_edit_since_version_2_names_its_key() {
    let base = flow(&json!({})).expect("the flow is right");
    let before = base.version_2().expect("version 2 knew such flows");
    assert_eq!(
        before,
        "by page=/page; views /type in [Text(\"view\")]; clicks /type in [Text(\"click\")]; window 10m/1m; time Event; \
         out_of_orderness 30s; allowed_lateness 1h; join "
    );
    let edited = |changes: Value| flow(&changes).expect("the flow is right").edited_since_version_2(&before);
    assert_eq!(edited(json!({ "measures": { "users": { "distinct": "/user" } } })), None);
    for (changes, key, values) in [
        (json!({ "by": { "page": "/p" } }), "by", ["page=/page", "page=/p"]),
        (json!({ "window": { "size": "10m" } }), "window", ["10m/1m", "10m/10m"]),
        (json!({ "window": { "session": "10m" } }), "window", ["10m/1m", "session 10m"]),
        (json!({ "allowed_lateness": "2h" }), "allowed_lateness", ["1h", "2h"]),
        (json!({ "join": { "on": "/id", "within": "1m" } }), "join", ["", "/id=/id within 1m"]),
        (json!({ "where": { "/x": 1 } }), "where", ["", "/x in [Number(1.0)]"]),
        (
            json!({ "views": null, "clicks": null, "measures": { "n": { "count": {} } } }),
            "views",
            ["/type in [Text(\"view\")]", ""],
        ),
    ] {
        let edit = edited(changes.clone()).expect("it is an edit");
        assert_eq!((edit.key.as_str(), [&*edit.before, &*edit.now]), (key, values), "{changes}");
    }
    assert_eq!(base.edited_since_version_2("another text").expect("it is an edit").key, "by");
}
