//! Values that are in a file or in the environment: `${file:/run/secrets.properties:password}`, `${env:NAME}` and
//! `${directory:/run/secrets:password}`, with the names that `config.providers` gives them.
//!
//! A reference is kept where it is: the REST interface and the config topic show it, never its value.

use std::{collections::BTreeMap, env, fs, path::Path};

use crate::properties;

/// What a reference names, by the name of its provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Providers(BTreeMap<String, Provider>);

/// Where values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// A properties file; the key is one of its keys.
    File,
    /// The environment.
    Env,
    /// A directory; the key is the name of a file.
    Directory,
}

/// A reference that cannot be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// `config.providers` does not name it.
    #[error("config.providers has no provider {name:?}; add it to the worker's properties")]
    Unknown {
        /// The name in the reference.
        name: String,
    },
    /// The class is not one of the three.
    #[error(
        "config.providers.{name}.class: unknown class {class}; supported are FileConfigProvider, EnvVarConfigProvider and DirectoryConfigProvider"
    )]
    Class {
        /// The provider.
        name: String,
        /// The class.
        class: String,
    },
    /// The file, directory or variable does not exist, or has no such key.
    #[error("${{{reference}}} cannot be resolved; check the path, the key and the permissions")]
    Missing {
        /// What is between the braces.
        reference: String,
    },
}

/// The packages of Kafka's three providers.
const CLASSES: [(&str, Provider); 3] = [
    ("FileConfigProvider", Provider::File),
    ("EnvVarConfigProvider", Provider::Env),
    ("DirectoryConfigProvider", Provider::Directory),
];
const PACKAGE: &str = "org.apache.kafka.common.config.provider.";

impl Providers {
    /// The providers of a worker: `config.providers`, and the class of each.
    ///
    /// # Errors
    /// [`ProviderError::Class`].
    pub fn of(worker: &BTreeMap<String, String>) -> Result<Self, ProviderError> {
        let names = worker.get("config.providers").map(String::as_str).unwrap_or_default();
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        let provider = |name: &str| {
            let class = worker.get(&format!("config.providers.{name}.class")).map(String::as_str);
            let class = class.unwrap_or_default();
            let simple = class.strip_prefix(PACKAGE).unwrap_or(class);
            let found = CLASSES.iter().find(|(known, _)| *known == simple);
            let unknown = || ProviderError::Class { name: name.to_owned(), class: class.to_owned() };
            found.map(|(_, provider)| (name.to_owned(), *provider)).ok_or_else(unknown)
        };
        names.map(provider).collect::<Result<_, _>>().map(Self)
    }

    /// A value with its references resolved.
    ///
    /// # Errors
    /// The first reference that cannot be resolved.
    pub fn resolve(&self, value: &str) -> Result<String, ProviderError> {
        let mut out = String::with_capacity(value.len());
        let mut rest = value;
        while let Some(start) = rest.find("${") {
            let Some(length) = rest[start..].find('}') else { break };
            let reference = &rest[start + 2..start + length];
            out.push_str(&rest[..start]);
            match reference.split_once(':') {
                // A regular expression can have `${1}`, so only what looks like a reference is one.
                None => out.push_str(&rest[start..=start + length]),
                Some((name, path)) => out.push_str(&self.value(name, path, reference)?),
            }
            rest = &rest[start + length + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn value(&self, name: &str, rest: &str, reference: &str) -> Result<String, ProviderError> {
        let provider = self.0.get(name).ok_or_else(|| ProviderError::Unknown { name: name.to_owned() })?;
        let missing = || ProviderError::Missing { reference: reference.to_owned() };
        let (path, key) = rest.rsplit_once(':').unwrap_or(("", rest));
        match provider {
            Provider::Env => env::var(key).map_err(|_| missing()),
            Provider::File => {
                let entries = properties::parse(&fs::read(path).map_err(|_| missing())?);
                entries.ok().and_then(|entries| properties::map(entries).remove(key)).ok_or_else(missing)
            }
            // A key that could leave the directory names no file in it.
            Provider::Directory if key.is_empty() || key.contains('/') || key == ".." => Err(missing()),
            Provider::Directory => fs::read_to_string(Path::new(path).join(key)).map_err(|_| missing()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn providers() -> Providers {
        let worker = [
            ("config.providers", "file, env,dir"),
            ("config.providers.file.class", "org.apache.kafka.common.config.provider.FileConfigProvider"),
            ("config.providers.env.class", "EnvVarConfigProvider"),
            ("config.providers.dir.class", "org.apache.kafka.common.config.provider.DirectoryConfigProvider"),
        ];
        Providers::of(&worker.map(|(key, value)| (key.to_owned(), value.to_owned())).into()).expect("known")
    }

    #[test]
    fn references_are_resolved() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().display();
        fs::write(folder.path().join("f.properties"), "user=u\npassword = p\\=w\n").expect("a file");
        let resolve = |text: &str| providers().resolve(text);
        assert_eq!(resolve(&format!("a${{file:{path}/f.properties:password}}b")), Ok("ap=wb".to_owned()));
        assert_eq!(resolve(&format!("${{dir:{path}:f.properties}}")).map(|text| text.len()), Ok(23));
        assert_eq!(resolve("${env:PATH}"), Ok(env::var("PATH").expect("a path")));
        assert_eq!(resolve("a-${1}-${"), Ok("a-${1}-${".to_owned()));
        for missing in
            ["${env:NO_SUCH_VARIABLE}", "${file:/none:a}", "${dir:/etc:../passwd}", "${dir:/etc:..}"]
        {
            assert!(matches!(resolve(missing), Err(ProviderError::Missing { .. })), "{missing}");
        }
        assert!(matches!(resolve("${vault:a:b}"), Err(ProviderError::Unknown { .. })));
    }

    #[test]
    fn an_unknown_class_is_an_error() {
        let worker = [("config.providers", "v"), ("config.providers.v.class", "com.example.Vault")];
        let worker = worker.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        assert!(matches!(Providers::of(&worker), Err(ProviderError::Class { .. })));
    }
}
