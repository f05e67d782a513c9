//! Values that are in a file or in the environment: `${file:/run/secrets.properties:password}`, `${env:NAME}` and
//! `${directory:/run/secrets:password}`, with the names that `config.providers` gives them.
//!
//! A reference is kept where it is: the REST interface and the config topic show it, never its value.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Component, Path, PathBuf},
};

use crate::{properties, transforms::JavaRegex};

/// What a reference names, by the name of its provider.
#[derive(Clone, Debug, Default)]
pub struct Providers(BTreeMap<String, Provider>);

/// Where values are, and which of them references may name.
#[derive(Clone, Debug)]
struct Provider {
    kind: Kind,
    /// `allowed.paths`: the folders and files that may be read; `None` for all.
    allowed: Option<Vec<PathBuf>>,
    /// `allowlist.pattern`: the variables that may be read; `None` for all.
    pattern: Option<JavaRegex>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
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
    /// A parameter is not known, or has an invalid value.
    #[error(
        "config.providers.{name}.param.{parameter}: expected allowed.paths with absolute paths for files and directories, or allowlist.pattern with a regular expression for the environment"
    )]
    Parameter {
        /// The provider.
        name: String,
        /// The parameter.
        parameter: String,
    },
    /// The file, directory or variable does not exist, is not allowed, or has no such key.
    #[error(
        "${{{reference}}} cannot be resolved; check the path, the key, the permissions and the parameters of the provider"
    )]
    Missing {
        /// What is between the braces.
        reference: String,
    },
}

/// The packages of Kafka's three providers.
const CLASSES: [(&str, Kind); 3] = [
    ("FileConfigProvider", Kind::File),
    ("EnvVarConfigProvider", Kind::Env),
    ("DirectoryConfigProvider", Kind::Directory),
];
const PACKAGE: &str = "org.apache.kafka.common.config.provider.";

impl Providers {
    /// The providers of a worker: `config.providers`, and the class of each.
    ///
    /// # Errors
    /// [`ProviderError::Class`], [`ProviderError::Parameter`].
    pub fn of(worker: &BTreeMap<String, String>) -> Result<Self, ProviderError> {
        let names = worker.get("config.providers").map(String::as_str).unwrap_or_default();
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        let provider = |name: &str| {
            let class = worker.get(&format!("config.providers.{name}.class")).map(String::as_str);
            let class = class.unwrap_or_default();
            let simple = class.strip_prefix(PACKAGE).unwrap_or(class);
            let found = CLASSES.iter().find(|(known, _)| *known == simple);
            let unknown = || ProviderError::Class { name: name.to_owned(), class: class.to_owned() };
            let kind = found.map(|(_, kind)| *kind).ok_or_else(unknown)?;
            let mut provider = Provider { kind, allowed: None, pattern: None };
            let prefix = format!("config.providers.{name}.param.");
            for (key, value) in worker.iter().filter(|(key, _)| key.starts_with(&prefix)) {
                let parameter = &key[prefix.len()..];
                let wrong =
                    || ProviderError::Parameter { name: name.to_owned(), parameter: parameter.to_owned() };
                provider.limit(parameter, value).ok_or_else(wrong)?;
            }
            Ok((name.to_owned(), provider))
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
        if !provider.allows(path, key) {
            return Err(missing());
        }
        match provider.kind {
            Kind::Env => env::var(key).map_err(|_| missing()),
            Kind::File => {
                let entries = properties::parse(&fs::read(path).map_err(|_| missing())?);
                entries.ok().and_then(|entries| properties::map(entries).remove(key)).ok_or_else(missing)
            }
            // A key that could leave the directory names no file in it.
            Kind::Directory if key.is_empty() || key.contains('/') || key == ".." => Err(missing()),
            Kind::Directory => fs::read_to_string(Path::new(path).join(key)).map_err(|_| missing()),
        }
    }
}

impl Provider {
    /// Takes a parameter; `None` if it is not one of this provider.
    fn limit(&mut self, parameter: &str, value: &str) -> Option<()> {
        match (self.kind, parameter) {
            (Kind::File | Kind::Directory, "allowed.paths") => {
                let paths: Vec<PathBuf> = value.split(',').map(|path| PathBuf::from(path.trim())).collect();
                self.allowed = Some(paths);
                self.allowed.iter().flatten().all(|path| path.is_absolute()).then_some(())
            }
            (Kind::Env, "allowlist.pattern") => {
                self.pattern = Some(JavaRegex::new(value.trim()).ok()?);
                Some(())
            }
            _ => None,
        }
    }

    /// Whether a reference may name this. A path with `..` could lead out of a folder that is allowed.
    fn allows(&self, path: &str, key: &str) -> bool {
        let path = Path::new(path);
        let is_straight = || path.components().all(|part| part != Component::ParentDir);
        let is_inside =
            |allowed: &Vec<PathBuf>| is_straight() && allowed.iter().any(|allowed| path.starts_with(allowed));
        self.allowed.as_ref().is_none_or(is_inside)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(key))
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
    fn parameters_limit_what_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().display();
        for name in ["a/f.properties", "b/f.properties"] {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            fs::write(file, "k=v\n").expect("a file");
        }
        let worker = [
            ("config.providers", "file,env".to_owned()),
            ("config.providers.file.class", "FileConfigProvider".to_owned()),
            ("config.providers.file.param.allowed.paths", format!("/none, {path}/a")),
            ("config.providers.env.class", "EnvVarConfigProvider".to_owned()),
            ("config.providers.env.param.allowlist.pattern", "PA.*".to_owned()),
        ];
        let worker = worker.map(|(key, value)| (key.to_owned(), value)).into();
        let providers = Providers::of(&worker).expect("known");
        assert_eq!(providers.resolve(&format!("${{file:{path}/a/f.properties:k}}")), Ok("v".to_owned()));
        assert!(providers.resolve("${env:PATH}").is_ok());
        for refused in [
            format!("${{file:{path}/b/f.properties:k}}"),
            format!("${{file:{path}/a/../b/f.properties:k}}"),
            "${env:HOME}".to_owned(),
        ] {
            assert!(matches!(providers.resolve(&refused), Err(ProviderError::Missing { .. })), "{refused}");
        }
    }

    #[test]
    fn an_unknown_class_is_an_error() {
        let worker = [("config.providers", "v"), ("config.providers.v.class", "com.example.Vault")];
        let worker = worker.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        assert!(matches!(Providers::of(&worker), Err(ProviderError::Class { .. })));
    }
}
