//! Cases, one on each line.

use super::*;

/// The event that is published; `<id>` in `expect` is the pseudonym of `id`.
fn check(section: &str, event: &str, expect: &str) {
    let out = anonymiser(section).anonymise(&value(event.as_bytes())).expect("an event that passes");
    let mut wanted = String::new();
    for (position, part) in expect.split(['<', '>']).enumerate() {
        wanted += &if position % 2 == 1 { pseudonym(part) } else { part.to_owned() };
    }
    assert_eq!(std::str::from_utf8(out.data()), Ok(wanted.as_str()), "{section}: {event}");
}

fn check_reject(section: &str, event: &str, expect: &str) {
    let reject = anonymiser(section).anonymise(&value(event.as_bytes())).expect_err("a reject");
    assert_eq!(reject.to_string(), expect, "{section}: {event}");
}

fn check_settings(section: &str, expect: &SettingsError) {
    let error = Anonymiser::new(&settings(section), None, Some(keyring(1))).expect_err("an error");
    assert_eq!(&error, expect, "{section}");
}

const USER: &str = "pseudonymise = [\"/user\"]\nforward = \"all\"";

#[test]
fn scalars_become_pseudonyms() {
    check(USER, r#"{"user":"u1","n":1}"#, r#"{"user":"<u1>","n":1}"#);
    check(USER, r#"{ "user" : 123 , "n":[ ] }"#, r#"{ "user" : "<123>" , "n":[ ] }"#);
    for number in [r#""123""#, "123", "123.0", "1.23e2"] {
        check(USER, &format!(r#"{{"user":{number}}}"#), r#"{"user":"<123>"}"#);
    }
    check(USER, r#"{"user":true}"#, r#"{"user":"<true>"}"#);
    check(USER, r#"{"user":""}"#, r#"{"user":"<>"}"#);
    check(USER, r#"{"user":"j\u00fcrgen\/\ud83d\ude00"}"#, "{\"user\":\"<jürgen/😀>\"}");
    for same in [r#"{"user":null}"#, "{}", r#"{"other":{"user":"u1"}}"#] {
        check(USER, same, same);
    }
    let stars = "pseudonymise = [\"/items/*/id\", \"/by/*\", \"/list/1\"]\nforward = \"all\"";
    check(
        stars,
        r#"{"items":[{"id":1,"x":2},{"y":3}, null],"by":{"a":"p","b":["no"]}}"#.replace("[\"no\"]", "null").as_str(),
        r#"{"items":[{"id":"<1>","x":2},{"y":3}, null],"by":{"a":"<p>","b":null}}"#,
    );
    check(
        stars,
        r#"{"items":{"m":{"id":"q"}},"list":["a","b"]}"#,
        r#"{"items":{"m":{"id":"<q>"}},"list":["a","<b>"]}"#,
    );
    check(stars, r#"{"list":{"1":"b","2":"c"}}"#, r#"{"list":{"1":"<b>","2":"c"}}"#);
}

#[test]
fn unexpected_shapes_are_rejected() {
    let deep = "pseudonymise = [\"/s/user\", \"/list/0\", \"/any/*/id\"]\nforward = \"all\"";
    for (event, expect) in [
        (r#"{"s":{"user":{}}}"#, "unexpected-shape at \"/s/user\", byte 13"),
        (r#"{"s":{"user":["u1"]}}"#, "unexpected-shape at \"/s/user\", byte 13"),
        (r#"{"s":"u1"}"#, "unexpected-shape at \"/s/user\", byte 5"),
        (r#"{"s":[{"user":"u1"}]}"#, "unexpected-shape at \"/s/user\", byte 5"),
        (r#"{"s":[]}"#, "unexpected-shape at \"/s/user\", byte 5"),
        (r#"{"list":"u1"}"#, "unexpected-shape at \"/list/0\", byte 8"),
        (r#"{"any":"u1"}"#, "unexpected-shape at \"/any/*/id\", byte 7"),
        (r#"{"any":["u1"]}"#, "unexpected-shape at \"/any/*/id\", byte 8"),
        (r#"{"any":[["u1"]]}"#, "unexpected-shape at \"/any/*/id\", byte 8"),
    ] {
        check_reject(deep, event, expect);
    }
    for same in
        [r#"{"s":null,"list":null,"any":null}"#, r#"{"s":{},"list":[],"any":[]}"#, r#"{"any":[null,{}]}"#]
    {
        check(deep, same, same);
    }
    let others = "remove = [\"/s/ip\"]\nstrip_query = [\"/page\"]\nforward = [\"/s\", \"/page\", \"/a/b\"]";
    for (event, expect) in [
        (r#"{"s":"ip=10.0.0.1"}"#, "unexpected-shape at \"/s/ip\", byte 5"),
        (r#"{"page":17}"#, "unexpected-shape at \"/page\", byte 8"),
        (r#"{"page":{}}"#, "unexpected-shape at \"/page\", byte 8"),
        (r#"{"a":1}"#, "unexpected-shape at \"/a/b\", byte 5"),
        (r#"{"a":[1]}"#, "unexpected-shape at \"/a/b\", byte 5"),
    ] {
        check_reject(others, event, expect);
    }
    check_reject(USER, r#"{"user":1e999}"#, "number at \"/user\", byte 8");
}

#[test]
fn members_and_elements_are_removed() {
    let section = "remove = [\"/a\", \"/l/1\", \"/o/*/x\"]\nforward = \"all\"";
    for (event, expect) in [
        (r#"{"a":1}"#, "{}"),
        (r#"{"a":1,"b":2}"#, r#"{"b":2}"#),
        (r#"{"b":2,"a":1}"#, r#"{"b":2}"#),
        (r#"{"b":2,"a":[1,{"a":2}],"c":3}"#, r#"{"b":2,"c":3}"#),
        (r#"{ "a" : 1 , "b" : 2 }"#, r#"{ "b" : 2 }"#.replace("{ ", "{").as_str()),
        (r#"{"l":[0,1,2]}"#, r#"{"l":[0,null,2]}"#),
        (r#"{"l":[0,[1]]}"#, r#"{"l":[0]}"#),
        (r#"{"l":{"0":0,"1":1}}"#, r#"{"l":{"0":0}}"#),
        (r#"{"o":[{"x":1,"y":2},{"y":1,"x":2},{"x":null}]}"#, r#"{"o":[{"y":2},{"y":1},{}]}"#),
    ] {
        check(section, event, expect);
    }
}

#[test]
fn only_listed_fields_pass() {
    let section = "forward = [\"/type\", \"/box/id\", \"/items/*/sku\", \"/l/1\"]\npseudonymise = [\"/items/*/sku\", \"/user\"]";
    for (event, expect) in [
        (r#"{"user":"u1","type":"view","x":{"type":1}}"#, r#"{"type":"view"}"#),
        (r#"{"type":{"all":["of",{"it":1}]},"z":0}"#, r#"{"type":{"all":["of",{"it":1}]}}"#),
        (r#"{"box":{"id":7,"name":"n"}}"#, r#"{"box":{"id":7}}"#),
        (r#"{"box":{"name":"n"}}"#, r#"{"box":{}}"#),
        (r#"{"box":null,"type":null}"#, r#"{"type":null}"#),
        (r#"{"items":[{"sku":"s","p":1},null,{"p":1}]}"#, r#"{"items":[{"sku":"<s>"},null,{}]}"#),
        (r#"{"l":["a","b","c"]}"#, r#"{"l":[null,"b"]}"#),
        (r#"{"user":{"any":"shape"}}"#, "{}"),
    ] {
        check(section, event, expect);
    }
    check("forward = []", r#"{"a":{"b":1},"c":[2]}"#, "{}");
    check("forward = [\"/a\"]\nremove = [\"/a/b\"]", r#"{"a":{"b":1,"c":2},"d":3}"#, r#"{"a":{"c":2}}"#);
}

#[test]
fn array_positions_are_kept() {
    let section = "forward = [\"/path/1\", \"/deep/*/2\"]\nremove = [\"/deep/1\"]";
    for (event, expect) in [
        (r#"{"path":["user-17","box-3"]}"#, r#"{"path":[null,"box-3"]}"#),
        (r#"{"path":[ "user-17" , "box-3" ]}"#, r#"{"path":[null , "box-3" ]}"#),
        // The output does not show how many elements follow the last one that is forwarded.
        (r#"{"path":["user-17","box-3","a",["b"],{}]}"#, r#"{"path":[null,"box-3"]}"#),
        (r#"{"path":["user-17"]}"#, r#"{"path":[]}"#),
        (r#"{"path":[["user",{"id":17}],null]}"#, r#"{"path":[null,null]}"#),
        (r#"{"path":{"0":"user-17","1":"box-3"}}"#, r#"{"path":{"1":"box-3"}}"#),
        (
            r#"{"deep":[["a","b","c"],["d","e","f"],["g"],[1,2,3]]}"#,
            r#"{"deep":[[null,null,"c"],null,[],[null,null,3]]}"#,
        ),
    ] {
        check(section, event, expect);
    }
    check(
        "remove = [\"/l/0\", \"/l/2\"]\nforward = \"all\"",
        r#"{"l":[0,1,2,3,4]}"#,
        r#"{"l":[null,1,null,3,4]}"#,
    );
}

#[test]
fn names_are_compared_without_their_escapes() {
    let section = "pseudonymise = [\"/größe\", \"/user\"]\nremove = [\"/a~1b\"]\nforward = [\"/größe\", \"/user\", \"/x\"]";
    for (event, expect) in [
        (r#"{"gr\u00f6\u00dfe":"u1"}"#, r#"{"gr\u00f6\u00dfe":"<u1>"}"#),
        (r#"{"us\u0065r":"u1","x":{"\ud83d\ude00":1}}"#, r#"{"us\u0065r":"<u1>","x":{"\ud83d\ude00":1}}"#),
        (r#"{"a\/b":"u1","dr\u006fpped":"u2","x":1}"#, r#"{"x":1}"#),
    ] {
        check(section, event, expect);
    }
}

#[test]
fn a_byte_order_mark_is_removed() {
    check(USER, "\u{feff}{\"user\":\"u1\"}", r#"{"user":"<u1>"}"#);
    check(USER, "\u{feff} {\"n\":[1]} ", r#" {"n":[1]} "#);
    check("forward = []", "\u{feff}{\"a\":1}", "{}");
}

#[test]
fn urls_lose_their_queries() {
    let section = "strip_query = [\"/page\"]\nforward = \"all\"";
    for (event, expect) in [
        (r#"{"page":"https://a.example/b?c=d#e"}"#, r#"{"page":"https://a.example/b"}"#),
        (r#"{"page":"/b","x":1}"#, r#"{"page":"/b","x":1}"#),
        (r#"{"page":"https:\/\/a.example\/b\u003fc"}"#, r#"{"page":"https://a.example/b"}"#),
        (r#"{"page":"\/b"}"#, r#"{"page":"\/b"}"#),
        (r#"{"page":"/b\"c?d"}"#, r#"{"page":"/b\"c"}"#),
        (r#"{"page":"https://n:p@a.example/b?c"}"#, r#"{"page":"https://a.example/b"}"#),
        (r#"{"page":null}"#, r#"{"page":null}"#),
    ] {
        check(section, event, expect);
    }
    check_reject(section, r#"{"page":"https://n:p?w@a.example/"}"#, "not-a-url at \"/page\", byte 8");
}

#[test]
fn ambiguous_json_is_rejected() {
    for (event, expect) in [
        ("", "not-json at byte 0"),
        ("[]", "not-an-object at byte 0"),
        ("7", "not-an-object at byte 0"),
        (r#"{"a":1} x"#, "trailing-data at byte 8"),
        (r#"{"a":"\ud800"}"#, "lone-surrogate at byte 6"),
        (r#"{"user":"u1","user":"u2"}"#, "duplicate-member at byte 13"),
        (r#"{"a":{"b":1,"b":1}}"#, "duplicate-member at byte 12"),
        (r#"{"user":"u1","us\u0065r":"u2"}"#, "duplicate-member at byte 13"),
        (r#"{"x":[{"a\/b":1,"a/b":2}]}"#, "duplicate-member at byte 16"),
        ("\u{feff}{\"a\":1} x", "trailing-data at byte 11"),
    ] {
        check_reject(USER, event, expect);
        check_reject("remove = [\"/x\"]\nforward = [\"/user\"]", event, expect);
    }
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(128), "]".repeat(128));
    check_reject(USER, &deep, "too-deep at byte 132");
    let reject = anonymiser(USER).anonymise(&value(b"{\"a\":\"\xff\"}")).expect_err("a reject");
    assert_eq!(reject.to_string(), "invalid-utf8 at byte 6");
    let many: Vec<String> = (0..40).map(|n| format!("\"m{n}\":0")).collect();
    let once = format!("{{{}}}", many.join(","));
    check(USER, &once, &once);
    check_reject(
        USER,
        &format!("{{{},\"m3\":0}}", many.join(",")),
        &format!("duplicate-member at byte {}", once.len()),
    );
}

#[test]
fn conflicting_pointers_are_rejected() {
    let inside = |list, scalar: &str, below: &str| SettingsError::Inside {
        list,
        scalar: scalar.into(),
        below: below.into(),
    };
    check_settings(
        "pseudonymise = [\"/s\"]\nremove = [\"/s/ip\"]\nforward = \"all\"",
        &inside("pseudonymise", "/s", "/s/ip"),
    );
    check_settings("strip_query = [\"/*\"]\nforward = [\"/s/a\"]", &inside("strip_query", "/*", "/s/a"));
    check_settings(
        "strip_query = [\"/a/*\"]\npseudonymise = [\"/*/b\"]\nforward = \"all\"",
        &SettingsError::Both { url: "/a/*".into(), pseudonym: "/*/b".into() },
    );
    let error = Anonymiser::new(&settings(USER), None, None).expect_err("an error");
    assert_eq!(error, SettingsError::NoKeyring);
    // A value that is removed anyway contradicts nothing.
    check(
        "pseudonymise = [\"/s\", \"/s/u\"]\nremove = [\"/s\"]\nforward = \"all\"",
        r#"{"s":{"u":1}}"#,
        "{}",
    );
}

#[test]
fn the_event_time_selects_the_key() {
    let keys = keyring(2);
    let section = settings("pseudonymise = [\"/user\"]\nforward = [\"/user\"]\nkey = \"pseudonymise\"");
    let events = events("time = \"/t/at\"\n[topics.clicks]\ntime = \"/when\"");
    let mut anonymiser = Anonymiser::new(&section, Some(&events), Some(Arc::clone(&keys))).expect("rules");
    for (topic, event, key) in [
        ("views", r#"{"user":"u1","t":{"at":"2025-12-31T23:59:59.999Z"}}"#, 0),
        ("views", r#"{"user":"u1","t":{"at":"2026-01-01T00:00:00Z"}}"#, 1),
        ("views", r#"{"t":{"at":1767225600000},"user":"u1"}"#, 1),
        ("clicks", r#"{"when":0,"user":"u1","t":{"at":1767225600000}}"#, 0),
    ] {
        let raw = Raw { topic, key: Some(b"u1"), ..value(event.as_bytes()) };
        let out = anonymiser.anonymise(&raw).expect("an event that passes");
        let key = &keys.keys()[key];
        let pseudonym: String = key.pseudonym("u1").map(char::from).iter().collect();
        assert_eq!(std::str::from_utf8(out.data()), Ok(format!("{{\"user\":\"{pseudonym}\"}}").as_str()));
        assert_eq!((out.kafka_key(), out.key_id()), (Some(pseudonym.as_str()), Some(key.id())));
    }
    for event in [r#"{"user":"u1"}"#, r#"{"t":{"at":"soon"}}"#, r#"{"t":{"at":null}}"#, r#"{"t":7}"#] {
        let reject = anonymiser.anonymise(&value(event.as_bytes())).expect_err("a reject");
        assert_eq!(reject.to_string(), "time at \"/t/at\"", "{event}");
    }
    assert_eq!(Anonymiser::new(&section, None, Some(keys)).map(|_| ()), Err(SettingsError::NoTime));
    // A single key is always valid, so no time is needed.
    check(USER, r#"{"user":"u1"}"#, r#"{"user":"<u1>"}"#);
}

#[test]
fn kafka_keys_follow_their_rule() {
    let key = |rule: &str, key: Option<&[u8]>| {
        let section = format!("forward = \"all\"\nkey = \"{rule}\"");
        let out = anonymiser(&section).anonymise(&Raw { key, ..value(b"{}") });
        out.map(|out| out.kafka_key().map(str::to_owned)).map_err(|reject| reject.code)
    };
    assert_eq!(key("drop", Some(b"u\xff")), Ok(None));
    assert_eq!(key("forward", Some(b"u1")), Ok(Some("u1".to_owned())));
    assert_eq!(key("pseudonymise", Some(b"u1")), Ok(Some(pseudonym("u1"))));
    for rule in ["forward", "pseudonymise"] {
        assert_eq!(key(rule, None), Ok(None));
        assert_eq!(key(rule, Some(b"")), Ok(None));
        assert_eq!(key(rule, Some(b"u\xff")), Err(RejectCode::KeyNotUtf8));
    }
    assert_eq!(key("forward", Some(&[b'x'; 1024])).map(|key| key.map(|key| key.len())), Ok(Some(1024)));
    assert_eq!(key("forward", Some(&[b'x'; 1025])), Err(RejectCode::AttributeTooLarge));
}

#[test]
fn only_listed_headers_pass() {
    let mut anonymiser = anonymiser("forward = \"all\"\nheaders = [\"trace\", \"shop\"]");
    let long = [b'x'; 1025];
    let mut headers = |headers: &[(&str, &[u8])]| {
        let out = anonymiser.anonymise(&Raw { headers, ..value(b"{}") }).map_err(|reject| reject.code)?;
        Ok(out.headers().iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>())
    };
    let many = [("user", b"u1".as_slice()), ("shop", b"1"), ("trace", b"a"), ("shop", b"2")];
    assert_eq!(headers(&many), Ok(vec!["trace=a".to_owned(), "shop=2".to_owned()]));
    assert_eq!(headers(&[("user", b"\xff")]), Ok(vec![]));
    assert_eq!(headers(&[("shop", b"\xff")]), Err(RejectCode::HeaderNotUtf8));
    assert_eq!(headers(&[("shop", &long)]), Err(RejectCode::AttributeTooLarge));
}

#[test]
fn messages_beyond_pubsubs_limits_are_rejected() {
    let mut anonymiser = anonymiser("forward = \"all\"\nremove = [\"/big\"]");
    let event = |name: &str, length: usize| format!("{{\"{name}\":\"{}\"}}", "x".repeat(length)).into_bytes();
    let code =
        |out: Result<Anonymised, Reject>| out.map(|out| out.data().len()).map_err(|reject| reject.code);
    let frame = event("a", 0).len();
    let fits = MAX_EVENT_BYTES - frame;
    assert_eq!(code(anonymiser.anonymise(&value(&event("a", fits)))), Ok(MAX_EVENT_BYTES));
    assert_eq!(code(anonymiser.anonymise(&value(&event("a", fits + 1)))), Err(RejectCode::TooLarge));
    // Removed parts do not count, as long as the record is read at all.
    assert_eq!(code(anonymiser.anonymise(&value(&event("big", 11_000_000)))), Ok(2));
    assert_eq!(
        code(anonymiser.anonymise(&value(&event("big", MAX_RECORD_BYTES)))),
        Err(RejectCode::TooLarge)
    );
    assert_eq!(code(anonymiser.anonymise(&Raw { value: None, ..value(b"") })), Err(RejectCode::Tombstone));
}

#[test]
fn codes_are_stable_and_distinct() {
    let texts: std::collections::BTreeSet<&str> = RejectCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(texts.len(), RejectCode::ALL.len());
    assert!(
        texts
            .iter()
            .all(|text| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte == b'8'))
    );
}

#[test]
fn debug_output_has_no_content() {
    let raw = Raw { key: Some(b"u1"), ..value(b"{\"a\":\"u2\"}") };
    let out =
        anonymiser("forward = \"all\"\nkey = \"forward\"").anonymise(&raw).expect("an event that passes");
    assert_eq!(format!("{out:?}"), "Anonymised { bytes: 10, headers: 0, key_id: None, .. }");
    assert_eq!(out.size(), 10 + "kafka.key".len() + 2);
}
