//! A topic whose name has the value of a field in it: `topic = "events-{/country}"`.

use event::Pointer;

/// The parts of such a name.
///
/// ```
/// use pubsub::route::Route;
///
/// let route = Route::parse("events-{/country}").expect("it has braces").expect("they hold a pointer");
/// assert_eq!(route.pointer.as_str(), "/country");
/// assert_eq!(route.value("events-PL"), Some("PL"));
/// assert_eq!(route.name("PL"), "events-PL");
/// assert!(Route::parse("events").is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    before: String,
    /// Where the value is in the event.
    pub pointer: Pointer,
    after: String,
}

impl Route {
    /// Parses a topic name with a field in braces. `None` if the name has no braces; an error text if they are malformed.
    pub fn parse(topic: &str) -> Option<Result<Self, String>> {
        topic.contains(['{', '}']).then(|| Self::of(topic))
    }

    fn of(topic: &str) -> Result<Self, String> {
        let parts = topic.split_once('{').and_then(|(before, rest)| {
            let (pointer, after) = rest.split_once('}')?;
            (!format!("{before}{pointer}{after}").contains(['{', '}'])).then_some((before, pointer, after))
        });
        let (before, pointer, after) = parts
            .ok_or("expected one JSON pointer in braces, for example \"events-{/country}\"".to_owned())?;
        let pointer = pointer.parse::<Pointer>().map_err(|error| error.to_string())?;
        Ok(Self { before: before.to_owned(), pointer, after: after.to_owned() })
    }

    /// The value for which a topic is selected; `None` if no value selects it.
    pub fn value<'t>(&self, topic: &'t str) -> Option<&'t str> {
        let value = topic.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        (!value.is_empty()).then_some(value)
    }

    /// The name with this value.
    pub fn name(&self, value: &str) -> String {
        format!("{}{value}{}", self.before, self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_one_pointer() {
        for bad in ["{", "}", "a-{country}", "a-{/b}-{/c}", "a-{/b}}", "}{/b", "{{/b}}", "a-{/b"] {
            assert!(Route::parse(bad).is_some_and(|route| route.is_err()), "{bad}");
        }
        let route = Route::parse("a-{/b/c}-z").expect("braces").expect("a pointer");
        for (topic, value) in
            [("a-x-z", Some("x")), ("a--z", None), ("a-z", None), ("b-x-z", None), ("a-x", None)]
        {
            assert_eq!(route.value(topic), value, "{topic}");
        }
    }
}
