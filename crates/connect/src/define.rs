//! Definitions of configuration keys, and their validation with Kafka's rules and Kafka's messages, which consoles show.
//!
//! ```
//! use connect::define::{Key, Kind, Values};
//!
//! let keys = [Key::new("tasks.max", Kind::Int).with_default("1").at_least(1)];
//! let given = [("tasks.max".to_owned(), "0".to_owned())].into();
//! let values = Values::of(&keys, &given);
//! assert_eq!(values.errors().count(), 1);
//! ```

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;

/// A configuration as it is given: names and values.
pub type Config = BTreeMap<String, String>;

/// The type of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    /// Text.
    String,
    /// 16 bits.
    Short,
    /// 32 bits.
    Int,
    /// 64 bits.
    Long,
    /// `true` or `false`.
    Boolean,
    /// Texts, separated by commas.
    List,
    /// The name of a class.
    Class,
    /// Text that is never shown.
    Password,
}

/// How much a key matters, for consoles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Importance {
    /// Most users set it.
    High,
    /// Some do.
    Medium,
    /// Few do.
    Low,
}

/// The definition of a key, in the shape of Connect's REST interface.
#[derive(Clone, Debug, Serialize)]
pub struct Key {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Whether it has to be given.
    pub required: bool,
    /// What it is otherwise; `None` is null.
    pub default_value: Option<Cow<'static, str>>,
    /// How much it matters.
    pub importance: Importance,
    /// What it does.
    pub documentation: Cow<'static, str>,
    /// The group in which consoles show it.
    pub group: Option<Cow<'static, str>>,
    /// Its place in the group; -1 without a group.
    pub order_in_group: i32,
    /// The width of its field in consoles.
    pub width: &'static str,
    /// Its title in consoles.
    pub display_name: Cow<'static, str>,
    /// Keys whose values depend on this one.
    pub dependents: Vec<String>,
    #[serde(skip)]
    checks: Vec<Check>,
    /// Its name in messages, if it is not the one without a prefix.
    #[serde(skip)]
    shown: Option<String>,
}

#[derive(Clone, Debug)]
enum Check {
    AtLeast(i64),
    AtMost(i64),
    OneOf(&'static [&'static str]),
    OneOfLower(&'static [&'static str]),
    NotEmpty,
    ListNotEmpty,
    Unique,
    Custom(fn(&str) -> Result<(), String>),
}

/// One key with its value and what is wrong with it, as `/config/validate` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Value {
    /// The key.
    pub name: String,
    /// As given, or the default. `None` is null.
    pub value: Option<String>,
    /// Values among which a user can choose.
    pub recommended_values: Vec<String>,
    /// What is wrong with it.
    pub errors: Vec<String>,
    /// Whether consoles show it.
    pub visible: bool,
}

/// Keys with their values.
#[derive(Clone, Debug, Default)]
pub struct Values {
    /// In the order of their definitions.
    pub all: Vec<(Key, Value)>,
}

impl Key {
    /// A required key without a group.
    pub fn new(name: impl Into<Cow<'static, str>>, kind: Kind) -> Self {
        let name = name.into();
        Self {
            display_name: name.clone(),
            name,
            kind,
            required: true,
            default_value: None,
            importance: Importance::Medium,
            documentation: Cow::Borrowed(""),
            group: None,
            order_in_group: -1,
            width: "NONE",
            dependents: Vec::new(),
            checks: Vec::new(),
            shown: None,
        }
    }

    /// With a default.
    #[must_use]
    pub fn with_default(self, value: impl Into<Cow<'static, str>>) -> Self {
        Self { required: false, default_value: Some(value.into()), ..self }
    }

    /// Not required, and null if it is not given.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { required: false, default_value: None, ..self }
    }

    /// With this importance.
    #[must_use]
    pub fn importance(self, importance: Importance) -> Self {
        Self { importance, ..self }
    }

    /// With this documentation.
    #[must_use]
    pub fn doc(self, documentation: impl Into<Cow<'static, str>>) -> Self {
        Self { documentation: documentation.into(), ..self }
    }

    /// In a group.
    #[must_use]
    pub fn group(
        self,
        group: impl Into<Cow<'static, str>>,
        order: i32,
        width: &'static str,
        title: impl Into<Cow<'static, str>>,
    ) -> Self {
        let group = Some(group.into());
        Self { group, order_in_group: order, width, display_name: title.into(), ..self }
    }

    /// With a title and a width, and no group.
    #[must_use]
    pub fn titled(self, width: &'static str, title: impl Into<Cow<'static, str>>) -> Self {
        Self { width, display_name: title.into(), ..self }
    }

    /// A number of at least this.
    #[must_use]
    pub fn at_least(self, least: i64) -> Self {
        self.check(Check::AtLeast(least))
    }

    /// A number of at most this.
    #[must_use]
    pub fn at_most(self, most: i64) -> Self {
        self.check(Check::AtMost(most))
    }

    /// One of these texts.
    #[must_use]
    pub fn one_of(self, texts: &'static [&'static str]) -> Self {
        self.check(Check::OneOf(texts))
    }

    /// One of these texts, in any case. They are given in upper case.
    #[must_use]
    pub fn one_of_any_case(self, texts: &'static [&'static str]) -> Self {
        self.check(Check::OneOfLower(texts))
    }

    /// Not the empty text, or not the empty list.
    #[must_use]
    pub fn not_empty(self) -> Self {
        let check = if self.kind == Kind::List { Check::ListNotEmpty } else { Check::NotEmpty };
        self.check(check)
    }

    /// A list without repetitions.
    #[must_use]
    pub fn unique(self) -> Self {
        self.check(Check::Unique)
    }

    /// A text for which this returns no error.
    #[must_use]
    pub fn custom(self, check: fn(&str) -> Result<(), String>) -> Self {
        self.check(Check::Custom(check))
    }

    /// With a prefix before its name.
    #[must_use]
    pub fn prefixed(self, prefix: &str) -> Self {
        let name = Cow::Owned(format!("{prefix}{}", self.name));
        Self { name, ..self }
    }

    /// With another name in messages.
    #[must_use]
    pub fn shown_as(self, name: String) -> Self {
        Self { shown: Some(name), ..self }
    }

    fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// Whether a text is a value of this type.
    pub fn parses(&self, text: &str) -> bool {
        match self.kind {
            Kind::Boolean => is_boolean(text),
            Kind::Short | Kind::Int | Kind::Long => self.kind.number(text).is_some(),
            Kind::String | Kind::List | Kind::Class | Kind::Password => true,
        }
    }

    /// What is wrong with a value. Messages name the key as `shown`: without the prefix of a transform, as Kafka's do.
    fn errors(&self, given: Option<&str>, shown: &str) -> Vec<String> {
        let Some(text) = given.or(self.default_value.as_deref()) else {
            let missing =
                || format!("Missing required configuration \"{shown}\" which has no default value.");
            return if self.required { vec![missing()] } else { Vec::new() };
        };
        let invalid = |reason: &str| format!("Invalid value {text} for configuration {shown}: {reason}");
        let number = match self.kind {
            Kind::Boolean if !is_boolean(text) => {
                return vec![invalid("Expected value to be either true or false")];
            }
            Kind::Short | Kind::Int | Kind::Long => match self.kind.number(text) {
                Some(number) => Some(number),
                None => {
                    let name = match self.kind {
                        Kind::Short => "SHORT",
                        Kind::Int => "INT",
                        _ => "LONG",
                    };
                    let null =
                        format!("Invalid value null for configuration {shown}: Value must be non-null");
                    let mut errors = vec![invalid(&format!("Not a number of type {name}"))];
                    // Kafka checks the bounds of the value that it did not get.
                    errors.extend((!self.checks.is_empty()).then_some(null));
                    return errors;
                }
            },
            _ => None,
        };
        let check = |check: &Check| match (check, number) {
            (Check::AtLeast(least), Some(number)) if number < *least => {
                Some(invalid(&format!("Value must be at least {least}")))
            }
            (Check::AtMost(most), Some(number)) if number > *most => {
                Some(invalid(&format!("Value must be no more than {most}")))
            }
            (Check::OneOf(texts), _) if !texts.contains(&text) => {
                Some(invalid(&format!("String must be one of: {}", texts.join(", "))))
            }
            (Check::OneOfLower(texts), _) if !texts.contains(&&*text.to_uppercase()) => {
                Some(invalid(&format!("String must be one of (case insensitive): {}", texts.join(", "))))
            }
            (Check::NotEmpty, _) if text.is_empty() => Some(invalid("String must be non-empty")),
            (Check::ListNotEmpty, _) if list(text).is_empty() => Some(format!(
                "Configuration '{shown}' must not be empty. Valid values include: any non-empty value"
            )),
            (Check::Unique, _) if list(text).iter().any(String::is_empty) => {
                Some(format!("Configuration '{shown}' values must not be empty."))
            }
            (Check::Unique, _) if has_repetitions(&list(text)) => {
                Some(format!("Configuration '{shown}' values must not be duplicated."))
            }
            (Check::Custom(check), _) => check(text).err(),
            _ => None,
        };
        self.checks.iter().filter_map(check).take(1).collect()
    }
}

impl Kind {
    fn number(self, text: &str) -> Option<i64> {
        let text = text.trim();
        match self {
            Self::Short => text.parse::<i16>().ok().map(i64::from),
            Self::Int => text.parse::<i32>().ok().map(i64::from),
            _ => text.parse().ok(),
        }
    }
}

impl Values {
    /// The values of these keys in a configuration, checked.
    pub fn of(keys: &[Key], config: &Config) -> Self {
        let mut values = Self::default();
        values.add(keys, config, "");
        values
    }

    /// Adds keys of a plugin whose names have a prefix in the configuration. The keys do not have it yet.
    pub fn add(&mut self, keys: &[Key], config: &Config, prefix: &str) {
        for key in keys {
            let shown = key.shown.clone().unwrap_or_else(|| key.name.clone().into_owned());
            let key = key.clone().prefixed(prefix);
            let given = config.get(&*key.name);
            let value = Value {
                name: key.name.clone().into_owned(),
                value: given.cloned().or_else(|| key.default_value.clone().map(Cow::into_owned)),
                recommended_values: Vec::new(),
                errors: key.errors(given.map(String::as_str), &shown),
                visible: true,
            };
            self.all.push((key, value));
        }
    }

    /// Adds an error to a key. A key that has no definition gets one, so that the error is shown.
    pub fn note(&mut self, name: &str, error: impl Into<String>) {
        let error = error.into();
        if let Some((_, value)) = self.all.iter_mut().find(|(key, _)| key.name == name) {
            value.errors.push(error);
            return;
        }
        let key = Key::new(name.to_owned(), Kind::String).optional();
        let value = Value {
            name: name.to_owned(),
            value: None,
            recommended_values: Vec::new(),
            errors: vec![error],
            visible: true,
        };
        self.all.push((key, value));
    }

    /// All errors, in the order of the definitions.
    pub fn errors(&self) -> impl Iterator<Item = &str> {
        self.all.iter().flat_map(|(_, value)| value.errors.iter().map(String::as_str))
    }

    /// Whether there is no error.
    pub fn is_valid(&self) -> bool {
        self.errors().next().is_none()
    }

    /// The value of a key; `None` if it is null.
    pub fn text(&self, name: &str) -> Option<&str> {
        let found = self.all.iter().find(|(key, _)| key.name == name);
        found.and_then(|(_, value)| value.value.as_deref())
    }

    /// The value of a number; 0 if it is invalid.
    pub fn number(&self, name: &str) -> i64 {
        self.text(name).and_then(|text| text.trim().parse().ok()).unwrap_or_default()
    }

    /// The value of a boolean.
    pub fn is_true(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| text.trim().eq_ignore_ascii_case("true"))
    }

    /// The value of a list.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.text(name).map(list).unwrap_or_default()
    }
}

/// Texts that are separated by commas, with the spaces around each removed.
pub fn list(text: &str) -> Vec<String> {
    let text = text.trim();
    if text.is_empty() {
        return Vec::new();
    }
    text.split(',').map(|part| part.trim().to_owned()).collect()
}

fn has_repetitions(texts: &[String]) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    !texts.iter().all(|text| seen.insert(text))
}

fn is_boolean(text: &str) -> bool {
    let text = text.trim();
    text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: Key, given: Option<&str>, expected: &[&str]) {
        let name = key.name.clone().into_owned();
        let config = given.map(|given| (name, given.to_owned())).into_iter().collect();
        assert_eq!(Values::of(&[key], &config).errors().collect::<Vec<_>>(), expected, "{given:?}");
    }

    /// The sentences are those of a real worker, which clients show.
    #[test]
    fn errors_are_those_of_a_real_worker() {
        let tasks = || Key::new("tasks.max", Kind::Int).with_default("1").at_least(1);
        check(tasks(), None, &[]);
        check(tasks(), Some(" 3 "), &[]);
        check(tasks(), Some("0"), &["Invalid value 0 for configuration tasks.max: Value must be at least 1"]);
        check(
            tasks(),
            Some("x"),
            &[
                "Invalid value x for configuration tasks.max: Not a number of type INT",
                "Invalid value null for configuration tasks.max: Value must be non-null",
            ],
        );
        check(
            Key::new("a", Kind::String),
            None,
            &["Missing required configuration \"a\" which has no default value."],
        );
        check(Key::new("a", Kind::String).optional(), None, &[]);
        check(
            Key::new("b", Kind::Boolean),
            Some("maybe"),
            &["Invalid value maybe for configuration b: Expected value to be either true or false"],
        );
        check(Key::new("b", Kind::Boolean), Some("TRUE"), &[]);
        check(
            Key::new("fields", Kind::List).not_empty(),
            Some(""),
            &["Configuration 'fields' must not be empty. Valid values include: any non-empty value"],
        );
        let limit = Key::new("n", Kind::Long).at_least(1).at_most(9_500_000);
        check(
            limit,
            Some("99999999"),
            &["Invalid value 99999999 for configuration n: Value must be no more than 9500000"],
        );
        let tolerance = Key::new("errors.tolerance", Kind::String).one_of(&["none", "all"]);
        check(
            tolerance,
            Some("some"),
            &["Invalid value some for configuration errors.tolerance: String must be one of: none, all"],
        );
    }

    #[test]
    fn lists_are_split_as_kafka_splits_them() {
        assert_eq!(list(" a , b,c "), ["a", "b", "c"]);
        assert_eq!(list(""), [""; 0]);
        assert_eq!(list("a,"), ["a", ""]);
    }
}
