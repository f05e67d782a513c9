//! The path to a field, in both versions of Kafka's syntax: a name, or names separated by points, with backticks around
//! a name that has points.

/// A path of at least one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldPath(pub(super) Vec<String>);

impl FieldPath {
    /// Version 1: the text is the name.
    pub(super) fn plain(text: &str) -> Self {
        Self(vec![text.to_owned()])
    }

    /// Version 2.
    ///
    /// # Errors
    /// A backtick without its partner.
    pub(super) fn dotted(text: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        let mut rest = text;
        loop {
            let Some(quoted) = rest.strip_prefix('`') else {
                match rest.split_once('.') {
                    None => {
                        steps.push(rest.to_owned());
                        return Ok(Self(steps));
                    }
                    Some((step, after)) => {
                        steps.push(step.to_owned());
                        rest = after;
                    }
                }
                continue;
            };
            let (step, after) = Self::quoted(quoted).ok_or_else(|| {
                let at = text.len() - rest.len();
                format!(
                    "Incomplete backtick pair in path: [{text}], consider adding a backslash before backtick at position {at} to escape it"
                )
            })?;
            steps.push(step);
            match after {
                None => return Ok(Self(steps)),
                Some(after) => rest = after,
            }
        }
    }

    /// The name up to the closing backtick, and what follows the point after it. Inside a name, a backtick that no point
    /// follows is part of it, and so is one after a backslash.
    fn quoted(text: &str) -> Option<(String, Option<&str>)> {
        let (mut step, mut start, mut from) = (String::new(), 0, 0);
        loop {
            let at = from + text[from..].find('`')?;
            let is_escaped = at > 0 && text.as_bytes()[at - 1] == b'\\';
            match text.as_bytes().get(at + 1) {
                None if is_escaped => return None,
                None => {
                    step.push_str(&text[start..at]);
                    return Some((step, None));
                }
                Some(b'.') if is_escaped => {
                    step.push_str(&text[start..at - 1]);
                    step.push('`');
                    start = at + 1;
                }
                Some(b'.') => {
                    step.push_str(&text[start..at]);
                    return Some((step, Some(&text[at + 2..])));
                }
                Some(_) => {}
            }
            from = at + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_kafka() {
        let steps = |text: &str| FieldPath::dotted(text).map(|path| path.0).unwrap_or_default();
        assert_eq!(steps("a"), ["a"]);
        assert_eq!(steps("a.b.c"), ["a", "b", "c"]);
        assert_eq!(steps("`a.b`.c"), ["a.b", "c"]);
        assert_eq!(steps("a.`b.c`"), ["a", "b.c"]);
        assert_eq!(steps("`a`b`.c"), ["a`b", "c"]);
        assert_eq!(steps("`a\\`.b`.c"), ["a`.b", "c"]);
        assert_eq!(steps("a."), ["a", ""]);
        assert!(FieldPath::dotted("`a.b").is_err() && FieldPath::dotted("`a\\`").is_err());
        assert_eq!(FieldPath::plain("a.b").0, ["a.b"]);
    }
}
