//! The `[schema_registry]` section. Pure: files are read by [`Registry::new`](super::Registry::new).

use std::{
    fmt,
    path::{Path, PathBuf},
};

use event::shape;
use serde::{Deserialize, Deserializer};
use url::Url;

/// The `[schema_registry]` section. `${env:NAME}` and `${file:PATH}` keep secrets out of the file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrySettings {
    /// Address of the registry, or a list of addresses that are tried in turn. A path is kept, such as Apicurio's
    /// `/apis/ccompat/v7` or a context of Confluent's, `/contexts/.eu`.
    ///
    /// Example: `url = ["https://registry-1:8081", "https://registry-2:8081"]`
    pub url: Urls,
    /// User and password.
    ///
    /// Example: `basic_auth = { user = "aqueduct", password = "${env:REGISTRY_PASSWORD}" }`
    #[serde(default)]
    pub basic_auth: Option<BasicAuth>,
    /// A token that does not expire.
    ///
    /// Example: `bearer_token = "${env:REGISTRY_TOKEN}"`
    #[serde(default)]
    pub bearer_token: Option<Secret>,
    /// File with a token. It is read again before each request, so that the token can be renewed.
    ///
    /// Example: `bearer_token_file = "/run/secrets/registry-token"`
    #[serde(default)]
    pub bearer_token_file: Option<PathBuf>,
    /// OAuth 2 with client credentials. A token is requested again before it expires.
    ///
    /// Example: `oauth = { token_url = "https://login.example.com/token", client_id = "aqueduct", client_secret = "${env:OAUTH_SECRET}" }`
    #[serde(default)]
    pub oauth: Option<OAuth>,
    /// Google's application default credentials, for the registry of Managed Service for Apache Kafka.
    ///
    /// Example: `google = true`
    #[serde(default)]
    pub google: bool,
    /// PEM file with the authorities that the registry's certificate is checked with, instead of those of the system.
    ///
    /// Example: `ca = "ca.pem"`
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// PEM file with a client certificate, for mutual TLS.
    ///
    /// Example: `certificate = "client.pem"`
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// PEM file with the private key of the client certificate.
    ///
    /// Default: the key is in the file of the certificate
    ///
    /// Example: `key = "client.key"`
    #[serde(default)]
    pub key: Option<PathBuf>,
}

/// Addresses, as one text or a list of texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Urls(pub Vec<String>);

/// A text that `Debug` does not show.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

/// User and password.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The user, which Confluent Cloud calls API key.
    pub user: String,
    /// The password, which Confluent Cloud calls API secret.
    pub password: Secret,
}

/// OAuth 2 with client credentials (RFC 6749, section 4.4).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OAuth {
    /// Where tokens are requested.
    pub token_url: String,
    /// The client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// Scopes, separated by spaces.
    #[serde(default)]
    pub scope: Option<String>,
}

/// The section, checked. It has no `Debug`: it has secrets.
#[derive(Clone)]
pub struct RegistryConfig {
    /// The addresses, each with a path that ends in `/`.
    pub(crate) urls: Vec<Url>,
    pub(crate) auth: Auth,
    pub(crate) tls: Tls,
}

/// How requests are authenticated.
#[derive(Clone)]
pub(crate) enum Auth {
    None,
    Basic(BasicAuth),
    Bearer(Secret),
    BearerFile(PathBuf),
    Issued { token_url: Url, oauth: OAuth },
    Google,
}

/// PEM files.
#[derive(Clone, Default)]
#[cfg_attr(not(feature = "cloud"), expect(dead_code, reason = "an https address is refused without TLS"))]
pub(crate) struct Tls {
    pub(crate) ca: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

/// A mistake in one key of the section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key within `[schema_registry]`.
    pub key: &'static str,
    /// The mistake, and how to correct it.
    pub text: String,
}

impl RegistrySettings {
    /// The section, checked. Relative paths are in `folder`, that of the configuration's file.
    ///
    /// # Errors
    /// Every mistake that can be found without reading a file or asking the registry.
    pub fn resolve(&self, folder: &Path) -> Result<RegistryConfig, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut note = |key, text: String| problems.push(Problem { key, text });
        let mut urls = Vec::new();
        for text in &self.url.0 {
            match address(text) {
                Ok(url) => urls.push(url),
                Err(problem) => note("url", problem),
            }
        }
        if self.url.0.is_empty() {
            note("url", "names no registry; write an address such as \"https://registry:8081\"".to_owned());
        }
        let ways = self.ways();
        if let [first, second, ..] = ways[..] {
            note(second, format!("excludes schema_registry.{first}; write only one of them"));
        }
        let token_url = self.oauth.as_ref().map(|oauth| address(&oauth.token_url));
        if let Some(Err(problem)) = &token_url {
            note("oauth.token_url", problem.clone());
        }
        if self.key.is_some() && self.certificate.is_none() {
            note("key", "needs schema_registry.certificate, the certificate of this key".to_owned());
        }
        let has_files = self.ca.is_some() || self.certificate.is_some();
        if has_files && !urls.is_empty() && urls.iter().all(|url| url.scheme() == "http") {
            let key = if self.ca.is_some() { "ca" } else { "certificate" };
            note(key, "has no effect, because schema_registry.url is not https".to_owned());
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let file = |path: &PathBuf| folder.join(path);
        let auth = match (self, token_url) {
            (Self { basic_auth: Some(basic), .. }, _) => Auth::Basic(basic.clone()),
            (Self { bearer_token: Some(token), .. }, _) => Auth::Bearer(token.clone()),
            (Self { bearer_token_file: Some(path), .. }, _) => Auth::BearerFile(file(path)),
            (Self { oauth: Some(oauth), .. }, Some(Ok(token_url))) => {
                Auth::Issued { token_url: without_slash(token_url), oauth: oauth.clone() }
            }
            (Self { google: true, .. }, _) => Auth::Google,
            _ => Auth::None,
        };
        let [ca, certificate, key] =
            [&self.ca, &self.certificate, &self.key].map(|path| path.as_ref().map(file));
        Ok(RegistryConfig { urls, auth, tls: Tls { ca, certificate, key } })
    }

    /// The keys about authentication that are set.
    fn ways(&self) -> Vec<&'static str> {
        let all = [
            ("basic_auth", self.basic_auth.is_some()),
            ("bearer_token", self.bearer_token.is_some()),
            ("bearer_token_file", self.bearer_token_file.is_some()),
            ("oauth", self.oauth.is_some()),
            ("google", self.google),
        ];
        all.into_iter().filter(|(_, is_set)| *is_set).map(|(key, _)| key).collect()
    }
}

/// An address to which paths can be added. Never quotes what can hold a password.
fn address(text: &str) -> Result<Url, String> {
    let example = "write an address such as \"https://registry:8081\"";
    let mut url = Url::parse(text).map_err(|error| format!("is no address ({error}); {example}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("is neither http nor https; {example}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("contains a user or password; write them as schema_registry.basic_auth".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("contains ? or #; {example}"));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

fn without_slash(mut url: Url) -> Url {
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    url
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Urls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "an address or a list of addresses";
        shape::text_or(deserializer, expected, |url| Ok(Self(vec![url.to_owned()])), Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> RegistrySettings {
        toml::from_str(text).expect("it is the section")
    }

    fn problems(text: &str) -> Vec<&'static str> {
        let problems = read(text).resolve(Path::new("/etc")).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn a_path_is_kept() {
        let config = read(r#"url = ["http://a:8081", "https://b/apis/ccompat/v7"]"#).resolve(Path::new("/"));
        let urls = config.ok().map(|config| config.urls).unwrap_or_default();
        let joined: Vec<String> =
            urls.iter().map(|url| url.join("schemas/ids/1").expect("it joins").into()).collect();
        assert_eq!(joined, ["http://a:8081/schemas/ids/1", "https://b/apis/ccompat/v7/schemas/ids/1"]);
    }

    #[test]
    fn files_are_in_the_folder_of_the_configuration() {
        let text = "url = \"https://a\"\nca = \"ca.pem\"\nbearer_token_file = \"/run/token\"";
        let config = read(text).resolve(Path::new("/etc")).expect("it is right");
        assert_eq!(config.tls.ca.as_deref(), Some(Path::new("/etc/ca.pem")));
        assert!(matches!(config.auth, Auth::BearerFile(path) if path == Path::new("/run/token")));
    }

    #[test]
    fn mistakes_are_found() {
        assert_eq!(problems("url = []"), ["url"]);
        for url in ["registry:8081", "ftp://a", "http://u:p@a", "http://a?x=1", ""] {
            assert_eq!(problems(&format!("url = {url:?}")), ["url"], "{url}");
        }
        assert_eq!(problems("url = \"http://a\"\nca = \"a\""), ["ca"]);
        assert_eq!(problems("url = \"https://a\"\nkey = \"a\""), ["key"]);
        assert_eq!(problems("url = \"https://a\"\nbearer_token = \"a\"\ngoogle = true"), ["google"]);
        assert!(problems("url = \"https://a\"\ncertificate = \"a\"\nkey = \"b\"").is_empty());
    }

    #[test]
    fn secrets_are_not_shown() {
        let text = r#"
            url = "https://a"
            bearer_token = "hidden-1"
            basic_auth = { user = "u", password = "hidden-2" }
            oauth = { token_url = "http://u:hidden-4@a", client_id = "c", client_secret = "hidden-3" }
        "#;
        let settings = read(text);
        let problems = settings.resolve(Path::new("/")).err().expect("there are several");
        assert!(!format!("{problems:?}").contains("hidden"));
        let shown = format!("{:?}", RegistrySettings { oauth: None, ..settings });
        assert!(!shown.contains("hidden"), "{shown}");
    }
}
