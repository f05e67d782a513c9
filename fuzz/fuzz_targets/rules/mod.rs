//! Declarations for the anonymiser, and what they leave of an event by a second reading: every declaration is looked up
//! at every place. The anonymiser's own sources are compiled in (see Cargo.toml).

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, LazyLock},
};

use serde::Deserialize as _;
use serde_json::Value;
use url::{Position, Url};

use crate::{
    anonymise::{AnonymiseSettings, Anonymiser},
    keyring::Keyring,
};

/// What is declared; pointers of one list never meet those of another below the same place.
pub struct Declared {
    /// Also fields of the tag `PII`.
    pub tagged: &'static [&'static str],
    pub pseudonymise: &'static [&'static str],
    pub remove: &'static [&'static str],
    pub strip_query: &'static [&'static str],
    /// Nothing for all.
    pub forward: Option<&'static [&'static str]>,
}

static KEYS: LazyLock<Arc<Keyring>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.toml");
    let text = "[[keys]]\nid = \"k\"\nsecret = \"CwsLCwsLCwsLCwsLCwsLCwsLCwsLCwsLCwsLCwsLCws=\"\n";
    fs::write(&path, text).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    Arc::new(Keyring::load(&path).expect("a keyring"))
});

impl Declared {
    pub fn anonymiser(&self) -> Anonymiser {
        let mut pseudonymise = self.pseudonymise.to_vec();
        let mut section = String::new();
        if !self.tagged.is_empty() {
            pseudonymise.push("tag:PII");
            section.push_str("key = \"pseudonymise\"\n");
        }
        section += &format!(
            "pseudonymise = {pseudonymise:?}\nremove = {:?}\nstrip_query = {:?}\n",
            self.remove, self.strip_query
        );
        section += &self.forward.map_or("forward = \"all\"".to_owned(), |list| format!("forward = {list:?}"));
        let settings: AnonymiseSettings = toml::from_str(&section).expect("settings");
        Anonymiser::new(&settings, None, Some(Arc::clone(&KEYS))).expect("rules")
    }
}

pub fn json(bytes: &[u8]) -> Value {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    // The anonymiser's own bound is the one that is tried.
    reader.disable_recursion_limit();
    let value = Value::deserialize(&mut reader).expect("what passes is JSON");
    reader.end().expect("what passes is one value");
    value
}

/// What may be left of a value, by looking up every declaration at every place.
pub fn expect(declared: &Declared, value: &Value, place: &mut Vec<String>) -> Option<Value> {
    if at(declared.remove, place) {
        return None;
    }
    let covered = declared
        .forward
        .is_none_or(|list| (1..=place.len()).any(|end| list.iter().any(|p| is(p, &place[..end]))));
    let leads = declared.forward.is_some_and(|list| list.iter().any(|p| leads(p, place)));
    if !covered && !leads && !place.is_empty() || !covered && value.is_null() {
        return None;
    }
    if (at(declared.pseudonymise, place) || at(declared.tagged, place)) && !value.is_null() {
        return Some(pseudonym(value));
    }
    if at(declared.strip_query, place) && !value.is_null() {
        let text = value.as_str().expect("only texts are URLs");
        return Some(Value::from(stripped(text)));
    }
    let mut inner = |name: String, value: &Value| {
        place.push(name);
        let left = expect(declared, value, place);
        place.pop();
        left
    };
    Some(match value {
        Value::Array(all) => {
            let mut left: Vec<_> = all.iter().enumerate().map(|(n, v)| inner(n.to_string(), v)).collect();
            // What does not pass holds the place of what does behind it.
            while left.pop_if(|last| last.is_none()).is_some() {}
            left.into_iter().map(Option::unwrap_or_default).collect()
        }
        Value::Object(all) => {
            all.iter().filter_map(|(name, v)| Some((name.clone(), inner(name.clone(), v)?))).collect()
        }
        scalar => scalar.clone(),
    })
}

fn at(list: &[&str], place: &[String]) -> bool {
    list.iter().any(|pattern| is(pattern, place))
}

fn is(pattern: &str, place: &[String]) -> bool {
    pattern.split('/').skip(1).count() == place.len() && leads(pattern, place)
}

fn leads(pattern: &str, place: &[String]) -> bool {
    let steps: Vec<&str> = pattern.split('/').skip(1).collect();
    steps.len() >= place.len() && steps.iter().zip(place).all(|(step, name)| *step == "*" || step == name)
}

pub fn pseudonym(value: &Value) -> Value {
    let key = &KEYS.keys()[0];
    let of = |text: &str| Value::from(key.pseudonym(text).map(char::from).iter().collect::<String>());
    match value {
        Value::String(text) => of(text),
        Value::Bool(bool) => of(&bool.to_string()),
        Value::Number(number) => of(&plain(&number.to_string())),
        _ => panic!("an array or object became a pseudonym"),
    }
}

/// The decimal text of a number, by moving its point digit by digit.
fn plain(number: &str) -> String {
    let lower = number.to_lowercase();
    let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let (mut whole, mut fraction) = (whole.to_owned(), fraction.to_owned());
    if whole.chars().chain(fraction.chars()).all(|digit| digit == '0') {
        return "0".to_owned();
    }
    let exponent: i64 = exponent.parse().expect("longer exponents were refused");
    for _ in 0..exponent.abs() {
        if exponent > 0 {
            whole.push(if fraction.is_empty() { '0' } else { fraction.remove(0) });
        } else {
            fraction.insert(0, whole.pop().unwrap_or('0'));
        }
    }
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// A URL without query, fragment and user.
fn stripped(text: &str) -> String {
    let cut = &text[..text.find(['?', '#']).unwrap_or(text.len())];
    if !text.contains('@') {
        return cut.to_owned();
    }
    let base: Url = "https://base.invalid/".parse().expect("an absolute URL");
    let absolute = Url::parse(cut);
    let is_relative = absolute.is_err();
    let mut url = absolute.or_else(|_| base.join(cut)).expect("what passes could be read");
    if url.username().is_empty() && url.password().is_none() {
        return cut.to_owned();
    }
    url.set_username("").expect("a URL with a user has a host");
    url.set_password(None).expect("a URL with a user has a host");
    assert!(url.query().is_none() && url.fragment().is_none());
    if is_relative { url[Position::BeforeHost..].replacen("", "//", 1) } else { url.into() }
}
