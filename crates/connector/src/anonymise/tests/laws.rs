//! Properties over arbitrary events and declarations: the output equals that of a naive recursion over a tree, and no
//! declared value is published unchanged.

use std::collections::HashMap;

use event::{Pattern, pointer::Step};
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::*;

const NAMES: [&str; 6] = ["a", "b", "c", "0", "1", "ü"];

fn name() -> impl Strategy<Value = String> {
    proptest::sample::select(NAMES.map(str::to_owned).to_vec())
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<i16>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        any::<String>().prop_map(Value::from),
    ]
}

fn members(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    proptest::collection::hash_map(name(), inner, 0..5)
        .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>()))
}

fn event() -> impl Strategy<Value = Value> {
    let inner = leaf().prop_recursive(3, 30, 4, |inner| {
        prop_oneof![proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from), members(inner)]
    });
    members(inner)
}

fn patterns(most: usize) -> impl Strategy<Value = Vec<Pattern>> {
    let step = prop_oneof![4 => name(), 1 => Just("*".to_owned())];
    let pattern = proptest::collection::vec(step, 1..4)
        .prop_map(|steps| format!("/{}", steps.join("/")).parse::<Pattern>().expect("a pattern"));
    proptest::collection::vec(pattern, 0..=most)
}

fn section() -> impl Strategy<Value = AnonymiseSettings> {
    let forward = prop_oneof![Just(Forward::All), patterns(4).prop_map(Forward::List)];
    (patterns(2), patterns(2), patterns(1), forward).prop_map(
        |(pseudonymise, remove, strip_query, forward)| AnonymiseSettings {
            pseudonymise: pseudonymise.into(),
            remove,
            strip_query,
            forward,
            ..settings("forward = \"all\"")
        },
    )
}

/// Whether the first steps of a pattern lead to a field.
fn leads(pattern: &Pattern, place: &[String]) -> bool {
    let fits = |(step, name): (&Step, &String)| match step {
        Step::Any => true,
        Step::Name(step) => **step == **name,
    };
    pattern.steps().len() >= place.len() && pattern.steps().iter().zip(place).all(fits)
}

fn is(pattern: &Pattern, place: &[String]) -> bool {
    pattern.steps().len() == place.len() && leads(pattern, place)
}

fn forwarded(section: &AnonymiseSettings, place: &[String]) -> bool {
    match &section.forward {
        Forward::All => true,
        Forward::List(list) => list.iter().any(|p| (1..=place.len()).any(|end| is(p, &place[..end]))),
    }
}

/// The anonymiser again, as a recursion over a tree that looks up every pattern at every field: the forwarded value,
/// `None` if nothing is forwarded, an error for a shape that a pattern does not expect.
fn naive(section: &AnonymiseSettings, value: &Value, place: &mut Vec<String>) -> Result<Option<Value>, ()> {
    let list = if let Forward::List(list) = &section.forward { list.as_slice() } else { &[] };
    let (covered, top) = (forwarded(section, place), place.is_empty());
    let on_the_way = list.iter().any(|p| p.steps().len() > place.len() && leads(p, place));
    if section.remove.iter().any(|p| is(p, place)) || !(covered || on_the_way || top) {
        return Ok(None);
    }
    if value.is_null() {
        return Ok(covered.then_some(Value::Null));
    }
    let lists = [&section.pseudonymise.patterns, &section.remove, &section.strip_query].map(Vec::as_slice);
    for further in lists
        .iter()
        .chain([&list])
        .flat_map(|list| list.iter())
        .filter(|p| p.steps().len() > place.len() && leads(p, place))
    {
        // If nothing of an event is forwarded, no pattern decides at its top level.
        let decides = covered || on_the_way;
        let by_name =
            matches!(&further.steps()[place.len()], Step::Name(name) if name.parse::<usize>().is_err());
        if decides && (!(value.is_array() || value.is_object()) || value.is_array() && by_name) {
            return Err(());
        }
    }
    if section.pseudonymise.patterns.iter().any(|p| is(p, place)) {
        return match value {
            Value::String(text) => Ok(Some(pseudonym_of(text))),
            Value::Bool(bool) => Ok(Some(pseudonym_of(&bool.to_string()))),
            Value::Number(number) => {
                let text = number.to_string();
                Ok(Some(pseudonym_of(&crate::anonymise::number::canonical(&text).ok_or(())?)))
            }
            _ => Err(()),
        };
    }
    if section.strip_query.iter().any(|p| is(p, place)) {
        let text = value.as_str().ok_or(())?;
        return Ok(Some(Value::from(crate::anonymise::url::strip(text).ok_or(())?.into_owned())));
    }
    let mut inner = |name: String, value: &Value| {
        place.push(name);
        let passed = naive(section, value, place);
        place.pop();
        passed
    };
    match value {
        Value::Array(elements) => {
            let mut passed = Vec::new();
            for (index, element) in elements.iter().enumerate() {
                passed.push(inner(index.to_string(), element)?);
            }
            // A dropped element keeps the index of those after it.
            while passed.pop_if(|last| last.is_none()).is_some() {}
            Ok(Some(passed.into_iter().map(Option::unwrap_or_default).collect()))
        }
        Value::Object(members) => {
            let mut passed = Map::new();
            for (name, member) in members {
                if let Some(value) = inner(name.clone(), member)? {
                    passed.insert(name.clone(), value);
                }
            }
            Ok(Some(Value::Object(passed)))
        }
        scalar => Ok(Some(scalar.clone())),
    }
}

fn pseudonym_of(text: &str) -> Value {
    thread_local!(static KEYS: Arc<Keyring> = keyring(1));
    KEYS.with(|keys| Value::from(keys.keys()[0].pseudonym(text).map(char::from).iter().collect::<String>()))
}

fn rules(section: &AnonymiseSettings) -> Option<Anonymiser> {
    thread_local!(static KEYS: Arc<Keyring> = keyring(1));
    KEYS.with(|keys| Anonymiser::new(section, None, Some(Arc::clone(keys)))).ok()
}

const CANARY: &str = "canary-31415926535";
const NUMBER: i64 = 314_159_265_358;

/// Whether nothing at or below a field is forwarded.
fn dropped(section: &AnonymiseSettings, place: &[String]) -> bool {
    let leads_on = match &section.forward {
        Forward::All => true,
        Forward::List(list) => list.iter().any(|p| leads(p, place)),
    };
    !leads_on && !forwarded(section, place)
}

/// Inserts canaries wherever the section protects a scalar, and as names where it protects a member, each followed by
/// `tail`; returns their number.
fn plant(
    section: &AnonymiseSettings,
    value: &mut Value,
    place: &mut Vec<String>,
    hidden: bool,
    tail: &str,
) -> usize {
    let hidden = hidden || section.remove.iter().any(|p| is(p, place));
    let protected =
        hidden || section.pseudonymise.patterns.iter().any(|p| is(p, place)) || !forwarded(section, place);
    let mut inner = |name: String, value: &mut Value| {
        place.push(name);
        let planted = plant(section, value, place, hidden, tail);
        place.pop();
        planted
    };
    match value {
        Value::Array(elements) => elements.iter_mut().enumerate().map(|(i, v)| inner(i.to_string(), v)).sum(),
        Value::Object(members) => {
            let mut planted = members.iter_mut().map(|(name, v)| inner(name.clone(), v)).sum();
            place.push(format!("{CANARY}{tail}"));
            let is_removed = section.remove.iter().any(|p| is(p, place));
            if hidden || is_removed || dropped(section, place) {
                members.insert(format!("{CANARY}{tail}"), Value::from(vec![CANARY; 3]));
                planted += 1;
            }
            place.pop();
            planted
        }
        scalar if protected => {
            *scalar =
                if scalar.is_number() { Value::from(NUMBER) } else { Value::from(format!("{CANARY}{tail}")) };
            1
        }
        _ => 0,
    }
}

/// Objects as text, with duplicate names, escapes in names, and spaces.
fn text() -> impl Strategy<Value = String> {
    let name = || proptest::sample::select(vec!["a", "b", "c", "0", "1", "\\u0061", "ü"]);
    let space = || proptest::sample::select(vec!["", "", "", " "]);
    let object = move |value: BoxedStrategy<String>| {
        let member =
            (name(), space(), value).prop_map(|(name, space, value)| format!("\"{name}\"{space}:{value}"));
        (space(), proptest::collection::vec(member, 0..6))
            .prop_map(|(space, members)| format!("{{{space}{}}}", members.join(",")))
            .boxed()
    };
    let leaf =
        proptest::sample::select(vec!["null", "true", "7", "\"x\"", "{}", "[]"]).prop_map(str::to_owned);
    let inner = leaf.prop_recursive(3, 20, 4, move |inner| {
        let array =
            proptest::collection::vec(inner.clone(), 0..3).prop_map(|all| format!("[{}]", all.join(",")));
        prop_oneof![array, object(inner.boxed())]
    });
    object(inner.boxed())
}

/// The canary as it may be written in an event: with escapes in lower or upper case.
fn escapes(capital: bool) -> String {
    let escape = |byte| if capital { format!("\\u{byte:04X}") } else { format!("\\u{byte:04x}") };
    CANARY.bytes().map(escape).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn output_matches_a_plain_recursion(section in section(), event in event(), written in 0..4_u8) {
        let Some(mut anonymiser) = rules(&section) else { return Ok(()) };
        let payload = match written {
            0 => event.to_string(),
            1 => format!("{event:#}"),
            2 => format!("\u{feff}{event}"),
            // As names and in texts.
            _ => event.to_string().replace('a', "\\u0061").replace('ü', "\\u00FC"),
        };
        // Within `true` and `false`, and after a backslash, it is not an escape.
        prop_assume!(serde_json::from_str::<Value>(payload.trim_start_matches('\u{feff}')).is_ok_and(|same| same == event));
        let expect = naive(&section, &event, &mut Vec::new());
        match anonymiser.anonymise(&value(payload.as_bytes())) {
            Ok(out) => {
                let ours: Value = serde_json::from_slice(out.data()).expect("JSON");
                prop_assert_eq!(Ok(Some(ours)), expect, "{:?} {}", section, payload);
            }
            Err(reject) => {
                prop_assert!(expect.is_err(), "{} {:?} {}", reject, section, payload);
                prop_assert!(matches!(reject.code, RejectCode::UnexpectedShape | RejectCode::Number | RejectCode::NotAUrl));
            }
        }
    }

    /// An anonymiser remembers the order of members.
    #[test]
    fn earlier_events_change_nothing(
        section in section(),
        texts in proptest::collection::vec(text(), 1..5),
        turns in proptest::collection::vec(any::<proptest::sample::Index>(), 1..100),
    ) {
        let Some(mut used) = rules(&section) else { return Ok(()) };
        let new = used.clone();
        let result = |anonymiser: &mut Anonymiser, text: &str| {
            anonymiser.anonymise(&value(text.as_bytes())).map(|out| out.data().to_vec()).map_err(|reject| format!("{reject:?}"))
        };
        let expected: Vec<_> = texts.iter().map(|text| result(&mut new.clone(), text)).collect();
        for turn in turns {
            let turn = turn.index(texts.len());
            prop_assert_eq!(&result(&mut used, &texts[turn]), &expected[turn], "{:?} {}", section, texts[turn]);
        }
    }

    #[test]
    fn no_canary_is_published(
        section in section(),
        mut event in event(),
        written in 0..4_u8,
        tail in prop_oneof![4 => any::<String>(), 1 => (0..5_000_usize).prop_map(|length| "x".repeat(length))],
    ) {
        let Some(mut anonymiser) = rules(&section) else { return Ok(()) };
        plant(&section, &mut event, &mut Vec::new(), false, &tail);
        let payload = match written {
            0 => event.to_string(),
            1 => format!("{event:#}"),
            // Names, too.
            capital => event.to_string().replace(CANARY, &escapes(capital == 2)),
        };
        let raw = Raw { key: Some(CANARY.as_bytes()), headers: &[("user", CANARY.as_bytes())], ..value(payload.as_bytes()) };
        let out = match anonymiser.anonymise(&raw) {
            Ok(out) => [out.data(), format!("{out:?}{:?}{:?}", out.kafka_key(), out.headers()).as_bytes()].concat(),
            Err(reject) => format!("{reject} {reject:?}").into_bytes(),
        };
        for text in [CANARY, &escapes(false), &NUMBER.to_string()] {
            prop_assert!(!holds(&out, text), "{:?} {}", section, payload);
        }
    }

    #[test]
    fn broken_bytes_never_pass(section in section(), event in event(), cut in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let Some(mut anonymiser) = rules(&section) else { return Ok(()) };
        let mut payload = event.to_string().into_bytes();
        let at = cut.index(payload.len());
        payload[at] = byte;
        if let Ok(out) = anonymiser.anonymise(&value(&payload)) {
            // Not a `Value`, which rejects numbers beyond a double, although they are forwarded as they are written.
            for json in [out.data(), &payload] {
                prop_assert!(serde_json::from_slice::<HashMap<String, IgnoredAny>>(json).is_ok());
            }
        }
    }
}
