//! The settings as they are written, for display. `${...}` is never expanded.

use super::{
    key::{Key, Segment},
    tree::{Node, Origin, Table, Value},
};

/// One value as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its key, such as `flows[0].window.period`.
    pub key: String,
    /// The value; [`HIDDEN`] where it may be a secret.
    pub value: String,
    /// Its line in the file.
    pub line: Option<usize>,
    /// The variable that it is from.
    pub variable: Option<String>,
}

/// Shown instead of a value that may be a secret.
pub const HIDDEN: &str = "(set)";

/// Every value with its key, in the order of the file. Of keys that are not `public`, only whether they are set.
pub(crate) fn all(root: &Table, public: &dyn Fn(&str) -> bool) -> Vec<Shown> {
    let mut shown = Vec::new();
    table(root, &Key::default(), public, &mut shown);
    shown
}

fn table(table: &Table, at: &Key, public: &dyn Fn(&str) -> bool, shown: &mut Vec<Shown>) {
    for entry in &table.entries {
        node(&entry.node, &below(at, Segment::Key(entry.key.clone())), public, shown);
    }
}

fn node(value: &Node, at: &Key, public: &dyn Fn(&str) -> bool, shown: &mut Vec<Shown>) {
    match &value.value {
        Value::Table(inner) => table(inner, at, public, shown),
        Value::List(items) if items.iter().any(|item| matches!(item.value, Value::Table(_))) => {
            for (place, item) in items.iter().enumerate() {
                node(item, &below(at, Segment::Index(place)), public, shown);
            }
        }
        simple => {
            let key = at.to_string();
            let text = text(simple);
            // An address may contain a password.
            let has_user = text.contains("://") && text.contains('@');
            let value_text = if public(&key) && !has_user { text } else { HIDDEN.to_owned() };
            let (line, variable) = match &value.origin {
                Origin::Line(line) => (Some(*line), None),
                Origin::Variable(name) => (None, Some(name.to_string())),
                Origin::File => (None, None),
            };
            shown.push(Shown { key, value: value_text, line, variable });
        }
    }
}

fn below(at: &Key, segment: Segment) -> Key {
    Key(at.0.iter().cloned().chain([segment]).collect())
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) | Value::Time(text) | Value::Untyped(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::List(items) => items.iter().map(|item| text(&item.value)).collect::<Vec<_>>().join(", "),
        Value::Table(_) | Value::Omitted => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use crate::Settings;

    #[test]
    fn possible_secrets_are_not_shown() {
        let file = "[kafka]\ntopics = [\"a\", \"b\"]\ngroup_id = \"${env:GROUP}\"\n[kafka.properties]\n\
                    \"sasl.password\" = \"canary\"\n\"session.timeout.ms\" = 6000\n[[flows]]\nname = \"x\"\n\
                    window = { size = \"1m\" }\n[pubsub]\nemulator_host = \"http://me:canary@host\"\n";
        let variables = [
            ("GROUP".to_owned(), "canary".to_owned()),
            ("AQUEDUCT__KAFKA__START".to_owned(), "latest".to_owned()),
        ];
        let settings = Settings::parse(file, "a.toml".as_ref(), variables, &["kafka", "flows", "pubsub"]);
        let shown = settings.expect("settings").shown(&|key| !key.contains("password"));
        let text: Vec<String> = shown
            .iter()
            .map(|one| format!("{} = {} {:?}{:?}", one.key, one.value, one.line, one.variable))
            .collect();
        assert_eq!(
            text,
            [
                "kafka.topics = a, b Some(2)None",
                "kafka.group_id = ${env:GROUP} Some(3)None",
                "kafka.properties.\"sasl.password\" = (set) Some(5)None",
                "kafka.properties.\"session.timeout.ms\" = 6000 Some(6)None",
                "kafka.start = latest NoneSome(\"AQUEDUCT__KAFKA__START\")",
                "flows[0].name = x Some(8)None",
                "flows[0].window.size = 1m Some(9)None",
                "pubsub.emulator_host = (set) Some(11)None",
            ]
        );
    }
}
