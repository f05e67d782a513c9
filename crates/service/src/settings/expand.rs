//! `${env:NAME}` and `${file:PATH}` in string values, so that secrets need not be in the file.
//!
//! One newline at the end of an included file is removed; its path is relative to the configuration's folder. The
//! inserted text is not expanded again. `$${` is a literal `${`. Errors name the variable or the file, never a content.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{SettingsError, overrides::PREFIX, source::CONFIG_VARIABLE};

/// The inputs of an expansion: the environment, and the folder of the file.
pub(crate) struct Context {
    variables: BTreeMap<String, String>,
    dir: PathBuf,
}

impl Context {
    pub(crate) fn new(variables: impl IntoIterator<Item = (String, String)>, dir: PathBuf) -> Self {
        Self { variables: variables.into_iter().collect(), dir }
    }

    pub(crate) fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The expanded text.
    pub(crate) fn expand(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if let Some(before) = rest[..at].strip_suffix('$') {
                expanded.push_str(before);
                expanded.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            expanded.push_str(&rest[..at]);
            let (reference, after) = rest[at + 2..]
                .split_once('}')
                .ok_or("unclosed ${; expected ${env:NAME} or ${file:PATH}, or $${ for a literal ${")?;
            expanded.push_str(&self.look_up(reference)?);
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn look_up(&self, reference: &str) -> Result<String, String> {
        match reference.split_once(':') {
            Some(("env", name)) => self
                .variables
                .get(name)
                .cloned()
                .ok_or_else(|| format!("${{env:{name}}}: variable {name} is not set or not UTF-8")),
            Some(("file", path)) => {
                let content = std::fs::read_to_string(self.dir.join(path))
                    .map_err(|error| format!("${{file:{path}}}: cannot read the file: {error}"))?;
                let line = content.strip_suffix('\n').unwrap_or(&content);
                Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
            }
            _ => {
                Err("invalid ${...}; expected ${env:NAME} or ${file:PATH}, or $${ for a literal ${"
                    .to_owned())
            }
        }
    }
}

/// Whether this text contains anything to expand.
pub(crate) fn is_template(text: &str) -> bool {
    text.replace("$${", " ").contains("${")
}

/// The environment of the process. Names and values that are not UTF-8 are left out, except those with our prefix.
pub(crate) fn process_variables() -> Result<Vec<(String, String)>, SettingsError> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => variables.push((name, value)),
            (Ok(name), Err(_)) if name.starts_with(PREFIX) && name != CONFIG_VARIABLE => {
                return Err(SettingsError::At { place: name, problem: "the value is not UTF-8".to_owned() });
            }
            _ => {}
        }
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn context() -> Context {
        Context::new([("NAME".to_owned(), "${env:NAME}".to_owned())], PathBuf::from("."))
    }

    proptest! {
        #[test]
        fn escaped_text_is_unchanged(text in "[${}:a]{0,12}|.{0,20}") {
            let escaped = text.replace("${", "$${");
            prop_assert!(!is_template(&escaped));
            prop_assert_eq!(context().expand(&escaped), Ok(text));
        }

        #[test]
        fn expansions_are_not_expanded_again(before in "[a-z}]{0,5}", after in "[a-z}]{0,5}") {
            let template = format!("{before}${{env:NAME}}{after}");
            prop_assert!(is_template(&template));
            prop_assert_eq!(context().expand(&template), Ok(format!("{before}${{env:NAME}}{after}")));
        }

        #[test]
        fn any_text_expands_or_fails(text in "[${}:envfil]{0,20}") {
            let _ = context().expand(&text);
        }
    }
}
