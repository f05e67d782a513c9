//! `RegexRouter`: another name of the topic. The sink shows it in `kafka.topic` only.

use std::borrow::Cow;

use super::{Built, JavaRegex, Options, Plugin, Transform, Verdict, java_regex::Replacement};
use crate::{
    data::{DataError, Record},
    define::{Importance, Key, Kind},
};

pub(super) const PLUGIN: Plugin = Plugin {
    class: "org.apache.kafka.connect.transforms.RegexRouter",
    has_parts: false,
    keys: || {
        let key = |name: &'static str, doc: &'static str| {
            Key::new(name, Kind::String).importance(Importance::High).doc(doc)
        };
        vec![
            key("regex", "The expression that the whole name of a topic must match.")
                .custom(|text| JavaRegex::new(text).map(drop)),
            key("replacement", "The new name, with $1 for the first group."),
        ]
    },
    build,
    protects: super::no_protection,
};

struct RegexRouter {
    regex: JavaRegex,
    replacement: Replacement,
    /// The last topic, and its new name.
    last: Option<(String, Option<String>)>,
}

fn build(options: &Options<'_>) -> Built {
    let regex =
        JavaRegex::new(options.text("regex").unwrap_or_default()).map_err(|problem| ("regex", problem))?;
    let replacement = regex.replacement(options.text("replacement").unwrap_or_default());
    let replacement = replacement.map_err(|problem| ("replacement", problem))?;
    Ok(Box::new(RegexRouter { regex, replacement, last: None }))
}

impl Transform for RegexRouter {
    fn apply(&mut self, record: &mut Record<'_>) -> Result<Verdict, DataError> {
        if self.last.as_ref().is_none_or(|(topic, _)| *topic != record.topic) {
            let name = self.regex.replaced(&record.topic, &self.replacement);
            self.last = Some((record.topic.clone().into_owned(), name));
        }
        if let Some((_, Some(name))) = &self.last {
            record.topic = Cow::Owned(name.clone());
        }
        Ok(Verdict::Keep)
    }
}
